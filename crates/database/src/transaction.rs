//! Named transactions that are repeated when the server asks for it.

use std::future::Future;
use std::pin::Pin;

use sqlx::PgConnection;

use crate::error::{DatabaseError, is_retriable};
use crate::pool::Pool;
use crate::scope::Scope;

/// How often a transaction is tried when the server aborts it for a conflict.
pub(crate) const ATTEMPTS_MAX: u32 = 5;

/// The future of one attempt.
pub type Attempt<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// An error inside a transaction: that of a statement, or one that the caller decided on.
#[derive(Debug)]
pub enum Abort<E> {
    /// A statement failed. A serialization failure or deadlock repeats the transaction.
    Statement(sqlx::Error),
    /// The caller gives up; everything is rolled back.
    Caller(E),
}

impl<E> From<sqlx::Error> for Abort<E> {
    fn from(error: sqlx::Error) -> Self {
        Self::Statement(error)
    }
}

impl Pool {
    /// Runs `body` in a transaction of `scope` and commits. `name` says which transaction this is in
    /// errors and logs. The body may run several times: it must not act on anything else.
    ///
    /// # Errors
    /// The caller's own error, or [`DatabaseError`] turned into it.
    pub async fn transact<T, E, F>(
        &self,
        name: &'static str,
        scope: Scope,
        mut body: F,
    ) -> Result<T, E>
    where
        E: From<DatabaseError>,
        F: for<'c> FnMut(&'c mut PgConnection) -> Attempt<'c, T, Abort<E>> + Send,
    {
        let mut attempt = 1;
        loop {
            let mut transaction = self.begin(scope).await?;
            let error = match body(&mut transaction).await {
                Ok(value) => match transaction.commit().await {
                    Ok(()) => return Ok(value),
                    Err(error) if is_retriable(&error) => error,
                    Err(error) => return Err(self.commit_error(name, error).into()),
                },
                Err(Abort::Caller(error)) => return Err(error),
                Err(Abort::Statement(error)) if is_retriable(&error) => error,
                Err(Abort::Statement(error)) => return Err(self.statement_error(error).into()),
            };
            if attempt >= ATTEMPTS_MAX {
                return Err(self.statement_error(error).into());
            }
            tracing::debug!(transaction.name = name, attempt, "transaction is repeated");
            attempt += 1;
        }
    }
}
