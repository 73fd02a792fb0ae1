//! The catalogue check: does a database have exactly the tables, indexes, constraints, triggers,
//! views, policies, roles, grants and so on that our migrations and roles file make?
//!
//! What is expected is a snapshot, `migrations/<database>/catalogue.json`, taken of a freshly migrated
//! database (`cargo run -p clm-database --example catalogue_snapshot`) and part of the program. The
//! check reads `pg_catalog` only, so that any user of the database can make it, and changes nothing.
//! Start with [`verify`].

mod canonical;
mod partitions;
mod queries;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use self::partitions::Partition;
use self::queries::{
    FUNCTION, KINDS, OF_THE_ROLES_FILE, PARAMETER_GRANT, PARTITION, POLICY, ROLE, SEED_ROW, TABLE,
    VIEW,
};
use crate::error::DatabaseError;
use crate::migrate::{MigrationSet, migrations};
use crate::pool::Database;

/// How the server shall write what we compare, and whose seed rows a user of row-level security sees:
/// those of the system organization.
const READING_SETTINGS: &str = "SET LOCAL search_path = pg_catalog; SET LOCAL timezone = 'UTC'; \
     SET LOCAL datestyle = 'ISO'; SET LOCAL quote_all_identifiers = off; \
     SET LOCAL app.current_org_id = '00000000-0000-0000-0000-000000000001'";

/// From this version on, the server writes EXTRACT and AT TIME ZONE as in SQL; before it, as calls.
const SQL_SYNTAX_SINCE: i32 = 140_000;

/// From this version on, the setting of a parameter can be granted (`pg_parameter_acl`).
const PARAMETER_GRANTS_SINCE: i32 = 150_000;

/// What changes how the schema works or who sees what. A table or an index more does neither.
const REFUSED_IN_EXCESS: [&str; 5] = [POLICY, "trigger", "rule", FUNCTION, VIEW];

/// One way in which a database differs from what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// table, partition, column, index, constraint, trigger, view, policy, role, role attribute, role
    /// membership, grant, extension, function, ownership, comment, seed row, sequence, type, rule, setting,
    /// parameter grant, schema, publication, event trigger, foreign server.
    pub kind: &'static str,
    /// What: `users.ix_users_email` for things of a table, `users: SELECT to clm_auditor` for grants.
    pub name: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// It should be there and is not.
    Missing,
    /// It is there and should not be.
    Excess,
    /// It is not as it should be.
    Different {
        /// How it should be.
        expected: String,
        /// How it is.
        found: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::Missing => write!(f, "missing {} {}", self.kind, self.name),
            Problem::Excess => write!(f, "excess {} {}", self.kind, self.name),
            Problem::Different { expected, found } => write!(
                f,
                "different {} {}: should be {expected:?}, is {found:?}",
                self.kind, self.name
            ),
        }
    }
}

/// The objects of a database by kind, each with its name and a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogue {
    objects: BTreeMap<&'static str, Objects>,
    /// `server_version_num`.
    server_version: i32,
    /// The months that must have partitions, as `y2026m11`.
    months: Vec<String>,
}

type Objects = BTreeMap<String, String>;

/// The snapshot as a file.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Snapshot(BTreeMap<String, Objects>);

/// Compares a database with what the program expects. `connect` may be any user that may connect, the
/// application's own included.
///
/// # Errors
/// [`DatabaseError`].
pub async fn verify(
    connect: &PgConnectOptions,
    database: Database,
) -> Result<Vec<Difference>, DatabaseError> {
    let options = connect.clone().application_name("clm db verify");
    let failed = |error| DatabaseError::from_statement(database.name(), error);
    let mut connection = options.connect().await.map_err(failed)?;
    let differences = verify_on(&mut connection, database).await?;
    let _farewell = connection.close().await;
    Ok(differences)
}

/// [`verify`] on a connection, also within its open transaction.
///
/// # Errors
/// [`DatabaseError`].
pub async fn verify_on(
    connection: &mut PgConnection,
    database: Database,
) -> Result<Vec<Difference>, DatabaseError> {
    let set = migrations(database);
    let found = read(connection, set, |_| true).await?;
    Ok(differences(&expected(set)?, &found))
}

/// Reads all objects of a database.
///
/// # Errors
/// [`DatabaseError`].
pub async fn read_catalogue(
    connection: &mut PgConnection,
    database: Database,
) -> Result<Catalogue, DatabaseError> {
    read(connection, migrations(database), |_| true).await
}

/// The snapshot of a catalogue: what every database like it has, in whatever month. None for servers
/// before version 14, which cannot tell enough.
pub fn snapshot_json(catalogue: &Catalogue) -> Option<String> {
    if catalogue.server_version < SQL_SYNTAX_SINCE {
        return None;
    }
    let partitions = catalogue.partitions();
    let mut snapshot: BTreeMap<String, Objects> = BTreeMap::new();
    for (kind, objects) in &catalogue.objects {
        let general = objects.iter().map(|(name, definition)| {
            (
                partitions::generalized(&partitions, name),
                partitions::generalized(&partitions, definition),
            )
        });
        snapshot.insert((*kind).to_owned(), general.collect());
    }
    let mut text = serde_json::to_string_pretty(&Snapshot(snapshot)).ok()?;
    text.push('\n');
    Some(text)
}

/// What keeps a schema from being adopted: what is missing, or is other than it should be, of what
/// migrations make (no grants, no roles, no months, which the running program adds), and in excess what
/// would change how that works.
pub(crate) async fn missing_structure(
    connection: &mut PgConnection,
    set: &MigrationSet,
) -> Result<Vec<Difference>, DatabaseError> {
    let expected = expected(set)?;
    // Those that belong to a role are of the roles file, which may have run or not, and heals them.
    let is_of_a_role = |difference: &Difference| {
        difference.kind == POLICY
            && expected
                .of_kind(POLICY)
                .any(|(name, text)| *name == difference.name && !text.contains(" TO PUBLIC "))
    };
    let found = read(connection, set, |kind| !OF_THE_ROLES_FILE.contains(&kind)).await?;
    let mut differences = differences(&expected, &found);
    differences.retain(|difference| match difference.problem {
        Problem::Excess => REFUSED_IN_EXCESS.contains(&difference.kind),
        Problem::Missing if difference.kind == PARTITION => false,
        _ => !is_of_a_role(difference),
    });
    Ok(differences)
}

impl Catalogue {
    fn of_kind(&self, kind: &str) -> impl Iterator<Item = (&String, &String)> {
        self.objects.get(kind).into_iter().flatten()
    }

    /// The partitions that are named by their month.
    fn partitions(&self) -> Vec<Partition> {
        self.of_kind(PARTITION)
            .filter_map(|(name, _)| Partition::parse(name))
            .collect()
    }

    /// What a snapshot means for a database with the partitions of `found`.
    fn expanded_for(&self, found: &Self) -> Self {
        let tables: Vec<&str> = self
            .of_kind(PARTITION)
            .filter_map(|(name, _)| partitions::table_of(name))
            .collect();
        let mut partitions = found.partitions();
        partitions.retain(|partition| tables.contains(&partition.table()));
        for month in &found.months {
            let due = tables
                .iter()
                .filter_map(|table| Partition::of_month(table, month));
            partitions.extend(due);
        }
        let expand = |(name, definition): (&String, &String)| -> Objects {
            partitions::specialized(&partitions, name, definition)
        };
        let objects = self
            .objects
            .iter()
            .map(|(kind, objects)| (*kind, objects.iter().flat_map(expand).collect()))
            .collect();
        Self {
            objects,
            server_version: found.server_version,
            months: found.months.clone(),
        }
    }
}

fn expected(set: &MigrationSet) -> Result<Catalogue, DatabaseError> {
    let Snapshot(mut snapshot) = serde_json::from_str(set.catalogue).map_err(|error| {
        let message = format!("the catalogue snapshot in the program is broken: {error}");
        DatabaseError::Failed {
            database: set.database.name(),
            message,
        }
    })?;
    let objects = kinds()
        .filter_map(|kind| Some((kind, snapshot.remove(kind)?)))
        .collect();
    Ok(Catalogue {
        objects,
        server_version: SQL_SYNTAX_SINCE,
        months: Vec::new(),
    })
}

/// Every kind in the order of reports.
fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name).chain([SEED_ROW])
}

/// Reads the kinds that are asked for.
async fn read(
    connection: &mut PgConnection,
    set: &MigrationSet,
    is_asked_for: impl Fn(&str) -> bool,
) -> Result<Catalogue, DatabaseError> {
    let failed = |error| DatabaseError::from_statement(set.database.name(), error);
    // A savepoint where a transaction is open: the settings end with it either way.
    let mut transaction = connection.begin().await.map_err(failed)?;
    let catalogue = read_within(&mut transaction, set, is_asked_for)
        .await
        .map_err(failed)?;
    transaction.rollback().await.map_err(failed)?;
    Ok(catalogue)
}

async fn read_within(
    connection: &mut PgConnection,
    set: &MigrationSet,
    is_asked_for: impl Fn(&str) -> bool,
) -> sqlx::Result<Catalogue> {
    sqlx::raw_sql(READING_SETTINGS)
        .execute(&mut *connection)
        .await?;
    let (server_version, months): (i32, Vec<String>) = sqlx::query_as(queries::VERSION_AND_MONTHS)
        .persistent(false)
        .fetch_one(&mut *connection)
        .await?;
    let exists = |kind: &str| kind != PARAMETER_GRANT || server_version >= PARAMETER_GRANTS_SINCE;
    let mut objects = BTreeMap::new();
    for kind in KINDS
        .iter()
        .filter(|kind| exists(kind.name) && is_asked_for(kind.name))
    {
        let rows: Vec<(String, String)> = sqlx::query_as(kind.query)
            .bind(role_pattern(set.database))
            .persistent(false)
            .fetch_all(&mut *connection)
            .await?;
        let canonical = if kind.name == VIEW {
            canonical::view
        } else {
            canonical::text
        };
        let rows = rows
            .into_iter()
            .map(|(name, definition)| (name, canonical(&definition)));
        objects.insert(kind.name, rows.collect());
    }
    if let Some(query) = set.seed_rows_sql.filter(|_| is_asked_for(SEED_ROW)) {
        objects.insert(SEED_ROW, seed_rows(connection, query).await?);
    }
    Ok(Catalogue {
        objects,
        server_version,
        months,
    })
}

/// No rows where the tables or columns to read are missing, which is told as such.
async fn seed_rows(connection: &mut PgConnection, query: &'static str) -> sqlx::Result<Objects> {
    let mut savepoint = connection.begin().await?;
    let rows: sqlx::Result<Vec<(String, String)>> = sqlx::query_as(query)
        .persistent(false)
        .fetch_all(&mut *savepoint)
        .await;
    savepoint.rollback().await?;
    match rows {
        Ok(rows) => Ok(rows.into_iter().collect()),
        Err(error) if is_undefined(&error) => Ok(Objects::new()),
        Err(error) => Err(error),
    }
}

/// SQLSTATE 42P01 undefined table, 42703 undefined column.
fn is_undefined(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("42P01" | "42703"))
}

/// The roles of one database; those of both are named in the queries.
const fn role_pattern(database: Database) -> &'static str {
    match database {
        Database::Core => r"clm\_core\_%",
        Database::Secure => r"clm\_secure\_%",
    }
}

/// `expected` is a snapshot, `found` a live catalogue, which decides on the kinds to compare.
fn differences(expected: &Catalogue, found: &Catalogue) -> Vec<Difference> {
    let expected = expected.expanded_for(found);
    let none = Objects::new();
    let mut differences = Vec::new();
    for kind in kinds() {
        let Some(present) = found.objects.get(kind) else {
            continue;
        };
        let wanted = expected.objects.get(kind).unwrap_or(&none);
        let names: BTreeSet<&String> = wanted.keys().chain(present.keys()).collect();
        for name in names {
            let problem = match (wanted.get(name), present.get(name)) {
                (Some(_), None) => Problem::Missing,
                (None, Some(_)) => Problem::Excess,
                (Some(wanted), Some(present)) if !is_same(wanted, present, found) => {
                    Problem::Different {
                        expected: wanted.clone(),
                        found: present.clone(),
                    }
                }
                _ => continue,
            };
            differences.push(Difference {
                kind,
                name: name.clone(),
                problem,
            });
        }
    }
    without_consequences(differences)
}

fn is_same(expected: &str, found: &str, catalogue: &Catalogue) -> bool {
    // Versions that are out of maintenance write these another way. The names and types of the columns
    // are still compared.
    let is_written_otherwise = catalogue.server_version < SQL_SYNTAX_SINCE
        && (expected.contains("EXTRACT(") || expected.contains(" AT TIME ZONE "));
    expected == found || is_written_otherwise
}

/// Leaves out what follows from another difference: a missing table has no columns either.
fn without_consequences(mut differences: Vec<Difference>) -> Vec<Difference> {
    let gone_or_new: BTreeSet<String> = differences
        .iter()
        .filter(|difference| {
            matches!(difference.kind, TABLE | PARTITION | VIEW | FUNCTION | ROLE)
                && matches!(difference.problem, Problem::Missing | Problem::Excess)
        })
        .map(|difference| difference.name.clone())
        .collect();
    differences.retain(|difference| {
        matches!(difference.kind, TABLE | PARTITION | VIEW | FUNCTION | ROLE)
            || !gone_or_new.contains(owner_of(&difference.name))
    });
    differences
}

/// The table, view, function or role that a name starts with.
fn owner_of(name: &str) -> &str {
    name.split(['.', ':']).next().unwrap_or(name)
}
