//! PEM as tools write it, and as they should not.

use proptest::prelude::*;

use super::*;

#[test]
fn writes_lines_of_64_characters() {
    let text = encode("CERTIFICATE", &[0xaa; 49]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "-----BEGIN CERTIFICATE-----");
    assert_eq!((lines[1].len(), lines[2].len()), (64, 4));
    assert_eq!(lines[3], "-----END CERTIFICATE-----");
    assert_eq!(encode("X", &[]), "-----BEGIN X-----\n-----END X-----\n");
}

#[test]
fn reads_among_other_text() {
    let text = format!(
        "Subject: CN = \u{fc}\r\n{}{}tail",
        encode("EC PARAMETERS", &[1]),
        encode("CERTIFICATE", b"abc").replace('\n', "\r\n")
    );
    assert_eq!(
        decode_one(text.as_bytes(), CERTIFICATE_LABELS).unwrap(),
        b"abc"
    );
    let blocks = decode_all(text.as_bytes(), &["EC PARAMETERS", "CERTIFICATE"]).unwrap();
    assert_eq!(blocks.len(), 2);
    assert_eq!(blocks[0].label, "EC PARAMETERS");
    assert_eq!(
        format!("{:?}", blocks[0]),
        "PemBlock(EC PARAMETERS, 1 bytes)"
    );
}

#[test]
fn refuses_none_and_several() {
    let one = encode("CERTIFICATE", b"abc");
    let two = format!("{one}{one}");
    let error = decode_one(two.as_bytes(), CERTIFICATE_LABELS).unwrap_err();
    assert_eq!(error, PemError::Several("CERTIFICATE".to_owned()));
    let error = decode_one(one.as_bytes(), REQUEST_LABELS).unwrap_err();
    assert_eq!(error, PemError::Missing("CERTIFICATE REQUEST".to_owned()));
}

#[test]
fn refuses_malformed_blocks() {
    for text in [
        "-----BEGIN X-----\nYWJj\n",
        "-----BEGIN X-----\nYWJj\n-----END Y-----\n",
        "-----BEGIN X-----\nYWJj\n-----BEGIN X-----\n",
        "-----BEGIN X-----\nYW!j\n-----END X-----\n",
        "-----BEGIN X-----\nYWI\n-----END X-----\n",
        "-----BEGIN X-----\nYWJ=\n-----END X-----\n",
        "-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\n\nYWJj\n-----END X-----\n",
    ] {
        let error = decode_one(text.as_bytes(), &["X"]).unwrap_err();
        assert!(matches!(error, PemError::Malformed(_)), "{text}: {error}");
    }
}

#[test]
fn tells_der_from_pem() {
    let der = [0x30, 0x82, 0, 0];
    assert!(matches!(to_der(&der, &["X"]), Ok(Cow::Borrowed(_))));
    let text = format!("0 s:CN = example\n{}", encode("X", b"abc"));
    assert_eq!(to_der(text.as_bytes(), &["X"]).unwrap().as_ref(), b"abc");
    assert!(to_der(b"", &["X"]).is_err());
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode_all(&bytes, &["X"]);
        let framed = [b"-----BEGIN X-----\n", &bytes[..], b"\n-----END X-----"].concat();
        let _ = decode_all(&framed, &["X"]);
    }

    #[test]
    fn contents_survive(contents in proptest::collection::vec(any::<u8>(), 0..300)) {
        let text = encode("PRIVATE KEY", &contents);
        prop_assert_eq!(decode_one(text.as_bytes(), &["PRIVATE KEY"]).unwrap(), contents);
    }
}
