//! Identities that were looked up before, so that a busy credential costs no query.
//!
//! An entry is used for [`FRESH_FOR`] from before its query began, whatever happens. It is used for
//! [`LIFETIME`] while this process keeps track of changes ([`crate::rights_changes`]): while the last look
//! at them that succeeded began less than [`TRACK_FOR`] ago. So what was revoked anywhere stops within a
//! second, also when the database, a connection or this process is slow; what was revoked in this process
//! stops at once. Assignments begin and end by the clock. Whether a credential has expired is looked up
//! again when the remembered end comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clm_domain::ids::UserId;
use tokio::time::Instant;

use super::Identity;
use super::credential::CredentialHash;

/// How long an entry is used without keeping track of changes.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// How long a look at the changes is good for.
const TRACK_FOR: Duration = Duration::from_secs(1);
/// How long an entry is used at most: the last use of a session is noted when it is looked up.
const LIFETIME: Duration = Duration::from_secs(60);
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
    /// From where on changes have not been looked at; absent when track was lost.
    horizon: Option<i64>,
    /// When the last look at the changes began.
    tracked_at: Option<Instant>,
}

struct Entry {
    identity: Arc<Identity>,
    /// When its look-up began.
    begun_at: Instant,
}

/// The moment at which a look-up began.
pub(super) struct LookupBegun {
    evictions: u64,
    at: Instant,
}

impl AuthenticationCache {
    /// The identity behind a credential that was looked up before, unless an assignment of its holder
    /// has begun or ended since, or its end may have come.
    pub(super) fn find(&self, hash: &CredentialHash, now: DateTime<Utc>) -> Option<Arc<Identity>> {
        let state = self.state();
        let entry = state.entries.get(hash)?;
        let identity = &entry.identity;
        let is_over = |moment: Option<DateTime<Utc>>| moment.is_some_and(|moment| moment <= now);
        let is_usable = state.is_current(entry, Instant::now())
            && !is_over(identity.look_up_at)
            && !is_over(identity.ends_at);
        is_usable.then(|| Arc::clone(identity))
    }

    /// From where on changes have not been looked at.
    pub(crate) fn horizon(&self) -> Option<i64> {
        self.state().horizon
    }

    /// Notes a look at the changes, after those that it found were evicted.
    pub(crate) fn keep_track(&self, horizon: i64, begun_at: Instant) {
        let mut state = self.state();
        state.horizon = Some(horizon);
        state.tracked_at = Some(begun_at);
    }

    /// Notes that a look at the changes failed: what was missed is not known.
    pub(crate) fn lose_track(&self) {
        let mut state = self.state();
        state.horizon = None;
        state.tracked_at = None;
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
        if state.entries.len() >= ENTRIES_MAX && !state.entries.contains_key(&hash) {
            let now = Instant::now();
            state
                .entries
                .retain(|_, entry| now.duration_since(entry.begun_at) < LIFETIME);
            if state.entries.len() >= ENTRIES_MAX {
                // They are looked up once more.
                state.entries.clear();
            }
        }
        let begun_at = begun.at;
        state.entries.insert(hash, Entry { identity, begun_at });
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

impl State {
    /// Whether nothing can have changed about an entry for longer than a second.
    fn is_current(&self, entry: &Entry, now: Instant) -> bool {
        let age = now.duration_since(entry.begun_at);
        let keeps_track = self
            .tracked_at
            .is_some_and(|tracked_at| now.duration_since(tracked_at) < TRACK_FOR);
        age < FRESH_FOR || (age < LIFETIME && keeps_track)
    }
}

#[cfg(test)]
mod tests;
