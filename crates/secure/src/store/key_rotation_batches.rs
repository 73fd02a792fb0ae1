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

use super::key_rotations::KeyRotationRow;
use super::{KEY_ROTATION, SealedColumns, SecureStore, unknown, word};
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

/// A private key, or, with a purpose, a secret.
struct ItemRow {
    id: Uuid,
    encryption_key_id: Uuid,
    purpose: Option<String>,
    material: Option<Vec<u8>>,
    encryption_iv: Option<Vec<u8>>,
    encryption_auth_tag: Option<Vec<u8>>,
    encryption_algorithm: Option<String>,
}

/// Items that were sealed anew, and those that do not open.
#[derive(Default)]
struct Resealed {
    private_keys: Columns,
    secrets: Columns,
    failed: Vec<Uuid>,
    /// Of those that failed, the ones under the key that is being left. What an earlier rotation has
    /// left behind was its failure.
    failed_now: Vec<Uuid>,
}

/// What was sealed anew in one table, column by column.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    left: Vec<Uuid>,
    materials: Vec<Vec<u8>>,
    nonces: Vec<Vec<u8>>,
    tags: Vec<Vec<u8>>,
}

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

fn seal_anew(rows: Vec<ItemRow>, from: EncryptionKeyId, reseal: &Reseal) -> Resealed {
    let mut resealed = Resealed::default();
    for row in rows {
        let (id, left) = (row.id, row.encryption_key_id);
        let is_secret = row.purpose.is_some();
        let item = row.item().ok();
        let sealed = row.into_sealed().ok();
        let anew = item
            .zip(sealed)
            .and_then(|(item, sealed)| reseal((left.into(), item), &sealed));
        let Some(sealed) = anew else {
            resealed.failed.push(id);
            if left == from.as_uuid() {
                resealed.failed_now.push(id);
            }
            continue;
        };
        let columns = match is_secret {
            true => &mut resealed.secrets,
            false => &mut resealed.private_keys,
        };
        columns.ids.push(id);
        columns.left.push(left);
        columns.materials.push(sealed.ciphertext);
        columns.nonces.push(sealed.nonce.to_vec());
        columns.tags.push(sealed.tag.to_vec());
    }
    resealed
}

impl ItemRow {
    fn item(&self) -> Result<Item, DatabaseError> {
        let Some(purpose) = &self.purpose else {
            return Ok(Item::PrivateKey(self.id.into()));
        };
        let purpose = word("sealed_secrets.purpose", purpose)?;
        Ok(Item::Secret(self.id.into(), purpose))
    }

    fn into_sealed(self) -> Result<Sealed, DatabaseError> {
        let columns = SealedColumns {
            table: "private_keys or sealed_secrets",
            material: self.material,
            iv: self.encryption_iv,
            tag: self.encryption_auth_tag,
            algorithm: self.encryption_algorithm,
        };
        columns.into_sealed()
    }
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

/// The next items under the keys that are left, deleted ones too: who restores one must be able to open
/// it.
async fn page(
    connection: &mut PgConnection,
    due: &DueRotation,
    (left, cursor): (&[Uuid], Option<Uuid>),
    limit: i64,
) -> Result<Vec<ItemRow>, sqlx::Error> {
    // For each key, each table is read by its own index and no further than the page.
    sqlx::query_as!(
        ItemRow,
        r#"-- key_rotation_batches::page
        SELECT i.id AS "id!", i.encryption_key_id AS "encryption_key_id!", i.purpose, i.material,
            i.encryption_iv, i.encryption_auth_tag, i.encryption_algorithm
        FROM unnest($2::uuid[]) AS k (id)
        CROSS JOIN LATERAL (
            (SELECT id, encryption_key_id, NULL::text AS purpose,
                encrypted_key_material AS material, encryption_iv, encryption_auth_tag,
                encryption_algorithm
             FROM private_keys
             WHERE organization_id = $1 AND encryption_key_id = k.id AND id > $3
             ORDER BY id LIMIT $4)
            UNION ALL
            (SELECT id, encryption_key_id, purpose, encrypted_secret, encryption_iv,
                encryption_auth_tag, encryption_algorithm
             FROM sealed_secrets
             WHERE organization_id = $1 AND encryption_key_id = k.id AND id > $3
             ORDER BY id LIMIT $4)) AS i
        ORDER BY i.id LIMIT $4"#,
        due.organization_id.as_uuid(),
        left,
        cursor.unwrap_or_default(),
        limit,
    )
    .fetch_all(connection)
    .await
}

async fn move_keys(
    connection: &mut PgConnection,
    due: &DueRotation,
    resealed: &Columns,
) -> Result<u64, sqlx::Error> {
    if resealed.ids.is_empty() {
        return Ok(0);
    }
    let moved = sqlx::query!(
        r#"-- key_rotation_batches::move
        UPDATE private_keys p
        SET encrypted_key_material = n.material, encryption_iv = n.nonce,
            encryption_auth_tag = n.tag, encryption_key_id = $3,
            compromised_by_rotation_id = coalesce($8, p.compromised_by_rotation_id)
        FROM unnest($4::uuid[], $2::uuid[], $5::bytea[], $6::bytea[], $7::bytea[])
            AS n (id, left_key_id, material, nonce, tag)
        WHERE p.organization_id = $1 AND p.id = n.id AND p.encryption_key_id = n.left_key_id"#,
        due.organization_id.as_uuid(),
        &resealed.left,
        due.to.as_uuid(),
        &resealed.ids,
        &resealed.materials,
        &resealed.nonces,
        &resealed.tags,
        due.exposes().then(|| due.id.as_uuid()),
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected())
}

async fn move_secrets(
    connection: &mut PgConnection,
    due: &DueRotation,
    resealed: &Columns,
) -> Result<u64, sqlx::Error> {
    if resealed.ids.is_empty() {
        return Ok(0);
    }
    let moved = sqlx::query!(
        r#"-- key_rotation_batches::move_secrets
        UPDATE sealed_secrets s
        SET encrypted_secret = n.material, encryption_iv = n.nonce,
            encryption_auth_tag = n.tag, encryption_key_id = $3,
            compromised_by_rotation_id = coalesce($8, s.compromised_by_rotation_id)
        FROM unnest($4::uuid[], $2::uuid[], $5::bytea[], $6::bytea[], $7::bytea[])
            AS n (id, left_key_id, material, nonce, tag)
        WHERE s.organization_id = $1 AND s.id = n.id AND s.encryption_key_id = n.left_key_id"#,
        due.organization_id.as_uuid(),
        &resealed.left,
        due.to.as_uuid(),
        &resealed.ids,
        &resealed.materials,
        &resealed.nonces,
        &resealed.tags,
        due.exposes().then(|| due.id.as_uuid()),
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected())
}

/// Marks what was sealed under the compromised key and cannot be moved.
async fn expose(
    connection: &mut PgConnection,
    due: &DueRotation,
    ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"-- key_rotation_batches::expose
        WITH secrets AS (
            UPDATE sealed_secrets SET compromised_by_rotation_id = $2
            WHERE organization_id = $1 AND id = ANY ($3))
        UPDATE private_keys SET compromised_by_rotation_id = $2
        WHERE organization_id = $1 AND id = ANY ($3)"#,
        due.organization_id.as_uuid(),
        due.id.as_uuid(),
        ids,
    )
    .execute(connection)
    .await?;
    Ok(())
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
