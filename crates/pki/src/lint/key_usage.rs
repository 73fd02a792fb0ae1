//! Lints of key usage and extended key usage, of both together, and of both with the key.

use clm_domain::certificate_plan::{KeyUsage, extended_key_usage as usages};
use const_oid::db::rfc5280::ID_CE_EXT_KEY_USAGE;

use super::public_key::{self, KeyKind};
use super::{Candidate, Lint, require};
use crate::asn1::decode_oid;

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "e_rfc5280_key_usage_not_zero",
        citation: "RFC 5280 §4.2.1.3",
        check: not_zero,
    },
    Lint {
        name: "w_rfc5280_key_agreement_direction",
        citation: "RFC 5280 §4.2.1.3",
        check: key_agreement_direction,
    },
    Lint {
        name: "e_rfc8813_key_usage_fits_key",
        citation: "RFC 3279 §2.3.1, RFC 8813 §3, RFC 9295 §3",
        check: fits_key,
    },
    Lint {
        name: "e_rfc5280_extended_key_usage_not_empty",
        citation: "RFC 5280 §4.2.1.12",
        check: extended_not_empty,
    },
    Lint {
        name: "e_rfc5280_extended_key_usage_once",
        citation: "RFC 5280 §4.2.1.12",
        check: extended_once,
    },
    Lint {
        name: "e_cabf_extended_key_usage_not_any",
        citation: "CA/Browser Forum Baseline Requirements §7.1.2.7.10",
        check: extended_not_any,
    },
    Lint {
        name: "e_rfc5280_extended_key_usage_fits_key_usage",
        citation: "RFC 5280 §4.2.1.12",
        check: extended_fits,
    },
    Lint {
        name: "e_rfc3161_time_stamping_alone_and_critical",
        citation: "RFC 3161 §2.3",
        check: time_stamping,
    },
    Lint {
        name: "e_rfc6960_no_check_only_for_ocsp_signing",
        citation: "RFC 6960 §4.2.2.2.1",
        check: no_check,
    },
];

fn not_zero(candidate: &Candidate<'_>) -> Vec<String> {
    let usage = candidate.tbs.known.key_usage;
    require(
        usage.is_none_or(|usage| usage != KeyUsage::default()),
        || "Key usage must set at least one bit.".to_owned(),
    )
}

fn key_agreement_direction(candidate: &Candidate<'_>) -> Vec<String> {
    let Some(KeyUsage {
        key_agreement,
        encipher_only,
        decipher_only,
        ..
    }) = usage(candidate)
    else {
        return Vec::new();
    };
    require(key_agreement || !(encipher_only || decipher_only), || {
        "encipherOnly and decipherOnly mean nothing without keyAgreement.".to_owned()
    })
}

fn fits_key(candidate: &Candidate<'_>) -> Vec<String> {
    let (Some(usage), Some(kind)) = (usage(candidate), public_key::kind(candidate)) else {
        return Vec::new();
    };
    let agrees = usage.key_agreement || usage.encipher_only || usage.decipher_only;
    let enciphers = usage.key_encipherment || usage.data_encipherment;
    let message = match kind {
        KeyKind::Rsa if agrees => "An RSA key cannot agree on keys.",
        KeyKind::EllipticCurve(_) if enciphers => "An elliptic-curve key cannot encipher.",
        KeyKind::Ed25519 if enciphers || agrees => "An Ed25519 key can only sign.",
        _ => return Vec::new(),
    };
    vec![message.to_owned()]
}

fn extended_not_empty(candidate: &Candidate<'_>) -> Vec<String> {
    let purposes = candidate.tbs.known.extended_key_usage.as_ref();
    require(purposes.is_none_or(|purposes| !purposes.is_empty()), || {
        "Extended key usage must name a purpose.".to_owned()
    })
}

fn extended_once(candidate: &Candidate<'_>) -> Vec<String> {
    let purposes = purposes(candidate);
    let twice = purposes
        .iter()
        .enumerate()
        .any(|(index, purpose)| purposes.iter().take(index).any(|other| other == purpose));
    require(!twice, || {
        "Extended key usage names a purpose twice.".to_owned()
    })
}

fn extended_not_any(candidate: &Candidate<'_>) -> Vec<String> {
    let any = purposes(candidate)
        .iter()
        .any(|purpose| purpose == usages::ANY);
    require(!any, || {
        "Extended key usage must name purposes, not anyExtendedKeyUsage.".to_owned()
    })
}

/// In a CA certificate extended key usage limits those below, so its own key usage is no measure.
fn extended_fits(candidate: &Candidate<'_>) -> Vec<String> {
    let Some(usage) = usage(candidate).filter(|_| !candidate.tbs.is_certificate_authority()) else {
        return Vec::new();
    };
    purposes(candidate)
        .into_iter()
        .filter(|purpose| !purpose_fits(purpose, usage))
        .map(|purpose| format!("Extended key usage {purpose} has no key usage that goes with it."))
        .collect()
}

/// RFC 5280 §4.2.1.12: "key usage bits that may be consistent", purpose by purpose.
fn purpose_fits(purpose: &str, usage: KeyUsage) -> bool {
    let signs = usage.digital_signature;
    let commits = usage.content_commitment;
    match purpose {
        usages::SERVER_AUTH => signs || usage.key_encipherment || usage.key_agreement,
        usages::CLIENT_AUTH => signs || usage.key_agreement,
        usages::CODE_SIGNING => signs,
        usages::EMAIL_PROTECTION => {
            signs || commits || usage.key_encipherment || usage.key_agreement
        }
        usages::TIME_STAMPING | usages::OCSP_SIGNING => signs || commits,
        _ => true,
    }
}

fn time_stamping(candidate: &Candidate<'_>) -> Vec<String> {
    let purposes = purposes(candidate);
    let stamps = purposes
        .iter()
        .any(|purpose| purpose == usages::TIME_STAMPING);
    if !stamps || candidate.tbs.is_certificate_authority() {
        return Vec::new();
    }
    let extension = candidate.tbs.extension(ID_CE_EXT_KEY_USAGE);
    let critical = extension.is_some_and(|extension| extension.critical);
    require(critical && purposes.len() == 1, || {
        "Time stamping must be the only purpose, and extended key usage critical.".to_owned()
    })
}

fn no_check(candidate: &Candidate<'_>) -> Vec<String> {
    let no_check = candidate.tbs.known.ocsp_no_check.is_some();
    let purposes = purposes(candidate);
    let answers = purposes
        .iter()
        .any(|purpose| purpose == usages::OCSP_SIGNING);
    require(!no_check || answers, || {
        "OCSP nocheck is only for certificates that sign OCSP responses.".to_owned()
    })
}

fn usage(candidate: &Candidate<'_>) -> Option<KeyUsage> {
    candidate.tbs.known.key_usage
}

/// The purposes in dotted form.
fn purposes(candidate: &Candidate<'_>) -> Vec<String> {
    let purposes = candidate.tbs.known.extended_key_usage.iter().flatten();
    purposes
        .map(|oid| decode_oid(oid).map_or_else(|_| hex::encode(oid), |oid| oid.to_string()))
        .collect()
}
