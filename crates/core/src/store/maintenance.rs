//! Housekeeping of transient rows and audit partitions.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Most rows that one statement removes, so that it stays short.
pub(crate) const BATCH_ROWS_MAX: i64 = 1_000;

/// Removes idempotency keys that expired before `now`.
pub(crate) async fn delete_expired_idempotency_keys(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "-- maintenance::delete_expired_idempotency_keys
        DELETE FROM idempotency_keys WHERE id IN (
            SELECT id FROM idempotency_keys WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
        now,
        BATCH_ROWS_MAX,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes step-up proofs that expired before `now`.
pub(crate) async fn delete_expired_step_up_proofs(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "-- maintenance::delete_expired_step_up_proofs
        DELETE FROM step_up_proofs WHERE proof_sha256 IN (
            SELECT proof_sha256 FROM step_up_proofs WHERE expires_at < $1
            ORDER BY expires_at LIMIT $2)",
        now,
        BATCH_ROWS_MAX,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes leases of places in quotas that expired before `now`.
pub(crate) async fn delete_expired_quota_leases(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "-- maintenance::delete_expired_quota_leases
        DELETE FROM certificate_quota_leases WHERE id IN (
            SELECT id FROM certificate_quota_leases WHERE expires_at < $1
            ORDER BY expires_at LIMIT $2)",
        now,
        BATCH_ROWS_MAX,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes inbox rows received before `limit`: their events can no longer be delivered again.
pub(crate) async fn delete_old_inbox_rows(
    connection: &mut PgConnection,
    limit: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "-- maintenance::delete_old_inbox_rows
        DELETE FROM inbox WHERE event_id IN (
            SELECT event_id FROM inbox WHERE received_at < $1 ORDER BY received_at LIMIT $2)",
        limit,
        BATCH_ROWS_MAX,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes sessions that ended or expired before `limit`.
pub(crate) async fn delete_old_sessions(
    connection: &mut PgConnection,
    limit: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "-- maintenance::delete_old_sessions
        DELETE FROM sessions WHERE id IN (
            SELECT id FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
        limit,
        BATCH_ROWS_MAX,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes links that came by mail and expired before `limit`.
pub(crate) async fn delete_expired_one_time_links(
    connection: &mut PgConnection,
    limit: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "-- maintenance::delete_expired_one_time_links
        DELETE FROM one_time_links WHERE id IN (
            SELECT id FROM one_time_links WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)",
        limit,
        BATCH_ROWS_MAX,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes notes about changed rights that were written before `limit`.
pub(crate) async fn delete_old_rights_changes(
    connection: &mut PgConnection,
    limit: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "-- maintenance::delete_old_rights_changes
        DELETE FROM rights_changes WHERE id IN (
            SELECT id FROM rights_changes WHERE created_at < $1 ORDER BY created_at LIMIT $2)",
        limit,
        BATCH_ROWS_MAX,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Makes the partitions of the audit log for the months ahead.
pub(crate) async fn ensure_audit_partitions(
    connection: &mut PgConnection,
    months: i32,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- maintenance::ensure_audit_partitions
        SELECT ensure_audit_partitions($1)",
        months
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// How many months of partitions lie ahead of this one.
pub(crate) async fn audit_partitions_ahead(connection: &mut PgConnection) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        r#"-- maintenance::audit_partitions_ahead
        SELECT audit_partitions_ahead() AS "months!""#
    )
    .fetch_one(connection)
    .await
}
