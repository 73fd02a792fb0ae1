//! Messages as programs wrote them once, in `tests/golden`: they must go on being read, and mean what
//! they meant. A field that is added needs a default; anything else is a new version.

mod answers;
mod commands;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clm_domain::certificate_plan::{AuthorityInformationAccess, CertificatePlan, KeyUsage};
use clm_domain::general_name::GeneralName;
use clm_domain::ids::{
    CertificateId, CertificateRequestId, EventId, IssuerId, PrivateKeyId, UserId,
};
use clm_domain::issuer_limits::{IssuerLimits, NameLimits};
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::secret::SecretString;
use clm_domain::states::{
    CertificateStatus, CertificateType, DeploymentEnvironment, KeyRotationType,
};
use serde::de::DeserializeOwned;

use super::*;
use crate::command::{
    AcknowledgeEvents, CreateCertificateAuthority, ExportPrivateKey, IssuanceContext,
    IssueCertificate, KeySource, StartKeyRotation, StepUpToken, Unseal,
};
use crate::event::{CertificateRecord, Event, EventBody};
use crate::reply::{ExportedPrivateKey, Issued};
use crate::{IdempotencyKey, wire};

/// One line a message: its name, and its bytes in hexadecimal, the version byte first.
const VERSION_1: &str = include_str!("../../../tests/golden/version_1.txt");

#[test]
fn messages_of_version_1_are_read_as_they_were_meant() {
    let mut golden = Golden::of(VERSION_1);
    let mut names = BTreeSet::new();
    for (name, command) in commands() {
        names.insert(command.name());
        golden.check(name, &call(command));
    }
    for command in [
        commands::of_certificates(),
        commands::of_keys(),
        commands::of_secrets(),
    ]
    .into_iter()
    .flatten()
    {
        names.insert(command.name());
        golden.check(command.name(), &call(command));
    }
    let all: BTreeSet<_> = Command::NAMES.iter().copied().collect();
    assert_eq!(names, all, "each command has a message");
    check_answers(&mut golden);
    golden.check(
        "pair_request",
        &PairRequest {
            secret: [7; token::SECRET_BYTES],
            csr_der: vec![0x30, 0x00],
        },
    );
    golden.check(
        "renew_request",
        &RenewRequest {
            csr_der: vec![0x30, 0x00],
        },
    );
    golden.check(
        "transport_certificate",
        &Ok::<_, SecureError>(TransportCertificate {
            certificate_der: vec![0x30, 0x01],
            authority_der: vec![0x30, 0x02],
            not_after: moment(7),
            renew_at: moment(5),
        }),
    );
    golden.finish();
}

fn check_answers(golden: &mut Golden) {
    let mut names = BTreeSet::new();
    for (name, answer) in answers() {
        names.extend(answer.as_ref().ok().map(Reply::name));
        golden.check(name, &answer);
    }
    for reply in [
        answers::of_certificates(),
        answers::of_keys(),
        answers::of_secrets(),
    ]
    .into_iter()
    .flatten()
    {
        let name = reply.name();
        names.insert(name);
        golden.check(&format!("reply_{name}"), &Ok::<_, SecureError>(reply));
    }
    // What the encoding says when it meets a reply that there is not.
    let unknown = serde_json::from_str::<Reply>(r#"{"reply":"-","value":{}}"#);
    let said = unknown.unwrap_err().to_string();
    let (_, expected) = said.split_once("expected one of").unwrap();
    let all: BTreeSet<_> = expected.split('`').skip(1).step_by(2).collect();
    assert_eq!(names, all, "each reply has a message");
}

/// Messages that are on file.
struct Golden {
    messages: BTreeMap<&'static str, &'static str>,
    missing: Vec<String>,
}

impl Golden {
    fn of(text: &'static str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self {
            messages: lines.map(|line| line.split_once(' ').unwrap()).collect(),
            missing: Vec::new(),
        }
    }

    /// Reads the message of that name, which must be this one.
    fn check<T: Serialize + DeserializeOwned>(&mut self, name: &str, meant: &T) {
        let written = wire::encode_as(1, meant).unwrap();
        let Some(text) = self.messages.remove(name) else {
            self.missing
                .push(format!("{name} {}", hex::encode(written)));
            return;
        };
        let bytes = hex::decode(text).unwrap();
        let (version, read) = wire::decode_any::<T>(Versions::of(1), &bytes)
            .unwrap_or_else(|error| panic!("{name} is not read any more: {error}"));
        assert_eq!(version, 1);
        // Fields that came later have their defaults in both.
        let again = wire::encode_as(1, &read).unwrap();
        assert_eq!(hex::encode(again), hex::encode(written), "{name}");
    }

    fn finish(self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let missing = self.missing.join("\n");
        assert!(missing.is_empty(), "not in {}:\n{missing}", path.display());
        assert!(
            self.messages.is_empty(),
            "nobody reads {:?}",
            self.messages.keys()
        );
    }
}

fn call(command: Command) -> Call {
    Call {
        remaining_milliseconds: 10_000,
        context: CallContext {
            actor: Actor::LocalOperator { uid: 1000 },
            idempotency_key: Some(IdempotencyKey {
                key_sha256: [1; 32],
                request_sha256: [2; 32],
            }),
            ..context(Caller::Core)
        },
        command,
    }
}

fn commands() -> Vec<(&'static str, Command)> {
    vec![
        ("check_health", Command::CheckHealth(CheckHealth {})),
        (
            "create_certificate_authority",
            Command::CreateCertificateAuthority(Box::new(authority())),
        ),
        (
            "create_certificate_authority_with_proof",
            Command::CreateCertificateAuthority(Box::new(CreateCertificateAuthority {
                proof: Some(proof()),
                ..authority()
            })),
        ),
        (
            "export_private_key_with_proof",
            Command::ExportPrivateKey(ExportPrivateKey {
                certificate_id: CertificateId::from_uuid(Uuid::from_u128(2)),
                passphrase: SecretString::from("a passphrase".to_owned()),
                proof: Some(proof()),
            }),
        ),
        (
            "issue_certificate_for_request",
            Command::IssueCertificate(Box::new(issue(KeySource::CertificationRequest {
                der: vec![0x30, 0x00],
            }))),
        ),
        (
            "issue_certificate_with_new_key",
            Command::IssueCertificate(Box::new(issue(KeySource::Generate))),
        ),
        (
            "export_private_key",
            Command::ExportPrivateKey(ExportPrivateKey {
                certificate_id: CertificateId::from_uuid(Uuid::from_u128(2)),
                passphrase: SecretString::from("a passphrase".to_owned()),
                proof: None,
            }),
        ),
        (
            "start_key_rotation",
            Command::StartKeyRotation(StartKeyRotation {
                rotation_type: KeyRotationType::Emergency,
                reason: Some("a reason".to_owned()),
                items_per_second_max: Some(100),
            }),
        ),
        (
            "unseal",
            Command::Unseal(Unseal {
                share: SecretString::from("a share".to_owned()),
            }),
        ),
        (
            "acknowledge_events",
            Command::AcknowledgeEvents(AcknowledgeEvents {
                event_ids: vec![EventId::from_uuid(Uuid::from_u128(9))],
            }),
        ),
    ]
}

fn answers() -> Vec<(&'static str, Result<Reply, SecureError>)> {
    let exported = ExportedPrivateKey {
        private_key_id: PrivateKeyId::from_uuid(Uuid::from_u128(5)),
        encrypted_pkcs8_pem: SecretString::from("a private key".to_owned()),
    };
    let refused = Fault::invalid("csr_signature_invalid", "csr", "The signature is wrong.");
    vec![
        ("issued", Ok(Reply::Issued(Box::new(issued())))),
        (
            "exported_private_key",
            Ok(Reply::ExportedPrivateKey(exported)),
        ),
        ("events", Ok(Reply::Events(vec![event()]))),
        ("refused", Err(SecureError(refused))),
    ]
}

fn issued() -> Issued {
    Issued {
        event: event(),
        certificate_der: vec![0x30, 0x03],
        chain_der: vec![vec![0x30, 0x04].into()],
        replayed: false,
    }
}

fn moment(days: i64) -> DateTime<Utc> {
    Hours(days * 24).now()
}

fn proof() -> StepUpToken {
    StepUpToken(SecretString::from("a proof".to_owned()))
}

fn authority() -> CreateCertificateAuthority {
    CreateCertificateAuthority {
        name: "Issuing".to_owned(),
        subject_der: vec![0x30, 0x00],
        parent_issuer_id: Some(IssuerId::from_uuid(Uuid::from_u128(3))),
        key_algorithm: KeyAlgorithm::EcdsaP384,
        signature_algorithm: SignatureAlgorithm::EcdsaSha256,
        validity_seconds: 86_400,
        path_length_max: Some(0),
        limits: IssuerLimits {
            certificate_authority: false,
            end_entities: true,
            extended_key_usage: vec!["1.3.6.1.5.5.7.3.1".parse().unwrap()],
            key_algorithms: vec![KeyAlgorithm::EcdsaP256],
            validity_seconds_max: 3_600,
            names: NameLimits {
                dns_domains: Some(vec!["example.org".to_owned()]),
                ..NameLimits::default()
            },
            issuances_per_minute_max: Some(60),
            certificate_policies: vec!["2.23.140.1.2.1".parse().unwrap()],
            other_extensions: vec![],
        },
        organization_ids: vec![OrganizationId::from_uuid(Uuid::from_u128(4))],
        proof: None,
    }
}

fn issue(key_source: KeySource) -> IssueCertificate {
    IssueCertificate {
        certificate_request_id: CertificateRequestId::from_uuid(Uuid::from_u128(1)),
        certificate_id: CertificateId::from_uuid(Uuid::from_u128(2)),
        issuer_id: IssuerId::from_uuid(Uuid::from_u128(3)),
        key_source,
        plan: plan(),
        context: people_said(),
    }
}

fn plan() -> CertificatePlan {
    CertificatePlan {
        certificate_type: CertificateType::Server,
        subject_der: vec![0x30, 0x00],
        subject_public_key_info: vec![0x30, 0x05],
        key_algorithm: KeyAlgorithm::EcdsaP256,
        not_before: moment(0),
        not_after: moment(47),
        basic_constraints: None,
        key_usage: KeyUsage {
            digital_signature: true,
            ..KeyUsage::default()
        },
        extended_key_usage: vec!["1.3.6.1.5.5.7.3.1".parse().unwrap()],
        subject_alternative_names: vec![
            GeneralName::Dns("www.example.org".to_owned()),
            GeneralName::Ip("192.0.2.1".parse().unwrap()),
            GeneralName::DirectoryName(vec![0x30, 0x00]),
        ],
        certificate_policies: vec![],
        name_constraints: None,
        policy_constraints: None,
        inhibit_any_policy: None,
        policy_mappings: vec![],
        issuer_alternative_names: vec![],
        crl_distribution_points: vec!["http://pki.example.org/crl".to_owned()],
        freshest_crl: vec![],
        authority_information_access: AuthorityInformationAccess::default(),
        subject_information_access: vec![],
        tls_features: vec![5],
        ocsp_no_check: false,
        other_extensions: vec![],
    }
}

fn people_said() -> IssuanceContext {
    IssuanceContext {
        owner_user_id: Some(UserId::from_uuid(Uuid::from_u128(6))),
        environment: Some(DeploymentEnvironment::Production),
        tags: vec!["web".to_owned()],
        custom_fields: BTreeMap::from([("cost centre".to_owned(), "42".to_owned())]),
    }
}

fn event() -> Event {
    Event {
        event_id: EventId::from_uuid(Uuid::from_u128(9)),
        organization_id: OrganizationId::from_uuid(Uuid::from_u128(4)),
        actor: Actor::System,
        request_id: RequestId::from_uuid(Uuid::from_u128(8)),
        occurred_at: moment(0),
        body: EventBody::CertificateIssued(Box::new(CertificateRecord {
            certificate_id: CertificateId::from_uuid(Uuid::from_u128(2)),
            organization_id: OrganizationId::from_uuid(Uuid::from_u128(4)),
            certificate_request_id: Some(CertificateRequestId::from_uuid(Uuid::from_u128(1))),
            issuer_id: Some(IssuerId::from_uuid(Uuid::from_u128(3))),
            revision: 1,
            certificate_type: CertificateType::Server,
            status: CertificateStatus::Active,
            serial_number: "0102".to_owned(),
            subject: String::new(),
            common_name: None,
            subject_alternative_names: vec!["dNSName:www.example.org".to_owned()],
            fingerprint_sha256: vec![3; 32],
            spki_sha256: vec![4; 32],
            key_algorithm: KeyAlgorithm::EcdsaP256,
            not_before: moment(0),
            not_after: moment(47),
            has_private_key: true,
            context: people_said(),
        })),
    }
}
