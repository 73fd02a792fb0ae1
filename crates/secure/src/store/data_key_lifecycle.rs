//! `encryption_keys` as people see them, and how data keys end: replaced when used up, destroyed
//! when nothing needs them, erased with all that they sealed.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_database::{DatabaseError, Scope};
use clm_domain::audit::AuditRow;
use clm_domain::ids::{EncryptionKeyId, OrganizationId};
use clm_secure_api::reply::EncryptionKey;
use sqlx::PgConnection;
use uuid::Uuid;

use super::encryption_keys::{NewDataKey, insert_data};
use super::master_keys::lock_wrapping;
use super::{KEY_ROTATION, SecureStore, audit, word};

/// Most keys that one round destroys, and most schedules that one round looks at.
const ROUND_MAX: i64 = 100;
/// What the history says of a rotation whose keys were erased.
const ERASED_MESSAGE: &str = "the keys of the organization were erased";

/// A data key and its organization.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnedDataKey {
    pub(crate) id: EncryptionKeyId,
    pub(crate) organization_id: OrganizationId,
}

/// Makes the audit row of a key that was destroyed.
pub(crate) type DescribeDestroyed = Arc<dyn Fn(OwnedDataKey) -> AuditRow + Send + Sync>;

struct EncryptionKeyRow {
    id: Uuid,
    organization_id: Uuid,
    key_type: String,
    key_version: i32,
    key_algorithm: String,
    status: String,
    provider: String,
    seal_count: i64,
    seal_count_max: Option<i64>,
    rotation_schedule_days: Option<i32>,
    activated_at: Option<DateTime<Utc>>,
    rotated_at: Option<DateTime<Utc>>,
    retired_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    destroyed_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl EncryptionKeyRow {
    fn into_key(self) -> Result<EncryptionKey, DatabaseError> {
        Ok(EncryptionKey {
            encryption_key_id: self.id.into(),
            organization_id: self.organization_id.into(),
            key_type: word("encryption_keys.key_type", &self.key_type)?,
            key_version: self.key_version,
            key_algorithm: self.key_algorithm,
            status: word("encryption_keys.status", &self.status)?,
            provider: self.provider,
            seal_count: self.seal_count,
            seal_count_max: self.seal_count_max,
            rotation_schedule_days: self.rotation_schedule_days,
            activated_at: self.activated_at,
            rotated_at: self.rotated_at,
            retired_at: self.retired_at,
            revoked_at: self.revoked_at,
            destroyed_at: self.destroyed_at,
            created_at: self.created_at,
        })
    }
}

impl SecureStore {
    /// A key of the organization, without its material.
    pub(crate) async fn find_encryption_key(
        &self,
        organization_id: OrganizationId,
        id: EncryptionKeyId,
    ) -> Result<Option<EncryptionKey>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let row = self
            .pool
            .transact("find encryption key", scope, |connection| {
                Box::pin(async move {
                    let row = sqlx::query_as!(
                        EncryptionKeyRow,
                        r#"-- data_key_lifecycle::find
                        SELECT id, organization_id, key_type, key_version, key_algorithm, status,
                            provider, seal_count, seal_count_max, rotation_schedule_days,
                            activated_at, rotated_at, retired_at, revoked_at, destroyed_at,
                            created_at
                        FROM encryption_keys
                        WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL"#,
                        organization_id.as_uuid(),
                        id.as_uuid(),
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(row)
                })
            })
            .await?;
        row.map(EncryptionKeyRow::into_key).transpose()
    }

    /// Keys of the organization, newest first, without their material.
    pub(crate) async fn list_encryption_keys(
        &self,
        organization_id: OrganizationId,
        after: Option<EncryptionKeyId>,
        limit: i64,
    ) -> Result<Vec<EncryptionKey>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let rows = self
            .pool
            .transact("list encryption keys", scope, |connection| {
                Box::pin(async move {
                    let rows = sqlx::query_as!(
                        EncryptionKeyRow,
                        r#"-- data_key_lifecycle::list
                        SELECT id, organization_id, key_type, key_version, key_algorithm, status,
                            provider, seal_count, seal_count_max, rotation_schedule_days,
                            activated_at, rotated_at, retired_at, revoked_at, destroyed_at,
                            created_at
                        FROM encryption_keys
                        WHERE organization_id = $1 AND deleted_at IS NULL
                          AND ($2::uuid IS NULL OR id < $2)
                        ORDER BY id DESC LIMIT $3"#,
                        organization_id.as_uuid(),
                        after.map(EncryptionKeyId::as_uuid),
                        limit,
                    )
                    .fetch_all(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(rows)
                })
            })
            .await?;
        rows.into_iter().map(EncryptionKeyRow::into_key).collect()
    }

    /// Says how often the active key `id` is rotated; false when it is not active any more.
    pub(crate) async fn set_rotation_schedule(
        &self,
        (organization_id, id): (OrganizationId, EncryptionKeyId),
        days: Option<i32>,
        audit_row: AuditRow,
    ) -> Result<bool, DatabaseError> {
        let audit_row = Arc::new(audit_row);
        let scope = Scope::Organization(organization_id);
        self.pool
            .transact("set rotation schedule", scope, |connection| {
                let audit_row = Arc::clone(&audit_row);
                Box::pin(async move {
                    let changed = sqlx::query!(
                        r#"-- data_key_lifecycle::set_schedule
                        UPDATE encryption_keys SET rotation_schedule_days = $3
                        WHERE organization_id = $1 AND id = $2 AND key_type = 'data'
                          AND status = 'active' AND deleted_at IS NULL"#,
                        organization_id.as_uuid(),
                        id.as_uuid(),
                        days,
                    )
                    .execute(&mut *connection)
                    .await?
                    .rows_affected();
                    if changed > 0 {
                        audit::insert(connection, &audit_row).await?;
                    }
                    Ok::<_, Abort<DatabaseError>>(changed > 0)
                })
            })
            .await
    }

    /// Active data keys whose scheduled rotation is due, the longest due first.
    pub(crate) async fn list_due_schedules(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Vec<OwnedDataKey>, DatabaseError> {
        self.pool
            .transact("list due rotations", KEY_ROTATION, |connection| {
                Box::pin(async move {
                    // A rotation that was cancelled comes again a whole period after it began.
                    let rows = sqlx::query!(
                        r#"-- data_key_lifecycle::list_due
                        SELECT id, organization_id FROM encryption_keys
                        WHERE key_type = 'data' AND status = 'active' AND deleted_at IS NULL
                          AND rotation_schedule_days IS NOT NULL
                          AND greatest(activated_at, rotated_at)
                              + rotation_schedule_days * interval '1 day' <= $1
                        ORDER BY activated_at LIMIT $2"#,
                        now,
                        ROUND_MAX,
                    )
                    .fetch_all(connection)
                    .await?;
                    let owned = rows.into_iter().map(|row| OwnedDataKey {
                        id: row.id.into(),
                        organization_id: row.organization_id.into(),
                    });
                    Ok::<_, Abort<DatabaseError>>(owned.collect())
                })
            })
            .await
    }

    /// Replaces an active key that has sealed as often as it may by `new`, which is active at once;
    /// false when it is not active any more, or has seals left, or when the master key that wraps
    /// `new` is not in force any more.
    pub(crate) async fn roll_over_data_key(
        &self,
        id: EncryptionKeyId,
        new: NewDataKey,
        audit_row: AuditRow,
    ) -> Result<bool, DatabaseError> {
        let successor = Arc::new((new, audit_row));
        let scope = Scope::Organization(successor.0.organization_id);
        self.pool
            .transact("roll data key over", scope, |connection| {
                let successor = Arc::clone(&successor);
                Box::pin(async move {
                    let (new, audit_row) = successor.as_ref();
                    if !lock_wrapping(connection, new).await? {
                        return Ok(false);
                    }
                    let retired = sqlx::query!(
                        r#"-- data_key_lifecycle::roll_over
                        UPDATE encryption_keys
                        SET status = 'retired', rotated_at = $3, retired_at = $3
                        WHERE organization_id = $1 AND id = $2 AND key_type = 'data'
                          AND status = 'active' AND seal_count >= seal_count_max"#,
                        new.organization_id.as_uuid(),
                        id.as_uuid(),
                        new.created_at,
                    )
                    .execute(&mut *connection)
                    .await?
                    .rows_affected();
                    if retired == 0 {
                        return Ok(false);
                    }
                    audit::insert(connection, audit_row).await?;
                    // The lock on the old key keeps everybody else from making the new one.
                    Ok::<_, Abort<DatabaseError>>(insert_data(connection, new).await?)
                })
            })
            .await
    }

    /// Destroys keys that went out of use before `retired_before` and under which nothing is sealed
    /// any more, each with its audit event; says which.
    pub(crate) async fn destroy_unused_data_keys(
        &self,
        (retired_before, now): (DateTime<Utc>, DateTime<Utc>),
        describe: DescribeDestroyed,
    ) -> Result<Vec<OwnedDataKey>, DatabaseError> {
        self.pool
            .transact("destroy unused data keys", KEY_ROTATION, |connection| {
                let describe = Arc::clone(&describe);
                Box::pin(async move {
                    let ids = lock_unused(connection, retired_before).await?;
                    let destroyed = destroy(connection, &ids, now).await?;
                    for key in &destroyed {
                        audit::insert(connection, &describe(*key)).await?;
                    }
                    Ok::<_, Abort<DatabaseError>>(destroyed)
                })
            })
            .await
    }

    /// Destroys every data key of the organization, ends its running rotation, and writes the audit
    /// event; says how many keys that were.
    pub(crate) async fn erase_data_keys(
        &self,
        organization_id: OrganizationId,
        now: DateTime<Utc>,
        audit_row: AuditRow,
    ) -> Result<u64, DatabaseError> {
        let audit_row = Arc::new(audit_row);
        let scope = Scope::Organization(organization_id);
        self.pool
            .transact("erase data keys", scope, |connection| {
                let audit_row = Arc::clone(&audit_row);
                Box::pin(async move {
                    let mut erased = 0;
                    // Again, until nothing is found: a rotation that started meanwhile has made a
                    // key that the statement before did not see.
                    loop {
                        abandon_rotation(connection, organization_id, now).await?;
                        let found = erase(connection, organization_id, now).await?;
                        if found == 0 {
                            break;
                        }
                        erased += found;
                    }
                    audit::insert(connection, &audit_row).await?;
                    Ok::<_, Abort<DatabaseError>>(erased)
                })
            })
            .await
    }
}

/// Keys out of use that nobody refers to. The lock keeps new references away.
async fn lock_unused(
    connection: &mut PgConnection,
    retired_before: DateTime<Utc>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"-- data_key_lifecycle::lock_unused
        SELECT k.id FROM encryption_keys k
        WHERE k.key_type = 'data' AND k.status IN ('retired', 'revoked')
          AND k.retired_at <= $1
          AND NOT EXISTS (
              SELECT FROM private_keys p
              WHERE p.organization_id = k.organization_id AND p.encryption_key_id = k.id)
          AND NOT EXISTS (
              SELECT FROM sealed_secrets s
              WHERE s.organization_id = k.organization_id AND s.encryption_key_id = k.id)
          AND NOT EXISTS (
              SELECT FROM key_rotation_history h
              WHERE h.organization_id = k.organization_id AND h.status = 'in_progress'
                AND k.id IN (h.old_encryption_key_id, h.new_encryption_key_id))
        ORDER BY k.id LIMIT $2 FOR UPDATE OF k SKIP LOCKED"#,
        retired_before,
        ROUND_MAX,
    )
    .fetch_all(connection)
    .await
}

/// Looks again, now that nobody can add a reference, and erases the material.
async fn destroy(
    connection: &mut PgConnection,
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<Vec<OwnedDataKey>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"-- data_key_lifecycle::destroy
        UPDATE encryption_keys k
        SET status = 'destroyed', destroyed_at = $2, encrypted_key_material = NULL,
            encryption_iv = NULL, encryption_auth_tag = NULL
        WHERE k.id = ANY ($1) AND NOT EXISTS (
            SELECT FROM private_keys p
            WHERE p.organization_id = k.organization_id AND p.encryption_key_id = k.id)
          AND NOT EXISTS (
            SELECT FROM sealed_secrets s
            WHERE s.organization_id = k.organization_id AND s.encryption_key_id = k.id)
        RETURNING k.id, k.organization_id"#,
        ids,
        now,
    )
    .fetch_all(connection)
    .await?;
    let owned = rows.into_iter().map(|row| OwnedDataKey {
        id: row.id.into(),
        organization_id: row.organization_id.into(),
    });
    Ok(owned.collect())
}

async fn abandon_rotation(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"-- data_key_lifecycle::abandon_rotation
        UPDATE key_rotation_history
        SET status = 'failed', completed_at = greatest(started_at, $2), error_message = $3
        WHERE organization_id = $1 AND key_type = 'data' AND status = 'in_progress'"#,
        organization_id.as_uuid(),
        now,
        ERASED_MESSAGE,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn erase(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let erased = sqlx::query!(
        r#"-- data_key_lifecycle::erase
        UPDATE encryption_keys
        SET status = 'destroyed', destroyed_at = $2, encrypted_key_material = NULL,
            encryption_iv = NULL, encryption_auth_tag = NULL
        WHERE organization_id = $1 AND key_type = 'data' AND status <> 'destroyed'"#,
        organization_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(erased.rows_affected())
}
