//! The commands of the Secure Service.

mod secrets;

use std::collections::BTreeMap;

use clm_domain::certificate_plan::CertificatePlan;
use clm_domain::ids::{
    CertificateId, CertificateRequestId, EncryptionKeyId, EventId, IssuerId, KeyRotationId,
    OrganizationId, PrivateKeyId, UserId,
};
use clm_domain::issuer_limits::IssuerLimits;
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::secret::{SecretString, explicit_secret};
use clm_domain::states::{DeploymentEnvironment, KeyRotationType, MasterKeyProviderKind};
use serde::{Deserialize, Serialize};

use crate::CallContext;
use uuid::Uuid;

pub use secrets::{
    ActivateTotp, ChangeIssuerLimits, DestroySecret, EnrolTotp, FindSecondFactor,
    IssuerLimitsChange, ListExposedSecrets, OpenSecret, RemoveTotp, RenewBackupCodes, ResetTotp,
    SealSecret, SignWebhook, StepUp, StepUpToken, VerifyTotp,
};

/// One command. Each is documented on its own type.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command", content = "arguments")]
pub enum Command {
    /// See [`CheckHealth`].
    CheckHealth(CheckHealth),
    /// See [`CreateCertificateAuthority`].
    CreateCertificateAuthority(Box<CreateCertificateAuthority>),
    /// See [`ListCertificateAuthorities`].
    ListCertificateAuthorities(ListCertificateAuthorities),
    /// See [`LoadCertificateAuthority`].
    LoadCertificateAuthority(LoadCertificateAuthority),
    /// See [`IssueCertificate`].
    IssueCertificate(Box<IssueCertificate>),
    /// See [`FindIssued`].
    FindIssued(FindIssued),
    /// See [`ListCertificateRequests`].
    ListCertificateRequests(ListCertificateRequests),
    /// See [`LoadCertificateRequest`].
    LoadCertificateRequest(LoadCertificateRequest),
    /// See [`LoadCertificate`].
    LoadCertificate(LoadCertificate),
    /// See [`ExportPrivateKey`].
    ExportPrivateKey(ExportPrivateKey),
    /// See [`ListEncryptionKeys`].
    ListEncryptionKeys(ListEncryptionKeys),
    /// See [`LoadEncryptionKey`].
    LoadEncryptionKey(LoadEncryptionKey),
    /// See [`StartKeyRotation`].
    StartKeyRotation(StartKeyRotation),
    /// See [`ListKeyRotations`].
    ListKeyRotations(ListKeyRotations),
    /// See [`LoadKeyRotation`].
    LoadKeyRotation(LoadKeyRotation),
    /// See [`CancelKeyRotation`].
    CancelKeyRotation(CancelKeyRotation),
    /// See [`ListExposedKeys`].
    ListExposedKeys(ListExposedKeys),
    /// See [`ListExposedSecrets`].
    ListExposedSecrets(ListExposedSecrets),
    /// See [`SetKeyRotationSchedule`].
    SetKeyRotationSchedule(SetKeyRotationSchedule),
    /// See [`EraseOrganizationKeys`].
    EraseOrganizationKeys(EraseOrganizationKeys),
    /// See [`LoadMasterKey`].
    LoadMasterKey(LoadMasterKey),
    /// See [`MakeMasterKeyShares`].
    MakeMasterKeyShares(MakeMasterKeyShares),
    /// See [`RotateMasterKey`].
    RotateMasterKey(RotateMasterKey),
    /// See [`ConfirmMasterKeyBackup`].
    ConfirmMasterKeyBackup(ConfirmMasterKeyBackup),
    /// See [`LoadSealStatus`].
    LoadSealStatus(LoadSealStatus),
    /// See [`Unseal`].
    Unseal(Unseal),
    /// See [`ResetUnseal`].
    ResetUnseal(ResetUnseal),
    /// See [`Seal`].
    Seal(Seal),
    /// See [`SealSecret`].
    SealSecret(SealSecret),
    /// See [`OpenSecret`].
    OpenSecret(OpenSecret),
    /// See [`SignWebhook`].
    SignWebhook(SignWebhook),
    /// See [`DestroySecret`].
    DestroySecret(DestroySecret),
    /// See [`EnrolTotp`].
    EnrolTotp(EnrolTotp),
    /// See [`ActivateTotp`].
    ActivateTotp(ActivateTotp),
    /// See [`VerifyTotp`].
    VerifyTotp(VerifyTotp),
    /// See [`FindSecondFactor`].
    FindSecondFactor(FindSecondFactor),
    /// See [`RenewBackupCodes`].
    RenewBackupCodes(RenewBackupCodes),
    /// See [`RemoveTotp`].
    RemoveTotp(RemoveTotp),
    /// See [`ResetTotp`].
    ResetTotp(ResetTotp),
    /// See [`StepUp`].
    StepUp(StepUp),
    /// See [`ChangeIssuerLimits`].
    ChangeIssuerLimits(Box<ChangeIssuerLimits>),
    /// See [`PullEvents`].
    PullEvents(PullEvents),
    /// See [`AcknowledgeEvents`].
    AcknowledgeEvents(AcknowledgeEvents),
    /// See [`ListCertificateStates`].
    ListCertificateStates(ListCertificateStates),
}

impl Command {
    /// The name of the command, for logs, metrics and the list of what a caller may do.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CheckHealth(_) => "check_health",
            Self::CreateCertificateAuthority(_) => "create_certificate_authority",
            Self::ListCertificateAuthorities(_) => "list_certificate_authorities",
            Self::LoadCertificateAuthority(_) => "load_certificate_authority",
            Self::IssueCertificate(_) => "issue_certificate",
            Self::FindIssued(_) => "find_issued",
            Self::ListCertificateRequests(_) => "list_certificate_requests",
            Self::LoadCertificateRequest(_) => "load_certificate_request",
            Self::LoadCertificate(_) => "load_certificate",
            Self::ExportPrivateKey(_) => "export_private_key",
            Self::ListEncryptionKeys(_) => "list_encryption_keys",
            Self::LoadEncryptionKey(_) => "load_encryption_key",
            Self::StartKeyRotation(_) => "start_key_rotation",
            Self::ListKeyRotations(_) => "list_key_rotations",
            Self::LoadKeyRotation(_) => "load_key_rotation",
            Self::CancelKeyRotation(_) => "cancel_key_rotation",
            Self::ListExposedKeys(_) => "list_exposed_keys",
            Self::ListExposedSecrets(_) => "list_exposed_secrets",
            Self::SetKeyRotationSchedule(_) => "set_key_rotation_schedule",
            Self::EraseOrganizationKeys(_) => "erase_organization_keys",
            Self::LoadMasterKey(_) => "load_master_key",
            Self::MakeMasterKeyShares(_) => "make_master_key_shares",
            Self::RotateMasterKey(_) => "rotate_master_key",
            Self::ConfirmMasterKeyBackup(_) => "confirm_master_key_backup",
            Self::LoadSealStatus(_) => "load_seal_status",
            Self::Unseal(_) => "unseal",
            Self::ResetUnseal(_) => "reset_unseal",
            Self::Seal(_) => "seal",
            Self::SealSecret(_) => "seal_secret",
            Self::OpenSecret(_) => "open_secret",
            Self::SignWebhook(_) => "sign_webhook",
            Self::DestroySecret(_) => "destroy_secret",
            Self::EnrolTotp(_) => "enrol_totp",
            Self::ActivateTotp(_) => "activate_totp",
            Self::VerifyTotp(_) => "verify_totp",
            Self::FindSecondFactor(_) => "find_second_factor",
            Self::RenewBackupCodes(_) => "renew_backup_codes",
            Self::RemoveTotp(_) => "remove_totp",
            Self::ResetTotp(_) => "reset_totp",
            Self::StepUp(_) => "step_up",
            Self::ChangeIssuerLimits(_) => "change_issuer_limits",
            Self::PullEvents(_) => "pull_events",
            Self::AcknowledgeEvents(_) => "acknowledge_events",
            Self::ListCertificateStates(_) => "list_certificate_states",
        }
    }

    /// Whether this program knows a command of that name.
    pub fn is_known(name: &str) -> bool {
        Self::NAMES.contains(&name)
    }

    /// The names of all commands.
    pub const NAMES: &'static [&'static str] = &[
        "check_health",
        "create_certificate_authority",
        "list_certificate_authorities",
        "load_certificate_authority",
        "issue_certificate",
        "find_issued",
        "list_certificate_requests",
        "load_certificate_request",
        "load_certificate",
        "export_private_key",
        "list_encryption_keys",
        "load_encryption_key",
        "start_key_rotation",
        "list_key_rotations",
        "load_key_rotation",
        "cancel_key_rotation",
        "list_exposed_keys",
        "list_exposed_secrets",
        "set_key_rotation_schedule",
        "erase_organization_keys",
        "load_master_key",
        "make_master_key_shares",
        "rotate_master_key",
        "confirm_master_key_backup",
        "load_seal_status",
        "unseal",
        "reset_unseal",
        "seal",
        "seal_secret",
        "open_secret",
        "sign_webhook",
        "destroy_secret",
        "enrol_totp",
        "activate_totp",
        "verify_totp",
        "find_second_factor",
        "renew_backup_codes",
        "remove_totp",
        "reset_totp",
        "step_up",
        "change_issuer_limits",
        "pull_events",
        "acknowledge_events",
        "list_certificate_states",
    ];

    /// Whether carrying the command out twice does no more than once: it changes nothing, or its
    /// executor makes one thing of it.
    pub const fn is_repeatable(&self, context: &CallContext) -> bool {
        if !self.is_mutating() {
            return true;
        }
        match self {
            Self::CreateCertificateAuthority(_)
            | Self::CancelKeyRotation(_)
            | Self::SealSecret(_)
            | Self::DestroySecret(_) => true,
            Self::IssueCertificate(_) => context.idempotency_key.is_some(),
            _ => false,
        }
    }

    /// Whether the command changes something: such commands are audited one by one.
    pub const fn is_mutating(&self) -> bool {
        matches!(
            self,
            Self::CreateCertificateAuthority(_)
                | Self::IssueCertificate(_)
                | Self::ExportPrivateKey(_)
                | Self::StartKeyRotation(_)
                | Self::CancelKeyRotation(_)
                | Self::SetKeyRotationSchedule(_)
                | Self::EraseOrganizationKeys(_)
                | Self::MakeMasterKeyShares(_)
                | Self::RotateMasterKey(_)
                | Self::ConfirmMasterKeyBackup(_)
                | Self::Unseal(_)
                | Self::ResetUnseal(_)
                | Self::Seal(_)
                | Self::SealSecret(_)
                | Self::OpenSecret(_)
                | Self::SignWebhook(_)
                | Self::DestroySecret(_)
                | Self::EnrolTotp(_)
                | Self::ActivateTotp(_)
                | Self::VerifyTotp(_)
                | Self::RenewBackupCodes(_)
                | Self::RemoveTotp(_)
                | Self::ResetTotp(_)
                | Self::StepUp(_)
                | Self::ChangeIssuerLimits(_)
        )
    }

    /// Whether the operator of the machine that holds the master key may do more than others.
    pub const fn trusts_local_operator(&self) -> bool {
        matches!(
            self,
            Self::ResetTotp(_)
                | Self::ChangeIssuerLimits(_)
                | Self::CreateCertificateAuthority(_)
                | Self::ExportPrivateKey(_)
        )
    }

    /// Whether the command belongs to the host of the Secure Service: whoever gives it from elsewhere could
    /// make the master key one that nobody else has.
    pub const fn belongs_to_its_host(&self) -> bool {
        match self {
            Self::Seal(seal) => seal.force,
            _ => matches!(
                self,
                Self::MakeMasterKeyShares(_)
                    | Self::RotateMasterKey(_)
                    | Self::ConfirmMasterKeyBackup(_)
                    | Self::ResetUnseal(_)
            ),
        }
    }

    /// Whether the command is carried out while the master key is sealed: those that open it, and
    /// those that need no key and without which nobody would know.
    pub const fn works_sealed(&self) -> bool {
        matches!(
            self,
            Self::CheckHealth(_)
                | Self::LoadMasterKey(_)
                | Self::LoadSealStatus(_)
                | Self::Unseal(_)
                | Self::ResetUnseal(_)
                | Self::Seal(_)
                | Self::ListCertificateStates(_)
                | Self::FindSecondFactor(_)
        )
    }
}

/// Whether the service can work: database reachable, schema known, master key opens what is stored.
#[derive(Debug, Serialize, Deserialize)]
pub struct CheckHealth {}

/// Makes a CA: key, certificate, issuer with its limits. Idempotent by (organization, name): a
/// second call with the same name returns the existing one when subject, parent, key algorithm,
/// signature algorithm, path length and limits are equal, else `Conflict` with code `name_taken`.
/// The limits must be within those of every issuer above, else `PolicyViolation`. A new one takes a
/// step-up proof of a person: `Forbidden` with code `step_up_required` or `step_up_invalid`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateCertificateAuthority {
    /// A name for people, unique in the owning organization.
    pub name: String,
    /// DER of the subject `Name`; not empty (RFC 5280 §4.1.2.6).
    #[serde(with = "serde_bytes")]
    pub subject_der: Vec<u8>,
    /// The issuer above; `None` makes a self-signed root.
    pub parent_issuer_id: Option<IssuerId>,
    /// The algorithm of the CA's key.
    pub key_algorithm: KeyAlgorithm,
    /// The algorithm that the CA signs with; must fit the key. A root's certificate is signed so too.
    pub signature_algorithm: SignatureAlgorithm,
    /// Validity of the CA's certificate, in seconds; cut to the parent's end is refused, not done.
    pub validity_seconds: u64,
    /// RFC 5280 §4.2.1.9 `pathLenConstraint`.
    pub path_length_max: Option<u8>,
    /// What the new issuer may ever sign.
    pub limits: IssuerLimits,
    /// The organizations that may use it, beside its owner.
    pub organization_ids: Vec<OrganizationId>,
    /// From [`StepUp`], for all of the above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<StepUpToken>,
}

impl CreateCertificateAuthority {
    /// The name of the command, which its proof is bound to.
    pub const NAME: &'static str = "create_certificate_authority";

    /// What is proved: everything but the proof.
    #[must_use]
    pub fn proved(&self) -> Self {
        Self {
            proof: None,
            ..self.clone()
        }
    }
}

/// The issuers that the organization owns or may use, in order of their ids.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListCertificateAuthorities {
    /// Only issuers after this one.
    pub after: Option<IssuerId>,
    /// At most so many; bounded by [`clm_domain::limits::PAGE_SIZE_MAX`] and one more.
    pub limit: u32,
}

/// One issuer that the organization owns or may use, else `NotFound`.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoadCertificateAuthority {
    /// The issuer.
    pub issuer_id: IssuerId,
}

/// Records a request and issues its certificate: one transaction with request, certificate, sealed
/// key (when made here), audit event and outbox row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IssueCertificate {
    /// Chosen by the core.
    pub certificate_request_id: CertificateRequestId,
    /// Chosen by the core.
    pub certificate_id: CertificateId,
    /// The issuer, which the organization must be allowed to use.
    pub issuer_id: IssuerId,
    /// Where the key comes from.
    pub key_source: KeySource,
    /// What the certificate will say. With [`KeySource::Generate`] its public key is empty and is
    /// filled in by the Secure Service.
    pub plan: CertificatePlan,
    /// What the projection needs, returned in the event.
    pub context: IssuanceContext,
}

/// Where the key of a certificate comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum KeySource {
    /// The requester holds it, and proves that by a PKCS#10 request whose signature is verified
    /// again and whose public key must equal the plan's.
    CertificationRequest {
        /// DER of the request, stored as it came.
        #[serde(with = "serde_bytes")]
        der: Vec<u8>,
    },
    /// The Secure Service makes it and keeps it sealed.
    Generate,
}

/// What people said about the certificate, carried along for the projection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuanceContext {
    /// The owner.
    pub owner_user_id: Option<UserId>,
    /// Where it is used.
    pub environment: Option<DeploymentEnvironment>,
    /// Free labels.
    pub tags: Vec<String>,
    /// Custom fields.
    pub custom_fields: BTreeMap<String, String>,
}

/// What an earlier [`IssueCertificate`] with the idempotency key of this context issued, if anything:
/// so that a repetition is answered even if a rule would refuse it by now.
#[derive(Debug, Serialize, Deserialize)]
pub struct FindIssued {}

/// Requests of the organization, newest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListCertificateRequests {
    /// Only requests older than this one.
    pub after: Option<CertificateRequestId>,
    /// At most so many; bounded by [`clm_domain::limits::PAGE_SIZE_MAX`] and one more.
    pub limit: u32,
}

/// One request of the organization.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoadCertificateRequest {
    /// The request.
    pub certificate_request_id: CertificateRequestId,
}

/// One certificate of the organization, with its chain.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoadCertificate {
    /// The certificate.
    pub certificate_id: CertificateId,
}

/// Lets the private key of a certificate leave, as PKCS#8 encrypted under `passphrase`. Beside
/// [`MakeMasterKeyShares`] the only command whose reply carries key material. Audited; counted on the
/// key. Takes a step-up proof of a person: `Forbidden` with code `step_up_required` or
/// `step_up_invalid`. Which API keys may, is for the core to say.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExportPrivateKey {
    /// The certificate whose key is wanted; the key must have been made here for an end entity.
    pub certificate_id: CertificateId,
    /// The passphrase for PBES2, at least [`clm_domain::limits::PASSWORD_CHARACTERS_MIN`] long.
    #[serde(with = "explicit_secret")]
    pub passphrase: SecretString,
    /// From [`StepUp`], for the certificate. Not for the passphrase: its hash would tell of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<StepUpToken>,
}

impl ExportPrivateKey {
    /// The name of the command, which its proof is bound to.
    pub const NAME: &'static str = "export_private_key";
}

/// The encryption keys of the organization, newest first. Never their material.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListEncryptionKeys {
    /// Only keys older than this one.
    pub after: Option<EncryptionKeyId>,
    /// At most so many; bounded by [`clm_domain::limits::PAGE_SIZE_MAX`] and one more.
    pub limit: u32,
}

/// One encryption key of the organization, else `NotFound`.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoadEncryptionKey {
    /// The key.
    pub encryption_key_id: EncryptionKeyId,
}

/// Replaces the data key of the organization: from now on a new one seals, and what the old one
/// sealed is sealed anew while everything goes on. `Conflict` with code `key_rotation_in_progress`
/// while another one runs, and `encryption_key_missing` when nothing was ever sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StartKeyRotation {
    /// Why: `compromise` also lists what was exposed, and forbids the old key at the end.
    pub rotation_type: KeyRotationType,
    /// Why, in words; at most [`clm_domain::limits::REASON_CHARACTERS_MAX`] characters.
    pub reason: Option<String>,
    /// Most secrets sealed anew in a second. When absent, `scheduled` and `manual` rotations are
    /// held back a little, the others are not.
    pub items_per_second_max: Option<u32>,
}

/// Rotations of the organization's keys, newest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListKeyRotations {
    /// Only rotations older than this one.
    pub after: Option<KeyRotationId>,
    /// At most so many; bounded by [`clm_domain::limits::PAGE_SIZE_MAX`] and one more.
    pub limit: u32,
}

/// One rotation of the organization, else `NotFound`.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoadKeyRotation {
    /// The rotation.
    pub key_rotation_id: KeyRotationId,
}

/// Rolls a running rotation back: the old key is active again and everything moves back. A
/// repetition changes nothing. `Conflict` with code `key_rotation_ended` when it has ended, and
/// `PolicyViolation` with code `key_compromised` when the old key is known to others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CancelKeyRotation {
    /// The rotation.
    pub key_rotation_id: KeyRotationId,
}

/// The private keys that a compromise exposed, in order of their ids: those that were sealed under
/// the key which the rotation left.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListExposedKeys {
    /// The rotation, of type `compromise`; others expose nothing.
    pub key_rotation_id: KeyRotationId,
    /// Only keys after this one.
    pub after: Option<PrivateKeyId>,
    /// At most so many; bounded by [`clm_domain::limits::PAGE_SIZE_MAX`] and one more.
    pub limit: u32,
}

/// Says how often the data key of the organization is rotated. Its successors inherit that.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetKeyRotationSchedule {
    /// Days between two rotations; `None` for no schedule.
    pub days: Option<u32>,
}

/// Destroys every data key of the organization: what they sealed can never be opened again, by
/// nobody and from no backup of this database that is made from then on. Refused for the system
/// organization.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EraseOrganizationKeys {
    /// Why, in words; not empty, at most [`clm_domain::limits::REASON_CHARACTERS_MAX`] characters.
    pub reason: String,
}

/// The master key in force: where it is, never the key.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoadMasterKey {}

/// Makes a master key that may come, split into shares, and shows these once. Nothing is stored and
/// nothing changes until [`RotateMasterKey`] names the set, within
/// [`clm_domain::limits::UNSEAL_MINUTES_MAX`] minutes and from the same process; another set takes its
/// place. Beside [`ExportPrivateKey`] the only command whose reply carries key material.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MakeMasterKeyShares {
    /// How many shares open it.
    pub threshold: u8,
    /// How many there are.
    pub shares: u8,
}

/// Replaces the master key: every data key of every organization is wrapped anew, in one transaction.
/// `Conflict` with code `master_key_replaced` when another process was faster,
/// `share_set_unknown` when the shares are not, or no longer, waiting here, `share_set_replaced` when
/// their key was in force and another one is now, and `data_keys_do_not_open`, naming them. Naming the
/// set that is in force changes nothing, and is answered with the rotation that put it there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RotateMasterKey {
    /// Who shall hold the new one.
    pub provider: MasterKeyProviderKind,
    /// The shares of a split key, which were made before; for no other provider.
    pub share_set_id: Option<Uuid>,
    /// Why: after a `compromise` the old key is revoked instead of retired.
    pub rotation_type: KeyRotationType,
    /// Why, in words; at most [`clm_domain::limits::REASON_CHARACTERS_MAX`] characters.
    pub reason: Option<String>,
    /// Data keys that need not open: they stay as they are, under the old master key. Those that do
    /// open are wrapped anew all the same. At most [`clm_domain::limits::GIVEN_UP_KEYS_MAX`].
    #[serde(default)]
    pub give_up: Vec<EncryptionKeyId>,
}

/// Says that a copy of the master key in force exists. The check value proves it; only for a split key,
/// whose custodians are the copy, may it be absent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfirmMasterKeyBackup {
    /// The check value of the copy.
    pub check_value: Option<[u8; 32]>,
}

/// Whether the master key is sealed, and how many shares are missing.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoadSealStatus {}

/// Gives one share of a split master key. The last one that is needed opens the service. A share that
/// was given already changes nothing.
#[derive(Debug, Serialize, Deserialize)]
pub struct Unseal {
    /// The text of the share.
    #[serde(with = "explicit_secret")]
    pub share: SecretString,
}

/// Forgets the shares that were given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResetUnseal {}

/// Takes a split master key, and all that it opened, out of the memory of this process. `Conflict` with
/// code `master_key_not_split` when anybody who starts the process could open it again, and
/// `backup_unconfirmed` while nobody has proved that the shares give the key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seal {
    /// Seal it all the same: when the shares are bad, nothing sealed ever opens again.
    #[serde(default)]
    pub force: bool,
}

/// Events that the core has not acknowledged and that are old enough for the relay.
#[derive(Debug, Serialize, Deserialize)]
pub struct PullEvents {
    /// At most so many; bounded by [`clm_domain::limits::EVENT_BATCH_MAX`].
    pub limit: u32,
}

/// Removes events that the core has applied. Unknown ids are ignored: acknowledging twice is safe.
#[derive(Debug, Serialize, Deserialize)]
pub struct AcknowledgeEvents {
    /// The events.
    pub event_ids: Vec<EventId>,
}

/// The state of every certificate of every organization, in order of their ids, for the
/// reconciler.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListCertificateStates {
    /// Only certificates after this one.
    pub after: Option<CertificateId>,
    /// At most so many; bounded by [`clm_domain::limits::PAGE_SIZE_MAX`] and one more.
    pub limit: u32,
}
