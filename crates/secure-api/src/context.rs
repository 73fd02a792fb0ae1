//! What accompanies every command: who calls, on whose behalf, for which organization, and until
//! when.

use chrono::{DateTime, Utc};
use clm_domain::actor::Actor;
use clm_domain::ids::{OrganizationId, RequestId};
use serde::{Deserialize, Serialize};

/// The program that calls. Each caller has a fixed list of commands that it may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Caller {
    /// The Core Service.
    Core,
    /// The bootstrap of an installation, which may create the first certificate authorities.
    Bootstrap,
    /// The operator of the Secure Service's own host. Nobody calls so from another process.
    Operator,
}

/// Makes a command safe to repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// SHA-256 over principal, route and the client's key: unique within the organization.
    pub key_sha256: [u8; 32],
    /// SHA-256 over the request body: the same key with another body is a conflict of kind
    /// `Invalid` with code `idempotency_key_reused`.
    pub request_sha256: [u8; 32],
}

/// The context of one command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallContext {
    /// The calling program.
    pub caller: Caller,
    /// On whose behalf.
    pub actor: Actor,
    /// The organization whose data the command concerns.
    pub organization_id: OrganizationId,
    /// The request that caused the command.
    pub request_id: RequestId,
    /// Set for commands that must not happen twice.
    pub idempotency_key: Option<IdempotencyKey>,
    /// After this moment nobody waits for the reply; the command is then refused unstarted.
    pub deadline: DateTime<Utc>,
}
