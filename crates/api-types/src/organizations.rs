//! `/organizations`: the tenants, and the one in which a session is active.

use chrono::{DateTime, Utc};
use clm_domain::organization_settings::OrganizationSettings;
use clm_domain::states::OrganizationStatus;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Asks for an organization.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationCreate {
    /// What people call it, 1 to 200 characters.
    pub name: String,
    /// Short name: lower-case letters, digits and inner hyphens. Never given out again.
    pub slug: String,
    /// Most users whose home it is; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_users: Option<i64>,
    /// Most live certificates; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_certificates: Option<i64>,
}

/// Changes an organization: what is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationUpdate {
    /// What people call it, 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it decides about itself, as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub settings: Option<OrganizationSettings>,
    /// Most users whose home it is; null: no limit. From the System organization only.
    #[serde(
        default,
        deserialize_with = "crate::patch::given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<i64>)]
    pub max_users: Option<Option<i64>>,
    /// Most live certificates; null: no limit. From the System organization only.
    #[serde(
        default,
        deserialize_with = "crate::patch::given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<i64>)]
    pub max_certificates: Option<Option<i64>>,
}

/// Opens, suspends or closes an organization.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationStatusUpdate {
    /// `active`, `suspended` (read only) or `inactive` (nothing).
    #[schema(value_type = String)]
    pub status: OrganizationStatus,
    /// Why, in words.
    pub reason: String,
}

/// An organization as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrganizationSummary {
    /// The organization.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// Its short name.
    pub slug: String,
    /// Whether it can be worked in.
    #[schema(value_type = String)]
    pub status: OrganizationStatus,
    /// Whether it is the one that the caller acts for.
    pub is_current: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// An organization with what it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Organization {
    /// The organization.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// Its short name.
    pub slug: String,
    /// Whether it can be worked in.
    #[schema(value_type = String)]
    pub status: OrganizationStatus,
    /// What it decides about itself.
    #[schema(value_type = Object)]
    pub settings: OrganizationSettings,
    /// Most users whose home it is; absent: no limit.
    pub max_users: Option<i64>,
    /// Most live certificates; absent: no limit.
    pub max_certificates: Option<i64>,
    /// Users whose home it is.
    pub user_count: i64,
    /// Certificates that are neither revoked nor expired, without those of authorities.
    pub certificate_count: i64,
    /// Counts the changes; what `If-Match` names.
    pub revision: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Names an organization of the caller.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationChoice {
    /// Its slug or its id.
    pub organization: String,
}
