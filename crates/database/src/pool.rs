//! Connection pools. A program has one per database; they share nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres};

use crate::error::DatabaseError;
use crate::scope::Scope;

/// Which of the two databases a pool is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Database {
    /// `clm_core_db`.
    Core,
    /// `clm_secure_db`.
    Secure,
}

impl Database {
    /// The name of the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "clm_core_db",
            Self::Secure => "clm_secure_db",
        }
    }

    /// The role that the program signs in as.
    pub const fn user(self) -> &'static str {
        match self {
            Self::Core => "clm_core_user",
            Self::Secure => "clm_secure_user",
        }
    }

    /// The role of [`Scope::System`].
    pub const fn system_role(self) -> &'static str {
        match self {
            Self::Core => "clm_core_system",
            Self::Secure => "clm_secure_system",
        }
    }
}

/// Sizes and times of a pool.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Most connections.
    pub connections_max: u32,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
    /// How long one statement may run on the server.
    pub statement_timeout: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            connections_max: 20,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
        }
    }
}

/// How long a connection is kept back for the next batch.
const WARM_FOR: Duration = Duration::from_secs(1);
/// Of so many connections one may be kept back: a small pool must not be emptied by that.
const CONNECTIONS_PER_WARM: u32 = 4;

/// A pool of connections to one database.
#[derive(Clone, Debug)]
pub struct Pool {
    inner: PgPool,
    database: Database,
    warm: Arc<Mutex<Warm>>,
}

/// Connections between two uses that follow each other closely, the last one used at the end.
#[derive(Debug, Default)]
struct Warm {
    connections: Vec<(Instant, PoolConnection<Postgres>)>,
    is_closed: bool,
}

/// An open transaction with its scope set. Dropping it rolls back.
pub type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

impl Pool {
    /// A pool that opens connections when they are needed; nothing is contacted yet.
    pub fn new(database: Database, connect: PgConnectOptions, options: &PoolOptions) -> Self {
        let connect = connect.application_name("clm").options([
            ("statement_timeout", millis(options.statement_timeout)),
            (
                "idle_in_transaction_session_timeout",
                millis(options.statement_timeout),
            ),
            ("timezone", "UTC".to_owned()),
        ]);
        let inner = PgPoolOptions::new()
            .max_connections(options.connections_max)
            .acquire_timeout(options.acquire_timeout)
            .idle_timeout(Duration::from_secs(600))
            // A ping before each use would cost a round trip; a dead connection fails its
            // statement, which callers treat as retriable anyway.
            .test_before_acquire(false)
            .connect_lazy_with(connect);
        Self {
            inner,
            database,
            warm: Arc::default(),
        }
    }

    /// Which database this is.
    pub const fn database(&self) -> Database {
        self.database
    }

    /// The pool for statements that carry their scope themselves (`WITH scope AS …`) or call a
    /// look-up function that needs none.
    pub const fn unscoped(&self) -> &PgPool {
        &self.inner
    }

    /// The connection that was kept back last, while it is fresh; otherwise one of the pool. The pool
    /// itself hands out the one that rested longest, whose backend has the coldest caches, and asks
    /// the server for a sign of life at each return: a round trip more for every statement.
    pub(crate) async fn acquire_warm(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let kept = self.warm().connections.pop();
        match kept {
            Some((since, connection)) if since.elapsed() < WARM_FOR => Ok(connection),
            _ => self.inner.acquire().await,
        }
    }

    /// Keeps a connection back for the next [`Self::acquire_warm`]. Only one that has just answered,
    /// outside a transaction.
    pub(crate) fn keep_warm(&self, connection: PoolConnection<Postgres>) {
        let now = Instant::now();
        let mut warm = self.warm();
        warm.connections
            .retain(|(since, _)| now.duration_since(*since) < WARM_FOR);
        let kept_max = self.inner.options().get_max_connections() / CONNECTIONS_PER_WARM;
        let has_room = u32::try_from(warm.connections.len()).is_ok_and(|kept| kept < kept_max);
        if has_room && !warm.is_closed {
            warm.connections.push((now, connection));
        }
    }

    fn warm(&self) -> MutexGuard<'_, Warm> {
        // No code runs under the lock that could leave the list half changed.
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a transaction in `scope`, in one round trip.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] and [`DatabaseError::Failed`].
    pub async fn begin(&self, scope: Scope) -> Result<Transaction, DatabaseError> {
        let statement = scope.begin_statement(self.database.system_role());
        self.inner
            .begin_with(AssertSqlSafe(statement))
            .await
            .map_err(|error| self.statement_error(error))
    }

    /// Sorts an error of a statement on this database.
    pub fn statement_error(&self, error: sqlx::Error) -> DatabaseError {
        DatabaseError::from_statement(self.database.name(), error)
    }

    /// Sorts an error of a commit on this database.
    pub fn commit_error(&self, transaction: &'static str, error: sqlx::Error) -> DatabaseError {
        DatabaseError::from_commit(self.database.name(), transaction, error)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`].
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        let mut connection = self
            .inner
            .acquire()
            .await
            .map_err(|error| self.statement_error(error))?;
        sqlx::Connection::ping(&mut *connection as &mut PgConnection)
            .await
            .map_err(|error| self.statement_error(error))
    }

    /// Listens on a channel, over a connection that is taken out of the pool for as long.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] and [`DatabaseError::Failed`].
    pub async fn listen(&self, channel: &'static str) -> Result<Listener, DatabaseError> {
        let listening = async {
            let mut inner = PgListener::connect_with(&self.inner).await?;
            inner.listen(channel).await?;
            Ok(inner)
        };
        let inner = listening
            .await
            .map_err(|error| self.statement_error(error))?;
        Ok(Listener {
            inner,
            database: self.database,
        })
    }

    /// Closes every connection and waits for those in use.
    pub async fn close(&self) {
        let kept = {
            let mut warm = self.warm();
            warm.is_closed = true;
            std::mem::take(&mut warm.connections)
        };
        // The pool waits for each of them.
        drop(kept);
        self.inner.close().await;
    }
}

/// Hears what is sent on a channel.
pub struct Listener {
    inner: PgListener,
    database: Database,
}

impl Listener {
    /// Waits for the next message. Whatever was sent meanwhile is lost when the connection breaks.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`] when the connection broke: listen anew.
    pub async fn hear(&mut self) -> Result<(), DatabaseError> {
        let heard = self.inner.try_recv().await;
        match heard {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(DatabaseError::from_statement(
                self.database.name(),
                sqlx::Error::WorkerCrashed,
            )),
            Err(error) => Err(DatabaseError::from_statement(self.database.name(), error)),
        }
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}
