//! Tests of `service`.

use chrono::{DateTime, Utc};
use clm_domain::certificate_plan::CertificatePlan;
use clm_domain::ids::{
    CertificateId, CertificateRequestId, IssuerId, RequestId, SYSTEM_ORGANIZATION,
};
use clm_domain::issuer_limits::{IssuerLimits, NameLimits};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::secret::SecretString;
use clm_domain::states::{CertificateType, KeyRotationType};
use clm_secure_api::command::{
    AcknowledgeEvents, CancelKeyRotation, CheckHealth, CreateCertificateAuthority,
    EraseOrganizationKeys, ExportPrivateKey, IssuanceContext, IssueCertificate, KeySource,
    ListCertificateAuthorities, ListCertificateRequests, ListCertificateStates, ListEncryptionKeys,
    ListExposedKeys, ListKeyRotations, LoadCertificate, LoadCertificateAuthority,
    LoadCertificateRequest, LoadEncryptionKey, LoadKeyRotation, PullEvents, SetKeyRotationSchedule,
    StartKeyRotation,
};
use uuid::Uuid;

use super::*;

fn create() -> Command {
    let limits = IssuerLimits {
        certificate_authority: true,
        end_entities: false,
        extended_key_usage: Vec::new(),
        key_algorithms: Vec::new(),
        validity_seconds_max: 1,
        names: NameLimits::default(),
        issuances_per_minute_max: None,
        certificate_policies: Vec::new(),
        other_extensions: Vec::new(),
    };
    Command::CreateCertificateAuthority(Box::new(CreateCertificateAuthority {
        name: "Root".to_owned(),
        subject_der: Vec::new(),
        parent_issuer_id: None,
        key_algorithm: KeyAlgorithm::EcdsaP256,
        signature_algorithm: KeyAlgorithm::EcdsaP256.default_signature(),
        validity_seconds: 1,
        path_length_max: None,
        limits,
        organization_ids: Vec::new(),
        proof: None,
    }))
}

fn issue() -> Command {
    let id = Uuid::from_u128(1);
    Command::IssueCertificate(Box::new(IssueCertificate {
        certificate_request_id: CertificateRequestId::from_uuid(id),
        certificate_id: CertificateId::from_uuid(id),
        issuer_id: IssuerId::from_uuid(id),
        key_source: KeySource::Generate,
        plan: CertificatePlan::end_entity(
            CertificateType::Leaf,
            Vec::new(),
            Vec::new(),
            KeyAlgorithm::EcdsaP256,
            (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MIN_UTC),
        ),
        context: IssuanceContext::default(),
    }))
}

fn about_keys(id: Uuid) -> Vec<Command> {
    let key_rotation_id = id.into();
    vec![
        Command::ListEncryptionKeys(ListEncryptionKeys {
            after: None,
            limit: 1,
        }),
        Command::LoadEncryptionKey(LoadEncryptionKey {
            encryption_key_id: id.into(),
        }),
        Command::StartKeyRotation(StartKeyRotation {
            rotation_type: KeyRotationType::Manual,
            reason: None,
            items_per_second_max: None,
        }),
        Command::ListKeyRotations(ListKeyRotations {
            after: None,
            limit: 1,
        }),
        Command::LoadKeyRotation(LoadKeyRotation { key_rotation_id }),
        Command::CancelKeyRotation(CancelKeyRotation { key_rotation_id }),
        Command::ListExposedKeys(ListExposedKeys {
            key_rotation_id,
            after: None,
            limit: 1,
        }),
        Command::SetKeyRotationSchedule(SetKeyRotationSchedule { days: None }),
        Command::EraseOrganizationKeys(EraseOrganizationKeys {
            reason: String::new(),
        }),
    ]
}

/// One of each command. A new command does not compile into `may_call` unseen, but must be added
/// here.
fn commands() -> Vec<Command> {
    let id = Uuid::from_u128(1);
    let mut commands = vec![
        Command::CheckHealth(CheckHealth {}),
        create(),
        Command::ListCertificateAuthorities(ListCertificateAuthorities {
            after: None,
            limit: 1,
        }),
        Command::LoadCertificateAuthority(LoadCertificateAuthority {
            issuer_id: id.into(),
        }),
        issue(),
        Command::ListCertificateRequests(ListCertificateRequests {
            after: None,
            limit: 1,
        }),
        Command::LoadCertificateRequest(LoadCertificateRequest {
            certificate_request_id: id.into(),
        }),
        Command::LoadCertificate(LoadCertificate {
            certificate_id: id.into(),
        }),
        Command::ExportPrivateKey(ExportPrivateKey {
            certificate_id: id.into(),
            passphrase: SecretString::new(String::new()),
            proof: None,
        }),
        Command::PullEvents(PullEvents { limit: 1 }),
        Command::AcknowledgeEvents(AcknowledgeEvents {
            event_ids: Vec::new(),
        }),
        Command::ListCertificateStates(ListCertificateStates {
            after: None,
            limit: 1,
        }),
    ];
    commands.extend(about_keys(id));
    commands
}

fn context(caller: Caller, actor: Actor) -> CallContext {
    CallContext {
        caller,
        actor,
        organization_id: SYSTEM_ORGANIZATION,
        request_id: RequestId::from_uuid(Uuid::from_u128(7)),
        idempotency_key: None,
        deadline: DateTime::<Utc>::MAX_UTC,
    }
}

#[test]
fn the_core_may_give_every_command() {
    for command in commands() {
        assert!(may_call(Caller::Core, &command), "{}", command.name());
    }
}

#[test]
fn the_bootstrap_may_only_make_and_see_certificate_authorities() {
    let allowed: Vec<&str> = commands()
        .iter()
        .filter(|command| may_call(Caller::Bootstrap, command))
        .map(Command::name)
        .collect();
    let expected = [
        "check_health",
        "create_certificate_authority",
        "list_certificate_authorities",
        "load_certificate_authority",
    ];
    assert_eq!(allowed, expected);
}

#[test]
fn nobody_changes_anything_anonymously() {
    for command in commands() {
        let judged = judge_caller(&context(Caller::Core, Actor::Anonymous), &command);
        assert_eq!(judged.is_err(), command.is_mutating(), "{}", command.name());
        assert!(judge_caller(&context(Caller::Core, Actor::System), &command).is_ok());
    }
}

#[test]
fn a_forbidden_command_says_which() {
    let fault = judge_caller(&context(Caller::Bootstrap, Actor::System), &issue()).unwrap_err();
    assert_eq!(fault.kind, ErrorKind::Forbidden);
    assert!(
        fault.message.contains("issue_certificate"),
        "{}",
        fault.message
    );
}
