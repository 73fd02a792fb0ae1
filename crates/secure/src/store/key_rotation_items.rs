//! The items that a rotation moves: read under the keys that are left, sealed anew, written under the
//! new one.

use clm_database::DatabaseError;
use clm_domain::ids::EncryptionKeyId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::key_rotation_batches::{DueRotation, Reseal};
use super::{SealedColumns, word};
use crate::data_keys::Item;
use crate::envelope::Sealed;

/// A private key, or, with a purpose, a secret.
pub(super) struct ItemRow {
    pub(super) id: Uuid,
    encryption_key_id: Uuid,
    purpose: Option<String>,
    material: Option<Vec<u8>>,
    encryption_iv: Option<Vec<u8>>,
    encryption_auth_tag: Option<Vec<u8>>,
    encryption_algorithm: Option<String>,
}

/// Items that were sealed anew, and those that do not open.
#[derive(Default)]
pub(super) struct Resealed {
    pub(super) private_keys: Columns,
    pub(super) secrets: Columns,
    pub(super) failed: Vec<Uuid>,
    /// Of those that failed, the ones under the key that is being left. What an earlier rotation has
    /// left behind was its failure.
    pub(super) failed_now: Vec<Uuid>,
}

/// What was sealed anew in one table, column by column.
#[derive(Default)]
pub(super) struct Columns {
    ids: Vec<Uuid>,
    left: Vec<Uuid>,
    materials: Vec<Vec<u8>>,
    nonces: Vec<Vec<u8>>,
    tags: Vec<Vec<u8>>,
}

pub(super) fn seal_anew(rows: Vec<ItemRow>, from: EncryptionKeyId, reseal: &Reseal) -> Resealed {
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

/// The next items under the keys that are left, deleted ones too: who restores one must be able to open
/// it.
pub(super) async fn page(
    connection: &mut PgConnection,
    due: &DueRotation,
    (left, cursor): (&[Uuid], Option<Uuid>),
    limit: i64,
) -> Result<Vec<ItemRow>, sqlx::Error> {
    // For each key, each table is read by its own index and no further than the page.
    sqlx::query_as!(
        ItemRow,
        r#"-- key_rotation_items::page
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

pub(super) async fn move_keys(
    connection: &mut PgConnection,
    due: &DueRotation,
    resealed: &Columns,
) -> Result<u64, sqlx::Error> {
    if resealed.ids.is_empty() {
        return Ok(0);
    }
    let moved = sqlx::query!(
        r#"-- key_rotation_items::move
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

pub(super) async fn move_secrets(
    connection: &mut PgConnection,
    due: &DueRotation,
    resealed: &Columns,
) -> Result<u64, sqlx::Error> {
    if resealed.ids.is_empty() {
        return Ok(0);
    }
    let moved = sqlx::query!(
        r#"-- key_rotation_items::move_secrets
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
pub(super) async fn expose(
    connection: &mut PgConnection,
    due: &DueRotation,
    ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"-- key_rotation_items::expose
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
