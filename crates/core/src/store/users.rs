//! Rows of `users`, with their membership (`user_organizations`) and roles (`user_roles`).

use chrono::{DateTime, Utc};
use clm_domain::ids::{OrganizationId, RoleId, UserId};
use clm_domain::permission::Permissions;
use clm_domain::states::{OrganizationStatus, UserStatus, UserType};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::parse_stored;
use crate::users::KnownUser;

/// Whoever finds this lock taken waits until the first administrator has been made, or not.
const FIRST_ADMINISTRATOR_LOCK: i64 = 0x636c_6d5f_6164_6d69;

/// Who stands behind a session or API key, as of the moment of the look-up.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) user_id: UserId,
    pub(crate) username: String,
    pub(crate) user_status: UserStatus,
    pub(crate) must_change_password: bool,
    /// Where the credential acts.
    pub(crate) organization_id: OrganizationId,
    pub(crate) organization_status: OrganizationStatus,
    /// Whether the user may act there.
    pub(crate) membership_active: bool,
    /// What the roles allow there, and what those in the system organization allow on the installation.
    pub(crate) permissions: Permissions,
    /// When an assignment begins or ends next: until then the permissions hold, unless somebody changes
    /// them.
    pub(crate) rights_change_at: Option<DateTime<Utc>>,
}

/// What the roles of a user allow together, from the arrays that the look-up functions return: of the
/// roles where the credential acts, and of those in the system organization.
pub(super) fn permissions_of_roles(
    own: &serde_json::Value,
    installation: &serde_json::Value,
) -> Permissions {
    let installation = Permissions::from_stored_roles(installation);
    Permissions::from_stored_roles(own).with_installation(&installation)
}

/// Whom a name at sign-in means.
#[derive(Clone, Debug)]
pub(crate) struct SignInCandidate {
    pub(crate) user_id: UserId,
    pub(crate) home_organization_id: OrganizationId,
    pub(crate) home_organization_status: OrganizationStatus,
    pub(crate) password_hash: Option<String>,
}

/// The user with this name in the home organization with this slug; without a slug, the one of the
/// oldest organization that has this name. Needs no scope.
pub(crate) async fn find_for_sign_in(
    pool: &PgPool,
    username_normalized: &str,
    organization_slug: Option<&str>,
) -> sqlx::Result<Option<SignInCandidate>> {
    let row = sqlx::query!(
        r#"-- users::find_for_sign_in
        SELECT user_id AS "user_id!", home_organization_id AS "home_organization_id!",
            password_hash, organization_status AS "organization_status!"
        FROM find_user_for_sign_in($1, $2)"#,
        username_normalized,
        organization_slug,
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        Ok(SignInCandidate {
            user_id: UserId::from_uuid(row.user_id),
            home_organization_id: OrganizationId::from_uuid(row.home_organization_id),
            home_organization_status: parse_stored(&row.organization_status)?,
            password_hash: row.password_hash,
        })
    })
    .transpose()
}

/// What a user proves to be with a password, and how often that failed.
#[derive(Clone, Debug)]
pub(crate) struct PasswordState {
    pub(crate) username: String,
    pub(crate) email: Option<String>,
    pub(crate) home_organization_id: OrganizationId,
    pub(crate) user_status: UserStatus,
    pub(crate) password_hash: Option<String>,
    /// When the password was set, or the user was made.
    pub(crate) password_set_at: DateTime<Utc>,
    pub(crate) failed_sign_in_count: i32,
    pub(crate) locked_until: Option<DateTime<Utc>>,
}

/// The name and the home organization of a live user (system scope: the home may be another one).
pub(crate) async fn find_home(
    connection: &mut PgConnection,
    user_id: UserId,
) -> sqlx::Result<Option<(String, OrganizationId)>> {
    let row = sqlx::query!(
        "-- users::find_home
        SELECT username, home_organization_id FROM users WHERE id = $1 AND deleted_at IS NULL",
        user_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        let home = OrganizationId::from_uuid(row.home_organization_id);
        (row.username, home)
    }))
}

/// Reads the password state of a live user and keeps others from changing it until the end of the
/// transaction (system scope: the home organization may be another).
pub(crate) async fn lock_password_state(
    connection: &mut PgConnection,
    user_id: UserId,
) -> sqlx::Result<Option<PasswordState>> {
    let row = sqlx::query!(
        r#"-- users::lock_password_state
        SELECT username, email, home_organization_id, status, password_hash,
            coalesce(password_changed_at, created_at) AS "password_set_at!", failed_sign_in_count,
            locked_until
        FROM users
        WHERE id = $1 AND deleted_at IS NULL
        FOR NO KEY UPDATE"#,
        user_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(PasswordState {
            username: row.username,
            email: row.email,
            home_organization_id: OrganizationId::from_uuid(row.home_organization_id),
            user_status: parse_stored(&row.status)?,
            password_hash: row.password_hash,
            password_set_at: row.password_set_at,
            failed_sign_in_count: row.failed_sign_in_count,
            locked_until: row.locked_until,
        })
    })
    .transpose()
}

/// Counts a wrong password of a user whose state is locked.
pub(crate) async fn update_failed_sign_in(
    connection: &mut PgConnection,
    user_id: UserId,
    failed_sign_in_count: i32,
    locked_until: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- users::update_failed_sign_in
        UPDATE users SET failed_sign_in_count = $2, locked_until = $3 WHERE id = $1",
        user_id.as_uuid(),
        failed_sign_in_count,
        locked_until,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes a successful sign-in of a user whose state is locked; wrong passwords are forgotten where
/// `forgets_failures` says so.
pub(crate) async fn update_sign_in(
    connection: &mut PgConnection,
    user_id: UserId,
    now: DateTime<Utc>,
    forgets_failures: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- users::update_sign_in
        UPDATE users
        SET failed_sign_in_count = CASE WHEN $3 THEN 0 ELSE failed_sign_in_count END,
            locked_until = CASE WHEN $3 THEN NULL ELSE locked_until END, last_sign_in_at = $2
        WHERE id = $1",
        user_id.as_uuid(),
        now,
        forgets_failures,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Demands a new password of a user whose state is locked.
pub(crate) async fn update_must_change_password(
    connection: &mut PgConnection,
    user_id: UserId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- users::update_must_change_password
        UPDATE users SET must_change_password = true WHERE id = $1",
        user_id.as_uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Replaces the hash of a password by another of the same password, unless the password was
/// changed meanwhile.
pub(crate) async fn replace_password_hash(
    connection: &mut PgConnection,
    user_id: UserId,
    old: &str,
    new: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- users::replace_password_hash
        UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2",
        user_id.as_uuid(),
        old,
        new,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores a new password of a user whose state is locked.
pub(crate) async fn update_password(
    connection: &mut PgConnection,
    user_id: UserId,
    now: DateTime<Utc>,
    password_hash: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- users::update_password
        UPDATE users
        SET password_hash = $3, password_changed_at = $2, must_change_password = false,
            failed_sign_in_count = 0, locked_until = NULL, revision = revision + 1
        WHERE id = $1",
        user_id.as_uuid(),
        now,
        password_hash,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The organization that a sign-in of the user begins in: the primary one, else the home, else any
/// in which the user may act (system scope).
pub(crate) async fn find_sign_in_organization(
    connection: &mut PgConnection,
    user_id: UserId,
    home_organization_id: OrganizationId,
) -> sqlx::Result<Option<OrganizationId>> {
    let found = sqlx::query_scalar!(
        "-- users::find_sign_in_organization
        SELECT uo.organization_id
        FROM user_organizations uo
        JOIN organizations o ON o.id = uo.organization_id
        WHERE uo.user_id = $1 AND uo.status = 'active' AND uo.deleted_at IS NULL
            AND o.status <> 'inactive' AND o.deleted_at IS NULL
        ORDER BY uo.is_primary DESC, uo.organization_id = $2 DESC, uo.organization_id
        LIMIT 1",
        user_id.as_uuid(),
        home_organization_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(OrganizationId::from_uuid))
}

/// Waits for its turn to make the first administrator; the turn ends with the transaction.
pub(crate) async fn lock_first_administrator(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "-- users::lock_first_administrator
        SELECT pg_advisory_xact_lock($1)",
        FIRST_ADMINISTRATOR_LOCK,
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// Whether any live user of any organization holds the role, or will (system scope). Assignments
/// that have not begun count: the clock of whoever made one may run ahead.
pub(crate) async fn role_is_held(
    connection: &mut PgConnection,
    role_id: RoleId,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- users::role_is_held
        SELECT EXISTS (
            SELECT 1
            FROM user_roles ur
            JOIN users u ON u.id = ur.user_id AND u.deleted_at IS NULL
            WHERE ur.role_id = $1 AND ur.deleted_at IS NULL
                AND (ur.valid_until IS NULL OR ur.valid_until > $2)
        ) AS "held!""#,
        role_id.as_uuid(),
        now,
    )
    .fetch_one(connection)
    .await
}

/// A new person or service.
#[derive(Clone, Debug)]
pub(crate) struct NewPerson {
    pub(crate) user_id: UserId,
    pub(crate) home_organization_id: OrganizationId,
    pub(crate) username: String,
    pub(crate) username_normalized: String,
    pub(crate) email: Option<String>,
    pub(crate) email_normalized: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) user_type: UserType,
    /// Services have none.
    pub(crate) password_hash: Option<String>,
    /// Whether somebody else chose the password.
    pub(crate) must_change_password: bool,
    pub(crate) created_at: DateTime<Utc>,
}

/// Inserts a person or service with the membership in the home organization, which is the primary one.
pub(crate) async fn insert_person(
    connection: &mut PgConnection,
    person: &NewPerson,
    membership_id: Uuid,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- users::insert_person
        WITH person AS (
            INSERT INTO users (
                id, home_organization_id, username, username_normalized, email, email_normalized,
                password_hash, password_changed_at, created_at, updated_at, display_name,
                user_type, must_change_password)
            VALUES ($1, $2, $3, $4, $5, $6, $7,
                CASE WHEN $7::text IS NOT NULL THEN $8::timestamptz END, $8, $8, $10, $11, $12)
            RETURNING id, home_organization_id, created_at)
        INSERT INTO user_organizations (
            id, organization_id, user_id, is_primary, joined_at, created_at, updated_at)
        SELECT $9, home_organization_id, id, true, created_at, created_at, created_at
        FROM person",
        person.user_id.as_uuid(),
        person.home_organization_id.as_uuid(),
        person.username,
        person.username_normalized,
        person.email,
        person.email_normalized,
        person.password_hash,
        person.created_at,
        membership_id,
        person.display_name,
        person.user_type.as_str(),
        person.must_change_password,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What the bootstrap asks about a user.
pub(crate) async fn find_known(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    username_normalized: &str,
) -> sqlx::Result<Option<KnownUser>> {
    let row = sqlx::query!(
        r#"-- users::find_known
        SELECT id, coalesce(password_changed_at > created_at, false) AS "password_changed!"
        FROM users
        WHERE home_organization_id = $1 AND username_normalized = $2 AND deleted_at IS NULL"#,
        organization_id.as_uuid(),
        username_normalized,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| KnownUser {
        user_id: UserId::from_uuid(row.id),
        password_changed: row.password_changed,
    }))
}
