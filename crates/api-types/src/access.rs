//! `/access/explain`: why somebody may do something or not.

use chrono::{DateTime, Utc};
use clm_domain::permission::{Action, Resource};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Asks whether somebody may do something in the active organization.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessQuestion {
    /// A member of the organization; absent: whoever asks, with the credential of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Uuid>,
    /// To which kind of object, such as `certificate`.
    #[schema(value_type = String)]
    pub resource: Resource,
    /// What is to be done, such as `read`.
    #[schema(value_type = String)]
    pub action: Action,
    /// At which moment; absent: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
}

/// The answer, with what decided.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AccessExplanation {
    /// Whether it is allowed.
    pub allowed: bool,
    /// What decided: `granted`, `local_operator`, `permission_missing`, `scopes_missing`,
    /// `not_a_member`, `membership_suspended`, `user_not_active`, `organization_suspended` or
    /// `organization_inactive`.
    pub code: String,
    /// The same in words.
    pub explanation: String,
    /// Who was asked about; null for the operator of the machine.
    pub user_id: Option<Uuid>,
    /// That user's name.
    pub username: Option<String>,
    /// Where.
    pub organization_id: Uuid,
    /// To which kind of object.
    #[schema(value_type = String)]
    pub resource: Resource,
    /// What is to be done.
    #[schema(value_type = String)]
    pub action: Action,
    /// For which moment.
    pub at: DateTime<Utc>,
    /// The assignments whose roles give the permission, also those that do not count at that moment.
    pub grants: Vec<AccessGrant>,
}

/// An assignment whose role, or one above it, gives the permission.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AccessGrant {
    /// The assignment.
    pub role_assignment_id: Uuid,
    /// Where the role is held.
    pub organization_id: Uuid,
    /// The role that was assigned.
    pub assigned_role_id: Uuid,
    /// Its stable name.
    pub assigned_role_code: String,
    /// The role in which the rule stands: that one, or one that it inherits from.
    pub role_id: Uuid,
    /// Its stable name.
    pub role_code: String,
    /// The rule, as RESOURCE:ACTION.
    pub rule: String,
    /// First moment of validity.
    pub valid_from: DateTime<Utc>,
    /// First moment after validity.
    pub valid_until: Option<DateTime<Utc>>,
    /// `pending`, `current` or `ended` at the moment in question.
    pub state: GrantState,
}

/// How an assignment stands to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// It begins later.
    Pending,
    /// It counts.
    Current,
    /// It had ended.
    Ended,
}
