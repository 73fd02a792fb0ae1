//! Identities that were looked up a moment ago, so that a busy credential costs one query a second.
//!
//! An entry lives for [`LIFETIME`] from before its query began: what was revoked anywhere stops
//! within that time, what was revoked in this process at once. Assignments begin and end by the clock. Whether a credential has expired is
//! not the cache's business; it is checked at each use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clm_domain::ids::UserId;
use tokio::time::Instant;

use super::Identity;
use super::credential::CredentialHash;

/// How long an entry is used.
const LIFETIME: Duration = Duration::from_secs(1);
/// Most entries.
const ENTRIES_MAX: usize = 10_000;

/// Identities by the hash of their credential.
#[derive(Default)]
pub struct AuthenticationCache {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<CredentialHash, Entry>,
    /// Counts evictions, so that a look-up which began before one is not remembered after it.
    evictions: u64,
}

struct Entry {
    identity: Arc<Identity>,
    ends_at: Instant,
}

/// The moment at which a look-up began.
pub(super) struct LookupBegun {
    evictions: u64,
    at: Instant,
}

impl AuthenticationCache {
    /// The identity behind a credential that was looked up less than [`LIFETIME`] ago, unless an
    /// assignment of its holder has begun or ended since.
    pub(super) fn find(&self, hash: &CredentialHash, now: DateTime<Utc>) -> Option<Arc<Identity>> {
        let state = self.state();
        let entry = state.entries.get(hash)?;
        let has_changed = entry
            .identity
            .rights_change_at
            .is_some_and(|change_at| change_at <= now);
        (Instant::now() < entry.ends_at && !has_changed).then(|| Arc::clone(&entry.identity))
    }

    /// To be called before a look-up, for [`Self::insert`] after it.
    pub(super) fn begin(&self) -> LookupBegun {
        LookupBegun {
            evictions: self.state().evictions,
            at: Instant::now(),
        }
    }

    /// Remembers what a look-up found, unless something was evicted meanwhile.
    pub(super) fn insert(
        &self,
        begun: &LookupBegun,
        hash: CredentialHash,
        identity: Arc<Identity>,
    ) {
        let mut state = self.state();
        if state.evictions != begun.evictions {
            return;
        }
        if state.entries.len() >= ENTRIES_MAX {
            // Most have ended; the others are looked up once more.
            state.entries.clear();
        }
        state.entries.insert(
            hash,
            Entry {
                identity,
                ends_at: begun.at + LIFETIME,
            },
        );
    }

    /// Forgets the credentials of a user, of which one was just revoked; the others are looked up
    /// once more.
    pub(crate) fn evict(&self, user_id: UserId) {
        let mut state = self.state();
        state.evictions += 1;
        state
            .entries
            .retain(|_, entry| entry.identity.actor.user_id() != Some(user_id));
    }

    /// Forgets everybody: what many may do has changed, such as a role.
    pub(crate) fn evict_all(&self) {
        let mut state = self.state();
        state.evictions += 1;
        state.entries.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code in here panics halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
