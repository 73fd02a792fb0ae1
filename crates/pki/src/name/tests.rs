//! Names of every string type, in both directions.

use proptest::prelude::*;

use super::*;
use crate::test_fixture::{name, oid, sequence};

fn read(der: &[u8]) -> DistinguishedName {
    DistinguishedName::from_der(der).unwrap()
}

fn violation(der: &[u8]) -> String {
    read(der).check().unwrap_err().to_string()
}

#[test]
fn every_string_type_is_read_as_text() {
    for (string_tag, value, text) in [
        (tag::UTF8_STRING, "Grüße 東京".as_bytes(), "Grüße 東京"),
        (tag::PRINTABLE_STRING, b"plain", "plain"),
        (tag::IA5_STRING, b"a@b", "a@b"),
        (tag::TELETEX_STRING, b"Gr\xfc\xdfe", "Grüße"),
        (tag::VISIBLE_STRING, b"plain", "plain"),
        (tag::NUMERIC_STRING, b"12 3", "12 3"),
        (tag::BMP_STRING, b"\x00G\x67\x71", "G東"),
        (
            tag::UNIVERSAL_STRING,
            b"\x00\x01\xf6\x00\x00\x00\x00a",
            "😀a",
        ),
    ] {
        let der = name(COMMON_NAME, string_tag, value);
        let read = read(&der);
        assert_eq!(read.common_names(), [text]);
        assert_eq!(read.check(), Ok(()), "{string_tag:02x}");
        assert_eq!(read.der(), der);
    }
}

#[test]
fn strings_outside_the_rules_are_refused() {
    let common = |string_tag, value: &[u8]| violation(&name(COMMON_NAME, string_tag, value));
    assert!(common(tag::UTF8_STRING, b"\xff").contains("UTF-8"));
    assert!(common(tag::UTF8_STRING, b"\xed\xa0\x80").contains("UTF-8"));
    assert!(common(tag::PRINTABLE_STRING, b"*.example.com").contains("PrintableString"));
    assert!(common(tag::PRINTABLE_STRING, b"a@b").contains("PrintableString"));
    assert!(common(tag::IA5_STRING, b"\xe9").contains("string type"));
    assert!(common(tag::NUMERIC_STRING, b"1a").contains("string type"));
    assert!(common(tag::BMP_STRING, b"\xd8\x00\xdc\x00").contains("no character"));
    assert!(common(tag::BMP_STRING, b"\x00").contains("no character"));
    assert!(common(tag::UNIVERSAL_STRING, b"\x00\x11\x00\x00").contains("no character"));
    for control in [
        "a\0b",
        "a\nb",
        "\u{1b}[2J",
        "a\u{85}",
        "a\u{202e}b",
        "\u{7f}",
    ] {
        assert!(
            common(tag::UTF8_STRING, control.as_bytes()).contains("control"),
            "{control:?}"
        );
    }
    assert!(common(tag::TELETEX_STRING, b"a\x00").contains("control"));
    assert!(common(tag::BMP_STRING, b"\x00\x00").contains("control"));
    assert!(common(tag::UTF8_STRING, b"").contains("empty"));
    assert!(common(tag::BIT_STRING, &[0, 1]).contains("must be a string"));
}

#[test]
fn lengths_and_countries() {
    let country = |value: &[u8]| read(&name("2.5.4.6", tag::PRINTABLE_STRING, value)).check();
    assert_eq!(country(b"DE"), Ok(()));
    for bad in [&b"D"[..], b"DEU", b"1A", b""] {
        assert!(country(bad).is_err());
    }
    let common = |length| {
        let der = name(COMMON_NAME, tag::UTF8_STRING, "ü".repeat(length).as_bytes());
        read(&der).check()
    };
    assert_eq!(common(64), Ok(()));
    assert_eq!(
        common(65).unwrap_err().to_string(),
        "the value of CN has 65 characters; at most 64 are allowed"
    );
    let huge = name(
        "1.2.3.4",
        tag::UTF8_STRING,
        &vec![b'a'; SUBJECT_DER_BYTES_MAX],
    );
    assert_eq!(DistinguishedName::from_der(&huge), Err(NameError::TooLong));
}

#[test]
fn unknown_attributes_may_hold_anything_that_is_der() {
    let der = name("1.2.3.4", tag::BIT_STRING, &[0, 1]);
    let read = read(&der);
    assert_eq!(read.check(), Ok(()));
    assert_eq!(read.rfc4514(), "1.2.3.4=#03020001");
    // A constructed string inside.
    let ber = name("1.2.3.4", 0x2c, &[0x0c, 0x01, b'a']);
    assert!(DistinguishedName::from_der(&ber).is_err());
}

#[test]
fn malformed_structures_are_refused() {
    let good = name(COMMON_NAME, tag::UTF8_STRING, b"a");
    let mut trailing = good.clone();
    trailing.push(0);
    let empty_set = sequence(&[&[tag::SET, 0]]);
    let bare = sequence(&[&sequence(&[&oid(COMMON_NAME), &[0x0c, 1, b'a']])]);
    let no_value = sequence(&[&asn1::encode(tag::SET, &sequence(&[&oid(COMMON_NAME)]))]);
    for der in [
        trailing,
        empty_set,
        bare,
        no_value,
        good[..good.len() - 1].to_vec(),
        vec![],
    ] {
        assert!(DistinguishedName::from_der(&der).is_err(), "{der:02x?}");
    }
}

#[test]
fn an_unsorted_multi_valued_relative_name_is_kept() {
    let organization = sequence(&[&oid("2.5.4.10"), &asn1::encode(tag::UTF8_STRING, b"b")]);
    let common = sequence(&[&oid(COMMON_NAME), &asn1::encode(tag::UTF8_STRING, b"a")]);
    let unsorted = sequence(&[&asn1::encode(tag::SET, &[organization, common].concat())]);
    let read = read(&unsorted);
    assert_eq!(read.der(), unsorted);
    assert_eq!(read.check(), Ok(()));
    assert_eq!(read.rfc4514(), "O=b+CN=a");
}

#[test]
fn builds_in_the_right_types_and_order() {
    let der = NameBuilder::new()
        .add("c", "DE")
        .and_then(|name| name.add("DC", "example"))
        .and_then(|name| name.add("2.5.4.10", "Ünïted, Inc."))
        .and_then(|name| name.add_multi_valued(&[("UID", "7"), ("CN", "web")]))
        .and_then(|name| name.add("emailAddress", "a@b.example"))
        .map(NameBuilder::build)
        .unwrap();
    let read = read(&der);
    assert_eq!(read.check(), Ok(()));
    assert_eq!(
        read.rfc4514(),
        "emailAddress=a@b.example,CN=web+UID=7,O=Ünïted\\, Inc.,DC=example,C=DE"
    );
    let tags: Vec<u8> = read
        .relative_names()
        .iter()
        .flatten()
        .map(|attribute| attribute.value_der[0])
        .collect();
    assert_eq!(tags, [0x13, 0x16, 0x0c, 0x0c, 0x0c, 0x16]);
    assert!(!is_empty(&der));
    assert!(is_empty(&NameBuilder::new().build()));
}

#[test]
fn the_builder_refuses_what_it_would_not_read() {
    let add = |attribute, value| NameBuilder::new().add(attribute, value).unwrap_err();
    assert_eq!(add("XX", "a"), NameError::UnknownAttribute("XX".to_owned()));
    assert!(matches!(add("C", "Germany"), NameError::Value { .. }));
    assert!(matches!(add("CN", ""), NameError::Value { .. }));
    assert!(matches!(add("CN", "a\0"), NameError::Value { .. }));
    assert!(matches!(add("DC", "ü"), NameError::Value { .. }));
    assert!(matches!(
        add("serialNumber", "a_b"),
        NameError::Value { .. }
    ));
    assert_eq!(add("1.2.3", &"a".repeat(9_000)), NameError::TooLong);
    assert!(NameBuilder::new().add_multi_valued(&[]).is_err());
}

#[test]
fn reads_rfc_4514_text() {
    let text = |input: &str| from_rfc4514(input).map(|der| read(&der).rfc4514());
    assert_eq!(
        text("CN=web,O=Example,C=DE").unwrap(),
        "CN=web,O=Example,C=DE"
    );
    assert_eq!(
        text("cn = web , o=Example  GmbH").unwrap(),
        "CN=web,O=Example  GmbH"
    );
    assert_eq!(
        text("CN=a\\,b\\+c\\\\\\\"").unwrap(),
        "CN=a\\,b\\+c\\\\\\\""
    );
    assert_eq!(text("CN=\\ a\\ ").unwrap(), "CN=\\ a\\ ");
    assert_eq!(text("CN=\\#a").unwrap(), "CN=\\#a");
    assert_eq!(text("CN=Lu\\C4\\8Di\\C4\\87").unwrap(), "CN=Lučić");
    assert_eq!(
        text("1.3.6.1.4.1.1466.0=#04024869").unwrap(),
        "1.3.6.1.4.1.1466.0=#04024869"
    );
    // A set is sorted by its encodings, and the shorter one comes first.
    assert_eq!(
        text("CN=J. Smith+OU=Sales,DC=example,DC=net").unwrap(),
        "OU=Sales+CN=J. Smith,DC=example,DC=net"
    );
    assert!(is_empty(&from_rfc4514(" ").unwrap()));
    for malformed in [
        "web",
        "CN=a,",
        "CN=a,,O=b",
        "CN=a;O=b",
        "CN=\"a\"",
        "CN=a\\",
        "CN=a\\zz",
        "CN=\\ff",
        "CN=#0",
        "CN=#zz",
        "CN=#0c05",
        "CN=",
        "=a",
        "CN=a+",
        "C=DEU",
    ] {
        assert!(from_rfc4514(malformed).is_err(), "{malformed}");
    }
}

#[test]
fn control_characters_are_escaped_in_text() {
    let der = name(COMMON_NAME, tag::UTF8_STRING, b"a\0\x1b[2J");
    assert_eq!(read(&der).rfc4514(), "CN=a\\00\\1b[2J");
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,60}") {
        if let Ok(name) = DistinguishedName::from_der(&bytes) {
            prop_assert_eq!(name.der(), bytes);
            let _ = (name.check(), name.rfc4514());
        }
        let _ = from_rfc4514(&text);
    }

    #[test]
    fn any_string_value_never_panics(string_tag in 0_u8..0x20, value in proptest::collection::vec(any::<u8>(), 0..40)) {
        let der = name(COMMON_NAME, string_tag, &value);
        if let Ok(name) = DistinguishedName::from_der(&der) {
            let text = name.rfc4514();
            prop_assert!(!text.chars().any(char::is_control));
            if name.check().is_ok() {
                prop_assert!(!name.common_names().concat().chars().any(char::is_control));
            }
        }
    }

    #[test]
    fn text_survives(values in proptest::collection::vec("[^\\p{C}\\p{Z}]{1,8}[ #,+\"\\\\<>;=]{0,3}[^\\p{C}\\p{Z}]{1,8} ?", 1..5)) {
        let builder = values.iter().try_fold(NameBuilder::new(), |name, value| name.add("CN", value));
        let der = builder.unwrap().build();
        let name = read(&der);
        prop_assert_eq!(name.check(), Ok(()));
        prop_assert_eq!(name.common_names(), values);
        prop_assert_eq!(from_rfc4514(&name.rfc4514()).unwrap(), der);
    }
}
