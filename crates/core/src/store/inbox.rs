//! Rows of `inbox`: which events were applied.

use clm_secure_api::event::Event;
use sqlx::PgConnection;

/// Remembers an event; `false` when it is known already.
pub(crate) async fn insert(connection: &mut PgConnection, event: &Event) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- inbox::insert
        INSERT INTO inbox (event_id, organization_id, event_type)
        VALUES ($1, $2, $3)
        ON CONFLICT (event_id) DO NOTHING",
        event.event_id.as_uuid(),
        event.organization_id.as_uuid(),
        event.body.name(),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
