//! How often API keys are used: summed in memory, written in batches, so that a use costs no statement.
//! A use that was counted is written once; a process that is killed loses those of its last seconds.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use clm_database::{DatabaseError, Scope};
use clm_domain::ids::ApiKeyId;

use crate::Core;
use crate::error::Result;
use crate::store::api_keys::{self, Use};

/// Most keys that one statement writes.
const KEYS_PER_BATCH: usize = 1_000;
/// How often a key's refusals for its address are recorded, at most.
const REFUSAL_INTERVAL: TimeDelta = TimeDelta::seconds(60);
/// Most keys whose refusals are remembered.
const REFUSALS_MAX: usize = 10_000;

/// Uses that are not written yet.
#[derive(Default)]
pub struct Usage {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    uses: HashMap<ApiKeyId, Counted>,
    /// When a refusal was last recorded.
    refused: HashMap<ApiKeyId, DateTime<Utc>>,
}

#[derive(Clone, Copy)]
struct Counted {
    count: i64,
    last_used_at: DateTime<Utc>,
}

impl Usage {
    /// Counts one use.
    pub(crate) fn note(&self, api_key_id: ApiKeyId, now: DateTime<Utc>) {
        self.add(Use {
            api_key_id,
            count: 1,
            last_used_at: now,
        });
    }

    fn add(&self, used: Use) {
        let mut state = self.state();
        let counted = state.uses.entry(used.api_key_id).or_insert(Counted {
            count: 0,
            last_used_at: used.last_used_at,
        });
        counted.count = counted.count.saturating_add(used.count);
        counted.last_used_at = counted.last_used_at.max(used.last_used_at);
    }

    /// Whether a refusal of this key was not recorded within the last minute; then it is now.
    pub(crate) fn is_first_refusal(&self, api_key_id: ApiKeyId, now: DateTime<Utc>) -> bool {
        let refused = &mut self.state().refused;
        let recently = |at: &DateTime<Utc>| now.signed_duration_since(at) < REFUSAL_INTERVAL;
        if refused.get(&api_key_id).is_some_and(recently) {
            return false;
        }
        if refused.len() >= REFUSALS_MAX {
            refused.retain(|_, at| recently(at));
            // A flood by more keys than are remembered is not recorded one by one.
            if refused.len() >= REFUSALS_MAX {
                return false;
            }
        }
        refused.insert(api_key_id, now);
        true
    }

    /// Takes everything that was counted.
    fn take(&self) -> Vec<Use> {
        let uses = std::mem::take(&mut self.state().uses);
        let mut uses: Vec<Use> = uses
            .into_iter()
            .map(|(api_key_id, counted)| Use {
                api_key_id,
                count: counted.count,
                last_used_at: counted.last_used_at,
            })
            .collect();
        // All processes write in the same order, and wait for each other instead of getting stuck.
        uses.sort_unstable_by_key(|one| one.api_key_id);
        uses
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code in here panics halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what was counted since the last time. What could not be written counts with the next.
///
/// # Errors
/// Those of the database.
pub async fn write(core: &Core) -> Result<()> {
    let uses = core.api_key_usage.take();
    let mut batches = uses.chunks(KEYS_PER_BATCH);
    while let Some(batch) = batches.next() {
        let written = write_batch(core, batch).await;
        if let Err(error) = written {
            // Those of a commit whose outcome is unknown are not counted twice.
            let is_lost = matches!(error, DatabaseError::OutcomeUnknown { .. });
            let left = if is_lost { &[] } else { batch };
            let left = left.iter().chain(batches.flatten());
            left.for_each(|one| core.api_key_usage.add(*one));
            return Err(error.into());
        }
    }
    Ok(())
}

async fn write_batch(core: &Core, batch: &[Use]) -> std::result::Result<(), DatabaseError> {
    let scope = Scope::System("keys of all organizations were used");
    core.pool
        .transact::<_, DatabaseError, _>("api_keys::usage::write", scope, |connection| {
            let batch = batch.to_vec();
            Box::pin(async move { Ok(api_keys::add_uses(connection, &batch).await?) })
        })
        .await
}

#[cfg(test)]
mod tests;
