//! The table `schema_migrations`: what this database has been through.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::error::MigrateError;
use super::set::Migration;
use crate::error::DatabaseError;
use crate::pool::Database;

/// SQLSTATE 42703, undefined column.
const UNDEFINED_COLUMN: &str = "42703";
/// SQLSTATE 42501.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// A row of `schema_migrations`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Recorded {
    pub(super) version: i32,
    pub(super) description: String,
    /// Null until the runner has seen a file that was applied by hand.
    pub(super) checksum: Option<Vec<u8>>,
    pub(super) min_program_version: String,
    pub(super) applied_at: DateTime<Utc>,
    pub(super) applied_by: String,
    pub(super) execution_time_ms: Option<i64>,
}

/// The rows by version; none when there is no such table.
pub(super) async fn read(
    connection: &mut PgConnection,
    database: Database,
) -> Result<Option<Vec<Recorded>>, MigrateError> {
    let exists: bool = sqlx::query_scalar(
        "-- migrate::history_exists
         SELECT EXISTS (
             SELECT FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'public' AND c.relname = 'schema_migrations')",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| DatabaseError::from_statement(database.name(), error))?;
    if !exists {
        return Ok(None);
    }
    let rows = sqlx::query_as(
        "-- migrate::history_read
         SELECT version, description, checksum, min_program_version, applied_at, applied_by,
                execution_time_ms
         FROM public.schema_migrations ORDER BY version",
    )
    .fetch_all(connection)
    .await
    .map_err(|error| read_error(database, error))?;
    Ok(Some(rows))
}

/// Records that `migration` came from our text.
pub(super) async fn record(
    connection: impl PgExecutor<'_>,
    database: Database,
    migration: &Migration,
    execution_time_ms: Option<i64>,
) -> Result<(), MigrateError> {
    let changed = sqlx::query(
        "-- migrate::history_record
         UPDATE public.schema_migrations
         SET checksum = $2, execution_time_ms = coalesce($3, execution_time_ms)
         WHERE version = $1",
    )
    .bind(migration.version)
    .bind(migration.checksum())
    .bind(execution_time_ms)
    .execute(connection)
    .await
    .map_err(|error| DatabaseError::from_statement(database.name(), error))?;
    match changed.rows_affected() {
        1 => Ok(()),
        _ => Err(MigrateError::NotRecorded {
            file: format!("{}.sql", migration.name),
        }),
    }
}

fn read_error(database: Database, error: sqlx::Error) -> MigrateError {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    match code.as_deref() {
        Some(UNDEFINED_COLUMN) => MigrateError::ForeignHistory {
            database: database.name(),
        },
        Some(INSUFFICIENT_PRIVILEGE) => MigrateError::Unreadable {
            database: database.name(),
        },
        _ => DatabaseError::from_statement(database.name(), error).into(),
    }
}
