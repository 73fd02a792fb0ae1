//! Rows of `api_keys`.

use chrono::{DateTime, Utc};
use clm_domain::ids::{ApiKeyId, OrganizationId, UserId};
use clm_domain::networks::Networks;
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
    pub(crate) allowed_networks: Option<Networks>,
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
            organization_id AS "organization_id!", scopes, allowed_networks, expires_at,
            user_status AS "user_status!", organization_status AS "organization_status!",
            membership_status, username AS "username!",
            must_change_password AS "must_change_password!",
            role_permissions AS "role_permissions!",
            installation_permissions AS "installation_permissions!", rights_change_at
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
            allowed_networks: stored_networks(row.allowed_networks)?,
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
                rights_change_at: row.rights_change_at,
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

/// Reads stored networks.
fn stored_networks(texts: Option<Vec<String>>) -> sqlx::Result<Option<Networks>> {
    let read = texts.map(|texts| Networks::parse(&texts)).transpose();
    read.map_err(|error| sqlx::Error::Decode(Box::new(error)))
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
            expires_at, created_at, updated_at, allowed_networks, replaces_api_key_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11::text[]::cidr[], $12)",
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
        record.allowed_networks.as_ref().map(Networks::to_texts) as Option<Vec<String>>,
        record.replaces_api_key_id.map(Uuid::from),
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
    allowed_networks: Option<Vec<String>>,
    replaces_api_key_id: Option<Uuid>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    usage_count: i64,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for ApiKeyRecord {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        Ok(Self {
            api_key_id: ApiKeyId::from_uuid(row.id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            user_id: UserId::from_uuid(row.user_id),
            name: row.name,
            last_four: row.last_four,
            scopes: row.scopes.as_ref().map(Permissions::from_stored),
            allowed_networks: stored_networks(row.allowed_networks)?,
            replaces_api_key_id: row.replaces_api_key_id.map(ApiKeyId::from_uuid),
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
            usage_count: row.usage_count,
            created_at: row.created_at,
        })
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
        SELECT id, organization_id, user_id, name, last_four, scopes,
            allowed_networks::text[] AS allowed_networks, replaces_api_key_id, expires_at,
            revoked_at, last_used_at, usage_count, created_at
        FROM api_keys
        WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL",
        organization_id.as_uuid(),
        api_key_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(ApiKeyRecord::try_from).transpose()
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
        SELECT id, organization_id, user_id, name, last_four, scopes,
            allowed_networks::text[] AS allowed_networks, replaces_api_key_id, expires_at,
            revoked_at, last_used_at, usage_count, created_at
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
    rows.into_iter().map(ApiKeyRecord::try_from).collect()
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

/// Moves the end of an API key that was not revoked, unless it ends before that anyway.
pub(crate) async fn end_by(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    api_key_id: ApiKeyId,
    end: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- api_keys::end_by
        UPDATE api_keys SET expires_at = least(expires_at, $3)
        WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL AND revoked_at IS NULL",
        organization_id.as_uuid(),
        api_key_id.as_uuid(),
        end,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How often a key was used since the last time that this was written, and when last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    pub(crate) api_key_id: ApiKeyId,
    pub(crate) count: i64,
    pub(crate) last_used_at: DateTime<Utc>,
}

/// Adds uses of API keys of any organization (System scope).
pub(crate) async fn add_uses(connection: &mut PgConnection, uses: &[Use]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = uses.iter().map(|one| one.api_key_id.as_uuid()).collect();
    let counts: Vec<i64> = uses.iter().map(|one| one.count).collect();
    let times: Vec<DateTime<Utc>> = uses.iter().map(|one| one.last_used_at).collect();
    sqlx::query!(
        "-- api_keys::add_uses
        UPDATE api_keys k
        SET usage_count = k.usage_count + u.count, last_used_at = greatest(k.last_used_at, u.at)
        FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS u (id, count, at)
        WHERE k.id = u.id",
        &ids,
        &counts,
        &times,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether the user is a live service account of the organization, which is its home.
pub(crate) async fn is_service_account(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    user_id: UserId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- api_keys::is_service_account
        SELECT EXISTS (
            SELECT 1 FROM users
            WHERE id = $2 AND home_organization_id = $1 AND user_type = 'service'
                AND deleted_at IS NULL) AS "service!""#,
        organization_id.as_uuid(),
        user_id.as_uuid(),
    )
    .fetch_one(connection)
    .await
}

/// Revokes the API keys of a user in one organization, or in every one (`None`, system scope). Returns how
/// many.
pub(crate) async fn revoke_of_user(
    connection: &mut PgConnection,
    (organization_id, user_id): (Option<OrganizationId>, UserId),
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "-- api_keys::revoke_of_user
        UPDATE api_keys SET revoked_at = $3
        WHERE user_id = $2 AND ($1::uuid IS NULL OR organization_id = $1)
            AND deleted_at IS NULL AND revoked_at IS NULL",
        organization_id.map(Uuid::from),
        user_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
