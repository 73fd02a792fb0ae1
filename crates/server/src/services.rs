//! The two services on their databases: each side as one process holds it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clm_core::api_keys::usage;
use clm_core::mail::MailSettings;
use clm_core::{Core, CoreOptions, Settings};
use clm_database::pool::Database;
use clm_database::{Pool, PoolOptions, migrate};
use clm_domain::clock::{Clock, Rng};
use clm_secure::{DATA_KEY_SEALS_MAX, MasterKeySources, Secure, SecureOptions};
use clm_secure_api::SecureClient;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;

use crate::environment::{SystemClock, SystemRng};

/// Events younger than this are left to the hot path, which applies replies itself.
const RELAY_DELAY: Duration = Duration::from_secs(2);
/// RSA keys of each common size that are made ahead of requests.
const RSA_KEYS_AHEAD: usize = 2;

/// How to reach one database, as its application user.
pub(crate) struct Connection {
    pub(crate) options: PgConnectOptions,
    pub(crate) connections_max: u32,
}

/// A side of the platform whose rounds may have to wait for the master key.
pub(crate) trait Side: Send + Sync + 'static {
    /// Whether the Secure Service can be reached, and its master key is open.
    fn has_key(&self) -> bool;
}

/// The Secure Service, with what it runs on.
pub(crate) struct SecureSide {
    pub(crate) secure: Arc<Secure>,
    pub(crate) pool: Pool,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The Core Service, with what it runs on.
pub(crate) struct CoreSide {
    pub(crate) core: Arc<Core>,
    pub(crate) pool: Pool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    /// Whether the Secure Service can be reached, and its master key is open.
    pub(crate) key: watch::Receiver<bool>,
}

/// The Secure Service as a core reaches it.
pub(crate) struct SecureAccess {
    pub(crate) client: SecureClient,
    /// See [`CoreSide::key`].
    pub(crate) key: watch::Receiver<bool>,
}

impl SecureSide {
    /// Checks the schema, and that the master key opens what is stored. A split key leaves the service
    /// sealed.
    pub(crate) async fn open(
        connection: Connection,
        master_key: MasterKeySources,
    ) -> anyhow::Result<Self> {
        let pool = open_pool(Database::Secure, connection).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let secure = Secure::open(SecureOptions {
            pool: pool.clone(),
            master_key,
            clock: Arc::clone(&clock),
            rng: Arc::new(SystemRng),
            relay_delay: RELAY_DELAY,
            rsa_keys_ahead: RSA_KEYS_AHEAD,
            data_key_seals_max: DATA_KEY_SEALS_MAX,
        })
        .await
        .context("opening the Secure Service")?;
        Ok(Self {
            secure: Arc::new(secure),
            pool,
            clock,
        })
    }

    /// How a core in the same process reaches it.
    pub(crate) fn access(&self) -> SecureAccess {
        SecureAccess {
            client: SecureClient::new(Arc::clone(&self.secure) as _),
            key: self.secure.watch_master_key(),
        }
    }

    /// Closes the connections to the database.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

impl Side for SecureSide {
    fn has_key(&self) -> bool {
        !self.secure.is_sealed()
    }
}

impl CoreSide {
    /// Checks the schema.
    pub(crate) async fn open(
        connection: Connection,
        access: SecureAccess,
        mail: Option<MailSettings>,
    ) -> anyhow::Result<Self> {
        let pool = open_pool(Database::Core, connection).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let rng: Arc<dyn Rng> = Arc::new(SystemRng);
        let core = Core::open(CoreOptions {
            pool: pool.clone(),
            secure: access.client,
            clock: Arc::clone(&clock),
            rng: Arc::clone(&rng),
            settings: Settings {
                mail,
                ..Settings::default()
            },
        });
        Ok(Self {
            core,
            pool,
            clock,
            rng,
            key: access.key,
        })
    }

    /// Writes what is only in memory, and closes the connections to the database.
    pub(crate) async fn close(&self) {
        if let Err(error) = usage::write(&self.core).await {
            tracing::warn!(error.detail = %error, "the last uses of API keys could not be written");
        }
        self.pool.close().await;
    }
}

impl Side for CoreSide {
    fn has_key(&self) -> bool {
        *self.key.borrow()
    }
}

async fn open_pool(database: Database, connection: Connection) -> anyhow::Result<Pool> {
    let options = PoolOptions {
        connections_max: connection.connections_max,
        ..PoolOptions::default()
    };
    let pool = Pool::new(database, connection.options, &options);
    migrate::check_for_serving(&pool)
        .await
        .with_context(|| format!("checking the schema of {}", database.name()))?;
    Ok(pool)
}
