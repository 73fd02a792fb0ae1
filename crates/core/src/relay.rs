//! Delivers what a crash or an outage left in the Secure Service's outbox.
//!
//! The hot path applies replies itself and only queues the acknowledgement here; the relay pulls
//! events that are old enough to have been missed.

use std::sync::Mutex;

use clm_database::Scope;
use clm_domain::ids::{EventId, SYSTEM_ORGANIZATION};
use clm_domain::limits::EVENT_BATCH_MAX;
use clm_secure_api::command::{AcknowledgeEvents, PullEvents};
use clm_secure_api::event::Event;

use crate::context::OpContext;
use crate::error::Result;
use crate::store::inbox;
use crate::{Core, projection};

/// Most acknowledgements that wait in memory. Beyond that they are dropped: the relay then delivers
/// the events once more, which changes nothing.
const PENDING_ACKNOWLEDGEMENTS_MAX: usize = 100_000;

/// Events that were applied and wait to be acknowledged in a batch, off the hot path.
#[derive(Debug, Default)]
pub struct Acknowledgements {
    pending: Mutex<Vec<EventId>>,
}

impl Acknowledgements {
    /// Queues one.
    pub(crate) fn push(&self, event_id: EventId) {
        if let Ok(mut pending) = self.pending.lock()
            && pending.len() < PENDING_ACKNOWLEDGEMENTS_MAX
        {
            pending.push(event_id);
        }
    }

    fn take(&self, limit: usize) -> Vec<EventId> {
        self.pending
            .lock()
            .map(|mut pending| {
                let rest = pending.len().saturating_sub(limit);
                pending.split_off(rest)
            })
            .unwrap_or_default()
    }
}

/// Removes applied events from the outbox. Returns how many were acknowledged.
///
/// # Errors
/// Those of the Secure Service; nothing is lost, the events are delivered again.
pub async fn acknowledge_pending(core: &Core) -> Result<usize> {
    let event_ids = core.acknowledgements.take(EVENT_BATCH_MAX as usize);
    if event_ids.is_empty() {
        return Ok(0);
    }
    let count = event_ids.len();
    let context = OpContext::system(core, SYSTEM_ORGANIZATION);
    core.secure
        .acknowledge_events(context.call(), AcknowledgeEvents { event_ids })
        .await?;
    Ok(count)
}

/// Pulls one batch of events and applies it. Returns how many were delivered.
///
/// # Errors
/// Those of the Secure Service and of the database. An event that cannot be applied does not hold
/// up the others: it stays in the outbox.
pub async fn deliver_events(core: &Core) -> Result<usize> {
    let context = OpContext::system(core, SYSTEM_ORGANIZATION);
    let pull = PullEvents {
        limit: EVENT_BATCH_MAX,
    };
    let events = core.secure.pull_events(context.call(), pull).await?;
    let mut applied = Vec::with_capacity(events.len());
    let mut failure = None;
    for event in &events {
        match deliver(core, event).await {
            Ok(()) => applied.push(event.event_id),
            Err(error) => {
                tracing::warn!(event.id = %event.event_id, error.detail = %error,
                    "an event could not be applied and will be delivered again");
                failure = Some(error);
            }
        }
    }
    let count = applied.len();
    if !applied.is_empty() {
        let acknowledge = AcknowledgeEvents { event_ids: applied };
        core.secure
            .acknowledge_events(context.call(), acknowledge)
            .await?;
    }
    failure.map_or(Ok(count), Err)
}

async fn deliver(core: &Core, event: &Event) -> Result<()> {
    projection::apply(core, event, None).await?;
    let scope = Scope::System("relay remembers delivered events of every organization");
    let event = event.clone();
    core.pool
        .transact("relay::deliver", scope, |connection| {
            let event = event.clone();
            Box::pin(async move { Ok(inbox::insert(connection, &event).await?) })
        })
        .await
        .map(|_is_new: bool| ())
}
