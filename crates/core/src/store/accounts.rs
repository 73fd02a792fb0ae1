//! Rows of `users` as those see them who govern them: in the scope of their home organization, or in
//! the System scope.

use chrono::{DateTime, Utc};
use clm_domain::ids::{OrganizationId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::parse_stored;
use crate::users::{UserFilter, UserRecord};

struct Row {
    id: Uuid,
    home_organization_id: Uuid,
    username: String,
    email: Option<String>,
    email_verified_at: Option<DateTime<Utc>>,
    display_name: Option<String>,
    user_type: String,
    status: String,
    must_change_password: bool,
    locked_until: Option<DateTime<Utc>>,
    password_changed_at: Option<DateTime<Utc>>,
    last_sign_in_at: Option<DateTime<Utc>>,
    revision: i64,
    created_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
}

fn record(row: Row) -> sqlx::Result<UserRecord> {
    Ok(UserRecord {
        user_id: UserId::from_uuid(row.id),
        home_organization_id: OrganizationId::from_uuid(row.home_organization_id),
        username: row.username,
        email: row.email,
        email_verified_at: row.email_verified_at,
        display_name: row.display_name,
        user_type: parse_stored(&row.user_type)?,
        status: parse_stored(&row.status)?,
        must_change_password: row.must_change_password,
        locked_until: row.locked_until,
        password_changed_at: row.password_changed_at,
        last_sign_in_at: row.last_sign_in_at,
        revision: row.revision,
        created_at: row.created_at,
        deleted_at: row.deleted_at,
    })
}

/// A user in scope, deleted ones too.
pub(crate) async fn find(
    connection: &mut PgConnection,
    user_id: UserId,
) -> sqlx::Result<Option<UserRecord>> {
    let row = sqlx::query_as!(
        Row,
        "-- accounts::find
        SELECT id, home_organization_id, username, email, email_verified_at, display_name,
            user_type, status, must_change_password, locked_until, password_changed_at, last_sign_in_at, revision,
            created_at, deleted_at
        FROM users
        WHERE id = $1",
        user_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(record).transpose()
}

/// The same, and nobody else changes the row until the end of the transaction.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    user_id: UserId,
) -> sqlx::Result<Option<UserRecord>> {
    let row = sqlx::query_as!(
        Row,
        "-- accounts::lock
        SELECT id, home_organization_id, username, email, email_verified_at, display_name,
            user_type, status, must_change_password, locked_until, password_changed_at, last_sign_in_at, revision,
            created_at, deleted_at
        FROM users
        WHERE id = $1
        FOR NO KEY UPDATE",
        user_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(record).transpose()
}

/// Live users of a home organization in scope, newest first.
pub(crate) async fn list(
    connection: &mut PgConnection,
    home_organization_id: OrganizationId,
    filter: &UserFilter,
    (after, limit): (Option<Uuid>, i64),
) -> sqlx::Result<Vec<UserRecord>> {
    let rows = sqlx::query_as!(
        Row,
        "-- accounts::list
        SELECT id, home_organization_id, username, email, email_verified_at, display_name,
            user_type, status, must_change_password, locked_until, password_changed_at, last_sign_in_at, revision,
            created_at, deleted_at
        FROM users
        WHERE home_organization_id = $1 AND deleted_at IS NULL AND id < $2
            AND ($3::text IS NULL OR status = $3)
            AND ($4::text IS NULL OR username_normalized = $4)
        ORDER BY id DESC
        LIMIT $5",
        home_organization_id.as_uuid(),
        after.unwrap_or(Uuid::max()),
        filter.status.map(|status| status.as_str()),
        filter.username_normalized,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(record).collect()
}

/// How many users a live organization may have, where that is limited; nobody else makes users of it
/// until the end of the transaction. `None` for an organization that does not exist.
pub(crate) async fn lock_quota(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
) -> sqlx::Result<Option<Option<i32>>> {
    sqlx::query_scalar!(
        "-- accounts::lock_quota
        SELECT max_users FROM organizations WHERE id = $1 AND deleted_at IS NULL
        FOR NO KEY UPDATE",
        organization_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await
}

/// How many live users a home organization has, counted up to `most`.
pub(crate) async fn count_up_to(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    most: i32,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- accounts::count_up_to
        SELECT count(*) AS "count!"
        FROM (
            SELECT id FROM users
            WHERE home_organization_id = $1 AND deleted_at IS NULL
            LIMIT $2) AS live"#,
        organization_id.as_uuid(),
        i64::from(most),
    )
    .fetch_one(connection)
    .await
}

/// Writes names and addresses of a user whose row is locked, with its revision.
pub(crate) async fn update(
    connection: &mut PgConnection,
    user: &UserRecord,
    (username_normalized, email_normalized): (&str, Option<&str>),
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- accounts::update
        UPDATE users
        SET username = $2, username_normalized = $3, email = $4, email_normalized = $5,
            display_name = $6, revision = $7
        WHERE id = $1",
        user.user_id.as_uuid(),
        user.username,
        username_normalized,
        user.email,
        email_normalized,
        user.display_name,
        user.revision,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the status of a user whose row is locked, with its revision.
pub(crate) async fn update_status(
    connection: &mut PgConnection,
    user: &UserRecord,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- accounts::update_status
        UPDATE users SET status = $2, revision = $3 WHERE id = $1",
        user.user_id.as_uuid(),
        user.status.as_str(),
        user.revision,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes that a user whose row is locked was deleted or brought back, with its revision.
pub(crate) async fn update_deleted(
    connection: &mut PgConnection,
    user: &UserRecord,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- accounts::update_deleted
        UPDATE users SET deleted_at = $2, revision = $3 WHERE id = $1",
        user.user_id.as_uuid(),
        user.deleted_at,
        user.revision,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores a first password that somebody else chose for a user whose row is locked, with the revision.
pub(crate) async fn update_first_password(
    connection: &mut PgConnection,
    user: &UserRecord,
    password_hash: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- accounts::update_first_password
        UPDATE users
        SET password_hash = $2, password_changed_at = $3, must_change_password = true,
            failed_sign_in_count = 0, locked_until = NULL, revision = $4
        WHERE id = $1",
        user.user_id.as_uuid(),
        password_hash,
        user.password_changed_at,
        user.revision,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes a user a member of the home organization again, which is the primary one (system scope).
pub(crate) async fn restore_membership(
    connection: &mut PgConnection,
    user: &UserRecord,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- accounts::restore_membership
        UPDATE user_organizations
        SET deleted_at = NULL, status = 'active', is_primary = true, joined_at = $3
        WHERE user_id = $1 AND organization_id = $2",
        user.user_id.as_uuid(),
        user.home_organization_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
