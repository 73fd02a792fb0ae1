//! The replies of the Secure Service. Long results are paged.

use chrono::{DateTime, Utc};
use clm_domain::ids::{
    CertificateId, CertificateRequestId, EncryptionKeyId, IssuerId, KeyRotationId, OrganizationId,
    PrivateKeyId, SealedSecretId, UserId,
};
use clm_domain::issuer_limits::IssuerLimits;
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::secret::{SecretBytes, SecretString, explicit_secret};
use clm_domain::states::{
    CertificateRequestStatus, EncryptionKeyStatus, EncryptionKeyType, IssuerKind, IssuerStatus,
    KeyRotationStatus, KeyRotationType, MasterKeyProviderKind, SecretPurpose,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use uuid::Uuid;

use crate::event::{CertificateRecord, Event};

/// The reply to the command of the same name.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reply", content = "value")]
pub enum Reply {
    /// To `CheckHealth`.
    Health(Health),
    /// To `CreateCertificateAuthority`, `LoadCertificateAuthority` and `ChangeIssuerLimits`.
    CertificateAuthority(Box<CertificateAuthority>),
    /// To `ListCertificateAuthorities`.
    CertificateAuthorities(Vec<CertificateAuthority>),
    /// To `IssueCertificate`.
    Issued(Box<Issued>),
    /// To `FindIssued`.
    FoundIssued(Option<Box<Issued>>),
    /// To `LoadCertificateRequest`.
    CertificateRequest(Box<CertificateRequest>),
    /// To `ListCertificateRequests`.
    CertificateRequests(Vec<CertificateRequest>),
    /// To `LoadCertificate`.
    Certificate(Box<Certificate>),
    /// To `ExportPrivateKey`.
    ExportedPrivateKey(ExportedPrivateKey),
    /// To `LoadEncryptionKey` and `SetKeyRotationSchedule`.
    EncryptionKey(Box<EncryptionKey>),
    /// To `ListEncryptionKeys`.
    EncryptionKeys(Vec<EncryptionKey>),
    /// To `StartKeyRotation`, `LoadKeyRotation`, `CancelKeyRotation` and `RotateMasterKey`.
    KeyRotation(Box<KeyRotation>),
    /// To `ListKeyRotations`.
    KeyRotations(Vec<KeyRotation>),
    /// To `ListExposedKeys`.
    ExposedKeys(Vec<ExposedKey>),
    /// To `ListExposedSecrets`.
    ExposedSecrets(Vec<ExposedSecret>),
    /// To `EraseOrganizationKeys`: how many keys were destroyed.
    ErasedKeys(u64),
    /// To `LoadMasterKey` and `ConfirmMasterKeyBackup`.
    MasterKey(Box<MasterKey>),
    /// To `MakeMasterKeyShares`.
    MasterKeyShares(Box<MasterKeyShares>),
    /// To `LoadSealStatus`, `Unseal`, `ResetUnseal` and `Seal`.
    SealStatus(SealStatus),
    /// To `SealSecret`.
    SealedSecret(SealedSecretId),
    /// To `OpenSecret`.
    OpenedSecret(OpenedSecret),
    /// To `SignWebhook`: `v1,` and the base64 of the code.
    WebhookSignature(String),
    /// To `EnrolTotp`.
    TotpEnrolment(TotpEnrolment),
    /// To `StepUp`.
    StepUpProof(StepUpProof),
    /// To `FindSecondFactor`.
    SecondFactor(SecondFactorStatus),
    /// To `ActivateTotp` and `RenewBackupCodes`.
    BackupCodes(BackupCodes),
    /// To `DestroySecret`, `VerifyTotp`, `RemoveTotp` and `ResetTotp`.
    Done(Done),
    /// To `PullEvents`.
    Events(Vec<Event>),
    /// To `AcknowledgeEvents`: how many were removed.
    Acknowledged(u64),
    /// To `ListCertificateStates`.
    CertificateStates(Vec<CertificateState>),
}

/// Whether the service can work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether the database answers.
    pub database: bool,
    /// Whether the master key opens what is stored.
    pub master_key: bool,
    /// Which master-key provider is in force.
    pub master_key_provider: String,
    /// The version of the master key in force.
    pub master_key_version: i32,
    /// Whether the master key is sealed.
    pub seal: SealStatus,
    /// Months of audit partitions ahead of now; below two is a warning.
    pub audit_partitions_ahead: i32,
}

/// A certificate authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateAuthority {
    /// The issuer.
    pub issuer_id: IssuerId,
    /// Its owner.
    pub organization_id: OrganizationId,
    /// Its name for people.
    pub name: String,
    /// Root or intermediate.
    pub kind: IssuerKind,
    /// The issuer above.
    pub parent_issuer_id: Option<IssuerId>,
    /// Whether it issues.
    pub status: IssuerStatus,
    /// Subject as RFC 4514 text.
    pub subject: String,
    /// The key's algorithm.
    pub key_algorithm: KeyAlgorithm,
    /// What it signs with.
    pub signature_algorithm: SignatureAlgorithm,
    /// What it may ever sign.
    pub limits: IssuerLimits,
    /// Its certificate's id.
    pub certificate_id: CertificateId,
    /// Its certificate.
    #[serde(with = "serde_bytes")]
    pub certificate_der: Vec<u8>,
    /// The certificates above, nearest first, root last; empty for a root.
    pub chain_der: Vec<ByteBuf>,
    /// Start of validity.
    pub not_before: DateTime<Utc>,
    /// End of validity.
    pub not_after: DateTime<Utc>,
    /// Rises with each change.
    pub revision: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A certificate that was just issued, or that an earlier call with the same idempotency key issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// The event, as it also stands in the outbox.
    pub event: Event,
    /// The certificate.
    #[serde(with = "serde_bytes")]
    pub certificate_der: Vec<u8>,
    /// The certificates above, nearest first, without the root.
    pub chain_der: Vec<ByteBuf>,
    /// Whether an earlier call issued it.
    pub replayed: bool,
}

/// A certificate request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRequest {
    /// The request.
    pub certificate_request_id: CertificateRequestId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Where it is in its life.
    pub status: CertificateRequestStatus,
    /// The issuer that was asked.
    pub issuer_id: IssuerId,
    /// The certificate, once there is one.
    pub certificate_id: Option<CertificateId>,
    /// Subject as RFC 4514 text.
    pub subject: String,
    /// Names as `form:value` text.
    pub subject_alternative_names: Vec<String>,
    /// The key's algorithm.
    pub key_algorithm: KeyAlgorithm,
    /// Whether the platform made the key.
    pub key_generated: bool,
    /// Who asked.
    pub requester_user_id: Option<UserId>,
    /// When it was submitted.
    pub created_at: DateTime<Utc>,
    /// When its certificate was issued.
    pub fulfilled_at: Option<DateTime<Utc>>,
}

/// A certificate with its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// What the projection also knows.
    pub record: CertificateRecord,
    /// The certificate.
    #[serde(with = "serde_bytes")]
    pub certificate_der: Vec<u8>,
    /// The certificates above, nearest first, without the root.
    pub chain_der: Vec<ByteBuf>,
}

/// A private key on its way out.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExportedPrivateKey {
    /// The key.
    pub private_key_id: PrivateKeyId,
    /// PEM `ENCRYPTED PRIVATE KEY` (RFC 5958, PBES2).
    #[serde(with = "explicit_secret")]
    pub encrypted_pkcs8_pem: SecretString,
}

/// One version of an encryption key, without its material.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptionKey {
    /// The key.
    pub encryption_key_id: EncryptionKeyId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// What it is for.
    pub key_type: EncryptionKeyType,
    /// Counts up with each rotation.
    pub key_version: i32,
    /// Its algorithm.
    pub key_algorithm: String,
    /// Whether it seals, opens, or is gone.
    pub status: EncryptionKeyStatus,
    /// Where the master key above it lives.
    pub provider: String,
    /// Upper bound of the seals made with it.
    pub seal_count: i64,
    /// Seals after which it is replaced.
    pub seal_count_max: Option<i64>,
    /// Days between scheduled rotations.
    pub rotation_schedule_days: Option<i32>,
    /// When it became active.
    pub activated_at: Option<DateTime<Utc>>,
    /// When its successor became active.
    pub rotated_at: Option<DateTime<Utc>>,
    /// When nothing was sealed under it any more.
    pub retired_at: Option<DateTime<Utc>>,
    /// When it was forbidden.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When its material was destroyed.
    pub destroyed_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A rotation, running or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRotation {
    /// The rotation.
    pub key_rotation_id: KeyRotationId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Why.
    pub rotation_type: KeyRotationType,
    /// Where it is in its life.
    pub status: KeyRotationStatus,
    /// The key that is left.
    pub old_encryption_key_id: EncryptionKeyId,
    /// The key that takes over.
    pub new_encryption_key_id: Option<EncryptionKeyId>,
    /// Who started it; nobody for a scheduled one.
    pub initiated_by_user_id: Option<UserId>,
    /// Why, in words.
    pub reason: Option<String>,
    /// Secrets to seal anew.
    pub items_total: i64,
    /// Secrets sealed anew under the new key so far.
    pub items_processed: i64,
    /// Secrets that do not open, and stay.
    pub items_failed: i64,
    /// Secrets moved back after a cancellation.
    pub items_rolled_back: i64,
    /// Most secrets sealed anew in a second.
    pub items_per_second_max: Option<i32>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was cancelled.
    pub rollback_started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// What went wrong.
    pub error_message: Option<String>,
}

/// The master key in force, which is not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterKey {
    /// The key.
    pub encryption_key_id: EncryptionKeyId,
    /// Counts up with each rotation.
    pub key_version: i32,
    /// Who holds it.
    pub provider: MasterKeyProviderKind,
    /// Where it is, for people: a path, the name of a variable, or who opens it.
    pub place: String,
    /// Data keys that it wraps.
    pub data_keys: i64,
    /// Data keys that a master key wraps which is not in force: nothing opens them.
    #[serde(default)]
    pub data_keys_astray: i64,
    /// How many shares open it, when it is split.
    pub threshold: Option<u8>,
    /// How many shares there are.
    pub shares: Option<u8>,
    /// When it came into force.
    pub activated_at: Option<DateTime<Utc>>,
    /// When somebody last proved to have a copy.
    pub backup_confirmed_at: Option<DateTime<Utc>>,
}

/// Shares of a master key that may come.
#[derive(Debug, Serialize, Deserialize)]
pub struct MasterKeyShares {
    /// The set, for `RotateMasterKey`.
    pub share_set_id: Uuid,
    /// When the set is forgotten unless it is used.
    pub expires_at: DateTime<Utc>,
    /// The shares.
    pub shares: Vec<MasterKeyShare>,
}

/// One share, on its way to a custodian.
#[derive(Debug, Serialize, Deserialize)]
pub struct MasterKeyShare {
    /// Its place in the set, from 1.
    pub index: u8,
    /// What the custodian keeps.
    #[serde(with = "explicit_secret")]
    pub text: SecretString,
}

/// Whether the master key is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealStatus {
    /// Whether nothing opens.
    pub sealed: bool,
    /// The key, where it is known.
    pub encryption_key_id: Option<EncryptionKeyId>,
    /// How many shares open it, when it is split.
    pub threshold: Option<u8>,
    /// How many shares there are.
    pub shares: Option<u8>,
    /// How many different ones were given so far.
    pub given: u8,
    /// Whether this act changed anything; false for a share that was given before.
    pub changed: bool,
    /// When the shares that were given are forgotten.
    pub expires_at: Option<DateTime<Utc>>,
}

/// It was done, and there is nothing to say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// A secret on its way to the core, which needs it to sign in elsewhere.
#[derive(Debug, Serialize, Deserialize)]
pub struct OpenedSecret {
    /// The secret.
    #[serde(with = "crate::secret_bytes")]
    pub secret: SecretBytes,
}

/// A second factor that waits for its first code.
#[derive(Debug, Serialize, Deserialize)]
pub struct TotpEnrolment {
    /// The `otpauth` address with the secret, for the user's device; shown once.
    #[serde(with = "explicit_secret")]
    pub uri: SecretString,
    /// Until when it may be activated.
    pub expires_at: DateTime<Utc>,
}

/// Whether a user has a second factor in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondFactorStatus {
    /// Whether one is in force.
    pub is_active: bool,
    /// How many backup codes are left; zero without a factor.
    pub backup_codes_left: u32,
}

/// Codes that stand for one of the device, each once. Shown once.
#[derive(Debug, Serialize, Deserialize)]
pub struct BackupCodes {
    /// Each of four groups of four characters.
    pub codes: Vec<BackupCode>,
}

/// One backup code, on its way to its user.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BackupCode(#[serde(with = "explicit_secret")] pub SecretString);

/// That a user has just given a code for one request.
#[derive(Debug, Serialize, Deserialize)]
pub struct StepUpProof {
    /// The proof; good for that request, once.
    #[serde(with = "explicit_secret")]
    pub proof: SecretString,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// A private key that a compromise exposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposedKey {
    /// The key.
    pub private_key_id: PrivateKeyId,
    /// Whether it signs certificates.
    pub is_issuer_key: bool,
    /// Its algorithm.
    pub key_algorithm: KeyAlgorithm,
    /// SHA-256 of the `SubjectPublicKeyInfo`.
    #[serde(with = "serde_bytes")]
    pub spki_sha256: Vec<u8>,
    /// Its certificates, newest first; at most a hundred.
    pub certificate_ids: Vec<CertificateId>,
}

/// A secret of the core that a compromise exposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposedSecret {
    /// The secret.
    pub sealed_secret_id: SealedSecretId,
    /// What it is for.
    pub purpose: SecretPurpose,
    /// What it belongs to: a user, a webhook, a connector.
    pub owner_id: Uuid,
    /// Whether it has been destroyed since.
    pub destroyed: bool,
}

/// What the reconciler compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateState {
    /// The record as the projection should hold it.
    pub record: CertificateRecord,
    /// Whether the secure audit log holds the event of issuance.
    pub audited: bool,
    /// When the certificate was recorded.
    pub created_at: DateTime<Utc>,
    /// Whether its certificate is that of an issuer, which the core does not project.
    pub is_issuer: bool,
}

impl Reply {
    /// The name of the reply, for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Health(_) => "health",
            Self::CertificateAuthority(_) => "certificate_authority",
            Self::CertificateAuthorities(_) => "certificate_authorities",
            Self::Issued(_) => "issued",
            Self::FoundIssued(_) => "found_issued",
            Self::CertificateRequest(_) => "certificate_request",
            Self::CertificateRequests(_) => "certificate_requests",
            Self::Certificate(_) => "certificate",
            Self::ExportedPrivateKey(_) => "exported_private_key",
            Self::EncryptionKey(_) => "encryption_key",
            Self::EncryptionKeys(_) => "encryption_keys",
            Self::KeyRotation(_) => "key_rotation",
            Self::KeyRotations(_) => "key_rotations",
            Self::ExposedKeys(_) => "exposed_keys",
            Self::ExposedSecrets(_) => "exposed_secrets",
            Self::ErasedKeys(_) => "erased_keys",
            Self::MasterKey(_) => "master_key",
            Self::MasterKeyShares(_) => "master_key_shares",
            Self::SealStatus(_) => "seal_status",
            Self::SealedSecret(_) => "sealed_secret",
            Self::OpenedSecret(_) => "opened_secret",
            Self::WebhookSignature(_) => "webhook_signature",
            Self::TotpEnrolment(_) => "totp_enrolment",
            Self::SecondFactor(_) => "second_factor",
            Self::BackupCodes(_) => "backup_codes",
            Self::StepUpProof(_) => "step_up_proof",
            Self::Done(_) => "done",
            Self::Events(_) => "events",
            Self::Acknowledged(_) => "acknowledged",
            Self::CertificateStates(_) => "certificate_states",
        }
    }
}
