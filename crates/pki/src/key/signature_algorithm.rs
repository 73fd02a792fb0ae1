//! Signature algorithms as `AlgorithmIdentifier` (RFC 4055, RFC 5758, RFC 8410).

use clm_domain::key_algorithm::SignatureAlgorithm;

use super::KeyError;
use crate::asn1::{self, DerError, Element, tag};

const SHA256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const SHA384: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x02";
const SHA512: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x03";
const MGF1: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08";
const RSASSA_PSS: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";
const NULL: &[u8] = b"\x05\x00";

/// The DER of the `AlgorithmIdentifier` that goes into what we sign.
pub const fn signature_algorithm_identifier(algorithm: SignatureAlgorithm) -> &'static [u8] {
    match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256 => {
            b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"
        }
        SignatureAlgorithm::RsaPkcs1Sha384 => {
            b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00"
        }
        SignatureAlgorithm::RsaPkcs1Sha512 => {
            b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00"
        }
        SignatureAlgorithm::RsaPssSha256 => {
            b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
              \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\
              \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
              \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\
              \xa2\x03\x02\x01\x20"
        }
        SignatureAlgorithm::RsaPssSha384 => {
            b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
              \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
              \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
              \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
              \xa2\x03\x02\x01\x30"
        }
        SignatureAlgorithm::RsaPssSha512 => {
            b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
              \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\
              \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
              \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\
              \xa2\x03\x02\x01\x40"
        }
        SignatureAlgorithm::EcdsaSha256 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
        SignatureAlgorithm::EcdsaSha384 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03",
        SignatureAlgorithm::EcdsaSha512 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04",
        SignatureAlgorithm::Ed25519 => b"\x30\x05\x06\x03\x2b\x65\x70",
    }
}

/// Reads the DER of an `AlgorithmIdentifier` of a signature. Where RFC 4055 lets writers leave out
/// the NULL of a hash or of PKCS#1 v1.5, both forms are accepted.
///
/// # Errors
/// [`KeyError::Malformed`] for bytes that are no such thing, [`KeyError::Unsupported`] for MD5,
/// SHA-1, and everything else that is not supported, with a text that says so.
pub fn signature_algorithm_from_der(
    algorithm_identifier: &[u8],
) -> Result<SignatureAlgorithm, KeyError> {
    let exact = SignatureAlgorithm::ALL
        .into_iter()
        .find(|algorithm| signature_algorithm_identifier(*algorithm) == algorithm_identifier);
    match exact {
        Some(algorithm) => Ok(algorithm),
        None => other_form(&asn1::single(algorithm_identifier, tag::SEQUENCE)?),
    }
}

/// The forms that are accepted and not written.
fn other_form(identifier: &Element<'_>) -> Result<SignatureAlgorithm, KeyError> {
    let mut reader = identifier.reader();
    let oid = reader.expect(tag::OBJECT_IDENTIFIER)?;
    if oid.value == RSASSA_PSS {
        let parameters = reader.expect(tag::SEQUENCE).map_err(|_| pss_refused())?;
        reader.finish()?;
        return pss(&parameters);
    }
    let without_parameters = match oid.value {
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b" => Some(SignatureAlgorithm::RsaPkcs1Sha256),
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c" => Some(SignatureAlgorithm::RsaPkcs1Sha384),
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d" => Some(SignatureAlgorithm::RsaPkcs1Sha512),
        _ => None,
    };
    match without_parameters {
        Some(algorithm) if reader.is_finished() => Ok(algorithm),
        _ => Err(refusal(&oid)),
    }
}

/// `RSASSA-PSS-params` (RFC 4055 §3.1): one hash for both uses, a salt as long as the hash.
fn pss(parameters: &Element<'_>) -> Result<SignatureAlgorithm, KeyError> {
    let mut reader = parameters.reader();
    let mut field = |number| {
        let field = reader.expect(tag::context_constructed(number));
        field.map_err(|_| pss_refused())
    };
    let hash = hash_oid(field(0)?.value)?;
    let mask = asn1::single(field(1)?.value, tag::SEQUENCE)?;
    let salt = asn1::small_unsigned(&asn1::single(field(2)?.value, tag::INTEGER)?)?;
    reader.finish().map_err(|_| pss_refused())?;

    let mut mask = mask.reader();
    let mask_function = mask.expect(tag::OBJECT_IDENTIFIER)?;
    let mask_hash = hash_oid(mask.any()?.raw)?;
    mask.finish()?;
    if mask_function.value != MGF1 || mask_hash != hash {
        return Err(pss_refused());
    }
    match (hash, salt) {
        (SHA256, 32) => Ok(SignatureAlgorithm::RsaPssSha256),
        (SHA384, 48) => Ok(SignatureAlgorithm::RsaPssSha384),
        (SHA512, 64) => Ok(SignatureAlgorithm::RsaPssSha512),
        _ => Err(pss_refused()),
    }
}

/// The object identifier in the `AlgorithmIdentifier` of a hash.
fn hash_oid(algorithm_identifier: &[u8]) -> Result<&[u8], DerError> {
    let mut reader = asn1::single(algorithm_identifier, tag::SEQUENCE)?.reader();
    let oid = reader.expect(tag::OBJECT_IDENTIFIER)?;
    match reader.optional(tag::NULL)? {
        Some(null) if null.raw != NULL => Err(DerError("has a NULL that is not empty")),
        _ => reader.finish().map(|()| oid.value),
    }
}

fn pss_refused() -> KeyError {
    KeyError::Unsupported(
        "RSASSA-PSS is accepted with SHA-256, SHA-384 or SHA-512, MGF1 with the same hash, and a \
         salt as long as the hash"
            .to_owned(),
    )
}

/// Why a signature algorithm is none of ours, in words that help.
fn refusal(oid: &Element<'_>) -> KeyError {
    let name = match oid.value {
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x02" => "RSA with MD2".to_owned(),
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04" => "RSA with MD5".to_owned(),
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05" => "RSA with SHA-1".to_owned(),
        b"\x2a\x86\x48\xce\x3d\x04\x01" => "ECDSA with SHA-1".to_owned(),
        b"\x2a\x86\x48\xce\x38\x04\x03" => "DSA with SHA-1".to_owned(),
        other => match asn1::decode_oid(other) {
            Ok(oid) => oid.as_str().to_owned(),
            Err(error) => return error.into(),
        },
    };
    KeyError::Unsupported(format!(
        "the signature algorithm {name} is not accepted: use RSA (PKCS#1 v1.5 or PSS) or ECDSA \
         with SHA-256, SHA-384 or SHA-512, or Ed25519"
    ))
}
