//! Extension values by their bytes.

use proptest::prelude::*;

use super::*;

fn bytes(hexadecimal: &str) -> Vec<u8> {
    hex::decode(hexadecimal).unwrap()
}

#[test]
fn key_usages() {
    let usage = key_usage(&bytes("030205a0")).unwrap();
    assert!(usage.digital_signature && usage.key_encipherment);
    assert!(!usage.key_cert_sign && !usage.content_commitment);
    let usage = key_usage(&bytes("03020106")).unwrap();
    assert!(usage.key_cert_sign && usage.crl_sign);
    assert!(key_usage(&bytes("0303070080")).unwrap().decipher_only);
    assert_eq!(key_usage(&bytes("030100")), Ok(KeyUsage::default()));
    // Zero bits at the end.
    for padded in ["0303070600", "030200a0", "030204a0"] {
        assert!(key_usage(&bytes(padded)).is_err());
        assert!(key_usage_of_others(&bytes(padded)).is_ok());
    }
    // Unused bits that are set, too many unused bits, bits that do not exist.
    for malformed in ["030205a1", "030208a0", "0303060040", "0304000000ff", "0300"] {
        assert!(key_usage(&bytes(malformed)).is_err(), "{malformed}");
        assert!(
            key_usage_of_others(&bytes(malformed)).is_err(),
            "{malformed}"
        );
    }
}

#[test]
fn constraints() {
    let read = |hexadecimal| basic_constraints(&bytes(hexadecimal));
    let expect = |certificate_authority, path_length_max| {
        Ok(BasicConstraints {
            certificate_authority,
            path_length_max,
        })
    };
    assert_eq!(read("3000"), expect(false, None));
    assert_eq!(read("3003010100"), expect(false, None));
    assert_eq!(read("30030101ff"), expect(true, None));
    assert_eq!(read("30060101ff020103"), expect(true, Some(3)));
    assert_eq!(read("30070101ff02020100"), expect(true, Some(255)));
    for malformed in [
        "3003010101",
        "30060101ff0201ff",
        "30060201030101ff",
        "300000",
        "",
    ] {
        assert!(read(malformed).is_err(), "{malformed}");
    }
}

#[test]
fn purposes_and_key_identifiers() {
    let purposes = extended_key_usage(&bytes("300a06082b06010505070301")).unwrap();
    assert_eq!(purposes, ["1.3.6.1.5.5.7.3.1".parse().unwrap()]);
    assert!(extended_key_usage(&bytes("3000")).is_err());
    assert_eq!(
        subject_key_identifier(&bytes("0402abcd")),
        Ok(vec![0xab, 0xcd])
    );
    assert_eq!(
        authority_key_identifier(&bytes("30048002abcd")),
        Ok(Some(vec![0xab, 0xcd]))
    );
    assert_eq!(authority_key_identifier(&bytes("3000")), Ok(None));
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = (key_usage(&bytes), basic_constraints(&bytes), extended_key_usage(&bytes));
        let _ = (subject_key_identifier(&bytes), authority_key_identifier(&bytes));
    }
}
