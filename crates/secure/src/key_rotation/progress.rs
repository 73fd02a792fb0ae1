//! How far a rotation has come, and what follows from a batch: pure, so that each turn of it can be
//! tried.
//!
//! A *pass* goes once over the keys that are sealed under the key that is left. As other processes
//! may take that one for the active key for a while, the pass that counts is one that began after
//! that: the last one.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Most failed keys that the error message of a rotation names.
const FAILED_NAMED_MAX: usize = 50;
/// How the error message begins that names them.
const FAILED_BEGINS: &str = "items that do not open: ";

/// How one batch is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchPlan {
    pub(crate) items_max: i64,
    pub(crate) now: DateTime<Utc>,
    /// From when on nobody seals under the key that is left: a pass that began later is the last.
    pub(crate) settled_at: DateTime<Utc>,
    /// When the batch after this one is due.
    pub(crate) next_batch_at: DateTime<Utc>,
}

/// What became of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchOutcome {
    /// Another process works on the rotation, or it was cancelled or ended.
    Lost,
    /// So many keys were moved and more are there.
    Moved(u64),
    /// The pass is over, and another one comes when nobody seals under the old key any more.
    PassEnded(u64),
    /// The last pass is over.
    LastPassEnded(u64),
}

impl BatchOutcome {
    /// How many keys were moved.
    pub(crate) const fn moved(self) -> u64 {
        match self {
            Self::Lost => 0,
            Self::Moved(moved) | Self::PassEnded(moved) | Self::LastPassEnded(moved) => moved,
        }
    }
}

/// Where a rotation stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) cursor_private_key_id: Option<Uuid>,
    pub(crate) pass_started_at: Option<DateTime<Utc>>,
    pub(crate) items_failed: i64,
    pub(crate) error_message: Option<String>,
}

/// Where a rotation stands after a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) cursor: Option<Uuid>,
    pub(crate) pass_started_at: Option<DateTime<Utc>>,
    pub(crate) next_batch_at: DateTime<Utc>,
    pub(crate) items_failed: i64,
    pub(crate) error_message: Option<String>,
    pub(crate) has_more: bool,
}

impl Next {
    /// What the worker hears.
    pub(crate) const fn outcome(&self, moved: u64) -> BatchOutcome {
        match (self.has_more, self.pass_started_at) {
            (true, _) => BatchOutcome::Moved(moved),
            (false, None) => BatchOutcome::PassEnded(moved),
            (false, Some(_)) => BatchOutcome::LastPassEnded(moved),
        }
    }
}

impl Progress {
    /// What comes after a batch. A pass counts its failures anew: what does not open stays where it
    /// is, and the next pass meets it again. `last` is the last key of the batch.
    pub(crate) fn advance(
        self,
        plan: &BatchPlan,
        failed: &[Uuid],
        (last, has_more): (Option<Uuid>, bool),
    ) -> Next {
        let is_first = self.cursor_private_key_id.is_none();
        let (failed_before, message_before) = if is_first {
            (0, None)
        } else {
            (self.items_failed, self.error_message)
        };
        let pass_started_at = match self.pass_started_at {
            Some(started_at) if !is_first => started_at,
            _ => plan.now,
        };
        let items_failed = failed_before + i64::try_from(failed.len()).unwrap_or(i64::MAX);
        let error_message = name_failed(message_before, failed_before, failed);
        let goes_on = has_more || pass_started_at >= plan.settled_at;
        let next_batch_at = match (goes_on, has_more) {
            (false, _) => plan.settled_at,
            (true, true) => plan.next_batch_at,
            (true, false) => plan.now,
        };
        Next {
            cursor: last.or(self.cursor_private_key_id).filter(|_| goes_on),
            pass_started_at: Some(pass_started_at).filter(|_| goes_on),
            next_batch_at,
            items_failed,
            error_message,
            has_more,
        }
    }
}

/// The error message with further keys named in it, up to a bound.
fn name_failed(before: Option<String>, failed_before: i64, failed: &[Uuid]) -> Option<String> {
    let named = usize::try_from(failed_before).unwrap_or(usize::MAX);
    let room = FAILED_NAMED_MAX.saturating_sub(named);
    let mut message = before;
    for id in failed.iter().take(room) {
        message = Some(match message {
            Some(message) => format!("{message}, {id}"),
            None => format!("{FAILED_BEGINS}{id}"),
        });
    }
    if failed.len() > room && room > 0 {
        message = message.map(|message| format!("{message} and more"));
    }
    message
}
