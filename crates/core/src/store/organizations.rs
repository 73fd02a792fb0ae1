//! Rows of `organizations`.

use chrono::{DateTime, Utc};
use clm_domain::ids::{OrganizationId, UserId};
use clm_domain::organization_settings::OrganizationSettings;
use clm_domain::states::OrganizationStatus;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::parse_stored;
use crate::organizations::{OrganizationDetail, OrganizationRecord};

struct Row {
    id: Uuid,
    name: String,
    slug: String,
    status: String,
    settings: Value,
    max_users: Option<i64>,
    max_certificates: Option<i64>,
    revision: i64,
    created_at: DateTime<Utc>,
}

fn record(row: Row) -> sqlx::Result<OrganizationRecord> {
    Ok(OrganizationRecord {
        organization_id: OrganizationId::from_uuid(row.id),
        name: row.name,
        slug: row.slug,
        status: parse_stored(&row.status)?,
        settings: OrganizationSettings::from_stored(&row.settings),
        max_users: row.max_users,
        max_certificates: row.max_certificates,
        revision: row.revision,
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
        INSERT INTO organizations (
            id, name, slug, status, max_users, max_certificates, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5::bigint::integer, $6, $7, $7)",
        organization.organization_id.as_uuid(),
        organization.name,
        organization.slug,
        organization.status.as_str(),
        organization.max_users,
        organization.max_certificates,
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
        r#"-- organizations::find
        SELECT id, name, slug, status, settings, max_users::bigint AS max_users, max_certificates,
            revision, created_at
        FROM organizations
        WHERE id = $1 AND deleted_at IS NULL"#,
        organization_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(record).transpose()
}

/// A live organization as [`find`], which nobody else changes until the end of the transaction.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
) -> sqlx::Result<Option<OrganizationRecord>> {
    let row = sqlx::query_as!(
        Row,
        r#"-- organizations::lock
        SELECT id, name, slug, status, settings, max_users::bigint AS max_users, max_certificates,
            revision, created_at
        FROM organizations
        WHERE id = $1 AND deleted_at IS NULL
        FOR NO KEY UPDATE"#,
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
        r#"-- organizations::find_by_slug
        SELECT id, name, slug, status, settings, max_users::bigint AS max_users, max_certificates,
            revision, created_at
        FROM organizations
        WHERE slug = $1 AND deleted_at IS NULL"#,
        slug,
    )
    .fetch_optional(connection)
    .await?;
    row.map(record).transpose()
}

/// A live organization as [`find`], with what it has.
pub(crate) async fn find_detail(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<OrganizationDetail>> {
    let Some(record) = find(connection, organization_id).await? else {
        return Ok(None);
    };
    let counts = sqlx::query!(
        r#"-- organizations::find_detail
        SELECT
            (SELECT count(*) FROM users
             WHERE home_organization_id = $1 AND deleted_at IS NULL) AS "users!",
            (SELECT count(*) FROM certificate_metadata
             WHERE organization_id = $1 AND deleted_at IS NULL
                 AND status NOT IN ('revoked', 'expired') AND not_after > $2
                 AND certificate_type NOT IN ('root', 'intermediate')) AS "certificates!""#,
        organization_id.as_uuid(),
        now,
    )
    .fetch_one(connection)
    .await?;
    Ok(Some(OrganizationDetail {
        record,
        user_count: counts.users,
        certificate_count: counts.certificates,
    }))
}

/// Live organizations, newest first (system scope).
pub(crate) async fn list(
    connection: &mut PgConnection,
    (after, limit): (Option<Uuid>, i64),
) -> sqlx::Result<Vec<OrganizationRecord>> {
    let rows = sqlx::query_as!(
        Row,
        r#"-- organizations::list
        SELECT id, name, slug, status, settings, max_users::bigint AS max_users, max_certificates,
            revision, created_at
        FROM organizations
        WHERE deleted_at IS NULL AND id < $1
        ORDER BY id DESC
        LIMIT $2"#,
        after.unwrap_or(Uuid::max()),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(record).collect()
}

/// Live organizations in which the user is an active member, newest first (system scope).
pub(crate) async fn list_of_member(
    connection: &mut PgConnection,
    user_id: UserId,
    (after, limit): (Option<Uuid>, i64),
) -> sqlx::Result<Vec<OrganizationRecord>> {
    let rows = sqlx::query_as!(
        Row,
        r#"-- organizations::list_of_member
        SELECT o.id, o.name, o.slug, o.status, o.settings, o.max_users::bigint AS max_users,
            o.max_certificates, o.revision, o.created_at
        FROM user_organizations uo
        JOIN organizations o ON o.id = uo.organization_id
        WHERE uo.user_id = $1 AND uo.status = 'active' AND uo.deleted_at IS NULL
            AND o.deleted_at IS NULL AND o.id < $2
        ORDER BY o.id DESC
        LIMIT $3"#,
        user_id.as_uuid(),
        after.unwrap_or(Uuid::max()),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(record).collect()
}

/// Writes what the organization in scope decides about itself. Settings of other versions stay.
pub(crate) async fn update_own(
    connection: &mut PgConnection,
    changed: &OrganizationRecord,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- organizations::update_own
        UPDATE organizations
        SET name = $2, settings = (settings - $3::text[]) || $4, revision = revision + 1
        WHERE id = $1",
        changed.organization_id.as_uuid(),
        changed.name,
        &known_keys(),
        json!(changed.settings),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes what the organization decides, and what is decided about it (system scope).
pub(crate) async fn update_governed(
    connection: &mut PgConnection,
    changed: &OrganizationRecord,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- organizations::update_governed
        UPDATE organizations
        SET name = $2, settings = (settings - $3::text[]) || $4,
            max_users = $5::bigint::integer, max_certificates = $6, revision = revision + 1
        WHERE id = $1",
        changed.organization_id.as_uuid(),
        changed.name,
        &known_keys(),
        json!(changed.settings),
        changed.max_users,
        changed.max_certificates,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the status of an organization (system scope).
pub(crate) async fn update_status(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    status: OrganizationStatus,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- organizations::update_status
        UPDATE organizations SET status = $2, revision = revision + 1 WHERE id = $1",
        organization_id.as_uuid(),
        status.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn known_keys() -> Vec<String> {
    let keys = OrganizationSettings::KEYS.iter();
    keys.map(|key| (*key).to_owned()).collect()
}
