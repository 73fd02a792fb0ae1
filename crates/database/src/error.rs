//! What can go wrong between the program and PostgreSQL, sorted by what the caller can do.

use std::sync::Arc;

/// An error of the database layer. Its text never holds a bound value. It can be cloned, for all who
/// waited for the same statement.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The server cannot be reached, is starting, stopping or out of connections.
    #[error("the database {database} is not available")]
    Unavailable {
        /// Which database.
        database: &'static str,
        /// The cause.
        source: Arc<sqlx::Error>,
    },
    /// The connection broke while the outcome of a commit was open.
    #[error("the outcome of transaction {transaction} on {database} is unknown")]
    OutcomeUnknown {
        /// Which database.
        database: &'static str,
        /// The name of the transaction.
        transaction: &'static str,
        /// The cause.
        source: Arc<sqlx::Error>,
    },
    /// A unique index or exclusion refused the row.
    #[error("constraint {constraint} refused a duplicate")]
    Duplicate {
        /// The name of the constraint or index.
        constraint: String,
    },
    /// Another constraint refused the row.
    #[error("constraint {constraint} refused the row")]
    ConstraintViolated {
        /// The name of the constraint.
        constraint: String,
    },
    /// A statement that must change something changed nothing.
    #[error("{statement} touched no row")]
    NothingChanged {
        /// The name of the statement.
        statement: &'static str,
    },
    /// A stored value is not one that this program knows.
    #[error("{column} holds a value that this program does not know: {message}")]
    UnknownStoredValue {
        /// Table and column.
        column: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// Anything else.
    #[error("a statement on {database} failed: {message}")]
    Failed {
        /// Which database.
        database: &'static str,
        /// SQLSTATE and primary message; never the detail, which may hold values.
        message: String,
    },
}

/// SQLSTATE 40001.
const SERIALIZATION_FAILURE: &str = "40001";
/// SQLSTATE 40P01.
const DEADLOCK_DETECTED: &str = "40P01";

impl DatabaseError {
    /// Sorts an error of a statement that was not a commit.
    pub fn from_statement(database: &'static str, error: sqlx::Error) -> Self {
        if is_connection_lost(&error) {
            return Self::Unavailable {
                database,
                source: Arc::new(error),
            };
        }
        match error.as_database_error() {
            Some(reported) => {
                let constraint = reported.constraint().unwrap_or_default().to_owned();
                if reported.is_unique_violation() {
                    Self::Duplicate { constraint }
                } else if reported.is_foreign_key_violation() || reported.is_check_violation() {
                    Self::ConstraintViolated { constraint }
                } else {
                    let code = reported.code().unwrap_or_default();
                    Self::Failed {
                        database,
                        message: format!("{code} {}", reported.message()),
                    }
                }
            }
            None => Self::Failed {
                database,
                message: error.to_string(),
            },
        }
    }

    /// Sorts an error of a commit, or of a single statement that commits by itself: when the
    /// connection broke, nobody knows whether it took effect.
    pub fn from_commit(
        database: &'static str,
        transaction: &'static str,
        error: sqlx::Error,
    ) -> Self {
        let is_open = !matches!(error, sqlx::Error::PoolTimedOut) && !is_rolled_back(&error);
        if is_connection_lost(&error) && is_open {
            Self::OutcomeUnknown {
                database,
                transaction,
                source: Arc::new(error),
            }
        } else {
            Self::from_statement(database, error)
        }
    }

    /// Whether trying again can help, because the server or the connection was at fault.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::OutcomeUnknown { .. })
    }

    /// Whether the statement itself was at fault, or too much for the server: a smaller one may work.
    pub(crate) fn is_of_the_statement(&self) -> bool {
        match self {
            Self::Unavailable { source, .. } => is_rolled_back(source),
            other => !other.is_unavailable(),
        }
    }

    /// Whether this is a duplicate in the named index.
    pub fn is_duplicate_of(&self, index: &str) -> bool {
        matches!(self, Self::Duplicate { constraint } if constraint == index)
    }
}

/// Whether the server chose this transaction as the one to be repeated.
pub(crate) fn is_retriable(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == SERIALIZATION_FAILURE || code == DEADLOCK_DETECTED)
}

/// Whether the server reported that it gave the statement up: 57014 it took too long, 53100 and 53200
/// disk or memory did not suffice. Nothing of it was kept then.
fn is_rolled_back(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| matches!(code.as_ref(), "57014" | "53100" | "53200"))
}

/// Whether the connection, or the server behind it, is gone or overloaded.
fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        // Class 08 connection exception, 53 insufficient resources (connections, memory, disk), 57P0x
        // shutdown and starting up, 57014 a statement that took too long.
        sqlx::Error::Database(reported) => reported.code().is_some_and(|code| {
            code.starts_with("08")
                || code.starts_with("53")
                || code.starts_with("57P")
                || code == "57014"
        }),
        _ => false,
    }
}
