//! `sealed_secrets`: what is sealed for the core. One that was destroyed leaves its row, without the
//! secret.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_database::{DatabaseError, Scope};
use clm_domain::audit::AuditRow;
use clm_domain::ids::{EncryptionKeyId, KeyRotationId, OrganizationId, SealedSecretId};
use clm_domain::states::SecretPurpose;
use clm_secure_api::reply::ExposedSecret;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{SealedColumns, SecureStore, audit, unknown, word};
use crate::envelope::{ALGORITHM, Sealed};

/// A sealed secret.
#[derive(Clone, Debug)]
pub(crate) struct StoredSecret {
    pub(crate) id: SealedSecretId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) purpose: SecretPurpose,
    pub(crate) owner_id: Uuid,
    pub(crate) encryption_key_id: EncryptionKeyId,
    pub(crate) sealed: Sealed,
    pub(crate) created_at: DateTime<Utc>,
}

/// A row, as every statement that reads secrets gives it.
pub(super) struct SecretRow {
    pub(super) id: Uuid,
    pub(super) organization_id: Uuid,
    pub(super) purpose: String,
    pub(super) owner_id: Uuid,
    pub(super) encrypted_secret: Option<Vec<u8>>,
    pub(super) encryption_key_id: Option<Uuid>,
    pub(super) encryption_algorithm: Option<String>,
    pub(super) encryption_iv: Option<Vec<u8>>,
    pub(super) encryption_auth_tag: Option<Vec<u8>>,
    pub(super) created_at: DateTime<Utc>,
}

impl SecretRow {
    pub(super) fn into_stored(self) -> Result<StoredSecret, DatabaseError> {
        let sealed = SealedColumns {
            table: "sealed_secrets",
            material: self.encrypted_secret,
            iv: self.encryption_iv,
            tag: self.encryption_auth_tag,
            algorithm: self.encryption_algorithm,
        };
        let encryption_key_id = self
            .encryption_key_id
            .ok_or_else(|| unknown("sealed_secrets.encryption_key_id", "no key"))?;
        Ok(StoredSecret {
            id: self.id.into(),
            organization_id: self.organization_id.into(),
            purpose: word("sealed_secrets.purpose", &self.purpose)?,
            owner_id: self.owner_id,
            encryption_key_id: encryption_key_id.into(),
            sealed: sealed.into_sealed()?,
            created_at: self.created_at,
        })
    }
}

impl SecureStore {
    /// A secret of the organization that was not destroyed.
    pub(crate) async fn find_secret(
        &self,
        organization_id: OrganizationId,
        id: SealedSecretId,
    ) -> Result<Option<StoredSecret>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let row = self
            .pool
            .transact("find sealed secret", scope, |connection| {
                Box::pin(async move {
                    let row = sqlx::query_as!(
                        SecretRow,
                        r#"-- sealed_secrets::find
                        SELECT id, organization_id, purpose, owner_id, encrypted_secret,
                            encryption_key_id, encryption_algorithm, encryption_iv,
                            encryption_auth_tag, created_at
                        FROM sealed_secrets
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
        row.map(SecretRow::into_stored).transpose()
    }

    /// Secrets that the compromise behind a rotation exposed, destroyed ones too: what they opened
    /// elsewhere may still be open.
    pub(crate) async fn list_exposed_secrets(
        &self,
        (organization_id, rotation_id): (OrganizationId, KeyRotationId),
        after: Option<SealedSecretId>,
        limit: i64,
    ) -> Result<Vec<ExposedSecret>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let rows = self
            .pool
            .transact("list exposed secrets", scope, |connection| {
                Box::pin(async move {
                    let rows = sqlx::query!(
                        r#"-- sealed_secrets::list_exposed
                        SELECT id, purpose, owner_id, deleted_at IS NOT NULL AS "destroyed!"
                        FROM sealed_secrets
                        WHERE organization_id = $1 AND compromised_by_rotation_id = $2 AND id > $3
                        ORDER BY id LIMIT $4"#,
                        organization_id.as_uuid(),
                        rotation_id.as_uuid(),
                        after.map(SealedSecretId::as_uuid).unwrap_or_default(),
                        limit,
                    )
                    .fetch_all(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(rows)
                })
            })
            .await?;
        rows.into_iter()
            .map(|row| {
                Ok(ExposedSecret {
                    sealed_secret_id: row.id.into(),
                    purpose: word("sealed_secrets.purpose", &row.purpose)?,
                    owner_id: row.owner_id,
                    destroyed: row.destroyed,
                })
            })
            .collect()
    }

    /// Writes a secret with its audit event; false when the id is in use.
    pub(crate) async fn insert_secret(
        &self,
        new: StoredSecret,
        audit_row: AuditRow,
    ) -> Result<bool, DatabaseError> {
        let scope = Scope::Organization(new.organization_id);
        let new = Arc::new((new, audit_row));
        self.pool
            .transact("seal secret", scope, |connection| {
                let new = Arc::clone(&new);
                Box::pin(async move {
                    let (secret, audit_row) = new.as_ref();
                    let inserted = insert(connection, secret).await?;
                    if inserted {
                        audit::insert(connection, audit_row).await?;
                    }
                    Ok::<_, Abort<DatabaseError>>(inserted)
                })
            })
            .await
    }

    /// Destroys a secret that no second factor is, with its audit event; false when there is none.
    pub(crate) async fn destroy_secret(
        &self,
        (organization_id, id): (OrganizationId, SealedSecretId),
        now: DateTime<Utc>,
        audit_row: AuditRow,
    ) -> Result<bool, DatabaseError> {
        let audit_row = Arc::new(audit_row);
        let scope = Scope::Organization(organization_id);
        self.pool
            .transact("destroy secret", scope, |connection| {
                let audit_row = Arc::clone(&audit_row);
                Box::pin(async move {
                    let destroyed = destroy(connection, (organization_id, id), now).await?;
                    if destroyed {
                        audit::insert(connection, &audit_row).await?;
                    }
                    Ok::<_, Abort<DatabaseError>>(destroyed)
                })
            })
            .await
    }
}

/// Writes the row; false when the id is in use.
pub(super) async fn insert(
    connection: &mut PgConnection,
    new: &StoredSecret,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        r#"-- sealed_secrets::insert
        INSERT INTO sealed_secrets (id, organization_id, purpose, owner_id, encrypted_secret,
            encryption_key_id, encryption_algorithm, encryption_iv, encryption_auth_tag, created_at,
            updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
        ON CONFLICT DO NOTHING"#,
        new.id.as_uuid(),
        new.organization_id.as_uuid(),
        new.purpose.as_str(),
        new.owner_id,
        new.sealed.ciphertext,
        new.encryption_key_id.as_uuid(),
        ALGORITHM,
        new.sealed.nonce.as_slice(),
        new.sealed.tag.as_slice(),
        new.created_at,
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() > 0)
}

/// Erases the secret from its row; false when it is gone already.
pub(super) async fn destroy(
    connection: &mut PgConnection,
    (organization_id, id): (OrganizationId, SealedSecretId),
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let destroyed = sqlx::query!(
        r#"-- sealed_secrets::destroy
        UPDATE sealed_secrets
        SET encrypted_secret = NULL, encryption_key_id = NULL, encryption_algorithm = NULL,
            encryption_iv = NULL, encryption_auth_tag = NULL, revision = revision + 1,
            deleted_at = $3
        WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL"#,
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(destroyed.rows_affected() > 0)
}
