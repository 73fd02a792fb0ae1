//! A private PostgreSQL: the database of the embedded mode, and of tests.
//!
//! It uses the server programs of this machine, listens on a Unix socket in a private directory
//! only, and runs as an unprivileged account. [`Cluster::start`] is the place to start reading: it
//! creates the cluster when there is none, ends what a killed predecessor left, and returns once
//! connections are taken.
//!
//! It must never signal a process that is not shown to be a PostgreSQL of its own data directory,
//! never write a secret (or a statement, which can hold one) to a file, and never leave a
//! half-made cluster that looks complete. It keeps no lock of its own: a caller that can be started
//! twice on the same directory must hold one for as long as the [`Cluster`] lives, because a
//! server that is found running is taken for a left-over and stopped.

mod account;
mod binaries;
mod configuration;
mod directories;
mod error;
mod initialize;
mod postmaster;
mod predecessor;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection};

use self::account::RunAs;
use self::configuration::Settings;
use self::directories::Log;
use self::postmaster::Postmaster;

pub use self::account::Account;
pub use self::binaries::{Binaries, MAJOR_VERSION_MIN, ServerVersion, find_binaries};
pub use self::error::ClusterError;

/// The superuser. It has no password: the server knows it by its Unix account.
pub const ADMIN_ROLE: &str = "clm_admin";

/// How long a start may take until connections are taken, with crash recovery.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long one try to connect may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);
/// How often a start is tried when another server takes the socket number at the same moment.
const SPAWN_TRIES: u32 = 3;

/// What a committed transaction survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A crash and a power failure.
    Full,
    /// Nothing but an orderly end: faster, and only for tests.
    TestOnly,
}

/// How to run a private PostgreSQL.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The directory of the cluster itself; made when it is missing.
    pub data_directory: PathBuf,
    /// The directory of its socket: private (0700), and short, because the path of a Unix socket
    /// may have 106 bytes. Made when it is missing.
    pub socket_directory: PathBuf,
    /// Who runs the server when we are root; ignored otherwise.
    pub account: Option<Account>,
    /// What a committed transaction survives.
    pub durability: Durability,
    /// The directory of the server programs (`CLM_PG_BIN`); searched for when not given.
    pub pg_bin: Option<PathBuf>,
    /// How many connections the server takes; it keeps three of them for the superuser.
    pub max_connections: u16,
    /// The server's log (0600).
    pub log_file: PathBuf,
}

/// A running private PostgreSQL, a child of this process.
///
/// Dropping it tells the server to stop, without waiting; call [`Cluster::stop`].
#[derive(Debug)]
pub struct Cluster {
    options: ClusterOptions,
    data_directory: PathBuf,
    socket_directory: PathBuf,
    binaries: Binaries,
    log: Log,
    port: u16,
    postmaster: Postmaster,
}

impl Cluster {
    /// Starts the server, and waits until it takes connections.
    ///
    /// Creates the cluster when there is none; stops a server that a killed predecessor left on
    /// the same directory; recovers after a crash. Does some blocking file work, so call it where
    /// that is no harm, such as while a program starts.
    ///
    /// # Errors
    /// A [`ClusterError`], whose message tells the user what to do. No server is left running.
    pub async fn start(options: ClusterOptions) -> Result<Self, ClusterError> {
        let begun = Instant::now();
        let run_as = RunAs::decide(options.account.as_ref())?;
        let data_directory = directories::resolve(&options.data_directory)?;
        let socket_directory = directories::resolve(&options.socket_directory)?;
        directories::prepare_socket(&socket_directory, &run_as)?;
        let existing = directories::prepare_data(&data_directory, &run_as)?;
        let pg_bin = options.pg_bin.as_deref();
        let binaries = match existing {
            Some(major) => binaries::find_binaries_for(major, &data_directory, pg_bin)?,
            None => find_binaries(pg_bin)?,
        };
        let log = Log::open(&options.log_file, &run_as)?;
        if existing.is_none() {
            initialize::initialize(&data_directory, &binaries, &run_as, options.durability).await?;
        }
        let plan = Plan {
            options: &options,
            data_directory: &data_directory,
            socket_directory: &socket_directory,
            binaries: &binaries,
            log: &log,
            run_as,
        };
        let (postmaster, port) = plan.launch().await?;
        tracing::info!(
            postgresql.pid = postmaster.pid(),
            postgresql.version = %binaries.version,
            postgresql.created = existing.is_none(),
            "the private PostgreSQL is ready after {} ms",
            begun.elapsed().as_millis()
        );
        Ok(Self {
            options,
            data_directory,
            socket_directory,
            binaries,
            log,
            port,
            postmaster,
        })
    }

    /// How to connect to a database as the superuser, over the socket.
    #[must_use]
    pub fn admin_connect_options(&self, database: &str) -> PgConnectOptions {
        connect_options(&self.socket_directory, self.port, database)
    }

    /// The directory of the socket.
    #[must_use]
    pub fn socket_directory(&self) -> &Path {
        &self.socket_directory
    }

    /// The directory of the cluster.
    #[must_use]
    pub fn data_directory(&self) -> &Path {
        &self.data_directory
    }

    /// The number in the name of the socket file: 5432, unless a running server in the same
    /// directory has it. No TCP port is opened.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process ID of the server (the postmaster).
    #[must_use]
    pub fn postmaster_pid(&self) -> u32 {
        self.postmaster.pid()
    }

    /// The version of the server.
    #[must_use]
    pub fn server_version(&self) -> ServerVersion {
        self.binaries.version
    }

    /// Whether the server process runs; one that has ended is reaped by asking.
    pub fn is_running(&mut self) -> bool {
        self.postmaster.is_running()
    }

    /// Stops the server in order: clients are disconnected and a checkpoint is written, for at
    /// most 30 s; after that at once, which the next start recovers from.
    ///
    /// # Errors
    /// [`ClusterError::DoesNotStop`] and [`ClusterError::Signal`].
    pub async fn stop(mut self) -> Result<(), ClusterError> {
        self.postmaster.stop().await
    }

    /// Kills the server (SIGKILL), for tests of faults; [`Cluster::restart`] recovers.
    ///
    /// # Errors
    /// [`ClusterError::DoesNotStop`] and [`ClusterError::Signal`].
    pub async fn kill(&mut self) -> Result<(), ClusterError> {
        self.postmaster.kill().await
    }

    /// Stops the server if it runs, and starts it again with the same options.
    ///
    /// Works after this process gave up root for the server's account, too.
    ///
    /// # Errors
    /// As [`Cluster::start`] and [`Cluster::stop`].
    pub async fn restart(&mut self) -> Result<(), ClusterError> {
        self.postmaster.stop().await?;
        let run_as = RunAs::decide(self.options.account.as_ref())?;
        directories::prepare_socket(&self.socket_directory, &run_as)?;
        let plan = Plan {
            options: &self.options,
            data_directory: &self.data_directory,
            socket_directory: &self.socket_directory,
            binaries: &self.binaries,
            log: &self.log,
            run_as,
        };
        (self.postmaster, self.port) = plan.launch().await?;
        Ok(())
    }
}

/// All that a start on an existing cluster needs.
struct Plan<'a> {
    options: &'a ClusterOptions,
    data_directory: &'a Path,
    socket_directory: &'a Path,
    binaries: &'a Binaries,
    log: &'a Log,
    run_as: RunAs,
}

impl Plan<'_> {
    async fn launch(&self) -> Result<(Postmaster, u16), ClusterError> {
        predecessor::clear(self.data_directory).await?;
        let mut port = predecessor::free_socket_number(self.socket_directory)?;
        let mut tries = 1;
        loop {
            match self.launch_on(port).await {
                Ok(postmaster) => return Ok((postmaster, port)),
                Err(error @ ClusterError::Exited { .. }) if tries < SPAWN_TRIES => {
                    let now_free = predecessor::free_socket_number(self.socket_directory)?;
                    if now_free == port {
                        return Err(error);
                    }
                    (port, tries) = (now_free, tries + 1);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn launch_on(&self, port: u16) -> Result<Postmaster, ClusterError> {
        let settings = Settings {
            version: self.binaries.version,
            data_directory: self.data_directory,
            socket_directory: self.socket_directory,
            port,
            max_connections: self.options.max_connections,
            durability: self.options.durability,
            admins: &self.admins()?,
        };
        settings.write(&self.run_as)?;
        let log_begin = self.log.length();
        let mut postmaster =
            Postmaster::spawn(self.binaries, self.data_directory, &self.run_as, self.log)?;
        match self
            .wait_until_ready(&mut postmaster, port, log_begin)
            .await
        {
            Ok(()) => Ok(postmaster),
            Err(error) => {
                postmaster.stop().await?;
                Err(error)
            }
        }
    }

    /// The Unix users that may be the superuser: the server's, ours, and root.
    fn admins(&self) -> Result<Vec<String>, ClusterError> {
        let mut names = vec![self.run_as.account.name.clone()];
        for uid in [rustix::process::geteuid().as_raw(), 0] {
            let name = Account::find_uid(uid)?.map(|account| account.name);
            names.extend(name.filter(|name| !names.contains(name)));
        }
        Ok(names)
    }

    async fn wait_until_ready(
        &self,
        postmaster: &mut Postmaster,
        port: u16,
        log_begin: u64,
    ) -> Result<(), ClusterError> {
        let options = connect_options(self.socket_directory, port, "postgres");
        let deadline = Instant::now() + READY_WITHIN;
        let mut reason = "it has not finished starting".to_owned();
        loop {
            if let Some(status) = postmaster.exit_status() {
                return Err(ClusterError::Exited {
                    status: status.to_string(),
                    log_file: self.log.path().to_owned(),
                    log_tail: self.log.tail(log_begin),
                });
            }
            let mut hopeless = false;
            if predecessor::is_ready(self.data_directory, postmaster.pid()) {
                match try_to_connect(&options).await {
                    Ok(()) => return Ok(()),
                    Err((error, is_final)) => (reason, hopeless) = (error, is_final),
                }
            }
            if hopeless || Instant::now() >= deadline {
                return Err(ClusterError::NotReady {
                    seconds: READY_WITHIN.as_secs(),
                    reason,
                    log_file: self.log.path().to_owned(),
                    log_tail: self.log.tail(log_begin),
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

fn connect_options(socket_directory: &Path, port: u16, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_directory)
        .port(port)
        .username(ADMIN_ROLE)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
        .application_name("clm")
}

/// Says why it failed, and whether waiting cannot help (SQLSTATE class 28: not authorized).
async fn try_to_connect(options: &PgConnectOptions) -> Result<(), (String, bool)> {
    let options = options.clone().disable_statement_logging();
    let connecting = Box::pin(PgConnection::connect_with(&options));
    match tokio::time::timeout(CONNECT_WITHIN, connecting).await {
        Err(_) => Err(("a connection was not answered".to_owned(), false)),
        Ok(Err(error)) => {
            let code = error.as_database_error().and_then(|error| error.code());
            let not_authorized = code.is_some_and(|code| code.starts_with("28"));
            Err((error.to_string(), not_authorized))
        }
        Ok(Ok(connection)) => {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "the first connection did not end in order");
            }
            Ok(())
        }
    }
}
