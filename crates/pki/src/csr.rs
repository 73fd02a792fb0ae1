//! Certificate requests (PKCS#10, RFC 2986): reading what comes from outside, strictly, and
//! writing our own.
//!
//! A request is a wish: nothing of it enters a certificate unless somebody decides so. Subject and
//! public key are kept byte for byte. Start with [`CertificationRequest::parse`].

mod error;

use clm_domain::certificate_plan::{BasicConstraints, KeyUsage};
use clm_domain::general_name::GeneralName;
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::limits::{CSR_DER_BYTES_MAX, SUBJECT_ALTERNATIVE_NAMES_MAX};
use clm_domain::oid::Oid;

use crate::asn1::{self, DerError, Element, Reader, tag};
use crate::extension_value::{self, oid};
use crate::general_name;
use crate::key::{
    PrivateKey, PublicKey, signature_algorithm_from_der, signature_algorithm_identifier,
};
use crate::name::DistinguishedName;
use crate::pem::{self, REQUEST_LABELS};

pub use error::CsrError;

/// `extensionRequest` (RFC 2985 §5.4.2).
const EXTENSION_REQUEST: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e";
/// The same attribute under the identifier that old Windows programs write.
const EXTENSION_REQUEST_MICROSOFT: &[u8] = b"\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x0e";
/// Most extensions that one request may wish for.
const EXTENSIONS_MAX: usize = 64;

/// A request whose form is right. Its signature is checked on demand.
#[derive(Clone, Debug)]
pub struct CertificationRequest {
    der: Vec<u8>,
    information_der: Vec<u8>,
    subject_der: Vec<u8>,
    public_key: PublicKey,
    requested: RequestedExtensions,
    signature_algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
}

/// The extensions that a request wishes for, as far as the platform knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestedExtensions {
    /// RFC 5280 §4.2.1.6, each name within the syntactic rules.
    pub subject_alternative_names: Vec<GeneralName>,
    /// RFC 5280 §4.2.1.3.
    pub key_usage: Option<KeyUsage>,
    /// RFC 5280 §4.2.1.9.
    pub basic_constraints: Option<BasicConstraints>,
    /// RFC 5280 §4.2.1.12; empty when not asked for.
    pub extended_key_usage: Vec<Oid>,
    /// The types of all other extensions, in their order.
    pub other: Vec<Oid>,
}

impl CertificationRequest {
    /// Reads a request from DER, or from PEM with exactly one request.
    ///
    /// # Errors
    /// As [`Self::from_der`]; also when the PEM is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, CsrError> {
        if bytes.len() > CSR_DER_BYTES_MAX * 2 {
            return Err(CsrError::TooLong);
        }
        Self::from_der(&pem::to_der(bytes, REQUEST_LABELS)?)
    }

    /// Reads a request from DER. What it demands:
    /// - DER throughout, nothing behind the end, at most [`CSR_DER_BYTES_MAX`] bytes, version 1;
    /// - a subject within the rules of [`DistinguishedName::check`], which may be empty;
    /// - a public key that [`PublicKey::from_spki_der`] accepts;
    /// - at most one `extensionRequest`, no extension twice, alternative names within the rules of
    ///   [`general_name::check`]; a challenge password and other attributes are ignored;
    /// - a signature algorithm that is supported and goes with the key.
    ///
    /// # Errors
    /// [`CsrError`] for the first rule that is broken.
    pub fn from_der(der: &[u8]) -> Result<Self, CsrError> {
        if der.len() > CSR_DER_BYTES_MAX {
            return Err(CsrError::TooLong);
        }
        let mut outer = asn1::single(der, tag::SEQUENCE)?.reader();
        let information = outer.expect(tag::SEQUENCE)?;
        let algorithm = outer.expect(tag::SEQUENCE)?;
        let signature = outer.expect(tag::BIT_STRING)?;
        outer.finish()?;
        let signature = asn1::whole_octets(&signature)?;

        let mut fields = information.reader();
        if asn1::small_unsigned(&fields.expect(tag::INTEGER)?)? != 0 {
            return Err(DerError("has another version than 1").into());
        }
        let subject = fields.expect(tag::SEQUENCE)?;
        let public_key_info = fields.expect(tag::SEQUENCE)?;
        // RFC 2986 demands the attributes even when there are none; some devices leave them out.
        let attributes = fields.optional(tag::context_constructed(0))?;
        fields.finish()?;

        let subject_name = DistinguishedName::from_der(subject.raw).map_err(CsrError::Subject)?;
        subject_name.check().map_err(CsrError::Subject)?;
        let public_key = PublicKey::from_spki_der(public_key_info.raw).map_err(CsrError::Key)?;
        let signature_algorithm =
            signature_algorithm_from_der(algorithm.raw).map_err(CsrError::SignatureAlgorithm)?;
        let requested = match attributes {
            Some(attributes) => read_attributes(attributes.reader())?,
            None => RequestedExtensions::default(),
        };
        Ok(Self {
            der: der.to_vec(),
            information_der: information.raw.to_vec(),
            subject_der: subject.raw.to_vec(),
            public_key,
            requested,
            signature_algorithm,
            signature: signature.to_vec(),
        })
    }

    /// Verifies the signature, which proves that the sender holds the private key
    /// (RFC 2986 §4.2). It does not prove that the sender made this request for us.
    ///
    /// # Errors
    /// [`CsrError::SignatureInvalid`], and [`CsrError::SignatureAlgorithm`] when the key cannot
    /// have made such a signature.
    pub fn verify_proof_of_possession(&self) -> Result<(), CsrError> {
        self.public_key
            .verify(
                self.signature_algorithm,
                &self.information_der,
                &self.signature,
            )
            .map_err(CsrError::from_verification)
    }

    /// The whole request, as it came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// DER of the subject's name, as it came.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    /// DER of the `SubjectPublicKeyInfo`, as it came.
    pub fn spki_der(&self) -> &[u8] {
        self.public_key.spki_der()
    }

    /// The public key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The algorithm of the public key.
    pub const fn key_algorithm(&self) -> KeyAlgorithm {
        self.public_key.algorithm()
    }

    /// The algorithm of the signature.
    pub const fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.signature_algorithm
    }

    /// The extensions that are wished for.
    pub const fn requested(&self) -> &RequestedExtensions {
        &self.requested
    }
}

/// Makes and signs a request for a subject, given in DER, and alternative names; no names leave
/// the extension out.
///
/// # Errors
/// When the subject or a name breaks the rules that [`CertificationRequest::from_der`] demands, or
/// signing fails.
pub fn build_request(
    subject_der: &[u8],
    names: &[GeneralName],
    key: &PrivateKey,
) -> Result<Vec<u8>, CsrError> {
    let subject = DistinguishedName::from_der(subject_der).map_err(CsrError::Subject)?;
    subject.check().map_err(CsrError::Subject)?;
    let information = asn1::encode_parts(
        tag::SEQUENCE,
        &[
            &asn1::encode_unsigned(&[]),
            subject_der,
            key.subject_public_key_info(),
            &asn1::encode(tag::context_constructed(0), &encode_attributes(names)?),
        ],
    );
    let algorithm = key.algorithm().default_signature();
    let signature = key.sign(algorithm, &information).map_err(CsrError::Key)?;
    Ok(asn1::encode_parts(
        tag::SEQUENCE,
        &[
            &information,
            signature_algorithm_identifier(algorithm),
            &asn1::encode_bit_string(&signature),
        ],
    ))
}

/// The `extensionRequest` attribute with the alternative names, or nothing.
fn encode_attributes(names: &[GeneralName]) -> Result<Vec<u8>, CsrError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    if names.len() > SUBJECT_ALTERNATIVE_NAMES_MAX {
        return Err(CsrError::too_many_names());
    }
    let value = general_name::encode_general_names(names).map_err(CsrError::names)?;
    let extension = asn1::encode_parts(
        tag::SEQUENCE,
        &[
            &asn1::encode(tag::OBJECT_IDENTIFIER, &[0x55, 0x1d, 0x11]),
            &asn1::encode(tag::OCTET_STRING, &value),
        ],
    );
    let extensions = asn1::encode(tag::SEQUENCE, &extension);
    Ok(asn1::encode_parts(
        tag::SEQUENCE,
        &[
            &asn1::encode(tag::OBJECT_IDENTIFIER, EXTENSION_REQUEST),
            &asn1::encode(tag::SET, &extensions),
        ],
    ))
}

fn read_attributes(mut attributes: Reader<'_>) -> Result<RequestedExtensions, CsrError> {
    let mut requested = None;
    while !attributes.is_finished() {
        let mut attribute = attributes.expect(tag::SEQUENCE)?.reader();
        let kind = attribute.expect(tag::OBJECT_IDENTIFIER)?;
        let values = attribute.expect(tag::SET)?;
        attribute.finish()?;
        asn1::check_nested(&values)?;
        if kind.value != EXTENSION_REQUEST && kind.value != EXTENSION_REQUEST_MICROSOFT {
            continue;
        }
        let extensions = asn1::single(values.value, tag::SEQUENCE)?;
        if requested.is_some() {
            return Err(CsrError::Extensions(
                "the attribute extensionRequest occurs twice".to_owned(),
            ));
        }
        requested = Some(read_extensions(extensions.reader())?);
    }
    Ok(requested.unwrap_or_default())
}

fn read_extensions(mut extensions: Reader<'_>) -> Result<RequestedExtensions, CsrError> {
    let mut requested = RequestedExtensions::default();
    let mut seen: Vec<Oid> = Vec::new();
    while !extensions.is_finished() {
        let mut fields = extensions.expect(tag::SEQUENCE)?.reader();
        let kind = asn1::decode_oid(fields.expect(tag::OBJECT_IDENTIFIER)?.value)?;
        if let Some(critical) = fields.optional(tag::BOOLEAN)? {
            asn1::boolean(&critical)?;
        }
        let value = fields.expect(tag::OCTET_STRING)?;
        fields.finish()?;
        if seen.contains(&kind) {
            return Err(CsrError::Extensions(format!(
                "the extension {kind} occurs twice"
            )));
        }
        if seen.len() >= EXTENSIONS_MAX {
            return Err(CsrError::Extensions(format!(
                "more than {EXTENSIONS_MAX} extensions are requested"
            )));
        }
        requested.read(&kind, &value)?;
        seen.push(kind);
    }
    Ok(requested)
}

impl RequestedExtensions {
    /// Adds one extension.
    fn read(&mut self, kind: &Oid, value: &Element<'_>) -> Result<(), CsrError> {
        let malformed = |error: DerError| {
            CsrError::Extensions(format!(
                "the requested extension {kind} is malformed: it {error}"
            ))
        };
        match kind.as_str() {
            oid::SUBJECT_ALTERNATIVE_NAME => {
                self.subject_alternative_names = read_names(value.value)?;
            }
            oid::KEY_USAGE => {
                let usage = extension_value::key_usage_of_others(value.value).map_err(malformed)?;
                self.key_usage = Some(usage);
            }
            oid::BASIC_CONSTRAINTS => {
                let constraints =
                    extension_value::basic_constraints(value.value).map_err(malformed)?;
                self.basic_constraints = Some(constraints);
            }
            oid::EXTENDED_KEY_USAGE => {
                self.extended_key_usage =
                    extension_value::extended_key_usage(value.value).map_err(malformed)?;
            }
            _ => self.other.push(kind.clone()),
        }
        Ok(())
    }
}

fn read_names(value: &[u8]) -> Result<Vec<GeneralName>, CsrError> {
    let names = general_name::decode_general_names(value).map_err(CsrError::names)?;
    if names.len() > SUBJECT_ALTERNATIVE_NAMES_MAX {
        return Err(CsrError::too_many_names());
    }
    general_name::check_all(&names).map_err(CsrError::names)?;
    Ok(names)
}

#[cfg(test)]
mod tests;
