//! The bare loop: the least that two databases and a signature cost, as the yardstick of durable
//! issuance.
//!
//! It writes the same rows under the same indexes, policies and checks, as the same two users, with
//! the same pools, on a private PostgreSQL of the same version with the same settings: one prepared
//! statement and one commit per database, a P-256 signature in between. What it leaves out is the
//! product: HTTP, credentials, rights, reading and judging the request, lints, retries, relay. It
//! must never do more than that, or less durably. [`crate::parity`] compares the rows.

mod certificate;
mod seed;
mod statements;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use clm_database::cluster::{Account, Cluster, ClusterOptions, Durability};
use clm_database::pool::Database;
use clm_database::roles::{self, MAINTENANCE_DATABASE};
use clm_database::{Pool, PoolOptions};
use sqlx::postgres::PgConnectOptions;

use crate::environment::MachineRng;
use crate::load::Client;
use crate::requests::{Csr, Turns};

use self::certificate::{Authority, Template};
use self::seed::Seed;

/// Connections beside the two pools, as in the product.
pub(crate) const SPARE_CONNECTIONS: u32 = 10;
/// The account that the databases run as when we are root: that of the product.
const ACCOUNT_NAME: &str = "clm";

/// Two databases of its own, ready to be written to.
#[derive(Debug)]
pub(crate) struct BareLoop {
    cluster: Cluster,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    core: Pool,
    secure: Pool,
    authority: Authority,
    seed: Seed,
    templates: Turns<Template>,
}

impl BareLoop {
    /// Starts the databases in `directory`, which must exist.
    ///
    /// # Errors
    /// When PostgreSQL is missing or does not start, or the schema does not fit the rows any more.
    pub(crate) async fn start(
        directory: &Path,
        pg_bin: Option<&Path>,
        csrs: &[Csr],
    ) -> anyhow::Result<Self> {
        let pools = PoolOptions::default();
        let connections = pools.connections_max * 2 + SPARE_CONNECTIONS;
        let account = account()?;
        let cluster = Cluster::start(ClusterOptions {
            data_directory: directory.join("data"),
            socket_directory: directory.join("s"),
            account,
            durability: Durability::Full,
            pg_bin: pg_bin.map(Path::to_path_buf),
            max_connections: u16::try_from(connections)?,
            log_file: directory.join("postgresql.log"),
        })
        .await
        .context("starting the databases of the bare loop")?;
        let admin = cluster.admin_connect_options(MAINTENANCE_DATABASE);
        let core = open(&admin, Database::Core, &pools).await?;
        let secure = open(&admin, Database::Secure, &pools).await?;

        let authority = Authority::make()?;
        let seed = seed::plant(&cluster, &authority).await?;
        let templates = csrs
            .iter()
            .map(|csr| Template::make(csr, &authority, &seed))
            .collect::<anyhow::Result<_>>()?;
        let bare = Self {
            cluster,
            shared: Arc::new(Shared {
                core,
                secure,
                authority,
                seed,
                templates: Turns::new(templates),
            }),
        };
        bare.client()
            .issue()
            .await
            .context("the statements of the bare loop do not fit the schema")?;
        Ok(bare)
    }

    /// So many clients.
    pub(crate) fn clients(&self, count: u16) -> Vec<BareClient> {
        (0..count).map(|_| self.client()).collect()
    }

    /// How the superuser connects to one of its databases.
    pub(crate) fn admin(&self, database: Database) -> PgConnectOptions {
        self.cluster.admin_connect_options(database.name())
    }

    /// The version of the server.
    pub(crate) fn server_version(&self) -> String {
        self.cluster.server_version().to_string()
    }

    /// Ends the databases.
    ///
    /// # Errors
    /// When they do not end.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.shared.core.close().await;
        self.shared.secure.close().await;
        self.cluster
            .stop()
            .await
            .context("stopping the databases of the bare loop")
    }

    fn client(&self) -> BareClient {
        BareClient {
            shared: Arc::clone(&self.shared),
        }
    }
}

/// One turn after the other.
#[derive(Debug)]
pub(crate) struct BareClient {
    shared: Arc<Shared>,
}

impl Client for BareClient {
    async fn issue(&mut self) -> anyhow::Result<()> {
        let Shared {
            core,
            secure,
            authority,
            seed,
            templates,
        } = self.shared.as_ref();
        let (_, template) = templates.next()?;
        let issuance = template.sign(authority)?;
        statements::write_secure(secure, &issuance, seed).await?;
        statements::write_core(core, &issuance, seed).await
    }
}

/// The account that databases run as, when we are root.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn account() -> anyhow::Result<Option<Account>> {
    match rustix::process::geteuid().is_root() {
        true => Ok(Some(Account::ensure_system_account(ACCOUNT_NAME)?)),
        false => Ok(None),
    }
}

/// Creates and migrates a database, and opens a pool of the program's user.
async fn open(
    admin: &PgConnectOptions,
    database: Database,
    options: &PoolOptions,
) -> anyhow::Result<Pool> {
    let report = roles::init(admin, database, &MachineRng)
        .await
        .with_context(|| format!("preparing {}", database.name()))?;
    let connect = report.connect_options(admin);
    Ok(Pool::new(database, connect, options))
}
