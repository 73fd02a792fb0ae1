//! A PostgreSQL of one test, with its own roles. `CLM_PG_BIN` chooses the version.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::cluster::{Account, Cluster, ClusterOptions, Durability};
use crate::migrate::Migrator;
use crate::pool::Database;
use crate::roles::create_database_if_missing;

/// Random numbers that are not random.
pub(crate) struct CountingRng(pub(crate) AtomicU32);

impl clm_domain::clock::Rng for CountingRng {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer {
            *byte = self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes()[0];
        }
    }
}

pub(crate) fn rng() -> CountingRng {
    CountingRng(AtomicU32::new(1))
}

pub(crate) struct Server {
    pub(crate) cluster: Cluster,
    root: PathBuf,
}

impl Server {
    pub(crate) async fn start() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = PathBuf::from(format!("/tmp/clm-m{}-{number}", std::process::id()));
        std::fs::create_dir(&root).unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "make test-matrix chooses the version so"
        )]
        let pg_bin = std::env::var_os("CLM_PG_BIN").map(PathBuf::from);
        let options = ClusterOptions {
            data_directory: root.join("data"),
            socket_directory: root.join("run"),
            account: account(),
            durability: Durability::TestOnly,
            pg_bin,
            max_connections: 20,
            log_file: root.join("postgres.log"),
        };
        Self {
            cluster: Cluster::start(options).await.unwrap(),
            root,
        }
    }

    /// A server with the database, not migrated yet.
    pub(crate) async fn with_empty(database: Database) -> Self {
        let server = Self::start().await;
        assert!(
            create_database_if_missing(&server.maintenance(), database)
                .await
                .unwrap()
        );
        server
    }

    /// A server with the database, migrated.
    pub(crate) async fn with_migrated(database: Database) -> Self {
        let server = Self::with_empty(database).await;
        Migrator::new(&server.admin(database), database)
            .migrate()
            .await
            .unwrap();
        server
    }

    pub(crate) fn maintenance(&self) -> PgConnectOptions {
        self.cluster.admin_connect_options("postgres")
    }

    pub(crate) fn admin(&self, database: Database) -> PgConnectOptions {
        self.cluster.admin_connect_options(database.name())
    }

    pub(crate) async fn connect(&self, database: Database) -> PgConnection {
        self.admin(database).connect().await.unwrap()
    }

    pub(crate) async fn execute(&self, database: Database, sql: &str) {
        execute(&mut self.connect(database).await, sql)
            .await
            .unwrap();
    }

    pub(crate) async fn stop(self) {
        self.cluster.stop().await.unwrap();
        std::fs::remove_dir_all(&self.root).unwrap();
    }
}

pub(crate) async fn execute(connection: &mut PgConnection, sql: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(|_| ())
}

/// PostgreSQL refuses to run as root.
fn account() -> Option<Account> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let usual = Account::find("postgres").unwrap();
    Some(usual.unwrap_or_else(|| Account::ensure_system_account("clm-test").unwrap()))
}
