//! The outbox as the relay sees it, and the states that the reconciler compares. Both cross
//! organizations.

use chrono::TimeDelta;
use clm_domain::error::Fault;
use clm_domain::limits::EVENT_BATCH_MAX;
use clm_secure_api::Reply;
use clm_secure_api::command::{AcknowledgeEvents, ListCertificateStates, PullEvents};
use clm_secure_api::event::Event;
use clm_secure_api::wire;
use serde::Serialize;

use crate::Secure;
use crate::error::Failure;
use crate::queries::page_size;

/// How long an event that was handed out is hidden from others, in seconds. Who takes longer will
/// see it again, which changes nothing: applying is idempotent.
const LEASE_SECONDS: i64 = 30;
/// Most events that one command acknowledges: several batches.
const ACKNOWLEDGED_MAX: usize = 10_000;
/// Bytes of a page from which on it is not made longer. What is in one item is bounded by far less.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

impl Secure {
    /// Carries out [`PullEvents`].
    pub(crate) async fn pull_events(&self, command: PullEvents) -> Result<Reply, Failure> {
        let now = self.clock.now();
        let limit = i64::from(command.limit.clamp(1, EVENT_BATCH_MAX));
        let leased = self
            .store
            .lease_events(limit, now, now + TimeDelta::seconds(LEASE_SECONDS))
            .await?;
        let mut events = Vec::with_capacity(leased.len());
        for stored in leased {
            match serde_json::from_value::<Event>(stored.payload) {
                Ok(event) => events.push(event),
                // It stays where it is, for a version that can read it, and must not hold up the
                // others.
                Err(error) => {
                    metrics::counter!("clm_secure_events_unreadable_total").increment(1);
                    tracing::error!(
                        event.id = %stored.id, event.attempts = stored.attempts, %error,
                        "an event in the outbox cannot be read"
                    );
                }
            }
        }
        // What is left out comes again when its lease has ended.
        Ok(Reply::Events(as_many_as_travel(events)))
    }

    /// Carries out [`AcknowledgeEvents`].
    pub(crate) async fn acknowledge_events(
        &self,
        command: AcknowledgeEvents,
    ) -> Result<Reply, Failure> {
        if command.event_ids.len() > ACKNOWLEDGED_MAX {
            let message = format!("At most {ACKNOWLEDGED_MAX} events can be acknowledged at once.");
            return Err(Fault::invalid("too_many_events", "event_ids", message).into());
        }
        if command.event_ids.is_empty() {
            return Ok(Reply::Acknowledged(0));
        }
        Ok(Reply::Acknowledged(
            self.store.delete_events(&command.event_ids).await?,
        ))
    }

    /// Carries out [`ListCertificateStates`].
    pub(crate) async fn list_certificate_states(
        &self,
        command: ListCertificateStates,
    ) -> Result<Reply, Failure> {
        let limit = page_size(command.limit);
        let states = self
            .store
            .list_certificate_states(command.after, limit)
            .await?;
        // Who asks goes on behind the last one, until there is none.
        Ok(Reply::CertificateStates(as_many_as_travel(states)))
    }
}

/// The first of these, as many as fit into one message with room to spare, and one at least.
fn as_many_as_travel<T: Serialize>(items: Vec<T>) -> Vec<T> {
    let mut room = PAGE_BYTES_MAX;
    let fits = |item: &T| {
        let bytes = wire::encode(item).map_or(0, |encoded| encoded.len());
        let had_room = room > 0;
        room = room.saturating_sub(bytes);
        had_room
    };
    items.into_iter().take_while(fits).collect()
}

#[cfg(test)]
mod tests;
