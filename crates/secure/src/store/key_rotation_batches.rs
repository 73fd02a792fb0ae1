//! Carrying a rotation on, batch by batch. The lock on its history row is the lease: it is held for
//! one transaction, which moves keys and progress together, so that a process that dies leaves
//! neither half a batch nor a lease behind.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::DatabaseError;
use clm_database::transaction::Abort;
use clm_domain::ids::{EncryptionKeyId, KeyRotationId, OrganizationId};
use clm_domain::states::KeyRotationType;
use sqlx::PgConnection;
use uuid::Uuid;

use super::key_rotation_items::{expose, move_keys, move_secrets, page, seal_anew};
use super::key_rotations::KeyRotationRow;
use super::{KEY_ROTATION, SecureStore, unknown, word};
use crate::data_keys::Item;
use crate::envelope::Sealed;
use crate::key_rotation::progress::{BatchOutcome, BatchPlan, Next, Progress};

/// Most keys that one rotation leaves; the newest ones, the next rotation goes on.
const LEFT_KEYS_MAX: i64 = 64;

/// A running rotation whose next batch is due.
#[derive(Clone, Debug)]
pub(crate) struct DueRotation {
    pub(crate) id: KeyRotationId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) rotation_type: KeyRotationType,
    /// The key that is being left: the new one while a rotation is rolled back.
    pub(crate) from: EncryptionKeyId,
    /// The key that is active.
    pub(crate) to: EncryptionKeyId,
    /// Where the versions part: what is sealed under this one and those before it moves, or, while a
    /// rotation is rolled back, what is sealed under those behind it.
    pub(crate) old: EncryptionKeyId,
    pub(crate) is_rollback: bool,
    pub(crate) items_per_second_max: Option<u32>,
    /// When `to` became active.
    pub(crate) turned_at: DateTime<Utc>,
}

/// Seals one item of a key anew; none when it does not open.
pub(crate) type Reseal =
    Arc<dyn Fn((EncryptionKeyId, Item), &Sealed) -> Option<Sealed> + Send + Sync>;

impl SecureStore {
    /// A running rotation whose next batch is due and that nobody works on at this moment.
    pub(crate) async fn find_due_rotation(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Option<DueRotation>, DatabaseError> {
        let row = self
            .pool
            .transact("find due rotation", KEY_ROTATION, |connection| {
                Box::pin(async move {
                    let row = sqlx::query_as!(
                        KeyRotationRow,
                        r#"-- key_rotation_batches::find_due
                        SELECT id, organization_id, rotation_type, status, old_encryption_key_id,
                            new_encryption_key_id, initiated_by_user_id, reason, items_total,
                            items_processed, items_failed, items_rolled_back,
                            items_per_second_max, started_at, rollback_started_at, completed_at,
                            error_message
                        FROM key_rotation_history
                        WHERE status = 'in_progress' AND key_type = 'data'
                          AND new_encryption_key_id IS NOT NULL AND next_batch_at <= $1
                        ORDER BY next_batch_at LIMIT 1 FOR UPDATE SKIP LOCKED"#,
                        now,
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(row)
                })
            })
            .await?;
        row.map(due).transpose()
    }

    /// When the next batch of any running rotation is due; none when none runs.
    pub(crate) async fn next_batch_at(&self) -> Result<Option<DateTime<Utc>>, DatabaseError> {
        self.pool
            .transact("find next batch", KEY_ROTATION, |connection| {
                Box::pin(async move {
                    let next = sqlx::query_scalar!(
                        r#"-- key_rotation_batches::next
                        SELECT min(next_batch_at) FROM key_rotation_history
                        WHERE status = 'in_progress' AND key_type = 'data'
                          AND new_encryption_key_id IS NOT NULL"#
                    )
                    .fetch_one(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(next)
                })
            })
            .await
    }

    /// Lets a rotation that cannot go on for now wait.
    pub(crate) async fn postpone_rotation(
        &self,
        due: &DueRotation,
        until: DateTime<Utc>,
    ) -> Result<(), DatabaseError> {
        let (organization_id, id) = (due.organization_id.as_uuid(), due.id.as_uuid());
        self.pool
            .transact("postpone key rotation", KEY_ROTATION, |connection| {
                Box::pin(async move {
                    sqlx::query!(
                        r#"-- key_rotation_batches::postpone
                        UPDATE key_rotation_history SET next_batch_at = $3
                        WHERE organization_id = $1 AND id = $2 AND status = 'in_progress'"#,
                        organization_id,
                        id,
                        until,
                    )
                    .execute(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(())
                })
            })
            .await
    }

    /// Moves the next keys in one transaction with the progress.
    pub(crate) async fn rotate_batch(
        &self,
        due: &DueRotation,
        plan: BatchPlan,
        reseal: &Reseal,
    ) -> Result<BatchOutcome, DatabaseError> {
        self.pool
            .transact("rotate a batch of keys", KEY_ROTATION, |connection| {
                let (due, reseal) = (due.clone(), Arc::clone(reseal));
                Box::pin(async move {
                    let Some(progress) = lease(connection, &due, plan.now).await? else {
                        return Ok(BatchOutcome::Lost);
                    };
                    let cursor = progress.cursor_private_key_id;
                    let left = left_keys(connection, &due).await?;
                    let items = page(connection, &due, (&left, cursor), plan.items_max).await?;
                    let has_more = i64::try_from(items.len()).is_ok_and(|n| n >= plan.items_max);
                    let last = items.last().map(|item| item.id);
                    let resealed = seal_anew(items, due.from, &reseal);
                    let moved = move_keys(connection, &due, &resealed.private_keys).await?
                        + move_secrets(connection, &due, &resealed.secrets).await?;
                    if due.exposes() {
                        expose(connection, &due, &resealed.failed).await?;
                    }
                    let next = progress.advance(&plan, &resealed.failed_now, (last, has_more));
                    record(connection, &due, &next, moved).await?;
                    Ok::<_, Abort<DatabaseError>>(next.outcome(moved))
                })
            })
            .await
    }
}

impl SecureStore {
    /// The keys that a rotation leaves: the one that was active, and those that were so before and may
    /// still have sealed something; of a rotation that is rolled back, those that followed.
    pub(crate) async fn left_keys(
        &self,
        due: &DueRotation,
    ) -> Result<Vec<EncryptionKeyId>, DatabaseError> {
        let ids = self
            .pool
            .transact("find keys that are left", KEY_ROTATION, |connection| {
                let due = due.clone();
                Box::pin(async move {
                    Ok::<_, Abort<DatabaseError>>(left_keys(connection, &due).await?)
                })
            })
            .await?;
        Ok(ids.into_iter().map(EncryptionKeyId::from).collect())
    }

    /// Lets another key take over from the new one of a running rotation, which has sealed as often as
    /// it may; false when the rotation has ended or turned round.
    pub(crate) async fn succeed_in_rotation(
        &self,
        due: &DueRotation,
        successor: EncryptionKeyId,
    ) -> Result<bool, DatabaseError> {
        self.pool
            .transact("succeed in key rotation", KEY_ROTATION, |connection| {
                let due = due.clone();
                Box::pin(async move {
                    let done = sqlx::query!(
                        r#"-- key_rotation_batches::succeed
                        UPDATE key_rotation_history SET new_encryption_key_id = $4
                        WHERE organization_id = $1 AND id = $2 AND new_encryption_key_id = $3
                          AND status = 'in_progress' AND rollback_started_at IS NULL"#,
                        due.organization_id.as_uuid(),
                        due.id.as_uuid(),
                        due.to.as_uuid(),
                        successor.as_uuid(),
                    )
                    .execute(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(done.rows_affected() > 0)
                })
            })
            .await
    }
}

impl DueRotation {
    /// Whether what is moved counts as exposed.
    pub(super) fn exposes(&self) -> bool {
        self.rotation_type == KeyRotationType::Compromise
    }
}

fn due(row: KeyRotationRow) -> Result<DueRotation, DatabaseError> {
    let new = row.new_encryption_key_id.ok_or_else(|| {
        unknown(
            "key_rotation_history.new_encryption_key_id",
            "a running rotation without new key",
        )
    })?;
    let (old, is_rollback) = (row.old_encryption_key_id, row.rollback_started_at.is_some());
    let (from, to) = if is_rollback { (new, old) } else { (old, new) };
    Ok(DueRotation {
        id: row.id.into(),
        organization_id: row.organization_id.into(),
        rotation_type: word("key_rotation_history.rotation_type", &row.rotation_type)?,
        from: from.into(),
        to: to.into(),
        old: old.into(),
        is_rollback,
        // Going back is not throttled: somebody waits for it, perhaps to declare a compromise.
        items_per_second_max: row
            .items_per_second_max
            .filter(|_| !is_rollback)
            .and_then(|rate| u32::try_from(rate).ok()),
        turned_at: row.rollback_started_at.unwrap_or(row.started_at),
    })
}

/// Takes the lease, unless another process has it, or the rotation ended or turned round.
pub(super) async fn lease(
    connection: &mut PgConnection,
    due: &DueRotation,
    now: DateTime<Utc>,
) -> Result<Option<Progress>, sqlx::Error> {
    sqlx::query_as!(
        Progress,
        r#"-- key_rotation_batches::lease
        SELECT cursor_private_key_id, pass_started_at, items_failed, error_message
        FROM key_rotation_history
        WHERE organization_id = $1 AND id = $2 AND status = 'in_progress'
          AND (rollback_started_at IS NOT NULL) = $3 AND next_batch_at <= $4
        FOR UPDATE SKIP LOCKED"#,
        due.organization_id.as_uuid(),
        due.id.as_uuid(),
        due.is_rollback,
        now,
    )
    .fetch_optional(connection)
    .await
}

/// See [`SecureStore::left_keys`].
pub(super) async fn left_keys(
    connection: &mut PgConnection,
    due: &DueRotation,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"-- key_rotation_batches::left_keys
        SELECT k.id FROM encryption_keys k
        JOIN encryption_keys o ON o.organization_id = k.organization_id AND o.id = $2
        WHERE k.organization_id = $1 AND k.key_type = 'data' AND k.deleted_at IS NULL
          AND k.status IN ('rotating', 'retired') AND k.id <> $3
          AND (k.key_version > o.key_version) = $4
        ORDER BY k.key_version DESC LIMIT $5"#,
        due.organization_id.as_uuid(),
        due.old.as_uuid(),
        due.to.as_uuid(),
        due.is_rollback,
        LEFT_KEYS_MAX,
    )
    .fetch_all(connection)
    .await
}

async fn record(
    connection: &mut PgConnection,
    due: &DueRotation,
    next: &Next,
    moved: u64,
) -> Result<(), sqlx::Error> {
    let moved = i64::try_from(moved).unwrap_or(i64::MAX);
    let (processed, rolled_back) = if due.is_rollback {
        (0, moved)
    } else {
        (moved, 0)
    };
    sqlx::query!(
        r#"-- key_rotation_batches::record
        UPDATE key_rotation_history
        SET items_processed = items_processed + $3, items_rolled_back = items_rolled_back + $4,
            items_failed = $5, items_total = greatest(items_total, items_processed + $3),
            cursor_private_key_id = $6, pass_started_at = $7, next_batch_at = $8,
            error_message = $9
        WHERE organization_id = $1 AND id = $2"#,
        due.organization_id.as_uuid(),
        due.id.as_uuid(),
        processed,
        rolled_back,
        next.items_failed,
        next.cursor,
        next.pass_started_at,
        next.next_batch_at,
        next.error_message,
    )
    .execute(connection)
    .await?;
    Ok(())
}
