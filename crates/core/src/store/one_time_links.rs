//! Rows of `one_time_links`, in the System scope: their users may be of any home.

use chrono::{DateTime, Utc};
use clm_domain::ids::{OneTimeLinkId, OrganizationId, UserId};
use clm_domain::states::OneTimeLinkPurpose;
use sqlx::PgConnection;

use crate::authentication::credential::CredentialHash;

/// A link that is about to leave.
pub(crate) struct NewLink<'a> {
    pub(crate) link_id: OneTimeLinkId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) user_id: UserId,
    pub(crate) purpose: OneTimeLinkPurpose,
    pub(crate) token_sha256: &'a CredentialHash,
    pub(crate) email: &'a str,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) created_at: DateTime<Utc>,
}

/// Stores a link in the place of those of its purpose that its user has not used.
pub(crate) async fn replace(connection: &mut PgConnection, link: &NewLink<'_>) -> sqlx::Result<()> {
    forget_unused(connection, link.user_id, link.purpose).await?;
    sqlx::query!(
        "-- one_time_links::replace
        INSERT INTO one_time_links (
            id, organization_id, user_id, purpose, token_sha256, email, expires_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        link.link_id.as_uuid(),
        link.organization_id.as_uuid(),
        link.user_id.as_uuid(),
        link.purpose.as_str(),
        link.token_sha256.as_slice(),
        link.email,
        link.expires_at,
        link.created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn forget_unused(
    connection: &mut PgConnection,
    user_id: UserId,
    purpose: OneTimeLinkPurpose,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- one_time_links::forget_unused
        DELETE FROM one_time_links WHERE user_id = $1 AND purpose = $2 AND used_at IS NULL",
        user_id.as_uuid(),
        purpose.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A link that works.
#[derive(Clone, Debug)]
pub(crate) struct FoundLink {
    pub(crate) link_id: OneTimeLinkId,
    pub(crate) user_id: UserId,
    /// The user's home organization.
    pub(crate) organization_id: OrganizationId,
}

/// The link with this token, if it works now: unused, in time, of a person who may act and still has the
/// address; for a reset also an address that is verified, and a password that is not newer.
pub(crate) async fn find_working(
    connection: &mut PgConnection,
    purpose: OneTimeLinkPurpose,
    token_sha256: &CredentialHash,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<FoundLink>> {
    let row = sqlx::query!(
        "-- one_time_links::find_working
        SELECT l.id, l.user_id, u.home_organization_id
        FROM one_time_links l
        JOIN users u ON u.id = l.user_id
        JOIN organizations o ON o.id = u.home_organization_id
        WHERE l.token_sha256 = $1 AND l.purpose = $2 AND l.used_at IS NULL AND l.expires_at > $3
            AND u.deleted_at IS NULL AND u.status = 'active' AND u.user_type = 'person'
            AND o.deleted_at IS NULL AND o.status <> 'inactive'
            AND u.email = l.email
            AND (l.purpose <> 'reset_password' OR (
                u.email_verified_at IS NOT NULL AND u.password_hash IS NOT NULL
                AND (u.password_changed_at IS NULL OR u.password_changed_at <= l.created_at)))",
        token_sha256.as_slice(),
        purpose.as_str(),
        now,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| FoundLink {
        link_id: OneTimeLinkId::from_uuid(row.id),
        user_id: UserId::from_uuid(row.user_id),
        organization_id: OrganizationId::from_uuid(row.home_organization_id),
    }))
}

/// Uses a link up. Returns whether nobody had.
pub(crate) async fn use_up(
    connection: &mut PgConnection,
    link_id: OneTimeLinkId,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- one_time_links::use_up
        UPDATE one_time_links SET used_at = $2
        WHERE id = $1 AND used_at IS NULL AND expires_at > $2",
        link_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
