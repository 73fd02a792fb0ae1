//! `/roles`: named sets of permissions.

use chrono::{DateTime, Utc};
use clm_domain::permission::Permissions;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Asks for a role of the active organization.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleCreate {
    /// Stable name for programs: capital letters, digits and underscores, a letter first. Never given out
    /// again.
    pub role_code: String,
    /// Name for people, 1 to 200 characters.
    pub role_name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it allows: `{"resource": ["action", …]}`.
    #[schema(value_type = Object)]
    pub permissions: Permissions,
    /// The role whose permissions it inherits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_role_id: Option<Uuid>,
}

/// Changes a role: what is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleUpdate {
    /// Name for people, 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_name: Option<String>,
    /// What it is for; null clears it.
    #[serde(
        default,
        deserialize_with = "crate::patch::given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// What it allows, as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub permissions: Option<Permissions>,
    /// The role whose permissions it inherits; null for none.
    #[serde(
        default,
        deserialize_with = "crate::patch::given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<Uuid>)]
    pub parent_role_id: Option<Option<Uuid>>,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Role {
    /// The role.
    pub id: Uuid,
    /// The organization that owns it; those of the System organization are there for all.
    pub organization_id: Uuid,
    /// Stable name for programs.
    pub role_code: String,
    /// Name for people.
    pub role_name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it allows itself.
    #[schema(value_type = Object)]
    pub permissions: Permissions,
    /// The role whose permissions it inherits.
    pub parent_role_id: Option<Uuid>,
    /// One of the six that every installation has and nobody changes.
    pub is_system_role: bool,
    /// Rises with each change; for `If-Match`.
    pub revision: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A role with all that it gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoleDetail {
    /// The role.
    #[serde(flatten)]
    pub role: Role,
    /// What it allows with what it inherits.
    #[schema(value_type = Object)]
    pub effective_permissions: Permissions,
}
