//! Tests of `der_writer`.

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use der::{Decode, Encode};

use super::*;

const INTEGER: u8 = tag::INTEGER;
const OCTET_STRING: u8 = tag::OCTET_STRING;

fn written(write: impl FnOnce(&mut DerWriter)) -> Vec<u8> {
    let mut writer = DerWriter::default();
    write(&mut writer);
    writer.finish()
}

#[test]
fn lengths_are_shortest() {
    for length in [0, 1, 127, 128, 129, 255, 256, 257, 65_535, 65_536, 70_000] {
        let content = vec![7_u8; length];
        let primitive = written(|writer| writer.primitive(OCTET_STRING, &content));
        let nested =
            written(|writer| writer.constructed(OCTET_STRING, |writer| writer.raw(&content)));
        let reference = AnyRef::new(der::Tag::OctetString, &content)
            .and_then(|any| any.to_der())
            .expect("encodes");
        assert_eq!(primitive, reference, "length {length}");
        assert_eq!(nested, reference, "nested length {length}");
    }
}

#[test]
fn numbers_agree_with_an_independent_encoder() {
    for number in [
        0,
        1,
        127,
        128,
        255,
        256,
        32_767,
        32_768,
        8_388_608,
        u32::MAX,
    ] {
        let ours = written(|writer| writer.unsigned(INTEGER, number));
        assert_eq!(ours, number.to_der().expect("encodes"), "{number}");
    }
}

#[test]
fn object_identifiers_agree_with_an_independent_encoder() {
    for text in [
        "1.3.6.1.5.5.7.3.1",
        "2.5.29.37.0",
        "0.9.2342.19200300.100.1.25",
        "2.5.29.32.0",
        "1.2.840.113549.1.1.11",
    ] {
        let ours = written(|writer| writer.object_identifier(&text.parse().expect("syntax")));
        let reference = ObjectIdentifier::new(text).map(|oid| oid.to_der().expect("encodes"));
        assert_eq!(ours, reference.expect("syntax"), "{text}");
    }
}

#[test]
fn an_object_identifier_of_the_largest_arc_does_not_overflow() {
    let oid: Oid = "2.18446744073709551615.18446744073709551615"
        .parse()
        .expect("syntax");
    // 80 + (2^64 - 1) needs 65 bits and so ten groups of seven, as 2^64 - 1 does.
    assert_eq!(encode_oid(&oid).expect("encodes").len(), 20);
}

#[test]
fn named_bits_drop_trailing_zeros() {
    let empty = written(|writer| writer.named_bits(&[false; 9]));
    assert_eq!(empty, [0x03, 0x01, 0x00]);
    let first = written(|writer| writer.named_bits(&[true, false, false]));
    assert_eq!(first, [0x03, 0x02, 0x07, 0x80]);
    let ninth = written(|writer| {
        writer.named_bits(&[false, false, false, false, false, false, false, false, true]);
    });
    assert_eq!(ninth, [0x03, 0x03, 0x07, 0x00, 0x80]);
    assert!(BitStringRef::from_der(&ninth).is_ok());
}
