//! Keys and hand-made requests for the tests of this crate.

use std::sync::LazyLock;

use clm_domain::key_algorithm::KeyAlgorithm;

use crate::asn1::{self, tag};
use crate::key::{PrivateKey, signature_algorithm_identifier};

/// One P-256 key for all tests.
pub(crate) static P256: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap());
/// One RSA key for all tests; making one takes long.
pub(crate) static RSA: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::generate(KeyAlgorithm::Rsa2048).unwrap());

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    asn1::encode_parts(tag::SEQUENCE, parts)
}

pub(crate) fn oid(text: &str) -> Vec<u8> {
    let contents = asn1::encode_oid(&text.parse().unwrap()).unwrap();
    asn1::encode(tag::OBJECT_IDENTIFIER, &contents)
}

/// An `Extension` that is not critical.
pub(crate) fn extension(kind: &str, value: &[u8]) -> Vec<u8> {
    sequence(&[&oid(kind), &asn1::encode(tag::OCTET_STRING, value)])
}

/// An `extensionRequest` attribute.
pub(crate) fn extension_request(extensions: &[&[u8]]) -> Vec<u8> {
    sequence(&[
        &oid("1.2.840.113549.1.9.14"),
        &asn1::encode(tag::SET, &sequence(extensions)),
    ])
}

/// A request that is signed by [`P256`], whatever its parts are.
pub(crate) fn request(subject: &[u8], spki: &[u8], attributes: &[&[u8]]) -> Vec<u8> {
    let information = sequence(&[
        &[tag::INTEGER, 1, 0],
        subject,
        spki,
        &asn1::encode_parts(tag::context_constructed(0), attributes),
    ]);
    sign_request(&P256, &information)
}

/// A request around finished information.
pub(crate) fn sign_request(key: &PrivateKey, information: &[u8]) -> Vec<u8> {
    let algorithm = key.algorithm().default_signature();
    let signature = key.sign(algorithm, information).unwrap();
    sequence(&[
        information,
        signature_algorithm_identifier(algorithm),
        &asn1::encode_bit_string(&signature),
    ])
}

/// The DER of a `Name` with one attribute.
pub(crate) fn name(kind: &str, string_tag: u8, value: &[u8]) -> Vec<u8> {
    let attribute = sequence(&[&oid(kind), &asn1::encode(string_tag, value)]);
    sequence(&[&asn1::encode(tag::SET, &attribute)])
}
