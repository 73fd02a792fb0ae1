//! Rows of `roles`: those of the organization in scope, and readable those of the System organization.

use chrono::{DateTime, Utc};
use clm_domain::ids::{OrganizationId, RoleId, SYSTEM_ORGANIZATION};
use clm_domain::permission::Permissions;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::roles::RoleRecord;

struct Row {
    id: Uuid,
    organization_id: Uuid,
    role_code: String,
    role_name: String,
    description: Option<String>,
    permissions: Value,
    parent_role_id: Option<Uuid>,
    is_system_role: bool,
    revision: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for RoleRecord {
    fn from(row: Row) -> Self {
        Self {
            role_id: RoleId::from_uuid(row.id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            role_code: row.role_code,
            role_name: row.role_name,
            description: row.description,
            permissions: Permissions::from_stored(&row.permissions),
            parent_role_id: row.parent_role_id.map(RoleId::from_uuid),
            is_system_role: row.is_system_role,
            revision: row.revision,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Waits until nobody else changes roles of the organization, nor assigns one; until the end of the
/// transaction nobody else does.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- roles::lock
        SELECT pg_advisory_xact_lock(hashtextextended('clm roles ' || $1::uuid::text, 0))",
        organization_id.as_uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// Keeps the roles of the organization as they are until the end of the transaction; others may do the
/// same.
pub(crate) async fn lock_shared(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- roles::lock_shared
        SELECT pg_advisory_xact_lock_shared(hashtextextended('clm roles ' || $1::uuid::text, 0))",
        organization_id.as_uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// Inserts a role of the organization in scope.
pub(crate) async fn insert(connection: &mut PgConnection, role: &RoleRecord) -> sqlx::Result<()> {
    sqlx::query!(
        "-- roles::insert
        INSERT INTO roles (
            id, organization_id, role_code, role_name, description, permissions, parent_role_id,
            created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        role.role_id.as_uuid(),
        role.organization_id.as_uuid(),
        role.role_code,
        role.role_name,
        role.description,
        serde_json::json!(role.permissions),
        role.parent_role_id.map(Uuid::from),
        role.created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores a changed role of the organization in scope, which the transaction has locked. Returns when
/// it was written.
pub(crate) async fn update(
    connection: &mut PgConnection,
    role: &RoleRecord,
) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(
        "-- roles::update
        UPDATE roles
        SET role_name = $3, description = $4, permissions = $5, parent_role_id = $6, revision = $7
        WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL
        RETURNING updated_at",
        role.organization_id.as_uuid(),
        role.role_id.as_uuid(),
        role.role_name,
        role.description,
        serde_json::json!(role.permissions),
        role.parent_role_id.map(Uuid::from),
        role.revision,
    )
    .fetch_one(connection)
    .await
}

/// Marks a role as deleted, or (`None`) takes the mark away.
pub(crate) async fn set_deleted(
    connection: &mut PgConnection,
    (organization_id, role_id): (OrganizationId, RoleId),
    deleted_at: Option<DateTime<Utc>>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- roles::set_deleted
        UPDATE roles SET deleted_at = $3, revision = revision + 1
        WHERE organization_id = $1 AND id = $2
            AND (deleted_at IS NULL) = ($3::timestamptz IS NOT NULL)",
        organization_id.as_uuid(),
        role_id.as_uuid(),
        deleted_at,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A live role that the organization may use: its own, or one of the System organization.
pub(crate) async fn find(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    role_id: RoleId,
) -> sqlx::Result<Option<RoleRecord>> {
    let row = sqlx::query_as!(
        Row,
        "-- roles::find
        SELECT id, organization_id, role_code, role_name, description, permissions, parent_role_id,
            is_system_role, revision, created_at, updated_at
        FROM roles
        WHERE id = $2 AND organization_id IN ($1, $3) AND deleted_at IS NULL",
        organization_id.as_uuid(),
        role_id.as_uuid(),
        SYSTEM_ORGANIZATION.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(RoleRecord::from))
}

/// A role of the organization in scope that was deleted.
pub(crate) async fn find_deleted(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    role_id: RoleId,
) -> sqlx::Result<Option<RoleRecord>> {
    let row = sqlx::query_as!(
        Row,
        "-- roles::find_deleted
        SELECT id, organization_id, role_code, role_name, description, permissions, parent_role_id,
            is_system_role, revision, created_at, updated_at
        FROM roles
        WHERE id = $2 AND organization_id = $1 AND deleted_at IS NOT NULL",
        organization_id.as_uuid(),
        role_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(RoleRecord::from))
}

/// The role and those above it, the role first. A cycle, which nothing can make, would end.
pub(crate) async fn list_lineage(
    connection: &mut PgConnection,
    role_id: RoleId,
) -> sqlx::Result<Vec<RoleRecord>> {
    let rows = sqlx::query_as!(
        Row,
        r#"-- roles::list_lineage
        WITH RECURSIVE lineage AS (
            SELECT r.id, r.parent_role_id, 1 AS level
            FROM roles r
            WHERE r.id = $1 AND r.deleted_at IS NULL
            UNION
            SELECT r.id, r.parent_role_id, l.level + 1
            FROM lineage l
            JOIN roles r ON r.id = l.parent_role_id AND r.deleted_at IS NULL
            WHERE l.level < $2
        )
        SELECT r.id, r.organization_id, r.role_code, r.role_name, r.description, r.permissions,
            r.parent_role_id, r.is_system_role, r.revision, r.created_at, r.updated_at
        FROM lineage l
        JOIN roles r ON r.id = l.id
        ORDER BY l.level"#,
        role_id.as_uuid(),
        LINEAGE_LEVELS_MAX,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(RoleRecord::from).collect())
}

/// Beyond what any hierarchy can have.
const LINEAGE_LEVELS_MAX: i32 = 100;

/// How many levels of live roles hang below a role; 0 for none. A role of the System organization may
/// have some in any organization, so that needs the System scope.
pub(crate) async fn count_levels_below(
    connection: &mut PgConnection,
    role_id: RoleId,
) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        r#"-- roles::count_levels_below
        WITH RECURSIVE heirs AS (
            SELECT $1::uuid AS id, 0 AS level
            UNION
            SELECT r.id, h.level + 1
            FROM heirs h
            JOIN roles r ON r.parent_role_id = h.id AND r.deleted_at IS NULL
            WHERE h.level < $2
        )
        SELECT max(level) AS "levels!" FROM heirs"#,
        role_id.as_uuid(),
        LINEAGE_LEVELS_MAX,
    )
    .fetch_one(connection)
    .await
}

/// Whether the organization has, or once had, another role of this code.
pub(crate) async fn code_is_taken(
    connection: &mut PgConnection,
    role: &RoleRecord,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- roles::code_is_taken
        SELECT EXISTS (
            SELECT 1 FROM roles
            WHERE organization_id = $1 AND role_code = $2) AS "taken!""#,
        role.organization_id.as_uuid(),
        role.role_code,
    )
    .fetch_one(connection)
    .await
}

/// Those of the codes that no role has which the organization can give.
pub(crate) async fn list_unknown_codes(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    codes: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"-- roles::list_unknown_codes
        SELECT wanted.code AS "code!" FROM unnest($2::text[]) AS wanted (code)
        WHERE NOT EXISTS (
            SELECT FROM roles r
            WHERE r.organization_id IN ($1, $3) AND r.role_code = wanted.code
                AND r.deleted_at IS NULL)"#,
        organization_id.as_uuid(),
        codes,
        SYSTEM_ORGANIZATION.as_uuid(),
    )
    .fetch_all(connection)
    .await
}

/// How many live roles the organization in scope owns.
pub(crate) async fn count(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- roles::count
        SELECT count(*) AS "count!" FROM roles WHERE organization_id = $1 AND deleted_at IS NULL"#,
        organization_id.as_uuid(),
    )
    .fetch_one(connection)
    .await
}

/// Live roles that the organization may use, newest first; those of the System organization are the
/// oldest.
pub(crate) async fn list(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    (after, limit): (Option<Uuid>, i64),
) -> sqlx::Result<Vec<RoleRecord>> {
    let rows = sqlx::query_as!(
        Row,
        "-- roles::list
        SELECT id, organization_id, role_code, role_name, description, permissions, parent_role_id,
            is_system_role, revision, created_at, updated_at
        FROM roles
        WHERE organization_id IN ($1, $2) AND deleted_at IS NULL AND id < $3
        ORDER BY id DESC
        LIMIT $4",
        organization_id.as_uuid(),
        SYSTEM_ORGANIZATION.as_uuid(),
        after.unwrap_or(Uuid::max()),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(RoleRecord::from).collect())
}
