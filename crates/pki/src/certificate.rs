//! Certificates as others made them (RFC 5280 §4.1): read leniently where the world is odd, kept
//! byte for byte, never written.
//!
//! Whether a certificate is any good is not judged here: [`crate::path`] judges chains,
//! [`crate::lint`] judges what we are about to sign. Start with [`Certificate::parse`].

use chrono::{DateTime, Utc};
use clm_domain::certificate_plan::{BasicConstraints, KeyUsage};
use clm_domain::general_name::GeneralName;
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::limits::CERTIFICATE_DER_BYTES_MAX;
use clm_domain::oid::Oid;
use x509_parser::asn1_rs::nom::Parser as _;
use x509_parser::certificate::{X509Certificate, X509CertificateParser};

use crate::asn1::{self, DerError, tag};
use crate::extension_value::{self, oid};
use crate::general_name::{self, GeneralNameError};
use crate::key::{self, KeyError, PublicKey};
use crate::pem::{self, CERTIFICATE_LABELS, PemError};

/// Why a certificate, or a part of it, cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Neither PEM with one certificate nor DER.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// Larger than [`CERTIFICATE_DER_BYTES_MAX`].
    #[error("the certificate is too long: at most {CERTIFICATE_DER_BYTES_MAX} bytes are accepted")]
    TooLong,
    /// The bytes are no certificate.
    #[error("the certificate is malformed: {0}")]
    Malformed(String),
    /// The value of one extension is malformed.
    #[error("the extension {oid} is malformed: {message}")]
    Extension {
        /// Which extension.
        oid: String,
        /// What is wrong.
        message: String,
    },
    /// The signature does not verify, or is of an algorithm that is not supported.
    #[error("the certificate's signature is refused: {0}")]
    Signature(KeyError),
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    tbs_der: Vec<u8>,
    version: u32,
    serial: Vec<u8>,
    issuer_der: Vec<u8>,
    subject_der: Vec<u8>,
    not_before: DateTime<Utc>,
    not_after: DateTime<Utc>,
    spki_der: Vec<u8>,
    extensions: Vec<CertificateExtension>,
    signature_algorithm: Result<SignatureAlgorithm, KeyError>,
    signature: Vec<u8>,
}

/// One extension (RFC 5280 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateExtension {
    /// `extnID`.
    pub oid: Oid,
    /// `critical`.
    pub critical: bool,
    /// The contents of `extnValue`, as they came.
    pub value_der: Vec<u8>,
}

impl Certificate {
    /// Reads a certificate from DER, or from PEM with exactly one certificate.
    ///
    /// # Errors
    /// As [`Self::from_der`]; also when the PEM is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > CERTIFICATE_DER_BYTES_MAX * 2 {
            return Err(CertificateError::TooLong);
        }
        Self::from_der(&pem::to_der(bytes, CERTIFICATE_LABELS)?)
    }

    /// Reads a certificate from DER.
    ///
    /// # Errors
    /// When it is too long, malformed, or has an extension twice.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_DER_BYTES_MAX {
            return Err(CertificateError::TooLong);
        }
        let malformed = |message: &str| CertificateError::Malformed(message.to_owned());
        let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
        let (rest, parsed) = parser
            .parse(der)
            .map_err(|error| CertificateError::Malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("it has trailing data"));
        }
        let tbs = &parsed.tbs_certificate;
        let date = |seconds| DateTime::from_timestamp(seconds, 0);
        Ok(Self {
            der: der.to_vec(),
            tbs_der: tbs.as_ref().to_vec(),
            version: tbs.version.0,
            serial: tbs.raw_serial().to_vec(),
            issuer_der: tbs.issuer.as_raw().to_vec(),
            subject_der: tbs.subject.as_raw().to_vec(),
            not_before: date(tbs.validity.not_before.timestamp())
                .ok_or_else(|| malformed("its validity is out of range"))?,
            not_after: date(tbs.validity.not_after.timestamp())
                .ok_or_else(|| malformed("its validity is out of range"))?,
            spki_der: tbs.subject_pki.raw.to_vec(),
            extensions: read_extensions(&parsed)?,
            signature_algorithm: read_signature_algorithm(der, &parsed),
            signature: parsed.signature_value.data.to_vec(),
        })
    }

    /// The whole certificate, as it came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The signed part, as it came.
    pub fn tbs_der(&self) -> &[u8] {
        &self.tbs_der
    }

    /// The encoded version: 2 means version 3.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The contents octets of the serial number, as they came: a first octet of zero stands where
    /// the number would be negative without it.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// DER of the issuer's name, as it came.
    pub fn issuer_der(&self) -> &[u8] {
        &self.issuer_der
    }

    /// DER of the subject's name, as it came.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    /// Start of validity.
    pub const fn not_before(&self) -> DateTime<Utc> {
        self.not_before
    }

    /// End of validity, inclusive.
    pub const fn not_after(&self) -> DateTime<Utc> {
        self.not_after
    }

    /// DER of the `SubjectPublicKeyInfo`, as it came.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// The public key, if it is one that the platform works with.
    ///
    /// # Errors
    /// Those of [`PublicKey::from_spki_der`].
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        PublicKey::from_spki_der(&self.spki_der)
    }

    /// The algorithm of the public key; `None` for keys that [`Self::public_key`] refuses.
    pub fn key_algorithm(&self) -> Option<KeyAlgorithm> {
        self.public_key().ok().map(|key| key.algorithm())
    }

    /// The algorithm of the signature; `None` for those that are not supported.
    pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        self.signature_algorithm.as_ref().ok().copied()
    }

    /// All extensions, in their order. None occurs twice.
    pub fn extensions(&self) -> &[CertificateExtension] {
        &self.extensions
    }

    /// The extension of this type, given in dotted form.
    pub fn extension(&self, oid: &str) -> Option<&CertificateExtension> {
        self.extensions
            .iter()
            .find(|extension| extension.oid.as_str() == oid)
    }

    /// The subject alternative names; none when there is no such extension.
    ///
    /// # Errors
    /// When the extension is malformed or holds a name of a form that cannot be read.
    pub fn subject_alternative_names(&self) -> Result<Vec<GeneralName>, CertificateError> {
        let names = self.read(oid::SUBJECT_ALTERNATIVE_NAME, |value| {
            general_name::decode_general_names(value)
                .map_err(|error: GeneralNameError| error.to_string())
        })?;
        Ok(names.unwrap_or_default())
    }

    /// RFC 5280 §4.2.1.3.
    ///
    /// # Errors
    /// When the extension is malformed.
    pub fn key_usage(&self) -> Result<Option<KeyUsage>, CertificateError> {
        self.read(oid::KEY_USAGE, der(extension_value::key_usage_of_others))
    }

    /// RFC 5280 §4.2.1.9.
    ///
    /// # Errors
    /// When the extension is malformed.
    pub fn basic_constraints(&self) -> Result<Option<BasicConstraints>, CertificateError> {
        self.read(
            oid::BASIC_CONSTRAINTS,
            der(extension_value::basic_constraints),
        )
    }

    /// RFC 5280 §4.2.1.12; none when there is no such extension.
    ///
    /// # Errors
    /// When the extension is malformed.
    pub fn extended_key_usage(&self) -> Result<Vec<Oid>, CertificateError> {
        let purposes = self.read(
            oid::EXTENDED_KEY_USAGE,
            der(extension_value::extended_key_usage),
        )?;
        Ok(purposes.unwrap_or_default())
    }

    /// RFC 5280 §4.2.1.2; `None` also when the extension is malformed.
    pub fn subject_key_identifier(&self) -> Option<Vec<u8>> {
        let extension = self.extension(oid::SUBJECT_KEY_IDENTIFIER)?;
        extension_value::subject_key_identifier(&extension.value_der).ok()
    }

    /// The `keyIdentifier` of RFC 5280 §4.2.1.1; `None` also when the extension is malformed.
    pub fn authority_key_identifier(&self) -> Option<Vec<u8>> {
        let extension = self.extension(oid::AUTHORITY_KEY_IDENTIFIER)?;
        extension_value::authority_key_identifier(&extension.value_der).ok()?
    }

    /// SHA-256 over the DER, by which certificates are told apart.
    pub fn fingerprint_sha256(&self) -> [u8; 32] {
        key::sha256(&self.der)
    }

    /// Verifies the signature. Names, validity and rights are not looked at.
    ///
    /// # Errors
    /// [`CertificateError::Signature`].
    pub fn verify_signed_by(&self, issuer: &PublicKey) -> Result<(), CertificateError> {
        self.signature_algorithm
            .clone()
            .and_then(|algorithm| issuer.verify(algorithm, &self.tbs_der, &self.signature))
            .map_err(CertificateError::Signature)
    }

    /// Reads the value of one extension.
    fn read<T>(
        &self,
        oid: &str,
        reader: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<Option<T>, CertificateError> {
        let Some(extension) = self.extension(oid) else {
            return Ok(None);
        };
        let malformed = |message| CertificateError::Extension {
            oid: oid.to_owned(),
            message,
        };
        reader(&extension.value_der).map(Some).map_err(malformed)
    }
}

/// Puts the complaint of a DER reader into words.
fn der<T>(reader: impl Fn(&[u8]) -> Result<T, DerError>) -> impl Fn(&[u8]) -> Result<T, String> {
    move |value| reader(value).map_err(|error| format!("it {error}"))
}

fn read_extensions(
    parsed: &X509Certificate<'_>,
) -> Result<Vec<CertificateExtension>, CertificateError> {
    let mut extensions: Vec<CertificateExtension> = Vec::new();
    for extension in parsed.tbs_certificate.extensions() {
        let oid = asn1::decode_oid(extension.oid.as_bytes())
            .map_err(|error| CertificateError::Malformed(format!("it {error}")))?;
        if extensions.iter().any(|earlier| earlier.oid == oid) {
            return Err(CertificateError::Malformed(format!(
                "it has the extension {oid} twice"
            )));
        }
        extensions.push(CertificateExtension {
            oid,
            critical: extension.critical,
            value_der: extension.value.to_vec(),
        });
    }
    Ok(extensions)
}

/// The algorithm that both the signed part and the outside name (RFC 5280 §4.1.1.2).
fn read_signature_algorithm(
    der: &[u8],
    parsed: &X509Certificate<'_>,
) -> Result<SignatureAlgorithm, KeyError> {
    if parsed.signature_algorithm != parsed.tbs_certificate.signature {
        return Err(KeyError::Malformed(
            "the signature algorithm inside the certificate is another than outside".to_owned(),
        ));
    }
    let mut reader = asn1::single(der, tag::SEQUENCE)?.reader();
    reader.expect(tag::SEQUENCE)?;
    let identifier = reader.expect(tag::SEQUENCE)?;
    key::signature_algorithm_from_der(identifier.raw)
}

#[cfg(test)]
mod tests;
