//! Lints of the subject and authority key identifiers.

use super::{Candidate, Lint, require};
use crate::key::subject_key_identifier;

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "e_rfc5280_ca_subject_key_identifier_present",
        citation: "RFC 5280 §4.2.1.2",
        check: ca_subject_present,
    },
    Lint {
        name: "w_rfc5280_subject_key_identifier_present",
        citation: "RFC 5280 §4.2.1.2",
        check: subject_present,
    },
    Lint {
        name: "e_rfc7093_subject_key_identifier_of_key",
        citation: "RFC 5280 §4.2.1.2, RFC 7093 §2 method 1",
        check: subject_of_key,
    },
    Lint {
        name: "e_rfc5280_authority_key_identifier_present",
        citation: "RFC 5280 §4.2.1.1",
        check: authority_present,
    },
    Lint {
        name: "e_rfc5280_authority_key_identifier_of_issuer",
        citation: "RFC 5280 §4.2.1.1",
        check: authority_of_issuer,
    },
    Lint {
        name: "e_rfc5280_authority_certificate_whole",
        citation: "RFC 5280 §4.2.1.1",
        check: authority_certificate_whole,
    },
];

fn ca_subject_present(candidate: &Candidate<'_>) -> Vec<String> {
    let present = candidate.tbs.known.subject_key_identifier.is_some();
    require(present || !candidate.tbs.is_certificate_authority(), || {
        "A CA certificate must have a subject key identifier.".to_owned()
    })
}

fn subject_present(candidate: &Candidate<'_>) -> Vec<String> {
    let present = candidate.tbs.known.subject_key_identifier.is_some();
    require(present || candidate.tbs.is_certificate_authority(), || {
        "The certificate should have a subject key identifier.".to_owned()
    })
}

fn subject_of_key(candidate: &Candidate<'_>) -> Vec<String> {
    let Some(found) = candidate.tbs.known.subject_key_identifier else {
        return Vec::new();
    };
    let expected = subject_key_identifier(candidate.tbs.subject_public_key_info);
    require(expected.is_ok_and(|expected| expected == found), || {
        "The subject key identifier is not the truncated SHA-256 of the public key.".to_owned()
    })
}

fn authority_present(candidate: &Candidate<'_>) -> Vec<String> {
    let authority = candidate.tbs.known.authority_key_identifier;
    let present = authority.is_some_and(|authority| authority.key_identifier.is_some());
    // RFC 5280 §4.2.1.1: only a self-signed certificate may leave it out.
    require(present || candidate.tbs.is_self_issued(), || {
        "The certificate must have the key identifier of its issuer.".to_owned()
    })
}

fn authority_of_issuer(candidate: &Candidate<'_>) -> Vec<String> {
    let authority = candidate.tbs.known.authority_key_identifier;
    let found = authority.and_then(|authority| authority.key_identifier);
    let expected = candidate.context.issuer_subject_key_identifier;
    let differs = found
        .zip(expected)
        .is_some_and(|(found, expected)| found != expected);
    require(!differs, || {
        "The authority key identifier is not the subject key identifier of the issuer.".to_owned()
    })
}

fn authority_certificate_whole(candidate: &Candidate<'_>) -> Vec<String> {
    let authority = candidate.tbs.known.authority_key_identifier;
    let half = authority.is_some_and(|authority| authority.has_issuer != authority.has_serial);
    require(!half, || {
        "The authority key identifier must name issuer and serial number both or not at all."
            .to_owned()
    })
}
