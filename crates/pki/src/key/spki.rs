//! The DER around keys: `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7) and the outside of
//! `PrivateKeyInfo` (RFC 5208). Must accept each algorithm in exactly one encoding.

use clm_domain::key_algorithm::KeyAlgorithm;

use super::KeyError;
use crate::asn1::{self, Element, Reader, tag};
use crate::weak_key;

/// What an `AlgorithmIdentifier` of a key says; the size of an RSA key stands in the key itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

impl Family {
    const ALL: [Self; 5] = [Self::P256, Self::Rsa, Self::P384, Self::P521, Self::Ed25519];

    /// The family of an algorithm.
    pub(super) const fn of(algorithm: KeyAlgorithm) -> Self {
        match algorithm {
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => Self::Rsa,
            KeyAlgorithm::EcdsaP256 => Self::P256,
            KeyAlgorithm::EcdsaP384 => Self::P384,
            KeyAlgorithm::EcdsaP521 => Self::P521,
            KeyAlgorithm::Ed25519 => Self::Ed25519,
        }
    }

    /// The only DER of the `AlgorithmIdentifier` that is accepted.
    const fn algorithm_identifier(self) -> &'static [u8] {
        match self {
            Self::Rsa => b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00",
            Self::P256 => {
                b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
            }
            Self::P384 => {
                b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22"
            }
            Self::P521 => {
                b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23"
            }
            Self::Ed25519 => b"\x30\x05\x06\x03\x2b\x65\x70",
        }
    }

    fn from_algorithm_identifier(element: &Element<'_>) -> Result<Self, KeyError> {
        Self::ALL
            .into_iter()
            .find(|family| family.algorithm_identifier() == element.raw)
            .ok_or_else(|| refusal(element))
    }
}

/// Why an `AlgorithmIdentifier` is none of ours, in words that help.
fn refusal(element: &Element<'_>) -> KeyError {
    const RSA: &str = "1.2.840.113549.1.1.1";
    const RSASSA_PSS: &str = "1.2.840.113549.1.1.10";
    const EC: &str = "1.2.840.10045.2.1";
    let oid = match Reader::new(element.value).expect(tag::OBJECT_IDENTIFIER) {
        Ok(oid) => asn1::decode_oid(oid.value),
        Err(error) => Err(error),
    };
    match oid.as_ref().map(clm_domain::oid::Oid::as_str) {
        Err(error) => KeyError::Malformed(format!("its algorithm identifier {error}")),
        Ok(RSA) => KeyError::Malformed(
            "the parameters of an RSA key must be present and NULL (RFC 3279 §2.3.1)".to_owned(),
        ),
        Ok(RSASSA_PSS) => KeyError::Unsupported(
            "keys of type id-RSASSA-PSS are not supported: send the same RSA key as rsaEncryption; \
             it may still sign with RSASSA-PSS"
                .to_owned(),
        ),
        Ok(EC) => KeyError::Unsupported(
            "elliptic-curve keys must name one of the curves P-256, P-384 and P-521 and nothing \
             else"
                .to_owned(),
        ),
        Ok(other) => KeyError::Unsupported(format!(
            "keys of the algorithm {other} are not supported: use RSA, ECDSA on P-256, P-384 or \
             P-521, or Ed25519"
        )),
    }
}

/// The algorithm and the key inside the bit string, checked for everything but the curve equation.
pub(super) fn parse(spki_der: &[u8]) -> Result<(KeyAlgorithm, &[u8]), KeyError> {
    let mut reader = asn1::single(spki_der, tag::SEQUENCE)?.reader();
    let family = Family::from_algorithm_identifier(&reader.expect(tag::SEQUENCE)?)?;
    let bit_string = reader.expect(tag::BIT_STRING)?;
    reader.finish()?;
    let key = asn1::whole_octets(&bit_string)?;
    let algorithm = match family {
        Family::Rsa => rsa_algorithm(key)?,
        Family::P256 => point_algorithm(key, 65, KeyAlgorithm::EcdsaP256)?,
        Family::P384 => point_algorithm(key, 97, KeyAlgorithm::EcdsaP384)?,
        Family::P521 => point_algorithm(key, 133, KeyAlgorithm::EcdsaP521)?,
        Family::Ed25519 => ed25519_algorithm(key)?,
    };
    Ok((algorithm, key))
}

/// `RSAPublicKey` (RFC 8017 §A.1.1).
fn rsa_algorithm(key: &[u8]) -> Result<KeyAlgorithm, KeyError> {
    let mut reader = asn1::single(key, tag::SEQUENCE)?.reader();
    let modulus = reader.expect(tag::INTEGER)?;
    let exponent = reader.expect(tag::INTEGER)?;
    reader.finish()?;
    Ok(weak_key::check_rsa(
        asn1::unsigned(&modulus)?,
        asn1::unsigned(&exponent)?,
    )?)
}

/// An uncompressed `ECPoint` (RFC 5480 §2.2).
fn point_algorithm(
    key: &[u8],
    length: usize,
    algorithm: KeyAlgorithm,
) -> Result<KeyAlgorithm, KeyError> {
    if key.len() == length && key.first() == Some(&0x04) {
        Ok(algorithm)
    } else {
        Err(KeyError::Malformed(format!(
            "the point of a key on this curve must be uncompressed, {length} bytes from 04 on"
        )))
    }
}

/// RFC 8410 §4.
fn ed25519_algorithm(key: &[u8]) -> Result<KeyAlgorithm, KeyError> {
    let key = <&[u8; 32]>::try_from(key)
        .map_err(|_| KeyError::Malformed("an Ed25519 key has 32 bytes".to_owned()))?;
    weak_key::check_ed25519(key)?;
    Ok(KeyAlgorithm::Ed25519)
}

/// The `SubjectPublicKeyInfo` for the contents of its bit string.
pub(super) fn encode(family: Family, key: &[u8]) -> Vec<u8> {
    asn1::encode_parts(
        tag::SEQUENCE,
        &[family.algorithm_identifier(), &asn1::encode_bit_string(key)],
    )
}

/// The family of an unencrypted `PrivateKeyInfo` or `OneAsymmetricKey` (RFC 5958 §2).
pub(super) fn private_key_family(pkcs8_der: &[u8]) -> Result<Family, KeyError> {
    let mut reader = asn1::single(pkcs8_der, tag::SEQUENCE)?.reader();
    if asn1::small_unsigned(&reader.expect(tag::INTEGER)?)? > 1 {
        return Err(KeyError::Malformed(
            "the version of a PKCS#8 key must be 0 or 1".to_owned(),
        ));
    }
    let family = Family::from_algorithm_identifier(&reader.expect(tag::SEQUENCE)?)?;
    let private_key = reader.expect(tag::OCTET_STRING)?;
    reader.optional(tag::context_constructed(0))?;
    reader.optional(tag::context(1))?;
    reader.finish()?;
    if family == Family::Rsa {
        check_rsa_private_key(private_key.value)?;
    }
    Ok(family)
}

/// Looks at the public values that begin an `RSAPrivateKey` (RFC 8017 §A.1.2), so that a weak key
/// is called weak before the library calls it malformed.
fn check_rsa_private_key(private_key: &[u8]) -> Result<(), KeyError> {
    let mut reader = asn1::single(private_key, tag::SEQUENCE)?.reader();
    reader.expect(tag::INTEGER)?;
    let modulus = reader.expect(tag::INTEGER)?;
    let exponent = reader.expect(tag::INTEGER)?;
    weak_key::check_rsa(asn1::unsigned(&modulus)?, asn1::unsigned(&exponent)?)?;
    Ok(())
}
