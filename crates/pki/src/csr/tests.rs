//! Requests that are right, and every way of being wrong.

use proptest::prelude::*;

use super::*;
use crate::name::from_rfc4514;
use crate::test_fixture::{
    P256, RSA, extension, extension_request, name, oid as encode_oid, request, sequence,
    sign_request,
};

const EMPTY_NAME: &[u8] = &[0x30, 0];
const SAN: &str = "2.5.29.17";

fn spki() -> &'static [u8] {
    P256.subject_public_key_info()
}

fn subject() -> Vec<u8> {
    from_rfc4514("CN=web,O=Example").unwrap()
}

fn with_attributes(attributes: &[&[u8]]) -> Result<CertificationRequest, CsrError> {
    CertificationRequest::from_der(&request(&subject(), spki(), attributes))
}

fn with_extensions(extensions: &[&[u8]]) -> Result<CertificationRequest, CsrError> {
    with_attributes(&[&extension_request(extensions)])
}

fn with_subject(subject: &[u8]) -> CsrError {
    CertificationRequest::from_der(&request(subject, spki(), &[])).unwrap_err()
}

fn san(names: &[&str]) -> Vec<u8> {
    let names: Vec<GeneralName> = names
        .iter()
        .map(|name| GeneralName::Dns((*name).to_owned()))
        .collect();
    extension(SAN, &general_name::encode_general_names(&names).unwrap())
}

fn valid() -> Vec<u8> {
    let names = [
        GeneralName::Dns("web.example".to_owned()),
        GeneralName::Ip("192.0.2.1".parse().unwrap()),
    ];
    build_request(&subject(), &names, &P256).unwrap()
}

#[test]
fn our_own_requests_are_read() {
    let der = valid();
    let request = CertificationRequest::from_der(&der).unwrap();
    request.verify_proof_of_possession().unwrap();
    assert_eq!(request.der(), der);
    assert_eq!(request.subject_der(), subject());
    assert_eq!(request.spki_der(), spki());
    assert_eq!(request.key_algorithm(), KeyAlgorithm::EcdsaP256);
    assert_eq!(
        request.signature_algorithm(),
        SignatureAlgorithm::EcdsaSha256
    );
    assert_eq!(request.requested().subject_alternative_names.len(), 2);
    let pem = pem::encode("CERTIFICATE REQUEST", &der);
    assert_eq!(
        CertificationRequest::parse(pem.as_bytes()).unwrap().der(),
        der
    );
    assert_eq!(CertificationRequest::parse(&der).unwrap().der(), der);
}

#[test]
fn each_key_algorithm_makes_a_request() {
    for algorithm in KeyAlgorithm::ALL {
        let key = PrivateKey::generate(algorithm).unwrap();
        let der = build_request(EMPTY_NAME, &[], &key).unwrap();
        let request = CertificationRequest::from_der(&der).unwrap();
        assert_eq!(request.key_algorithm(), algorithm);
        assert_eq!(request.requested(), &RequestedExtensions::default());
        request.verify_proof_of_possession().unwrap();
    }
}

#[test]
fn all_known_extensions_are_read() {
    let request = with_extensions(&[
        &extension("2.5.29.15", &[3, 2, 5, 0xa0]),
        &extension("2.5.29.19", &[0x30, 0]),
        &extension("2.5.29.37", &sequence(&[&encode_oid("1.3.6.1.5.5.7.3.1")])),
        &extension("1.3.6.1.5.5.7.1.24", &[0x30, 3, 2, 1, 5]),
        &san(&["a.example"]),
    ])
    .unwrap();
    let requested = request.requested();
    assert!(requested.key_usage.unwrap().digital_signature);
    assert!(!requested.basic_constraints.unwrap().certificate_authority);
    assert_eq!(
        requested.extended_key_usage,
        ["1.3.6.1.5.5.7.3.1".parse().unwrap()]
    );
    assert_eq!(requested.other, ["1.3.6.1.5.5.7.1.24".parse().unwrap()]);
    assert_eq!(requested.subject_alternative_names.len(), 1);
}

#[test]
fn other_attributes_are_ignored() {
    let challenge = sequence(&[
        &encode_oid("1.2.840.113549.1.9.7"),
        &asn1::encode(tag::SET, &asn1::encode(tag::UTF8_STRING, b"secret")),
    ]);
    let request = with_attributes(&[&challenge, &extension_request(&[&san(&["a.example"])])]);
    assert_eq!(
        request.unwrap().requested().subject_alternative_names.len(),
        1
    );
}

#[test]
fn the_old_windows_attribute_counts_too() {
    let rename = |attribute: Vec<u8>| {
        let values = &attribute[attribute.len() - (attribute.len() - 13)..];
        sequence(&[&encode_oid("1.3.6.1.4.1.311.2.1.14"), values])
    };
    let windows = rename(extension_request(&[&san(&["a.example"])]));
    let request = with_attributes(&[&windows]).unwrap();
    assert_eq!(request.requested().subject_alternative_names.len(), 1);
    let both = with_attributes(&[&windows, &extension_request(&[])]).unwrap_err();
    assert_eq!(both.code(), "csr_extensions_invalid");
}

#[test]
fn what_occurs_twice_is_refused() {
    let one = extension_request(&[&san(&["a.example"])]);
    let error = with_attributes(&[&one, &one]).unwrap_err();
    assert_eq!(
        (error.code(), error.field()),
        ("csr_extensions_invalid", "extensions")
    );
    let error = with_extensions(&[&san(&["a.example"]), &san(&["b.example"])]).unwrap_err();
    assert!(
        error.to_string().contains("2.5.29.17 occurs twice"),
        "{error}"
    );
    // Two values in one attribute.
    let extensions = sequence(&[&san(&["a.example"])]);
    let twofold = sequence(&[
        &encode_oid("1.2.840.113549.1.9.14"),
        &asn1::encode_parts(tag::SET, &[&extensions, &extensions]),
    ]);
    assert_eq!(
        with_attributes(&[&twofold]).unwrap_err().code(),
        "csr_malformed"
    );
}

#[test]
fn alternative_names_are_judged() {
    for value in [
        sequence(&[]),
        sequence(&[&asn1::encode(0x82, b"a_b.example")]),
        sequence(&[&asn1::encode(0x82, "b\u{fc}cher.example".as_bytes())]),
        sequence(&[&asn1::encode(0x82, b"a\0.example")]),
        sequence(&[&asn1::encode(0x87, &[1, 2, 3])]),
        sequence(&[&[0xa3, 0]]),
        vec![5, 0],
    ] {
        let error = with_extensions(&[&extension(SAN, &value)]).unwrap_err();
        assert_eq!(error.code(), "subject_alternative_names_invalid");
        assert_eq!(error.field(), "subject_alternative_names");
    }
    let names = vec![asn1::encode(0x82, b"a.example"); SUBJECT_ALTERNATIVE_NAMES_MAX + 1];
    let many = extension(SAN, &sequence(&[&names.concat()]));
    let error = with_extensions(&[&many]).unwrap_err();
    assert!(error.to_string().contains("at most 1000"), "{error}");
}

#[test]
fn malformed_extensions_are_refused() {
    for (kind, value) in [
        ("2.5.29.15", &[3, 2, 5, 0xa1][..]),
        ("2.5.29.19", &[0x30, 3, 1, 1, 1]),
        ("2.5.29.37", &[0x30, 0]),
    ] {
        let error = with_extensions(&[&extension(kind, value)]).unwrap_err();
        assert_eq!(error.code(), "csr_extensions_invalid", "{kind}");
        assert!(error.to_string().contains(kind), "{error}");
    }
    let many: Vec<Vec<u8>> = (0..65)
        .map(|number| extension(&format!("1.2.3.{number}"), &[5, 0]))
        .collect();
    let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    assert_eq!(
        with_extensions(&many).unwrap_err().code(),
        "csr_extensions_invalid"
    );
}

#[test]
fn subjects_are_judged_and_kept() {
    let cases: [(u8, &[u8]); 5] = [
        (tag::UTF8_STRING, b"a\0b"),
        (tag::UTF8_STRING, b"\x1b[31m"),
        (tag::UTF8_STRING, b"\xff\xfe"),
        (tag::PRINTABLE_STRING, b"a*b"),
        (tag::UTF8_STRING, &[b'a'; 65]),
    ];
    for (string_tag, value) in cases {
        let error = with_subject(&name("2.5.4.3", string_tag, value));
        assert_eq!(
            (error.code(), error.field()),
            ("subject_invalid", "subject")
        );
    }
    assert_eq!(with_subject(&[0x30, 2, 0x31, 0]).field(), "subject");
    let attribute = |kind: &str, value: &[u8]| {
        sequence(&[&encode_oid(kind), &asn1::encode(tag::UTF8_STRING, value)])
    };
    let unsorted = asn1::encode_parts(
        tag::SET,
        &[&attribute("2.5.4.10", b"z"), &attribute("2.5.4.3", b"a")],
    );
    let universal = name("2.5.4.3", tag::UNIVERSAL_STRING, b"\0\0\0a");
    for subject in [sequence(&[&unsorted]), universal, EMPTY_NAME.to_vec()] {
        let request = CertificationRequest::from_der(&request(&subject, spki(), &[])).unwrap();
        assert_eq!(request.subject_der(), subject);
        request.verify_proof_of_possession().unwrap();
    }
}

#[test]
fn weak_and_foreign_keys_are_refused() {
    let rsa = |modulus: &[u8], exponent: &[u8]| {
        let key = sequence(&[
            &asn1::encode_unsigned(modulus),
            &asn1::encode_unsigned(exponent),
        ]);
        let identifier = sequence(&[&encode_oid("1.2.840.113549.1.1.1"), &[5, 0]]);
        sequence(&[&identifier, &asn1::encode_bit_string(&key)])
    };
    let modulus = [0xff; 256];
    for (spki, code) in [
        (rsa(&modulus[..128], &[1, 0, 1]), "key_too_weak"),
        (rsa(&modulus, &[3]), "key_too_weak"),
        (rsa(&modulus, &[1]), "key_too_weak"),
        (rsa(&modulus, &[1, 0, 1]), "key_too_weak"),
        (rsa(&[0xff; 320], &[1, 0, 1]), "key_algorithm_unsupported"),
        (
            sequence(&[&sequence(&[&encode_oid("1.3.101.113")]), &[3, 1, 0]]),
            "key_algorithm_unsupported",
        ),
        (sequence(&[]), "key_malformed"),
    ] {
        let error = CertificationRequest::from_der(&request(&subject(), &spki, &[])).unwrap_err();
        assert_eq!(
            (error.code(), error.field()),
            (code, "public_key"),
            "{error}"
        );
    }
}

#[test]
fn wrong_signatures_are_refused() {
    // Signed by another key.
    let der = request(&subject(), RSA.subject_public_key_info(), &[]);
    let error = CertificationRequest::from_der(&der)
        .unwrap()
        .verify_proof_of_possession();
    assert_eq!(
        error.unwrap_err().code(),
        "csr_signature_algorithm_unsupported"
    );
    let other = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let der = request(&subject(), other.subject_public_key_info(), &[]);
    let error = CertificationRequest::from_der(&der)
        .unwrap()
        .verify_proof_of_possession();
    assert_eq!(error, Err(CsrError::SignatureInvalid));
    assert_eq!(CsrError::SignatureInvalid.code(), "csr_signature_invalid");
    // Changed afterwards.
    let mut der = valid();
    let position = der.windows(3).position(|part| part == b"web").unwrap();
    der[position] = b'W';
    let error = CertificationRequest::from_der(&der)
        .unwrap()
        .verify_proof_of_possession();
    assert_eq!(error, Err(CsrError::SignatureInvalid));
}

#[test]
fn forbidden_signature_algorithms_are_refused() {
    let information = sequence(&[&[2, 1, 0], &subject(), spki(), &[0xa0, 0]]);
    for kind in [
        "1.2.840.113549.1.1.5",
        "1.2.840.113549.1.1.4",
        "1.2.840.10045.4.1",
        "1.2.3",
    ] {
        let der = sequence(&[&information, &sequence(&[&encode_oid(kind)]), &[3, 2, 0, 1]]);
        let error = CertificationRequest::from_der(&der).unwrap_err();
        assert_eq!(error.code(), "csr_signature_algorithm_unsupported");
        assert_eq!(error.field(), "csr");
    }
}

#[test]
fn structures_are_strict() {
    let good = valid();
    for cut in 0..good.len() {
        let error = CertificationRequest::from_der(&good[..cut]).unwrap_err();
        assert_eq!(error.code(), "csr_malformed");
    }
    let mut trailing = good.clone();
    trailing.push(0);
    assert_eq!(
        CertificationRequest::from_der(&trailing)
            .unwrap_err()
            .code(),
        "csr_malformed"
    );
    let long = vec![0x30; CSR_DER_BYTES_MAX + 1];
    assert_eq!(
        CertificationRequest::from_der(&long).unwrap_err(),
        CsrError::TooLong
    );
    let long = vec![b'a'; CSR_DER_BYTES_MAX * 2 + 1];
    assert_eq!(
        CertificationRequest::parse(&long).unwrap_err(),
        CsrError::TooLong
    );
    assert_eq!(
        CertificationRequest::parse(b"hello").unwrap_err().code(),
        "csr_malformed"
    );
    // Another version; attributes left out; something behind the attributes.
    let information = |parts: &[&[u8]]| sign_request(&P256, &sequence(parts));
    let subject = subject();
    let version_3 = information(&[&[2, 1, 2], &subject, spki(), &[0xa0, 0]]);
    assert_eq!(
        CertificationRequest::from_der(&version_3)
            .unwrap_err()
            .code(),
        "csr_malformed"
    );
    let bare = information(&[&[2, 1, 0], &subject, spki()]);
    assert!(CertificationRequest::from_der(&bare).is_ok());
    let more = information(&[&[2, 1, 0], &subject, spki(), &[0xa0, 0], &[5, 0]]);
    assert_eq!(
        CertificationRequest::from_der(&more).unwrap_err().code(),
        "csr_malformed"
    );
}

#[test]
fn ber_is_refused_everywhere() {
    let good = valid();
    // The outer length in one octet more than needed, and indefinite.
    let body = &good[good.len() - usize::from(u16::from_be_bytes([good[2], good[3]]))..];
    assert_eq!(good[1], 0x82);
    let long = [&[0x30, 0x83, 0x00, good[2], good[3]][..], body].concat();
    let indefinite = [&[0x30, 0x80][..], body, &[0, 0]].concat();
    for der in [long, indefinite] {
        assert_eq!(
            CertificationRequest::from_der(&der).unwrap_err().code(),
            "csr_malformed"
        );
    }
    // A constructed string deep inside an attribute that is otherwise ignored.
    let attribute = sequence(&[
        &encode_oid("1.2.3.4"),
        &asn1::encode(tag::SET, &[0x24, 0x03, 0x04, 0x01, 0x00]),
    ]);
    assert_eq!(
        with_attributes(&[&attribute]).unwrap_err().code(),
        "csr_malformed"
    );
}

#[test]
fn errors_become_faults() {
    let fault = clm_domain::error::Fault::from(CsrError::SignatureInvalid);
    assert_eq!(fault.code, "csr_signature_invalid");
    assert_eq!(fault.violations[0].field, "csr");
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = CertificationRequest::parse(&bytes);
        let _ = CertificationRequest::from_der(&bytes);
        let _ = CertificationRequest::from_der(&sequence(&[&bytes]));
        let _ = with_attributes(&[&bytes]);
        let _ = with_extensions(&[&bytes]);
        let _ = with_extensions(&[&extension(SAN, &bytes)]);
    }

    #[test]
    fn a_changed_request_proves_nothing(at in 0_usize..2000, value: u8, cut in 0_usize..4) {
        let good = CertificationRequest::from_der(&valid()).unwrap();
        let mut der = good.der().to_vec();
        let at = at % der.len();
        if cut == 0 {
            der.remove(at);
        } else if cut == 1 {
            der.insert(at, value);
        } else {
            der[at] = value;
        }
        if let Ok(request) = CertificationRequest::from_der(&der)
            && request.verify_proof_of_possession().is_ok()
        {
            prop_assert_eq!(request.information_der, good.information_der);
        }
    }
}
