//! `/role-assignments`: who holds which role in the active organization, from when to when.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Gives a member of the active organization a role.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleAssignmentCreate {
    /// The member.
    pub user_id: Uuid,
    /// The role.
    pub role_id: Uuid,
    /// When it begins; absent or past: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<DateTime<Utc>>,
    /// When it ends; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<DateTime<Utc>>,
    /// Why, at most 2000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Moves the end of an assignment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleAssignmentUpdate {
    /// When it ends; null: never.
    #[serde(deserialize_with = "Option::deserialize")]
    pub valid_until: Option<DateTime<Utc>>,
}

/// An assignment of a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoleAssignment {
    /// The assignment.
    pub id: Uuid,
    /// Where the role is held.
    pub organization_id: Uuid,
    /// Who holds it.
    pub user_id: Uuid,
    /// The holder's name.
    pub username: String,
    /// The role.
    pub role_id: Uuid,
    /// Its stable name.
    pub role_code: String,
    /// First moment of validity.
    pub valid_from: DateTime<Utc>,
    /// First moment after validity; null while open-ended.
    pub valid_until: Option<DateTime<Utc>>,
    /// Who granted it; null for the platform and the operator of the machine.
    pub granted_by_user_id: Option<Uuid>,
    /// Why.
    pub reason: Option<String>,
    /// Rises with each change; for `If-Match`.
    pub revision: i64,
    /// When it was granted.
    pub created_at: DateTime<Utc>,
}

/// Which assignments, and which page of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RoleAssignmentQuery {
    /// Of this user only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Uuid>,
    /// Of this role only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_id: Option<Uuid>,
    /// Ended ones too; without, only those that count now or will.
    #[serde(default)]
    pub ended: bool,
    /// At most so many items, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
