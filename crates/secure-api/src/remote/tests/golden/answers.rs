//! A message of each reply that `golden` does not hold otherwise.

use clm_domain::ids::{
    CertificateId, CertificateRequestId, EncryptionKeyId, IssuerId, KeyRotationId, OrganizationId,
    PrivateKeyId, SealedSecretId, UserId,
};
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::secret::{SecretBytes, SecretString};
use clm_domain::states::{
    CertificateRequestStatus, EncryptionKeyStatus, EncryptionKeyType, IssuerKind, IssuerStatus,
    KeyRotationStatus, KeyRotationType, MasterKeyProviderKind, SecretPurpose,
};

use super::commands::id;
use super::{authority, event, issued, moment};
use crate::Reply;
use crate::event::{CertificateRecord, EventBody};
use crate::reply::*;

fn record() -> CertificateRecord {
    match event().body {
        EventBody::CertificateIssued(record) => *record,
    }
}

fn issuer() -> CertificateAuthority {
    CertificateAuthority {
        issuer_id: IssuerId::from_uuid(id(3)),
        organization_id: OrganizationId::from_uuid(id(4)),
        name: "Issuing".to_owned(),
        kind: IssuerKind::Intermediate,
        parent_issuer_id: Some(IssuerId::from_uuid(id(15))),
        status: IssuerStatus::Active,
        subject: "CN=Issuing".to_owned(),
        key_algorithm: KeyAlgorithm::EcdsaP256,
        signature_algorithm: SignatureAlgorithm::EcdsaSha256,
        limits: authority().limits,
        certificate_id: CertificateId::from_uuid(id(16)),
        certificate_der: vec![0x30, 0x05],
        chain_der: vec![vec![0x30, 0x06].into()],
        not_before: moment(0),
        not_after: moment(47),
        revision: 1,
        created_at: moment(0),
    }
}

fn request() -> CertificateRequest {
    CertificateRequest {
        certificate_request_id: CertificateRequestId::from_uuid(id(1)),
        organization_id: OrganizationId::from_uuid(id(4)),
        status: CertificateRequestStatus::Fulfilled,
        issuer_id: IssuerId::from_uuid(id(3)),
        certificate_id: Some(CertificateId::from_uuid(id(2))),
        subject: "CN=www.example.org".to_owned(),
        subject_alternative_names: vec!["dNSName:www.example.org".to_owned()],
        key_algorithm: KeyAlgorithm::EcdsaP256,
        key_generated: true,
        requester_user_id: Some(UserId::from_uuid(id(6))),
        created_at: moment(0),
        fulfilled_at: Some(moment(1)),
    }
}

fn key() -> EncryptionKey {
    EncryptionKey {
        encryption_key_id: EncryptionKeyId::from_uuid(id(10)),
        organization_id: OrganizationId::from_uuid(id(4)),
        key_type: EncryptionKeyType::Data,
        key_version: 2,
        key_algorithm: "AES-256-GCM".to_owned(),
        status: EncryptionKeyStatus::Active,
        provider: "file".to_owned(),
        seal_count: 65_536,
        seal_count_max: Some(4_294_967_296),
        rotation_schedule_days: Some(90),
        activated_at: Some(moment(1)),
        rotated_at: Some(moment(2)),
        retired_at: Some(moment(3)),
        revoked_at: Some(moment(4)),
        destroyed_at: Some(moment(5)),
        created_at: moment(0),
    }
}

fn rotation() -> KeyRotation {
    KeyRotation {
        key_rotation_id: KeyRotationId::from_uuid(id(11)),
        organization_id: OrganizationId::from_uuid(id(4)),
        rotation_type: KeyRotationType::Compromise,
        status: KeyRotationStatus::Completed,
        old_encryption_key_id: EncryptionKeyId::from_uuid(id(17)),
        new_encryption_key_id: Some(EncryptionKeyId::from_uuid(id(10))),
        initiated_by_user_id: Some(UserId::from_uuid(id(6))),
        reason: Some("a reason".to_owned()),
        items_total: 10,
        items_processed: 9,
        items_failed: 1,
        items_rolled_back: 0,
        items_per_second_max: Some(100),
        started_at: moment(0),
        rollback_started_at: Some(moment(1)),
        completed_at: Some(moment(2)),
        error_message: Some("one does not open".to_owned()),
    }
}

fn seal() -> SealStatus {
    SealStatus {
        sealed: true,
        encryption_key_id: Some(EncryptionKeyId::from_uuid(id(18))),
        threshold: Some(3),
        shares: Some(5),
        given: 1,
        changed: true,
        expires_at: Some(moment(1)),
    }
}

pub(super) fn of_certificates() -> Vec<Reply> {
    vec![
        Reply::Health(Health {
            database: true,
            master_key: true,
            master_key_provider: "shamir".to_owned(),
            master_key_version: 3,
            seal: seal(),
            audit_partitions_ahead: 12,
        }),
        Reply::CertificateAuthority(Box::new(issuer())),
        Reply::CertificateAuthorities(vec![issuer()]),
        Reply::FoundIssued(Some(Box::new(issued()))),
        Reply::CertificateRequest(Box::new(request())),
        Reply::CertificateRequests(vec![request()]),
        Reply::Certificate(Box::new(Certificate {
            record: record(),
            certificate_der: vec![0x30, 0x03],
            chain_der: vec![vec![0x30, 0x04].into()],
        })),
        Reply::Acknowledged(1),
        Reply::CertificateStates(vec![CertificateState {
            record: record(),
            audited: true,
            created_at: moment(0),
            is_issuer: false,
        }]),
    ]
}

pub(super) fn of_keys() -> Vec<Reply> {
    vec![
        Reply::EncryptionKey(Box::new(key())),
        Reply::EncryptionKeys(vec![key()]),
        Reply::KeyRotation(Box::new(rotation())),
        Reply::KeyRotations(vec![rotation()]),
        Reply::ExposedKeys(vec![ExposedKey {
            private_key_id: PrivateKeyId::from_uuid(id(5)),
            is_issuer_key: false,
            key_algorithm: KeyAlgorithm::EcdsaP256,
            spki_sha256: vec![4; 32],
            certificate_ids: vec![CertificateId::from_uuid(id(2))],
        }]),
        Reply::ErasedKeys(2),
        Reply::MasterKey(Box::new(MasterKey {
            encryption_key_id: EncryptionKeyId::from_uuid(id(18)),
            key_version: 3,
            provider: MasterKeyProviderKind::Shamir,
            place: "5 custodians".to_owned(),
            data_keys: 4,
            data_keys_astray: 0,
            threshold: Some(3),
            shares: Some(5),
            activated_at: Some(moment(0)),
            backup_confirmed_at: Some(moment(1)),
        })),
        Reply::MasterKeyShares(Box::new(MasterKeyShares {
            share_set_id: id(13),
            expires_at: moment(1),
            shares: vec![MasterKeyShare {
                index: 1,
                text: SecretString::from("a share".to_owned()),
            }],
        })),
        Reply::SealStatus(seal()),
    ]
}

pub(super) fn of_secrets() -> Vec<Reply> {
    vec![
        Reply::ExposedSecrets(vec![ExposedSecret {
            sealed_secret_id: SealedSecretId::from_uuid(id(12)),
            purpose: SecretPurpose::Connector,
            owner_id: id(14),
            destroyed: false,
        }]),
        Reply::SealedSecret(SealedSecretId::from_uuid(id(12))),
        Reply::OpenedSecret(OpenedSecret {
            secret: SecretBytes::new(vec![1, 2, 3]),
        }),
        Reply::WebhookSignature("v1,c2lnbmF0dXJl".to_owned()),
        Reply::TotpEnrolment(TotpEnrolment {
            uri: SecretString::from("otpauth://totp/somebody".to_owned()),
            expires_at: moment(1),
        }),
        Reply::SecondFactor(SecondFactorStatus {
            is_active: true,
            backup_codes_left: 9,
        }),
        Reply::BackupCodes(BackupCodes {
            codes: vec![BackupCode(SecretString::from(
                "abcd-efgh-ijkl-mnop".to_owned(),
            ))],
        }),
        Reply::StepUpProof(StepUpProof {
            proof: SecretString::from("a proof".to_owned()),
            expires_at: moment(1),
        }),
        Reply::Done(Done {}),
    ]
}
