//! Clock and randomness for unit tests: both only do what the test says.

use std::sync::atomic::{AtomicU8, Ordering};

use chrono::{DateTime, Utc};
use clm_domain::actor::Actor;
use clm_domain::clock::Rng;
use clm_domain::ids::{RequestId, SYSTEM_ORGANIZATION};
use clm_domain::permission::Permissions;
use uuid::Uuid;

use crate::context::{OpContext, RequestInfo};

/// Fills each buffer with one byte, which counts up: predictable, and different every time.
#[derive(Default)]
pub(crate) struct CountingRng(AtomicU8);

impl Rng for CountingRng {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

/// So many seconds after a fixed moment.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

/// A context of `actor` with `permissions` in the system organization.
pub(crate) fn context(actor: Actor, permissions: Permissions) -> OpContext {
    OpContext {
        actor,
        username: None,
        organization_id: SYSTEM_ORGANIZATION,
        permissions,
        owed: None,
        credential_ends_at: None,
        credential_networks: None,
        credential_scopes: None,
        request: RequestInfo {
            request_id: RequestId::from_uuid(Uuid::from_u128(7)),
            ip_address: None,
            user_agent: None,
            idempotency: None,
            http: None,
            step_up_proof: None,
        },
        deadline: at(30),
    }
}
