//! Transactions that are held where it matters: at their commit.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection, PgPool};

/// Longest wait for a transaction that comes by.
const PATIENCE: Duration = Duration::from_secs(20);
/// The advisory lock that they wait for.
const LOCK: i64 = 77;

/// Whoever commits a row of the table waits until this is released.
pub(super) struct Hold {
    lock: PgConnection,
    admin: PgPool,
}

impl Hold {
    /// Of inserted rows of `table`.
    pub(super) async fn commits(admin: &PgPool, table: &str) -> Self {
        let text = format!(
            "CREATE OR REPLACE FUNCTION held() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
                'BEGIN PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN NULL; END';
             DROP TRIGGER IF EXISTS trg_held ON {table};
             CREATE CONSTRAINT TRIGGER trg_held AFTER INSERT ON {table}
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION held()"
        );
        let setup = sqlx::raw_sql(sqlx::AssertSqlSafe(text));
        setup.execute(admin).await.unwrap();
        let options = admin.connect_options();
        let mut lock = PgConnection::connect_with(&options).await.unwrap();
        let taken = sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK);
        taken.execute(&mut lock).await.unwrap();
        let admin = admin.clone();
        Self { lock, admin }
    }

    /// Waits until so many wait: at their commit, or for what another one holds.
    pub(super) async fn wait_for(&self, waiting: i64) {
        let query = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            OR l.database IS NULL AND d.datname = current_database()
            WHERE NOT l.granted AND d.datname = current_database()";
        let begun = Instant::now();
        loop {
            let found: i64 = sqlx::query_scalar(query)
                .fetch_one(&self.admin)
                .await
                .unwrap();
            if found >= waiting {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{found} of {waiting} wait");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets them go on.
    pub(super) async fn release(self) {
        self.lock.close().await.unwrap();
    }
}
