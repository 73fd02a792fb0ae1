//! `/sessions` and `/whoami`: signing in and out.

use chrono::{DateTime, Utc};
use clm_domain::permission::Permissions;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Asks for a session.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionCreate {
    /// The user's name.
    pub username: String,
    /// The password.
    #[schema(format = "password")]
    pub password: String,
    /// The slug of the user's home organization; needed only where the name exists in several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
}

/// A session that was just made. Its token stands in the `Set-Cookie` header only.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionCreated {
    /// The session.
    pub session: Session,
    /// Must accompany each change in header `X-CSRF-Token`. Shown once.
    pub csrf_token: String,
    /// What the session owes before anything else is allowed: `second_factor`, `password_change` or
    /// `second_factor_enrolment`.
    pub owes: Option<String>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// The session.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The active organization.
    pub organization_id: Uuid,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Last use, to the minute.
    pub last_seen_at: DateTime<Utc>,
    /// Ends then without use.
    pub idle_expires_at: DateTime<Utc>,
    /// Ends then in any case.
    pub expires_at: DateTime<Utc>,
    /// From where it was opened.
    pub ip_address: Option<String>,
    /// Whether it is the one that asks.
    pub is_current: bool,
}

/// Who the caller is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// `user`, `api_key` or `local_operator`.
    pub actor_type: String,
    /// The user behind the credential.
    pub user_id: Option<Uuid>,
    /// The user's name.
    pub username: Option<String>,
    /// The API key, where one is used.
    pub api_key_id: Option<Uuid>,
    /// The organization that the caller acts for.
    pub organization_id: Uuid,
    /// Its name.
    pub organization_name: String,
    /// What the caller may do there.
    #[schema(value_type = Object)]
    pub permissions: Permissions,
    /// What the session owes before anything else is allowed: `second_factor`, `password_change` or
    /// `second_factor_enrolment`.
    pub owes: Option<String>,
}
