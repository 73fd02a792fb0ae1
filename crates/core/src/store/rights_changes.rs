//! What `rights_changes` tells a process that remembers identities.

use clm_domain::ids::UserId;
use sqlx::PgPool;

/// What changed since the last look.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Where the next look begins.
    pub(crate) horizon: i64,
    /// Whether everybody is concerned.
    pub(crate) concerns_all: bool,
    /// Who is.
    pub(crate) user_ids: Vec<UserId>,
}

/// Whose rights changed in transactions that were not visible when `since` was the horizon; without it
/// just the horizon. Needs no scope.
pub(crate) async fn find(pool: &PgPool, since: Option<i64>) -> sqlx::Result<Found> {
    let row = sqlx::query!(
        r#"-- rights_changes::find
        SELECT horizon AS "horizon!", concerns_all AS "concerns_all!", user_ids AS "user_ids!"
        FROM find_rights_changes($1)"#,
        since,
    )
    .fetch_one(pool)
    .await?;
    Ok(Found {
        horizon: row.horizon,
        concerns_all: row.concerns_all,
        user_ids: row.user_ids.into_iter().map(UserId::from_uuid).collect(),
    })
}
