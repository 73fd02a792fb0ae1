//! The migration runner: brings a database to the newest schema that the program knows, tells what
//! it has been through, and takes versions back.
//!
//! The files are ordinary SQL with their own transactions, which people may apply with psql; the
//! runner recognises that. It never edits a schema by itself and names no business table. Start with
//! [`Migrator::migrate`].

mod error;
mod history;
mod lock;
mod plan;
mod script;
mod set;
#[cfg(test)]
pub(crate) mod tests;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

pub use self::error::MigrateError;
pub use self::set::{Migration, MigrationSet, migrations};
use crate::catalogue;
use crate::error::DatabaseError;
use crate::pool::{Database, Pool};

/// The version that schemas are compared with when they name a minimum.
pub const PROGRAM_VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long a migrator waits for another one.
const LOCK_WAIT: Duration = Duration::from_secs(300);

/// How long a statement of a migration may wait for a lock on a table, so that a forgotten
/// transaction ends in a message and not in a standstill of everybody queued behind.
const SESSION_SETTINGS: &str = "SET statement_timeout = 0; SET lock_timeout = '60s'; \
     SET idle_in_transaction_session_timeout = 0";

/// How often the roles file is tried: catalog rows of roles are shared by all databases of a server,
/// and two transactions that change one of them make one fail.
const ROLES_ATTEMPTS_MAX: u32 = 5;
const ROLES_RETRY_DELAY: Duration = Duration::from_millis(300);

/// Brings one database to the newest schema, or back.
#[derive(Debug)]
pub struct Migrator<'a> {
    admin: &'a PgConnectOptions,
    set: &'a MigrationSet,
    lock_wait: Duration,
}

/// What [`Migrator::migrate`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationReport {
    /// The version of the schema now.
    pub version: i32,
    /// What was applied, in order.
    pub applied: Vec<AppliedMigration>,
    /// Versions that were applied by hand, and that were found to be right.
    pub adopted: Vec<i32>,
}

/// A migration that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedMigration {
    /// Its number.
    pub version: i32,
    /// Its file name without extension.
    pub name: &'static str,
    /// How long it took.
    pub execution_time_ms: i64,
}

/// What [`Migrator::rollback`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackReport {
    /// The version of the schema now; 0 when nothing is left.
    pub version: i32,
    /// The versions taken back, in the order in which that was done.
    pub undone: Vec<i32>,
}

/// One line of [`Migrator::status`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The number.
    pub version: i32,
    /// What it does, in words.
    pub description: String,
    /// Where it stands.
    pub state: MigrationState,
    /// When, by which role and in how many milliseconds it was applied.
    pub applied: Option<(DateTime<Utc>, String, Option<i64>)>,
}

/// Where a migration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationState {
    /// Applied from the text that we have.
    Applied,
    /// Applied by hand; the next `migrate` checks and adopts it.
    AppliedByHand,
    /// Applied from another text.
    Changed,
    /// Not applied yet.
    Pending,
    /// Not applied, although later ones were.
    Skipped,
    /// Applied by a newer program.
    Unknown,
}

impl std::fmt::Display for MigrationState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Applied => "applied",
            Self::AppliedByHand => "applied by hand",
            Self::Changed => "changed",
            Self::Pending => "pending",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
        })
    }
}

impl<'a> Migrator<'a> {
    /// A migrator that connects with `admin`, an administrator's options with the database selected.
    pub fn new(admin: &'a PgConnectOptions, database: Database) -> Self {
        Self::with_set(admin, migrations(database))
    }

    pub(crate) const fn with_set(admin: &'a PgConnectOptions, set: &'a MigrationSet) -> Self {
        Self {
            admin,
            set,
            lock_wait: LOCK_WAIT,
        }
    }

    /// Waits at most this long for another migrator; five minutes unless said otherwise.
    #[must_use]
    pub const fn lock_wait(mut self, lock_wait: Duration) -> Self {
        self.lock_wait = lock_wait;
        self
    }

    /// Applies what is missing, adopts what was applied by hand, and runs the roles file, which sets
    /// owners, grants and role-bound policies. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`MigrateError`]. What was applied before the error stays: each file is a transaction of its
    /// own, and running it again continues there.
    pub async fn migrate(&self) -> Result<MigrationReport, MigrateError> {
        let database = self.set.database;
        let mut session = self.lock().await?;
        let recorded = history::read(&mut session, database)
            .await?
            .unwrap_or_default();
        let plan = plan::forwards(self.set, &recorded)?;

        let mut applied = Vec::with_capacity(plan.apply.len());
        for migration in plan.apply {
            applied.push(self.apply(&mut session, migration).await?);
        }
        self.adopt(&mut session, &plan.adopt).await?;
        self.run_roles_file().await?;

        let adopted = plan
            .adopt
            .iter()
            .map(|migration| migration.version)
            .collect();
        // The lock goes with the session.
        let _farewell = session.close().await;
        Ok(MigrationReport {
            version: self.set.latest(),
            applied,
            adopted,
        })
    }

    /// What was applied, what is missing, what does not fit. Changes nothing and waits for nobody;
    /// any user that may read `schema_migrations` will do.
    ///
    /// # Errors
    /// [`MigrateError::Database`], [`MigrateError::ForeignHistory`], [`MigrateError::Unreadable`].
    pub async fn status(&self) -> Result<Vec<MigrationStatus>, MigrateError> {
        let mut session = self.connect().await?;
        let recorded = history::read(&mut session, self.set.database)
            .await?
            .unwrap_or_default();
        let _farewell = session.close().await;
        Ok(plan::status(self.set, &recorded))
    }

    /// Takes back every version above `to`, newest first. The rollback files refuse while there are
    /// keys, certificates or audit rows, unless `destroy_data` says otherwise, which also allows
    /// taking back a schema that was made from other texts. Roles stay: they belong to the server.
    ///
    /// # Errors
    /// [`MigrateError::RollbackRefused`], [`MigrateError::UnknownTarget`] and others. Each version is
    /// a transaction of its own.
    pub async fn rollback(
        &self,
        to: i32,
        destroy_data: bool,
    ) -> Result<RollbackReport, MigrateError> {
        let database = self.set.database;
        let mut session = self.lock().await?;
        let recorded = history::read(&mut session, database)
            .await?
            .unwrap_or_default();
        let mut undone = Vec::new();
        for migration in plan::backwards(self.set, &recorded, to, destroy_data)? {
            self.undo(migration, destroy_data).await?;
            undone.push(migration.version);
        }
        let left = history::read(&mut session, database)
            .await?
            .unwrap_or_default();
        if let Some(stayed) = left.iter().find(|row| undone.contains(&row.version)) {
            let file = format!("the rollback file of {:03}", stayed.version);
            return Err(MigrateError::NotRecorded { file });
        }
        let _farewell = session.close().await;
        let version = left.last().map_or(0, |row| row.version);
        Ok(RollbackReport { version, undone })
    }

    async fn apply(
        &self,
        session: &mut PgConnection,
        migration: &'static Migration,
    ) -> Result<AppliedMigration, MigrateError> {
        let database = self.set.database;
        let file = format!("{}.sql", migration.name);
        let started = Instant::now();
        script::run(self.connect().await?, database, &file, migration.sql).await?;
        let execution_time_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        history::record(&mut *session, database, migration, Some(execution_time_ms)).await?;
        tracing::info!(
            database.name = database.name(),
            migration.name = migration.name,
            execution_time_ms,
            "migration applied"
        );
        Ok(AppliedMigration {
            version: migration.version,
            name: migration.name,
            execution_time_ms,
        })
    }

    /// A file applied by hand may have been another text, or half of it. The database as it is now
    /// decides; what goes beyond the schema (an index of the operator's own) is no obstacle.
    async fn adopt(
        &self,
        session: &mut PgConnection,
        by_hand: &[&'static Migration],
    ) -> Result<(), MigrateError> {
        let Some(newest) = by_hand.last() else {
            return Ok(());
        };
        let database = self.set.database;
        let differences = catalogue::missing_structure(session, self.set).await?;
        if !differences.is_empty() {
            let version = newest.version;
            return Err(MigrateError::AdoptionRefused {
                database: database.name(),
                version,
                differences,
            });
        }
        for migration in by_hand {
            history::record(&mut *session, database, migration, None).await?;
            tracing::info!(
                database.name = database.name(),
                migration.name = migration.name,
                "migration was applied by hand and is adopted"
            );
        }
        Ok(())
    }

    async fn run_roles_file(&self) -> Result<(), MigrateError> {
        let database = self.set.database;
        let mut attempt = 1;
        loop {
            let connection = self.connect().await?;
            match script::run(
                connection,
                database,
                self.set.roles_file(),
                self.set.roles_sql,
            )
            .await
            {
                Err(error) if attempt < ROLES_ATTEMPTS_MAX && is_role_conflict(&error) => {
                    tracing::debug!(
                        database.name = database.name(),
                        attempt,
                        "roles file is repeated"
                    );
                    attempt += 1;
                    tokio::time::sleep(ROLES_RETRY_DELAY).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn undo(
        &self,
        migration: &'static Migration,
        destroy_data: bool,
    ) -> Result<(), MigrateError> {
        let database = self.set.database;
        let mut connection = self.connect().await?;
        if destroy_data {
            sqlx::raw_sql("SET clm.destroy_data = 'on'")
                .execute(&mut connection)
                .await
                .map_err(|error| DatabaseError::from_statement(database.name(), error))?;
        }
        let file = format!("rollback/{}.sql", migration.name);
        script::run(connection, database, &file, migration.rollback_sql)
            .await
            .map_err(refusal)?;
        tracing::warn!(
            database.name = database.name(),
            migration.name = migration.name,
            destroy_data,
            "migration taken back"
        );
        Ok(())
    }

    async fn lock(&self) -> Result<PgConnection, MigrateError> {
        let mut session = self.connect().await?;
        lock::acquire(&mut session, self.set.database, self.lock_wait).await?;
        Ok(session)
    }

    async fn connect(&self) -> Result<PgConnection, DatabaseError> {
        let sort = |error| DatabaseError::from_statement(self.set.database.name(), error);
        let options = self
            .admin
            .clone()
            .application_name("clm db")
            .disable_statement_logging();
        let mut connection = options.connect().await.map_err(sort)?;
        sqlx::raw_sql(SESSION_SETTINGS)
            .execute(&mut connection)
            .await
            .map_err(sort)?;
        Ok(connection)
    }
}

/// Whether the program can work with the schema that it finds, asked as the application's user
/// before it serves. A newer schema will do where it says so, which lets replicas be upgraded one by
/// one; versions applied by hand will do, too.
///
/// # Errors
/// [`MigrateError::NotInitialized`], [`MigrateError::Outdated`], [`MigrateError::Newer`],
/// [`MigrateError::Changed`], [`MigrateError::Gap`], [`MigrateError::Unreadable`] and
/// [`MigrateError::Database`], each with the command that helps.
pub async fn check_for_serving(pool: &Pool) -> Result<(), MigrateError> {
    let database = pool.database();
    let mut connection = pool
        .unscoped()
        .acquire()
        .await
        .map_err(|error| pool.statement_error(error))?;
    let recorded = history::read(&mut connection, database)
        .await?
        .unwrap_or_default();
    plan::check_for_serving(migrations(database), &recorded)?;
    if recorded.iter().any(|row| row.checksum.is_none()) {
        tracing::warn!(
            database.name = database.name(),
            "the schema was applied by hand and not checked yet: run `clm db migrate`"
        );
    }
    Ok(())
}

/// Whether the roles file lost against another transaction that changed the same roles.
fn is_role_conflict(error: &MigrateError) -> bool {
    let MigrateError::ScriptFailed { code, message, .. } = error else {
        return false;
    };
    match code.as_str() {
        // Serialization failure, deadlock, role made by somebody else at the same moment.
        "40001" | "40P01" | "42710" | "23505" => true,
        "XX000" => message.contains("concurrently updated"),
        _ => false,
    }
}

/// The rollback files refuse with RAISE EXCEPTION, or as an object that is not in the right state.
fn refusal(error: MigrateError) -> MigrateError {
    match error {
        MigrateError::ScriptFailed { code, message, .. } if code == "P0001" || code == "55000" => {
            MigrateError::RollbackRefused { message }
        }
        other => other,
    }
}
