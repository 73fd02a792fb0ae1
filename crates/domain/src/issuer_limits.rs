//! Hard limits of an issuer, and the pure judgement of a plan against them.
//!
//! The core asks [`judge`] early to tell the requester what is wrong; the Secure Service asks the
//! same function against the limits that it stores itself, because a core may be compromised.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::certificate_plan::{CertificatePlan, extended_key_usage};
use crate::error::Violation;
use crate::general_name::GeneralName;
use crate::key_algorithm::KeyAlgorithm;
use crate::limits::SUBJECT_ALTERNATIVE_NAMES_MAX;
use crate::oid::Oid;

/// What an issuer may ever sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerLimits {
    /// Whether it may sign CA certificates.
    pub certificate_authority: bool,
    /// The extended key usages that it may sign.
    pub extended_key_usage: Vec<Oid>,
    /// The key algorithms of subjects.
    pub key_algorithms: Vec<KeyAlgorithm>,
    /// Longest validity, in seconds.
    pub validity_seconds_max: u64,
    /// The names that it may sign.
    pub names: NameLimits,
    /// Most issuances in any one minute; `None` for no limit.
    pub issuances_per_minute_max: Option<u32>,
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

/// Every way in which `plan` is beyond `limits`; empty when it may be signed.
pub fn judge(plan: &CertificatePlan, limits: &IssuerLimits) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut violate =
        |field: String, message: String| violations.push(Violation { field, message });

    if plan.is_certificate_authority() && !limits.certificate_authority {
        violate(
            "basic_constraints".to_owned(),
            "This issuer does not sign CA certificates.".to_owned(),
        );
    }
    for usage in &plan.extended_key_usage {
        if !limits.extended_key_usage.contains(usage) || usage.as_str() == extended_key_usage::ANY {
            violate(
                "extended_key_usage".to_owned(),
                format!("This issuer does not sign extended key usage {usage}."),
            );
        }
    }
    if !limits.key_algorithms.contains(&plan.key_algorithm) {
        violate(
            "key_algorithm".to_owned(),
            format!("This issuer does not sign {} keys.", plan.key_algorithm),
        );
    }
    let seconds = plan.validity_seconds();
    if seconds <= 0 {
        violate(
            "not_after".to_owned(),
            "The validity must end after it begins.".to_owned(),
        );
    } else if u64::try_from(seconds).is_ok_and(|seconds| seconds > limits.validity_seconds_max) {
        violate(
            "validity_seconds".to_owned(),
            format!(
                "This issuer signs for at most {} seconds; {seconds} were asked for.",
                limits.validity_seconds_max
            ),
        );
    }
    if plan.subject_alternative_names.len() > SUBJECT_ALTERNATIVE_NAMES_MAX {
        violate(
            "subject_alternative_names".to_owned(),
            format!("At most {SUBJECT_ALTERNATIVE_NAMES_MAX} names fit in one certificate."),
        );
    }
    // Every name is judged, not a sample: one unchecked name among a hundred is a mis-issuance.
    for (index, name) in plan.subject_alternative_names.iter().enumerate() {
        if !limits.names.permit(name) {
            violate(
                format!("subject_alternative_names[{index}]"),
                format!("This issuer does not sign the name {name}."),
            );
        }
    }
    violations
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
