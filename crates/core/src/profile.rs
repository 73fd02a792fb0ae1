//! The built-in certificate profiles: from wishes to a plan.
//!
//! What a CSR asks for are wishes. A profile names what passes: the subject, names that the
//! issuer's limits permit, and the key. Everything else in the plan is the profile's own. Wishes
//! that would make a CA are refused with the reason, never silently dropped.

use std::net::IpAddr;

use chrono::{DateTime, Datelike, Duration, Timelike, Utc};
use clm_domain::certificate_plan::{
    BasicConstraints, CertificatePlan, KeyUsage, extended_key_usage,
};
use clm_domain::error::{ErrorKind, Fault, Violation};
use clm_domain::general_name::GeneralName;
use clm_domain::issuer_limits::{IssuerLimits, judge};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::limits::{SUBJECT_ALTERNATIVE_NAMES_MAX, SUBJECT_DER_BYTES_MAX};
use clm_domain::oid::Oid;
use clm_domain::states::CertificateType;
use clm_pki::csr::RequestedExtensions;
use clm_pki::{general_name, name};

use crate::error::Result;

/// Validity when the requester names none, in seconds: 90 days.
pub const VALIDITY_SECONDS_DEFAULT: u64 = 90 * 24 * 60 * 60;
/// Certificates begin so long ago, in seconds, for clocks that run behind.
const CLOCK_SKEW_SECONDS: i64 = 60;
/// The last year that a certificate can name (RFC 5280 §4.1.2.5.2).
const LAST_YEAR: i32 = 9999;

/// What a requester wishes for.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    pub(crate) certificate_type: CertificateType,
    pub(crate) subject_der: Vec<u8>,
    pub(crate) subject_public_key_info: Vec<u8>,
    pub(crate) key_algorithm: KeyAlgorithm,
    pub(crate) names: Vec<GeneralName>,
    pub(crate) validity_seconds: u64,
}

/// Refuses wishes of a CSR that no end-entity profile may pass.
pub(crate) fn check_requested(requested: &RequestedExtensions) -> Result<()> {
    let mut violations = Vec::new();
    let mut violate = |field: &str, message: &str| {
        violations.push(Violation {
            field: field.to_owned(),
            message: message.to_owned(),
        });
    };
    if requested
        .basic_constraints
        .is_some_and(|constraints| constraints.certificate_authority)
    {
        violate(
            "csr.basic_constraints",
            "The CSR asks for a CA certificate (CA:TRUE). Ask for it without, or create a \
             certificate authority instead.",
        );
    }
    if requested
        .key_usage
        .is_some_and(|usage| usage.key_cert_sign || usage.crl_sign)
    {
        violate(
            "csr.key_usage",
            "The CSR asks for keyCertSign or cRLSign, which only certificate authorities have.",
        );
    }
    refuse_if_any(violations)
}

/// Plans the certificate that the profile makes of the wishes, and judges it.
///
/// # Errors
/// `PolicyViolation` or `Invalid`, naming every field that is beyond the rules.
pub(crate) fn plan(
    wishes: Wishes,
    limits: &IssuerLimits,
    now: DateTime<Utc>,
) -> Result<CertificatePlan> {
    check_wishes(&wishes)?;
    let not_before = start(now);
    let not_after = end_of(now, wishes.validity_seconds)?;

    let names = names_of(&wishes);
    let mut plan = CertificatePlan::end_entity(
        wishes.certificate_type,
        wishes.subject_der,
        wishes.subject_public_key_info,
        wishes.key_algorithm,
        (not_before, not_after),
    );
    plan.basic_constraints = Some(BasicConstraints {
        certificate_authority: false,
        path_length_max: None,
    });
    plan.key_usage = key_usage(wishes.certificate_type, wishes.key_algorithm);
    plan.extended_key_usage = extended_key_usages(wishes.certificate_type)?;
    plan.subject_alternative_names = names;
    let subject = name::DistinguishedName::from_der(&plan.subject_der)
        .map_err(|error| Fault::invalid("subject_invalid", "subject", error.to_string()))?;
    refuse_if_any(judge(&plan, limits, &subject.common_names()))?;
    Ok(plan)
}

/// When a certificate that is asked for now begins.
fn start(now: DateTime<Utc>) -> DateTime<Utc> {
    now.with_nanosecond(0).unwrap_or(now) - Duration::seconds(CLOCK_SKEW_SECONDS)
}

/// When a certificate that is asked for now ends.
///
/// # Errors
/// `Invalid`, naming `validity_seconds`, when no certificate can be valid for so long.
pub(crate) fn end_of(now: DateTime<Utc>, validity_seconds: u64) -> Result<DateTime<Utc>> {
    // RFC 5280 §4.1.2.5 counts both ends, hence the second less.
    i64::try_from(validity_seconds)
        .ok()
        .and_then(|seconds| Duration::try_seconds(seconds.saturating_sub(1)))
        .and_then(|validity| start(now).checked_add_signed(validity))
        .filter(|end| end.year() <= LAST_YEAR)
        .ok_or_else(|| {
            let message = "The validity is longer than any certificate can be.";
            Fault::invalid("validity_out_of_range", "validity_seconds", message).into()
        })
}

fn check_wishes(wishes: &Wishes) -> Result<()> {
    if matches!(
        wishes.certificate_type,
        CertificateType::Root | CertificateType::Intermediate
    ) {
        let message = "CA certificates are made with 'POST /api/v1/certificate-authorities'.";
        return Err(Fault::invalid("certificate_type_invalid", "certificate_type", message).into());
    }
    if wishes.subject_der.len() > SUBJECT_DER_BYTES_MAX {
        let message = format!("The subject is longer than {SUBJECT_DER_BYTES_MAX} bytes.");
        return Err(Fault::invalid("subject_too_long", "subject", message).into());
    }
    if wishes.names.len() > SUBJECT_ALTERNATIVE_NAMES_MAX {
        let message =
            format!("At most {SUBJECT_ALTERNATIVE_NAMES_MAX} names fit in one certificate.");
        let field = "subject_alternative_names";
        return Err(Fault::invalid("too_many_names", field, message).into());
    }
    if name::is_empty(&wishes.subject_der) && wishes.names.is_empty() {
        let message = "The request names nobody: give a subject or a subject alternative name.";
        return Err(Fault::invalid("subject_missing", "subject", message).into());
    }
    check_common_names(wishes)?;
    let mut violations = Vec::new();
    for (index, name) in wishes.names.iter().enumerate() {
        if let Err(message) = general_name::check(name) {
            let field = format!("subject_alternative_names[{index}]");
            violations.push(Violation { field, message });
        }
    }
    if violations.is_empty() {
        return Ok(());
    }
    let mut fault = Fault::new(
        ErrorKind::Invalid,
        "subject_alternative_names_invalid",
        "Some subject alternative names are not valid.",
    );
    fault.violations = violations;
    Err(fault.into())
}

/// A host in the common name of a server must be one that could stand among the alternative names,
/// because some clients still look there (RFC 9525 §1.2 forbids it): no `*.*.example`.
fn check_common_names(wishes: &Wishes) -> Result<()> {
    let is_server = matches!(
        wishes.certificate_type,
        CertificateType::Server | CertificateType::Leaf
    );
    let invalid = |message: String| Fault::invalid("subject_invalid", "subject", message);
    let subject = name::DistinguishedName::from_der(&wishes.subject_der)
        .map_err(|error| invalid(error.to_string()))?;
    for common_name in subject.common_names() {
        let host = GeneralName::Dns(common_name.to_ascii_lowercase());
        match general_name::check(&host) {
            Err(problem) if is_server && looks_like_host(common_name) => {
                let message = format!("The common name '{common_name}' {problem}.");
                return Err(invalid(message).into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a common name is written like the name of a host, with a wildcard perhaps.
fn looks_like_host(common_name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-.*".contains(&byte);
    common_name.contains(['.', '*'])
        && common_name.bytes().all(allowed)
        && common_name.parse::<IpAddr>().is_err()
}

/// The names of the certificate. A server certificate without names takes its common name as one,
/// where that is the name of a host: clients look nowhere else (RFC 9525 §2).
fn names_of(wishes: &Wishes) -> Vec<GeneralName> {
    if !wishes.names.is_empty() || wishes.certificate_type != CertificateType::Server {
        return wishes.names.clone();
    }
    let Ok(subject) = name::DistinguishedName::from_der(&wishes.subject_der) else {
        return Vec::new();
    };
    let host = subject
        .common_names()
        .into_iter()
        .find(|common_name| common_name.contains('.'));
    host.map(|host| GeneralName::Dns(host.to_ascii_lowercase()))
        .filter(|host| general_name::check(host).is_ok())
        .into_iter()
        .collect()
}

/// RFC 5280 §4.2.1.3. Keys of RSA may also take part in key transport.
fn key_usage(certificate_type: CertificateType, algorithm: KeyAlgorithm) -> KeyUsage {
    let transports = algorithm.is_rsa()
        && matches!(
            certificate_type,
            CertificateType::Server | CertificateType::Leaf | CertificateType::Email
        );
    KeyUsage {
        digital_signature: true,
        key_encipherment: transports,
        ..KeyUsage::default()
    }
}

fn extended_key_usages(certificate_type: CertificateType) -> Result<Vec<Oid>> {
    let usages: &[&str] = match certificate_type {
        CertificateType::Server => &[extended_key_usage::SERVER_AUTH],
        CertificateType::Client => &[extended_key_usage::CLIENT_AUTH],
        CertificateType::CodeSigning => &[extended_key_usage::CODE_SIGNING],
        CertificateType::Email => &[extended_key_usage::EMAIL_PROTECTION],
        CertificateType::Leaf => &[
            extended_key_usage::SERVER_AUTH,
            extended_key_usage::CLIENT_AUTH,
        ],
        CertificateType::Root | CertificateType::Intermediate => &[],
    };
    usages
        .iter()
        .map(|usage| {
            usage
                .parse()
                .map_err(|error| crate::CoreError::internal(&error))
        })
        .collect()
}

fn refuse_if_any(violations: Vec<Violation>) -> Result<()> {
    if violations.is_empty() {
        return Ok(());
    }
    let first = violations
        .first()
        .map(|violation| violation.message.clone())
        .unwrap_or_default();
    let mut fault = Fault::new(ErrorKind::PolicyViolation, "policy_violation", first);
    fault.violations = violations;
    Err(fault.into())
}
