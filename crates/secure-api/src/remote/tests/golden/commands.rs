//! A message of each command that `golden` does not hold otherwise.

use clm_domain::ids::{
    CertificateId, CertificateRequestId, EncryptionKeyId, IssuerId, KeyRotationId, PrivateKeyId,
    SealedSecretId, UserId,
};
use clm_domain::secret::{SecretBytes, SecretString};
use clm_domain::states::{KeyRotationType, MasterKeyProviderKind, SecretPurpose};
use uuid::Uuid;

use super::authority;
use crate::command::*;

/// The id of something, which nothing else has.
pub(super) fn id(value: u128) -> Uuid {
    Uuid::from_u128(value)
}

fn code() -> SecretString {
    SecretString::from("123456".to_owned())
}

fn reason() -> String {
    "a reason".to_owned()
}

pub(super) fn of_certificates() -> Vec<Command> {
    vec![
        Command::ListCertificateAuthorities(ListCertificateAuthorities {
            after: Some(IssuerId::from_uuid(id(3))),
            limit: 50,
        }),
        Command::LoadCertificateAuthority(LoadCertificateAuthority {
            issuer_id: IssuerId::from_uuid(id(3)),
        }),
        Command::FindIssued(FindIssued {}),
        Command::ListCertificateRequests(ListCertificateRequests {
            after: Some(CertificateRequestId::from_uuid(id(1))),
            limit: 50,
        }),
        Command::LoadCertificateRequest(LoadCertificateRequest {
            certificate_request_id: CertificateRequestId::from_uuid(id(1)),
        }),
        Command::LoadCertificate(LoadCertificate {
            certificate_id: CertificateId::from_uuid(id(2)),
        }),
        Command::ChangeIssuerLimits(Box::new(ChangeIssuerLimits {
            change: IssuerLimitsChange {
                issuer_id: IssuerId::from_uuid(id(3)),
                limits: authority().limits,
                revision: 7,
                reason: reason(),
            },
            proof: Some(StepUpToken(SecretString::from("a proof".to_owned()))),
        })),
        Command::PullEvents(PullEvents { limit: 100 }),
        Command::ListCertificateStates(ListCertificateStates {
            after: Some(CertificateId::from_uuid(id(2))),
            limit: 500,
        }),
    ]
}

pub(super) fn of_keys() -> Vec<Command> {
    vec![
        Command::ListEncryptionKeys(ListEncryptionKeys {
            after: Some(EncryptionKeyId::from_uuid(id(10))),
            limit: 50,
        }),
        Command::LoadEncryptionKey(LoadEncryptionKey {
            encryption_key_id: EncryptionKeyId::from_uuid(id(10)),
        }),
        Command::ListKeyRotations(ListKeyRotations {
            after: Some(KeyRotationId::from_uuid(id(11))),
            limit: 50,
        }),
        Command::LoadKeyRotation(LoadKeyRotation {
            key_rotation_id: KeyRotationId::from_uuid(id(11)),
        }),
        Command::CancelKeyRotation(CancelKeyRotation {
            key_rotation_id: KeyRotationId::from_uuid(id(11)),
        }),
        Command::ListExposedKeys(ListExposedKeys {
            key_rotation_id: KeyRotationId::from_uuid(id(11)),
            after: Some(PrivateKeyId::from_uuid(id(5))),
            limit: 50,
        }),
        Command::ListExposedSecrets(ListExposedSecrets {
            key_rotation_id: KeyRotationId::from_uuid(id(11)),
            after: Some(SealedSecretId::from_uuid(id(12))),
            limit: 50,
        }),
        Command::SetKeyRotationSchedule(SetKeyRotationSchedule { days: Some(90) }),
        Command::EraseOrganizationKeys(EraseOrganizationKeys { reason: reason() }),
        Command::LoadMasterKey(LoadMasterKey {}),
        Command::MakeMasterKeyShares(MakeMasterKeyShares {
            threshold: 3,
            shares: 5,
        }),
        Command::RotateMasterKey(RotateMasterKey {
            provider: MasterKeyProviderKind::Shamir,
            share_set_id: Some(id(13)),
            rotation_type: KeyRotationType::Compromise,
            reason: Some(reason()),
            give_up: Vec::new(),
        }),
        Command::ConfirmMasterKeyBackup(ConfirmMasterKeyBackup {
            check_value: Some([5; 32]),
        }),
        Command::LoadSealStatus(LoadSealStatus {}),
        Command::ResetUnseal(ResetUnseal {}),
        Command::Seal(Seal { force: false }),
    ]
}

pub(super) fn of_secrets() -> Vec<Command> {
    let sealed_secret_id = SealedSecretId::from_uuid(id(12));
    let user_id = UserId::from_uuid(id(6));
    vec![
        Command::SealSecret(SealSecret {
            sealed_secret_id,
            purpose: SecretPurpose::Connector,
            owner_id: id(14),
            plaintext: SecretBytes::new(vec![1, 2, 3]),
        }),
        Command::OpenSecret(OpenSecret {
            sealed_secret_id,
            reason: reason(),
        }),
        Command::SignWebhook(SignWebhook {
            sealed_secret_id,
            message_id: "msg_1".to_owned(),
            timestamp: 1_700_000_000,
            body: b"{}".to_vec(),
        }),
        Command::DestroySecret(DestroySecret { sealed_secret_id }),
        Command::EnrolTotp(EnrolTotp {
            label: "somebody".to_owned(),
        }),
        Command::ActivateTotp(ActivateTotp { code: code() }),
        Command::VerifyTotp(VerifyTotp {
            user_id,
            code: code(),
        }),
        Command::FindSecondFactor(FindSecondFactor { user_id }),
        Command::RenewBackupCodes(RenewBackupCodes { code: code() }),
        Command::RemoveTotp(RemoveTotp { code: code() }),
        Command::ResetTotp(ResetTotp {
            user_id,
            reason: reason(),
        }),
        Command::StepUp(StepUp {
            code: code(),
            request_sha256: [6; 32],
        }),
    ]
}
