//! `key_rotation_history`: starting, cancelling and reading rotations. How one is carried on is in
//! [`super::key_rotation_batches`].

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_database::{DatabaseError, Scope};
use clm_domain::audit::AuditRow;
use clm_domain::ids::{EncryptionKeyId, KeyRotationId, OrganizationId, UserId};
use clm_domain::states::{KeyRotationStatus, KeyRotationType};
use clm_secure_api::reply::KeyRotation;
use sqlx::PgConnection;
use uuid::Uuid;

use super::encryption_keys::{NewDataKey, insert_data};
use super::master_keys::lock_wrapping;
use super::{SecureStore, audit, word};

/// A rotation to be started.
pub(crate) struct NewKeyRotation {
    pub(crate) id: KeyRotationId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) rotation_type: KeyRotationType,
    pub(crate) old_encryption_key_id: EncryptionKeyId,
    pub(crate) new_key: NewDataKey,
    pub(crate) initiated_by_user_id: Option<Uuid>,
    pub(crate) reason: Option<String>,
    pub(crate) items_per_second_max: Option<i32>,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) audit: AuditRow,
}

/// A rotation was not started; nothing changed.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// Another one runs.
    InProgress,
    /// The old key is not the active one any more, or the master key is not in force any more.
    KeyChanged,
    /// The database.
    Database(DatabaseError),
}

/// A rotation was not cancelled; nothing changed.
#[derive(Debug)]
pub(crate) enum NotCancelled {
    /// There is none.
    Unknown,
    /// It is being rolled back already.
    Already,
    /// It has ended.
    Ended,
    /// The old key must not be used again.
    Compromised,
    /// One of its keys was replaced meanwhile.
    KeyChanged,
    /// The database.
    Database(DatabaseError),
}

impl From<DatabaseError> for NotStarted {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl From<DatabaseError> for NotCancelled {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

/// A row, as every statement here reads it.
pub(super) struct KeyRotationRow {
    pub(super) id: Uuid,
    pub(super) organization_id: Uuid,
    pub(super) rotation_type: String,
    pub(super) status: String,
    pub(super) old_encryption_key_id: Uuid,
    pub(super) new_encryption_key_id: Option<Uuid>,
    pub(super) initiated_by_user_id: Option<Uuid>,
    pub(super) reason: Option<String>,
    pub(super) items_total: i64,
    pub(super) items_processed: i64,
    pub(super) items_failed: i64,
    pub(super) items_rolled_back: i64,
    pub(super) items_per_second_max: Option<i32>,
    pub(super) started_at: DateTime<Utc>,
    pub(super) rollback_started_at: Option<DateTime<Utc>>,
    pub(super) completed_at: Option<DateTime<Utc>>,
    pub(super) error_message: Option<String>,
}

impl KeyRotationRow {
    pub(super) fn into_rotation(self) -> Result<KeyRotation, DatabaseError> {
        Ok(KeyRotation {
            key_rotation_id: self.id.into(),
            organization_id: self.organization_id.into(),
            rotation_type: word("key_rotation_history.rotation_type", &self.rotation_type)?,
            status: word("key_rotation_history.status", &self.status)?,
            old_encryption_key_id: self.old_encryption_key_id.into(),
            new_encryption_key_id: self.new_encryption_key_id.map(EncryptionKeyId::from),
            initiated_by_user_id: self.initiated_by_user_id.map(UserId::from),
            reason: self.reason,
            items_total: self.items_total,
            items_processed: self.items_processed,
            items_failed: self.items_failed,
            items_rolled_back: self.items_rolled_back,
            items_per_second_max: self.items_per_second_max,
            started_at: self.started_at,
            rollback_started_at: self.rollback_started_at,
            completed_at: self.completed_at,
            error_message: self.error_message,
        })
    }
}

impl SecureStore {
    /// Starts a rotation in one transaction: the old key only opens, the new one seals, history and
    /// audit events say so. The unique index over running rotations decides between two who try at
    /// once.
    pub(crate) async fn start_key_rotation(&self, new: NewKeyRotation) -> Result<(), NotStarted> {
        let new = Arc::new(new);
        let scope = Scope::Organization(new.organization_id);
        self.pool
            .transact("start key rotation", scope, |connection| {
                let new = Arc::clone(&new);
                Box::pin(async move {
                    if !lock_wrapping(connection, &new.new_key).await? {
                        return Err(Abort::Caller(NotStarted::KeyChanged));
                    }
                    if !insert(connection, &new).await? {
                        return Err(Abort::Caller(NotStarted::InProgress));
                    }
                    let old = (new.organization_id, new.old_encryption_key_id);
                    if !leave(connection, old, new.started_at).await?
                        || !insert_data(connection, &new.new_key).await?
                    {
                        return Err(Abort::Caller(NotStarted::KeyChanged));
                    }
                    complete_start(connection, &new).await?;
                    audit::insert(connection, &new.audit).await?;
                    Ok(())
                })
            })
            .await
    }

    /// Turns a running rotation round in one transaction: the old key seals again, the new one only
    /// opens.
    pub(crate) async fn cancel_key_rotation(
        &self,
        organization_id: OrganizationId,
        id: KeyRotationId,
        now: DateTime<Utc>,
        audit_row: AuditRow,
    ) -> Result<(), NotCancelled> {
        let audit_row = Arc::new(audit_row);
        let scope = Scope::Organization(organization_id);
        self.pool
            .transact("cancel key rotation", scope, |connection| {
                let audit_row = Arc::clone(&audit_row);
                Box::pin(async move {
                    let found = lock(connection, organization_id, id).await?;
                    let rotation = cancellable(found).map_err(Abort::Caller)?;
                    let new = rotation.new_encryption_key_id.unwrap_or_default();
                    let old = rotation.old_encryption_key_id;
                    // In this order: there is never more than one active key.
                    if !change(connection, (organization_id, new), ("active", "rotating")).await?
                        || !change(connection, (organization_id, old), ("rotating", "active"))
                            .await?
                    {
                        return Err(Abort::Caller(NotCancelled::KeyChanged));
                    }
                    turn_round(connection, (organization_id, id), now).await?;
                    audit::insert(connection, &audit_row).await?;
                    Ok(())
                })
            })
            .await
    }

    /// A rotation of the organization.
    pub(crate) async fn find_key_rotation(
        &self,
        organization_id: OrganizationId,
        id: KeyRotationId,
    ) -> Result<Option<KeyRotation>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let row = self
            .pool
            .transact("find key rotation", scope, |connection| {
                Box::pin(async move {
                    let row = sqlx::query_as!(
                        KeyRotationRow,
                        r#"-- key_rotations::find
                        SELECT id, organization_id, rotation_type, status, old_encryption_key_id,
                            new_encryption_key_id, initiated_by_user_id, reason, items_total,
                            items_processed, items_failed, items_rolled_back,
                            items_per_second_max, started_at, rollback_started_at, completed_at,
                            error_message
                        FROM key_rotation_history WHERE organization_id = $1 AND id = $2"#,
                        organization_id.as_uuid(),
                        id.as_uuid(),
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(row)
                })
            })
            .await?;
        row.map(KeyRotationRow::into_rotation).transpose()
    }

    /// Rotations of the organization, newest first.
    pub(crate) async fn list_key_rotations(
        &self,
        organization_id: OrganizationId,
        after: Option<KeyRotationId>,
        limit: i64,
    ) -> Result<Vec<KeyRotation>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let rows = self
            .pool
            .transact("list key rotations", scope, |connection| {
                Box::pin(async move {
                    let rows = sqlx::query_as!(
                        KeyRotationRow,
                        r#"-- key_rotations::list
                        SELECT id, organization_id, rotation_type, status, old_encryption_key_id,
                            new_encryption_key_id, initiated_by_user_id, reason, items_total,
                            items_processed, items_failed, items_rolled_back,
                            items_per_second_max, started_at, rollback_started_at, completed_at,
                            error_message
                        FROM key_rotation_history
                        WHERE organization_id = $1 AND ($2::uuid IS NULL OR id < $2)
                        ORDER BY id DESC LIMIT $3"#,
                        organization_id.as_uuid(),
                        after.map(KeyRotationId::as_uuid),
                        limit,
                    )
                    .fetch_all(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(rows)
                })
            })
            .await?;
        rows.into_iter()
            .map(KeyRotationRow::into_rotation)
            .collect()
    }
}

/// Claims the one running rotation of the organization; false when there is one.
async fn insert(connection: &mut PgConnection, new: &NewKeyRotation) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        r#"-- key_rotations::insert
        INSERT INTO key_rotation_history (id, organization_id, key_type, rotation_type, status,
            old_encryption_key_id, initiated_by_user_id, reason, items_per_second_max,
            next_batch_at, started_at, created_at, updated_at)
        VALUES ($1, $2, 'data', $3, 'in_progress', $4, $5, $6, $7, $8, $8, $8, $8)
        ON CONFLICT DO NOTHING"#,
        new.id.as_uuid(),
        new.organization_id.as_uuid(),
        new.rotation_type.as_str(),
        new.old_encryption_key_id.as_uuid(),
        new.initiated_by_user_id,
        new.reason,
        new.items_per_second_max,
        new.started_at,
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() > 0)
}

/// From now on the active key only opens; false when it is not active.
async fn leave(
    connection: &mut PgConnection,
    (organization_id, id): (OrganizationId, EncryptionKeyId),
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let left = sqlx::query!(
        r#"-- key_rotations::leave
        UPDATE encryption_keys SET status = 'rotating', rotated_at = $3
        WHERE organization_id = $1 AND id = $2 AND key_type = 'data' AND status = 'active'
          AND deleted_at IS NULL"#,
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(left.rows_affected() > 0)
}

/// Names the new key, which had to exist first, and counts what is to be done.
async fn complete_start(
    connection: &mut PgConnection,
    new: &NewKeyRotation,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"-- key_rotations::complete_start
        WITH of_left_key AS (
            SELECT id FROM encryption_keys
            WHERE organization_id = $1 AND key_type = 'data' AND deleted_at IS NULL
              AND status IN ('rotating', 'retired'))
        UPDATE key_rotation_history SET new_encryption_key_id = $3, items_total = (
            SELECT count(*) FROM private_keys
            WHERE organization_id = $1 AND encryption_key_id IN (SELECT id FROM of_left_key)) + (
            SELECT count(*) FROM sealed_secrets
            WHERE organization_id = $1 AND encryption_key_id IN (SELECT id FROM of_left_key))
        WHERE organization_id = $1 AND id = $2"#,
        new.organization_id.as_uuid(),
        new.id.as_uuid(),
        new.new_key.id.as_uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn lock(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    id: KeyRotationId,
) -> Result<Option<KeyRotationRow>, sqlx::Error> {
    sqlx::query_as!(
        KeyRotationRow,
        r#"-- key_rotations::lock
        SELECT id, organization_id, rotation_type, status, old_encryption_key_id,
            new_encryption_key_id, initiated_by_user_id, reason, items_total, items_processed,
            items_failed, items_rolled_back, items_per_second_max, started_at,
            rollback_started_at, completed_at, error_message
        FROM key_rotation_history WHERE organization_id = $1 AND id = $2 FOR UPDATE"#,
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(connection)
    .await
}

/// The rotation, when it can be cancelled.
fn cancellable(found: Option<KeyRotationRow>) -> Result<KeyRotationRow, NotCancelled> {
    let rotation = found.ok_or(NotCancelled::Unknown)?;
    if rotation.status != KeyRotationStatus::InProgress.as_str() {
        return Err(NotCancelled::Ended);
    }
    if rotation.rollback_started_at.is_some() {
        return Err(NotCancelled::Already);
    }
    if rotation.rotation_type == KeyRotationType::Compromise.as_str() {
        return Err(NotCancelled::Compromised);
    }
    Ok(rotation)
}

/// Changes the status of a key; false when it has another one than expected.
async fn change(
    connection: &mut PgConnection,
    (organization_id, id): (OrganizationId, Uuid),
    (from, to): (&str, &str),
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        r#"-- key_rotations::change_key
        UPDATE encryption_keys SET status = $4
        WHERE organization_id = $1 AND id = $2 AND status = $3"#,
        organization_id.as_uuid(),
        id,
        from,
        to,
    )
    .execute(connection)
    .await?;
    Ok(changed.rows_affected() > 0)
}

async fn turn_round(
    connection: &mut PgConnection,
    (organization_id, id): (OrganizationId, KeyRotationId),
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"-- key_rotations::turn_round
        UPDATE key_rotation_history
        SET rollback_started_at = $3, cursor_private_key_id = NULL, pass_started_at = NULL,
            next_batch_at = $3
        WHERE organization_id = $1 AND id = $2"#,
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
