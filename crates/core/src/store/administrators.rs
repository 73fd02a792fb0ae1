//! Who holds `SYSTEM_ADMIN` where: over `user_roles`, `users` and `user_organizations`, in the System
//! scope.

use chrono::{DateTime, Utc};
use clm_domain::ids::{OrganizationId, UserId, system_roles};
use sqlx::PgConnection;
use uuid::Uuid;

/// Whoever finds this lock taken waits until another act that takes rights away is over.
const ADMINISTRATORS_LOCK: i64 = 0x636c_6d5f_6c61_7374;

/// Waits for its turn to take rights away; the turn ends with the transaction.
pub(crate) async fn lock(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "-- administrators::lock
        SELECT pg_advisory_xact_lock($1)",
        ADMINISTRATORS_LOCK,
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// The organizations in which the user is an administrator: a person who can act and holds
/// `SYSTEM_ADMIN` without an end.
pub(crate) async fn list_administered(
    connection: &mut PgConnection,
    user_id: UserId,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<OrganizationId>> {
    let found = sqlx::query_scalar!(
        "-- administrators::list_administered
        SELECT ur.organization_id
        FROM user_roles ur
        JOIN users u ON u.id = ur.user_id
        JOIN user_organizations uo
            ON uo.organization_id = ur.organization_id AND uo.user_id = ur.user_id
        WHERE ur.user_id = $1 AND ur.role_id = $2 AND ur.deleted_at IS NULL
            AND ur.valid_from <= $3 AND ur.valid_until IS NULL
            AND u.status = 'active' AND u.user_type = 'person' AND u.deleted_at IS NULL
            AND uo.status = 'active' AND uo.deleted_at IS NULL",
        user_id.as_uuid(),
        system_roles::SYSTEM_ADMIN.as_uuid(),
        now,
    )
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().map(OrganizationId::from_uuid).collect())
}

/// Whether any of the organizations has no administrator (any more).
pub(crate) async fn any_is_orphaned(
    connection: &mut PgConnection,
    organizations: &[OrganizationId],
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let organizations: Vec<Uuid> = organizations.iter().map(|id| id.as_uuid()).collect();
    sqlx::query_scalar!(
        r#"-- administrators::any_is_orphaned
        SELECT EXISTS (
            SELECT 1 FROM unnest($1::uuid[]) AS administered (organization_id)
            WHERE NOT EXISTS (
                SELECT 1
                FROM user_roles ur
                JOIN users u ON u.id = ur.user_id
                JOIN user_organizations uo
                    ON uo.organization_id = ur.organization_id AND uo.user_id = ur.user_id
                WHERE ur.organization_id = administered.organization_id
                    AND ur.role_id = $2 AND ur.deleted_at IS NULL
                    AND ur.valid_from <= $3 AND ur.valid_until IS NULL
                    AND u.status = 'active' AND u.user_type = 'person' AND u.deleted_at IS NULL
                    AND uo.status = 'active' AND uo.deleted_at IS NULL)
        ) AS "orphaned!""#,
        &organizations,
        system_roles::SYSTEM_ADMIN.as_uuid(),
        now,
    )
    .fetch_one(connection)
    .await
}
