//! Tests of `path`.

use clm_domain::certificate_plan::{
    BasicConstraints, CertificatePlan, NameConstraints, NameSubtree, PlannedExtension,
};
use clm_domain::general_name::GeneralName;
use clm_domain::key_algorithm::SignatureAlgorithm;

use super::*;
use crate::asn1::encode_bit_string;
use crate::key::{PrivateKey, signature_algorithm_identifier};
use crate::plan_fixture::{
    ISSUING_KEY, Parts, ROOT_KEY, certificate, issuing_plan, leaf_plan, name, root_plan, time,
};
use crate::test_fixture::{P256, sequence};

const NOW: &str = "2026-12-01T00:00:00Z";

/// The issuing CA without constraints.
fn open_plan() -> CertificatePlan {
    let mut plan = issuing_plan();
    plan.name_constraints = None;
    plan
}

fn root() -> Certificate {
    certificate(&root_plan(), &root_plan(), &*ROOT_KEY)
}

/// Verifies leaf, issuing CA and root of these plans.
fn verify(leaf: &CertificatePlan, issuing: &CertificatePlan) -> Result<(), PathError> {
    verify_at(leaf, issuing, NOW)
}

fn verify_at(leaf: &CertificatePlan, issuing: &CertificatePlan, at: &str) -> Result<(), PathError> {
    let leaf = certificate(leaf, issuing, &*ISSUING_KEY);
    let issuing = certificate(issuing, &root_plan(), &*ROOT_KEY);
    verify_chain(&leaf, &[issuing], &root(), time(at))
}

/// A certificate of spoilt parts, signed although no lint would let it.
fn signed(parts: &Parts, key: &PrivateKey) -> Certificate {
    let algorithm = SignatureAlgorithm::EcdsaSha256;
    let tbs = parts.encode();
    let signature = encode_bit_string(&key.sign(algorithm, &tbs).unwrap());
    let der = sequence(&[&tbs, signature_algorithm_identifier(algorithm), &signature]);
    Certificate::from_der(&der).unwrap()
}

/// Verifies a good leaf below an issuing CA that `spoil` has spoilt.
fn below_spoilt(spoil: impl FnOnce(&mut Parts)) -> PathError {
    let mut parts = Parts::new(&open_plan(), &root_plan());
    spoil(&mut parts);
    let issuing = signed(&parts, &ROOT_KEY);
    let leaf = certificate(&leaf_plan(), &open_plan(), &*ISSUING_KEY);
    verify_chain(&leaf, &[issuing], &root(), time(NOW)).unwrap_err()
}

fn constrained(permitted: Vec<NameSubtree>, excluded: Vec<NameSubtree>) -> CertificatePlan {
    let mut plan = open_plan();
    plan.name_constraints = Some(NameConstraints {
        permitted,
        excluded,
    });
    plan
}

fn leaf_named(names: Vec<GeneralName>) -> CertificatePlan {
    let mut plan = leaf_plan();
    plan.subject_der = name(&[]);
    plan.subject_alternative_names = names;
    plan
}

fn dns(text: &str) -> GeneralName {
    GeneralName::Dns(text.to_owned())
}

#[test]
fn a_good_chain_is_good() {
    assert_eq!(verify(&leaf_plan(), &issuing_plan()), Ok(()));
    let issuing = certificate(&issuing_plan(), &root_plan(), &*ROOT_KEY);
    assert_eq!(verify_chain(&issuing, &[], &root(), time(NOW)), Ok(()));
    assert_eq!(verify_chain(&root(), &[], &root(), time(NOW)), Ok(()));
}

#[test]
fn validity_is_inclusive_at_both_ends() {
    let plan = open_plan();
    assert_eq!(
        verify_at(&leaf_plan(), &plan, "2026-11-01T00:00:00Z"),
        Ok(())
    );
    assert_eq!(
        verify_at(&leaf_plan(), &plan, "2027-01-30T23:59:59.9Z"),
        Ok(())
    );
    let early = verify_at(&leaf_plan(), &plan, "2026-10-31T23:59:59Z").unwrap_err();
    assert!(matches!(early.fault, PathFault::NotYetValid(_)), "{early}");
    let late = verify_at(&leaf_plan(), &plan, "2027-01-31T00:00:00Z").unwrap_err();
    assert!(matches!(late.fault, PathFault::Expired(_)), "{late}");
    assert_eq!(late.certificate, 0);
    let root_expired = verify_at(&leaf_plan(), &plan, "2060-01-01T00:00:00Z").unwrap_err();
    assert_eq!(root_expired.certificate, 2);
}

#[test]
fn names_keys_and_signatures_chain() {
    let leaf = certificate(&leaf_plan(), &open_plan(), &*ISSUING_KEY);
    let issuing = certificate(&open_plan(), &root_plan(), &*ROOT_KEY);
    let fault = |leaf: &Certificate, between: &[Certificate], root: &Certificate| {
        verify_chain(leaf, between, root, time(NOW))
            .unwrap_err()
            .fault
    };
    assert_eq!(fault(&leaf, &[], &root()), PathFault::NameChaining);
    assert_eq!(
        fault(&leaf, std::slice::from_ref(&issuing), &issuing),
        PathFault::NotSelfIssued
    );

    // Another root of the same name and another key.
    let mut twin_plan = root_plan();
    twin_plan.subject_public_key_info = P256.subject_public_key_info().to_vec();
    let twin = certificate(&twin_plan, &twin_plan, &*P256);
    assert_eq!(
        fault(&leaf, std::slice::from_ref(&issuing), &twin),
        PathFault::KeyIdentifier
    );
    let mut parts = Parts::new(&open_plan(), &root_plan());
    parts.remove("2.5.29.35");
    let unhinted = signed(&parts, &ROOT_KEY);
    let foreign = fault(&leaf, &[unhinted], &twin);
    assert!(matches!(foreign, PathFault::Signature(_)), "{foreign}");

    // Signed by a key that is not the one of the issuer.
    let forged = signed(&Parts::new(&leaf_plan(), &open_plan()), &P256);
    let forged = fault(&forged, &[issuing], &root());
    assert!(matches!(forged, PathFault::Signature(_)), "{forged}");
}

#[test]
fn a_ca_says_so() {
    let error = below_spoilt(|parts| parts.remove("2.5.29.19"));
    assert_eq!(error.fault, PathFault::NotCertificateAuthority);
    assert_eq!(error.certificate, 1);
    let error = below_spoilt(|parts| parts.set("2.5.29.19", &[0x30, 0]));
    assert_eq!(error.fault, PathFault::NotCertificateAuthority);
    let error = below_spoilt(|parts| parts.set("2.5.29.19", &[0x31, 0]));
    assert!(matches!(error.fault, PathFault::Malformed(_)), "{error}");
    let error = below_spoilt(|parts| parts.set("2.5.29.15", &[3, 2, 1, 2]));
    assert_eq!(error.fault, PathFault::NoKeyCertSign);
}

#[test]
fn a_leaf_issues_nothing() {
    let mut below = leaf_plan();
    below.subject_der = name(&[("CN", "below")]);
    let mut parts = Parts::new(&below, &leaf_plan());
    parts.remove("2.5.29.14");
    let below = signed(&parts, &P256);
    let leaf = certificate(&leaf_plan(), &open_plan(), &*ISSUING_KEY);
    let issuing = certificate(&open_plan(), &root_plan(), &*ROOT_KEY);
    let error = verify_chain(&below, &[leaf, issuing], &root(), time(NOW)).unwrap_err();
    assert_eq!(error.certificate, 1);
    // The path length of the issuing CA is zero, which is found first.
    assert_eq!(error.fault, PathFault::PathLength);
}

#[test]
fn the_path_length_is_kept_and_key_rollover_does_not_count() {
    let keys: Vec<PrivateKey> = (0..2)
        .map(|_| PrivateKey::generate(P256.algorithm()).unwrap())
        .collect();
    let ca = |common_name: &str, key: &PrivateKey, length: Option<u8>| {
        let mut plan = open_plan();
        plan.subject_der = name(&[("CN", common_name)]);
        plan.subject_public_key_info = key.subject_public_key_info().to_vec();
        plan.basic_constraints = Some(BasicConstraints {
            certificate_authority: true,
            path_length_max: length,
        });
        plan
    };
    let verify_two = |upper: &CertificatePlan, lower: &CertificatePlan| {
        let leaf = certificate(&leaf_plan(), lower, &keys[1]);
        let lower = certificate(lower, upper, &keys[0]);
        let upper = certificate(upper, &root_plan(), &*ROOT_KEY);
        verify_chain(&leaf, &[lower, upper], &root(), time(NOW))
    };
    let lower = ca("lower", &keys[1], None);
    assert_eq!(verify_two(&ca("upper", &keys[0], Some(1)), &lower), Ok(()));
    let error = verify_two(&ca("upper", &keys[0], Some(0)), &lower).unwrap_err();
    assert_eq!((error.certificate, error.fault), (1, PathFault::PathLength));
    let new_key = ca("upper", &keys[1], Some(0));
    assert_eq!(
        verify_two(&ca("upper", &keys[0], Some(0)), &new_key),
        Ok(())
    );
}

#[test]
fn unknown_critical_extensions_are_refused_and_others_are_not() {
    let extension = |critical| PlannedExtension {
        oid: "1.3.6.1.4.1.99999.9".parse().unwrap(),
        critical,
        value_der: vec![5, 0],
    };
    let mut plan = leaf_plan();
    plan.other_extensions = vec![extension(false)];
    assert_eq!(verify(&plan, &open_plan()), Ok(()));
    plan.other_extensions = vec![extension(true)];
    let error = verify(&plan, &open_plan()).unwrap_err();
    assert_eq!(
        error.fault,
        PathFault::UnknownCriticalExtension("1.3.6.1.4.1.99999.9".to_owned())
    );
}

#[test]
fn a_chain_has_an_end() {
    let issuing = certificate(&open_plan(), &root_plan(), &*ROOT_KEY);
    let many = vec![issuing.clone(); INTERMEDIATES_MAX + 1];
    let error = verify_chain(&issuing, &many, &root(), time(NOW)).unwrap_err();
    assert_eq!(error.fault, PathFault::TooManyIntermediates);
}

/// Whether `found` passes under a CA that permits only `subtree`.
fn is_permitted(subtree: NameSubtree, found: GeneralName) -> bool {
    let issuing = constrained(vec![subtree], vec![]);
    match verify(&leaf_named(vec![found]), &issuing) {
        Ok(()) => true,
        Err(error) => {
            assert!(
                matches!(error.fault, PathFault::NameConstraint { .. }),
                "{error}"
            );
            false
        }
    }
}

#[test]
fn hosts_are_held_to_dns_constraints() {
    for (base, found, within) in [
        ("example.com", "example.com", true),
        ("example.com", "WWW.Example.com", true),
        ("example.com", "*.example.com", true),
        ("example.com", "badexample.com", false),
        ("example.com", "example.org", false),
        ("www.example.com", "*.example.com", false),
    ] {
        let permitted = is_permitted(NameSubtree::Dns(base.to_owned()), dns(found));
        assert_eq!(permitted, within, "{found} below {base}");
    }
}

#[test]
fn mailboxes_are_held_to_email_constraints() {
    for (base, found, within) in [
        ("example.com", "a@example.com", true),
        ("example.com", "a@sub.example.com", false),
        (".example.com", "a@sub.example.com", true),
        (".example.com", "a@example.com", false),
        ("a@example.com", "a@EXAMPLE.com", true),
        ("a@example.com", "A@example.com", false),
    ] {
        let found = GeneralName::Email(found.to_owned());
        let permitted = is_permitted(NameSubtree::Email(base.to_owned()), found.clone());
        assert_eq!(permitted, within, "{found} below {base}");
    }
}

#[test]
fn uris_are_held_to_uri_constraints() {
    for (base, found, within) in [
        ("example.com", "https://example.com:8443/a", true),
        ("example.com", "https://www.example.com/", false),
        (".example.com", "https://www.example.com/", true),
        (".example.com", "spiffe://a.example.com?x#y", true),
        ("example.com", "https://192.0.2.1/", false),
        ("example.com", "urn:example:a", false),
    ] {
        let found = GeneralName::Uri(found.to_owned());
        let permitted = is_permitted(NameSubtree::Uri(base.to_owned()), found.clone());
        assert_eq!(permitted, within, "{found} below {base}");
    }
}

#[test]
fn addresses_are_held_to_network_constraints() {
    for (base, prefix, found, within) in [
        ("192.0.2.0", 24, "192.0.2.255", true),
        ("192.0.2.0", 24, "192.0.3.0", false),
        ("2001:db8::", 32, "2001:db8:1::", true),
        ("2001:db8::", 32, "2001:db9::", false),
        ("192.0.2.0", 24, "2001:db8::", false),
    ] {
        let subtree = NameSubtree::Ip(base.parse().unwrap(), prefix);
        let permitted = is_permitted(subtree, GeneralName::Ip(found.parse().unwrap()));
        assert_eq!(permitted, within, "{found} in {base}/{prefix}");
    }
}

#[test]
fn directory_names_are_held_to_directory_constraints() {
    for (base, found, within) in [
        (
            &[("O", "Example")][..],
            &[("O", "EXAMPLE"), ("CN", "a")][..],
            true,
        ),
        (&[("O", "A  B")], &[("O", "a b")], true),
        (&[("O", "Example")], &[("CN", "a"), ("O", "Example")], false),
        (&[("O", "Example"), ("OU", "x")], &[("O", "Example")], false),
    ] {
        let subtree = NameSubtree::DirectoryName(name(base));
        let permitted = is_permitted(subtree, GeneralName::DirectoryName(name(found)));
        assert_eq!(permitted, within, "{found:?} below {base:?}");
    }
}

#[test]
fn excluded_names_are_refused_also_when_permitted() {
    let tree = |text: &str| NameSubtree::Dns(text.to_owned());
    let issuing = constrained(vec![tree("example.com")], vec![tree("secret.example.com")]);
    let verify_name = |text: &str| verify(&leaf_named(vec![dns(text)]), &issuing);
    assert_eq!(verify_name("www.example.com"), Ok(()));
    for refused in [
        "secret.example.com",
        "a.secret.example.com",
        "*.example.com",
    ] {
        let error = verify_name(refused).unwrap_err();
        assert!(
            matches!(error.fault, PathFault::NameConstraint { .. }),
            "{error}"
        );
        assert_eq!(error.certificate, 0);
    }
    let all = constrained(vec![], vec![tree("")]);
    assert!(verify(&leaf_named(vec![dns("a.example")]), &all).is_err());
    let other_form = leaf_named(vec![GeneralName::Email("a@b.example".to_owned())]);
    assert_eq!(verify(&other_form, &all), Ok(()));
}

#[test]
fn every_name_is_checked_and_not_only_the_first() {
    let issuing = constrained(vec![NameSubtree::Dns("example.com".to_owned())], vec![]);
    let names = (0..50).map(|number| dns(&format!("host{number}.example.com")));
    let mut names: Vec<GeneralName> = names.collect();
    assert_eq!(verify(&leaf_named(names.clone()), &issuing), Ok(()));
    names.push(dns("example.org"));
    assert!(verify(&leaf_named(names), &issuing).is_err());
}

#[test]
fn subjects_are_held_to_directory_constraints() {
    let tree = NameSubtree::DirectoryName(name(&[("C", "DE"), ("O", "Example")]));
    let issuing = constrained(vec![tree], vec![]);
    let mut leaf = leaf_plan();
    assert_eq!(verify(&leaf, &issuing), Ok(()));
    leaf.subject_der = name(&[("C", "DE"), ("O", "Other"), ("CN", "www.example.com")]);
    assert!(verify(&leaf, &issuing).is_err());
}

#[test]
fn a_constraint_of_a_form_that_is_not_implemented_refuses_its_names() {
    // registeredID is constrained.
    let tree = sequence(&[&crate::asn1::encode(0x88, &[42, 3])]);
    let constraints = sequence(&[&crate::asn1::encode(0xA0, &tree)]);
    let error = below_spoilt(|parts| {
        parts.set("2.5.29.30", &constraints);
        parts.set_critical("2.5.29.30", true);
    });
    assert!(
        matches!(error.fault, PathFault::NameConstraint { .. }),
        "{error}"
    );
    let error = below_spoilt(|parts| parts.set("2.5.29.30", &[0x30, 2, 0xA0, 0]));
    assert!(
        matches!(error.fault, PathFault::MalformedNameConstraints(_)),
        "{error}"
    );
}

#[test]
fn constraints_of_two_cas_bind_together() {
    let key = PrivateKey::generate(P256.algorithm()).unwrap();
    let tree = |text: &str| vec![NameSubtree::Dns(text.to_owned())];
    let mut upper = constrained(tree("example.com"), vec![]);
    upper.basic_constraints = root_plan().basic_constraints;
    let mut lower = constrained(tree("example.org"), vec![]);
    lower.subject_der = name(&[("CN", "lower")]);
    lower.subject_public_key_info = key.subject_public_key_info().to_vec();
    let leaf = leaf_named(vec![dns("www.example.org")]);
    let leaf = certificate(&leaf, &lower, &key);
    let lower = certificate(&lower, &upper, &*ISSUING_KEY);
    let upper = certificate(&upper, &root_plan(), &*ROOT_KEY);
    let error = verify_chain(&leaf, &[lower, upper], &root(), time(NOW)).unwrap_err();
    assert!(
        matches!(error.fault, PathFault::NameConstraint { .. }),
        "{error}"
    );
}
