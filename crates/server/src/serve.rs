//! `clm serve`: the order in which things start, and the reverse in which they stop.
//!
//! 1. directories and lock, 2. addresses, 3. database, 4. giving up root, 5. services, 6. bootstrap,
//! 7. listeners and loops. Readiness is told by `/readyz` and by the line `ready`.
//!
//! What a process serves is its role: [`core_role`] or [`secure_role`].

mod core_role;
mod own_names;
mod secure_role;

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::io::IsTerminal as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::time::Duration;

use anyhow::Context as _;
use clm_database::cluster::Account;
use clm_database::pool::Database;
use clm_database::roles;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rustix::fs::OFlags;
use sqlx::postgres::PgConnectOptions;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::background::Loops;
use crate::configuration::{Role, refuse_foreign_files, refuse_key_files, url_setting};
use crate::confinement::{self, Confinement};
use crate::layout::{self, Layout};
use crate::lock::Lock;
use crate::services::Connection;
use crate::{Configuration, embedded, files, hardening, privileges, transport_files};

/// How long connections may take to finish their requests at the stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// A further signal so long after the first one ends the process at once.
const IMPATIENCE_AFTER: Duration = Duration::from_secs(2);

/// A server that has its settings and directories and has given up what it never needs, before it has a
/// thread or a key.
pub struct Prepared {
    configuration: Configuration,
    account: Option<Account>,
    layout: Layout,
    confinement: Option<Confinement>,
}

impl Prepared {
    /// Reads the settings, makes the directories and hardens the process. To be called while it has one thread: the others
    /// inherit what is a thread's.
    ///
    /// # Errors
    /// When a setting cannot be understood or does not belong to the role, or when the system refuses what
    /// it never needs to refuse.
    pub fn new(role: Option<Role>) -> anyhow::Result<Self> {
        hardening::apply()?;
        let configuration = Configuration::load_for_serving(role)?;
        let account = embedded::account(configuration.role)?;
        let layout = Layout::prepare(&configuration.data_directory, account.as_ref())?;
        let confinement = match configuration.role {
            Role::All | Role::Core => None,
            Role::Secure => Some(confinement::confine(&configuration, &layout)?),
        };
        Ok(Self {
            configuration,
            account,
            layout,
            confinement,
        })
    }
}

/// Runs the server until SIGINT or SIGTERM.
///
/// # Errors
/// Says which step failed and what to do.
pub async fn run(prepared: Prepared) -> anyhow::Result<()> {
    let Prepared {
        configuration,
        account,
        layout,
        confinement,
    } = prepared;
    // First of all: from here on a signal is a wish, not an end.
    let stop = stop_signal()?;
    start_log(&configuration)?;
    if let Some(confinement) = confinement {
        confinement.tell();
    }
    let metrics = PrometheusBuilder::new()
        .install_recorder()
        .context("starting the metrics")?;
    // One TLS provider for the whole process.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();

    let _lock = Lock::take(&layout.file("clm.lock"))?;
    take_over(&configuration, &layout)?;
    let bound = Bound::new(&configuration)?;

    let mut cluster = None;
    if configuration.databases.is_none() {
        let starting = embedded::start_cluster(&configuration, &layout, account.as_ref());
        cluster = Some(tokio::select! {
            started = starting => started?,
            () = stop.cancelled() => {
                tracing::info!("stopped while the private PostgreSQL was starting");
                return Ok(());
            }
        });
    }
    let outcome = async {
        settle(&layout, account.as_ref())?;
        let private = cluster
            .as_ref()
            .map(|cluster| cluster.admin_connect_options(roles::MAINTENANCE_DATABASE));
        let serving = async {
            // However serving ends, the watch over the private server ends with it.
            let _end = stop.clone().drop_guard();
            let serving = Serving {
                configuration: &configuration,
                layout: &layout,
                private,
                metrics,
                stop: stop.clone(),
            };
            match bound {
                Bound::Core(listening) => core_role::serve(serving, listening).await,
                Bound::Secure(listener) => secure_role::serve(serving, listener).await,
            }
        };
        let watching = async {
            match cluster.as_mut() {
                Some(cluster) => embedded::keep_running(cluster, &stop).await,
                None => Ok(()),
            }
        };
        let (served, watched) = tokio::join!(serving, watching);
        watched.and(served)
    }
    .await;
    if let Some(cluster) = cluster {
        cluster
            .stop()
            .await
            .context("stopping the private PostgreSQL")?;
    }
    outcome
}

/// Addresses that are bound, of what the role serves.
enum Bound {
    Core(core_role::Listening),
    Secure(std::net::TcpListener),
}

impl Bound {
    fn new(configuration: &Configuration) -> anyhow::Result<Self> {
        Ok(match configuration.role {
            Role::All | Role::Core => Self::Core(core_role::Listening::bind(configuration)?),
            Role::Secure => Self::Secure(secure_role::bind(configuration)?),
        })
    }
}

/// What serving needs, whatever the role.
struct Serving<'a> {
    configuration: &'a Configuration,
    layout: &'a Layout,
    /// How an administrator reaches the private server, in the embedded mode.
    private: Option<PgConnectOptions>,
    metrics: PrometheusHandle,
    stop: CancellationToken,
}

/// Waits for the stop, and then for what is under way.
async fn end(loops: &Loops<'_>) {
    loops.stop.cancelled().await;
    tracing::info!("stopping: no new connections, requests under way are finished");
    loops.tasks.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, loops.tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!("some requests did not finish in time; their outcome is settled by a retry");
    }
}

/// A database that the operator administers.
pub(crate) fn connection(
    configuration: &Configuration,
    database: Database,
) -> anyhow::Result<Connection> {
    let url = configuration.database_url(database)?;
    // The parser's error may repeat parts of the URL, and with them the password.
    let options = url.expose().parse().ok().with_context(|| {
        let (setting, name) = (url_setting(database), database.name());
        let user = name.replace("_db", "_user");
        format!("{setting} must be a URL such as postgres://{user}:…@host/{name}")
    })?;
    Ok(Connection {
        options,
        connections_max: configuration.connections_max,
    })
}

/// Makes the directories those of this role, once the lock says that nobody else serves there.
fn take_over(configuration: &Configuration, layout: &Layout) -> anyhow::Result<()> {
    layout.link_socket()?;
    refuse_foreign_files(configuration.role, &layout.state_directory)?;
    if configuration.role == Role::Core {
        refuse_key_files(&layout.state_directory, &layout.master_key_files())?;
    }
    // What a killed process was writing may be half a key.
    files::sweep(&layout.state_directory, &transport_files::NAMES)
}

/// Becomes the account that the server runs as, and keeps its memory out of swap.
fn settle(layout: &Layout, account: Option<&Account>) -> anyhow::Result<()> {
    if let Some(account) = account {
        hand_over(layout, account)?;
        privileges::drop_to(account)?;
        hardening::forbid_dumps()?;
    }
    hardening::lock_memory();
    Ok(())
}

/// Gives the files that root made to the account.
pub(crate) fn hand_over(layout: &Layout, account: &Account) -> anyhow::Result<()> {
    for name in ["clm.lock", "bootstrap.json", "root-ca.pem"]
        .into_iter()
        .chain(transport_files::NAMES)
        .map(str::to_owned)
        .chain(layout.master_key_files())
    {
        let path = layout.file(&name);
        // Never what a link leads to: the account could have put one there for root to follow.
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(&path)
        {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("opening {}", path.display()));
            }
        };
        layout::refuse_foreign_file(&file, &path)?;
        fchown(&file, Some(account.uid), Some(account.gid))
            .with_context(|| format!("giving {} to {}", path.display(), account.name))?;
    }
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&layout.run_directory, mode).context("closing the run directory")
}

/// Cancelled by the first SIGINT or SIGTERM; another one, two seconds later, ends the process at once.
fn stop_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let token = stop.clone();
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let begun = tokio::time::Instant::now();
        token.cancel();
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // Supervisors pass a signal on that the terminal has sent already: that is no second wish.
            if begun.elapsed() >= IMPATIENCE_AFTER {
                tracing::error!("stopped at once by a second signal");
                std::process::exit(130);
            }
        }
    });
    Ok(stop)
}

fn start_log(configuration: &Configuration) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&configuration.log)
        .with_context(|| format!("CLM_LOG='{}' is no log filter", configuration.log))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Colours are for terminals; in a file they stand in the way of whoever searches it.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = if configuration.log_json {
        log.json().try_init()
    } else {
        log.try_init()
    };
    started.map_err(|error| anyhow::anyhow!("starting the log: {error}"))
}
