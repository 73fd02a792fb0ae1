//! Tests of `issuer_limits`.

use chrono::DateTime;

use super::*;
use crate::certificate_plan::{BasicConstraints, CertificatePolicy, PlannedExtension};
use crate::states::CertificateType;

fn oid(text: &str) -> Oid {
    text.parse().unwrap()
}

/// Limits of an issuer of end entities with any name.
fn issuing() -> IssuerLimits {
    IssuerLimits {
        certificate_authority: false,
        end_entities: true,
        extended_key_usage: vec![oid(extended_key_usage::SERVER_AUTH)],
        key_algorithms: vec![KeyAlgorithm::EcdsaP256],
        validity_seconds_max: 1_000,
        names: NameLimits::default(),
        issuances_per_minute_max: None,
        certificate_policies: Vec::new(),
        other_extensions: Vec::new(),
    }
}

/// Limits of a root that signs nothing but authorities.
fn root() -> IssuerLimits {
    IssuerLimits {
        certificate_authority: true,
        end_entities: false,
        extended_key_usage: Vec::new(),
        ..issuing()
    }
}

fn limited() -> IssuerLimits {
    IssuerLimits {
        names: NameLimits {
            dns_domains: only("allowed.example"),
            ip_networks: only("192.0.2.0/24"),
            email_domains: only("allowed.example"),
            ..NameLimits::default()
        },
        ..issuing()
    }
}

fn only(text: &str) -> Option<Vec<String>> {
    Some(vec![text.to_owned()])
}

fn plan() -> CertificatePlan {
    let time = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
    let mut plan = CertificatePlan::end_entity(
        CertificateType::Server,
        Vec::new(),
        Vec::new(),
        KeyAlgorithm::EcdsaP256,
        (time(0), time(999)),
    );
    plan.extended_key_usage = vec![oid(extended_key_usage::SERVER_AUTH)];
    plan
}

fn authority() -> CertificatePlan {
    let mut plan = plan();
    plan.certificate_type = CertificateType::Intermediate;
    plan.extended_key_usage = Vec::new();
    plan.basic_constraints = Some(BasicConstraints {
        certificate_authority: true,
        path_length_max: None,
    });
    plan
}

fn fields(violations: &[Violation]) -> Vec<&str> {
    violations.iter().map(|one| one.field.as_str()).collect()
}

#[test]
fn an_end_entity_needs_an_extended_key_usage() {
    assert_eq!(judge(&plan(), &issuing(), &[]), []);
    let mut any_purpose = plan();
    any_purpose.extended_key_usage = Vec::new();
    let violations = judge(&any_purpose, &issuing(), &[]);
    assert_eq!(fields(&violations), ["extended_key_usage"]);
    any_purpose.extended_key_usage = vec![oid(extended_key_usage::ANY)];
    let mut limits = issuing();
    limits.extended_key_usage.push(oid(extended_key_usage::ANY));
    let violations = judge(&any_purpose, &limits, &[]);
    assert_eq!(fields(&violations), ["extended_key_usage"]);
}

#[test]
fn a_root_signs_authorities_and_nothing_else() {
    assert_eq!(judge(&authority(), &root(), &[]), []);
    let mut any_purpose = plan();
    any_purpose.extended_key_usage = Vec::new();
    let violations = judge(&any_purpose, &root(), &[]);
    assert_eq!(
        fields(&violations),
        ["basic_constraints", "extended_key_usage"]
    );
    let violations = judge(&authority(), &issuing(), &[]);
    assert_eq!(fields(&violations), ["basic_constraints"]);
}

#[test]
fn whether_end_entities_are_signed_is_said_explicitly() {
    let mut json = serde_json::to_value(issuing()).unwrap();
    let fields = json.as_object_mut().unwrap();
    fields.remove("certificate_policies");
    fields.remove("other_extensions");
    let read: IssuerLimits = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(read, issuing());
    json.as_object_mut().unwrap().remove("end_entities");
    assert!(serde_json::from_value::<IssuerLimits>(json).is_err());
}

#[test]
fn policies_and_further_extensions_must_be_allowed() {
    let mut plan = plan();
    plan.certificate_policies = vec![CertificatePolicy {
        policy_id: oid("1.2.3"),
        cps_uris: Vec::new(),
        user_notice: None,
    }];
    plan.other_extensions = vec![PlannedExtension {
        oid: oid("1.2.4"),
        critical: false,
        value_der: vec![5, 0],
    }];
    let violations = judge(&plan, &issuing(), &[]);
    let expected = ["certificate_policies[0]", "other_extensions[0]"];
    assert_eq!(fields(&violations), expected);
    let mut limits = issuing();
    limits.certificate_policies = vec![oid("1.2.3")];
    limits.other_extensions = vec![oid("1.2.4")];
    assert_eq!(judge(&plan, &limits, &[]), []);
}

#[test]
fn a_common_name_is_judged_like_a_name() {
    for (common_name, permitted) in [
        ("allowed.example", true),
        ("*.deep.ALLOWED.example", true),
        ("192.0.2.7", true),
        ("a@allowed.example", true),
        ("notallowed.example", false),
        ("192.0.3.7", false),
        ("2001:db8::1", false),
        ("a@elsewhere.example", false),
        ("a@b@allowed.example", false),
        ("printer", false),
        ("Some Body", false),
        ("allowed.example\0", false),
        ("elsewhere.example allowed.example", false),
        ("", false),
    ] {
        let violations = judge(&plan(), &limited(), &[common_name]);
        assert_eq!(violations.is_empty(), permitted, "{common_name:?}");
        assert!(fields(&violations).iter().all(|field| *field == "subject"));
        assert_eq!(judge(&plan(), &issuing(), &[common_name]), []);
    }
    let violations = judge(
        &plan(),
        &limited(),
        &["allowed.example", "elsewhere.example"],
    );
    assert_eq!(fields(&violations), ["subject"], "each one is judged");
    assert_eq!(
        judge(
            &authority(),
            &IssuerLimits {
                names: limited().names,
                ..root()
            },
            &["Some CA"]
        ),
        []
    );
}

#[test]
fn a_common_name_may_repeat_an_alternative_name() {
    let mut plan = plan();
    plan.subject_alternative_names = vec![
        GeneralName::Dns("elsewhere.example".to_owned()),
        GeneralName::Ip("2001:db8::1".parse().unwrap()),
    ];
    let common_names = ["ELSEWHERE.example", "2001:DB8:0::1"];
    let violations = judge(&plan, &limited(), &common_names);
    let expected = [
        "subject_alternative_names[0]",
        "subject_alternative_names[1]",
    ];
    assert_eq!(fields(&violations), expected);
}

#[test]
fn an_issuing_authority_is_within_the_root() {
    let mut child = issuing();
    child.validity_seconds_max = 1;
    child.certificate_policies = vec![oid("1.2.3")];
    assert_eq!(child.is_within(&root()), []);
    assert_eq!(root().is_within(&root()), []);
}

#[test]
fn names_and_keys_bind_everything_below() {
    let parent = IssuerLimits {
        names: NameLimits {
            uri_schemes: only("https"),
            other_name_types: Some(vec![oid("1.2.3")]),
            ..limited().names
        },
        ..root()
    };
    let mut child = issuing();
    child.key_algorithms.push(KeyAlgorithm::Ed25519);
    child.names.directory_names = true;
    child.names.registered_ids = true;
    assert_eq!(
        fields(&child.is_within(&parent)),
        [
            "limits.key_algorithms",
            "limits.names.dns_domains",
            "limits.names.ip_networks",
            "limits.names.email_domains",
            "limits.names.uri_schemes",
            "limits.names.other_name_types",
            "limits.names.directory_names",
            "limits.names.registered_ids",
        ]
    );
    child = issuing();
    child.names = NameLimits {
        dns_domains: only("deep.Allowed.example"),
        ip_networks: only("192.0.2.128/25"),
        email_domains: only("ALLOWED.example"),
        uri_schemes: Some(Vec::new()),
        other_name_types: Some(vec![oid("1.2.3")]),
        directory_names: false,
        registered_ids: false,
    };
    assert_eq!(child.is_within(&parent), []);
}

#[test]
fn a_wider_or_unreadable_network_is_not_within() {
    let parent = IssuerLimits {
        names: limited().names,
        ..root()
    };
    let networks = [
        "192.0.2.0/23",
        "192.0.3.0/24",
        "192.0.2.0/33",
        "192.0.2.0",
        "::/24",
        "0.0.0.0/0",
        "",
    ];
    for network in networks {
        let mut child = limited();
        child.names.ip_networks = only(network);
        let violations = child.is_within(&parent);
        assert_eq!(
            fields(&violations),
            ["limits.names.ip_networks"],
            "{network}"
        );
    }
}

#[test]
fn below_an_issuer_of_end_entities_everything_is_compared() {
    let mut parent = issuing();
    parent.issuances_per_minute_max = Some(10);
    let mut child = issuing();
    child.certificate_authority = true;
    child
        .extended_key_usage
        .push(oid(extended_key_usage::CLIENT_AUTH));
    child.certificate_policies = vec![oid("1.2.3")];
    child.other_extensions = vec![oid("1.2.4")];
    child.validity_seconds_max += 1;
    assert_eq!(
        fields(&child.is_within(&parent)),
        [
            "limits.certificate_authority",
            "limits.extended_key_usage",
            "limits.certificate_policies",
            "limits.other_extensions",
            "limits.validity_seconds_max",
            "limits.issuances_per_minute_max",
        ]
    );
    child = issuing();
    child.issuances_per_minute_max = Some(11);
    assert_eq!(child.is_within(&parent).len(), 1);
    child.issuances_per_minute_max = Some(10);
    assert_eq!(child.is_within(&parent), []);
}
