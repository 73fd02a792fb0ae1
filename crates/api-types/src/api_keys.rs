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
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}
