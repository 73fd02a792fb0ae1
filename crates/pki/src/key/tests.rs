//! Every algorithm made, written, read, used; every deviation refused.

use proptest::prelude::*;

use super::*;
use crate::test_fixture::{P256, RSA, oid, sequence};

const MESSAGE: &[u8] = b"to be signed";

fn refusal(spki: &[u8]) -> KeyError {
    PublicKey::from_spki_der(spki).unwrap_err()
}

fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = sequence(&[
        &asn1::encode_unsigned(modulus),
        &asn1::encode_unsigned(exponent),
    ]);
    spki::encode(Family::Rsa, &key)
}

#[test]
fn each_algorithm_signs_verifies_and_survives_pkcs8() {
    for algorithm in KeyAlgorithm::ALL {
        let made = PrivateKey::generate(algorithm).unwrap();
        assert_eq!(made.algorithm(), algorithm);
        let read = PrivateKey::from_pkcs8_der(made.to_pkcs8_der().unwrap().expose()).unwrap();
        assert_eq!(read.algorithm(), algorithm);
        assert_eq!(
            read.subject_public_key_info(),
            made.subject_public_key_info()
        );
        let public = PublicKey::from_spki_der(made.subject_public_key_info()).unwrap();
        assert_eq!(public.algorithm(), algorithm);
        assert_eq!(public.spki_der(), made.subject_public_key_info());
        for signature_algorithm in SignatureAlgorithm::ALL {
            let signature = read.sign(signature_algorithm, MESSAGE);
            if !signature_algorithm.fits(algorithm) {
                let mismatch = KeyError::SignatureAlgorithmMismatch {
                    key: algorithm,
                    signature: signature_algorithm,
                };
                assert_eq!(signature, Err(mismatch));
                continue;
            }
            let signature = signature.unwrap();
            public
                .verify(signature_algorithm, MESSAGE, &signature)
                .unwrap();
            let other = public.verify(signature_algorithm, b"other", &signature);
            assert_eq!(other, Err(KeyError::SignatureInvalid));
        }
    }
}

#[test]
fn signatures_of_other_algorithms_do_not_verify() {
    let public = PublicKey::from_spki_der(RSA.subject_public_key_info()).unwrap();
    let signature = RSA.sign(SignatureAlgorithm::RsaPssSha256, MESSAGE).unwrap();
    for other in [
        SignatureAlgorithm::RsaPkcs1Sha256,
        SignatureAlgorithm::RsaPssSha384,
    ] {
        assert_eq!(
            public.verify(other, MESSAGE, &signature),
            Err(KeyError::SignatureInvalid)
        );
    }
    let mismatch = public.verify(SignatureAlgorithm::EcdsaSha256, MESSAGE, &signature);
    assert!(matches!(
        mismatch,
        Err(KeyError::SignatureAlgorithmMismatch { .. })
    ));
}

#[test]
fn debug_output_hides_the_private_key() {
    assert_eq!(format!("{:?}", *P256), "PrivateKey(ecdsa-p256, hidden)");
}

#[test]
fn rsa_parameters_must_be_null() {
    let good = RSA.subject_public_key_info();
    let identifier = sequence(&[&oid("1.2.840.113549.1.1.1"), &[5, 0]]);
    let position = good
        .windows(identifier.len())
        .position(|part| part == identifier)
        .unwrap();
    let bit_string = &good[position + identifier.len()..];
    for (parameters, code) in [
        (&[][..], "key_malformed"),
        (&[5, 1, 0], "key_malformed"),
        (&[0x30, 0], "key_malformed"),
    ] {
        let identifier = sequence(&[&oid("1.2.840.113549.1.1.1"), parameters]);
        let error = refusal(&sequence(&[&identifier, bit_string]));
        assert_eq!(error.code(), code);
        assert!(error.to_string().contains("NULL"), "{error}");
    }
}

#[test]
fn keys_bound_to_pss_are_refused_with_advice() {
    let identifier = sequence(&[&oid("1.2.840.113549.1.1.10")]);
    let error = refusal(&sequence(&[&identifier, &[3, 1, 0]]));
    assert_eq!(error.code(), "key_algorithm_unsupported");
    assert!(error.to_string().contains("rsaEncryption"), "{error}");
}

#[test]
fn other_curves_and_forms_of_points_are_refused() {
    let ec = oid("1.2.840.10045.2.1");
    // secp256k1, and no curve at all.
    for parameters in [oid("1.3.132.0.10"), vec![5, 0], Vec::new()] {
        let identifier = sequence(&[&ec, &parameters]);
        let error = refusal(&sequence(&[&identifier, &[3, 1, 0]]));
        assert_eq!(error.code(), "key_algorithm_unsupported");
        assert!(error.to_string().contains("P-256"), "{error}");
    }
    let good = P256.subject_public_key_info();
    let point = &good[good.len() - 65..];
    let mut compressed = point[..33].to_vec();
    compressed[0] = 2 + (point[64] & 1);
    let error = refusal(&spki::encode(Family::P256, &compressed));
    assert!(error.to_string().contains("uncompressed"), "{error}");
    let mut hybrid = point.to_vec();
    hybrid[0] = 6 + (point[64] & 1);
    assert_eq!(
        refusal(&spki::encode(Family::P256, &hybrid)).code(),
        "key_malformed"
    );
    let mut off_curve = point.to_vec();
    off_curve[64] ^= 1;
    assert_eq!(
        refusal(&spki::encode(Family::P256, &off_curve)).code(),
        "key_malformed"
    );
    assert_eq!(
        refusal(&spki::encode(Family::P256, &[0])).code(),
        "key_malformed"
    );
    assert_eq!(
        refusal(&spki::encode(Family::P384, point)).code(),
        "key_malformed"
    );
}

#[test]
fn weak_keys_are_refused() {
    let good = RSA.subject_public_key_info();
    let public = spki::parse(good).unwrap().1.to_vec();
    let mut reader = asn1::single(&public, tag::SEQUENCE).unwrap().reader();
    let modulus = reader.expect(tag::INTEGER).unwrap();
    let modulus = asn1::unsigned(&modulus).unwrap();
    assert_eq!(rsa_spki(modulus, &[1, 0, 1]), good);
    for exponent in [&[1][..], &[3], &[1, 0, 0]] {
        assert_eq!(
            refusal(&rsa_spki(modulus, exponent)),
            KeyError::Weak(WeakKey::Exponent)
        );
    }
    assert_eq!(
        refusal(&rsa_spki(&modulus[..128], &[1, 0, 1])).code(),
        "key_too_weak"
    );
    let error = refusal(&spki::encode(Family::Ed25519, &[0; 32]));
    assert_eq!(error, KeyError::Weak(WeakKey::LowOrder));
    assert_eq!(
        refusal(&spki::encode(Family::Ed25519, &[9; 31])).code(),
        "key_malformed"
    );
    // The library verifies with exponents of at most 33 bits.
    assert_eq!(
        refusal(&rsa_spki(modulus, &[0xff; 32])).code(),
        "key_malformed"
    );
}

#[test]
fn encodings_that_are_not_der_are_refused() {
    let good = P256.subject_public_key_info();
    let mut long_length = vec![0x30, 0x81];
    long_length.extend_from_slice(&good[1..]);
    let mut trailing = good.to_vec();
    trailing.push(0);
    let mut unused_bits = good.to_vec();
    unused_bits[25] = 1;
    for bytes in [
        &long_length,
        &trailing,
        &unused_bits,
        &good[..good.len() - 1].to_vec(),
    ] {
        assert_eq!(refusal(bytes).code(), "key_malformed");
    }
}

#[test]
fn private_keys_that_do_not_fit_are_refused() {
    let one = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let der = one.to_pkcs8_der().unwrap();
    let mut trailing = der.expose().to_vec();
    trailing.push(0);
    assert!(PrivateKey::from_pkcs8_der(&trailing).is_err());
    assert!(PrivateKey::from_pkcs8_der(&der.expose()[1..]).is_err());
    assert!(PrivateKey::from_pkcs8_der(&[]).is_err());
    // The public key that an EC private key carries must belong to it.
    let der = P256.to_pkcs8_der().unwrap();
    let other = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let public = &other.subject_public_key_info()[26..];
    let mut swapped = der.expose().to_vec();
    let length = swapped.len();
    swapped[length - 65..].copy_from_slice(public);
    assert_eq!(
        PrivateKey::from_pkcs8_der(&swapped).unwrap_err().code(),
        "key_malformed"
    );
}

#[test]
fn key_identifiers_follow_rfc_7093() {
    let spki = P256.subject_public_key_info();
    let identifier = subject_key_identifier(spki).unwrap();
    let point = &spki[spki.len() - 65..];
    assert_eq!(identifier, sha256(point)[..20]);
    assert!(subject_key_identifier(&spki[1..]).is_err());
    assert_eq!(
        hex::encode(spki_sha256(b"abc")),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn signature_algorithms_survive_and_other_forms_are_judged() {
    for algorithm in SignatureAlgorithm::ALL {
        let der = signature_algorithm_identifier(algorithm);
        assert!(asn1::check_single(der).is_ok());
        assert_eq!(signature_algorithm_from_der(der), Ok(algorithm));
    }
    let sha256_rsa = oid("1.2.840.113549.1.1.11");
    let without_null = sequence(&[&sha256_rsa]);
    let rsa = Ok(SignatureAlgorithm::RsaPkcs1Sha256);
    assert_eq!(signature_algorithm_from_der(&without_null), rsa);
    assert!(signature_algorithm_from_der(&sequence(&[&sha256_rsa, &[0x30, 0]])).is_err());
    for (kind, word) in [
        ("1.2.840.113549.1.1.5", "SHA-1"),
        ("1.2.840.113549.1.1.4", "MD5"),
        ("1.2.840.10045.4.1", "SHA-1"),
        ("1.2.840.113549.1.1.14", "1.2.840.113549.1.1.14"),
    ] {
        let error = signature_algorithm_from_der(&sequence(&[&oid(kind), &[5, 0]])).unwrap_err();
        assert_eq!(error.code(), "key_algorithm_unsupported");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn pss_parameters_are_checked() {
    let explicit = |number, der: &[u8]| asn1::encode(tag::context_constructed(number), der);
    let sha256 = sequence(&[&oid("2.16.840.1.101.3.4.2.1"), &[5, 0]]);
    let sha256_bare = sequence(&[&oid("2.16.840.1.101.3.4.2.1")]);
    let sha384 = sequence(&[&oid("2.16.840.1.101.3.4.2.2"), &[5, 0]]);
    let mgf1 = oid("1.2.840.113549.1.1.8");
    let pss = |hash: &[u8], mask: &[u8], salt: u8| {
        let parameters = sequence(&[
            &explicit(0, hash),
            &explicit(1, &sequence(&[&mgf1, mask])),
            &explicit(2, &[2, 1, salt]),
        ]);
        signature_algorithm_from_der(&sequence(&[&oid("1.2.840.113549.1.1.10"), &parameters]))
    };
    assert_eq!(
        pss(&sha256, &sha256, 32),
        Ok(SignatureAlgorithm::RsaPssSha256)
    );
    assert_eq!(
        pss(&sha256_bare, &sha256_bare, 32),
        Ok(SignatureAlgorithm::RsaPssSha256)
    );
    assert_eq!(
        pss(&sha384, &sha384, 48),
        Ok(SignatureAlgorithm::RsaPssSha384)
    );
    for refused in [
        pss(&sha256, &sha384, 32),
        pss(&sha256, &sha256, 20),
        pss(&sha256, &sha256, 0),
        pss(&sha384, &sha384, 32),
    ] {
        assert_eq!(refused.unwrap_err().code(), "key_algorithm_unsupported");
    }
    // The defaults of RFC 4055 are SHA-1.
    let defaults = sequence(&[&oid("1.2.840.113549.1.1.10"), &sequence(&[])]);
    assert!(signature_algorithm_from_der(&defaults).is_err());
    assert!(signature_algorithm_from_der(&sequence(&[&oid("1.2.840.113549.1.1.10")])).is_err());
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = PublicKey::from_spki_der(&bytes);
        let _ = PrivateKey::from_pkcs8_der(&bytes);
        let _ = signature_algorithm_from_der(&bytes);
        let _ = subject_key_identifier(&bytes);
        let public = PublicKey::from_spki_der(P256.subject_public_key_info()).unwrap();
        prop_assert!(public.verify(SignatureAlgorithm::EcdsaSha256, MESSAGE, &bytes).is_err());
    }

    #[test]
    fn damaged_keys_never_panic(position in 0_usize..2000, value: u8, rsa: bool) {
        let key = if rsa { &*RSA } else { &*P256 };
        let mut spki = key.subject_public_key_info().to_vec();
        let at = position % spki.len();
        spki[at] = value;
        if let Ok(public) = PublicKey::from_spki_der(&spki) {
            prop_assert_eq!(public.spki_der(), spki);
        }
        let mut pkcs8 = key.to_pkcs8_der().unwrap().expose().to_vec();
        let at = position % pkcs8.len();
        pkcs8[at] = value;
        let _ = PrivateKey::from_pkcs8_der(&pkcs8);
    }
}
