//! Members: rows of `user_organizations` with the user and the roles, through the view
//! `organization_members`.

use chrono::{DateTime, Utc};
use clm_domain::ids::{OrganizationId, RoleId, UserId};
use clm_domain::states::MembershipStatus;
use sqlx::PgConnection;
use uuid::Uuid;

use super::parse_stored;
use crate::members::{HeldRole, MemberRecord};

struct Row {
    user_id: Uuid,
    home_organization_id: Uuid,
    username: String,
    display_name: Option<String>,
    email: Option<String>,
    user_type: String,
    status: String,
    is_primary: bool,
    joined_at: DateTime<Utc>,
    role_ids: Vec<Uuid>,
    role_codes: Vec<String>,
}

fn record(organization_id: OrganizationId, row: Row) -> sqlx::Result<MemberRecord> {
    let roles = row.role_ids.into_iter().zip(row.role_codes);
    Ok(MemberRecord {
        user_id: UserId::from_uuid(row.user_id),
        organization_id,
        is_home: row.home_organization_id == organization_id.as_uuid(),
        username: row.username,
        display_name: row.display_name,
        email: row.email,
        user_type: parse_stored(&row.user_type)?,
        status: parse_stored(&row.status)?,
        is_primary: row.is_primary,
        joined_at: row.joined_at,
        roles: roles
            .map(|(id, role_code)| HeldRole {
                role_id: RoleId::from_uuid(id),
                role_code,
            })
            .collect(),
    })
}

/// Members of the organization in scope, the youngest account first.
pub(crate) async fn list(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    (after, limit): (Option<Uuid>, i64),
) -> sqlx::Result<Vec<MemberRecord>> {
    let rows = sqlx::query_as!(
        Row,
        r#"-- members::list
        SELECT user_id AS "user_id!", home_organization_id AS "home_organization_id!",
            username AS "username!", display_name, email, user_type AS "user_type!",
            status AS "status!", is_primary AS "is_primary!", joined_at AS "joined_at!",
            role_ids AS "role_ids!", role_codes AS "role_codes!"
        FROM organization_members
        WHERE organization_id = $1 AND user_id < $2
        ORDER BY user_id DESC
        LIMIT $3"#,
        organization_id.as_uuid(),
        after.unwrap_or(Uuid::max()),
        limit,
    )
    .fetch_all(connection)
    .await?;
    let rows = rows.into_iter();
    rows.map(|row| record(organization_id, row)).collect()
}

/// One member of the organization in scope.
pub(crate) async fn find(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    user_id: UserId,
) -> sqlx::Result<Option<MemberRecord>> {
    let row = sqlx::query_as!(
        Row,
        r#"-- members::find
        SELECT user_id AS "user_id!", home_organization_id AS "home_organization_id!",
            username AS "username!", display_name, email, user_type AS "user_type!",
            status AS "status!", is_primary AS "is_primary!", joined_at AS "joined_at!",
            role_ids AS "role_ids!", role_codes AS "role_codes!"
        FROM organization_members
        WHERE organization_id = $1 AND user_id = $2"#,
        organization_id.as_uuid(),
        user_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| record(organization_id, row)).transpose()
}

/// A membership as it is now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    pub(crate) status: MembershipStatus,
    /// Whether the organization is the user's home.
    pub(crate) is_home: bool,
}

/// A membership that nobody else changes until the end of the transaction (system scope).
pub(crate) async fn lock(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    user_id: UserId,
) -> sqlx::Result<Option<Membership>> {
    let row = sqlx::query!(
        r#"-- members::lock
        SELECT uo.status, u.home_organization_id = uo.organization_id AS "is_home!"
        FROM user_organizations uo
        JOIN users u ON u.id = uo.user_id AND u.deleted_at IS NULL
        WHERE uo.organization_id = $1 AND uo.user_id = $2 AND uo.deleted_at IS NULL
        FOR NO KEY UPDATE OF uo"#,
        organization_id.as_uuid(),
        user_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Membership {
            status: parse_stored(&row.status)?,
            is_home: row.is_home,
        })
    })
    .transpose()
}

/// Whether a user can act in an organization as far as user and membership go; keeps the membership
/// from ending until the end of the transaction (system scope).
pub(crate) async fn lock_active(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    user_id: UserId,
) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "-- members::lock_active
        SELECT uo.id
        FROM user_organizations uo
        JOIN users u ON u.id = uo.user_id
        WHERE uo.organization_id = $1 AND uo.user_id = $2
            AND uo.status = 'active' AND uo.deleted_at IS NULL
            AND u.status = 'active' AND u.deleted_at IS NULL
        FOR SHARE OF uo",
        organization_id.as_uuid(),
        user_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

/// A live user by the name and the slug of the home organization (system scope).
pub(crate) async fn find_user_by_name(
    connection: &mut PgConnection,
    username_normalized: &str,
    slug: &str,
) -> sqlx::Result<Option<UserId>> {
    let found = sqlx::query_scalar!(
        "-- members::find_user_by_name
        SELECT u.id
        FROM users u
        JOIN organizations o ON o.id = u.home_organization_id AND o.deleted_at IS NULL
        WHERE u.username_normalized = $1 AND o.slug = $2 AND u.deleted_at IS NULL",
        username_normalized,
        slug,
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(UserId::from_uuid))
}

/// A live user by id (system scope).
pub(crate) async fn find_user(
    connection: &mut PgConnection,
    user_id: UserId,
) -> sqlx::Result<Option<UserId>> {
    let found = sqlx::query_scalar!(
        "-- members::find_user
        SELECT id FROM users WHERE id = $1 AND deleted_at IS NULL",
        user_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(UserId::from_uuid))
}

/// Makes a user an active member (system scope). Returns whether the user was none.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    membership_id: Uuid,
    (organization_id, user_id): (OrganizationId, UserId),
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- members::insert
        INSERT INTO user_organizations AS uo (
            id, organization_id, user_id, joined_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $4, $4)
        ON CONFLICT (organization_id, user_id) DO UPDATE
        SET status = 'active', is_primary = false, joined_at = excluded.joined_at,
            deleted_at = NULL
        WHERE uo.deleted_at IS NOT NULL",
        membership_id,
        organization_id.as_uuid(),
        user_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes the status of a membership that is locked.
pub(crate) async fn update_status(
    connection: &mut PgConnection,
    (organization_id, user_id): (OrganizationId, UserId),
    status: MembershipStatus,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- members::update_status
        UPDATE user_organizations SET status = $3 WHERE organization_id = $1 AND user_id = $2",
        organization_id.as_uuid(),
        user_id.as_uuid(),
        status.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends the membership of a user in one organization, or in every one (`None`, system scope). Returns how
/// many.
pub(crate) async fn end(
    connection: &mut PgConnection,
    (organization_id, user_id): (Option<OrganizationId>, UserId),
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "-- members::end
        UPDATE user_organizations SET deleted_at = $3, is_primary = false
        WHERE user_id = $2 AND ($1::uuid IS NULL OR organization_id = $1) AND deleted_at IS NULL",
        organization_id.map(Uuid::from),
        user_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Makes the organization the one in which the user's sign-ins begin (system scope). Returns whether
/// the user is an active member of it.
pub(crate) async fn set_primary(
    connection: &mut PgConnection,
    (organization_id, user_id): (OrganizationId, UserId),
) -> sqlx::Result<bool> {
    sqlx::query!(
        "-- members::clear_primary
        UPDATE user_organizations SET is_primary = false
        WHERE user_id = $2 AND is_primary AND organization_id <> $1",
        organization_id.as_uuid(),
        user_id.as_uuid(),
    )
    .execute(&mut *connection)
    .await?;
    let done = sqlx::query!(
        "-- members::set_primary
        UPDATE user_organizations SET is_primary = true
        WHERE organization_id = $1 AND user_id = $2 AND status = 'active' AND deleted_at IS NULL",
        organization_id.as_uuid(),
        user_id.as_uuid(),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How many live certificates of the organization the user answers for.
pub(crate) async fn count_owned(
    connection: &mut PgConnection,
    (organization_id, user_id): (OrganizationId, UserId),
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- members::count_owned
        SELECT count(*) AS "count!" FROM certificate_metadata
        WHERE organization_id = $1 AND owner_user_id = $2 AND deleted_at IS NULL"#,
        organization_id.as_uuid(),
        user_id.as_uuid(),
    )
    .fetch_one(connection)
    .await
}

/// Makes another user answer for the certificates of the organization that one answers for. Returns how
/// many.
pub(crate) async fn hand_over(
    connection: &mut PgConnection,
    (organization_id, user_id): (OrganizationId, UserId),
    successor: UserId,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "-- members::hand_over
        UPDATE certificate_metadata
        SET owner_user_id = $3, metadata_version = metadata_version + 1
        WHERE organization_id = $1 AND owner_user_id = $2 AND deleted_at IS NULL",
        organization_id.as_uuid(),
        user_id.as_uuid(),
        successor.as_uuid(),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
