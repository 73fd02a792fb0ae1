//! Rows of `known_sign_in_addresses`, in the System scope.

use chrono::{DateTime, Utc};
use clm_domain::ids::{OrganizationId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

/// An address from which a user has signed in of late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownAddress {
    pub(crate) id: Uuid,
    pub(crate) failed_sign_in_count: i32,
    pub(crate) locked_until: Option<DateTime<Utc>>,
}

/// The address, if the user has signed in from it after `since`.
pub(crate) async fn find(
    connection: &mut PgConnection,
    user_id: UserId,
    (address_sha256, since): (&[u8; 32], DateTime<Utc>),
) -> sqlx::Result<Option<KnownAddress>> {
    sqlx::query_as!(
        KnownAddress,
        "-- known_sign_in_addresses::find
        SELECT id, failed_sign_in_count, locked_until
        FROM known_sign_in_addresses
        WHERE user_id = $1 AND address_sha256 = $2 AND last_success_at > $3",
        user_id.as_uuid(),
        address_sha256.as_slice(),
        since,
    )
    .fetch_optional(connection)
    .await
}

/// Counts a wrong password from a known address.
pub(crate) async fn update_failed_sign_in(
    connection: &mut PgConnection,
    id: Uuid,
    failed_sign_in_count: i32,
    locked_until: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- known_sign_in_addresses::update_failed_sign_in
        UPDATE known_sign_in_addresses SET failed_sign_in_count = $2, locked_until = $3
        WHERE id = $1",
        id,
        failed_sign_in_count,
        locked_until,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that a user signed in from an address, and forgets the wrong passwords from there.
pub(crate) async fn remember(
    connection: &mut PgConnection,
    (user_id, home_organization_id): (UserId, OrganizationId),
    address_sha256: &[u8; 32],
    (id, now): (Uuid, DateTime<Utc>),
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- known_sign_in_addresses::remember
        INSERT INTO known_sign_in_addresses (
            id, organization_id, user_id, address_sha256, last_success_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $5)
        ON CONFLICT (user_id, address_sha256) DO UPDATE
        SET last_success_at = excluded.last_success_at, failed_sign_in_count = 0,
            locked_until = NULL",
        id,
        home_organization_id.as_uuid(),
        user_id.as_uuid(),
        address_sha256.as_slice(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the addresses of a user but for the `kept` that were used last.
pub(crate) async fn forget_older(
    connection: &mut PgConnection,
    user_id: UserId,
    kept: i64,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- known_sign_in_addresses::forget_older
        DELETE FROM known_sign_in_addresses WHERE id IN (
            SELECT id FROM known_sign_in_addresses
            WHERE user_id = $1
            ORDER BY last_success_at DESC, id DESC
            OFFSET $2)",
        user_id.as_uuid(),
        kept,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the wrong passwords from every address of a user, and the locks that they caused.
pub(crate) async fn forget_failures(
    connection: &mut PgConnection,
    user_id: UserId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- known_sign_in_addresses::forget_failures
        UPDATE known_sign_in_addresses SET failed_sign_in_count = 0, locked_until = NULL
        WHERE user_id = $1 AND (failed_sign_in_count > 0 OR locked_until IS NOT NULL)",
        user_id.as_uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
