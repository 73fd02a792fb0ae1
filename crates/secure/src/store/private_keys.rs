//! `private_keys`: sealed keys. They are written with what they were made for (see
//! [`super::issuance`] and
//! [`super::issuers`]); here they are read, and their export is counted.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_database::{DatabaseError, Scope};
use clm_domain::audit::AuditRow;
use clm_domain::ids::{
    CertificateId, EncryptionKeyId, KeyRotationId, OrganizationId, PrivateKeyId, UserId,
};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_secure_api::reply::ExposedKey;
use sqlx::PgConnection;
use uuid::Uuid;

use super::step_up_proofs::{self, ProofUse};
use super::{STEP_UP, SealedColumns, SecureStore, audit, fixed, unknown, word};
use crate::envelope::{ALGORITHM, Sealed};

/// Most certificates that are named of one exposed key.
const EXPOSED_CERTIFICATES_MAX: i64 = 100;

/// What a key is for, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyPurpose {
    /// Signs certificates; never leaves.
    Issuer,
    /// Belongs to a subscriber.
    EndEntity,
}

impl KeyPurpose {
    /// The stored word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::EndEntity => "end_entity",
        }
    }
}

/// A sealed key.
#[derive(Clone, Debug)]
pub(crate) struct StoredPrivateKey {
    pub(crate) id: PrivateKeyId,
    pub(crate) spki_sha256: [u8; 32],
    pub(crate) is_issuer_key: bool,
    pub(crate) exportable: bool,
    pub(crate) encryption_key_id: EncryptionKeyId,
    pub(crate) sealed: Sealed,
}

/// A key to be stored with what it was made for.
#[derive(Clone, Debug)]
pub(crate) struct NewPrivateKey {
    pub(crate) id: PrivateKeyId,
    pub(crate) spki_sha256: [u8; 32],
    pub(crate) public_key_der: Vec<u8>,
    pub(crate) key_algorithm: KeyAlgorithm,
    pub(crate) purpose: KeyPurpose,
    pub(crate) exportable: bool,
    pub(crate) encryption_key_id: EncryptionKeyId,
    pub(crate) sealed: Sealed,
}

struct PrivateKeyRow {
    id: Uuid,
    spki_sha256: Vec<u8>,
    key_usage_purpose: String,
    exportable: bool,
    encryption_key_id: Option<Uuid>,
    encrypted_key_material: Option<Vec<u8>>,
    encryption_iv: Option<Vec<u8>>,
    encryption_auth_tag: Option<Vec<u8>>,
    encryption_algorithm: Option<String>,
}

impl PrivateKeyRow {
    fn into_stored(self) -> Result<StoredPrivateKey, DatabaseError> {
        let sealed = SealedColumns {
            table: "private_keys",
            material: self.encrypted_key_material,
            iv: self.encryption_iv,
            tag: self.encryption_auth_tag,
            algorithm: self.encryption_algorithm,
        };
        let encryption_key_id = self.encryption_key_id.ok_or_else(|| {
            unknown(
                "private_keys.encryption_key_id",
                "a key that is not sealed here",
            )
        })?;
        let purpose = &self.key_usage_purpose;
        let known = [KeyPurpose::Issuer, KeyPurpose::EndEntity];
        let purpose = known
            .into_iter()
            .find(|known| known.as_str() == purpose)
            .ok_or_else(|| unknown("private_keys.key_usage_purpose", purpose))?;
        Ok(StoredPrivateKey {
            id: self.id.into(),
            spki_sha256: fixed("private_keys.spki_sha256", &self.spki_sha256)?,
            is_issuer_key: purpose == KeyPurpose::Issuer,
            exportable: self.exportable,
            encryption_key_id: encryption_key_id.into(),
            sealed: sealed.into_sealed()?,
        })
    }
}

impl SecureStore {
    /// A live key of the organization.
    pub(crate) async fn find_private_key(
        &self,
        organization_id: OrganizationId,
        id: PrivateKeyId,
    ) -> Result<Option<StoredPrivateKey>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let row = self
            .pool
            .transact("find private key", scope, |connection| {
                Box::pin(async move {
                    let row = sqlx::query_as!(
                        PrivateKeyRow,
                        r#"-- private_keys::find
                        SELECT id, spki_sha256, key_usage_purpose, exportable,
                            encryption_key_id, encrypted_key_material, encryption_iv,
                            encryption_auth_tag, encryption_algorithm
                        FROM private_keys
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
        row.map(PrivateKeyRow::into_stored).transpose()
    }

    /// The key of a certificate: `None` when there is no such certificate, `Some(None)` when its
    /// key is not here.
    pub(crate) async fn find_private_key_of_certificate(
        &self,
        organization_id: OrganizationId,
        certificate_id: CertificateId,
    ) -> Result<Option<Option<StoredPrivateKey>>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let found = self
            .pool
            .transact("find key of certificate", scope, |connection| {
                Box::pin(async move {
                    let found = sqlx::query_scalar!(
                        r#"-- private_keys::find_id_of_certificate
                        SELECT private_key_id FROM certificates
                        WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL"#,
                        organization_id.as_uuid(),
                        certificate_id.as_uuid(),
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(found)
                })
            })
            .await?;
        match found {
            None => Ok(None),
            Some(None) => Ok(Some(None)),
            Some(Some(id)) => self
                .find_private_key(organization_id, id.into())
                .await
                .map(Some),
        }
    }

    /// Keys that the compromise behind a rotation exposed, with their certificates.
    pub(crate) async fn list_exposed_keys(
        &self,
        (organization_id, rotation_id): (OrganizationId, KeyRotationId),
        after: Option<PrivateKeyId>,
        limit: i64,
    ) -> Result<Vec<ExposedKey>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let rows = self
            .pool
            .transact("list exposed keys", scope, |connection| {
                Box::pin(async move {
                    let rows = sqlx::query!(
                        r#"-- private_keys::list_exposed
                        SELECT p.id, p.key_usage_purpose, p.key_algorithm, p.spki_sha256, ARRAY(
                            SELECT c.id FROM certificates c
                            WHERE c.organization_id = p.organization_id
                              AND c.private_key_id = p.id AND c.deleted_at IS NULL
                            ORDER BY c.id DESC LIMIT $5) AS "certificate_ids!"
                        FROM private_keys p
                        WHERE p.organization_id = $1 AND p.compromised_by_rotation_id = $2
                          AND p.id > $3
                        ORDER BY p.id LIMIT $4"#,
                        organization_id.as_uuid(),
                        rotation_id.as_uuid(),
                        after.map(PrivateKeyId::as_uuid).unwrap_or_default(),
                        limit,
                        EXPOSED_CERTIFICATES_MAX,
                    )
                    .fetch_all(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(rows)
                })
            })
            .await?;
        rows.into_iter()
            .map(|row| {
                Ok(ExposedKey {
                    private_key_id: row.id.into(),
                    is_issuer_key: row.key_usage_purpose == KeyPurpose::Issuer.as_str(),
                    key_algorithm: word("private_keys.key_algorithm", &row.key_algorithm)?,
                    spki_sha256: row.spki_sha256,
                    certificate_ids: row.certificate_ids.into_iter().map(Into::into).collect(),
                })
            })
            .collect()
    }

    /// Counts an export, uses its proof up and writes its audit event, in one transaction.
    pub(crate) async fn record_export(
        &self,
        (organization_id, id): (OrganizationId, PrivateKeyId),
        export: Export,
    ) -> Result<(), NotExported> {
        let scope = match export.proof {
            Some(_) => STEP_UP,
            None => Scope::Organization(organization_id),
        };
        let export = Arc::new(export);
        self.pool
            .transact("record key export", scope, |connection| {
                let export = Arc::clone(&export);
                Box::pin(async move {
                    if !count_export(connection, (organization_id, id), export.exported_at).await? {
                        return Err(Abort::Caller(NotExported::Gone));
                    }
                    if let Some(proof) = &export.proof
                        && !step_up_proofs::use_up(connection, proof, export.exported_at).await?
                    {
                        return Err(Abort::Caller(NotExported::ProofInvalid));
                    }
                    audit::insert(connection, &export.audit).await?;
                    Ok(())
                })
            })
            .await
    }
}

/// An export that is about to leave.
pub(crate) struct Export {
    pub(crate) exported_at: DateTime<Utc>,
    /// Absent for those who need none.
    pub(crate) proof: Option<ProofUse>,
    pub(crate) audit: AuditRow,
}

/// Nothing may leave, and nothing was recorded: the proof is as good as before.
#[derive(Debug)]
pub(crate) enum NotExported {
    /// The proof is none, used, expired, or another's.
    ProofInvalid,
    /// The key is gone, or may not leave.
    Gone,
    /// The database.
    Database(DatabaseError),
}

impl From<DatabaseError> for NotExported {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

/// Counts an export on a key that may leave; false for any other.
async fn count_export(
    connection: &mut PgConnection,
    (organization_id, id): (OrganizationId, PrivateKeyId),
    exported_at: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let counted = sqlx::query!(
        r#"-- private_keys::record_export
        UPDATE private_keys
        SET export_count = export_count + 1, last_exported_at = $3, revision = revision + 1
        WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL
          AND exportable AND key_usage_purpose = 'end_entity'"#,
        organization_id.as_uuid(),
        id.as_uuid(),
        exported_at,
    )
    .execute(connection)
    .await?;
    Ok(counted.rows_affected() > 0)
}

/// Writes the key of an authority with what it was made for.
pub(super) async fn insert(
    connection: &mut PgConnection,
    key: &NewPrivateKey,
    (organization_id, created_by): (OrganizationId, Option<UserId>),
    created_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"-- private_keys::insert
        INSERT INTO private_keys (id, organization_id, spki_sha256, public_key_der, key_algorithm,
            key_usage_purpose, encrypted_key_material, encryption_key_id, encryption_algorithm,
            encryption_iv, encryption_auth_tag, exportable, created_by_user_id, created_at,
            updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)"#,
        key.id.as_uuid(),
        organization_id.as_uuid(),
        key.spki_sha256.as_slice(),
        key.public_key_der,
        key.key_algorithm.as_str(),
        key.purpose.as_str(),
        key.sealed.ciphertext,
        key.encryption_key_id.as_uuid(),
        ALGORITHM,
        key.sealed.nonce.as_slice(),
        key.sealed.tag.as_slice(),
        key.exportable,
        created_by.map(UserId::as_uuid),
        created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
