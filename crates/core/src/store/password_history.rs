//! Rows of `password_history`: former passwords, in the System scope.

use chrono::{DateTime, Utc};
use clm_domain::ids::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

/// The hashes of the former passwords of a user, newest first.
pub(crate) async fn list(
    connection: &mut PgConnection,
    user_id: UserId,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "-- password_history::list
        SELECT password_hash FROM password_history WHERE user_id = $1 ORDER BY id DESC LIMIT $2",
        user_id.as_uuid(),
        limit,
    )
    .fetch_all(connection)
    .await
}

/// Keeps the present password of a user, if there is one, as a former one.
pub(crate) async fn remember(
    connection: &mut PgConnection,
    user_id: UserId,
    (id, now): (Uuid, DateTime<Utc>),
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- password_history::remember
        INSERT INTO password_history (id, organization_id, user_id, password_hash, created_at)
        SELECT $2, home_organization_id, id, password_hash, $3
        FROM users
        WHERE id = $1 AND password_hash IS NOT NULL",
        user_id.as_uuid(),
        id,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the former passwords of a user but for the newest `kept`.
pub(crate) async fn forget_older(
    connection: &mut PgConnection,
    user_id: UserId,
    kept: i64,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- password_history::forget_older
        DELETE FROM password_history WHERE id IN (
            SELECT id FROM password_history WHERE user_id = $1 ORDER BY id DESC OFFSET $2)",
        user_id.as_uuid(),
        kept,
    )
    .execute(connection)
    .await?;
    Ok(())
}
