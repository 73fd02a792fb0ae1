//! Lints of the subject's public key: its encoding and size. Costly tests for weak keys are made
//! once, where a key comes in, by [`crate::weak_key`].

use super::{Candidate, Lint, require};
use crate::asn1::{DerError, single, tag, unsigned, whole_octets};

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "e_rfc5480_public_key_algorithm",
        citation: "RFC 3279 §2.3.1, RFC 5480 §2.1, RFC 8410 §3",
        check: algorithm,
    },
    Lint {
        name: "e_rfc5480_public_key_encoding",
        citation: "RFC 3279 §2.3.1, RFC 5480 §2.2, RFC 8410 §4",
        check: encoding,
    },
    Lint {
        name: "e_cabf_rsa_key",
        citation: "CA/Browser Forum Baseline Requirements §6.1.5 and §6.1.6, FIPS 186-5 §5.1",
        check: rsa_key,
    },
];

/// The kinds of key that we certify, by the one encoding of their `AlgorithmIdentifier`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// rsaEncryption with NULL.
    Rsa,
    /// id-ecPublicKey with a named curve, and the octets of a coordinate.
    EllipticCurve(usize),
    /// id-Ed25519 without parameters.
    Ed25519,
}

const KINDS: [(KeyKind, &[u8]); 5] = [
    (
        KeyKind::Rsa,
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00",
    ),
    (
        KeyKind::EllipticCurve(32),
        b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
    ),
    (
        KeyKind::EllipticCurve(48),
        b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22",
    ),
    (
        KeyKind::EllipticCurve(66),
        b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23",
    ),
    (KeyKind::Ed25519, b"\x30\x05\x06\x03\x2b\x65\x70"),
];

/// Modulus sizes in bits.
const RSA_BITS: [usize; 3] = [2048, 3072, 4096];
/// Least public exponent.
const RSA_EXPONENT_MIN: u64 = 65_537;

fn algorithm(candidate: &Candidate<'_>) -> Vec<String> {
    require(
        read(candidate).is_ok_and(|(kind, _)| kind.is_some()),
        || {
            "The public key is not RSA, P-256, P-384, P-521 or Ed25519 with the parameters of its \
         standard."
                .to_owned()
        },
    )
}

fn encoding(candidate: &Candidate<'_>) -> Vec<String> {
    let problem = match read(candidate) {
        Err(error) => Some(error.to_string()),
        Ok((Some(KeyKind::Rsa), key)) => read_rsa(key).err().map(|error| error.to_string()),
        Ok((Some(KeyKind::EllipticCurve(octets)), key)) => {
            let uncompressed = key.first() == Some(&4) && key.len() == 1 + 2 * octets;
            (!uncompressed).then(|| "is no uncompressed point of its curve".to_owned())
        }
        Ok((Some(KeyKind::Ed25519), key)) => {
            (key.len() != 32).then(|| "does not have 32 octets".to_owned())
        }
        Ok((None, _)) => None,
    };
    problem
        .map(|problem| format!("The public key {problem}."))
        .into_iter()
        .collect()
}

fn rsa_key(candidate: &Candidate<'_>) -> Vec<String> {
    let Ok((Some(KeyKind::Rsa), key)) = read(candidate) else {
        return Vec::new();
    };
    let Ok((modulus, exponent)) = read_rsa(key) else {
        return Vec::new();
    };
    let mut messages = Vec::new();
    let leading = modulus.first().map_or(0, |first| first.leading_zeros());
    let bits = (modulus.len() * 8).saturating_sub(usize::try_from(leading).unwrap_or(0));
    if !RSA_BITS.contains(&bits) {
        messages.push(format!(
            "The RSA modulus has {bits} bits instead of 2048, 3072 or 4096."
        ));
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    if !is_odd(modulus) {
        messages.push("The RSA modulus is even.".to_owned());
    }
    let small = exponent.len() <= 8 && as_number(exponent) < RSA_EXPONENT_MIN;
    // FIPS 186-5 §5.1: the exponent is odd and between 2^16 and 2^256.
    if small || !is_odd(exponent) || exponent.len() > 32 {
        messages.push("The RSA exponent must be odd, at least 65537 and below 2^256.".to_owned());
    }
    messages
}

/// The kind of the subject's key, if it is one of ours.
pub(super) fn kind(candidate: &Candidate<'_>) -> Option<KeyKind> {
    read(candidate).ok().and_then(|(kind, _)| kind)
}

fn read<'a>(candidate: &Candidate<'a>) -> Result<(Option<KeyKind>, &'a [u8]), DerError> {
    let mut reader = single(candidate.tbs.subject_public_key_info, tag::SEQUENCE)?.reader();
    let identifier = reader.expect(tag::SEQUENCE)?.raw;
    let key = whole_octets(&reader.expect(tag::BIT_STRING)?)?;
    reader.finish()?;
    let kind = KINDS.iter().find(|(_, encoding)| *encoding == identifier);
    Ok((kind.map(|(kind, _)| *kind), key))
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 3279 §2.3.1).
fn read_rsa(key: &[u8]) -> Result<(&[u8], &[u8]), DerError> {
    let mut reader = single(key, tag::SEQUENCE)?.reader();
    let modulus = unsigned(&reader.expect(tag::INTEGER)?)?;
    let exponent = unsigned(&reader.expect(tag::INTEGER)?)?;
    reader.finish()?;
    Ok((modulus, exponent))
}

fn as_number(octets: &[u8]) -> u64 {
    octets
        .iter()
        .fold(0, |number, octet| (number << 8) | u64::from(*octet))
}
