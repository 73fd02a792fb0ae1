//! The two services on their databases.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clm_core::{Core, CoreOptions, Settings};
use clm_database::pool::Database;
use clm_database::{Pool, PoolOptions, migrate};
use clm_domain::clock::{Clock, Rng};
use clm_secure::{DATA_KEY_SEALS_MAX, MasterKeySources, Secure, SecureOptions};
use clm_secure_api::SecureClient;
use sqlx::postgres::PgConnectOptions;

use crate::environment::{SystemClock, SystemRng};

/// Events younger than this are left to the hot path, which applies replies itself.
const RELAY_DELAY: Duration = Duration::from_secs(2);
/// RSA keys of each common size that are made ahead of requests.
const RSA_KEYS_AHEAD: usize = 2;

/// Both services, with what they run on.
pub(crate) struct Services {
    pub(crate) core: Arc<Core>,
    pub(crate) secure: Arc<Secure>,
    pub(crate) core_pool: Pool,
    pub(crate) secure_pool: Pool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
}

/// How to reach both databases, as the two application users.
pub(crate) struct Connections {
    pub(crate) core: PgConnectOptions,
    pub(crate) secure: PgConnectOptions,
    pub(crate) connections_max: u32,
}

impl Services {
    /// Opens both services: checks the schemas, and that the master key opens what is stored. A split
    /// key leaves the Secure Service sealed.
    pub(crate) async fn open(
        connections: Connections,
        master_key: MasterKeySources,
    ) -> anyhow::Result<Self> {
        let options = PoolOptions {
            connections_max: connections.connections_max,
            ..PoolOptions::default()
        };
        let core_pool = Pool::new(Database::Core, connections.core, &options);
        let secure_pool = Pool::new(Database::Secure, connections.secure, &options);
        for pool in [&core_pool, &secure_pool] {
            migrate::check_for_serving(pool)
                .await
                .with_context(|| format!("checking the schema of {}", pool.database().name()))?;
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let rng: Arc<dyn Rng> = Arc::new(SystemRng);
        let secure = Secure::open(SecureOptions {
            pool: secure_pool.clone(),
            master_key,
            clock: Arc::clone(&clock),
            rng: Arc::clone(&rng),
            relay_delay: RELAY_DELAY,
            rsa_keys_ahead: RSA_KEYS_AHEAD,
            data_key_seals_max: DATA_KEY_SEALS_MAX,
        })
        .await
        .context("opening the Secure Service")?;
        let secure = Arc::new(secure);
        let core = Core::open(CoreOptions {
            pool: core_pool.clone(),
            secure: SecureClient::new(Arc::clone(&secure) as _),
            clock: Arc::clone(&clock),
            rng: Arc::clone(&rng),
            settings: Settings::default(),
        });
        Ok(Self {
            core,
            secure,
            core_pool,
            secure_pool,
            clock,
            rng,
        })
    }

    /// Closes the connections to both databases.
    pub(crate) async fn close(&self) {
        self.core_pool.close().await;
        self.secure_pool.close().await;
    }
}
