//! `/key-rotations`: replacing the key that seals an organization's secrets.

use chrono::{DateTime, Utc};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::states::{KeyRotationStatus, KeyRotationType, SecretPurpose};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Asks for a rotation of the organization's data key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRotationCreate {
    /// `manual`, `scheduled`, `emergency` or `compromise`. The last one also lists what was
    /// exposed, and forbids the old key at the end.
    #[schema(value_type = String)]
    pub rotation_type: KeyRotationType,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Most secrets sealed anew in a second; absent: 2000 for `manual` and `scheduled`, no limit
    /// for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items_per_second_max: Option<u32>,
}

/// A rotation, running or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyRotation {
    /// The rotation.
    pub id: Uuid,
    /// Its organization.
    pub organization_id: Uuid,
    /// Why.
    #[schema(value_type = String)]
    pub rotation_type: KeyRotationType,
    /// `in_progress`, `completed`, `failed` or `rolled_back`.
    #[schema(value_type = String)]
    pub status: KeyRotationStatus,
    /// The key that is left.
    pub old_encryption_key_id: Uuid,
    /// The key that takes over.
    pub new_encryption_key_id: Option<Uuid>,
    /// Who started it; nobody for a scheduled one.
    pub initiated_by_user_id: Option<Uuid>,
    /// Why, in words.
    pub reason: Option<String>,
    /// Secrets to seal anew.
    pub items_total: i64,
    /// Secrets sealed anew under the new key so far.
    pub items_processed: i64,
    /// Secrets that do not open; they stay under the old key.
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

/// A private key that a compromise exposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExposedKey {
    /// The private key.
    pub id: Uuid,
    /// Whether it signs certificates.
    pub is_issuer_key: bool,
    /// Its algorithm.
    #[schema(value_type = String)]
    pub key_algorithm: KeyAlgorithm,
    /// SHA-256 of its `SubjectPublicKeyInfo`, hexadecimal.
    pub spki_sha256: String,
    /// Its certificates, newest first; at most a hundred.
    pub certificate_ids: Vec<Uuid>,
}

/// A secret of the platform that a compromise exposed: what to replace where it opens something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExposedSecret {
    /// The secret.
    pub id: Uuid,
    /// `totp`, `webhook` or `connector`.
    #[schema(value_type = String)]
    pub purpose: SecretPurpose,
    /// What it belongs to: a user, a webhook, a connector.
    pub owner_id: Uuid,
    /// Whether it has been destroyed since.
    pub destroyed: bool,
}
