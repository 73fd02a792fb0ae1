//! Commands about secrets that the core works with and does not hold, about second factors, and
//! what is done only by somebody who has just used one.

use clm_domain::ids::{IssuerId, KeyRotationId, SealedSecretId, UserId};
use clm_domain::issuer_limits::IssuerLimits;
use clm_domain::secret::{SecretBytes, SecretString, explicit_secret};
use clm_domain::states::SecretPurpose;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Seals a secret under the data key of the organization. Idempotent by its id: a repetition with
/// the same purpose, owner and content changes nothing, any other is `Conflict` with code
/// `sealed_secret_exists`. Secrets of second factors are made by [`EnrolTotp`], never sent.
#[derive(Debug, Serialize, Deserialize)]
pub struct SealSecret {
    /// Chosen by the core.
    pub sealed_secret_id: SealedSecretId,
    /// What it is for.
    pub purpose: SecretPurpose,
    /// What it belongs to: a webhook, a connector.
    pub owner_id: Uuid,
    /// The secret, 1 to [`clm_domain::limits::SECRET_BYTES_MAX`] bytes.
    #[serde(with = "crate::secret_bytes")]
    pub plaintext: SecretBytes,
}

/// Opens a secret of purpose `connector`; others are never opened. So many a minute and
/// organization, each audited.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpenSecret {
    /// The secret.
    pub sealed_secret_id: SealedSecretId,
    /// Why, in words; at most [`clm_domain::limits::REASON_CHARACTERS_MAX`] characters.
    pub reason: String,
}

/// Signs a message with a secret of purpose `webhook`, as Standard Webhooks say: HMAC-SHA256 over
/// id, timestamp and body.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignWebhook {
    /// The secret.
    pub sealed_secret_id: SealedSecretId,
    /// The id of the message: 1 to 200 letters, digits, `_` and `-`.
    pub message_id: String,
    /// Seconds since 1970.
    pub timestamp: i64,
    /// The message, at most [`clm_domain::limits::WEBHOOK_BODY_BYTES_MAX`] bytes.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// Destroys a secret of any purpose but `totp`. A repetition changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DestroySecret {
    /// The secret.
    pub sealed_secret_id: SealedSecretId,
}

/// The secrets that a compromise exposed, in order of their ids: those that were sealed under the key
/// which the rotation left.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListExposedSecrets {
    /// The rotation, of type `compromise`; others expose nothing.
    pub key_rotation_id: KeyRotationId,
    /// Only secrets after this one.
    pub after: Option<SealedSecretId>,
    /// At most so many; bounded by [`clm_domain::limits::PAGE_SIZE_MAX`] and one more.
    pub limit: u32,
}

/// Makes the secret of a second factor (RFC 6238) for the acting user, in the organization of the
/// context, and shows it once. It replaces one that is not active; `Conflict` with code
/// `totp_already_active` otherwise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnrolTotp {
    /// The name of the account, for the user's device; at most
    /// [`clm_domain::limits::TOTP_LABEL_CHARACTERS_MAX`] characters.
    pub label: String,
}

/// Puts the second factor of the acting user into force, and gives the first backup codes.
#[derive(Debug, Serialize, Deserialize)]
pub struct ActivateTotp {
    /// Six digits.
    #[serde(with = "explicit_secret")]
    pub code: SecretString,
}

/// Whether a user of the organization has a second factor in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FindSecondFactor {
    /// Whose.
    pub user_id: UserId,
}

/// Makes new backup codes for the acting user; the old ones stop counting.
#[derive(Debug, Serialize, Deserialize)]
pub struct RenewBackupCodes {
    /// Six digits, or a backup code.
    #[serde(with = "explicit_secret")]
    pub code: SecretString,
}

/// Judges a code. `Invalid` with code `totp_code_invalid`, `Conflict` with `totp_code_used` for one
/// that was accepted before, `RateLimited` with `totp_locked` after too many wrong ones. Backup codes are
/// neither counted nor locked: there is nothing to guess in 80 random bits.
#[derive(Debug, Serialize, Deserialize)]
pub struct VerifyTotp {
    /// Whose.
    pub user_id: UserId,
    /// Six digits, or a backup code.
    #[serde(with = "explicit_secret")]
    pub code: SecretString,
}

/// Removes the second factor of the acting user.
#[derive(Debug, Serialize, Deserialize)]
pub struct RemoveTotp {
    /// Six digits, or a backup code.
    #[serde(with = "explicit_secret")]
    pub code: SecretString,
}

/// Removes the second factor of a user who has lost it. Only the operator of the machine may.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResetTotp {
    /// Whose.
    pub user_id: UserId,
    /// Why, in words; not empty, at most [`clm_domain::limits::REASON_CHARACTERS_MAX`] characters.
    pub reason: String,
}

/// Judges a code of the acting user and gives a proof that is good for one command, once, in this
/// session.
#[derive(Debug, Serialize, Deserialize)]
pub struct StepUp {
    /// Six digits, or a backup code.
    #[serde(with = "explicit_secret")]
    pub code: SecretString,
    /// See [`crate::step_up::request_hash`].
    pub request_sha256: [u8; 32],
}

/// Changes what an issuer of the organization may sign. Takes a step-up proof: `Forbidden` with code
/// `step_up_required` or `step_up_invalid`. The limits must be within those of every issuer above,
/// and those of every issuer below within them: `PolicyViolation`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChangeIssuerLimits {
    /// What is proved.
    pub change: IssuerLimitsChange,
    /// From [`StepUp`].
    pub proof: Option<StepUpToken>,
}

/// What the proof is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IssuerLimitsChange {
    /// The issuer.
    pub issuer_id: IssuerId,
    /// All its limits from now on.
    pub limits: IssuerLimits,
    /// The revision that the limits were read at; `Conflict` with code `revision_changed` when the
    /// issuer has another one by now.
    pub revision: i64,
    /// Why, in words; not empty, at most [`clm_domain::limits::REASON_CHARACTERS_MAX`] characters.
    pub reason: String,
}

/// A proof on its way back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepUpToken(#[serde(with = "explicit_secret")] pub SecretString);

impl ChangeIssuerLimits {
    /// The name of the command, which its proof is bound to.
    pub const NAME: &'static str = "change_issuer_limits";
}
