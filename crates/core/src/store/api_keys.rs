//! Rows of `api_keys`.

use chrono::{DateTime, Utc};
use clm_domain::ids::{ApiKeyId, OrganizationId, UserId};
use clm_domain::permission::Permissions;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::parse_stored;
use super::users::{Holder, permissions_of_roles};
use crate::api_keys::ApiKeyRecord;
use crate::authentication::credential::CredentialHash;

/// An API key that was found by its hash.
#[derive(Clone, Debug)]
pub(crate) struct FoundApiKey {
    pub(crate) api_key_id: ApiKeyId,
    pub(crate) scopes: Option<Permissions>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) holder: Holder,
}

/// The API key with this hash, unless it was revoked; expired ones too. Needs no scope.
pub(crate) async fn find_by_hash(
    pool: &PgPool,
    key_sha256: &CredentialHash,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<FoundApiKey>> {
    let row = sqlx::query!(
        r#"-- api_keys::find_by_hash
        SELECT api_key_id AS "api_key_id!", user_id AS "user_id!",
            organization_id AS "organization_id!", scopes, expires_at,
            user_status AS "user_status!", organization_status AS "organization_status!",
            membership_status, username AS "username!",
            must_change_password AS "must_change_password!",
            role_permissions AS "role_permissions!",
            installation_permissions AS "installation_permissions!"
        FROM find_api_key_by_hash($1, $2)"#,
        key_sha256.as_slice(),
        now,
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        Ok(FoundApiKey {
            api_key_id: ApiKeyId::from_uuid(row.api_key_id),
            scopes: row.scopes.as_ref().map(Permissions::from_stored),
            expires_at: row.expires_at,
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
            },
        })
    })
    .transpose()
}

/// What is stored of a new API key beside its description.
#[derive(Clone, Debug)]
pub(crate) struct KeyFingerprint {
    pub(crate) key_prefix: String,
    pub(crate) key_sha256: CredentialHash,
}

/// Inserts an API key of the organization in scope.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    record: &ApiKeyRecord,
    fingerprint: &KeyFingerprint,
    scopes: Option<&Value>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- api_keys::insert
        INSERT INTO api_keys (
            id, organization_id, user_id, name, key_prefix, key_sha256, last_four, scopes,
            expires_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
        record.api_key_id.as_uuid(),
        record.organization_id.as_uuid(),
        record.user_id.as_uuid(),
        record.name,
        fingerprint.key_prefix,
        fingerprint.key_sha256.as_slice(),
        record.last_four,
        scopes,
        record.expires_at,
        record.created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

struct Row {
    id: Uuid,
    organization_id: Uuid,
    user_id: Uuid,
    name: String,
    last_four: String,
    scopes: Option<Value>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl From<Row> for ApiKeyRecord {
    fn from(row: Row) -> Self {
        Self {
            api_key_id: ApiKeyId::from_uuid(row.id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            user_id: UserId::from_uuid(row.user_id),
            name: row.name,
            last_four: row.last_four,
            scopes: row.scopes.as_ref().map(Permissions::from_stored),
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            created_at: row.created_at,
        }
    }
}

/// One API key of the organization in scope.
pub(crate) async fn find(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    api_key_id: ApiKeyId,
) -> sqlx::Result<Option<ApiKeyRecord>> {
    let row = sqlx::query_as!(
        Row,
        "-- api_keys::find
        SELECT id, organization_id, user_id, name, last_four, scopes, expires_at, revoked_at,
            created_at
        FROM api_keys
        WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL",
        organization_id.as_uuid(),
        api_key_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(ApiKeyRecord::from))
}

/// API keys of the organization in scope, newest first; of one user only where `owner` says so.
pub(crate) async fn list(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    owner: Option<UserId>,
    (after, limit): (Option<Uuid>, i64),
) -> sqlx::Result<Vec<ApiKeyRecord>> {
    let rows = sqlx::query_as!(
        Row,
        "-- api_keys::list
        SELECT id, organization_id, user_id, name, last_four, scopes, expires_at, revoked_at,
            created_at
        FROM api_keys
        WHERE organization_id = $1 AND deleted_at IS NULL AND id < $2
            AND ($3::uuid IS NULL OR user_id = $3)
        ORDER BY id DESC
        LIMIT $4",
        organization_id.as_uuid(),
        after.unwrap_or(Uuid::max()),
        owner.map(Uuid::from),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(ApiKeyRecord::from).collect())
}

/// Revokes an API key of the organization in scope. Returns whether it had not been before.
pub(crate) async fn revoke(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    api_key_id: ApiKeyId,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- api_keys::revoke
        UPDATE api_keys SET revoked_at = $3
        WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL AND revoked_at IS NULL",
        organization_id.as_uuid(),
        api_key_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Revokes the API keys of a user in an organization. Returns how many.
pub(crate) async fn revoke_of_member(
    connection: &mut PgConnection,
    (organization_id, user_id): (OrganizationId, UserId),
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "-- api_keys::revoke_of_member
        UPDATE api_keys SET revoked_at = $3
        WHERE organization_id = $1 AND user_id = $2 AND deleted_at IS NULL AND revoked_at IS NULL",
        organization_id.as_uuid(),
        user_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
