//! `outbox`: events on their way to the core. Written with their act (see [`super::issuance`]).

use chrono::{DateTime, Utc};
use clm_database::DatabaseError;
use clm_database::transaction::Abort;
use clm_domain::ids::EventId;
use serde_json::Value;
use uuid::Uuid;

use super::{RELAY, SecureStore};

/// An event as it is stored.
pub(crate) struct StoredEvent {
    /// Its identity.
    pub(crate) id: Uuid,
    /// Its JSON.
    pub(crate) payload: Value,
    /// How often it has been handed out, this time included.
    pub(crate) attempts: i32,
}

impl SecureStore {
    /// Takes up to `limit` events that are due at `now`, oldest first, and hides them until
    /// `hidden_until`, so that several replicas share the work.
    pub(crate) async fn lease_events(
        &self,
        limit: i64,
        now: DateTime<Utc>,
        hidden_until: DateTime<Utc>,
    ) -> Result<Vec<StoredEvent>, DatabaseError> {
        let mut events = self
            .pool
            .transact("lease events", RELAY, |connection| {
                Box::pin(async move {
                    let events = sqlx::query_as!(
                        StoredEvent,
                        r#"-- outbox::lease
                        WITH due AS MATERIALIZED (
                            SELECT o.id FROM outbox o WHERE o.available_at <= $1
                            ORDER BY o.available_at, o.id LIMIT $2 FOR UPDATE SKIP LOCKED
                        )
                        UPDATE outbox SET attempts = outbox.attempts + 1, available_at = $3
                        FROM due WHERE outbox.id = due.id
                        RETURNING outbox.id, outbox.payload, outbox.attempts"#,
                        now,
                        limit,
                        hidden_until,
                    )
                    .fetch_all(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(events)
                })
            })
            .await?;
        // The ids are UUIDv7: their order is that of time. RETURNING promises none.
        events.sort_unstable_by_key(|event| event.id);
        Ok(events)
    }

    /// Removes events that were applied; returns how many there were.
    pub(crate) async fn delete_events(&self, ids: &[EventId]) -> Result<u64, DatabaseError> {
        let ids: Vec<Uuid> = ids.iter().copied().map(Uuid::from).collect();
        self.pool
            .transact("acknowledge events", RELAY, |connection| {
                let ids = ids.clone();
                Box::pin(async move {
                    let removed = sqlx::query!(
                        r#"-- outbox::delete
                        DELETE FROM outbox WHERE id = ANY($1)"#,
                        &ids,
                    )
                    .execute(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(removed.rows_affected())
                })
            })
            .await
    }
}
