//! Tests of `lint`.

use std::collections::BTreeSet;

use clm_domain::certificate_plan::{CertificatePlan, extended_key_usage};

use super::*;
use crate::asn1::{encode, tag};
use crate::key::subject_key_identifier;
use crate::plan_fixture::{Parts, identity, issuing_plan, leaf_plan, name, root_plan};
use crate::test_fixture::{RSA, oid, sequence};

mod bad;

/// A certificate that no lint complains of, and that a test spoils.
#[derive(Clone, Copy)]
enum Good {
    Root,
    Issuing,
    Leaf,
    RsaLeaf,
    OcspResponder,
    TimeStamping,
    EmptySubject,
}

impl Good {
    const ALL: [Self; 7] = [
        Self::Root,
        Self::Issuing,
        Self::Leaf,
        Self::RsaLeaf,
        Self::OcspResponder,
        Self::TimeStamping,
        Self::EmptySubject,
    ];

    fn plans(self) -> (CertificatePlan, CertificatePlan) {
        let mut leaf = leaf_plan();
        match self {
            Self::Root => return (root_plan(), root_plan()),
            Self::Issuing => return (issuing_plan(), root_plan()),
            Self::Leaf => {}
            Self::RsaLeaf => {
                leaf.subject_public_key_info = RSA.subject_public_key_info().to_vec();
                leaf.key_algorithm = RSA.algorithm();
                leaf.key_usage.key_encipherment = true;
            }
            Self::OcspResponder => {
                leaf.extended_key_usage = vec![purpose(extended_key_usage::OCSP_SIGNING)];
                leaf.ocsp_no_check = true;
            }
            Self::TimeStamping => {
                leaf.extended_key_usage = vec![purpose(extended_key_usage::TIME_STAMPING)];
            }
            Self::EmptySubject => leaf.subject_der = name(&[]),
        }
        (leaf, issuing_plan())
    }

    fn parts(self) -> Parts {
        let (plan, issuer) = self.plans();
        Parts::new(&plan, &issuer)
    }

    fn lint(self, parts: &Parts) -> Vec<Finding> {
        let (_, issuer) = self.plans();
        let issuer = identity(&issuer);
        let context = LintContext {
            issuer_subject_key_identifier: Some(&issuer.subject_key_identifier),
            outer_signature_algorithm: Some(crate::key::signature_algorithm_identifier(
                issuer.signature_algorithm,
            )),
        };
        lint_tbs(&parts.encode(), &context)
    }
}

fn purpose(text: &str) -> clm_domain::oid::Oid {
    text.parse().unwrap()
}

#[test]
fn good_certificates_have_no_findings() {
    for good in Good::ALL {
        assert_eq!(good.lint(&good.parts()), []);
    }
}

#[test]
fn every_lint_finds_its_bad_certificate() {
    for (lint, good, spoil) in bad::CASES {
        let mut parts = good.parts();
        spoil(&mut parts);
        let findings = good.lint(&parts);
        let names: Vec<&str> = findings.iter().map(|finding| finding.lint).collect();
        assert!(
            names.contains(lint),
            "{lint} did not find it; found {names:?}"
        );
    }
}

#[test]
fn every_lint_has_a_bad_certificate() {
    let known: BTreeSet<&str> = all().map(|lint| lint.name).collect();
    let tested: BTreeSet<&str> = bad::CASES.iter().map(|(lint, ..)| *lint).collect();
    assert_eq!(known, tested);
}

#[test]
fn names_are_unique_and_tell_the_severity() {
    let names: Vec<&str> = all().map(|lint| lint.name).collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), unique.len());
    for lint in all() {
        let letter = match lint.severity() {
            Severity::Error => "e_",
            Severity::Warning => "w_",
        };
        assert!(lint.name.starts_with(letter), "{}", lint.name);
        assert!(!lint.citation.is_empty(), "{}", lint.name);
    }
}

#[test]
fn bytes_that_are_no_certificate_are_an_error() {
    for bytes in [&b""[..], b"\x30\x00", b"\x30\x80\x00\x00", &[0xFF; 40]] {
        let findings = lint_tbs(bytes, &LintContext::default());
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].lint, "e_rfc5280_tbs_certificate");
        assert_eq!(findings[0].severity, Severity::Error);
    }
}

#[test]
fn no_spoilt_byte_makes_a_lint_panic() {
    let tbs = Good::Issuing.parts().encode();
    for position in 0..tbs.len() {
        for value in [0x00, 0x1F, 0x30, 0x80, 0xFF] {
            let mut spoilt = tbs.clone();
            spoilt[position] = value;
            let findings = lint_tbs(&spoilt, &LintContext::default());
            assert!(findings.len() < 1_000);
        }
    }
}
