//! Rows of `organizations`.

use chrono::{DateTime, Utc};
use clm_domain::ids::OrganizationId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::parse_stored;
use crate::organizations::OrganizationRecord;

struct Row {
    id: Uuid,
    name: String,
    slug: String,
    status: String,
    created_at: DateTime<Utc>,
}

fn record(row: Row) -> sqlx::Result<OrganizationRecord> {
    Ok(OrganizationRecord {
        organization_id: OrganizationId::from_uuid(row.id),
        name: row.name,
        slug: row.slug,
        status: parse_stored(&row.status)?,
        created_at: row.created_at,
    })
}

/// Inserts an active organization (system scope).
pub(crate) async fn insert(
    connection: &mut PgConnection,
    organization: &OrganizationRecord,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- organizations::insert
        INSERT INTO organizations (id, name, slug, status, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $5)",
        organization.organization_id.as_uuid(),
        organization.name,
        organization.slug,
        organization.status.as_str(),
        organization.created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A live organization: the one in scope, or any in the system scope.
pub(crate) async fn find(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
) -> sqlx::Result<Option<OrganizationRecord>> {
    let row = sqlx::query_as!(
        Row,
        "-- organizations::find
        SELECT id, name, slug, status, created_at
        FROM organizations
        WHERE id = $1 AND deleted_at IS NULL",
        organization_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(record).transpose()
}

/// The live organization with this slug (system scope).
pub(crate) async fn find_by_slug(
    connection: &mut PgConnection,
    slug: &str,
) -> sqlx::Result<Option<OrganizationRecord>> {
    let row = sqlx::query_as!(
        Row,
        "-- organizations::find_by_slug
        SELECT id, name, slug, status, created_at
        FROM organizations
        WHERE slug = $1 AND deleted_at IS NULL",
        slug,
    )
    .fetch_optional(connection)
    .await?;
    row.map(record).transpose()
}
