//! From a judged plan to a signed certificate: [`prepare`], then [`issue`].
//!
//! [`prepare`] adds issuer, authority key identifier and serial number to the plan, lints what
//! would be signed and refuses it on any error. It corrects nothing: what a plan says wrongly is
//! an error, never another certificate than was judged. [`issue`] takes what was prepared by
//! value, and nothing else can be signed. Whether the plan may be signed at all is decided
//! before, against the issuer's limits.

mod plan_check;
pub(crate) mod to_be_signed;

use std::fmt;

use chrono::{DateTime, Utc};
use clm_domain::certificate_plan::CertificatePlan;
use clm_domain::error::Violation;
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::limits::CERTIFICATE_DER_BYTES_MAX;

use crate::asn1::encode_bit_string;
use crate::der_writer::DerWriter;
use crate::extension::{self, ExtensionError};
use crate::key::{
    KeyError, PrivateKey, PublicKey, sha256, signature_algorithm_identifier, subject_key_identifier,
};
use crate::lint::{self, Finding, LintContext, Severity};
use crate::serial::SerialNumber;
use to_be_signed::{ToBeSigned, encode_validity};

/// Room for a signature and the two headers around it, in bytes: RSA-4096 needs 512.
const SIGNATURE_BYTES_MAX: usize = 1_024;

/// What the issuing CA adds to a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerIdentity {
    /// DER of its subject, byte for byte as in its own certificate.
    pub subject_der: Vec<u8>,
    /// Its subject key identifier, as in its own certificate.
    pub subject_key_identifier: Vec<u8>,
    /// What it signs with.
    pub signature_algorithm: SignatureAlgorithm,
    /// End of its own validity.
    pub not_after: DateTime<Utc>,
}

impl IssuerIdentity {
    /// The issuer of a certificate that the planned key itself signs.
    ///
    /// # Errors
    /// [`PrepareError::PublicKey`] when the plan's public key cannot be read.
    pub fn self_signed(
        plan: &CertificatePlan,
        signature_algorithm: SignatureAlgorithm,
    ) -> Result<Self, PrepareError> {
        Ok(Self {
            subject_der: plan.subject_der.clone(),
            subject_key_identifier: key_identifier(plan)?.to_vec(),
            signature_algorithm,
            not_after: plan.not_after,
        })
    }
}

/// Why a plan became no certificate. Nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The subject is no DER `Name`.
    #[error("the subject is no distinguished name: it {0}")]
    Subject(String),
    /// The issuer's own name or key identifier cannot stand in a certificate.
    #[error("the issuer is unusable: {0}")]
    Issuer(&'static str),
    /// The public key is malformed or weak.
    #[error("the public key is refused: {0}")]
    PublicKey(String),
    /// The public key is not of the planned algorithm.
    #[error("the plan says {planned}, but the public key is {found}")]
    KeyAlgorithm {
        /// What the plan says.
        planned: KeyAlgorithm,
        /// What the key is.
        found: KeyAlgorithm,
    },
    /// A self-signed certificate cannot be signed by its own key in this way.
    #[error("a {key_algorithm} key cannot make {signature_algorithm} signatures")]
    SelfSignatureAlgorithm {
        /// The planned key.
        key_algorithm: KeyAlgorithm,
        /// The wished signature.
        signature_algorithm: SignatureAlgorithm,
    },
    /// A time has a fraction of a second, which no certificate can say (RFC 5280 §4.1.2.5).
    #[error("{field} must be a whole second")]
    FractionalSecond {
        /// `not_before` or `not_after`.
        field: &'static str,
    },
    /// A time is outside the years that a certificate can say (RFC 5280 §4.1.2.5).
    #[error("{field} must lie in the years 1950 to 9999, not in {year}")]
    Year {
        /// `not_before` or `not_after`.
        field: &'static str,
        /// The year.
        year: i32,
    },
    /// The certificate would outlive its issuer.
    #[error(
        "not_after {not_after} is later than the end {issuer_not_after} of the issuer's own certificate"
    )]
    OutlivesIssuer {
        /// What the plan says.
        not_after: DateTime<Utc>,
        /// The end of the issuer.
        issuer_not_after: DateTime<Utc>,
    },
    /// A root must be issued by itself, and nothing else may be.
    #[error("{0}")]
    SelfSigned(&'static str),
    /// Certificate type, basic constraints and key usage contradict each other.
    #[error("{0}")]
    CertificateAuthority(&'static str),
    /// A field has no encoding.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
    /// The certificate would be larger than the platform reads.
    #[error("the certificate would have more than {CERTIFICATE_DER_BYTES_MAX} bytes")]
    TooLarge,
    /// Lints found errors; warnings are listed too.
    #[error("the certificate would violate a standard: {}", first_message(.0))]
    Lint(Vec<Finding>),
}

impl PrepareError {
    /// The field of the plan that is at fault, as a path.
    pub fn field(&self) -> &str {
        match self {
            Self::Subject(_) => "subject",
            Self::Issuer(_) => "issuer",
            Self::PublicKey(_) => "subject_public_key_info",
            Self::KeyAlgorithm { .. } => "key_algorithm",
            Self::SelfSignatureAlgorithm { .. } => "signature_algorithm",
            Self::FractionalSecond { field } | Self::Year { field, .. } => field,
            Self::OutlivesIssuer { .. } => "not_after",
            Self::SelfSigned(_) => "certificate_type",
            Self::CertificateAuthority(_) => "basic_constraints",
            Self::Extension(error) => &error.field,
            Self::TooLarge | Self::Lint(_) => "certificate",
        }
    }

    /// A stable code for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Subject(_) => "subject_invalid",
            Self::Issuer(_) => "issuer_unusable",
            Self::PublicKey(_) => "public_key_refused",
            Self::KeyAlgorithm { .. } => "key_algorithm_mismatch",
            Self::SelfSignatureAlgorithm { .. } => "signature_algorithm_mismatch",
            Self::FractionalSecond { .. } | Self::Year { .. } => "validity_invalid",
            Self::OutlivesIssuer { .. } => "validity_outlives_issuer",
            Self::SelfSigned(_) => "self_signed_mismatch",
            Self::CertificateAuthority(_) => "certificate_authority_mismatch",
            Self::Extension(_) => "extension_invalid",
            Self::TooLarge => "certificate_too_large",
            Self::Lint(_) => "lint_failed",
        }
    }

    /// What is wrong, field by field: one entry for each lint error, else one.
    pub fn violations(&self) -> Vec<Violation> {
        let violation = |message: String| Violation {
            field: self.field().to_owned(),
            message,
        };
        match self {
            Self::Lint(findings) => findings
                .iter()
                .filter(|finding| finding.severity == Severity::Error)
                .map(|finding| violation(finding.to_string()))
                .collect(),
            _ => vec![violation(self.to_string())],
        }
    }
}

/// A linted to-be-signed certificate, which only [`prepare`] makes and [`issue`] consumes.
pub struct PreparedCertificate {
    tbs_der: Vec<u8>,
    tbs_sha256: [u8; 32],
    serial: SerialNumber,
    signature_algorithm: SignatureAlgorithm,
    warnings: Vec<Finding>,
    /// The planned key when it is also the one that signs.
    self_signed_key: Option<PublicKey>,
}

impl PreparedCertificate {
    /// DER of the `TBSCertificate` that will be signed.
    pub fn tbs_der(&self) -> &[u8] {
        &self.tbs_der
    }

    /// SHA-256 of [`Self::tbs_der`], to be recorded before signing.
    pub const fn tbs_sha256(&self) -> [u8; 32] {
        self.tbs_sha256
    }

    /// The serial number inside.
    pub const fn serial(&self) -> &SerialNumber {
        &self.serial
    }

    /// What lints found short of an error.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }
}

impl fmt::Debug for PreparedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreparedCertificate({})", self.serial)
    }
}

/// Who makes signatures: a key in memory, a token or a service.
pub trait Signer {
    /// The algorithm of the signing key.
    fn algorithm(&self) -> KeyAlgorithm;

    /// The signature over `tbs`, as it stands in a certificate.
    ///
    /// # Errors
    /// When the key cannot make it.
    fn sign(&self, algorithm: SignatureAlgorithm, tbs: &[u8]) -> Result<Vec<u8>, KeyError>;
}

impl Signer for PrivateKey {
    fn algorithm(&self) -> KeyAlgorithm {
        Self::algorithm(self)
    }

    fn sign(&self, algorithm: SignatureAlgorithm, tbs: &[u8]) -> Result<Vec<u8>, KeyError> {
        Self::sign(self, algorithm, tbs)
    }
}

/// Why a prepared certificate was not signed.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The signer's key cannot make the signature that the certificate announces.
    #[error("the certificate announces {announced}, which a {signer} key cannot make")]
    Algorithm {
        /// What the certificate says.
        announced: SignatureAlgorithm,
        /// The algorithm of the signer's key.
        signer: KeyAlgorithm,
    },
    /// The signer failed.
    #[error("the signer failed: {0}")]
    Signer(#[from] KeyError),
    /// A self-signed certificate was signed by another key than its own.
    #[error("the self-signed certificate was signed by another key than its own")]
    ForeignSelfSignature,
    /// The signer returned nothing, or more than any signature has.
    #[error("the signer returned {0} bytes, which is no signature")]
    SignatureLength(usize),
}

/// A signed certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// DER of the `Certificate`.
    pub der: Vec<u8>,
    /// Its serial number.
    pub serial: SerialNumber,
    /// SHA-256 of `der`.
    pub fingerprint_sha256: [u8; 32],
    /// SHA-256 of the `TBSCertificate` inside.
    pub tbs_sha256: [u8; 32],
}

/// Builds and lints the to-be-signed certificate of `plan` (RFC 5280 §4.1).
///
/// # Errors
/// [`PrepareError`] when the plan contradicts itself, the issuer or a standard.
pub fn prepare(
    plan: &CertificatePlan,
    issuer: &IssuerIdentity,
    serial: SerialNumber,
) -> Result<PreparedCertificate, PrepareError> {
    let key_identifier = key_identifier(plan)?;
    let public_key = plan_check::check(plan, issuer, &key_identifier)?;
    let extensions = extension::encode_all(plan, &key_identifier, &issuer.subject_key_identifier)?;
    let signature_algorithm = signature_algorithm_identifier(issuer.signature_algorithm);
    let tbs_der = ToBeSigned {
        serial: serial.as_bytes(),
        signature_algorithm,
        issuer: &issuer.subject_der,
        validity: &encode_validity(plan.not_before, plan.not_after),
        subject: &plan.subject_der,
        subject_public_key_info: &plan.subject_public_key_info,
        extensions: &extensions,
    }
    .encode();
    if tbs_der.len() + SIGNATURE_BYTES_MAX > CERTIFICATE_DER_BYTES_MAX {
        return Err(PrepareError::TooLarge);
    }
    let context = LintContext {
        issuer_subject_key_identifier: Some(&issuer.subject_key_identifier),
        outer_signature_algorithm: Some(signature_algorithm),
    };
    let warnings = refuse_errors(lint::lint_tbs(&tbs_der, &context))?;
    Ok(PreparedCertificate {
        tbs_sha256: sha256(&tbs_der),
        tbs_der,
        serial,
        signature_algorithm: issuer.signature_algorithm,
        warnings,
        self_signed_key: plan_check::is_self_signed(plan, issuer, &key_identifier)
            .then_some(public_key),
    })
}

/// Signs what was prepared, once: the value is gone afterwards.
///
/// # Errors
/// [`IssueError`] when the signer's key does not fit or the signer fails.
pub fn issue(
    prepared: PreparedCertificate,
    signer: &dyn Signer,
) -> Result<IssuedCertificate, IssueError> {
    let announced = prepared.signature_algorithm;
    if !announced.fits(signer.algorithm()) {
        return Err(IssueError::Algorithm {
            announced,
            signer: signer.algorithm(),
        });
    }
    let signature = signer.sign(announced, &prepared.tbs_der)?;
    if signature.is_empty() || signature.len() > SIGNATURE_BYTES_MAX {
        return Err(IssueError::SignatureLength(signature.len()));
    }
    if let Some(own_key) = &prepared.self_signed_key {
        own_key
            .verify(announced, &prepared.tbs_der, &signature)
            .map_err(|_| IssueError::ForeignSelfSignature)?;
    }
    let der = assemble(&prepared.tbs_der, announced, &signature);
    Ok(IssuedCertificate {
        fingerprint_sha256: sha256(&der),
        der,
        serial: prepared.serial,
        tbs_sha256: prepared.tbs_sha256,
    })
}

/// `Certificate` (RFC 5280 §4.1): what was signed, how, and the signature.
fn assemble(tbs_der: &[u8], algorithm: SignatureAlgorithm, signature: &[u8]) -> Vec<u8> {
    let mut writer = DerWriter::with_capacity(tbs_der.len() + SIGNATURE_BYTES_MAX);
    writer.sequence(|writer| {
        writer.raw(tbs_der);
        writer.raw(signature_algorithm_identifier(algorithm));
        writer.raw(&encode_bit_string(signature));
    });
    writer.finish()
}

fn key_identifier(plan: &CertificatePlan) -> Result<[u8; 20], PrepareError> {
    subject_key_identifier(&plan.subject_public_key_info)
        .map_err(|error| PrepareError::PublicKey(error.to_string()))
}

/// The findings when none is an error.
fn refuse_errors(findings: Vec<Finding>) -> Result<Vec<Finding>, PrepareError> {
    let is_error = |finding: &Finding| finding.severity == Severity::Error;
    if findings.iter().any(is_error) {
        return Err(PrepareError::Lint(findings));
    }
    Ok(findings)
}

fn first_message(findings: &[Finding]) -> String {
    findings
        .iter()
        .find(|finding| finding.severity == Severity::Error)
        .map_or_else(String::new, ToString::to_string)
}

#[cfg(test)]
mod tests;
