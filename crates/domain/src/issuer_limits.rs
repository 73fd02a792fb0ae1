//! Hard limits of an issuer, and the pure judgement of a plan against them.
//!
//! The core asks [`judge`] early to tell the requester what is wrong; the Secure Service asks the
//! same function against the limits that it stores itself, because a core may be compromised.
//! What a new issuer may sign is compared with the limits above it by [`IssuerLimits::is_within`].

mod within;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::certificate_plan::{CertificatePlan, extended_key_usage};
use crate::error::Violation;
use crate::general_name::GeneralName;
use crate::key_algorithm::KeyAlgorithm;
use crate::limits::SUBJECT_ALTERNATIVE_NAMES_MAX;
use crate::oid::Oid;

/// What an issuer may ever sign. For one that signs no end entities, all but `names` and
/// `key_algorithms` describes only its own CA certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerLimits {
    /// Whether it may sign CA certificates.
    pub certificate_authority: bool,
    /// Whether it may sign certificates of end entities. Has no default: whoever sets limits says
    /// it.
    pub end_entities: bool,
    /// The extended key usages that it may sign. An end entity needs at least one of them.
    pub extended_key_usage: Vec<Oid>,
    /// The key algorithms of subjects.
    pub key_algorithms: Vec<KeyAlgorithm>,
    /// Longest validity, in seconds.
    pub validity_seconds_max: u64,
    /// The names that it may sign.
    pub names: NameLimits,
    /// Most issuances in any one minute; `None` for no limit.
    pub issuances_per_minute_max: Option<u32>,
    /// The certificate policies that it may sign (RFC 5280 §4.2.1.4); none when left out.
    #[serde(default)]
    pub certificate_policies: Vec<Oid>,
    /// The extensions beyond those with a field of their own that it may sign; none when left out.
    #[serde(default)]
    pub other_extensions: Vec<Oid>,
}

/// Names that an issuer may sign, form by form. `None` means any name of the form; an empty list
/// means none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameLimits {
    /// DNS domains; each allows itself and everything below.
    pub dns_domains: Option<Vec<String>>,
    /// Networks as `address/prefix`.
    pub ip_networks: Option<Vec<String>>,
    /// Mail domains, exact.
    pub email_domains: Option<Vec<String>>,
    /// URI schemes.
    pub uri_schemes: Option<Vec<String>>,
    /// Types of `otherName`.
    pub other_name_types: Option<Vec<Oid>>,
    /// Whether `directoryName` is allowed.
    pub directory_names: bool,
    /// Whether `registeredID` is allowed.
    pub registered_ids: bool,
}

/// Every way in which `plan` is beyond `limits`; empty when it may be signed. `common_names` are
/// those of the plan's subject, which is DER and read elsewhere.
pub fn judge(
    plan: &CertificatePlan,
    limits: &IssuerLimits,
    common_names: &[&str],
) -> Vec<Violation> {
    let mut violations = Vec::new();
    judge_purpose(plan, limits, &mut violations);
    judge_key_and_validity(plan, limits, &mut violations);
    judge_names(plan, limits, &mut violations);
    if !plan.is_certificate_authority() {
        judge_common_names(plan, limits, common_names, &mut violations);
    }
    judge_further_extensions(plan, limits, &mut violations);
    violations
}

fn violation(field: impl Into<String>, message: impl Into<String>) -> Violation {
    Violation {
        field: field.into(),
        message: message.into(),
    }
}

/// RFC 5280 §4.2.1.12: without an extended key usage a certificate serves any purpose, so an end
/// entity always needs one. A CA certificate without one leaves the choice to what it signs.
fn judge_purpose(plan: &CertificatePlan, limits: &IssuerLimits, violations: &mut Vec<Violation>) {
    let is_authority = plan.is_certificate_authority();
    if is_authority && !limits.certificate_authority {
        let message = "This issuer does not sign CA certificates.";
        violations.push(violation("basic_constraints", message));
    }
    if !is_authority && !limits.end_entities {
        let message = "This issuer signs certificate authorities only. Choose one that signs end \
            entities.";
        violations.push(violation("basic_constraints", message));
    }
    if !is_authority && plan.extended_key_usage.is_empty() {
        let message = "A certificate without extended key usage would serve any purpose. Name at \
            least one.";
        violations.push(violation("extended_key_usage", message));
    }
    for usage in &plan.extended_key_usage {
        if !limits.extended_key_usage.contains(usage) || usage.as_str() == extended_key_usage::ANY {
            let message = format!("This issuer does not sign extended key usage {usage}.");
            violations.push(violation("extended_key_usage", message));
        }
    }
}

fn judge_key_and_validity(
    plan: &CertificatePlan,
    limits: &IssuerLimits,
    violations: &mut Vec<Violation>,
) {
    if !limits.key_algorithms.contains(&plan.key_algorithm) {
        let message = format!("This issuer does not sign {} keys.", plan.key_algorithm);
        violations.push(violation("key_algorithm", message));
    }
    let seconds = plan.validity_seconds();
    if seconds <= 0 {
        let message = "The validity must end after it begins.";
        violations.push(violation("not_after", message));
    } else if u64::try_from(seconds).is_ok_and(|seconds| seconds > limits.validity_seconds_max) {
        let message = format!(
            "This issuer signs for at most {} seconds; {seconds} were asked for.",
            limits.validity_seconds_max
        );
        violations.push(violation("validity_seconds", message));
    }
}

fn judge_names(plan: &CertificatePlan, limits: &IssuerLimits, violations: &mut Vec<Violation>) {
    if plan.subject_alternative_names.len() > SUBJECT_ALTERNATIVE_NAMES_MAX {
        let message =
            format!("At most {SUBJECT_ALTERNATIVE_NAMES_MAX} names fit in one certificate.");
        violations.push(violation("subject_alternative_names", message));
    }
    // Every name is judged, not a sample: one unchecked name among a hundred is a mis-issuance.
    for (index, name) in plan.subject_alternative_names.iter().enumerate() {
        if !limits.names.permit(name) {
            let field = format!("subject_alternative_names[{index}]");
            let message = format!("This issuer does not sign the name {name}.");
            violations.push(violation(field, message));
        }
    }
}

/// Some clients still read a host or mailbox from the common name (RFC 9525 §1.2 forbids it), so an
/// issuer whose hosts, addresses or mailboxes are limited signs no other in the subject either. A
/// common name that stands among the subject alternative names is judged there.
fn judge_common_names(
    plan: &CertificatePlan,
    limits: &IssuerLimits,
    common_names: &[&str],
    violations: &mut Vec<Violation>,
) {
    let names = &limits.names;
    let is_limited =
        names.dns_domains.is_some() || names.ip_networks.is_some() || names.email_domains.is_some();
    if !is_limited {
        return;
    }
    for common_name in common_names {
        let repeats = |name: &GeneralName| is_same_name(name, common_name);
        if plan.subject_alternative_names.iter().any(repeats) {
            continue;
        }
        let message = match as_general_name(common_name) {
            Some(name) if names.permit(&name) => continue,
            Some(name) => format!("This issuer does not sign the name {name} as a common name."),
            None => "This issuer signs only certain names, so a common name must be a host, an \
                address or a mailbox that it signs. Leave the common name out, or repeat a \
                subject alternative name."
                .to_owned(),
        };
        violations.push(violation("subject", message));
    }
}

/// Whether a common name says the same as a host, an address or a mailbox.
fn is_same_name(name: &GeneralName, common_name: &str) -> bool {
    match name {
        GeneralName::Dns(text) | GeneralName::Email(text) => text.eq_ignore_ascii_case(common_name),
        GeneralName::Ip(address) => common_name.parse() == Ok(*address),
        _ => false,
    }
}

/// The host, address or mailbox that a common name looks like.
fn as_general_name(common_name: &str) -> Option<GeneralName> {
    if let Ok(address) = common_name.parse() {
        return Some(GeneralName::Ip(address));
    }
    let is_host = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte);
        !text.is_empty() && text.bytes().all(allowed)
    };
    if is_host(common_name) {
        return Some(GeneralName::Dns(common_name.to_owned()));
    }
    let (local, host) = common_name.split_once('@')?;
    let is_mailbox = !local.is_empty() && local.bytes().all(|byte| byte.is_ascii_graphic());
    (is_mailbox && is_host(host)).then(|| GeneralName::Email(common_name.to_owned()))
}

fn judge_further_extensions(
    plan: &CertificatePlan,
    limits: &IssuerLimits,
    violations: &mut Vec<Violation>,
) {
    for (index, policy) in plan.certificate_policies.iter().enumerate() {
        if !limits.certificate_policies.contains(&policy.policy_id) {
            let field = format!("certificate_policies[{index}]");
            let message = format!("This issuer does not sign the policy {}.", policy.policy_id);
            violations.push(violation(field, message));
        }
    }
    for (index, extension) in plan.other_extensions.iter().enumerate() {
        if !limits.other_extensions.contains(&extension.oid) {
            let field = format!("other_extensions[{index}]");
            let message = format!("This issuer does not sign the extension {}.", extension.oid);
            violations.push(violation(field, message));
        }
    }
}

impl NameLimits {
    /// Whether `name` may be signed.
    pub fn permit(&self, name: &GeneralName) -> bool {
        match name {
            GeneralName::Dns(name) => within(self.dns_domains.as_deref(), |domain| {
                dns_within(name, domain)
            }),
            GeneralName::Ip(address) => within(self.ip_networks.as_deref(), |network| {
                ip_within(*address, network)
            }),
            GeneralName::Email(address) => within(self.email_domains.as_deref(), |domain| {
                address
                    .rsplit_once('@')
                    .is_some_and(|(_, host)| host.eq_ignore_ascii_case(domain))
            }),
            GeneralName::Uri(uri) => within(self.uri_schemes.as_deref(), |scheme| {
                uri.split_once(':')
                    .is_some_and(|(found, _)| found.eq_ignore_ascii_case(scheme))
            }),
            GeneralName::OtherName { type_id, .. } => self
                .other_name_types
                .as_ref()
                .is_none_or(|types| types.contains(type_id)),
            GeneralName::DirectoryName(_) => self.directory_names,
            GeneralName::RegisteredId(_) => self.registered_ids,
        }
    }
}

fn within(allowed: Option<&[String]>, matches: impl Fn(&str) -> bool) -> bool {
    allowed.is_none_or(|entries| entries.iter().any(|entry| matches(entry)))
}

/// Whether `name` (perhaps with a leading wildcard label) is `domain` or below it.
fn dns_within(name: &str, domain: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    let (name, domain) = (name.to_ascii_lowercase(), domain.to_ascii_lowercase());
    name == domain
        || name
            .strip_suffix(&domain)
            .is_some_and(|rest| rest.ends_with('.'))
}

/// Whether `address` is in `network`, written `address/prefix`. An unreadable network holds none.
fn ip_within(address: IpAddr, network: &str) -> bool {
    let Some((base, prefix)) = network.split_once('/') else {
        return false;
    };
    let (Ok(base), Ok(prefix)) = (base.parse::<IpAddr>(), prefix.parse::<u32>()) else {
        return false;
    };
    match (address, base) {
        (IpAddr::V4(address), IpAddr::V4(base)) if prefix <= 32 => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            u32::from(address) & mask == u32::from(base) & mask
        }
        (IpAddr::V6(address), IpAddr::V6(base)) if prefix <= 128 => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            u128::from(address) & mask == u128::from(base) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
