//! Databases, sign-in roles and their passwords: what a server needs before the first migration and
//! before the program can sign in.
//!
//! What the roles are and may do is said by `db/roles_*.sql` alone, which the migration runner runs.
//! No clear password leaves this process. Start with [`init`].

mod scram;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clm_domain::clock::{Rng, random_bytes};
use clm_domain::secret::SecretString;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use zeroize::Zeroizing;

use crate::error::DatabaseError;
use crate::migrate::{MigrateError, MigrationReport, Migrator};
use crate::pool::Database;

/// The database that every server has, for the time before ours exists.
pub const MAINTENANCE_DATABASE: &str = "postgres";

/// Random octets of a generated password.
const PASSWORD_OCTETS: usize = 32;

/// Locales to try, best first: the order of code points with and without knowledge of letters
/// beyond ASCII. Neither changes with the operating system, so that no upgrade of it breaks an index.
const LOCALES: [&str; 2] = ["C.UTF-8", "C"];

/// SQLSTATE 42P04, and 23505 when two make it at the same moment.
const DUPLICATE_DATABASE: [&str; 2] = ["42P04", "23505"];
/// SQLSTATE 42809, which CREATE DATABASE gives for a locale that the server does not have.
const INVALID_LOCALE: &str = "42809";

/// Why a server could not be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RolesError {
    /// The server does not answer or refused a statement.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The migration failed.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// A password that servers and clients might prepare differently (RFC 4013).
    #[error("a database password must consist of 1 to 1000 printable ASCII characters")]
    UnsuitablePassword,
}

/// What [`init`] did.
#[derive(Debug)]
pub struct InitReport {
    /// Which database.
    pub database: Database,
    /// Whether it was created.
    pub database_created: bool,
    /// The migrations.
    pub migrations: MigrationReport,
    /// The new password of [`Database::user`].
    pub password: SecretString,
}

impl InitReport {
    /// How the program connects, given how the administrator does.
    #[must_use]
    pub fn connect_options(&self, admin: &PgConnectOptions) -> PgConnectOptions {
        admin
            .clone()
            .database(self.database.name())
            .username(self.database.user())
            .password(self.password.expose())
    }
}

/// Prepares a server for one of the two databases: creates it, migrates it, makes the roles, and
/// gives the program's role a new password. Can be repeated; the password is a new one each time, so
/// that programs which run with the old one must be told.
///
/// `admin` are the options of an administrator; the database in them is used only to create ours.
///
/// # Errors
/// [`RolesError`]; what was done before it stays, and repeating continues there.
pub async fn init(
    admin: &PgConnectOptions,
    database: Database,
    rng: &dyn Rng,
) -> Result<InitReport, RolesError> {
    let database_created = create_database_if_missing(admin, database).await?;
    let in_database = admin.clone().database(database.name());
    let migrations = Migrator::new(&in_database, database).migrate().await?;
    let password = generate_password(rng);
    set_password(&in_database, database.user(), &password, rng).await?;
    Ok(InitReport {
        database,
        database_created,
        migrations,
        password,
    })
}

/// Creates the database, in UTF-8 and with a locale that never changes. Says whether it was missing.
///
/// # Errors
/// [`DatabaseError`], also when the user may not create databases.
pub async fn create_database_if_missing(
    admin: &PgConnectOptions,
    database: Database,
) -> Result<bool, DatabaseError> {
    create_named_database_if_missing(admin, database.name()).await
}

/// [`create_database_if_missing`] under another name, as tests and operators of shared servers have it.
///
/// # Errors
/// [`DatabaseError`].
pub async fn create_named_database_if_missing(
    admin: &PgConnectOptions,
    name: &str,
) -> Result<bool, DatabaseError> {
    let mut connection = connect(admin).await?;
    let exists: bool = sqlx::query_scalar(
        "-- roles::database_exists
         SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)",
    )
    .bind(name)
    .fetch_one(&mut connection)
    .await
    .map_err(statement_error)?;
    let created = if exists {
        false
    } else {
        create(&mut connection, name).await?
    };
    let _farewell = connection.close().await;
    Ok(created)
}

/// Sets the password of a role. The server gets the SCRAM-SHA-256 verifier only, so that the
/// password itself can be in none of its logs.
///
/// # Errors
/// [`RolesError::UnsuitablePassword`] and [`RolesError::Database`].
pub async fn set_password(
    admin: &PgConnectOptions,
    role: &str,
    password: &SecretString,
    rng: &dyn Rng,
) -> Result<(), RolesError> {
    let verifier = scram::verifier(password, random_bytes(rng))?;
    // Neither is text from outside, and a verifier consists of Base64, `$` and `:`.
    let statement = format!(
        "ALTER ROLE {} PASSWORD '{}'",
        quoted(role),
        verifier.as_str()
    );
    let mut connection = connect(admin).await?;
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .map_err(statement_error)?;
    let _farewell = connection.close().await;
    Ok(())
}

/// A password of 256 random bits, in characters that URLs and files take as they are.
pub fn generate_password(rng: &dyn Rng) -> SecretString {
    let octets: Zeroizing<[u8; PASSWORD_OCTETS]> = Zeroizing::new(random_bytes(rng));
    SecretString::new(URL_SAFE_NO_PAD.encode(octets.as_slice()))
}

async fn create(connection: &mut PgConnection, name: &str) -> Result<bool, DatabaseError> {
    let mut outcome = Ok(false);
    for locale in LOCALES {
        // template0, because template1 may hold things, and has a locale of its own.
        let statement = format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE '{locale}' LC_CTYPE '{locale}'",
            quoted(name)
        );
        let error = match sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut *connection)
            .await
        {
            Ok(_) => return Ok(true),
            Err(error) => error,
        };
        let code = error
            .as_database_error()
            .and_then(|reported| reported.code());
        match code.as_deref() {
            // Somebody else made it at this moment.
            Some(code) if DUPLICATE_DATABASE.contains(&code) => return Ok(false),
            Some(INVALID_LOCALE) => outcome = Err(statement_error(error)),
            _ => return Err(statement_error(error)),
        }
    }
    outcome
}

async fn connect(admin: &PgConnectOptions) -> Result<PgConnection, DatabaseError> {
    // Without logging of statements: a slow one would be written to our log.
    let options = admin
        .clone()
        .application_name("clm db")
        .disable_statement_logging();
    options.connect().await.map_err(statement_error)
}

fn statement_error(error: sqlx::Error) -> DatabaseError {
    DatabaseError::from_statement("server", error)
}

/// An SQL identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
