//! Replacing the master key, in one transaction: the old row is locked, the new key is made, every data
//! key is wrapped anew, and history and audit log say so. Whoever stores a data key at that time waits,
//! and then finds that its master key is not in force any more.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::DatabaseError;
use clm_database::transaction::Abort;
use clm_domain::audit::AuditRow;
use clm_domain::ids::{EncryptionKeyId, KeyRotationId, SYSTEM_ORGANIZATION};
use clm_domain::states::KeyRotationType;
use sqlx::PgConnection;
use uuid::Uuid;

use super::encryption_keys::{DataKeyRow, StoredDataKey};
use super::master_keys::StoredShareSet;
use super::{KEY_ROTATION, SecureStore, audit, fixed};
use crate::envelope::{ALGORITHM, EnvelopeError, Sealed};
use crate::error::Failure;
use crate::master_key::{MasterKeyProvider as _, MasterKeySourceError, SoftwareMasterKey};

/// A master key that is to come into force.
pub(crate) struct NewMasterKeyRotation {
    pub(crate) id: KeyRotationId,
    pub(crate) rotation_type: KeyRotationType,
    pub(crate) old_encryption_key_id: EncryptionKeyId,
    pub(crate) new_encryption_key_id: EncryptionKeyId,
    /// How its shares are recognized, when it is split.
    pub(crate) set: Option<StoredShareSet>,
    pub(crate) initiated_by_user_id: Option<Uuid>,
    pub(crate) reason: Option<String>,
    /// Data keys that may stay behind when they do not open.
    pub(crate) give_up: Vec<EncryptionKeyId>,
    pub(crate) now: DateTime<Utc>,
}

/// The material of the new key, and what is done with it. Called within the transaction, perhaps
/// several times.
pub(crate) trait MasterKeyChange: Send + Sync {
    /// The key of version `key_version`, durable where its provider keeps it. `known` are the check
    /// values of all keys on record.
    fn key(
        &self,
        key_version: i32,
        known: &[[u8; 32]],
    ) -> Result<Arc<SoftwareMasterKey>, MasterKeySourceError>;

    /// Wraps a data key anew.
    fn rewrap(
        &self,
        stored: &StoredDataKey,
        new: &SoftwareMasterKey,
    ) -> Result<Sealed, EnvelopeError>;

    /// The audit event, once it is known how many keys were wrapped.
    fn describe(&self, key_version: i32, items: i64) -> AuditRow;
}

/// The master key that came into force.
pub(crate) struct RotatedMasterKey {
    pub(crate) key: Arc<SoftwareMasterKey>,
    pub(crate) key_version: i32,
    pub(crate) items: i64,
}

/// The master key was not replaced; nothing changed.
#[derive(Debug)]
pub(crate) enum NotReplaced {
    /// Another process was faster.
    MasterKeyChanged,
    /// There is no new key.
    Source(MasterKeySourceError),
    /// These data keys do not open.
    DoNotOpen(Vec<EncryptionKeyId>),
    /// This is no data key that the old master key wraps, so nobody can give it up.
    UnknownGivenUp(EncryptionKeyId),
    /// So many data keys would stay under the old master key, which nobody has seen.
    LeftBehind(i64),
    /// A data key cannot be wrapped.
    Envelope(EnvelopeError),
    /// The database.
    Database(DatabaseError),
}

impl From<DatabaseError> for NotReplaced {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl From<NotReplaced> for Failure {
    fn from(error: NotReplaced) -> Self {
        match error {
            NotReplaced::Envelope(error) => error.into(),
            NotReplaced::Database(error) => error.into(),
            other => Self::Internal(format!("the master key was not replaced: {other:?}")),
        }
    }
}

impl SecureStore {
    /// Puts a new master key into force.
    pub(crate) async fn rotate_master_key(
        &self,
        new: &Arc<NewMasterKeyRotation>,
        change: Arc<dyn MasterKeyChange>,
    ) -> Result<RotatedMasterKey, NotReplaced> {
        self.pool
            .transact("rotate master key", KEY_ROTATION, |connection| {
                let (new, change) = (Arc::clone(new), Arc::clone(&change));
                Box::pin(async move { replace(connection, &new, change.as_ref()).await })
            })
            .await
    }
}

async fn replace(
    connection: &mut PgConnection,
    new: &NewMasterKeyRotation,
    change: &dyn MasterKeyChange,
) -> Result<RotatedMasterKey, Abort<NotReplaced>> {
    let give_up = |error| Abort::Caller(NotReplaced::Database(error));
    let key_version = lock_active(connection, new.old_encryption_key_id)
        .await?
        .ok_or(Abort::Caller(NotReplaced::MasterKeyChanged))?
        + 1;
    let stored = lock_wrapped(connection, new.old_encryption_key_id).await?;
    let known = check_values(connection).await?;
    let known: Result<Vec<[u8; 32]>, DatabaseError> = known
        .iter()
        .map(|value| fixed("encryption_keys.key_check_value", value))
        .collect();
    let key = change
        .key(key_version, &known.map_err(give_up)?)
        .map_err(|error| Abort::Caller(NotReplaced::Source(error)))?;
    let wrapped = rewrap_all(stored, (new, &key), change).map_err(Abort::Caller)?;
    let items = i64::try_from(wrapped.len()).unwrap_or(i64::MAX);
    leave(connection, new).await?;
    insert(connection, new, (&key, key_version)).await?;
    let changed = store_wrapped(connection, (new, &key), wrapped).await?;
    if i64::try_from(changed).unwrap_or(i64::MAX) != items {
        return Err(give_up(DatabaseError::NothingChanged {
            statement: "master_key_rotation::store_wrapped",
        }));
    }
    if let Some(set) = &new.set {
        insert_shares(connection, set, new.now).await?;
    }
    record(connection, new, items).await?;
    // Nobody should have come past the lock; if somebody did, it must not become final.
    let left = count_left(connection, new).await?;
    if left > 0 {
        return Err(Abort::Caller(NotReplaced::LeftBehind(left)));
    }
    audit::insert(connection, &change.describe(key_version, items)).await?;
    Ok(RotatedMasterKey {
        key,
        key_version,
        items,
    })
}

/// Wraps every data key anew, but for those that do not open and were given up.
fn rewrap_all(
    stored: Vec<DataKeyRow>,
    (new, key): (&NewMasterKeyRotation, &SoftwareMasterKey),
    change: &dyn MasterKeyChange,
) -> Result<Vec<(Uuid, Sealed)>, NotReplaced> {
    let mut wrapped = Vec::with_capacity(stored.len());
    let (mut known, mut closed) = (Vec::with_capacity(stored.len()), Vec::new());
    for row in stored {
        let data_key = row.into_stored()?;
        known.push(data_key.id);
        match change.rewrap(&data_key, key) {
            Ok(sealed) => wrapped.push((data_key.id.as_uuid(), sealed)),
            Err(EnvelopeError::Open(_)) if new.give_up.contains(&data_key.id) => {}
            Err(EnvelopeError::Open(_)) => closed.push(data_key.id),
            Err(error) => return Err(NotReplaced::Envelope(error)),
        }
    }
    if let Some(unknown) = new.give_up.iter().find(|id| !known.contains(id)) {
        return Err(NotReplaced::UnknownGivenUp(*unknown));
    }
    if !closed.is_empty() {
        return Err(NotReplaced::DoNotOpen(closed));
    }
    Ok(wrapped)
}

/// The version of the master key, while it is in force.
async fn lock_active(
    connection: &mut PgConnection,
    id: EncryptionKeyId,
) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"-- master_key_rotation::lock_active
        SELECT key_version FROM encryption_keys
        WHERE id = $1 AND key_type = 'master' AND status = 'active' AND deleted_at IS NULL
        FOR UPDATE"#,
        id.as_uuid(),
    )
    .fetch_optional(connection)
    .await
}

/// Every data key that it wraps, in one order for all who lock several.
async fn lock_wrapped(
    connection: &mut PgConnection,
    id: EncryptionKeyId,
) -> Result<Vec<DataKeyRow>, sqlx::Error> {
    sqlx::query_as!(
        DataKeyRow,
        r#"-- master_key_rotation::lock_wrapped
        SELECT id, organization_id, wrapping_key_id, status, encrypted_key_material,
            encryption_iv, encryption_auth_tag, encryption_algorithm
        FROM encryption_keys
        WHERE wrapping_key_id = $1 AND encrypted_key_material IS NOT NULL
        ORDER BY id FOR NO KEY UPDATE"#,
        id.as_uuid(),
    )
    .fetch_all(connection)
    .await
}

/// The check values of all master keys on record.
async fn check_values(connection: &mut PgConnection) -> Result<Vec<Vec<u8>>, sqlx::Error> {
    let values = sqlx::query_scalar!(
        r#"-- master_key_rotation::check_values
        SELECT key_check_value AS "value!" FROM encryption_keys
        WHERE key_type = 'master' AND key_check_value IS NOT NULL"#,
    );
    values.fetch_all(connection).await
}

/// After a compromise the old key opens nothing any more; else it has only gone out of use.
async fn leave(
    connection: &mut PgConnection,
    new: &NewMasterKeyRotation,
) -> Result<(), sqlx::Error> {
    let compromised = new.rotation_type == KeyRotationType::Compromise;
    sqlx::query!(
        r#"-- master_key_rotation::leave
        UPDATE encryption_keys
        SET status = CASE WHEN $3 THEN 'revoked' ELSE 'retired' END,
            rotated_at = $2::timestamptz, retired_at = $2,
            revoked_at = CASE WHEN $3 THEN $2::timestamptz END
        WHERE id = $1"#,
        new.old_encryption_key_id.as_uuid(),
        new.now,
        compromised,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert(
    connection: &mut PgConnection,
    new: &NewMasterKeyRotation,
    (key, key_version): (&SoftwareMasterKey, i32),
) -> Result<(), sqlx::Error> {
    let check_value = key.check_value();
    sqlx::query!(
        r#"-- master_key_rotation::insert
        INSERT INTO encryption_keys (id, organization_id, key_type, key_version, key_algorithm,
            status, provider, key_check_value, created_by_user_id, activated_at, created_at,
            updated_at)
        VALUES ($1, $2, 'master', $3, $4, 'active', $5, $6, $7, $8, $8, $8)"#,
        new.new_encryption_key_id.as_uuid(),
        SYSTEM_ORGANIZATION.as_uuid(),
        key_version,
        ALGORITHM,
        key.provider().as_str(),
        check_value.as_slice(),
        new.initiated_by_user_id,
        new.now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn store_wrapped(
    connection: &mut PgConnection,
    (new, key): (&NewMasterKeyRotation, &SoftwareMasterKey),
    wrapped: Vec<(Uuid, Sealed)>,
) -> Result<u64, sqlx::Error> {
    let (mut ids, mut materials) = (Vec::new(), Vec::new());
    let (mut nonces, mut tags) = (Vec::new(), Vec::new());
    for (id, sealed) in wrapped {
        ids.push(id);
        materials.push(sealed.ciphertext);
        nonces.push(sealed.nonce.to_vec());
        tags.push(sealed.tag.to_vec());
    }
    let updated = sqlx::query!(
        r#"-- master_key_rotation::store_wrapped
        UPDATE encryption_keys k
        SET wrapping_key_id = $1, provider = $2, encrypted_key_material = n.material,
            encryption_iv = n.nonce, encryption_auth_tag = n.tag, encryption_algorithm = $3
        FROM unnest($4::uuid[], $5::bytea[], $6::bytea[], $7::bytea[])
            AS n (id, material, nonce, tag)
        WHERE k.id = n.id AND k.wrapping_key_id = $8"#,
        new.new_encryption_key_id.as_uuid(),
        key.provider().as_str(),
        ALGORITHM,
        &ids,
        &materials,
        &nonces,
        &tags,
        new.old_encryption_key_id.as_uuid(),
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected())
}

/// How many data keys the old master key would go on wrapping, beside those that were given up.
async fn count_left(
    connection: &mut PgConnection,
    new: &NewMasterKeyRotation,
) -> Result<i64, sqlx::Error> {
    let given_up: Vec<Uuid> = new.give_up.iter().map(|id| id.as_uuid()).collect();
    sqlx::query_scalar!(
        r#"-- master_key_rotation::count_left
        SELECT count(*) AS "count!" FROM encryption_keys
        WHERE wrapping_key_id = $1 AND encrypted_key_material IS NOT NULL
          AND id <> ALL ($2::uuid[])"#,
        new.old_encryption_key_id.as_uuid(),
        &given_up,
    )
    .fetch_one(connection)
    .await
}

async fn insert_shares(
    connection: &mut PgConnection,
    stored: &StoredShareSet,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let indices: Vec<i16> = stored
        .commitments
        .iter()
        .map(|(index, _)| i16::from(*index))
        .collect();
    let hashes: Vec<Vec<u8>> = stored
        .commitments
        .iter()
        .map(|(_, hash)| hash.to_vec())
        .collect();
    sqlx::query!(
        r#"-- master_key_rotation::insert_shares
        INSERT INTO master_key_shares (organization_id, encryption_key_id, share_index,
            share_set_id, threshold, share_count, share_sha256, created_at)
        SELECT $1, $2, n.share_index, $3, $4, $5, n.share_sha256, $8
        FROM unnest($6::smallint[], $7::bytea[]) AS n (share_index, share_sha256)"#,
        SYSTEM_ORGANIZATION.as_uuid(),
        stored.set.encryption_key_id.as_uuid(),
        stored.set.set_id,
        i16::from(stored.set.threshold),
        i16::from(stored.set.count),
        &indices,
        &hashes,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The history of a rotation that was over when it began.
async fn record(
    connection: &mut PgConnection,
    new: &NewMasterKeyRotation,
    items: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"-- master_key_rotation::record
        INSERT INTO key_rotation_history (id, organization_id, key_type, rotation_type, status,
            old_encryption_key_id, new_encryption_key_id, initiated_by_user_id, reason,
            items_total, items_processed, started_at, completed_at, created_at, updated_at)
        VALUES ($1, $2, 'master', $3, 'completed', $4, $5, $6, $7, $8, $8, $9, $9, $9, $9)"#,
        new.id.as_uuid(),
        SYSTEM_ORGANIZATION.as_uuid(),
        new.rotation_type.as_str(),
        new.old_encryption_key_id.as_uuid(),
        new.new_encryption_key_id.as_uuid(),
        new.initiated_by_user_id,
        new.reason,
        items,
        new.now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
