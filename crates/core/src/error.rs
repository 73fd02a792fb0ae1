//! The error of every use case: one [`Fault`] of the closed set of kinds.

use clm_database::DatabaseError;
use clm_domain::error::{ErrorKind, Fault};
use clm_secure_api::SecureError;

/// The error of a use case. Internal detail is logged where the error arises and never shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CoreError(pub Fault);

/// The result of a use case.
pub type Result<T> = std::result::Result<T, CoreError>;

impl CoreError {
    /// The kind.
    pub const fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// A fault of ours; `detail` goes to the log only.
    pub fn internal(detail: &dyn std::fmt::Display) -> Self {
        tracing::error!(error.detail = %detail, "internal error");
        Self(Fault::new(
            ErrorKind::Internal,
            "internal",
            "The platform failed to do this. The log of the server says why, under the request id.",
        ))
    }
}

/// The refusal of a change to what was changed since it was read.
pub(crate) fn revision_changed(noun: &str, stored: i64, read: i64) -> CoreError {
    let message = format!(
        "The {noun} was changed meanwhile: it has revision {stored}, not {read}. Read it again, \
         then change it."
    );
    Fault::new(ErrorKind::Conflict, "revision_changed", message).into()
}

impl From<Fault> for CoreError {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl From<SecureError> for CoreError {
    fn from(error: SecureError) -> Self {
        Self(error.0)
    }
}

impl From<DatabaseError> for CoreError {
    fn from(error: DatabaseError) -> Self {
        if error.is_unavailable() {
            tracing::warn!(error.detail = %error, "the core database is not available");
            return Self(Fault::new(
                ErrorKind::Upstream,
                "core_database_unavailable",
                "The platform's database is not available now. Try again with the same \
                 idempotency key.",
            ));
        }
        Self::internal(&error)
    }
}
