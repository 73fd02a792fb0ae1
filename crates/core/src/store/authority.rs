//! What users hold, and will hold, in an organization: over `user_roles` and `roles`, in the System
//! scope.

use chrono::{DateTime, Utc};
use clm_domain::ids::{OrganizationId, UserId};
use clm_domain::permission::Permissions;
use sqlx::PgConnection;

/// What the roles of a user give in an organization, inherited ones included: every assignment that has
/// not ended, also one that has not begun, and whatever the membership's status.
pub(crate) async fn find_held_or_to_come(
    connection: &mut PgConnection,
    user_id: UserId,
    organization_id: OrganizationId,
    now: DateTime<Utc>,
) -> sqlx::Result<Permissions> {
    let roles = sqlx::query_scalar!(
        r#"-- authority::find_held_or_to_come
        WITH RECURSIVE held AS (
            SELECT r.id, r.parent_role_id, r.permissions
            FROM user_roles ur
            JOIN roles r ON r.id = ur.role_id
            WHERE ur.user_id = $1 AND ur.organization_id = $2 AND ur.deleted_at IS NULL
                AND (ur.valid_until IS NULL OR ur.valid_until > $3) AND r.deleted_at IS NULL
            UNION
            SELECT r.id, r.parent_role_id, r.permissions
            FROM held h
            JOIN roles r ON r.id = h.parent_role_id
            WHERE r.deleted_at IS NULL)
        SELECT coalesce(jsonb_agg(permissions), '[]') AS "permissions!" FROM held"#,
        user_id.as_uuid(),
        organization_id.as_uuid(),
        now,
    )
    .fetch_one(connection)
    .await?;
    Ok(Permissions::from_stored_roles(&roles))
}

/// What the roles of a user give in an organization at this moment, if he or she may act there.
pub(crate) async fn find_held(
    connection: &mut PgConnection,
    user_id: UserId,
    organization_id: OrganizationId,
    now: DateTime<Utc>,
) -> sqlx::Result<Permissions> {
    let roles = sqlx::query_scalar!(
        r#"-- authority::find_held
        WITH RECURSIVE held AS (
            SELECT r.id, r.parent_role_id, r.permissions
            FROM user_organizations uo
            JOIN user_roles ur
                ON ur.organization_id = uo.organization_id AND ur.user_id = uo.user_id
            JOIN roles r ON r.id = ur.role_id
            WHERE uo.user_id = $1 AND uo.organization_id = $2 AND uo.status = 'active'
                AND uo.deleted_at IS NULL AND ur.deleted_at IS NULL AND ur.valid_from <= $3
                AND (ur.valid_until IS NULL OR ur.valid_until > $3) AND r.deleted_at IS NULL
            UNION
            SELECT r.id, r.parent_role_id, r.permissions
            FROM held h
            JOIN roles r ON r.id = h.parent_role_id
            WHERE r.deleted_at IS NULL)
        SELECT coalesce(jsonb_agg(permissions), '[]') AS "permissions!" FROM held"#,
        user_id.as_uuid(),
        organization_id.as_uuid(),
        now,
    )
    .fetch_one(connection)
    .await?;
    Ok(Permissions::from_stored_roles(&roles))
}
