//! `/users`: accounts of people and services, and one's own password.

use chrono::{DateTime, Utc};
use clm_domain::states::{UserStatus, UserType};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Changes one's own password. Every other session of the user ends.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password so far.
    #[schema(format = "password")]
    pub current_password: String,
    /// The new password, at least 12 characters.
    #[schema(format = "password")]
    pub new_password: String,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// The user.
    pub id: Uuid,
    /// The organization that governs the account.
    pub home_organization_id: Uuid,
    /// The name to sign in with.
    pub username: String,
    /// Address for messages.
    pub email: Option<String>,
    /// Whether the user proved to read what is sent to the address.
    pub email_verified: bool,
    /// Name shown to others.
    pub display_name: Option<String>,
    /// `person` or `service`.
    #[schema(value_type = String)]
    pub user_type: UserType,
    /// `active`, `inactive`, `locked` or `suspended`; only an active user can act.
    #[schema(value_type = String)]
    pub status: UserStatus,
    /// Whether a sign-in allows nothing but a new password.
    pub must_change_password: bool,
    /// Until when no password counts, after several wrong ones; absent when there is no such lock.
    pub locked_until: Option<DateTime<Utc>>,
    /// When the password was last set.
    pub password_changed_at: Option<DateTime<Utc>>,
    /// When the last sign-in succeeded.
    pub last_sign_in_at: Option<DateTime<Utc>>,
    /// Rises with each change; for `If-Match`.
    pub revision: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Which users, and which page of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UserQuery {
    /// Of this status only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub status: Option<UserStatus>,
    /// The one with exactly this name only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Of this home, for those who act in the System organization; the own organization when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_organization_id: Option<Uuid>,
    /// At most so many items, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Asks for a user, who is a member of the home organization without a role.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserCreate {
    /// The name to sign in with, 1 to 256 characters; nobody else in the home organization has it.
    pub username: String,
    /// Address for messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Name shown to others, 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// `person`, or `service`: a program, which has API keys and cannot sign in. A person when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub user_type: Option<UserType>,
    /// The first password of a person, which must be changed at the first sign-in; one is generated
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "password")]
    pub password: Option<String>,
    /// The home organization, for those who act in the System organization; the own one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_organization_id: Option<Uuid>,
}

/// A user who was just made.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct UserCreated {
    /// The user.
    pub user: User,
    /// The password, when it was generated. Shown once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "password")]
    pub password: Option<String>,
}

/// Changes names and addresses: an absent field stays as it is, null clears it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserUpdate {
    /// Another name to sign in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Another address for messages, or null for none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::patch::given"
    )]
    #[schema(value_type = Option<String>)]
    pub email: Option<Option<String>>,
    /// Another name shown to others, or null for none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::patch::given"
    )]
    #[schema(value_type = Option<String>)]
    pub display_name: Option<Option<String>>,
}

/// Sets the status of a user. Unless it is active, every session ends and no API key works any more.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserStatusUpdate {
    /// `active`, `inactive`, `locked` or `suspended`.
    #[schema(value_type = String)]
    pub status: UserStatus,
    /// Why, in words.
    pub reason: String,
}

/// Gives a user a new first password, which must be changed at the next sign-in.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserPasswordSet {
    /// The password; one is generated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "password")]
    pub password: Option<String>,
}

/// What came of a new first password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct UserPassword {
    /// The password, when it was generated. Shown once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "password")]
    pub password: Option<String>,
}
