//! Tests of `create_certificate_authority`.

use clm_domain::issuer_limits::NameLimits;
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::states::IssuerStatus;
use uuid::Uuid;

use super::*;
use crate::store::issuers::ChainLink;

fn limits() -> IssuerLimits {
    IssuerLimits {
        certificate_authority: true,
        end_entities: false,
        extended_key_usage: Vec::new(),
        key_algorithms: KeyAlgorithm::ALL.to_vec(),
        validity_seconds_max: 1_000,
        names: NameLimits::default(),
        issuances_per_minute_max: None,
        certificate_policies: Vec::new(),
        other_extensions: Vec::new(),
    }
}

fn command() -> CreateCertificateAuthority {
    CreateCertificateAuthority {
        name: "Authority".to_owned(),
        subject_der: vec![0x30, 0],
        parent_issuer_id: None,
        key_algorithm: KeyAlgorithm::EcdsaP256,
        signature_algorithm: KeyAlgorithm::EcdsaP256.default_signature(),
        validity_seconds: 1_000,
        path_length_max: Some(1),
        limits: limits(),
        organization_ids: Vec::new(),
        proof: None,
    }
}

/// What the command made.
fn stored() -> StoredIssuer {
    let id = Uuid::from_u128(1);
    let command = command();
    StoredIssuer {
        id: id.into(),
        organization_id: id.into(),
        name: command.name,
        kind: IssuerKind::Root,
        parent_issuer_id: command.parent_issuer_id,
        status: IssuerStatus::Active,
        subject: String::new(),
        subject_der: command.subject_der,
        subject_key_identifier: Vec::new(),
        key_algorithm: command.key_algorithm,
        signature_algorithm: command.signature_algorithm,
        limits: command.limits,
        strict_mode: false,
        revision: 1,
        private_key_id: id.into(),
        certificate_id: id.into(),
        certificate_der: Vec::new(),
        not_before: DateTime::UNIX_EPOCH,
        not_after: DateTime::UNIX_EPOCH,
        created_at: DateTime::UNIX_EPOCH,
        chain: Vec::new(),
    }
}

#[test]
fn a_name_is_taken_unless_everything_is_the_same() {
    type Change = fn(&mut CreateCertificateAuthority);
    let changes: [(&str, Change); 6] = [
        ("parent", |command| {
            command.parent_issuer_id = Some(Uuid::from_u128(2).into());
        }),
        ("subject", |command| command.subject_der = vec![0x31, 0]),
        ("key algorithm", |command| {
            command.key_algorithm = KeyAlgorithm::EcdsaP384;
        }),
        ("signature algorithm", |command| {
            command.signature_algorithm = KeyAlgorithm::EcdsaP384.default_signature();
        }),
        ("path length", |command| command.path_length_max = None),
        ("set of limits", |command| {
            command.limits.end_entities = true;
        }),
    ];
    assert_eq!(difference(&stored(), Some(1), &command()), None);
    for (what, change) in changes {
        let mut command = command();
        change(&mut command);
        assert_eq!(difference(&stored(), Some(1), &command), Some(what));
    }
}

#[test]
fn limits_are_within_those_of_everyone_above() {
    let mut root = limits();
    root.end_entities = true;
    let mut parent = stored();
    parent.chain = vec![ChainLink {
        name: "Root".to_owned(),
        is_root: true,
        is_active: true,
        not_after: DateTime::UNIX_EPOCH,
        limits: root,
        certificate_der: Vec::new(),
    }];
    assert_eq!(limits_beyond(&parent, &limits()), []);

    let mut child = limits();
    child.validity_seconds_max += 1;
    assert!(child.is_within(&parent.limits).is_empty());
    let violations = limits_beyond(&parent, &child);
    let fields: Vec<&str> = violations.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["limits.validity_seconds_max"]);
}

#[test]
fn the_path_length_shrinks_on_the_way_down() {
    assert_eq!(path_length_objection(None, None), None);
    assert_eq!(path_length_objection(None, Some(3)), None);
    assert_eq!(path_length_objection(Some(1), Some(0)), None);
    assert!(path_length_objection(Some(1), Some(1)).is_some());
    assert!(path_length_objection(Some(1), None).is_some());
    assert!(path_length_objection(Some(0), Some(0)).is_some());
}

#[test]
fn the_validity_counts_its_last_second() {
    let now = DateTime::from_timestamp(1_000, 500_000_000).unwrap();
    let (not_before, not_after) = validity(86_400, now).unwrap();
    assert_eq!(
        (not_before.timestamp(), not_after.timestamp()),
        (1_000, 1_000 + 86_399)
    );
    assert!(validity(0, now).is_err());
    assert!(validity(u64::MAX, now).is_err());
}
