//! Tests of `issue_certificate`.

use clm_domain::certificate_plan::{CertificatePolicy, PlannedExtension};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::states::CertificateType;

use super::*;

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::hours(hours)
}

fn plan(not_before: DateTime<Utc>, not_after: DateTime<Utc>) -> CertificatePlan {
    CertificatePlan::end_entity(
        CertificateType::Server,
        Vec::new(),
        Vec::new(),
        KeyAlgorithm::EcdsaP256,
        (not_before, not_after),
    )
}

fn fields(plan: &CertificatePlan, issuer: (DateTime<Utc>, DateTime<Utc>)) -> Vec<String> {
    let violations = judge_times(plan, issuer, at(0));
    violations.into_iter().map(|one| one.field).collect()
}

#[test]
fn a_certificate_begins_about_now() {
    let issuer = (at(-1_000), at(1_000));
    let second = TimeDelta::seconds(1);
    let edges = [
        (at(-48), true),
        (at(-48) - second, false),
        (at(0), true),
        (at(48), true),
        (at(48) + second, false),
    ];
    for (not_before, allowed) in edges {
        let found = fields(&plan(not_before, at(100)), issuer);
        assert_eq!(found.is_empty(), allowed, "{not_before}");
        assert!(found.iter().all(|field| field == "not_before"));
    }
}

#[test]
fn a_certificate_lives_within_its_issuer() {
    let issuer = (at(-1), at(10));
    assert!(fields(&plan(at(-1), at(10)), issuer).is_empty());
    let minutes = TimeDelta::minutes(CLOCK_SKEW_MINUTES);
    assert!(fields(&plan(at(-1) - minutes, at(10)), issuer).is_empty());
    assert_eq!(fields(&plan(at(-2), at(10)), issuer), ["not_before"]);
    assert_eq!(fields(&plan(at(-1), at(11)), issuer), ["not_after"]);
    assert_eq!(fields(&plan(at(-1), at(0)), issuer), ["not_after"]);
}

#[test]
fn the_audit_event_names_policies_and_further_extensions() {
    let mut plan = plan(at(0), at(1));
    let mut details = json!({});
    note_further_extensions(&mut details, &plan);
    assert_eq!(details, json!({}));
    plan.certificate_policies = vec![CertificatePolicy {
        policy_id: "1.2.3".parse().unwrap(),
        cps_uris: Vec::new(),
        user_notice: None,
    }];
    plan.other_extensions = vec![PlannedExtension {
        oid: "1.2.4".parse().unwrap(),
        critical: false,
        value_der: vec![5, 0],
    }];
    note_further_extensions(&mut details, &plan);
    let expected = json!({ "certificate_policies": ["1.2.3"], "other_extensions": ["1.2.4"] });
    assert_eq!(details, expected);
}
