//! `/api-keys`: credentials of programs.

use chrono::{DateTime, Utc};
use clm_domain::permission::Permissions;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Asks for an API key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyCreate {
    /// A name for people, 1 to 100 characters.
    pub name: String,
    /// Narrows what the key may do; absent: what its owner may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub scopes: Option<Permissions>,
    /// When it ends; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// Addresses and networks (such as `192.0.2.0/24`) from where alone it may be used, at most 50; absent:
    /// from anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_networks: Option<Vec<String>>,
    /// The service account that it shall act for; absent: whoever asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Uuid>,
}

/// Makes an API key in the place of another, with its name, scopes and networks.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyRotate {
    /// How long the old key goes on, in seconds; a day when absent, thirty days at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_seconds: Option<i64>,
    /// When the new key ends; absent: after as long as the old one was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// An API key that was just made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyCreated {
    /// The key's description.
    pub api_key: ApiKey,
    /// The key itself, for `Authorization: Bearer`. Shown once.
    pub secret: String,
}

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// The API key.
    pub id: Uuid,
    /// Its owner.
    pub user_id: Uuid,
    /// The organization that it acts for.
    pub organization_id: Uuid,
    /// Its name.
    pub name: String,
    /// Its last four characters.
    pub last_four: String,
    /// What it is narrowed to.
    #[schema(value_type = Option<Object>)]
    pub scopes: Option<Permissions>,
    /// From where alone it may be used.
    pub allowed_networks: Option<Vec<String>>,
    /// The key in whose place it was made.
    pub replaces_api_key_id: Option<Uuid>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Its last use, some seconds late.
    pub last_used_at: Option<DateTime<Utc>>,
    /// How often it was used, some seconds late.
    pub usage_count: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}
