//! Rows of `audit_log`.

use clm_domain::audit::AuditRow;
use sqlx::PgConnection;

/// Inserts one event. Runs in the transaction of the act.
pub(crate) async fn insert(connection: &mut PgConnection, row: &AuditRow) -> sqlx::Result<()> {
    let digest = row.canonical_sha256();
    sqlx::query!(
        "-- audit_log::insert
        INSERT INTO audit_log (
            id, event_timestamp, organization_id, event_code, event_category, severity, result,
            actor_type, actor_id, user_id, resource_type, resource_id, request_id, session_id,
            ip_address, user_agent, reason, details, canonical_sha256)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
            $19)",
        row.id.as_uuid(),
        row.event_timestamp,
        row.organization_id.as_uuid(),
        row.event_code,
        row.event_category,
        row.severity.as_str(),
        row.result.as_str(),
        row.actor_type,
        row.actor_id,
        row.user_id,
        row.resource_type,
        row.resource_id,
        row.request_id,
        row.session_id,
        row.ip_address,
        row.user_agent,
        row.reason,
        row.details,
        digest.as_slice(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
