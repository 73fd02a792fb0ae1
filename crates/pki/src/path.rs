//! Whether a chain of certificates is what it claims to be (RFC 5280 §6.1).
//!
//! This is the platform's own check of the chains that it makes or takes in, without any trust
//! store: the caller says which root it trusts. Stricter than RFC 5280: the root's own validity,
//! path length and name constraints bind as well (RFC 5937), and names chain byte for byte
//! instead of by the comparison of §7.1. Left out: certificate policies (their extensions are
//! accepted, also critical ones, and not evaluated), extended key usage and revocation. A
//! critical extension that is not known is always an error. Start with [`verify_chain`].

mod name_constraints;

use chrono::{DateTime, Utc};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280 as oids;

use crate::asn1::encode_oid;
use crate::certificate::{Certificate, CertificateError};
use crate::key::{KeyError, PublicKey};
use name_constraints::ConstrainedNames;

/// Most intermediates in a chain.
pub const INTERMEDIATES_MAX: usize = 16;

/// `version` of X.509 version 3.
const VERSION_3: u32 = 2;

/// Extensions that may be critical.
const KNOWN: [ObjectIdentifier; 10] = [
    oids::ID_CE_BASIC_CONSTRAINTS,
    oids::ID_CE_KEY_USAGE,
    oids::ID_CE_EXT_KEY_USAGE,
    oids::ID_CE_SUBJECT_ALT_NAME,
    oids::ID_CE_ISSUER_ALT_NAME,
    oids::ID_CE_NAME_CONSTRAINTS,
    oids::ID_CE_CERTIFICATE_POLICIES,
    oids::ID_CE_POLICY_MAPPINGS,
    oids::ID_CE_POLICY_CONSTRAINTS,
    oids::ID_CE_INHIBIT_ANY_POLICY,
];

/// Where a chain fails, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("certificate {certificate} of the chain (0 is the leaf): {fault}")]
pub struct PathError {
    /// The place of the certificate: 0 is the leaf, the root is last.
    pub certificate: usize,
    /// What is wrong with it.
    pub fault: PathFault,
}

/// What is wrong with one certificate of a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// There are more than [`INTERMEDIATES_MAX`] intermediates.
    #[error("the chain has more than {INTERMEDIATES_MAX} intermediates")]
    TooManyIntermediates,
    /// The root's issuer is not its subject.
    #[error("the root is not issued by itself")]
    NotSelfIssued,
    /// The issuer's name is not the subject of the next certificate, byte for byte.
    #[error("its issuer is not the subject of the next certificate")]
    NameChaining,
    /// The authority key identifier is not the subject key identifier of the next certificate.
    #[error("its authority key identifier is not that of the next certificate's key")]
    KeyIdentifier,
    /// The issuer's public key cannot be used.
    #[error("the key of its issuer is refused: {0}")]
    IssuerKey(KeyError),
    /// The signature was not made by the next certificate's key.
    #[error("{0}")]
    Signature(CertificateError),
    /// The validity begins later.
    #[error("it is not valid before {0}")]
    NotYetValid(DateTime<Utc>),
    /// The validity ended earlier.
    #[error("it was valid until {0}")]
    Expired(DateTime<Utc>),
    /// It issues a certificate and is not of version 3.
    #[error("it issues certificates and is not of version 3")]
    Version,
    /// It issues a certificate and does not say that it is a CA.
    #[error("it issues certificates without being a CA")]
    NotCertificateAuthority,
    /// It issues a certificate and has key usage without keyCertSign.
    #[error("it issues certificates without key usage keyCertSign")]
    NoKeyCertSign,
    /// More CAs follow than one above allows.
    #[error("it is one CA more than a path length above it allows")]
    PathLength,
    /// An extension cannot be read.
    #[error("{0}")]
    Malformed(CertificateError),
    /// A critical extension is not known.
    #[error("it has the unknown critical extension {0}")]
    UnknownCriticalExtension(String),
    /// A name breaks a name constraint of a CA above.
    #[error("the name {name} {problem}")]
    NameConstraint {
        /// The name.
        name: String,
        /// Which constraint it breaks.
        problem: String,
    },
    /// The name constraints cannot be read.
    #[error("its name constraints are malformed: {0}")]
    MalformedNameConstraints(String),
}

/// Verifies that `root` issued the last of `intermediates`, each of those the one before it, and
/// the first `leaf`, all in force at `at`. `leaf` may itself be a CA certificate.
///
/// # Errors
/// [`PathError`] for the fault that is nearest to the root.
pub fn verify_chain(
    leaf: &Certificate,
    intermediates: &[Certificate],
    root: &Certificate,
    at: DateTime<Utc>,
) -> Result<(), PathError> {
    if intermediates.len() > INTERMEDIATES_MAX {
        return Err(PathError {
            certificate: INTERMEDIATES_MAX,
            fault: PathFault::TooManyIntermediates,
        });
    }
    let below = intermediates.iter().rev().chain([leaf]);
    let mut walk = Walk::from_root(root, at).map_err(|fault| PathError {
        certificate: intermediates.len() + 1,
        fault,
    })?;
    for (step, certificate) in below.enumerate() {
        let place = intermediates.len() - step;
        walk.step(certificate, place == 0)
            .map_err(|fault| PathError {
                certificate: place,
                fault,
            })?;
    }
    Ok(())
}

/// The state of RFC 5280 §6.1.2 on the way down.
struct Walk<'a> {
    at: DateTime<Utc>,
    /// The CA that issued the certificate that comes next.
    issuer: &'a Certificate,
    issuer_key: PublicKey,
    /// How many more CAs may follow that are not self-issued; `None` without limit.
    path_length: Option<u8>,
    names: ConstrainedNames,
}

impl<'a> Walk<'a> {
    fn from_root(root: &'a Certificate, at: DateTime<Utc>) -> Result<Self, PathFault> {
        if root.issuer_der() != root.subject_der() {
            return Err(PathFault::NotSelfIssued);
        }
        let mut walk = Self {
            at,
            issuer: root,
            issuer_key: root.public_key().map_err(PathFault::IssuerKey)?,
            path_length: None,
            names: ConstrainedNames::default(),
        };
        walk.check_basics(root)?;
        walk.descend(root)?;
        Ok(walk)
    }

    fn step(&mut self, certificate: &'a Certificate, last: bool) -> Result<(), PathFault> {
        self.check_basics(certificate)?;
        let self_issued = certificate.issuer_der() == certificate.subject_der();
        // RFC 5280 §6.1.3 (b), (c): a CA's own key rollover is not held to its constraints.
        if last || !self_issued {
            self.names.check(certificate)?;
        }
        if last {
            return Ok(());
        }
        // RFC 5280 §6.1.4 (l).
        if !self_issued && let Some(length) = self.path_length {
            self.path_length = Some(length.checked_sub(1).ok_or(PathFault::PathLength)?);
        }
        self.descend(certificate)
    }

    /// RFC 5280 §6.1.3 (a), and the last sentence of §6.1.4 (o) and §6.1.5 (f).
    fn check_basics(&self, certificate: &Certificate) -> Result<(), PathFault> {
        if certificate.issuer_der() != self.issuer.subject_der() {
            return Err(PathFault::NameChaining);
        }
        let expected = self.issuer.subject_key_identifier();
        let found = certificate.authority_key_identifier();
        if expected
            .zip(found)
            .is_some_and(|(expected, found)| expected != found)
        {
            return Err(PathFault::KeyIdentifier);
        }
        certificate
            .verify_signed_by(&self.issuer_key)
            .map_err(PathFault::Signature)?;
        if self.at < certificate.not_before() {
            return Err(PathFault::NotYetValid(certificate.not_before()));
        }
        // RFC 5280 §4.1.2.5: the end is inclusive.
        if self.at.timestamp() > certificate.not_after().timestamp() {
            return Err(PathFault::Expired(certificate.not_after()));
        }
        check_critical_extensions(certificate)
    }

    /// RFC 5280 §6.1.4: makes `certificate` the issuer of the next.
    fn descend(&mut self, certificate: &'a Certificate) -> Result<(), PathFault> {
        if certificate.version() != VERSION_3 {
            return Err(PathFault::Version);
        }
        let constraints = certificate
            .basic_constraints()
            .map_err(PathFault::Malformed)?
            .filter(|constraints| constraints.certificate_authority)
            .ok_or(PathFault::NotCertificateAuthority)?;
        let usage = certificate.key_usage().map_err(PathFault::Malformed)?;
        if usage.is_some_and(|usage| !usage.key_cert_sign) {
            return Err(PathFault::NoKeyCertSign);
        }
        // RFC 5280 §6.1.4 (m).
        self.path_length = match (self.path_length, constraints.path_length_max) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.names.constrain(certificate)?;
        self.issuer_key = certificate.public_key().map_err(PathFault::IssuerKey)?;
        self.issuer = certificate;
        Ok(())
    }
}

fn check_critical_extensions(certificate: &Certificate) -> Result<(), PathFault> {
    let unknown = certificate.extensions().iter().find(|extension| {
        let is_known = encode_oid(&extension.oid)
            .is_ok_and(|content| KNOWN.iter().any(|known| known.as_bytes() == content));
        extension.critical && !is_known
    });
    match unknown {
        Some(extension) => Err(PathFault::UnknownCriticalExtension(
            extension.oid.to_string(),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
