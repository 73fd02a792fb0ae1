//! Rotating the data key of an organization while everything goes on.
//!
//! A rotation is started and cancelled in one transaction each (`commands`); from then on the new key
//! seals and the old one opens. The worker here moves what the old key sealed, batch by batch
//! ([`Secure::rotate_keys`]); any number of processes may run it. `upkeep` starts what is scheduled
//! and destroys old keys, `progress` decides what follows from a batch. No key material leaves this
//! crate, and a key that does not open stops nothing: it is counted, named, and stays.

mod commands;
pub(crate) mod progress;
mod upkeep;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use clm_database::DatabaseError;
use clm_domain::actor::Actor;
use clm_domain::audit::{AuditRow, Cause, SecureEvent};
use clm_domain::clock::Rng;
use clm_domain::error::ErrorKind;
use clm_domain::ids::RequestId;
use clm_domain::states::KeyRotationStatus;
use clm_secure_api::reply::KeyRotation;
use serde_json::json;

use crate::Secure;
use crate::audit::{Stamp, row};
use crate::data_keys::{ACTIVE_SECONDS_MAX, Mover};
use crate::error::Failure;
use crate::store::key_rotation_batches::{DueRotation, Reseal};
use crate::store::key_rotation_end::DescribeEnd;

pub(crate) use commands::check_reason;
use progress::{BatchOutcome, BatchPlan};

/// Most keys that one transaction moves.
const BATCH_ITEMS_MAX: u32 = 500;
/// Most batches of one round; the next round goes on.
const BATCHES_PER_ROUND_MAX: u32 = 20;
/// How long a command takes at most from learning which key is active to its commit, in seconds:
/// waiting for a connection, and a statement that just does not run into its timeout; with a margin
/// for clocks that differ.
const COMMAND_SECONDS_MAX: i64 = 55;
/// How long after a key was replaced something may still be sealed under it, in seconds.
const SETTLE_SECONDS: i64 = ACTIVE_SECONDS_MAX + COMMAND_SECONDS_MAX;
/// How long a rotation waits that cannot go on for now, in seconds.
const RETRY_SECONDS: i64 = 30;
/// How long a worker rests when others work on all that is due, in milliseconds.
const REST_MILLISECONDS: i64 = 500;

/// A round of the worker failed; the next one goes on where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum KeyRotationError {
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<Failure> for KeyRotationError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Database(error) | Failure::Audit(error) => Self::Database(error),
            other => Self::Other(other.to_string()),
        }
    }
}

impl Secure {
    /// Carries on every rotation that is due, some batches long; returns when the next batch of any
    /// is due, which is now when there was too much for one round, and a little later when other
    /// processes work on all that is due. Meant for a background loop; any number of processes may
    /// call it at once, and one that dies in it loses nothing.
    ///
    /// # Errors
    /// [`KeyRotationError`]; what was committed stays, and the next call goes on.
    pub async fn rotate_keys(&self) -> Result<Option<DateTime<Utc>>, KeyRotationError> {
        let mut batches_left = BATCHES_PER_ROUND_MAX;
        for _ in 0..BATCHES_PER_ROUND_MAX {
            if batches_left == 0 {
                break;
            }
            let Some(due) = self.store.find_due_rotation(self.clock.now()).await? else {
                break;
            };
            if let Err(failure) = self.carry_on(&due, &mut batches_left).await {
                self.hold_up(&due, failure).await?;
            }
        }
        let has_worked = batches_left < BATCHES_PER_ROUND_MAX;
        let rested = self.clock.now() + TimeDelta::milliseconds(REST_MILLISECONDS);
        let next = self.store.next_batch_at().await?;
        Ok(next.map(|next| if has_worked { next } else { next.max(rested) }))
    }

    /// Moves batches of one rotation until it has to wait, ends, or others shall have a turn.
    async fn carry_on(&self, due: &DueRotation, batches_left: &mut u32) -> Result<(), Failure> {
        let keys = (due.from, due.to);
        let earlier = self.store.left_keys(due).await?;
        let mover = self.data_keys.mover(due.organization_id, keys, &earlier);
        let mover = Arc::new(mover.await?);
        while *batches_left > 0 {
            *batches_left -= 1;
            match self.move_batch(due, &mover).await? {
                BatchOutcome::Moved(_) if due.items_per_second_max.is_none() => {}
                BatchOutcome::Lost | BatchOutcome::Moved(_) | BatchOutcome::PassEnded(_) => break,
                BatchOutcome::LastPassEnded(_) => {
                    self.end(due, None).await?;
                    break;
                }
            }
        }
        Ok(())
    }

    async fn move_batch(
        &self,
        due: &DueRotation,
        mover: &Arc<Mover>,
    ) -> Result<BatchOutcome, Failure> {
        let mut plan = plan(due, self.clock.now());
        plan.items_max = plan.items_max.min(self.data_keys.seals_max());
        if !self.data_keys.count_moves(mover, plan.items_max).await? {
            self.succeed(due, mover).await?;
            return Ok(BatchOutcome::Lost);
        }
        let sealing = Arc::clone(mover);
        let reseal: Reseal = Arc::new(move |item, sealed| {
            sealing
                .reseal(item, sealed)
                .inspect_err(|error| {
                    tracing::error!(%error, "an item is left under the old data key");
                })
                .ok()
        });
        let outcome = self.store.rotate_batch(due, plan, &reseal).await?;
        let moved = outcome.moved();
        // Those that did not open were sealed no more than those that were not there.
        let unused = plan.items_max - i64::try_from(moved).unwrap_or(plan.items_max);
        mover.give_back(unused.max(0));
        metrics::counter!("clm_key_rotation_items_total").increment(moved);
        Ok(outcome)
    }

    /// The new key has sealed as often as it may: its successor takes over. The key that seals again
    /// while a rotation is rolled back has none in that rotation.
    async fn succeed(&self, due: &DueRotation, mover: &Mover) -> Result<(), Failure> {
        if due.is_rollback {
            return self
                .end(due, Some("the old key has sealed as often as it may"))
                .await;
        }
        let cause = Cause {
            actor: &Actor::System,
            organization_id: due.organization_id,
            request_id: RequestId::generate(self.clock.now(), self.rng.as_ref()),
        };
        let successor = self.data_keys.successor(mover, &cause).await?;
        if self.store.succeed_in_rotation(due, successor).await? {
            tracing::info!(
                key_rotation.id = %due.id, encryption_key.id = %successor,
                "another key takes over in a rotation"
            );
        }
        Ok(())
    }

    /// What cannot go on for now waits; what never can ends as failed.
    async fn hold_up(&self, due: &DueRotation, failure: Failure) -> Result<(), KeyRotationError> {
        let is_final = match &failure {
            Failure::Envelope(_) => true,
            Failure::Refused(fault) => fault.kind == ErrorKind::KeyUnavailable,
            _ => false,
        };
        if is_final {
            self.end(due, Some(&failure.to_string())).await?;
            return Ok(());
        }
        tracing::warn!(
            key_rotation.id = %due.id, error = %failure,
            "a rotation cannot go on for now and will be tried again"
        );
        let until = self.clock.now() + TimeDelta::seconds(RETRY_SECONDS);
        Ok(self.store.postpone_rotation(due, until).await?)
    }

    async fn end(&self, due: &DueRotation, message: Option<&str>) -> Result<(), Failure> {
        let now = self.clock.now();
        let rng = Arc::clone(&self.rng);
        let describe: DescribeEnd =
            Arc::new(move |rotation| describe_end(rotation, now, rng.as_ref()));
        let ended = self
            .store
            .end_rotation(due, message, now, &describe)
            .await?;
        let Some(rotation) = ended else { return Ok(()) };
        metrics::counter!("clm_key_rotations_total", "status" => rotation.status.as_str())
            .increment(1);
        tracing::info!(
            key_rotation.id = %rotation.key_rotation_id, key_rotation.status = %rotation.status,
            key_rotation.items_processed = rotation.items_processed,
            key_rotation.items_failed = rotation.items_failed,
            "the rotation of a data key has ended"
        );
        Ok(())
    }
}

/// How the next batch is done. A throttled batch is as long as a second allows.
fn plan(due: &DueRotation, now: DateTime<Utc>) -> BatchPlan {
    let items_max = due
        .items_per_second_max
        .map_or(BATCH_ITEMS_MAX, |rate| rate.clamp(1, BATCH_ITEMS_MAX));
    let pause = due.items_per_second_max.map_or(TimeDelta::zero(), |rate| {
        let milliseconds = i64::from(items_max) * 1_000 / i64::from(rate.max(1));
        TimeDelta::milliseconds(milliseconds)
    });
    BatchPlan {
        items_max: i64::from(items_max),
        now,
        settled_at: due.turned_at + TimeDelta::seconds(SETTLE_SECONDS),
        next_batch_at: now + pause,
    }
}

/// The audit event of a rotation that has ended: by the platform, whoever started it.
fn describe_end(rotation: &KeyRotation, now: DateTime<Utc>, rng: &dyn Rng) -> AuditRow {
    let cause = Cause {
        actor: &Actor::System,
        organization_id: rotation.organization_id,
        request_id: RequestId::generate(now, rng),
    };
    let details = json!({
        "status": rotation.status.as_str(),
        "rotation_type": rotation.rotation_type.as_str(),
        "old_encryption_key_id": rotation.old_encryption_key_id.to_string(),
        "new_encryption_key_id": rotation.new_encryption_key_id.map(|id| id.to_string()),
        "items_total": rotation.items_total,
        "items_processed": rotation.items_processed,
        "items_failed": rotation.items_failed,
        "items_rolled_back": rotation.items_rolled_back,
    });
    let event = SecureEvent::KeyRotationEnded;
    let id = Some(rotation.key_rotation_id.as_uuid());
    let ended = row(event, &cause, id, details, Stamp { now, rng });
    match (&rotation.status, &rotation.error_message) {
        (KeyRotationStatus::Failed, Some(message)) => ended.refused(message.clone()),
        (KeyRotationStatus::Failed, None) => ended.refused("some items were left"),
        _ => ended,
    }
}

#[cfg(test)]
mod tests;
