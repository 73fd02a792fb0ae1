//! `/members` and `/invitations`: who may act in the active organization.

use chrono::{DateTime, Utc};
use clm_domain::states::{MembershipStatus, UserType};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// A role that a member holds now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberRole {
    /// The role.
    pub id: Uuid,
    /// Its stable name.
    pub role_code: String,
}

/// A member of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// The user.
    pub user_id: Uuid,
    /// The organization.
    pub organization_id: Uuid,
    /// Whether the organization is the user's home; else the user is a guest.
    pub is_home: bool,
    /// The name to sign in with.
    pub username: String,
    /// The name for people.
    pub display_name: Option<String>,
    /// Address for messages.
    pub email: Option<String>,
    /// `person` or `service`.
    #[schema(value_type = String)]
    pub user_type: UserType,
    /// `active` or `suspended`: whether the user may act in the organization.
    #[schema(value_type = String)]
    pub status: MembershipStatus,
    /// Whether the user's sign-ins begin in it.
    pub is_primary: bool,
    /// When the membership began.
    pub joined_at: DateTime<Utc>,
    /// The roles that the user holds in it now.
    pub roles: Vec<MemberRole>,
}

/// Makes a user a member, from the System organization.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberCreate {
    /// The user: an id, or the name and the slug of the home with `@` between them.
    pub user: String,
    /// The organization.
    pub organization_id: Uuid,
}

/// Suspends or admits a member.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberStatusUpdate {
    /// `active` or `suspended`.
    #[schema(value_type = String)]
    pub status: MembershipStatus,
    /// Why, in words.
    pub reason: String,
}

/// How a member is removed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct MemberRemoval {
    /// The active member who shall answer for what the removed one answers for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor_user_id: Option<Uuid>,
}

/// Leaves an organization.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberLeave {
    /// The active member who shall answer for what one answers for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor_user_id: Option<Uuid>,
}

/// Invites somebody.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationCreate {
    /// The address of whoever is invited.
    pub email: String,
    /// A role that the new member shall have; it gives nothing beyond the caller's rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_id: Option<Uuid>,
}

/// An invitation, without its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    /// The invitation.
    pub id: Uuid,
    /// The organization.
    pub organization_id: Uuid,
    /// The address of whoever is invited.
    pub email: String,
    /// The role that the new member shall have.
    pub role_id: Option<Uuid>,
    /// Who invited; absent for the operator of the machine.
    pub invited_by_user_id: Option<Uuid>,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
    /// When it was accepted.
    pub accepted_at: Option<DateTime<Utc>>,
    /// Who accepted it.
    pub accepted_by_user_id: Option<Uuid>,
    /// When it was taken back.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// An invitation that was just made.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct InvitationCreated {
    /// The invitation.
    pub invitation: Invitation,
    /// How the token reaches whoever is invited.
    pub delivery: InvitationDelivery,
    /// What accepts it, where `delivery` is `answer`. Shown once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "password")]
    pub token: Option<String>,
}

/// How the token of an invitation reaches whoever is invited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvitationDelivery {
    /// By mail, to the address.
    Email,
    /// By whoever invites: it stands in the answer, because the installation sends no mail.
    Answer,
}

/// Accepts an invitation.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationAccept {
    /// The token that came with the invitation.
    #[schema(format = "password")]
    pub token: String,
}

/// What accepting came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvitationAccepted {
    /// The organization of which one is a member now.
    pub organization_id: Uuid,
    /// Its short name.
    pub organization_slug: String,
    /// Its name.
    pub organization_name: String,
}
