//! `encryption_keys`: the wrapped data keys of the organizations. Master keys are in
//! [`super::master_keys`].

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_database::{DatabaseError, Scope};
use clm_domain::audit::AuditRow;
use clm_domain::ids::{EncryptionKeyId, OrganizationId};
use clm_domain::states::{EncryptionKeyStatus, MasterKeyProviderKind};
use sqlx::PgConnection;
use uuid::Uuid;

use super::master_keys::lock_wrapping;
use super::{MAINTENANCE, SealedColumns, SecureStore, audit, unknown, word};
use crate::envelope::{ALGORITHM, Sealed};

/// A wrapped data key.
#[derive(Clone, Debug)]
pub(crate) struct StoredDataKey {
    pub(crate) id: EncryptionKeyId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) wrapping_key_id: EncryptionKeyId,
    pub(crate) status: EncryptionKeyStatus,
    pub(crate) wrapped: Sealed,
}

/// The data key row of an organization.
pub(crate) struct NewDataKey {
    pub(crate) id: EncryptionKeyId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) wrapping_key_id: EncryptionKeyId,
    pub(crate) provider: MasterKeyProviderKind,
    pub(crate) wrapped: Sealed,
    pub(crate) seal_count_max: i64,
    pub(crate) created_by_user_id: Option<Uuid>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) audit: AuditRow,
}

/// A row, as every statement about wrapped keys reads it.
pub(super) struct DataKeyRow {
    pub(super) id: Uuid,
    pub(super) organization_id: Uuid,
    pub(super) wrapping_key_id: Option<Uuid>,
    pub(super) status: String,
    pub(super) encrypted_key_material: Option<Vec<u8>>,
    pub(super) encryption_iv: Option<Vec<u8>>,
    pub(super) encryption_auth_tag: Option<Vec<u8>>,
    pub(super) encryption_algorithm: Option<String>,
}

impl DataKeyRow {
    pub(super) fn into_stored(self) -> Result<StoredDataKey, DatabaseError> {
        let sealed = SealedColumns {
            table: "encryption_keys",
            material: self.encrypted_key_material,
            iv: self.encryption_iv,
            tag: self.encryption_auth_tag,
            algorithm: self.encryption_algorithm,
        };
        let wrapping_key_id = self.wrapping_key_id.ok_or_else(|| {
            unknown(
                "encryption_keys.wrapping_key_id",
                "a data key without master key",
            )
        })?;
        Ok(StoredDataKey {
            id: self.id.into(),
            organization_id: self.organization_id.into(),
            wrapping_key_id: wrapping_key_id.into(),
            status: word("encryption_keys.status", &self.status)?,
            wrapped: sealed.into_sealed()?,
        })
    }
}

impl SecureStore {
    /// The data key that the organization seals with now.
    pub(crate) async fn find_active_data_key(
        &self,
        organization_id: OrganizationId,
    ) -> Result<Option<StoredDataKey>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let row = self
            .pool
            .transact("find active data key", scope, |connection| {
                Box::pin(async move {
                    let row = sqlx::query_as!(
                        DataKeyRow,
                        r#"-- encryption_keys::find_active_data
                        SELECT id, organization_id, wrapping_key_id, status, encrypted_key_material,
                            encryption_iv, encryption_auth_tag, encryption_algorithm
                        FROM encryption_keys
                        WHERE organization_id = $1 AND key_type = 'data' AND status = 'active'
                          AND deleted_at IS NULL"#,
                        organization_id.as_uuid(),
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(row)
                })
            })
            .await?;
        row.map(DataKeyRow::into_stored).transpose()
    }

    /// A data key by its id, whatever its status.
    pub(crate) async fn find_data_key(
        &self,
        organization_id: OrganizationId,
        id: EncryptionKeyId,
    ) -> Result<Option<StoredDataKey>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let row = self
            .pool
            .transact("find data key", scope, |connection| {
                Box::pin(async move {
                    let row = sqlx::query_as!(
                        DataKeyRow,
                        r#"-- encryption_keys::find_data
                        SELECT id, organization_id, wrapping_key_id, status, encrypted_key_material,
                            encryption_iv, encryption_auth_tag, encryption_algorithm
                        FROM encryption_keys
                        WHERE organization_id = $1 AND id = $2 AND key_type = 'data'
                          AND status <> 'destroyed'"#,
                        organization_id.as_uuid(),
                        id.as_uuid(),
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(row)
                })
            })
            .await?;
        row.map(DataKeyRow::into_stored).transpose()
    }

    /// Any data key that `master_key_id` wraps, the newest by id: a sample to try the master key
    /// on.
    pub(crate) async fn find_data_key_wrapped_by(
        &self,
        master_key_id: EncryptionKeyId,
    ) -> Result<Option<StoredDataKey>, DatabaseError> {
        let row = self
            .pool
            .transact("find data key to try", MAINTENANCE, |connection| {
                Box::pin(async move {
                    let row = sqlx::query_as!(
                        DataKeyRow,
                        r#"-- encryption_keys::find_wrapped_by
                        SELECT id, organization_id, wrapping_key_id, status, encrypted_key_material,
                            encryption_iv, encryption_auth_tag, encryption_algorithm
                        FROM encryption_keys
                        WHERE wrapping_key_id = $1 AND encrypted_key_material IS NOT NULL
                        ORDER BY id DESC LIMIT 1"#,
                        master_key_id.as_uuid(),
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(row)
                })
            })
            .await?;
        row.map(DataKeyRow::into_stored).transpose()
    }

    /// Records a data key with its audit event, unless the organization has an active one by now, or
    /// the master key that wraps it is not in force any more; says whether it did. The unique index
    /// over active keys decides between two who try at once.
    pub(crate) async fn insert_data_key(&self, new: NewDataKey) -> Result<bool, DatabaseError> {
        let new = Arc::new(new);
        let scope = Scope::Organization(new.organization_id);
        self.pool
            .transact("create data key", scope, |connection| {
                let new = Arc::clone(&new);
                Box::pin(async move {
                    let inserted = lock_wrapping(connection, &new).await?
                        && insert_data(connection, &new).await?;
                    Ok::<_, Abort<DatabaseError>>(inserted)
                })
            })
            .await
    }

    /// Reserves up to `count` seals of an active data key; says how many, 0 when none is left.
    pub(crate) async fn reserve_seals(
        &self,
        organization_id: OrganizationId,
        id: EncryptionKeyId,
        count: i64,
    ) -> Result<i64, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        self.pool
            .transact("reserve seals", scope, |connection| {
                Box::pin(async move {
                    let granted = sqlx::query_scalar!(
                        r#"-- encryption_keys::reserve_seals
                        WITH found AS (
                            SELECT id,
                                least($3, coalesce(seal_count_max - seal_count, $3)) AS granted
                            FROM encryption_keys
                            WHERE organization_id = $1 AND id = $2 AND status = 'active'
                            FOR NO KEY UPDATE)
                        UPDATE encryption_keys k SET seal_count = k.seal_count + found.granted
                        FROM found WHERE k.id = found.id AND found.granted > 0
                        RETURNING found.granted AS "granted!""#,
                        organization_id.as_uuid(),
                        id.as_uuid(),
                        count,
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(granted.unwrap_or_default())
                })
            })
            .await
    }
}

/// Inserts a data key as the active one, with its audit event, unless there is an active one; says
/// whether it did. Its master key must be locked ([`lock_wrapping`]). It inherits the schedule of the version before it.
pub(super) async fn insert_data(
    connection: &mut PgConnection,
    new: &NewDataKey,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        r#"-- encryption_keys::insert_data
        INSERT INTO encryption_keys (id, organization_id, key_type, key_version, key_algorithm,
            status, wrapping_key_id, provider, encrypted_key_material, encryption_iv,
            encryption_auth_tag, encryption_algorithm, seal_count_max, created_by_user_id,
            activated_at, created_at, updated_at, rotation_schedule_days)
        SELECT $1, $2, 'data', coalesce(max(k.key_version), 0) + 1, $3::text, 'active', $4::uuid,
            $5::text, $6::bytea, $7::bytea, $8::bytea, $3, $9::bigint, $10::uuid,
            $11::timestamptz, $11, $11,
            -- That of the key which is left, or was left last.
            (array_agg(k.rotation_schedule_days
                ORDER BY greatest(k.activated_at, k.rotated_at) DESC, k.key_version DESC))[1]
        FROM encryption_keys k WHERE k.organization_id = $2 AND k.key_type = 'data'
        ON CONFLICT DO NOTHING"#,
        new.id.as_uuid(),
        new.organization_id.as_uuid(),
        ALGORITHM,
        new.wrapping_key_id.as_uuid(),
        new.provider.as_str(),
        new.wrapped.ciphertext,
        new.wrapped.nonce.as_slice(),
        new.wrapped.tag.as_slice(),
        new.seal_count_max,
        new.created_by_user_id,
        new.created_at,
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if inserted > 0 {
        audit::insert(connection, &new.audit).await?;
    }
    Ok(inserted > 0)
}
