//! Why a database cannot be migrated, rolled back or served, and what to do about it.

use crate::catalogue::Difference;
use crate::error::DatabaseError;

/// Most differences that a message lists.
const DIFFERENCES_LISTED_MAX: usize = 20;

/// Why a database cannot be migrated, rolled back or served.
///
/// The messages are for the person who runs `clm`: each says what was wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The database does not answer, or a statement of the runner failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Another migrator holds the lock.
    #[error(
        "{database} is being migrated by somebody else ({holder}); gave up after {waited_seconds} seconds. \
         Wait for it to end, or end that session, and try again"
    )]
    Busy {
        /// Which database.
        database: &'static str,
        /// How long it was waited for.
        waited_seconds: u64,
        /// Program, role, address and backend of the other one.
        holder: String,
    },
    /// There is a table `schema_migrations` with other columns.
    #[error(
        "the table schema_migrations in {database} was made by another tool: \
         give clm a database of its own (clm db init makes one)"
    )]
    ForeignHistory {
        /// Which database.
        database: &'static str,
    },
    /// The user may not read `schema_migrations`.
    #[error(
        "this user may not read schema_migrations in {database}: \
         run `clm db migrate` as an administrator, which sets the grants"
    )]
    Unreadable {
        /// Which database.
        database: &'static str,
    },
    /// No migration was ever applied.
    #[error(
        "{database} has no schema yet: run `clm db migrate` as an administrator \
         (or `clm db init` to prepare a new server)"
    )]
    NotInitialized {
        /// Which database.
        database: &'static str,
    },
    /// The schema is older than the program.
    #[error(
        "the schema of {database} has version {found:03}, this program needs {needed:03}: \
         run `clm db migrate` as an administrator"
    )]
    Outdated {
        /// Which database.
        database: &'static str,
        /// The newest version in the database.
        found: i32,
        /// The newest version of the program.
        needed: i32,
    },
    /// The schema is newer than the program, and does not declare itself compatible with it.
    #[error(
        "the schema of {database} has version {found:03}, made by a newer program; this one ({program_version}) \
         knows up to {known:03}, and version {found:03} asks for {min_program_version} or newer: use a newer clm"
    )]
    Newer {
        /// Which database.
        database: &'static str,
        /// The newest version in the database.
        found: i32,
        /// The newest version of the program.
        known: i32,
        /// The version of the program.
        program_version: &'static str,
        /// The oldest program that the schema works with.
        min_program_version: String,
    },
    /// A version below the newest was never applied.
    #[error(
        "{database} has migration {applied:03} but not {missing:03}, which comes before it: \
         restore the database from a backup, or find out how {applied:03} was applied and apply {missing:03} by hand"
    )]
    Gap {
        /// Which database.
        database: &'static str,
        /// The version that is not there.
        missing: i32,
        /// The newest version that is.
        applied: i32,
    },
    /// A file is no longer the one that was applied.
    #[error(
        "{file} is not the file that {database} was made with (SHA-256 {recorded}… there, {embedded}… here). \
         If this is a released schema, use the program that belongs to it. Before the first release this file is edited \
         in place, and a database made with an earlier text has to be made again, which destroys what is in it: \
         `clm db rollback --to 000 --destroy-data`, then `clm db migrate`"
    )]
    Changed {
        /// Which database.
        database: &'static str,
        /// The file.
        file: String,
        /// The beginning of the checksum in `schema_migrations`.
        recorded: String,
        /// The beginning of the checksum of our file.
        embedded: String,
    },
    /// A statement of a file failed; all of the file was rolled back.
    #[error("{file}, line {line}: {message} (SQLSTATE {code}){}", advice(code, hint.as_deref()))]
    ScriptFailed {
        /// The file.
        file: String,
        /// The line of the statement, or of what is wrong in it.
        line: usize,
        /// SQLSTATE.
        code: String,
        /// What the server says.
        message: String,
        /// What the server or the file advises.
        hint: Option<String>,
    },
    /// A rollback would destroy what cannot be made again.
    #[error(
        "{message}. Back the database up (`clm db backup`); to destroy that data nevertheless, add --destroy-data"
    )]
    RollbackRefused {
        /// What is still there.
        message: String,
    },
    /// A file ran but did not leave (or, rolling back, remove) its row in `schema_migrations`.
    #[error(
        "{file} ran without error but did not keep schema_migrations up to date: the file is broken"
    )]
    NotRecorded {
        /// The file.
        file: String,
    },
    /// A file was applied by hand, and the database does not look as the file would have left it.
    #[error(
        "migration {version:03} of {database} was applied by hand, and the database differs from what it should be; \
         put these right, or apply the file again by hand (it changes nothing that is there), and try again:{}",
        listing(differences)
    )]
    AdoptionRefused {
        /// Which database.
        database: &'static str,
        /// The newest version that was applied by hand.
        version: i32,
        /// What differs.
        differences: Vec<Difference>,
    },
    /// There is no such version to roll back to.
    #[error(
        "there is no version {version:03} to roll back to: choose one from 000 (nothing) to {latest:03}"
    )]
    UnknownTarget {
        /// The version asked for.
        version: i32,
        /// The newest version.
        latest: i32,
    },
}

/// The hint of the server, and what we know about some codes.
fn advice(code: &str, hint: Option<&str>) -> String {
    let known = match code {
        "42501" => Some("Connect as a superuser."),
        "55P03" => Some("Another session holds a lock: end long transactions and try again."),
        _ => None,
    };
    hint.into_iter()
        .chain(known)
        .map(|advice| format!(" {advice}"))
        .collect()
}

fn listing(differences: &[Difference]) -> String {
    let mut text: String = differences
        .iter()
        .take(DIFFERENCES_LISTED_MAX)
        .map(|difference| format!("\n  {difference}"))
        .collect();
    if differences.len() > DIFFERENCES_LISTED_MAX {
        let more = differences.len() - DIFFERENCES_LISTED_MAX;
        text.push_str(&format!("\n  and {more} more (clm db verify lists all)"));
    }
    text
}
