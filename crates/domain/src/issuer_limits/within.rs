//! Whether the limits of a new issuer are within those of an issuer above it.
//!
//! Names and key algorithms bind everything below an issuer. What else an issuer may sign binds
//! those below only when the issuer signs end entities itself: a root that signs nothing but
//! authorities has no extended key usages to hand down. Start with [`IssuerLimits::is_within`].

use super::{IssuerLimits, NameLimits, dns_within, ip_within, violation};
use crate::error::Violation;
use crate::oid::Oid;

impl IssuerLimits {
    /// Every way in which these limits allow more than those of an issuer above, `parent`; empty
    /// when they are within. Fields begin with `limits.`.
    ///
    /// CA certificates, names and key algorithms are always compared; extended key usages,
    /// validity, rate, policies and further extensions only when the parent signs end entities. An
    /// issuer is to be compared with each one above it, not with the nearest alone.
    pub fn is_within(&self, parent: &Self) -> Vec<Violation> {
        let mut violations = Vec::new();
        if self.certificate_authority && !parent.certificate_authority {
            let message = "The issuer above signs no CA certificates.";
            violations.push(violation("limits.certificate_authority", message));
        }
        for algorithm in &self.key_algorithms {
            if !parent.key_algorithms.contains(algorithm) {
                let message = format!("The issuer above does not allow {algorithm} keys.");
                violations.push(violation("limits.key_algorithms", message));
            }
        }
        compare_names(&self.names, &parent.names, &mut violations);
        if parent.end_entities {
            self.compare_end_entities(parent, &mut violations);
        }
        violations
    }

    fn compare_end_entities(&self, parent: &Self, violations: &mut Vec<Violation>) {
        let lists: [(&str, &[Oid], &[Oid]); 3] = [
            (
                "extended_key_usage",
                &self.extended_key_usage,
                &parent.extended_key_usage,
            ),
            (
                "certificate_policies",
                &self.certificate_policies,
                &parent.certificate_policies,
            ),
            (
                "other_extensions",
                &self.other_extensions,
                &parent.other_extensions,
            ),
        ];
        for (field, own, allowed) in lists {
            let beyond = own.iter().filter(|oid| !allowed.contains(oid));
            violations.extend(beyond.map(|oid| {
                let message = format!("The issuer above does not allow {oid}.");
                violation(format!("limits.{field}"), message)
            }));
        }
        if self.validity_seconds_max > parent.validity_seconds_max {
            let most = parent.validity_seconds_max;
            let message = format!("The issuer above allows at most {most} seconds.");
            violations.push(violation("limits.validity_seconds_max", message));
        }
        let Some(most) = parent.issuances_per_minute_max else {
            return;
        };
        if self.issuances_per_minute_max.is_none_or(|own| own > most) {
            let message = format!("The issuer above allows at most {most} issuances a minute.");
            violations.push(violation("limits.issuances_per_minute_max", message));
        }
    }
}

fn compare_names(own: &NameLimits, parent: &NameLimits, violations: &mut Vec<Violation>) {
    let mut compare = |field: &str, beyond: Option<String>| {
        violations.extend(beyond.map(|beyond| {
            let message = format!("The issuer above does not allow {beyond}.");
            violation(format!("limits.names.{field}"), message)
        }));
    };
    compare(
        "dns_domains",
        beyond(&own.dns_domains, &parent.dns_domains, |own, above| {
            dns_within(own, above)
        }),
    );
    compare(
        "ip_networks",
        beyond(&own.ip_networks, &parent.ip_networks, |own, above| {
            network_within(own, above)
        }),
    );
    compare(
        "email_domains",
        beyond(&own.email_domains, &parent.email_domains, |own, above| {
            own.eq_ignore_ascii_case(above)
        }),
    );
    compare(
        "uri_schemes",
        beyond(&own.uri_schemes, &parent.uri_schemes, |own, above| {
            own.eq_ignore_ascii_case(above)
        }),
    );
    compare(
        "other_name_types",
        beyond(
            &own.other_name_types,
            &parent.other_name_types,
            PartialEq::eq,
        ),
    );
    let any = |own: bool, above: bool| (own && !above).then(|| "any name of this form".to_owned());
    compare(
        "directory_names",
        any(own.directory_names, parent.directory_names),
    );
    compare(
        "registered_ids",
        any(own.registered_ids, parent.registered_ids),
    );
}

/// What `own` allows beyond `above`: the first entry that is within none above, or everything.
fn beyond<T: std::fmt::Display>(
    own: &Option<Vec<T>>,
    above: &Option<Vec<T>>,
    is_within: impl Fn(&T, &T) -> bool,
) -> Option<String> {
    let above = above.as_ref()?;
    let Some(own) = own else {
        return Some("any name of this form".to_owned());
    };
    let allowed = |entry: &&T| !above.iter().any(|one| is_within(entry, one));
    own.iter().find(allowed).map(ToString::to_string)
}

/// Whether all of `network` is in `above`. What cannot be read is in nothing.
fn network_within(network: &str, above: &str) -> bool {
    let prefix = |text: &str| text.split_once('/')?.1.parse::<u32>().ok();
    let base = network
        .split_once('/')
        .and_then(|(base, _)| base.parse().ok());
    let (Some(base), Some(own), Some(least)) = (base, prefix(network), prefix(above)) else {
        return false;
    };
    // Its own base is in a network that can be read.
    own >= least && ip_within(base, network) && ip_within(base, above)
}
