//! Tests of `issue`.

use clm_domain::certificate_plan::{BasicConstraints, PlannedExtension};
use clm_domain::states::CertificateType;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::asn1::{encode, tag};
use crate::certificate::Certificate;
use crate::plan_fixture::{
    ISSUING_KEY, ROOT_KEY, certificate, identity, issuing_plan, leaf_plan, root_plan, serial, time,
};
use crate::test_fixture::{RSA, oid, sequence};

mod openssl;
mod properties;

fn prepare_leaf(plan: &CertificatePlan) -> Result<PreparedCertificate, PrepareError> {
    prepare(plan, &identity(&issuing_plan()), serial(1))
}

/// The field and the code of the refusal of a spoilt leaf.
fn refusal(spoil: impl FnOnce(&mut CertificatePlan)) -> (String, &'static str) {
    let mut plan = leaf_plan();
    spoil(&mut plan);
    let error = prepare_leaf(&plan).unwrap_err();
    (error.field().to_owned(), error.code())
}

fn lint_of(error: &PrepareError) -> &'static str {
    match error {
        PrepareError::Lint(findings) => findings[0].lint,
        other => panic!("no lint: {other}"),
    }
}

#[test]
fn a_chain_is_issued() {
    let root = certificate(&root_plan(), &root_plan(), &*ROOT_KEY);
    let issuing = certificate(&issuing_plan(), &root_plan(), &*ROOT_KEY);
    let leaf = certificate(&leaf_plan(), &issuing_plan(), &*ISSUING_KEY);
    let key = |of: &Certificate| PublicKey::from_spki_der(of.spki_der()).unwrap();
    root.verify_signed_by(&key(&root)).unwrap();
    issuing.verify_signed_by(&key(&root)).unwrap();
    leaf.verify_signed_by(&key(&issuing)).unwrap();
    assert_eq!(leaf.issuer_der(), issuing.subject_der());
    assert_eq!(
        leaf.authority_key_identifier(),
        issuing.subject_key_identifier()
    );
    assert_eq!(
        root.authority_key_identifier(),
        root.subject_key_identifier()
    );
    assert_eq!(leaf.subject_der(), leaf_plan().subject_der);
    assert_eq!(leaf.spki_der(), leaf_plan().subject_public_key_info);
    assert_eq!(leaf.not_before(), leaf_plan().not_before);
    assert_eq!(leaf.not_after(), leaf_plan().not_after);
}

#[test]
fn what_is_issued_is_what_was_prepared() {
    let prepared = prepare_leaf(&leaf_plan()).unwrap();
    let (tbs, tbs_sha256) = (prepared.tbs_der().to_vec(), prepared.tbs_sha256());
    assert_eq!(prepared.serial(), &serial(1));
    assert_eq!(prepared.warnings(), []);
    let issued = issue(prepared, &*ISSUING_KEY).unwrap();
    let (rest, parsed) = X509Certificate::from_der(&issued.der).unwrap();
    assert!(rest.is_empty());
    assert_eq!(parsed.tbs_certificate.as_ref(), tbs);
    assert_eq!(parsed.signature_algorithm, parsed.tbs_certificate.signature);
    assert_eq!(issued.serial, serial(1));
    assert_eq!(issued.tbs_sha256, tbs_sha256);
    assert_eq!(issued.tbs_sha256, sha256(&tbs));
    assert_eq!(issued.fingerprint_sha256, sha256(&issued.der));
}

#[test]
fn every_signature_algorithm_is_announced_and_made() {
    let mut plan = root_plan();
    plan.subject_public_key_info = RSA.subject_public_key_info().to_vec();
    plan.key_algorithm = RSA.algorithm();
    for algorithm in SignatureAlgorithm::ALL {
        if !algorithm.fits(plan.key_algorithm) {
            continue;
        }
        let issuer = IssuerIdentity::self_signed(&plan, algorithm).unwrap();
        let prepared = prepare(&plan, &issuer, serial(1)).unwrap();
        let der = issue(prepared, &*RSA).unwrap().der;
        let root = Certificate::from_der(&der).unwrap();
        assert_eq!(root.signature_algorithm(), Some(algorithm));
        let key = PublicKey::from_spki_der(root.spki_der()).unwrap();
        root.verify_signed_by(&key).unwrap();
    }
}

#[test]
fn a_signer_whose_key_does_not_fit_is_refused() {
    let prepared = prepare_leaf(&leaf_plan()).unwrap();
    let error = issue(prepared, &*RSA).unwrap_err();
    assert!(matches!(error, IssueError::Algorithm { .. }), "{error}");
}

#[test]
fn a_root_is_signed_by_its_own_key_only() {
    let plan = root_plan();
    let prepared = prepare(&plan, &identity(&plan), serial(1)).unwrap();
    let error = issue(prepared, &*ISSUING_KEY).unwrap_err();
    assert!(matches!(error, IssueError::ForeignSelfSignature), "{error}");
}

#[test]
fn a_signer_that_returns_nothing_is_refused() {
    struct Mute;
    impl Signer for Mute {
        fn algorithm(&self) -> KeyAlgorithm {
            KeyAlgorithm::EcdsaP256
        }
        fn sign(&self, _: SignatureAlgorithm, _: &[u8]) -> Result<Vec<u8>, KeyError> {
            Ok(Vec::new())
        }
    }
    let prepared = prepare_leaf(&leaf_plan()).unwrap();
    let error = issue(prepared, &Mute).unwrap_err();
    assert!(matches!(error, IssueError::SignatureLength(0)), "{error}");
}

#[test]
fn contradictions_of_a_plan_are_refused() {
    let expect = |field: &str, code| (field.to_owned(), code);
    let half_second = chrono::TimeDelta::milliseconds(500);
    assert_eq!(
        refusal(|plan| plan.subject_der = vec![0x30]),
        expect("subject", "subject_invalid")
    );
    assert_eq!(
        refusal(|plan| plan.subject_public_key_info.truncate(20)),
        expect("subject_public_key_info", "public_key_refused")
    );
    assert_eq!(
        refusal(|plan| plan.key_algorithm = KeyAlgorithm::Ed25519),
        expect("key_algorithm", "key_algorithm_mismatch")
    );
    assert_eq!(
        refusal(|plan| plan.not_before += half_second),
        expect("not_before", "validity_invalid")
    );
    assert_eq!(
        refusal(|plan| plan.not_before = time("1949-12-31T23:59:59Z")),
        expect("not_before", "validity_invalid")
    );
    assert_eq!(
        refusal(|plan| plan.not_after = issuing_plan().not_after + chrono::TimeDelta::seconds(1)),
        expect("not_after", "validity_outlives_issuer")
    );
    assert_eq!(
        refusal(|plan| plan.certificate_type = CertificateType::Intermediate),
        expect("basic_constraints", "certificate_authority_mismatch")
    );
    assert_eq!(
        refusal(|plan| plan.key_usage.key_cert_sign = true),
        expect("basic_constraints", "certificate_authority_mismatch")
    );
    assert_eq!(
        refusal(|plan| plan.subject_der = issuing_plan().subject_der),
        expect("certificate_type", "self_signed_mismatch")
    );
    assert_eq!(
        refusal(|plan| {
            plan.subject_public_key_info = ISSUING_KEY.subject_public_key_info().to_vec();
        }),
        expect("certificate_type", "self_signed_mismatch")
    );
}

#[test]
fn a_leaf_may_end_with_its_issuer() {
    let mut plan = leaf_plan();
    plan.not_after = issuing_plan().not_after;
    assert!(prepare_leaf(&plan).is_ok());
}

#[test]
fn a_root_and_only_a_root_is_self_signed() {
    let root = root_plan();
    let foreign = prepare(&root, &identity(&issuing_plan()), serial(1)).unwrap_err();
    assert_eq!(foreign.field(), "not_after");
    let mut short = root_plan();
    short.not_after = issuing_plan().not_after;
    let foreign = prepare(&short, &identity(&issuing_plan()), serial(1)).unwrap_err();
    assert_eq!(foreign.code(), "self_signed_mismatch");
    let mut intermediate = root_plan();
    intermediate.certificate_type = CertificateType::Intermediate;
    let own = prepare(&intermediate, &identity(&root), serial(1)).unwrap_err();
    assert_eq!(own.code(), "self_signed_mismatch");
    let unfit = IssuerIdentity::self_signed(&root, SignatureAlgorithm::RsaPssSha256).unwrap();
    let unfit = prepare(&root, &unfit, serial(1)).unwrap_err();
    assert_eq!(unfit.code(), "signature_algorithm_mismatch");
}

#[test]
fn a_self_issued_key_rollover_is_possible() {
    let mut new_with_old = root_plan();
    new_with_old.certificate_type = CertificateType::Intermediate;
    new_with_old.subject_public_key_info = ISSUING_KEY.subject_public_key_info().to_vec();
    assert!(prepare(&new_with_old, &identity(&root_plan()), serial(1)).is_ok());
}

#[test]
fn an_issuer_without_identity_is_refused() {
    let mut issuer = identity(&issuing_plan());
    issuer.subject_key_identifier.clear();
    let error = prepare(&leaf_plan(), &issuer, serial(1)).unwrap_err();
    assert_eq!(error.code(), "issuer_unusable");
    let mut issuer = identity(&issuing_plan());
    issuer.subject_der = vec![0x30, 0x80, 0, 0];
    let error = prepare(&leaf_plan(), &issuer, serial(1)).unwrap_err();
    assert_eq!(error.code(), "issuer_unusable");
    let mut issuer = identity(&issuing_plan());
    issuer.subject_der = vec![0x30, 0];
    let error = prepare(&leaf_plan(), &issuer, serial(1)).unwrap_err();
    assert_eq!(lint_of(&error), "e_rfc5280_issuer_not_empty");
}

#[test]
fn what_a_standard_forbids_is_not_signed() {
    let mut reversed = leaf_plan();
    reversed.not_before = reversed.not_after + chrono::TimeDelta::seconds(1);
    let error = prepare_leaf(&reversed).unwrap_err();
    assert_eq!(lint_of(&error), "e_rfc5280_validity_order");
    assert_eq!(error.violations().len(), 1);
    assert_eq!(error.violations()[0].field, "certificate");
    assert!(error.to_string().contains("RFC 5280 §4.1.2.5"), "{error}");
    let mut any = leaf_plan();
    any.extended_key_usage = vec!["2.5.29.37.0".parse().unwrap()];
    assert_eq!(
        lint_of(&prepare_leaf(&any).unwrap_err()),
        "e_cabf_extended_key_usage_not_any"
    );
    let mut path_length = leaf_plan();
    path_length.basic_constraints = Some(BasicConstraints {
        certificate_authority: false,
        path_length_max: Some(1),
    });
    assert_eq!(
        lint_of(&prepare_leaf(&path_length).unwrap_err()),
        "e_rfc5280_path_length_only_in_ca"
    );
}

#[test]
fn warnings_do_not_stop_issuance() {
    let mut plan = leaf_plan();
    plan.crl_distribution_points = vec!["https://pki.example.com/crl".to_owned()];
    let prepared = prepare_leaf(&plan).unwrap();
    assert_eq!(
        prepared.warnings()[0].lint,
        "w_rfc5280_revocation_pointer_without_tls"
    );
}

#[test]
fn a_certificate_that_is_too_large_is_refused() {
    let mut plan = leaf_plan();
    plan.other_extensions = vec![PlannedExtension {
        oid: "1.2.3".parse().unwrap(),
        critical: false,
        value_der: encode(tag::OCTET_STRING, &vec![7; CERTIFICATE_DER_BYTES_MAX]),
    }];
    assert_eq!(prepare_leaf(&plan).unwrap_err(), PrepareError::TooLarge);
}

#[test]
fn the_odd_bytes_of_a_subject_are_kept() {
    // The values of the relative name stand in the wrong order, and one is a UniversalString.
    let organization = sequence(&[&oid("2.5.4.10"), &encode(tag::UTF8_STRING, b"Example")]);
    let common_name = encode(tag::UNIVERSAL_STRING, &[0, 0, 0, b'x']);
    let common_name = sequence(&[&oid("2.5.4.3"), &common_name]);
    let set = encode(tag::SET, &[organization, common_name].concat());
    let mut plan = leaf_plan();
    plan.subject_der = sequence(&[&set]);
    plan.extended_key_usage = vec!["1.3.6.1.5.5.7.3.2".parse().unwrap()];
    let prepared = prepare_leaf(&plan).unwrap();
    let warnings: Vec<&str> = prepared.warnings().iter().map(|one| one.lint).collect();
    assert_eq!(
        warnings,
        [
            "w_x690_set_sorted",
            "w_rfc5280_attribute_string_type_outdated"
        ]
    );
    let tbs = crate::tbs_view::TbsView::parse(prepared.tbs_der()).unwrap();
    assert_eq!(tbs.subject.raw, plan.subject_der);
}
