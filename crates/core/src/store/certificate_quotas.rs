//! Rows of `certificate_quotas` and `certificate_quota_leases`, of the organization in scope.

use chrono::{DateTime, Utc};
use clm_domain::ids::OrganizationId;
use sqlx::PgConnection;
use uuid::Uuid;

/// What counts against a quota.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// Live certificates, when they were counted.
    pub(crate) live: i64,
    /// Places that were leased then, and every one that was leased since.
    pub(crate) granted: i64,
}

/// The upper bound of what an organization has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuotaRow {
    pub(crate) counted: Counted,
    /// The revision of the organization then.
    pub(crate) revision: i64,
    pub(crate) counted_at: DateTime<Utc>,
}

/// The quota of an organization and its revision, if it has one.
pub(crate) async fn find_limit(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
) -> sqlx::Result<Option<(i64, i64)>> {
    let row = sqlx::query!(
        "-- certificate_quotas::find_limit
        SELECT max_certificates, revision FROM organizations WHERE id = $1",
        organization_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.and_then(|row| Some((row.max_certificates?, row.revision))))
}

/// The bound, which nobody else reads or changes until the end of the transaction; none before the
/// first count.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
) -> sqlx::Result<Option<QuotaRow>> {
    sqlx::query!(
        "-- certificate_quotas::lock
        SELECT pg_advisory_xact_lock(hashtextextended('clm certificate quota ' || $1::uuid::text, 0))",
        organization_id.as_uuid(),
    )
    .fetch_one(&mut *connection)
    .await?;
    let row = sqlx::query!(
        "-- certificate_quotas::find
        SELECT live_count, granted_count, organization_revision, counted_at
        FROM certificate_quotas
        WHERE organization_id = $1",
        organization_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| QuotaRow {
        counted: Counted {
            live: row.live_count,
            granted: row.granted_count,
        },
        revision: row.organization_revision,
        counted_at: row.counted_at,
    }))
}

/// Counts the live certificates, and the places in leases of others.
pub(crate) async fn count(
    connection: &mut PgConnection,
    (organization_id, lease_id): (OrganizationId, Uuid),
    now: DateTime<Utc>,
) -> sqlx::Result<Counted> {
    let row = sqlx::query!(
        r#"-- certificate_quotas::count
        SELECT
            (SELECT count(*) FROM certificate_metadata
             WHERE organization_id = $1 AND deleted_at IS NULL
                 AND status NOT IN ('revoked', 'expired') AND not_after > $3
                 AND certificate_type NOT IN ('root', 'intermediate')) AS "live!",
            (SELECT coalesce(sum(outstanding), 0)::bigint FROM certificate_quota_leases
             WHERE organization_id = $1 AND id <> $2 AND expires_at > $3) AS "granted!""#,
        organization_id.as_uuid(),
        lease_id,
        now,
    )
    .fetch_one(connection)
    .await?;
    Ok(Counted {
        live: row.live,
        granted: row.granted,
    })
}

/// Writes the bound that is locked.
pub(crate) async fn update(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    row: &QuotaRow,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- certificate_quotas::update
        INSERT INTO certificate_quotas (
            organization_id, live_count, granted_count, organization_revision, counted_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (organization_id) DO UPDATE
        SET live_count = excluded.live_count, granted_count = excluded.granted_count,
            organization_revision = excluded.organization_revision,
            counted_at = excluded.counted_at",
        organization_id.as_uuid(),
        row.counted.live,
        row.counted.granted,
        row.revision,
        row.counted_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes how many places of a process are not settled, and until when they count without another word
/// of it.
pub(crate) async fn put_lease(
    connection: &mut PgConnection,
    (organization_id, lease_id): (OrganizationId, Uuid),
    (outstanding, expires_at): (i64, DateTime<Utc>),
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- certificate_quotas::put_lease
        INSERT INTO certificate_quota_leases (id, organization_id, outstanding, expires_at)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (id) DO UPDATE
        SET outstanding = excluded.outstanding, expires_at = excluded.expires_at",
        lease_id,
        organization_id.as_uuid(),
        outstanding,
        expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
