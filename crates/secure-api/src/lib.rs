//! The contract between the Core Service and the Secure Service.
//!
//! One method, [`SecureService::call`], is the one place for per-caller permission, audit and
//! deadlines. No message carries key material except [`command::ExportPrivateKey`] and its reply,
//! an explicit and audited act; what is sealed for the core comes in by [`command::SealSecret`]. Nothing here knows SQL. Start with [`command`], then [`client`]; [`remote`]
//! is the contract between two processes.

pub mod client;
pub mod command;
pub mod context;
pub mod event;
mod hash_bytes;
pub mod remote;
pub mod reply;
mod secret_bytes;
pub mod step_up;
pub mod wire;

use async_trait::async_trait;
use clm_domain::error::Fault;
use serde::{Deserialize, Serialize};

pub use client::SecureClient;
pub use command::Command;
pub use context::{CallContext, Caller, IdempotencyKey};
pub use reply::Reply;

/// Why a command was not carried out. It changed nothing, unless its kind is `Upstream`: then the
/// outcome is unknown and the same command with the same idempotency key settles it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct SecureError(pub Fault);

impl From<Fault> for SecureError {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

/// The Secure Service, in this process or in another.
#[async_trait]
pub trait SecureService: Send + Sync {
    /// Carries out one command.
    ///
    /// # Errors
    /// [`SecureError`] with the kinds of [`clm_domain::error::ErrorKind`].
    async fn call(&self, context: CallContext, command: Command) -> Result<Reply, SecureError>;
}
