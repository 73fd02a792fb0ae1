//! Lints of what makes a CA certificate, and of what only a CA certificate may have.

use clm_domain::certificate_plan::KeyUsage;

use super::{Candidate, Lint, require};

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "e_rfc5280_ca_has_key_cert_sign",
        citation: "RFC 5280 §4.2.1.3",
        check: ca_has_key_cert_sign,
    },
    Lint {
        name: "e_rfc5280_key_cert_sign_only_in_ca",
        citation: "RFC 5280 §4.2.1.9",
        check: key_cert_sign_only_in_ca,
    },
    Lint {
        name: "e_rfc5280_path_length_only_in_ca",
        citation: "RFC 5280 §4.2.1.9",
        check: path_length_only_in_ca,
    },
    Lint {
        name: "e_rfc5280_ca_subject_not_empty",
        citation: "RFC 5280 §4.1.2.6",
        check: ca_subject_not_empty,
    },
    Lint {
        name: "e_rfc5280_name_constraints_only_in_ca",
        citation: "RFC 5280 §4.2.1.10",
        check: name_constraints_only_in_ca,
    },
    Lint {
        name: "e_rfc5280_policy_limits_only_in_ca",
        citation: "RFC 5280 §4.2.1.5, §4.2.1.11 and §4.2.1.14",
        check: policy_limits_only_in_ca,
    },
];

fn ca_has_key_cert_sign(candidate: &Candidate<'_>) -> Vec<String> {
    let is_ca = candidate.tbs.is_certificate_authority();
    require(!is_ca || usage(candidate).key_cert_sign, || {
        "A CA certificate must have key usage keyCertSign.".to_owned()
    })
}

fn key_cert_sign_only_in_ca(candidate: &Candidate<'_>) -> Vec<String> {
    let is_ca = candidate.tbs.is_certificate_authority();
    require(is_ca || !usage(candidate).key_cert_sign, || {
        "Only a CA certificate may have key usage keyCertSign.".to_owned()
    })
}

fn path_length_only_in_ca(candidate: &Candidate<'_>) -> Vec<String> {
    let constraints = candidate.tbs.known.basic_constraints;
    let has_length = constraints.is_some_and(|constraints| constraints.path_length_max.is_some());
    require(
        !has_length || candidate.tbs.is_certificate_authority(),
        || "Only a CA certificate may limit the path length.".to_owned(),
    )
}

fn ca_subject_not_empty(candidate: &Candidate<'_>) -> Vec<String> {
    let is_ca = candidate.tbs.is_certificate_authority();
    require(!is_ca || !candidate.tbs.subject.is_empty(), || {
        "The subject of a CA certificate must not be empty.".to_owned()
    })
}

fn name_constraints_only_in_ca(candidate: &Candidate<'_>) -> Vec<String> {
    let constrained = candidate.tbs.known.name_constraints.is_some();
    require(
        !constrained || candidate.tbs.is_certificate_authority(),
        || "Only a CA certificate may have name constraints.".to_owned(),
    )
}

fn policy_limits_only_in_ca(candidate: &Candidate<'_>) -> Vec<String> {
    let known = &candidate.tbs.known;
    let limited = known.policy_mappings.is_some()
        || known.policy_constraints.is_some()
        || known.inhibit_any_policy.is_some();
    require(!limited || candidate.tbs.is_certificate_authority(), || {
        "Only a CA certificate may have policy mappings, policy constraints or inhibitAnyPolicy."
            .to_owned()
    })
}

/// The bits of key usage, none when the extension is absent.
fn usage(candidate: &Candidate<'_>) -> KeyUsage {
    candidate.tbs.known.key_usage.unwrap_or_default()
}
