//! Lints of the critical flag, extension by extension.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280 as oids;
use const_oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;

use super::{Candidate, Lint};
use crate::extension::ID_PE_TLS_FEATURE;

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "e_rfc5280_extension_must_be_critical",
        citation: "RFC 5280 §4.2.1.9, §4.2.1.10, §4.2.1.11 and §4.2.1.14",
        check: must_be_critical,
    },
    Lint {
        name: "e_rfc5280_extension_must_not_be_critical",
        citation: "RFC 5280 §4.2.1.1, §4.2.1.2, §4.2.1.15, §4.2.2.1 and §4.2.2.2",
        check: must_not_be_critical,
    },
    Lint {
        name: "w_rfc5280_extension_should_be_critical",
        citation: "RFC 5280 §4.2.1.3 and §4.2.1.5",
        check: should_be_critical,
    },
    Lint {
        name: "w_rfc5280_extension_should_not_be_critical",
        citation: "RFC 5280 §4.2.1.6, §4.2.1.7 and §4.2.1.13, RFC 7633 §4, RFC 6960 §4.2.2.2.1",
        check: should_not_be_critical,
    },
];

type Named = (ObjectIdentifier, &'static str);

fn must_be_critical(candidate: &Candidate<'_>) -> Vec<String> {
    const ALWAYS: [Named; 3] = [
        (oids::ID_CE_NAME_CONSTRAINTS, "nameConstraints"),
        (oids::ID_CE_POLICY_CONSTRAINTS, "policyConstraints"),
        (oids::ID_CE_INHIBIT_ANY_POLICY, "inhibitAnyPolicy"),
    ];
    const IN_CA: [Named; 1] = [(oids::ID_CE_BASIC_CONSTRAINTS, "basicConstraints")];
    let mut messages = report(candidate, &ALWAYS, false, "must be critical");
    if candidate.tbs.is_certificate_authority() {
        messages.extend(report(candidate, &IN_CA, false, "of a CA must be critical"));
    }
    messages
}

fn must_not_be_critical(candidate: &Candidate<'_>) -> Vec<String> {
    const NEVER: [Named; 5] = [
        (
            oids::ID_CE_AUTHORITY_KEY_IDENTIFIER,
            "authorityKeyIdentifier",
        ),
        (oids::ID_CE_SUBJECT_KEY_IDENTIFIER, "subjectKeyIdentifier"),
        (oids::ID_CE_FRESHEST_CRL, "freshestCRL"),
        (oids::ID_PE_AUTHORITY_INFO_ACCESS, "authorityInfoAccess"),
        (oids::ID_PE_SUBJECT_INFO_ACCESS, "subjectInfoAccess"),
    ];
    report(candidate, &NEVER, true, "must not be critical")
}

fn should_be_critical(candidate: &Candidate<'_>) -> Vec<String> {
    const ADVISED: [Named; 2] = [
        (oids::ID_CE_KEY_USAGE, "keyUsage"),
        (oids::ID_CE_POLICY_MAPPINGS, "policyMappings"),
    ];
    report(candidate, &ADVISED, false, "should be critical")
}

fn should_not_be_critical(candidate: &Candidate<'_>) -> Vec<String> {
    const ADVISED: [Named; 4] = [
        (oids::ID_CE_ISSUER_ALT_NAME, "issuerAltName"),
        (oids::ID_CE_CRL_DISTRIBUTION_POINTS, "cRLDistributionPoints"),
        (ID_PE_TLS_FEATURE, "TLS feature"),
        (ID_PKIX_OCSP_NOCHECK, "OCSP nocheck"),
    ];
    const BESIDE_SUBJECT: [Named; 1] = [(oids::ID_CE_SUBJECT_ALT_NAME, "subjectAltName")];
    let mut messages = report(candidate, &ADVISED, true, "should not be critical");
    if !candidate.tbs.subject.is_empty() {
        let rule = "beside a subject should not be critical";
        messages.extend(report(candidate, &BESIDE_SUBJECT, true, rule));
    }
    messages
}

/// A message for each extension of `named` that is there and whose flag is `wrong`.
fn report(candidate: &Candidate<'_>, named: &[Named], wrong: bool, rule: &str) -> Vec<String> {
    named
        .iter()
        .filter(|(oid, _)| {
            let extension = candidate.tbs.extension(*oid);
            extension.is_some_and(|extension| extension.critical == wrong)
        })
        .map(|(_, name)| format!("Extension {name} {rule}."))
        .collect()
}
