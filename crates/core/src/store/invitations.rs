//! Rows of `invitations`.

use chrono::{DateTime, Utc};
use clm_domain::ids::{InvitationId, OrganizationId, RoleId, UserId};
use clm_domain::permission::Permissions;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::authentication::credential::CredentialHash;
use crate::invitations::InvitationRecord;

/// An invitation that its token found.
#[derive(Clone, Debug)]
pub(crate) struct FoundInvitation {
    pub(crate) invitation_id: InvitationId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) organization_slug: String,
    pub(crate) organization_name: String,
    pub(crate) role_id: Option<RoleId>,
    /// What the role gives, with what it inherits.
    pub(crate) role_permissions: Permissions,
    pub(crate) invited_by_user_id: Option<UserId>,
    /// What the inviter may do in the organization now; absent when no user invited.
    pub(crate) inviter_permissions: Option<Permissions>,
}

/// The invitation with this token, if it can be accepted now. Needs no scope.
pub(crate) async fn find_by_token(
    pool: &PgPool,
    token_sha256: &CredentialHash,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<FoundInvitation>> {
    let row = sqlx::query!(
        r#"-- invitations::find_by_token
        SELECT invitation_id AS "invitation_id!", organization_id AS "organization_id!",
            organization_slug AS "organization_slug!", organization_name AS "organization_name!",
            role_id, role_permissions AS "role_permissions!", invited_by_user_id,
            inviter_permissions AS "inviter_permissions!"
        FROM find_invitation_by_token($1, $2)"#,
        token_sha256.as_slice(),
        now,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| FoundInvitation {
        invitation_id: InvitationId::from_uuid(row.invitation_id),
        organization_id: OrganizationId::from_uuid(row.organization_id),
        organization_slug: row.organization_slug,
        organization_name: row.organization_name,
        role_id: row.role_id.map(RoleId::from_uuid),
        role_permissions: Permissions::from_stored_roles(&row.role_permissions),
        invited_by_user_id: row.invited_by_user_id.map(UserId::from_uuid),
        inviter_permissions: row
            .invited_by_user_id
            .map(|_| Permissions::from_stored_roles(&row.inviter_permissions)),
    }))
}

/// Waits for its turn to invite into the organization; the turn ends with the transaction.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- invitations::lock
        SELECT pg_advisory_xact_lock(hashtextextended('clm invitations ' || $1::uuid::text, 0))",
        organization_id.as_uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// How many invitations of the organization in scope can still be accepted.
pub(crate) async fn count_open(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    now: DateTime<Utc>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- invitations::count_open
        SELECT count(*) AS "count!" FROM invitations
        WHERE organization_id = $1 AND accepted_at IS NULL AND revoked_at IS NULL
            AND expires_at > $2"#,
        organization_id.as_uuid(),
        now,
    )
    .fetch_one(connection)
    .await
}

/// Inserts an invitation of the organization in scope; without a token where a mail will bring one.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    invitation: &InvitationRecord,
    (email_normalized, token_sha256): (&str, Option<&CredentialHash>),
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- invitations::insert
        INSERT INTO invitations (
            id, organization_id, email, email_normalized, role_id, token_sha256,
            invited_by_user_id, expires_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        invitation.invitation_id.as_uuid(),
        invitation.organization_id.as_uuid(),
        invitation.email,
        email_normalized,
        invitation.role_id.map(Uuid::from),
        token_sha256.map(CredentialHash::as_slice),
        invitation.invited_by_user_id.map(Uuid::from),
        invitation.expires_at,
        invitation.created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives an invitation that can still be accepted another token (system scope). Returns whether it can.
pub(crate) async fn replace_token(
    connection: &mut PgConnection,
    (organization_id, invitation_id): (OrganizationId, InvitationId),
    (token_sha256, now): (&CredentialHash, DateTime<Utc>),
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- invitations::replace_token
        UPDATE invitations SET token_sha256 = $3
        WHERE organization_id = $1 AND id = $2 AND accepted_at IS NULL AND revoked_at IS NULL
            AND expires_at > $4",
        organization_id.as_uuid(),
        invitation_id.as_uuid(),
        token_sha256.as_slice(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

struct Row {
    id: Uuid,
    organization_id: Uuid,
    email: String,
    role_id: Option<Uuid>,
    invited_by_user_id: Option<Uuid>,
    expires_at: DateTime<Utc>,
    accepted_at: Option<DateTime<Utc>>,
    accepted_by_user_id: Option<Uuid>,
    revoked_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl From<Row> for InvitationRecord {
    fn from(row: Row) -> Self {
        Self {
            invitation_id: InvitationId::from_uuid(row.id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            email: row.email,
            role_id: row.role_id.map(RoleId::from_uuid),
            invited_by_user_id: row.invited_by_user_id.map(UserId::from_uuid),
            expires_at: row.expires_at,
            accepted_at: row.accepted_at,
            accepted_by_user_id: row.accepted_by_user_id.map(UserId::from_uuid),
            revoked_at: row.revoked_at,
            created_at: row.created_at,
        }
    }
}

/// One invitation of the organization in scope.
pub(crate) async fn find(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    invitation_id: InvitationId,
) -> sqlx::Result<Option<InvitationRecord>> {
    let row = sqlx::query_as!(
        Row,
        "-- invitations::find
        SELECT id, organization_id, email, role_id, invited_by_user_id, expires_at, accepted_at,
            accepted_by_user_id, revoked_at, created_at
        FROM invitations
        WHERE organization_id = $1 AND id = $2",
        organization_id.as_uuid(),
        invitation_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(InvitationRecord::from))
}

/// Invitations of the organization in scope, newest first.
pub(crate) async fn list(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    (after, limit): (Option<Uuid>, i64),
) -> sqlx::Result<Vec<InvitationRecord>> {
    let rows = sqlx::query_as!(
        Row,
        "-- invitations::list
        SELECT id, organization_id, email, role_id, invited_by_user_id, expires_at, accepted_at,
            accepted_by_user_id, revoked_at, created_at
        FROM invitations
        WHERE organization_id = $1 AND id < $2
        ORDER BY id DESC
        LIMIT $3",
        organization_id.as_uuid(),
        after.unwrap_or(Uuid::max()),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(InvitationRecord::from).collect())
}

/// Takes back an invitation of the organization in scope that nobody accepted. Returns whether it had
/// not been taken back before.
pub(crate) async fn revoke(
    connection: &mut PgConnection,
    (organization_id, invitation_id): (OrganizationId, InvitationId),
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- invitations::revoke
        UPDATE invitations SET revoked_at = $3
        WHERE organization_id = $1 AND id = $2 AND accepted_at IS NULL AND revoked_at IS NULL",
        organization_id.as_uuid(),
        invitation_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Marks an invitation as accepted (system scope). Returns whether it still could be.
pub(crate) async fn accept(
    connection: &mut PgConnection,
    invitation_id: InvitationId,
    (user_id, now): (UserId, DateTime<Utc>),
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- invitations::accept
        UPDATE invitations SET accepted_at = $3, accepted_by_user_id = $2
        WHERE id = $1 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $3",
        invitation_id.as_uuid(),
        user_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
