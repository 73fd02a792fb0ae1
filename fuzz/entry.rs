//! What the fuzz targets do with their input. The tests of `clm-pki` call the same functions with
//! the seeds, so that these stay valid without a fuzzer at hand.
//!
//! Each function may refuse its input and must return; it panics where a promise is broken.

use clm_pki::certificate::Certificate;
use clm_pki::csr::CertificationRequest;
use clm_pki::general_name;
use clm_pki::key::{PrivateKey, PublicKey, subject_key_identifier};
use clm_pki::name::DistinguishedName;

/// A request in DER or PEM. Returns whether it was accepted.
pub(crate) fn csr(input: &[u8]) -> bool {
    let Ok(request) = CertificationRequest::parse(input) else {
        return false;
    };
    let der = request.der().to_vec();
    let again = CertificationRequest::from_der(&der).expect("what was accepted is accepted again");
    assert_eq!(again.requested(), request.requested());
    let subject = DistinguishedName::from_der(request.subject_der()).expect("it was read before");
    assert_eq!(subject.check(), Ok(()));
    assert!(!subject.rfc4514().chars().any(char::is_control));
    let names = &request.requested().subject_alternative_names;
    if !names.is_empty() {
        let der = general_name::encode_general_names(names).expect("they were checked before");
        assert_eq!(general_name::decode_general_names(&der).as_ref(), Ok(names));
    }
    let _ = request.verify_proof_of_possession();
    true
}

/// A certificate in DER or PEM. Returns whether it was accepted.
pub(crate) fn certificate(input: &[u8]) -> bool {
    let Ok(certificate) = Certificate::parse(input) else {
        return false;
    };
    let der = certificate.der().to_vec();
    assert_eq!(Certificate::from_der(&der).as_ref(), Ok(&certificate));
    for name in [certificate.subject_der(), certificate.issuer_der()] {
        if let Ok(name) = DistinguishedName::from_der(name) {
            assert!(!name.rfc4514().chars().any(char::is_control));
        }
    }
    let _ = (certificate.key_usage(), certificate.basic_constraints());
    let _ = (
        certificate.extended_key_usage(),
        certificate.subject_alternative_names(),
    );
    let _ = (
        certificate.subject_key_identifier(),
        certificate.authority_key_identifier(),
    );
    if let Ok(key) = certificate.public_key() {
        let _ = certificate.verify_signed_by(&key);
    }
    true
}

/// A `SubjectPublicKeyInfo` or a `PrivateKeyInfo` in DER. Returns whether it was accepted.
pub(crate) fn key(input: &[u8]) -> bool {
    if let Ok(public) = PublicKey::from_spki_der(input) {
        assert_eq!(public.spki_der(), input);
        assert!(subject_key_identifier(input).is_ok());
        let algorithm = public.algorithm().default_signature();
        assert!(
            public
                .verify(algorithm, b"message", b"no signature")
                .is_err()
        );
        return true;
    }
    let Ok(private) = PrivateKey::from_pkcs8_der(input) else {
        return false;
    };
    let public = PublicKey::from_spki_der(private.subject_public_key_info())
        .expect("the public part of an accepted key is accepted");
    let algorithm = private.algorithm().default_signature();
    let signature = private
        .sign(algorithm, b"message")
        .expect("an accepted key signs");
    assert_eq!(public.verify(algorithm, b"message", &signature), Ok(()));
    let der = private.to_pkcs8_der().expect("an accepted key is written");
    assert!(PrivateKey::from_pkcs8_der(der.expose()).is_ok());
    true
}
