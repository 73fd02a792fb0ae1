//! The rows of master keys in `encryption_keys`, and `master_key_shares`: how the key in force and its
//! shares are recognized. Replacing one is in [`super::master_key_rotation`].

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_database::{DatabaseError, Scope};
use clm_domain::audit::AuditRow;
use clm_domain::ids::{EncryptionKeyId, KeyRotationId, SYSTEM_ORGANIZATION};
use clm_domain::states::MasterKeyProviderKind;
use sqlx::PgConnection;

use super::data_key_lifecycle::{DescribeDestroyed, OwnedDataKey};
use super::encryption_keys::NewDataKey;
use super::{KEY_ROTATION, MAINTENANCE, SecureStore, audit, fixed, unknown, word};
use crate::envelope::ALGORITHM;
use crate::master_key::shares::ShareSet;

const SCOPE: Scope = Scope::Organization(SYSTEM_ORGANIZATION);

/// What is stored of the master key.
#[derive(Clone, Debug)]
pub(crate) struct StoredMasterKey {
    pub(crate) id: EncryptionKeyId,
    pub(crate) key_version: i32,
    pub(crate) provider: MasterKeyProviderKind,
    pub(crate) check_value: [u8; 32],
    pub(crate) activated_at: Option<DateTime<Utc>>,
    pub(crate) backup_confirmed_at: Option<DateTime<Utc>>,
}

/// The master key row of a new installation.
pub(crate) struct NewMasterKey {
    pub(crate) id: EncryptionKeyId,
    pub(crate) provider: MasterKeyProviderKind,
    pub(crate) check_value: [u8; 32],
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) audit: AuditRow,
}

/// A set of shares, each with its hash.
#[derive(Clone, Debug)]
pub(crate) struct StoredShareSet {
    pub(crate) set: ShareSet,
    pub(crate) commitments: Vec<(u8, [u8; 32])>,
}

/// What became of a set of shares.
pub(crate) struct RotationToSet {
    pub(crate) rotation_id: KeyRotationId,
    /// Whether its key is the one in force.
    pub(crate) is_in_force: bool,
}

impl SecureStore {
    /// The master key in force, absent in a new installation.
    pub(crate) async fn find_master_key(&self) -> Result<Option<StoredMasterKey>, DatabaseError> {
        let row = self
            .pool
            .transact("find master key", SCOPE, |connection| {
                Box::pin(async move {
                    let row = sqlx::query!(
                        r#"-- master_keys::find
                        SELECT id, key_version, provider, key_check_value, activated_at,
                            backup_confirmed_at
                        FROM encryption_keys
                        WHERE organization_id = $1 AND key_type = 'master' AND status = 'active'
                          AND deleted_at IS NULL"#,
                        SYSTEM_ORGANIZATION.as_uuid(),
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(row)
                })
            })
            .await?;
        row.map(|row| {
            let check_value = row.key_check_value.unwrap_or_default();
            Ok(StoredMasterKey {
                id: row.id.into(),
                key_version: row.key_version,
                provider: word("encryption_keys.provider", &row.provider)?,
                check_value: fixed("encryption_keys.key_check_value", &check_value)?,
                activated_at: row.activated_at,
                backup_confirmed_at: row.backup_confirmed_at,
            })
        })
        .transpose()
    }

    /// Records the first master key, unless another process was faster; says whether it did.
    pub(crate) async fn insert_master_key(&self, new: NewMasterKey) -> Result<bool, DatabaseError> {
        let new = Arc::new(new);
        self.pool
            .transact("record master key", SCOPE, |connection| {
                let new = Arc::clone(&new);
                Box::pin(async move {
                    let inserted = sqlx::query!(
                        r#"-- master_keys::insert_first
                        INSERT INTO encryption_keys (id, organization_id, key_type, key_version,
                            key_algorithm, status, provider, key_check_value, activated_at,
                            created_at, updated_at)
                        VALUES ($1, $2, 'master', 1, $3, 'active', $4, $5, $6, $6, $6)
                        ON CONFLICT DO NOTHING"#,
                        new.id.as_uuid(),
                        SYSTEM_ORGANIZATION.as_uuid(),
                        ALGORITHM,
                        new.provider.as_str(),
                        new.check_value.as_slice(),
                        new.created_at,
                    )
                    .execute(&mut *connection)
                    .await?
                    .rows_affected();
                    if inserted > 0 {
                        audit::insert(connection, &new.audit).await?;
                    }
                    Ok::<_, Abort<DatabaseError>>(inserted > 0)
                })
            })
            .await
    }

    /// How the shares of a split master key are recognized.
    pub(crate) async fn find_share_set(
        &self,
        id: EncryptionKeyId,
    ) -> Result<Option<StoredShareSet>, DatabaseError> {
        let rows = self
            .pool
            .transact("find master key shares", SCOPE, |connection| {
                Box::pin(async move {
                    let rows = sqlx::query!(
                        r#"-- master_keys::find_shares
                        SELECT share_index, share_set_id, threshold, share_count, share_sha256
                        FROM master_key_shares
                        WHERE organization_id = $1 AND encryption_key_id = $2
                        ORDER BY share_index"#,
                        SYSTEM_ORGANIZATION.as_uuid(),
                        id.as_uuid(),
                    )
                    .fetch_all(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(rows)
                })
            })
            .await?;
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        let set = ShareSet {
            encryption_key_id: id,
            set_id: first.share_set_id,
            threshold: small("master_key_shares.threshold", first.threshold)?,
            count: small("master_key_shares.share_count", first.share_count)?,
        };
        let commitments = rows.iter().map(|row| {
            let index = small("master_key_shares.share_index", row.share_index)?;
            let hash = fixed("master_key_shares.share_sha256", &row.share_sha256)?;
            Ok((index, hash))
        });
        let commitments = commitments.collect::<Result<_, DatabaseError>>()?;
        Ok(Some(StoredShareSet { set, commitments }))
    }

    /// The rotation that put the key with these shares into force, if any has.
    pub(crate) async fn find_rotation_to_set(
        &self,
        set_id: uuid::Uuid,
    ) -> Result<Option<RotationToSet>, DatabaseError> {
        let row = self
            .pool
            .transact("find rotation to set", SCOPE, |connection| {
                Box::pin(async move {
                    let row = sqlx::query!(
                        r#"-- master_keys::find_rotation_to_set
                        SELECT r.id, k.status = 'active' AS "is_in_force!"
                        FROM master_key_shares s
                        JOIN encryption_keys k ON k.id = s.encryption_key_id
                        JOIN key_rotation_history r ON r.new_encryption_key_id = k.id
                        WHERE s.organization_id = $1 AND s.share_set_id = $2
                        LIMIT 1"#,
                        SYSTEM_ORGANIZATION.as_uuid(),
                        set_id,
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(row)
                })
            })
            .await?;
        Ok(row.map(|row| RotationToSet {
            rotation_id: row.id.into(),
            is_in_force: row.is_in_force,
        }))
    }

    /// How many data keys are wrapped under a master key that is not in force.
    pub(crate) async fn count_astray(&self) -> Result<i64, DatabaseError> {
        self.pool
            .transact("count astray keys", MAINTENANCE, |connection| {
                Box::pin(async move {
                    let count = sqlx::query_scalar!(
                        r#"-- master_keys::count_astray
                        SELECT count(*) AS "count!"
                        FROM encryption_keys k
                        JOIN encryption_keys m ON m.id = k.wrapping_key_id
                        WHERE k.encrypted_key_material IS NOT NULL AND m.status <> 'active'"#,
                    )
                    .fetch_one(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(count)
                })
            })
            .await
    }

    /// How many data keys the master key wraps.
    pub(crate) async fn count_wrapped(&self, id: EncryptionKeyId) -> Result<i64, DatabaseError> {
        self.pool
            .transact("count wrapped keys", MAINTENANCE, |connection| {
                Box::pin(async move {
                    let count = sqlx::query_scalar!(
                        r#"-- master_keys::count_wrapped
                        SELECT count(*) AS "count!" FROM encryption_keys
                        WHERE wrapping_key_id = $1 AND encrypted_key_material IS NOT NULL"#,
                        id.as_uuid(),
                    )
                    .fetch_one(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(count)
                })
            })
            .await
    }

    /// Notes that a copy of the master key exists; false when it is not in force any more.
    pub(crate) async fn confirm_master_key_backup(
        &self,
        id: EncryptionKeyId,
        now: DateTime<Utc>,
        audit_row: AuditRow,
    ) -> Result<bool, DatabaseError> {
        let audit_row = Arc::new(audit_row);
        self.pool
            .transact("confirm master key backup", SCOPE, |connection| {
                let audit_row = Arc::clone(&audit_row);
                Box::pin(async move {
                    let changed = sqlx::query!(
                        r#"-- master_keys::confirm_backup
                        UPDATE encryption_keys SET backup_confirmed_at = $3
                        WHERE organization_id = $1 AND id = $2 AND key_type = 'master'
                          AND status = 'active'"#,
                        SYSTEM_ORGANIZATION.as_uuid(),
                        id.as_uuid(),
                        now,
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

    /// Marks master keys as destroyed that went out of use before `retired_before` and wrap nothing any
    /// more, each with its audit event; says which. Their material is with their providers.
    pub(crate) async fn destroy_unused_master_keys(
        &self,
        (retired_before, now): (DateTime<Utc>, DateTime<Utc>),
        describe: DescribeDestroyed,
    ) -> Result<Vec<OwnedDataKey>, DatabaseError> {
        self.pool
            .transact("destroy unused master keys", KEY_ROTATION, |connection| {
                let describe = Arc::clone(&describe);
                Box::pin(async move {
                    let rows = sqlx::query!(
                        r#"-- master_keys::destroy_unused
                        UPDATE encryption_keys m SET status = 'destroyed', destroyed_at = $2
                        WHERE m.key_type = 'master' AND m.status IN ('retired', 'revoked')
                          AND m.retired_at <= $1
                          AND NOT EXISTS (
                              SELECT FROM encryption_keys k
                              WHERE k.wrapping_key_id = m.id
                                AND k.encrypted_key_material IS NOT NULL)
                        RETURNING m.id, m.organization_id"#,
                        retired_before,
                        now,
                    )
                    .fetch_all(&mut *connection)
                    .await?;
                    let mut destroyed = Vec::new();
                    for row in rows {
                        let key = OwnedDataKey {
                            id: row.id.into(),
                            organization_id: row.organization_id.into(),
                        };
                        audit::insert(connection, &describe(key)).await?;
                        destroyed.push(key);
                    }
                    Ok::<_, Abort<DatabaseError>>(destroyed)
                })
            })
            .await
    }
}

/// Holds the master key that wraps `new` in force until the end of the transaction, which belongs to the
/// organization of `new`; false when it is not in force any more. It is the first lock of every
/// transaction that stores a data key, as it is of those that replace the master key.
pub(super) async fn lock_wrapping(
    connection: &mut PgConnection,
    new: &NewDataKey,
) -> Result<bool, sqlx::Error> {
    // The row belongs to the system organization. Nothing else happens within that scope.
    set_organization(connection, SYSTEM_ORGANIZATION.as_uuid()).await?;
    let found = sqlx::query_scalar!(
        r#"-- master_keys::lock_wrapping
        SELECT id FROM encryption_keys
        WHERE organization_id = $1 AND id = $2 AND key_type = 'master' AND status = 'active'
        FOR SHARE"#,
        SYSTEM_ORGANIZATION.as_uuid(),
        new.wrapping_key_id.as_uuid(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    set_organization(connection, new.organization_id.as_uuid()).await?;
    Ok(found.is_some())
}

async fn set_organization(
    connection: &mut PgConnection,
    organization_id: uuid::Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!(
        r#"-- master_keys::set_organization
        SELECT set_config('app.current_org_id', ($1::uuid)::text, true)"#,
        organization_id,
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

fn small(column: &'static str, number: i16) -> Result<u8, DatabaseError> {
    number
        .try_into()
        .map_err(|_| unknown(column, format!("the number {number}")))
}
