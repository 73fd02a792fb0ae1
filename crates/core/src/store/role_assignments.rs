//! Rows of `user_roles`: assignments of roles, from when to when. What lists show comes from the view
//! `role_assignments`, which knows the names of guests too.

use chrono::{DateTime, Utc};
use clm_domain::ids::{OrganizationId, RoleAssignmentId, RoleId, UserId};
use clm_domain::permission::Permissions;
use clm_domain::states::{OrganizationStatus, UserStatus};
use sqlx::PgConnection;
use uuid::Uuid;

use super::parse_stored;
use crate::role_assignments::{Filter, RoleAssignmentRecord};

struct Row {
    role_assignment_id: Uuid,
    organization_id: Uuid,
    user_id: Uuid,
    username: String,
    role_id: Uuid,
    role_code: String,
    valid_from: DateTime<Utc>,
    valid_until: Option<DateTime<Utc>>,
    granted_by_user_id: Option<Uuid>,
    reason: Option<String>,
    revision: i64,
    created_at: DateTime<Utc>,
}

impl From<Row> for RoleAssignmentRecord {
    fn from(row: Row) -> Self {
        Self {
            role_assignment_id: RoleAssignmentId::from_uuid(row.role_assignment_id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            user_id: UserId::from_uuid(row.user_id),
            username: row.username,
            role_id: RoleId::from_uuid(row.role_id),
            role_code: row.role_code,
            valid_from: row.valid_from,
            valid_until: row.valid_until,
            granted_by_user_id: row.granted_by_user_id.map(UserId::from_uuid),
            reason: row.reason,
            revision: row.revision,
            created_at: row.created_at,
        }
    }
}

/// Waits until nobody else changes assignments of the user in the organization; until the end of the
/// transaction nobody else does.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    user_id: UserId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- role_assignments::lock
        SELECT pg_advisory_xact_lock(
            hashtextextended('clm user roles ' || $1::uuid::text || $2::uuid::text, 0))",
        organization_id.as_uuid(),
        user_id.as_uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// Inserts an assignment, without the names in it.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    assignment: &RoleAssignmentRecord,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- role_assignments::insert
        INSERT INTO user_roles (
            id, organization_id, user_id, role_id, valid_from, valid_until, granted_by_user_id,
            reason, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        assignment.role_assignment_id.as_uuid(),
        assignment.organization_id.as_uuid(),
        assignment.user_id.as_uuid(),
        assignment.role_id.as_uuid(),
        assignment.valid_from,
        assignment.valid_until,
        assignment.granted_by_user_id.map(Uuid::from),
        assignment.reason,
        assignment.created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// One assignment of the organization in scope, unless it was cancelled.
pub(crate) async fn find(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    role_assignment_id: RoleAssignmentId,
) -> sqlx::Result<Option<RoleAssignmentRecord>> {
    let row = sqlx::query_as!(
        Row,
        r#"-- role_assignments::find
        SELECT role_assignment_id AS "role_assignment_id!", organization_id AS "organization_id!",
            user_id AS "user_id!", username AS "username!", role_id AS "role_id!",
            role_code AS "role_code!", valid_from AS "valid_from!", valid_until,
            granted_by_user_id, reason, revision AS "revision!", created_at AS "created_at!"
        FROM role_assignments
        WHERE organization_id = $1 AND role_assignment_id = $2"#,
        organization_id.as_uuid(),
        role_assignment_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(RoleAssignmentRecord::from))
}

/// The same in the System scope, where the view shows nothing.
pub(crate) async fn find_for_change(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    role_assignment_id: RoleAssignmentId,
) -> sqlx::Result<Option<RoleAssignmentRecord>> {
    let row = sqlx::query_as!(
        Row,
        "-- role_assignments::find_for_change
        SELECT ur.id AS role_assignment_id, ur.organization_id, ur.user_id, u.username, ur.role_id,
            r.role_code, ur.valid_from, ur.valid_until, ur.granted_by_user_id, ur.reason,
            ur.revision, ur.created_at
        FROM user_roles ur
        JOIN users u ON u.id = ur.user_id
        JOIN roles r ON r.id = ur.role_id
        WHERE ur.organization_id = $1 AND ur.id = $2 AND ur.deleted_at IS NULL",
        organization_id.as_uuid(),
        role_assignment_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(RoleAssignmentRecord::from))
}

/// Assignments of the organization in scope that fit the filter, newest first, without cancelled ones.
pub(crate) async fn list(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    filter: Filter,
    (after, limit): (Option<Uuid>, i64),
) -> sqlx::Result<Vec<RoleAssignmentRecord>> {
    let rows = sqlx::query_as!(
        Row,
        r#"-- role_assignments::list
        SELECT role_assignment_id AS "role_assignment_id!", organization_id AS "organization_id!",
            user_id AS "user_id!", username AS "username!", role_id AS "role_id!",
            role_code AS "role_code!", valid_from AS "valid_from!", valid_until,
            granted_by_user_id, reason, revision AS "revision!", created_at AS "created_at!"
        FROM role_assignments
        WHERE organization_id = $1 AND role_assignment_id < $2
            AND ($3::uuid IS NULL OR user_id = $3)
            AND ($4::uuid IS NULL OR role_id = $4)
            AND ($5::timestamptz IS NULL OR valid_until IS NULL OR valid_until > $5)
        ORDER BY role_assignment_id DESC
        LIMIT $6"#,
        organization_id.as_uuid(),
        after.unwrap_or(Uuid::max()),
        filter.user_id.map(Uuid::from),
        filter.role_id.map(Uuid::from),
        filter.not_ended_at,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(RoleAssignmentRecord::from).collect())
}

/// What else the user has of the role at any moment of a period: one assignment of the organization in
/// scope that overlaps it.
pub(crate) async fn find_overlapping(
    connection: &mut PgConnection,
    assignment: &RoleAssignmentRecord,
) -> sqlx::Result<Option<RoleAssignmentId>> {
    let found = sqlx::query_scalar!(
        "-- role_assignments::find_overlapping
        SELECT id FROM user_roles
        WHERE organization_id = $1 AND user_id = $2 AND role_id = $3 AND deleted_at IS NULL
            AND id <> $4
            AND (valid_until IS NULL OR valid_until > $5)
            AND ($6::timestamptz IS NULL OR valid_from < $6)
        LIMIT 1",
        assignment.organization_id.as_uuid(),
        assignment.user_id.as_uuid(),
        assignment.role_id.as_uuid(),
        assignment.role_assignment_id.as_uuid(),
        assignment.valid_from,
        assignment.valid_until,
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(RoleAssignmentId::from_uuid))
}

/// Moves the end of an assignment.
pub(crate) async fn update_end(
    connection: &mut PgConnection,
    assignment: &RoleAssignmentRecord,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- role_assignments::update_end
        UPDATE user_roles SET valid_until = $3, revision = $4
        WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL",
        assignment.organization_id.as_uuid(),
        assignment.role_assignment_id.as_uuid(),
        assignment.valid_until,
        assignment.revision,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Cancels an assignment that has not begun.
pub(crate) async fn cancel(
    connection: &mut PgConnection,
    (organization_id, role_assignment_id): (OrganizationId, RoleAssignmentId),
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- role_assignments::cancel
        UPDATE user_roles SET deleted_at = $3, revision = revision + 1
        WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL",
        organization_id.as_uuid(),
        role_assignment_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends the assignments of a user in one organization, or in every one (`None`, system scope), and cancels
/// those that have not begun. Returns how many.
pub(crate) async fn end_of_user(
    connection: &mut PgConnection,
    (organization_id, user_id): (Option<OrganizationId>, UserId),
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "-- role_assignments::end_of_user
        UPDATE user_roles
        SET valid_until = CASE WHEN valid_from < $3 THEN $3 ELSE valid_until END,
            deleted_at = CASE WHEN valid_from < $3 THEN NULL ELSE $3 END,
            revision = revision + 1
        WHERE user_id = $2 AND ($1::uuid IS NULL OR organization_id = $1)
            AND deleted_at IS NULL AND (valid_until IS NULL OR valid_until > $3)",
        organization_id.map(Uuid::from),
        user_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// How many assignments of a role have not ended, in all organizations (System scope).
pub(crate) async fn count_open(
    connection: &mut PgConnection,
    role_id: RoleId,
    now: DateTime<Utc>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- role_assignments::count_open
        SELECT count(*) AS "count!" FROM user_roles
        WHERE role_id = $1 AND deleted_at IS NULL AND (valid_until IS NULL OR valid_until > $2)"#,
        role_id.as_uuid(),
        now,
    )
    .fetch_one(connection)
    .await
}

/// How many assignments of a user in the organization in scope have not ended.
pub(crate) async fn count_open_of_user(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    user_id: UserId,
    now: DateTime<Utc>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- role_assignments::count_open_of_user
        SELECT count(*) AS "count!" FROM user_roles
        WHERE organization_id = $1 AND user_id = $2 AND deleted_at IS NULL
            AND (valid_until IS NULL OR valid_until > $3)"#,
        organization_id.as_uuid(),
        user_id.as_uuid(),
        now,
    )
    .fetch_one(connection)
    .await
}

/// Whether the user is a member of the organization in scope, suspended or not. The membership does not
/// end before the transaction does.
pub(crate) async fn lock_member(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    user_id: UserId,
) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "-- role_assignments::lock_member
        SELECT id FROM user_organizations
        WHERE organization_id = $1 AND user_id = $2 AND deleted_at IS NULL
        FOR SHARE",
        organization_id.as_uuid(),
        user_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

/// A role that an assignment gives, itself or one above it.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) role_assignment_id: RoleAssignmentId,
    pub(crate) organization_id: OrganizationId,
    /// The role that was assigned.
    pub(crate) assigned_role_id: RoleId,
    pub(crate) assigned_role_code: String,
    pub(crate) valid_from: DateTime<Utc>,
    pub(crate) valid_until: Option<DateTime<Utc>>,
    /// The role that these permissions come from.
    pub(crate) role_id: RoleId,
    pub(crate) role_code: String,
    pub(crate) permissions: Permissions,
}

/// Every role that assignments of a user in the organization give or gave or will give, with those above
/// them: of the assignments that count at a moment, then of the others, the newest first (System scope).
pub(crate) async fn list_given(
    connection: &mut PgConnection,
    (organization_id, user_id): (OrganizationId, UserId),
    at: DateTime<Utc>,
) -> sqlx::Result<Vec<Given>> {
    let rows = sqlx::query!(
        r#"-- role_assignments::list_given
        WITH RECURSIVE given AS (
            SELECT ur.id AS assignment_id, ur.valid_from, ur.valid_until,
                r.id AS assigned_role_id, r.role_code AS assigned_role_code,
                r.id, r.parent_role_id, r.role_code, r.permissions
            FROM user_roles ur
            JOIN roles r ON r.id = ur.role_id AND r.deleted_at IS NULL
            WHERE ur.organization_id = $1 AND ur.user_id = $2 AND ur.deleted_at IS NULL
            UNION
            SELECT g.assignment_id, g.valid_from, g.valid_until,
                g.assigned_role_id, g.assigned_role_code,
                r.id, r.parent_role_id, r.role_code, r.permissions
            FROM given g
            JOIN roles r ON r.id = g.parent_role_id AND r.deleted_at IS NULL
        )
        SELECT assignment_id AS "assignment_id!", valid_from AS "valid_from!", valid_until,
            assigned_role_id AS "assigned_role_id!",
            assigned_role_code AS "assigned_role_code!", id AS "id!", role_code AS "role_code!",
            permissions AS "permissions!"
        FROM given
        ORDER BY valid_from <= $3 AND (valid_until IS NULL OR valid_until > $3) DESC,
            assignment_id DESC, id
        LIMIT $4"#,
        organization_id.as_uuid(),
        user_id.as_uuid(),
        at,
        GIVEN_MAX,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Given {
            role_assignment_id: RoleAssignmentId::from_uuid(row.assignment_id),
            organization_id,
            assigned_role_id: RoleId::from_uuid(row.assigned_role_id),
            assigned_role_code: row.assigned_role_code,
            valid_from: row.valid_from,
            valid_until: row.valid_until,
            role_id: RoleId::from_uuid(row.id),
            role_code: row.role_code,
            permissions: Permissions::from_stored(&row.permissions),
        })
        .collect())
}

/// Most roles that are looked at for one explanation.
const GIVEN_MAX: i64 = 10_000;

/// Whether a user may act in an organization, as stored (System scope).
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) username: String,
    pub(crate) user_status: UserStatus,
    pub(crate) organization_status: OrganizationStatus,
    pub(crate) is_active_member: bool,
}

/// The standing of a member of the organization (System scope: a guest's row belongs to the home).
pub(crate) async fn find_standing(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    user_id: UserId,
) -> sqlx::Result<Option<Standing>> {
    let row = sqlx::query!(
        r#"-- role_assignments::find_standing
        SELECT u.username, u.status AS user_status, o.status AS organization_status,
            uo.status = 'active' AS "is_active_member!"
        FROM user_organizations uo
        JOIN users u ON u.id = uo.user_id AND u.deleted_at IS NULL
        JOIN organizations o ON o.id = uo.organization_id AND o.deleted_at IS NULL
        WHERE uo.organization_id = $1 AND uo.user_id = $2 AND uo.deleted_at IS NULL"#,
        organization_id.as_uuid(),
        user_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Standing {
            username: row.username,
            user_status: parse_stored(&row.user_status)?,
            organization_status: parse_stored(&row.organization_status)?,
            is_active_member: row.is_active_member,
        })
    })
    .transpose()
}
