//! Names of every form, in both directions and against the rules.

use proptest::prelude::*;

use super::*;
use crate::name::from_rfc4514;
use crate::test_fixture::sequence;

fn dns(text: &str) -> GeneralName {
    GeneralName::Dns(text.to_owned())
}

fn all_forms() -> Vec<GeneralName> {
    vec![
        dns("www.example.com"),
        dns("*.example.com"),
        dns("xn--bcher-kva.example"),
        GeneralName::Ip("192.0.2.1".parse().unwrap()),
        GeneralName::Ip("2001:db8::1".parse().unwrap()),
        GeneralName::Uri("spiffe://cluster.example/ns/a".to_owned()),
        GeneralName::Email("first.last+tag@mail.example".to_owned()),
        GeneralName::DirectoryName(from_rfc4514("CN=a,O=b").unwrap()),
        GeneralName::OtherName {
            type_id: "1.3.6.1.4.1.311.20.2.3".parse().unwrap(),
            value_der: b"\x0c\x03a@b".to_vec(),
        },
        GeneralName::RegisteredId("1.2.3.4".parse().unwrap()),
    ]
}

fn decode_one(element: &[u8]) -> Result<GeneralName, GeneralNameError> {
    decode_general_names(&sequence(&[element])).map(|mut names| names.remove(0))
}

#[test]
fn every_form_survives() {
    let names = all_forms();
    let der = encode_general_names(&names).unwrap();
    assert!(asn1::check_single(&der).is_ok());
    assert_eq!(decode_general_names(&der).unwrap(), names);
    for name in names {
        assert_eq!(
            decode_one(&encode_general_name(&name).unwrap()).unwrap(),
            name
        );
    }
}

#[test]
fn known_bytes() {
    let der = encode_general_names(&[dns("a.b"), GeneralName::Ip("10.0.0.1".parse().unwrap())]);
    assert_eq!(hex::encode(der.unwrap()), "300b8203612e6287040a000001");
}

#[test]
fn empty_lists_and_foreign_forms_are_refused() {
    assert!(encode_general_names(&[]).is_err());
    assert!(decode_general_names(&[0x30, 0]).is_err());
    for (element, word) in [
        (&[0xa3, 0x00][..], "x400Address"),
        (&[0xa5, 0x00], "ediPartyName"),
        (&[0x89, 0x00], "unknown form"),
        (&[0x0c, 0x01, b'a'], "no GeneralName"),
        (&[0xa2, 0x01, b'a'], "no GeneralName"),
        (&[0x87, 0x03, 1, 2, 3], "3 bytes"),
        (&[0x87, 0x08, 1, 2, 3, 4, 5, 6, 7, 8], "8 bytes"),
        (&[0x88, 0x01, 0x80], "OBJECT IDENTIFIER"),
        (&[0xa4, 0x02, 0x31, 0x00], "another type"),
        (&[0x82, 0x03, b'a', 0, b'b'], "control"),
        (&[0x86, 0x02, b'a', b'\n'], "control"),
    ] {
        let error = decode_one(element).unwrap_err().to_string();
        assert!(error.contains(word), "{element:02x?}: {error}");
    }
}

#[test]
fn unicode_is_refused_with_advice() {
    let element = asn1::encode(0x82, "bücher.example".as_bytes());
    let error = decode_one(&element).unwrap_err();
    assert_eq!(
        error.to_string(),
        "name 1 (dNSName) holds characters beyond ASCII: write internationalized names with \
         A-labels (punycode), such as xn--bcher-kva.example"
    );
    assert!(
        check(&dns("bücher.example"))
            .unwrap_err()
            .contains("punycode")
    );
}

#[test]
fn host_names() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    for good in [
        "example.com",
        "localhost",
        "a-b.example",
        "1.example",
        "EXAMPLE.com",
        "*.example.com",
        "*.a.b.example",
        "xn--80ak6aa92e.com",
        &longest,
    ] {
        assert_eq!(check(&dns(good)), Ok(()), "{good}");
    }
    let too_long = format!("{longest}b");
    let long_label = format!("{label}a.example");
    for bad in [
        "",
        ".",
        "example.com.",
        ".example.com",
        "a..b",
        "a_b.example",
        "-a.example",
        "a-.example",
        "*",
        "*.",
        "*.com",
        "*.*.example.com",
        "a*.example.com",
        "a.*.example.com",
        "*a.example.com",
        "**.example.com",
        "exa mple.com",
        "example.com/",
        "http://example.com",
        "a@b.example",
        "192.0.2.1",
        "example.1",
        "xn--.example",
        "a\0b.example",
        &too_long,
        &long_label,
    ] {
        assert!(check(&dns(bad)).is_err(), "{bad}");
    }
}

#[test]
fn mailboxes() {
    let email = |text: &str| check(&GeneralName::Email(text.to_owned()));
    let longest = format!("{}@example.com", "a".repeat(64));
    for good in [
        "a@b",
        "first.last@mail.example",
        "o'neil+x@a-b.example",
        &longest,
    ] {
        assert_eq!(email(good), Ok(()), "{good}");
    }
    let too_long = format!("{}@example.com", "a".repeat(65));
    for bad in [
        "",
        "a",
        "@b",
        "a@",
        "a@b@c",
        "a b@c.example",
        "\"a b\"@c.example",
        ".a@b",
        "a.@b",
        "a..b@c",
        "a@b.",
        "a@*.example",
        "a@[192.0.2.1]",
        "A <a@b.example>",
        "ü@b.example",
        &too_long,
    ] {
        assert!(email(bad).is_err(), "{bad}");
    }
}

#[test]
fn uris() {
    let uri = |text: &str| check(&GeneralName::Uri(text.to_owned()));
    for good in [
        "https://example.com",
        "http://example.com:8080/a?b=c#d",
        "https://[2001:db8::1]:443/",
        "https://192.0.2.1/",
        "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "spiffe://trust.example/workload",
        "ldap:///CN=CA?cACertificate",
        "tag:a,2026:b",
        "HTTPS://EXAMPLE.com/%7Ea",
        "https://example.com?x",
    ] {
        assert_eq!(uri(good), Ok(()), "{good}");
    }
    let too_long = format!("urn:{}", "a".repeat(2_048));
    for bad in [
        "",
        "example.com",
        "//example.com",
        "/path",
        ":a",
        "1a:b",
        "http:",
        "https:///path",
        "https://",
        "https:example.com",
        "https://:80/",
        "https://a b.example/",
        "https://exa_mple.com",
        "https://a@b.example/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://[::1/",
        "https://[example]/",
        "https://[::1]x/",
        "https://example.com/<script>",
        "https://example.com/%zz",
        "https://example.com/%a",
        "https://ex\u{e4}mple.com/",
        "https://*.example.com/",
        &too_long,
    ] {
        assert!(uri(bad).is_err(), "{bad}");
    }
}

#[test]
fn nested_names_and_values_are_judged() {
    let directory = |der: Vec<u8>| check(&GeneralName::DirectoryName(der));
    assert!(directory(vec![0x30, 0]).unwrap_err().contains("empty"));
    assert!(directory(vec![0x30]).is_err());
    let control = crate::test_fixture::name("2.5.4.3", 0x0c, b"a\0b");
    assert!(directory(control).unwrap_err().contains("control"));
    let other = |value_der: &[u8]| GeneralName::OtherName {
        type_id: "1.2.3".parse().unwrap(),
        value_der: value_der.to_vec(),
    };
    assert_eq!(check(&other(&[5, 0])), Ok(()));
    for bad in [&[][..], &[5], &[5, 0, 0], &[0x24, 0x80, 0, 0]] {
        assert!(check(&other(bad)).is_err(), "{bad:02x?}");
        assert!(encode_general_names(&[other(bad)]).is_err());
    }
}

#[test]
fn errors_name_the_place() {
    let names = [dns("a.example"), dns("b_c.example")];
    let error = check_all(&names).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("name 2 (dNSName) has a label"),
        "{error}"
    );
    assert_eq!(encode_general_names(&names).unwrap_err(), error);
}

proptest! {
    #[test]
    fn never_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,80}", number in 0_u8..16
    ) {
        let _ = decode_general_names(&bytes);
        for tag in [0x80 | number, 0xa0 | number] {
            if let Ok(name) = decode_one(&asn1::encode(tag, &bytes)) {
                let _ = check(&name);
            }
        }
        for name in [dns(&text), GeneralName::Email(text.clone()), GeneralName::Uri(text.clone())] {
            let _ = check(&name);
        }
    }

    #[test]
    fn what_is_accepted_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..60), number in 0_u8..9) {
        for tag in [0x80 | number, 0xa0 | number] {
            let der = sequence(&[&asn1::encode(tag, &bytes)]);
            if let Ok(names) = decode_general_names(&der)
                && let Ok(encoded) = encode_general_names(&names)
            {
                prop_assert_eq!(encoded, der);
            }
        }
    }
}
