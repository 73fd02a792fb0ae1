//! DER: what is accepted is what is written.

use proptest::prelude::*;

use super::*;

fn read_one(bytes: &[u8]) -> Result<Vec<u8>, DerError> {
    single(bytes, tag::OCTET_STRING).map(|element| element.value.to_vec())
}

#[test]
fn reads_short_and_long_lengths() {
    assert_eq!(read_one(&[0x04, 0x02, 1, 2]), Ok(vec![1, 2]));
    for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536, 70_000] {
        let value = vec![7; length];
        assert_eq!(read_one(&encode(tag::OCTET_STRING, &value)), Ok(value));
    }
}

#[test]
fn refuses_ber() {
    for (bytes, reason) in [
        (&[0x04, 0x81, 0x01, 0xff][..], "shortest"),
        (&[0x04, 0x82, 0x00, 0x01, 0xff], "shortest"),
        (&[0x04, 0x80, 0x00, 0x00], "indefinite"),
        (&[0x24, 0x80, 0x00, 0x00], "another type"),
        (&[0x04, 0x85, 0, 0, 0, 0, 1, 0xff], "four octets"),
        (&[0x04, 0x02, 0x01], "ends before"),
        (&[0x04], "ends before"),
        (&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff], "ends before"),
        (&[0x04, 0x00, 0x00], "trailing"),
        (&[], "lacks"),
    ] {
        let error = read_one(bytes).unwrap_err();
        assert!(error.0.contains(reason), "{bytes:02x?}: {error}");
    }
    assert!(Reader::new(&[0x1f, 0x81, 0x01, 0x00]).any().is_err());
}

#[test]
fn refuses_ber_inside() {
    // A constructed OCTET STRING inside a SEQUENCE.
    let inner = [0x30, 0x05, 0x24, 0x03, 0x04, 0x01, 0x00];
    assert!(check_single(&inner).is_err());
    // A SEQUENCE that claims to be primitive, and the end-of-contents octets.
    assert!(check_single(&[0x10, 0x00]).is_err());
    assert!(check_single(&[0x30, 0x02, 0x00, 0x00]).is_err());
    assert!(check_single(&[0x30, 0x03, 0x04, 0x01, 0x00]).is_ok());
    let mut deep = vec![0x05, 0x00];
    for _ in 0..33 {
        deep = encode(tag::SEQUENCE, &deep);
    }
    assert!(check_single(&deep).is_err());
}

#[test]
fn integers_are_minimal_and_not_negative() {
    let read = |bytes: &[u8]| {
        let element = single(bytes, tag::INTEGER)?;
        unsigned(&element).map(<[u8]>::to_vec)
    };
    assert_eq!(read(&[2, 1, 0]), Ok(vec![0]));
    assert_eq!(read(&[2, 2, 0, 0x80]), Ok(vec![0x80]));
    assert_eq!(read(&[2, 1, 0x7f]), Ok(vec![0x7f]));
    for bytes in [&[2, 0][..], &[2, 1, 0x80], &[2, 2, 0, 0x7f], &[2, 2, 0, 0]] {
        assert!(read(bytes).is_err(), "{bytes:02x?}");
    }
    assert_eq!(encode_unsigned(&[]), [2, 1, 0]);
    assert_eq!(encode_unsigned(&[0, 0, 0x80]), [2, 2, 0, 0x80]);
    assert_eq!(encode_unsigned(&[0x7f]), [2, 1, 0x7f]);
}

#[test]
fn booleans_are_00_or_ff() {
    let read = |octet| boolean(&single(&[1, 1, octet], tag::BOOLEAN).unwrap());
    assert_eq!(read(0), Ok(false));
    assert_eq!(read(0xff), Ok(true));
    assert!(read(1).is_err());
}

#[test]
fn object_identifiers_of_known_encodings() {
    for (text, contents) in [
        ("1.2.840.113549.1.1.11", "2a864886f70d01010b"),
        ("2.5.29.17", "551d11"),
        ("2.999.3", "883703"),
        ("0.9.2342.19200300.100.1.25", "0992268993f22c640119"),
        // The largest identifier that is made from a UUID (X.667).
        (
            "2.25.340282366920938463463374607431768211455",
            "6983ffffffffffffffffffffffffffffffffff7f",
        ),
    ] {
        let bytes = hex::decode(contents).unwrap();
        assert_eq!(encode_oid(&text.parse().unwrap()).unwrap(), bytes, "{text}");
        assert_eq!(decode_oid(&bytes).unwrap().as_str(), text);
    }
    for malformed in ["", "80", "2a80", "2a8001", "2a86"] {
        assert!(
            decode_oid(&hex::decode(malformed).unwrap()).is_err(),
            "{malformed}"
        );
    }
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = check_single(&bytes);
        let mut reader = Reader::new(&bytes);
        while let Ok(element) = reader.any() {
            let _ = (boolean(&element), unsigned(&element), small_unsigned(&element));
            let _ = (whole_octets(&element), decode_oid(element.value));
        }
    }

    #[test]
    fn an_accepted_element_is_what_would_be_written(
        bytes in proptest::collection::vec(any::<u8>(), 0..300)
    ) {
        if let Ok(element) = Reader::new(&bytes).any() {
            prop_assert_eq!(encode(element.tag, element.value), element.raw);
        }
    }

    #[test]
    fn object_identifiers_survive(
        first in 0_u32..=2, second in 0_u32..=39, rest in proptest::collection::vec(any::<u64>(), 0..6)
    ) {
        let arcs: Vec<String> = rest.iter().map(ToString::to_string).collect();
        let text = [vec![first.to_string(), second.to_string()], arcs].concat().join(".");
        let oid: clm_domain::oid::Oid = text.parse().unwrap();
        prop_assert_eq!(decode_oid(&encode_oid(&oid).unwrap()).unwrap(), oid);
    }

    #[test]
    fn accepted_object_identifiers_encode_to_the_same_bytes(
        bytes in proptest::collection::vec(any::<u8>(), 1..24)
    ) {
        if let Ok(oid) = decode_oid(&bytes) {
            prop_assert_eq!(encode_oid(&oid).unwrap(), bytes);
        }
    }
}
