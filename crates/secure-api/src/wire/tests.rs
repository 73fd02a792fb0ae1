//! Tests of `wire`.

use super::*;

#[test]
fn a_program_reads_its_own_version_and_the_one_before() {
    let versions = Versions::of(7);
    let read = |version| {
        let bytes = encode_as(version, &"text").unwrap();
        decode_any::<String>(versions, &bytes)
    };
    for version in [6, 7] {
        assert_eq!(read(version).unwrap(), (version, "text".to_owned()));
    }
    for version in [0, 5, 8, 9] {
        match read(version) {
            Err(WireError::Version {
                found,
                oldest: 6,
                newest: 7,
            }) => assert_eq!(found, version),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn there_was_nothing_before_the_first_version() {
    assert_eq!(Versions::of(1), SUPPORTED);
    assert!(SUPPORTED.accept(1) && !SUPPORTED.accept(0) && !SUPPORTED.accept(2));
}

#[test]
fn what_is_no_message_is_an_error() {
    assert!(matches!(decode::<u8>(&[]), Err(WireError::Decode(_))));
    assert!(matches!(
        decode::<u8>(&[1, 0xff]),
        Err(WireError::Decode(_))
    ));
    let long = vec![1; MESSAGE_BYTES_MAX + 1];
    assert!(matches!(decode::<u8>(&long), Err(WireError::Decode(_))));
}
