//! `secure_audit_log`: append-only, by grant and by trigger.

use clm_database::DatabaseError;
use clm_database::transaction::Abort;
use clm_domain::audit::AuditRow;
use sqlx::PgConnection;

use super::{MAINTENANCE, SecureStore};

/// Writes a row within the transaction of its act.
pub(super) async fn insert(
    connection: &mut PgConnection,
    row: &AuditRow,
) -> Result<(), sqlx::Error> {
    let canonical_sha256 = row.canonical_sha256();
    sqlx::query!(
        r#"-- secure_audit_log::insert
        INSERT INTO secure_audit_log (id, event_timestamp, organization_id, event_code,
            event_category, severity, result, actor_type, actor_id, user_id, resource_type,
            resource_id, request_id, session_id, ip_address, reason, details, canonical_sha256)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)"#,
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
        row.reason,
        row.details,
        canonical_sha256.as_slice(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl SecureStore {
    /// Writes a row in a transaction of its own, in one round trip.
    pub(crate) async fn record_audit(&self, row: &AuditRow) -> Result<(), DatabaseError> {
        let canonical_sha256 = row.canonical_sha256();
        sqlx::query!(
            r#"-- secure_audit_log::record
            WITH scope AS MATERIALIZED (
                SELECT set_config('app.current_org_id', ($3::uuid)::text, true)
            )
            INSERT INTO secure_audit_log (id, event_timestamp, organization_id, event_code,
                event_category, severity, result, actor_type, actor_id, user_id, resource_type,
                resource_id, request_id, session_id, ip_address, reason, details, canonical_sha256)
            SELECT $1::uuid, $2::timestamptz, $3::uuid, $4::text, $5::text, $6::text, $7::text,
                $8::text, $9::uuid, $10::uuid, $11::text, $12::uuid, $13::uuid, $14::uuid,
                $15::text, $16::text, $17::jsonb, $18::bytea
            FROM scope"#,
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
            row.reason,
            row.details,
            canonical_sha256.as_slice(),
        )
        .execute(self.pool.unscoped())
        .await
        .map_err(|error| self.pool.statement_error(error))?;
        Ok(())
    }

    /// Makes the monthly partitions that are missing up to `months_ahead`; returns how many it
    /// made.
    pub(crate) async fn ensure_audit_partitions(
        &self,
        months_ahead: i32,
    ) -> Result<i32, DatabaseError> {
        self.pool
            .transact("ensure audit partitions", MAINTENANCE, |connection| {
                Box::pin(async move {
                    let made = sqlx::query_scalar!(
                        r#"-- secure_audit_log::ensure_partitions
                        SELECT ensure_audit_partitions($1) AS "made!""#,
                        months_ahead,
                    )
                    .fetch_one(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(made)
                })
            })
            .await
    }

    /// How many months after the current one have a partition.
    pub(crate) async fn audit_partitions_ahead(&self) -> Result<i32, DatabaseError> {
        sqlx::query_scalar!(
            r#"-- secure_audit_log::partitions_ahead
            SELECT audit_partitions_ahead() AS "months!""#
        )
        .fetch_one(self.pool.unscoped())
        .await
        .map_err(|error| self.pool.statement_error(error))
    }
}
