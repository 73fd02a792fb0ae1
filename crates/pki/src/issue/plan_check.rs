//! What a plan can say wrongly and its certificate does not show: contradictions with the issuer,
//! the key or the certificate type, and values that have no encoding.
//!
//! What the certificate does show is judged by [`crate::lint`] on the finished bytes, not here.

use chrono::{DateTime, Datelike, Utc};
use clm_domain::certificate_plan::{CertificatePlan, NameSubtree};
use clm_domain::states::CertificateType;

use super::{IssuerIdentity, PrepareError};
use crate::asn1::check_single;
use crate::extension::ExtensionError;
use crate::key::PublicKey;
use crate::tbs_view::NameView;

/// Years that `UTCTime` and `GeneralizedTime` can say in a certificate (RFC 5280 §4.1.2.5).
const YEARS: std::ops::RangeInclusive<i32> = 1950..=9999;

/// The planned public key, when the plan can be encoded and contradicts neither itself nor
/// `issuer`.
pub(super) fn check(
    plan: &CertificatePlan,
    issuer: &IssuerIdentity,
    key_identifier: &[u8],
) -> Result<PublicKey, PrepareError> {
    check_name(&plan.subject_der).map_err(PrepareError::Subject)?;
    check_issuer(issuer)?;
    check_time("not_before", plan.not_before)?;
    check_time("not_after", plan.not_after)?;
    if plan.not_after > issuer.not_after {
        return Err(PrepareError::OutlivesIssuer {
            not_after: plan.not_after,
            issuer_not_after: issuer.not_after,
        });
    }
    check_certificate_type(plan)?;
    check_self_signed(plan, issuer, key_identifier)?;
    check_constraints(plan)?;
    check_key(plan)
}

/// Whether the planned key is also the one that signs.
pub(super) fn is_self_signed(
    plan: &CertificatePlan,
    issuer: &IssuerIdentity,
    key_identifier: &[u8],
) -> bool {
    plan.subject_der == issuer.subject_der && issuer.subject_key_identifier == key_identifier
}

fn check_name(der: &[u8]) -> Result<(), String> {
    check_single(der)
        .and_then(|()| NameView::parse(der))
        .map(|_| ())
        .map_err(|error| error.to_string())
}

fn check_issuer(issuer: &IssuerIdentity) -> Result<(), PrepareError> {
    if check_name(&issuer.subject_der).is_err() {
        return Err(PrepareError::Issuer("its name is no distinguished name"));
    }
    if issuer.subject_key_identifier.is_empty() {
        return Err(PrepareError::Issuer("it has no subject key identifier"));
    }
    Ok(())
}

fn check_time(field: &'static str, time: DateTime<Utc>) -> Result<(), PrepareError> {
    if time.timestamp_subsec_nanos() != 0 {
        return Err(PrepareError::FractionalSecond { field });
    }
    let year = time.year();
    if YEARS.contains(&year) {
        Ok(())
    } else {
        Err(PrepareError::Year { field, year })
    }
}

/// The type is a word beside the certificate; the CA bit and keyCertSign must say the same.
fn check_certificate_type(plan: &CertificatePlan) -> Result<(), PrepareError> {
    let authority = plan
        .basic_constraints
        .is_some_and(|constraints| constraints.certificate_authority);
    let planned = matches!(
        plan.certificate_type,
        CertificateType::Root | CertificateType::Intermediate
    );
    let message = match (planned, authority, plan.key_usage.key_cert_sign) {
        (true, true, true) | (false, false, false) => return Ok(()),
        (true, false, _) => "a CA needs basic constraints that say so (RFC 5280 §4.2.1.9)",
        (true, true, false) => "a CA needs key usage keyCertSign (RFC 5280 §4.2.1.3)",
        (false, true, _) => "only types root and intermediate are CAs; this plan says another type",
        (false, false, true) => "only a CA may have key usage keyCertSign (RFC 5280 §4.2.1.9)",
    };
    Err(PrepareError::CertificateAuthority(message))
}

fn check_self_signed(
    plan: &CertificatePlan,
    issuer: &IssuerIdentity,
    key_identifier: &[u8],
) -> Result<(), PrepareError> {
    let self_signed = is_self_signed(plan, issuer, key_identifier);
    let root = plan.certificate_type == CertificateType::Root;
    let algorithm = issuer.signature_algorithm;
    if self_signed && root && !algorithm.fits(plan.key_algorithm) {
        return Err(PrepareError::SelfSignatureAlgorithm {
            key_algorithm: plan.key_algorithm,
            signature_algorithm: algorithm,
        });
    }
    let message = match (root, self_signed) {
        (true, false) => "a root is issued by its own name and key",
        (false, true) => "only a root is issued by its own name and key",
        _ if issuer.subject_key_identifier == key_identifier && !root => {
            "the planned key is the issuer's own: a CA key certifies only itself as a root"
        }
        // RFC 5280 §3.2: a self-issued certificate joins two keys of one CA.
        _ if plan.subject_der == issuer.subject_der && !plan.is_certificate_authority() => {
            "only a CA may carry the name of its issuer"
        }
        _ => return Ok(()),
    };
    Err(PrepareError::SelfSigned(message))
}

/// Directory names inside name constraints are copied verbatim, so they must be whole.
fn check_constraints(plan: &CertificatePlan) -> Result<(), PrepareError> {
    let Some(constraints) = &plan.name_constraints else {
        return Ok(());
    };
    for (form, subtrees) in [
        ("permitted", &constraints.permitted),
        ("excluded", &constraints.excluded),
    ] {
        for (index, subtree) in subtrees.iter().enumerate() {
            let NameSubtree::DirectoryName(der) = subtree else {
                continue;
            };
            check_name(der).map_err(|message| ExtensionError {
                field: format!("name_constraints.{form}[{index}]"),
                message: format!("the directory name {message}"),
            })?;
        }
    }
    Ok(())
}

fn check_key(plan: &CertificatePlan) -> Result<PublicKey, PrepareError> {
    let key = PublicKey::from_spki_der(&plan.subject_public_key_info)
        .map_err(|error| PrepareError::PublicKey(error.to_string()))?;
    if key.algorithm() != plan.key_algorithm {
        return Err(PrepareError::KeyAlgorithm {
            planned: plan.key_algorithm,
            found: key.algorithm(),
        });
    }
    Ok(key)
}
