//! Certificates made by hand and by chance; those of other tools are read in the tests against
//! them.

use clm_domain::key_algorithm::KeyAlgorithm;
use proptest::prelude::*;

use super::*;
use crate::key::{PrivateKey, signature_algorithm_identifier};
use crate::name::from_rfc4514;
use crate::test_fixture::{P256, extension, oid as encode_oid, sequence};

/// A certificate that [`P256`] issues to itself.
fn certificate(serial: &[u8], extensions: &[&[u8]]) -> Vec<u8> {
    signed(
        serial,
        extensions,
        signature_algorithm_identifier(SignatureAlgorithm::EcdsaSha256),
    )
}

fn signed(serial: &[u8], extensions: &[&[u8]], outer_algorithm: &[u8]) -> Vec<u8> {
    let algorithm = signature_algorithm_identifier(SignatureAlgorithm::EcdsaSha256);
    let subject = from_rfc4514("CN=web,O=Example").unwrap();
    let validity = sequence(&[b"\x17\x0d260101000000Z", b"\x18\x0f20510101000000Z"]);
    let tbs = sequence(&[
        &[0xa0, 3, 2, 1, 2],
        &asn1::encode(tag::INTEGER, serial),
        algorithm,
        &subject,
        &validity,
        &subject,
        P256.subject_public_key_info(),
        &asn1::encode(tag::context_constructed(3), &sequence(extensions)),
    ]);
    let signature = P256.sign(SignatureAlgorithm::EcdsaSha256, &tbs).unwrap();
    sequence(&[&tbs, outer_algorithm, &asn1::encode_bit_string(&signature)])
}

fn valid() -> Vec<u8> {
    certificate(
        &[0x00, 0x80],
        &[
            &extension(
                "2.5.29.17",
                &sequence(&[&asn1::encode(0x82, b"web.example")]),
            ),
            &extension("2.5.29.15", &[3, 2, 5, 0xa0]),
            &extension("2.5.29.19", &[0x30, 0]),
            &extension("2.5.29.37", &sequence(&[&encode_oid("1.3.6.1.5.5.7.3.1")])),
            &extension("2.5.29.14", &[4, 2, 0xab, 0xcd]),
            &extension("2.5.29.35", &[0x30, 4, 0x80, 2, 0xab, 0xcd]),
        ],
    )
}

#[test]
fn all_parts_are_read() {
    let der = valid();
    let certificate = Certificate::from_der(&der).unwrap();
    assert_eq!(certificate.der(), der);
    assert_eq!(certificate.version(), 2);
    assert_eq!(certificate.serial(), [0x00, 0x80]);
    assert_eq!(
        certificate.subject_der(),
        from_rfc4514("CN=web,O=Example").unwrap()
    );
    assert_eq!(certificate.issuer_der(), certificate.subject_der());
    assert_eq!(certificate.spki_der(), P256.subject_public_key_info());
    assert_eq!(certificate.key_algorithm(), Some(KeyAlgorithm::EcdsaP256));
    assert_eq!(
        certificate.signature_algorithm(),
        Some(SignatureAlgorithm::EcdsaSha256)
    );
    assert_eq!(
        certificate.not_before().to_rfc3339(),
        "2026-01-01T00:00:00+00:00"
    );
    assert_eq!(
        certificate.not_after().to_rfc3339(),
        "2051-01-01T00:00:00+00:00"
    );
    assert_eq!(certificate.extensions().len(), 6);
    let names = certificate.subject_alternative_names().unwrap();
    assert_eq!(names, [GeneralName::Dns("web.example".to_owned())]);
    assert!(certificate.key_usage().unwrap().unwrap().key_encipherment);
    assert!(
        !certificate
            .basic_constraints()
            .unwrap()
            .unwrap()
            .certificate_authority
    );
    assert_eq!(certificate.extended_key_usage().unwrap().len(), 1);
    assert_eq!(certificate.subject_key_identifier(), Some(vec![0xab, 0xcd]));
    assert_eq!(
        certificate.authority_key_identifier(),
        Some(vec![0xab, 0xcd])
    );
    assert_eq!(certificate.fingerprint_sha256(), key::sha256(&der));
    let pem = pem::encode("CERTIFICATE", &der);
    assert_eq!(Certificate::parse(pem.as_bytes()).unwrap(), certificate);
}

#[test]
fn signatures_are_verified() {
    let certificate = Certificate::from_der(&valid()).unwrap();
    certificate
        .verify_signed_by(&certificate.public_key().unwrap())
        .unwrap();
    let other = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let other = PublicKey::from_spki_der(other.subject_public_key_info()).unwrap();
    let error = certificate.verify_signed_by(&other).unwrap_err();
    assert_eq!(
        error,
        CertificateError::Signature(KeyError::SignatureInvalid)
    );
}

#[test]
fn the_two_signature_algorithms_must_agree() {
    let sha384 = signature_algorithm_identifier(SignatureAlgorithm::EcdsaSha384);
    let certificate = Certificate::from_der(&signed(&[1], &[], sha384)).unwrap();
    assert_eq!(certificate.signature_algorithm(), None);
    let error = certificate
        .verify_signed_by(&certificate.public_key().unwrap())
        .unwrap_err();
    assert!(
        error.to_string().contains("another than outside"),
        "{error}"
    );
}

#[test]
fn a_repeated_extension_is_refused() {
    let one = extension("2.5.29.14", &[4, 1, 1]);
    let error = Certificate::from_der(&certificate(&[1], &[&one, &one])).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
}

#[test]
fn malformed_extensions_leave_the_rest_readable() {
    let broken = extension("2.5.29.17", &[0x30, 0]);
    let usage = extension("2.5.29.15", &[3, 2, 5, 0xa1]);
    let certificate = Certificate::from_der(&certificate(&[1], &[&broken, &usage])).unwrap();
    let error = certificate.subject_alternative_names().unwrap_err();
    assert!(matches!(error, CertificateError::Extension { .. }));
    assert!(certificate.key_usage().is_err());
    assert_eq!(certificate.subject_key_identifier(), None);
    assert_eq!(certificate.extended_key_usage(), Ok(Vec::new()));
}

#[test]
fn long_cut_off_and_trailing_bytes_are_refused() {
    let good = valid();
    for cut in 0..good.len() {
        assert!(Certificate::from_der(&good[..cut]).is_err());
    }
    let mut trailing = good;
    trailing.push(0);
    assert!(Certificate::from_der(&trailing).is_err());
    let long = vec![0x30; CERTIFICATE_DER_BYTES_MAX + 1];
    assert_eq!(Certificate::from_der(&long), Err(CertificateError::TooLong));
    let long = vec![b'a'; CERTIFICATE_DER_BYTES_MAX * 2 + 1];
    assert_eq!(Certificate::parse(&long), Err(CertificateError::TooLong));
    assert!(matches!(
        Certificate::parse(b"hello"),
        Err(CertificateError::Pem(_))
    ));
}

/// Calls everything that reads lazily.
fn touch(certificate: &Certificate) {
    let _ = (certificate.key_usage(), certificate.basic_constraints());
    let _ = (
        certificate.extended_key_usage(),
        certificate.subject_alternative_names(),
    );
    let _ = (
        certificate.subject_key_identifier(),
        certificate.authority_key_identifier(),
    );
    let _ = certificate.key_algorithm();
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Certificate::parse(&bytes);
        let _ = Certificate::from_der(&bytes);
        let _ = Certificate::from_der(&certificate(&bytes, &[&bytes]));
        if let Ok(certificate) = Certificate::from_der(&certificate(&[1], &[&extension("2.5.29.17", &bytes)])) {
            touch(&certificate);
        }
    }

    #[test]
    fn a_changed_certificate_never_verifies(at in 0_usize..2000, value: u8, cut in 0_usize..4) {
        let good = Certificate::from_der(&valid()).unwrap();
        let mut der = good.der().to_vec();
        let at = at % der.len();
        if cut == 0 {
            der.remove(at);
        } else if cut == 1 {
            der.insert(at, value);
        } else {
            der[at] = value;
        }
        if let Ok(changed) = Certificate::from_der(&der) {
            touch(&changed);
            if changed.verify_signed_by(&good.public_key().unwrap()).is_ok() {
                prop_assert_eq!(changed.tbs_der(), good.tbs_der());
            }
        }
    }
}
