//! `/master-key`, `/seal-status`, `/unseal` and `/seal`: the key above all others, and who opens it.
//! The key itself is in no message; a share is, on its way to its custodian and back.

use chrono::{DateTime, Utc};
use clm_domain::states::{KeyRotationType, MasterKeyProviderKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The master key in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MasterKey {
    /// The key.
    pub id: Uuid,
    /// Counts up with each rotation.
    pub key_version: i32,
    /// Who holds it: `file`, `credential`, `environment` or `shamir`.
    #[schema(value_type = String)]
    pub provider: MasterKeyProviderKind,
    /// Where it is, for people.
    pub place: String,
    /// Data keys that it wraps.
    pub data_keys: i64,
    /// Data keys that nothing opens: a master key wraps them that is not in force.
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

/// Asks for shares of a master key that may come.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MasterKeySharesCreate {
    /// How many shares open it, 2 to `shares`.
    pub threshold: u8,
    /// How many there are, at most 16.
    pub shares: u8,
}

/// Shares of a master key that may come. Shown once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct MasterKeyShares {
    /// The set, for the rotation.
    pub share_set_id: Uuid,
    /// When the set is forgotten unless a rotation names it.
    pub expires_at: DateTime<Utc>,
    /// One text for each custodian.
    pub shares: Vec<MasterKeyShare>,
}

/// One share.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct MasterKeyShare {
    /// Its place in the set, from 1.
    pub index: u8,
    /// What the custodian keeps.
    pub text: String,
}

/// Asks for a new master key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MasterKeyRotationCreate {
    /// Who shall hold it: `file`, `credential`, `environment` or `shamir`.
    #[schema(value_type = String)]
    pub provider: MasterKeyProviderKind,
    /// The shares that were made for it, for `shamir` and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_set_id: Option<Uuid>,
    /// `manual`, `scheduled`, `emergency` or `compromise`, which revokes the old key.
    #[schema(value_type = String)]
    pub rotation_type: KeyRotationType,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Data keys that do not open and need not: they stay as they are. At most 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub give_up: Vec<Uuid>,
}

/// Proves that a copy of the master key exists.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MasterKeyBackupConfirm {
    /// The check value of the copy, in hexadecimal, as `clm key master confirm-backup` computes it;
    /// null only for a split key whose custodians have said that they have their shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_value: Option<String>,
}

/// Gives a share.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnsealShare {
    /// The text of the share.
    pub share: String,
}

/// Asks to seal the master key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SealRequest {
    /// Seal it though nobody has proved that its shares give it. If they do not, nothing that is sealed
    /// ever opens again.
    #[serde(default)]
    pub force: bool,
}

/// Whether the master key is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SealStatus {
    /// Whether nothing can be opened.
    pub sealed: bool,
    /// The key.
    pub master_key_id: Option<Uuid>,
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
