//! Rows of `sessions`.

use chrono::{DateTime, Utc};
use clm_domain::ids::{OrganizationId, SessionId, UserId};
use clm_domain::states::SessionSecondFactor;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::users::{Holder, permissions_of_roles};
use super::{hash_of_stored, parse_stored};
use crate::authentication::credential::CredentialHash;

/// A session that its token found.
#[derive(Clone, Debug)]
pub(crate) struct FoundSession {
    pub(crate) session_id: SessionId,
    pub(crate) csrf_sha256: CredentialHash,
    pub(crate) last_seen_at: DateTime<Utc>,
    pub(crate) idle_expires_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) second_factor: SessionSecondFactor,
    /// Whether the active organization, or a role, wants a second factor.
    pub(crate) second_factor_required: bool,
    pub(crate) holder: Holder,
}

/// The session with this token, unless it was ended; expired ones too. Needs no scope.
pub(crate) async fn find_by_token(
    pool: &PgPool,
    token_sha256: &CredentialHash,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<FoundSession>> {
    let row = sqlx::query!(
        r#"-- sessions::find_by_token
        SELECT session_id AS "session_id!", user_id AS "user_id!",
            organization_id AS "organization_id!", csrf_sha256 AS "csrf_sha256!",
            last_seen_at AS "last_seen_at!", idle_expires_at AS "idle_expires_at!",
            expires_at AS "expires_at!", user_status AS "user_status!",
            organization_status AS "organization_status!", membership_status,
            username AS "username!", must_change_password AS "must_change_password!",
            role_permissions AS "role_permissions!",
            installation_permissions AS "installation_permissions!", rights_change_at,
            second_factor AS "second_factor!",
            second_factor_required AS "second_factor_required!"
        FROM find_session_by_token($1, $2)"#,
        token_sha256.as_slice(),
        now,
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        Ok(FoundSession {
            session_id: SessionId::from_uuid(row.session_id),
            csrf_sha256: hash_of_stored(row.csrf_sha256)?,
            last_seen_at: row.last_seen_at,
            idle_expires_at: row.idle_expires_at,
            expires_at: row.expires_at,
            second_factor: parse_stored(&row.second_factor)?,
            second_factor_required: row.second_factor_required,
            holder: Holder {
                user_id: UserId::from_uuid(row.user_id),
                username: row.username,
                user_status: parse_stored(&row.user_status)?,
                must_change_password: row.must_change_password,
                organization_id: OrganizationId::from_uuid(row.organization_id),
                organization_status: parse_stored(&row.organization_status)?,
                membership_active: row.membership_status.as_deref() == Some("active"),
                permissions: permissions_of_roles(
                    &row.role_permissions,
                    &row.installation_permissions,
                ),
                rights_change_at: row.rights_change_at,
            },
        })
    })
    .transpose()
}

/// Moves the idle end of a live session forward, unless another request did so after
/// `seen_before`.
pub(crate) async fn update_last_seen(
    connection: &mut PgConnection,
    session_id: SessionId,
    seen_before: DateTime<Utc>,
    (now, idle_expires_at): (DateTime<Utc>, DateTime<Utc>),
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- sessions::update_last_seen
        UPDATE sessions
        SET last_seen_at = $3, idle_expires_at = least($4, expires_at)
        WHERE id = $1 AND ended_at IS NULL AND last_seen_at < $2",
        session_id.as_uuid(),
        seen_before,
        now,
        idle_expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A new session.
#[derive(Clone, Debug)]
pub(crate) struct NewSession {
    pub(crate) session_id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) token_sha256: CredentialHash,
    pub(crate) csrf_sha256: CredentialHash,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) idle_expires_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) ip_address: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) second_factor: SessionSecondFactor,
}

/// Inserts a session.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    session: &NewSession,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- sessions::insert
        INSERT INTO sessions (
            id, user_id, organization_id, token_sha256, csrf_sha256, created_at, last_seen_at,
            idle_expires_at, expires_at, ip_address, user_agent, second_factor)
        VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10, $11)",
        session.session_id.as_uuid(),
        session.user_id.as_uuid(),
        organization_id.as_uuid(),
        session.token_sha256.as_slice(),
        session.csrf_sha256.as_slice(),
        session.created_at,
        session.idle_expires_at,
        session.expires_at,
        session.ip_address,
        session.user_agent,
        session.second_factor.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A live session as lists show it.
#[derive(Clone, Debug)]
pub(crate) struct LiveSession {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) organization_id: Uuid,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) last_seen_at: DateTime<Utc>,
    pub(crate) idle_expires_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) ip_address: Option<String>,
    pub(crate) user_agent: Option<String>,
}

/// A live session of the organization in scope.
pub(crate) async fn find(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    session_id: SessionId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<LiveSession>> {
    sqlx::query_as!(
        LiveSession,
        "-- sessions::find
        SELECT id, user_id, organization_id, created_at, last_seen_at, idle_expires_at, expires_at,
            ip_address, user_agent
        FROM sessions
        WHERE organization_id = $1 AND id = $2 AND ended_at IS NULL AND expires_at > $3
            AND idle_expires_at > $3",
        organization_id.as_uuid(),
        session_id.as_uuid(),
        now,
    )
    .fetch_optional(connection)
    .await
}

/// Which live sessions a list shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listing {
    pub(crate) organization_id: OrganizationId,
    /// Of one user only.
    pub(crate) owner: Option<UserId>,
    pub(crate) after: Option<Uuid>,
    pub(crate) limit: i64,
    pub(crate) now: DateTime<Utc>,
}

/// Live sessions of the organization in scope, newest first.
pub(crate) async fn list(
    connection: &mut PgConnection,
    listing: Listing,
) -> sqlx::Result<Vec<LiveSession>> {
    sqlx::query_as!(
        LiveSession,
        "-- sessions::list
        SELECT id, user_id, organization_id, created_at, last_seen_at, idle_expires_at, expires_at,
            ip_address, user_agent
        FROM sessions
        WHERE organization_id = $1 AND ended_at IS NULL AND id < $2
            AND ($3::uuid IS NULL OR user_id = $3) AND expires_at > $4 AND idle_expires_at > $4
        ORDER BY id DESC
        LIMIT $5",
        listing.organization_id.as_uuid(),
        listing.after.unwrap_or(Uuid::max()),
        listing.owner.map(Uuid::from),
        listing.now,
        listing.limit,
    )
    .fetch_all(connection)
    .await
}

/// Ends a session of the organization in scope. Returns whether it was live.
pub(crate) async fn end(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    session_id: SessionId,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- sessions::end
        UPDATE sessions SET ended_at = $3
        WHERE organization_id = $1 AND id = $2 AND ended_at IS NULL",
        organization_id.as_uuid(),
        session_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the sessions of a user in every organization, but for the newest `spared` and for `except`
/// (system scope). Returns how many. Of those to be spared, the ones that owe their second factor come
/// last: whoever knows a password alone pushes nobody out.
pub(crate) async fn end_of_user(
    connection: &mut PgConnection,
    user_id: UserId,
    now: DateTime<Utc>,
    (spared, except): (i64, Option<SessionId>),
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "-- sessions::end_of_user
        UPDATE sessions SET ended_at = $2
        WHERE id IN (
                SELECT id FROM sessions
                WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2
                ORDER BY second_factor = 'owed', id DESC
                OFFSET $3)
            AND id IS DISTINCT FROM $4",
        user_id.as_uuid(),
        now,
        spared,
        except.map(Uuid::from),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Ends the sessions of everybody in an organization (system scope). Returns how many.
pub(crate) async fn end_of_organization(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "-- sessions::end_of_organization
        UPDATE sessions SET ended_at = $2
        WHERE organization_id = $1 AND ended_at IS NULL AND expires_at > $2",
        organization_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Ends the sessions of a user that are active in an organization. Returns how many.
pub(crate) async fn end_of_member(
    connection: &mut PgConnection,
    (organization_id, user_id): (OrganizationId, UserId),
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "-- sessions::end_of_member
        UPDATE sessions SET ended_at = $3
        WHERE organization_id = $1 AND user_id = $2 AND ended_at IS NULL AND expires_at > $3",
        organization_id.as_uuid(),
        user_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// A session that goes on with new secrets: in another organization, or with a second factor.
#[derive(Clone, Debug)]
pub(crate) struct RenewedSession {
    pub(crate) session_id: SessionId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) token_sha256: CredentialHash,
    pub(crate) csrf_sha256: CredentialHash,
    pub(crate) now: DateTime<Utc>,
    pub(crate) idle_expires_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    /// Whether a code of the second factor came with it.
    pub(crate) passed_second_factor: bool,
}

/// Lets a live session go on with new secrets (system scope). Returns whether it was live.
pub(crate) async fn renew(
    connection: &mut PgConnection,
    renewed: &RenewedSession,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- sessions::renew
        UPDATE sessions
        SET organization_id = $2, token_sha256 = $3, csrf_sha256 = $4, last_seen_at = $5,
            idle_expires_at = $6, expires_at = $7,
            second_factor = CASE WHEN $8 THEN 'passed' ELSE second_factor END
        WHERE id = $1 AND ended_at IS NULL",
        renewed.session_id.as_uuid(),
        renewed.organization_id.as_uuid(),
        renewed.token_sha256.as_slice(),
        renewed.csrf_sha256.as_slice(),
        renewed.now,
        renewed.idle_expires_at,
        renewed.expires_at,
        renewed.passed_second_factor,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives a live session a new token (system scope).
pub(crate) async fn replace_token(
    connection: &mut PgConnection,
    session_id: SessionId,
    token_sha256: &CredentialHash,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- sessions::replace_token
        UPDATE sessions SET token_sha256 = $2 WHERE id = $1 AND ended_at IS NULL",
        session_id.as_uuid(),
        token_sha256.as_slice(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes away that sessions of a user passed a second factor, which is there no more (system scope).
pub(crate) async fn forget_second_factor(
    connection: &mut PgConnection,
    user_id: UserId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- sessions::forget_second_factor
        UPDATE sessions SET second_factor = 'none'
        WHERE user_id = $1 AND ended_at IS NULL AND second_factor = 'passed'",
        user_id.as_uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
