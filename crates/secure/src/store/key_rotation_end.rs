//! Ending a rotation: the key that was left goes out of use, and history and audit log say how it
//! went.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::DatabaseError;
use clm_database::transaction::Abort;
use clm_domain::audit::AuditRow;
use clm_domain::states::{EncryptionKeyStatus, KeyRotationStatus};
use clm_secure_api::reply::KeyRotation;
use sqlx::PgConnection;

use super::key_rotation_batches::{DueRotation, lease, left_keys};
use super::key_rotations::KeyRotationRow;
use super::{KEY_ROTATION, SecureStore, audit};

/// Makes the audit row of a rotation that has ended.
pub(crate) type DescribeEnd = Arc<dyn Fn(&KeyRotation) -> AuditRow + Send + Sync>;

impl SecureStore {
    /// Ends a rotation after its last pass, or at once with `failure`. None when it goes on: it
    /// was cancelled, or something was sealed under the old key meanwhile.
    pub(crate) async fn end_rotation(
        &self,
        due: &DueRotation,
        failure: Option<&str>,
        now: DateTime<Utc>,
        describe: &DescribeEnd,
    ) -> Result<Option<KeyRotation>, DatabaseError> {
        let failure: Option<Arc<str>> = failure.map(Arc::from);
        self.pool
            .transact("end key rotation", KEY_ROTATION, |connection| {
                let (due, failure) = (due.clone(), failure.clone());
                let describe = Arc::clone(describe);
                Box::pin(async move {
                    let Some(progress) = lease(connection, &due, now).await? else {
                        return Ok(None);
                    };
                    lock_left_key(connection, &due).await?;
                    let has_failed = failure.is_some() || progress.items_failed > 0;
                    if failure.is_none()
                        && remaining(connection, &due).await? > progress.items_failed
                    {
                        begin_again(connection, &due).await?;
                        return Ok(None);
                    }
                    retire(connection, &due, has_failed, now).await?;
                    let message = failure.as_deref().or(progress.error_message.as_deref());
                    let row =
                        end(connection, &due, (ending(&due, has_failed), message), now).await?;
                    let ended = row.into_rotation().map_err(Abort::Caller)?;
                    audit::insert(connection, &describe(&ended)).await?;
                    Ok(Some(ended))
                })
            })
            .await
    }
}

const fn ending(due: &DueRotation, has_failed: bool) -> KeyRotationStatus {
    match (has_failed, due.is_rollback) {
        (true, _) => KeyRotationStatus::Failed,
        (false, true) => KeyRotationStatus::RolledBack,
        (false, false) => KeyRotationStatus::Completed,
    }
}

/// Waits for those who are just inserting under the key that is left (the trigger of `private_keys`
/// locks it), so that they are counted, and keeps others waiting until the key has its new status.
async fn lock_left_key(
    connection: &mut PgConnection,
    due: &DueRotation,
) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!(
        r#"-- key_rotation_batches::lock_left_key
        SELECT id FROM encryption_keys WHERE organization_id = $1 AND id = $2 FOR UPDATE"#,
        due.organization_id.as_uuid(),
        due.from.as_uuid(),
    )
    .fetch_optional(connection)
    .await
    .map(|_id| ())
}

/// How many keys are still under the old key.
async fn remaining(connection: &mut PgConnection, due: &DueRotation) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"-- key_rotation_batches::remaining
        SELECT (SELECT count(*) FROM private_keys
                WHERE organization_id = $1 AND encryption_key_id = $2)
             + (SELECT count(*) FROM sealed_secrets
                WHERE organization_id = $1 AND encryption_key_id = $2) AS "count!""#,
        due.organization_id.as_uuid(),
        due.from.as_uuid(),
    )
    .fetch_one(connection)
    .await
}

async fn begin_again(connection: &mut PgConnection, due: &DueRotation) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"-- key_rotation_batches::begin_again
        UPDATE key_rotation_history SET cursor_private_key_id = NULL, pass_started_at = NULL
        WHERE organization_id = $1 AND id = $2"#,
        due.organization_id.as_uuid(),
        due.id.as_uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The key that was left goes out of use. One that is compromised opens nothing any more, unless
/// something is still sealed under it, and with it those before it that were left as well.
async fn retire(
    connection: &mut PgConnection,
    due: &DueRotation,
    has_failed: bool,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let is_revoked = due.exposes() && !has_failed;
    let status = if is_revoked {
        EncryptionKeyStatus::Revoked
    } else {
        EncryptionKeyStatus::Retired
    };
    sqlx::query!(
        r#"-- key_rotation_batches::retire
        UPDATE encryption_keys SET status = $3, retired_at = $4, revoked_at = $5
        WHERE organization_id = $1 AND id = $2 AND status = 'rotating'"#,
        due.organization_id.as_uuid(),
        due.from.as_uuid(),
        status.as_str(),
        now,
        is_revoked.then_some(now),
    )
    .execute(&mut *connection)
    .await?;
    if is_revoked {
        revoke_earlier(connection, due, now).await?;
    }
    Ok(())
}

async fn revoke_earlier(
    connection: &mut PgConnection,
    due: &DueRotation,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let left = left_keys(connection, due).await?;
    sqlx::query!(
        r#"-- key_rotation_batches::revoke_earlier
        UPDATE encryption_keys k SET status = 'revoked', revoked_at = $3
        WHERE k.organization_id = $1 AND k.id = ANY ($2) AND k.status = 'retired'
          AND NOT EXISTS (SELECT FROM private_keys p
            WHERE p.organization_id = $1 AND p.encryption_key_id = k.id)
          AND NOT EXISTS (SELECT FROM sealed_secrets s
            WHERE s.organization_id = $1 AND s.encryption_key_id = k.id)"#,
        due.organization_id.as_uuid(),
        &left,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn end(
    connection: &mut PgConnection,
    due: &DueRotation,
    (status, message): (KeyRotationStatus, Option<&str>),
    now: DateTime<Utc>,
) -> Result<KeyRotationRow, sqlx::Error> {
    sqlx::query_as!(
        KeyRotationRow,
        r#"-- key_rotation_batches::end
        UPDATE key_rotation_history
        SET status = $3, error_message = $4, completed_at = greatest(started_at, $5)
        WHERE organization_id = $1 AND id = $2
        RETURNING id, organization_id, rotation_type, status, old_encryption_key_id,
            new_encryption_key_id, initiated_by_user_id, reason, items_total, items_processed,
            items_failed, items_rolled_back, items_per_second_max, started_at,
            rollback_started_at, completed_at, error_message"#,
        due.organization_id.as_uuid(),
        due.id.as_uuid(),
        status.as_str(),
        message,
        now,
    )
    .fetch_one(connection)
    .await
}
