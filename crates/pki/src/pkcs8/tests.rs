//! Encrypted keys; the tools of others read them in the tests against them.

use proptest::prelude::*;

use super::*;
use crate::key::PrivateKey;
use crate::test_fixture::P256;

struct Fixed;

impl clm_domain::clock::Rng for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0x5a);
    }
}

fn passphrase(text: &str) -> SecretString {
    SecretString::new(text.to_owned())
}

#[test]
fn what_is_encrypted_is_decrypted() {
    let der = P256.to_pkcs8_der().unwrap();
    let pem = encrypt(der.expose(), &passphrase("sésame"), &Fixed).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    let read = decrypt(pem.as_bytes(), &passphrase("sésame")).unwrap();
    assert_eq!(read.expose(), der.expose());
    assert!(PrivateKey::from_pkcs8_der(read.expose()).is_ok());
    let wrong = decrypt(pem.as_bytes(), &passphrase("sesame")).unwrap_err();
    assert_eq!(wrong, Pkcs8Error::PassphraseWrong);
}

#[test]
fn an_empty_passphrase_is_refused() {
    let error = encrypt(&[0x30, 0], &passphrase(""), &Fixed).unwrap_err();
    assert_eq!(error, Pkcs8Error::PassphraseEmpty);
}

#[test]
fn endless_derivation_is_refused() {
    for iterations in [0_u32, ITERATIONS_MAX + 1, u32::MAX] {
        let derivation = derive_key(&passphrase("x"), &[1; 16], iterations);
        assert!(matches!(derivation, Err(Pkcs8Error::Malformed(_))));
    }
}

#[test]
fn other_schemes_are_refused() {
    let scheme = encode_scheme(&[1; 16], &[2; 16]);
    let wrap = |scheme: &[u8], ciphertext: &[u8]| {
        asn1::encode_parts(
            tag::SEQUENCE,
            &[scheme, &asn1::encode(tag::OCTET_STRING, ciphertext)],
        )
    };
    assert!(read(&wrap(&scheme, &[0; 16])).is_ok());
    assert!(read(&wrap(&scheme, &[])).is_err());
    assert!(read(&wrap(&scheme, &[0; 17])).is_err());
    for at in 0..scheme.len() {
        let mut other = scheme.clone();
        other[at] ^= 0x01;
        // Salt, rounds and initialization vector may be anything; all else is fixed.
        if let Ok(parts) = read(&wrap(&other, &[0; 16])) {
            let same =
                parts.salt == [1; 16] && parts.iterations == ITERATIONS && parts.vector == [2; 16];
            assert!(!same, "octet {at} does not matter");
        }
    }
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
        let _ = decrypt(pem::encode(LABEL, &bytes).as_bytes(), &passphrase("x"));
    }
}
