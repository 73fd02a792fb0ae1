//! What goes wrong inside the Secure Service, and the one place where it becomes a [`Fault`] for a
//! caller.
//!
//! A fault says what was wrong and what to do. Causes inside are logged here, once, and never
//! shown.

use std::borrow::Cow;

use clm_database::DatabaseError;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::states::MasterKeyProviderKind;

use crate::envelope::EnvelopeError;
use crate::master_key::{MasterKeyError, MasterKeySourceError};

/// The triggers that refuse what was sealed under a data key that opens nothing any more.
const ENCRYPTION_KEY_OPENS: [&str; 2] = [
    "trg_private_keys_encryption_key",
    "trg_sealed_secrets_encryption_key",
];

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The service decided against it; the fault is meant for the caller.
    #[error("{0}")]
    Refused(Fault),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A seal does not open, or a value cannot be sealed.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The master key.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The master key in force is not where this process looks.
    #[error("version {key_version} of provider '{provider}' is in force, and {source}")]
    MasterKeyLost {
        /// Who holds the key in force.
        provider: MasterKeyProviderKind,
        /// Its version.
        key_version: i32,
        /// Why it was not found.
        source: MasterKeySourceError,
    },
    /// The commit of a new master key broke off: it may be in force, and nobody can be asked.
    #[error("whether the new master key is in force is not known")]
    RotationUnknown,
    /// A new master key is in force, and the database went away before its record was read.
    #[error("the rotation of the master key is done, and its record cannot be read")]
    RotationUnread,
    /// The audit event of a refusal could not be written: no audit row, no answer about the act.
    #[error("the refusal cannot be audited: {0}")]
    Audit(DatabaseError),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Refused(fault)
    }
}

impl Failure {
    /// The fault that the caller sees. Logs what the caller does not see.
    pub(crate) fn into_fault(self, command: &'static str) -> Fault {
        match self {
            Self::Refused(fault) => fault,
            Self::Database(error) => database_fault(&error, command),
            Self::Audit(error) => {
                tracing::error!(
                    command,
                    error = describe(&error),
                    "a refusal could not be audited"
                );
                let message = "The refusal of the command could not be recorded. Nothing was done; \
                    try again.";
                Fault::new(ErrorKind::Upstream, "audit_unavailable", message)
            }
            Self::Envelope(error) => key_fault(&error, command),
            // Another one had it sealed while this command was under way.
            Self::MasterKey(MasterKeyError::Sealed) => {
                let message = "The master key was sealed meanwhile. Nothing was done; try again \
                    when its custodians have opened it.";
                Fault::new(ErrorKind::KeyUnavailable, "sealed", message)
            }
            Self::MasterKey(error) => key_fault(&error, command),
            error @ Self::MasterKeyLost { .. } => key_fault(&error, command),
            Self::RotationUnknown => {
                let message = "The connection to the database broke while the new master key was \
                    being committed, so it is not known whether it is in force. Keep its shares or \
                    its file, and the old one's. Look which is in force (clm key master show), or \
                    name the same set of shares again: that settles it.";
                Fault::new(ErrorKind::Upstream, "outcome_unknown", message)
            }
            Self::RotationUnread => {
                let message = "This master key is in force: keep its shares. The record of its \
                    rotation cannot be read now, the database does not answer.";
                Fault::new(ErrorKind::Upstream, "rotation_unread", message)
            }
            Self::Internal(message) => {
                tracing::error!(
                    command,
                    error = message,
                    "a command failed inside the Secure Service"
                );
                internal_fault()
            }
        }
    }
}

fn database_fault(error: &DatabaseError, command: &'static str) -> Fault {
    match error {
        DatabaseError::Unavailable { .. } => {
            tracing::warn!(
                command,
                error = describe(error),
                "clm_secure_db does not answer"
            );
            let message =
                "The database of the Secure Service does not answer. Nothing was done; try again.";
            Fault::new(ErrorKind::Upstream, "database_unavailable", message)
        }
        DatabaseError::OutcomeUnknown { .. } => {
            tracing::warn!(
                command,
                error = describe(error),
                "the outcome of a commit is unknown"
            );
            let message = "The connection to the database broke while the act was being \
                committed, so it is not known whether it took effect. Repeat it with the same \
                idempotency key: that settles it.";
            Fault::new(ErrorKind::Upstream, "outcome_unknown", message)
        }
        DatabaseError::Duplicate { .. } => {
            tracing::warn!(command, error = describe(error), "a row exists already");
            let message = "Something with the same identity exists already; load it instead of \
                making it again.";
            Fault::new(ErrorKind::Conflict, "already_exists", message)
        }
        DatabaseError::ConstraintViolated { constraint }
            if ENCRYPTION_KEY_OPENS.contains(&constraint.as_str()) =>
        {
            tracing::warn!(
                command,
                "something was sealed under a data key that has ended"
            );
            let message = "The data key of this organization was just replaced or erased. Nothing \
                was done; try again in a few seconds.";
            Fault::new(ErrorKind::Upstream, "encryption_key_ended", message)
        }
        _ => {
            tracing::error!(command, error = describe(error), "a statement failed");
            internal_fault()
        }
    }
}

fn key_fault(error: &dyn std::error::Error, command: &'static str) -> Fault {
    tracing::error!(command, error = describe(error), "a key cannot be used");
    let message = "A key that is needed cannot be opened now. An operator has to look at the \
        master key and at the log of the Secure Service, which names the row.";
    Fault::new(ErrorKind::KeyUnavailable, "key_unavailable", message)
}

fn internal_fault() -> Fault {
    let message = "The Secure Service failed for a reason of its own. Its log says why, under this \
        request's id.";
    Fault::new(ErrorKind::Internal, "internal", message)
}

/// The error with its causes, on one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A fault whose code is only known at run time.
pub(crate) fn fault_with_code(kind: ErrorKind, code: &str, message: impl Into<String>) -> Fault {
    let mut fault = Fault::new(kind, "", message);
    fault.code = Cow::Owned(code.to_owned());
    fault
}
