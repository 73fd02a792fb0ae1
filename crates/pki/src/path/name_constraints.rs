//! Name constraints (RFC 5280 §4.2.1.10 and §6.1.3 (b), (c)): collected on the way down a chain,
//! applied to each certificate below.
//!
//! What cannot be decided is refused: names of a form that is constrained in a way that is not
//! implemented, and URIs without a host where URIs are constrained.

use std::net::IpAddr;

use clm_domain::general_name::GeneralName;
use const_oid::db::rfc5280::ID_CE_NAME_CONSTRAINTS;

use super::PathFault;
use crate::asn1::{Element, tag};
use crate::certificate::Certificate;
use crate::name::{Attribute, DistinguishedName};
use crate::tbs_view::name_constraints;

/// Dotted form of `emailAddress` (RFC 2985 §5.2.1).
const EMAIL_ADDRESS: &str = "1.2.840.113549.1.9.1";

/// The constraints of all CAs so far.
#[derive(Debug, Default)]
pub(super) struct ConstrainedNames {
    /// One list per CA that permits only some names: a name must be within each.
    permitted: Vec<Vec<Base>>,
    /// A name must be within none.
    excluded: Vec<Base>,
}

/// The base of a subtree.
#[derive(Clone, Debug)]
enum Base {
    Dns(String),
    Email(String),
    Uri(String),
    /// Address octets, then as many mask octets.
    Ip(Vec<u8>),
    DirectoryName(DistinguishedName),
    /// A form that we refuse wherever it is constrained (RFC 5280 §4.2.1.10), by its identifier octet.
    Other(u8),
}

impl ConstrainedNames {
    /// Adds the constraints that `authority` puts on what it issues.
    pub(super) fn constrain(&mut self, authority: &Certificate) -> Result<(), PathFault> {
        let Some(extension) = authority.extension(&ID_CE_NAME_CONSTRAINTS.to_string()) else {
            return Ok(());
        };
        let malformed = |message: String| PathFault::MalformedNameConstraints(message);
        let constraints = name_constraints(&extension.value_der)
            .map_err(|error| malformed(format!("it {error}")))?;
        // RFC 5280 §4.2.1.10: minimum must be zero and maximum absent.
        if constraints.has_distances {
            return Err(malformed("a subtree has a distance".to_owned()));
        }
        let read = |elements: &[Element<'_>]| -> Result<Vec<Base>, PathFault> {
            elements
                .iter()
                .map(|element| Base::read(element).map_err(malformed))
                .collect()
        };
        let permitted = read(&constraints.permitted)?;
        if !permitted.is_empty() {
            self.permitted.push(permitted);
        }
        self.excluded.extend(read(&constraints.excluded)?);
        Ok(())
    }

    /// Demands that all names of `certificate` keep the constraints.
    pub(super) fn check(&self, certificate: &Certificate) -> Result<(), PathFault> {
        if self.permitted.is_empty() && self.excluded.is_empty() {
            return Ok(());
        }
        names(certificate)?
            .iter()
            .try_for_each(|name| self.check_name(name))
    }

    fn check_name(&self, name: &GeneralName) -> Result<(), PathFault> {
        let fault = |problem: String| PathFault::NameConstraint {
            name: describe(name),
            problem,
        };
        for base in self.excluded.iter().filter(|base| base.has_form_of(name)) {
            if base.excludes(name).map_err(fault)? {
                return Err(fault("is within an excluded subtree".to_owned()));
            }
        }
        for list in &self.permitted {
            let mut constrained = false;
            let mut permitted = false;
            for base in list.iter().filter(|base| base.has_form_of(name)) {
                constrained = true;
                permitted |= base.contains(name).map_err(fault)?;
            }
            if constrained && !permitted {
                return Err(fault("is outside the permitted subtrees".to_owned()));
            }
        }
        Ok(())
    }
}

/// Every name of a certificate that constraints apply to.
fn names(certificate: &Certificate) -> Result<Vec<GeneralName>, PathFault> {
    let mut names = certificate
        .subject_alternative_names()
        .map_err(PathFault::Malformed)?;
    let subject =
        directory_name(certificate.subject_der()).map_err(|message| PathFault::NameConstraint {
            name: "of the subject".to_owned(),
            problem: message,
        })?;
    // RFC 5280 §4.2.1.10: legacy mailboxes in the subject are held to rfc822Name constraints.
    let mailboxes = subject.texts(EMAIL_ADDRESS);
    names.extend(mailboxes.map(|mailbox| GeneralName::Email(mailbox.to_owned())));
    if !subject.is_empty() {
        names.push(GeneralName::DirectoryName(subject.der().to_vec()));
    }
    Ok(names)
}

/// The name for a person to read.
fn describe(name: &GeneralName) -> String {
    match name {
        GeneralName::DirectoryName(der) => match directory_name(der) {
            Ok(name) => format!("dirName:{}", name.rfc4514()),
            Err(_) => name.to_string(),
        },
        _ => name.to_string(),
    }
}

fn directory_name(der: &[u8]) -> Result<DistinguishedName, String> {
    DistinguishedName::from_der(der).map_err(|error| error.to_string())
}

impl Base {
    fn read(element: &Element<'_>) -> Result<Self, String> {
        let text = || {
            let text = std::str::from_utf8(element.value).ok();
            text.filter(|text| text.is_ascii())
                .map(str::to_owned)
                .ok_or_else(|| "a subtree is not ASCII".to_owned())
        };
        const EMAIL: u8 = tag::context(1);
        const DNS: u8 = tag::context(2);
        const DIRECTORY_NAME: u8 = tag::context_constructed(4);
        const URI: u8 = tag::context(6);
        const IP: u8 = tag::context(7);
        match element.tag {
            EMAIL => text().map(Self::Email),
            DNS => text().map(Self::Dns),
            URI => text().map(Self::Uri),
            IP if matches!(element.value.len(), 8 | 32) => Ok(Self::Ip(element.value.to_vec())),
            IP => Err("a network has neither 8 nor 32 octets".to_owned()),
            DIRECTORY_NAME => directory_name(element.value).map(Self::DirectoryName),
            other => Ok(Self::Other(other)),
        }
    }

    fn has_form_of(&self, name: &GeneralName) -> bool {
        matches!(
            (self, name),
            (Self::Dns(_), GeneralName::Dns(_))
                | (Self::Email(_), GeneralName::Email(_))
                | (Self::Uri(_), GeneralName::Uri(_))
                | (Self::Ip(_), GeneralName::Ip(_))
                | (Self::DirectoryName(_), GeneralName::DirectoryName(_))
                | (Self::Other(0xA0), GeneralName::OtherName { .. })
                | (Self::Other(0x88), GeneralName::RegisteredId(_))
        )
    }

    /// Whether an excluded subtree forbids `name`: also when a wildcard covers the whole subtree.
    fn excludes(&self, name: &GeneralName) -> Result<bool, String> {
        if let (Self::Dns(base), GeneralName::Dns(name)) = (self, name)
            && let Some(parent) = name.strip_prefix("*.")
            && let Some((_, base_parent)) = base.split_once('.')
            && base_parent.eq_ignore_ascii_case(parent)
        {
            return Ok(true);
        }
        self.contains(name)
    }

    /// Whether `name`, which has the form of this base, is within the subtree.
    fn contains(&self, name: &GeneralName) -> Result<bool, String> {
        match (self, name) {
            (Self::Dns(base), GeneralName::Dns(name)) => Ok(domain_contains(base, name)),
            (Self::Email(base), GeneralName::Email(name)) => mailbox_within(base, name),
            (Self::Uri(base), GeneralName::Uri(name)) => {
                let host = host_of(name).ok_or("has no host to hold against a constraint")?;
                Ok(host_within(base, host))
            }
            (Self::Ip(base), GeneralName::Ip(address)) => Ok(network_contains(base, *address)),
            (Self::DirectoryName(base), GeneralName::DirectoryName(der)) => {
                Ok(is_prefix(base, &directory_name(der)?))
            }
            _ => Err("is of a form that is refused wherever it is constrained".to_owned()),
        }
    }
}

/// The domain itself and all below; an empty one holds everything, and one that begins with a
/// period, which is not in the standard yet in use, only what is below.
fn domain_contains(base: &str, name: &str) -> bool {
    let name = without_root(name);
    if base.is_empty() || name.eq_ignore_ascii_case(base) {
        return true;
    }
    let suffix = base.strip_prefix('.').unwrap_or(base);
    below(suffix, name)
}

/// Whether `name` is below `domain`, not the domain itself.
fn below(domain: &str, name: &str) -> bool {
    let (name, domain) = (name.to_ascii_lowercase(), domain.to_ascii_lowercase());
    name.strip_suffix(&domain)
        .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// A name that ends with the dot of the root is the same name, and must not slip through.
fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// RFC 5280 §4.2.1.10: a host, or everything below a domain with a leading period.
fn host_within(base: &str, host: &str) -> bool {
    let host = without_root(host);
    match base.strip_prefix('.') {
        Some(domain) => below(domain, host),
        None => base.is_empty() || host.eq_ignore_ascii_case(base),
    }
}

/// RFC 5280 §4.2.1.10: one mailbox, all of a host, or all of the hosts below a domain.
fn mailbox_within(base: &str, mailbox: &str) -> Result<bool, String> {
    let (local, host) = mailbox
        .rsplit_once('@')
        .ok_or("is no mailbox to hold against a constraint")?;
    Ok(match base.rsplit_once('@') {
        Some((base_local, base_host)) => {
            base_local == local && base_host.eq_ignore_ascii_case(host)
        }
        None => host_within(base, host),
    })
}

/// The host of a URI when it is a domain name; RFC 5280 §4.2.1.10 demands one.
fn host_of(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host_and_port = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = host_and_port.split(':').next()?;
    let is_name = !host.is_empty() && !host.starts_with('[') && host.parse::<IpAddr>().is_err();
    is_name.then_some(host)
}

fn network_contains(base: &[u8], address: IpAddr) -> bool {
    let (network, mask) = base.split_at(base.len() / 2);
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let mut pairs = octets.iter().zip(network.iter().zip(mask));
    octets.len() == network.len()
        && pairs.all(|(octet, (network, mask))| octet & mask == network & mask)
}

/// Whether the relative names of `base` are the first ones of `name`.
fn is_prefix(base: &DistinguishedName, name: &DistinguishedName) -> bool {
    let (base, name) = (base.relative_names(), name.relative_names());
    base.len() <= name.len()
        && base
            .iter()
            .zip(name)
            .all(|(one, other)| same_relative_name(one, other))
}

fn same_relative_name(one: &[Attribute], other: &[Attribute]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .all(|attribute| other.iter().any(|found| same_attribute(attribute, found)))
}

/// RFC 5280 §7.1 for strings: case and runs of spaces do not matter. Unicode normalization is
/// left out.
fn same_attribute(one: &Attribute, other: &Attribute) -> bool {
    let folded = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").to_lowercase()
    };
    let same_value = match (&one.text, &other.text) {
        (Some(one), Some(other)) => folded(one) == folded(other),
        _ => one.value_der == other.value_der,
    };
    one.oid == other.oid && same_value
}
