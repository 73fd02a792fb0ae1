//! The embedded mode: a private PostgreSQL in the data directory, with both databases.
//!
//! Nothing about it is stored but its own files: the application users get new random passwords at
//! every start.

use std::time::Duration;

use anyhow::Context as _;
use clm_database::cluster::{Account, Cluster, ClusterOptions, Durability};
use clm_database::pool::Database;
use clm_database::roles;
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;

use crate::Configuration;
use crate::configuration::Role;
use crate::environment::SystemRng;
use crate::layout::Layout;
use crate::privileges;
use crate::services::Connection;

/// Connections that the private server keeps beyond those of the two pools: administration,
/// backups, a person with psql.
const SPARE_CONNECTIONS: u32 = 10;
/// How often it is looked whether the private server still runs.
const WATCH_PERIOD: Duration = Duration::from_millis(250);

/// Starts the private server. Runs while this process is still root, when it was started as root.
pub(crate) async fn start_cluster(
    configuration: &Configuration,
    layout: &Layout,
    account: Option<&Account>,
) -> anyhow::Result<Cluster> {
    let connections = configuration.connections_max * 2 + SPARE_CONNECTIONS;
    Cluster::start(ClusterOptions {
        data_directory: layout.cluster_directory(),
        socket_directory: layout.run_directory.join("pg"),
        account: account.cloned(),
        durability: Durability::Full,
        pg_bin: configuration.pg_bin.clone(),
        max_connections: u16::try_from(connections).unwrap_or(u16::MAX),
        log_file: layout.file("postgresql.log"),
    })
    .await
    .context("starting the private PostgreSQL")
}

/// Looks after the private server until the stop. One that died is started again and recovers what
/// was committed; until then requests are answered with 503.
///
/// # Errors
/// When it cannot be started again. `stop` is given then, because nothing can be served without it.
pub(crate) async fn keep_running(
    cluster: &mut Cluster,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(WATCH_PERIOD) => {}
            () = stop.cancelled() => return Ok(()),
        }
        if cluster.is_running() {
            continue;
        }
        tracing::error!("the private PostgreSQL ended by itself and is started again");
        if let Err(error) = cluster.restart().await {
            stop.cancel();
            return Err(error)
                .context("the private PostgreSQL ended by itself and could not be started again");
        }
        tracing::warn!(
            postgresql.pid = cluster.postmaster_pid(),
            "the private PostgreSQL runs again"
        );
    }
}

/// Brings both databases to this program's schema and says how to reach them as the two application
/// users.
pub(crate) async fn prepare_databases(
    admin: &PgConnectOptions,
    connections_max: u32,
) -> anyhow::Result<(Connection, Connection)> {
    let mut connect = Vec::with_capacity(2);
    for database in [Database::Core, Database::Secure] {
        let report = roles::init(admin, database, &SystemRng)
            .await
            .with_context(|| format!("preparing {}", database.name()))?;
        for migration in &report.migrations.applied {
            tracing::info!(
                database = database.name(),
                migration.version = migration.version,
                "schema migrated"
            );
        }
        connect.push(Connection {
            options: report.connect_options(admin),
            connections_max,
        });
    }
    let mut connect = connect.into_iter();
    match (connect.next(), connect.next()) {
        (Some(core), Some(secure)) => Ok((core, secure)),
        _ => anyhow::bail!("both databases are needed"),
    }
}

/// The account of a server of this role that was started as root; made when it is missing.
pub(crate) fn account(role: Role) -> anyhow::Result<Option<Account>> {
    if !privileges::is_root() {
        return Ok(None);
    }
    let account = Account::ensure_system_account(privileges::account_name(role))
        .context("finding the account that the server runs as")?;
    Ok(Some(account))
}
