//! Rows of `idempotency_keys`: which answers are under way, and those that were given.

use chrono::{DateTime, Utc};
use clm_domain::ids::OrganizationId;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

/// What a key is unique within, with the hash of the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyScope {
    pub(crate) organization_id: OrganizationId,
    pub(crate) principal: String,
    pub(crate) route: String,
    pub(crate) key: String,
}

/// A claim on a key, for one attempt.
#[derive(Clone, Debug)]
pub(crate) struct Reservation {
    /// Of this attempt: whoever takes over puts another in its place.
    pub(crate) id: Uuid,
    pub(crate) scope: KeyScope,
    pub(crate) request_sha256: [u8; 32],
    pub(crate) now: DateTime<Utc>,
    /// After this moment the attempt counts as dead.
    pub(crate) locked_until: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
}

/// Claims a key that is free: unknown, expired, or of an attempt of the same request that died.
/// Returns whether it was.
pub(crate) async fn reserve(
    connection: &mut PgConnection,
    reservation: &Reservation,
) -> sqlx::Result<bool> {
    let KeyScope {
        organization_id,
        principal,
        route,
        key,
    } = &reservation.scope;
    let done = sqlx::query!(
        "-- idempotency_keys::reserve
        INSERT INTO idempotency_keys (
            id, organization_id, principal, route, key, request_sha256, state, locked_until,
            created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, 'in_progress', $7, $8, $9)
        ON CONFLICT (organization_id, principal, route, key) DO UPDATE
        SET id = excluded.id, request_sha256 = excluded.request_sha256, state = excluded.state,
            response_status = NULL, response_body = NULL, resource_id = NULL,
            locked_until = excluded.locked_until, created_at = excluded.created_at,
            expires_at = excluded.expires_at
        WHERE idempotency_keys.expires_at <= $8
            OR (idempotency_keys.state = 'in_progress' AND idempotency_keys.locked_until <= $8
                AND idempotency_keys.request_sha256 = $6)",
        reservation.id,
        organization_id.as_uuid(),
        principal,
        route,
        key,
        reservation.request_sha256.as_slice(),
        reservation.locked_until,
        reservation.now,
        reservation.expires_at,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What is known under a key.
#[derive(Clone, Debug)]
pub(crate) struct StoredAnswer {
    pub(crate) request_sha256: Vec<u8>,
    /// Absent while the first attempt is under way.
    pub(crate) response_status: Option<i32>,
    /// Absent when the answer held a secret.
    pub(crate) response_body: Option<Value>,
    pub(crate) resource_id: Option<Uuid>,
}

/// What is known under a key.
pub(crate) async fn find(
    connection: &mut PgConnection,
    scope: &KeyScope,
) -> sqlx::Result<Option<StoredAnswer>> {
    sqlx::query_as!(
        StoredAnswer,
        "-- idempotency_keys::find
        SELECT request_sha256, response_status, response_body, resource_id
        FROM idempotency_keys
        WHERE organization_id = $1 AND principal = $2 AND route = $3 AND key = $4",
        scope.organization_id.as_uuid(),
        scope.principal,
        scope.route,
        scope.key,
    )
    .fetch_optional(connection)
    .await
}

/// Keeps the answer of an attempt. Returns whether the attempt still held the key.
pub(crate) async fn complete(
    connection: &mut PgConnection,
    id: Uuid,
    (status, resource_id): (i32, Option<Uuid>),
    body: Option<&Value>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- idempotency_keys::complete
        UPDATE idempotency_keys
        SET state = 'completed', response_status = $2, resource_id = $3, response_body = $4
        WHERE id = $1 AND state = 'in_progress'",
        id,
        status,
        resource_id,
        body,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives a key back as if it had never been used. Housekeeping removes the row.
pub(crate) async fn release(
    connection: &mut PgConnection,
    id: Uuid,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- idempotency_keys::release
        UPDATE idempotency_keys SET expires_at = $2
        WHERE id = $1 AND state = 'in_progress'",
        id,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
