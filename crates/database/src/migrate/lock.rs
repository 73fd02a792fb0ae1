//! One migrator at a time: a session-level advisory lock, which the server releases when the
//! session ends, however it ends.
//!
//! It is polled for, because a session that waits inside the server holds a snapshot, and
//! `CREATE INDEX CONCURRENTLY` of the other migrator would wait for that.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::error::MigrateError;
use crate::error::DatabaseError;
use crate::pool::Database;

/// The key of the lock: `clm_migr` in ASCII. Advisory locks are per database.
pub(super) const KEY: i64 = 0x636c_6d5f_6d69_6772;

const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Takes the lock for `connection`, waiting up to `wait`.
pub(super) async fn acquire(
    connection: &mut PgConnection,
    database: Database,
    wait: Duration,
) -> Result<(), MigrateError> {
    let started = Instant::now();
    let mut told = false;
    loop {
        if try_acquire(connection)
            .await
            .map_err(|error| DatabaseError::from_statement(database.name(), error))?
        {
            return Ok(());
        }
        let holder = holder(connection).await;
        if started.elapsed() >= wait {
            let waited_seconds = started.elapsed().as_secs();
            return Err(MigrateError::Busy {
                database: database.name(),
                waited_seconds,
                holder,
            });
        }
        if !told {
            told = true;
            tracing::info!(
                database.name = database.name(),
                holder,
                "waits for another migration"
            );
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn try_acquire(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("-- migrate::lock\nSELECT pg_catalog.pg_try_advisory_lock($1)")
        .bind(KEY)
        .fetch_one(connection)
        .await
}

/// Who has the lock, for the message.
async fn holder(connection: &mut PgConnection) -> String {
    let found: sqlx::Result<Option<String>> = sqlx::query_scalar(
        "-- migrate::lock_holder
         SELECT pg_catalog.format('%s as %s from %s, backend %s', a.application_name, a.usename,
                                  coalesce(pg_catalog.host(a.client_addr), 'this machine'), a.pid)
         FROM pg_catalog.pg_locks l
         JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
         JOIN pg_catalog.pg_database d ON d.oid = l.database
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
           AND d.datname = pg_catalog.current_database()
           AND (l.classid::bigint << 32 | l.objid::bigint) = $1
         LIMIT 1",
    )
    .bind(KEY)
    .fetch_optional(connection)
    .await;
    found
        .ok()
        .flatten()
        .unwrap_or_else(|| "it has just ended".to_owned())
}
