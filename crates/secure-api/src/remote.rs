//! The contract between two processes: HTTP/2 over mutual TLS 1.3, messages of [`crate::wire`].
//!
//! [`server`] offers a [`crate::SecureService`] to peers that a [`Gate`] knows; [`client`] is a
//! [`crate::SecureService`] whose commands are carried out elsewhere. Nothing here knows X.509
//! beyond what TLS checks, a database, or a key that is stored. Start with [`client`].

pub mod client;
pub mod dial;
pub mod places;
pub mod server;
pub mod tls;
pub mod token;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use clm_domain::ids::TransportPeerId;
use serde::{Deserialize, Serialize};

use crate::{CallContext, Caller, Command, SecureError};

/// The name that the certificate of every Secure Service carries, whatever its address: nobody but
/// the pinned authority can certify it.
pub const SERVER_NAME: &str = "secure.clm.internal";

/// Where commands are given.
const CALL_PATH: &str = "/v1/call";
/// Where a peer asks for its next certificate.
const RENEW_PATH: &str = "/v1/renew";
/// Where a token is turned into a first certificate.
const PAIR_PATH: &str = "/v1/pair";
/// Where anybody sees that the process lives.
const HEALTH_PATH: &str = "/healthz";

/// Says why a message was not read, outside the encoding of any version.
const REFUSED_HEADER: &str = "clm-refused";
/// The oldest version that the server reads.
const OLDEST_HEADER: &str = "clm-wire-version-oldest";
/// The newest version that the server reads.
const NEWEST_HEADER: &str = "clm-wire-version-newest";
/// The value of [`REFUSED_HEADER`] for a version that is not read.
const VERSION_UNSUPPORTED: &str = "version_unsupported";

/// Largest command, in bytes. Replies are longer: see [`crate::wire::MESSAGE_BYTES_MAX`].
const CALL_BYTES_MAX: usize = 1024 * 1024;
/// Largest request for a certificate, in bytes.
const PAIR_BYTES_MAX: usize = 64 * 1024;
/// Commands that one side has under way at most.
pub const COMMANDS_MAX: usize = 512;

/// One command as it travels.
#[derive(Debug, Serialize, Deserialize)]
struct Call {
    /// How long the caller waits. A moment would mean something else on each host's clock.
    remaining_milliseconds: u64,
    context: CallContext,
    command: Command,
}

/// What is read of a call whose command is not known.
#[derive(Deserialize)]
struct UnknownCall {
    command: UnknownCommand,
}

#[derive(Deserialize)]
struct UnknownCommand {
    command: String,
}

/// A program that may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its record.
    pub id: TransportPeerId,
    /// How people call it.
    pub name: String,
    /// What it calls as.
    pub caller: Caller,
}

/// Asks for a first certificate.
#[derive(Serialize, Deserialize)]
pub struct PairRequest {
    /// The secret of the one-time token.
    pub secret: [u8; token::SECRET_BYTES],
    /// PKCS#10 request (RFC 2986) in DER, of whose names nothing is used.
    #[serde(with = "serde_bytes")]
    pub csr_der: Vec<u8>,
}

/// Asks for the next certificate.
#[derive(Serialize, Deserialize)]
pub struct RenewRequest {
    /// PKCS#10 request in DER.
    #[serde(with = "serde_bytes")]
    pub csr_der: Vec<u8>,
}

/// A certificate for calling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportCertificate {
    /// DER.
    #[serde(with = "serde_bytes")]
    pub certificate_der: Vec<u8>,
    /// DER of the authority's.
    #[serde(with = "serde_bytes")]
    pub authority_der: Vec<u8>,
    /// End of validity.
    pub not_after: DateTime<Utc>,
    /// When the next one should be asked for.
    pub renew_at: DateTime<Utc>,
}

/// Who may come in, and with what.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Whose certificate this is. TLS has verified it against the authority; whether it may still
    /// be used is for the gate to say.
    ///
    /// # Errors
    /// `Unauthenticated` when it is nobody's, expired, or revoked.
    async fn identify(&self, certificate_der: &[u8]) -> Result<Peer, SecureError>;

    /// Records that a peer claimed to be somebody else, and returns what it hears.
    async fn refuse(&self, peer: &Peer, context: &CallContext, command: &Command) -> SecureError;

    /// Turns a token into a certificate, once.
    ///
    /// # Errors
    /// `Forbidden` for a token that is unknown, used or expired.
    async fn pair(&self, request: PairRequest) -> Result<TransportCertificate, SecureError>;

    /// The next certificate of a peer.
    ///
    /// # Errors
    /// `Invalid` for a request that cannot be used.
    async fn renew(
        &self,
        peer: &Peer,
        request: RenewRequest,
    ) -> Result<TransportCertificate, SecureError>;
}

#[cfg(test)]
mod tests;
