//! A private PostgreSQL without durability, and the two databases in it.

use std::path::{Path, PathBuf};

use clm_database::cluster::{Account, Cluster, ClusterOptions, Durability};
use clm_database::pool::Database;
use clm_database::roles::{self, InitReport, MAINTENANCE_DATABASE};
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use crate::SeededRng;

/// Connections that a test server allows.
const CONNECTIONS_MAX: u16 = 200;

/// A private PostgreSQL; gone with the value.
pub struct TestCluster {
    cluster: Option<Cluster>,
    directory: TempDir,
}

impl TestCluster {
    /// Starts a server.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start: `make test` installs it.
    pub async fn start() -> Self {
        let directory = directory();
        let cluster = Cluster::start(ClusterOptions {
            data_directory: directory.path().join("data"),
            socket_directory: directory.path().join("s"),
            account: account(),
            durability: Durability::TestOnly,
            pg_bin: pg_bin(),
            max_connections: CONNECTIONS_MAX,
            log_file: directory.path().join("postgresql.log"),
        })
        .await
        .expect("a private PostgreSQL starts");
        Self {
            cluster: Some(cluster),
            directory,
        }
    }

    /// The server.
    ///
    /// # Panics
    /// After [`Self::stop`].
    pub fn cluster(&mut self) -> &mut Cluster {
        self.cluster.as_mut().expect("the server was not stopped")
    }

    /// Where the server's files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// How its superuser connects.
    ///
    /// # Panics
    /// After [`Self::stop`].
    pub fn admin(&self, database: &str) -> PgConnectOptions {
        self.cluster
            .as_ref()
            .expect("the server was not stopped")
            .admin_connect_options(database)
    }

    /// Creates and migrates one of the two databases, and says how its application user connects.
    ///
    /// # Panics
    /// When the schema cannot be applied.
    pub async fn init(&self, database: Database) -> (PgConnectOptions, InitReport) {
        let admin = self.admin(MAINTENANCE_DATABASE);
        let report = roles::init(&admin, database, &SeededRng::new(std::process::id().into()))
            .await
            .expect("the schema applies");
        (report.connect_options(&admin), report)
    }

    /// Stops the server; its files stay until the value is dropped.
    ///
    /// # Panics
    /// When it does not stop.
    pub async fn stop(&mut self) {
        if let Some(cluster) = self.cluster.take() {
            cluster.stop().await.expect("the server stops");
        }
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        // Dropped without `stop`, for instance by a failed assertion: the server must not outlive
        // its directory.
        if let Some(cluster) = &self.cluster {
            let _ = std::process::Command::new("kill")
                .args(["-QUIT", &cluster.postmaster_pid().to_string()])
                .status();
        }
    }
}

/// A directory that the server's account can pass, with a short path for sockets.
pub fn directory() -> TempDir {
    let directory = tempfile::Builder::new()
        .prefix("clm-test-")
        .tempdir_in("/tmp")
        .expect("a temporary directory");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), mode).expect("the directory is ours");
    directory
}

/// The account of a server that is started as root.
pub fn account() -> Option<Account> {
    if std::fs::metadata("/proc/self")
        .is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) != 0)
    {
        return None;
    }
    let postgres = Account::find("postgres").expect("accounts can be read");
    Some(
        postgres.unwrap_or_else(|| {
            Account::ensure_system_account("clm").expect("an account can be made")
        }),
    )
}

/// PostgreSQL's programs, when a test run names them (`make test-matrix`).
pub fn pg_bin() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one setting of the test programs"
    )]
    std::env::var_os("CLM_TEST_PG_BIN").map(PathBuf::from)
}
