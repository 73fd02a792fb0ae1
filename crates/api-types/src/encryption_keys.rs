//! `/encryption-keys`: what seals the secrets of an organization. Never their material.

use chrono::{DateTime, Utc};
use clm_domain::states::{EncryptionKeyStatus, EncryptionKeyType};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// One version of an encryption key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EncryptionKey {
    /// The key.
    pub id: Uuid,
    /// Its organization.
    pub organization_id: Uuid,
    /// `data`; in the system organization also `master`.
    #[schema(value_type = String)]
    pub key_type: EncryptionKeyType,
    /// Counts up with each rotation.
    pub key_version: i32,
    /// Its algorithm.
    pub key_algorithm: String,
    /// `active` seals and opens; `rotating` and `retired` open; `revoked` and `destroyed` do
    /// neither.
    #[schema(value_type = String)]
    pub status: EncryptionKeyStatus,
    /// Where the master key above it lives.
    pub provider: String,
    /// Upper bound of the seals made with it.
    pub seal_count: i64,
    /// Seals after which it is replaced by itself.
    pub seal_count_max: Option<i64>,
    /// Days between scheduled rotations.
    pub rotation_schedule_days: Option<i32>,
    /// When it became active.
    pub activated_at: Option<DateTime<Utc>>,
    /// When its successor became active.
    pub rotated_at: Option<DateTime<Utc>>,
    /// When nothing was sealed under it any more.
    pub retired_at: Option<DateTime<Utc>>,
    /// When it was forbidden after a compromise.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When its material was destroyed.
    pub destroyed_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Says how often the data key is rotated.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRotationSchedule {
    /// Days between two rotations, 1 to 3650; null for no schedule.
    pub days: Option<u32>,
}

/// Destroys every data key of the organization, and so every private key that it holds, for ever.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EncryptionKeysErase {
    /// The slug of the organization, as proof that it is meant.
    pub organization: String,
    /// Why, in words.
    pub reason: String,
}

/// Data keys were destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EncryptionKeysErased {
    /// The organization.
    pub organization_id: Uuid,
    /// How many keys were destroyed.
    pub keys_destroyed: u64,
}
