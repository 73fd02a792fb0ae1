//! Using `step_up_proofs`: a proof is used up by the statement that finds it good, in the transaction of
//! the act. They are made in [`super::totp_factors`].

use chrono::{DateTime, Utc};
use clm_database::DatabaseError;
use clm_database::transaction::Abort;
use clm_domain::ids::{SessionId, UserId};
use sqlx::PgConnection;

use super::{STEP_UP, SecureStore};

/// A proof that somebody came with.
#[derive(Clone, Debug)]
pub(crate) struct ProofUse {
    pub(crate) proof_sha256: [u8; 32],
    pub(crate) user_id: UserId,
    pub(crate) session_id: SessionId,
    pub(crate) request_sha256: [u8; 32],
}

/// Uses a proof up; false when it is not good for this act, or not any more.
pub(super) async fn use_up(
    connection: &mut PgConnection,
    proof: &ProofUse,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let used = sqlx::query!(
        r#"-- step_up_proofs::use_up
        UPDATE step_up_proofs SET used_at = $5
        WHERE proof_sha256 = $1 AND user_id = $2 AND session_id = $3 AND request_sha256 = $4
          AND used_at IS NULL AND expires_at > $5
          AND EXISTS (
              SELECT FROM totp_factors f
              WHERE f.user_id = $2 AND f.status = 'active' AND f.deleted_at IS NULL)"#,
        proof.proof_sha256.as_slice(),
        proof.user_id.as_uuid(),
        proof.session_id.as_uuid(),
        proof.request_sha256.as_slice(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(used.rows_affected() > 0)
}

impl SecureStore {
    /// Whether a proof would be good for this act now. It is not used up.
    pub(crate) async fn is_proof_good(
        &self,
        proof: &ProofUse,
        now: DateTime<Utc>,
    ) -> Result<bool, DatabaseError> {
        let proof = proof.clone();
        self.pool
            .transact("look at step-up proof", STEP_UP, move |connection| {
                let proof = proof.clone();
                Box::pin(async move {
                    let good = sqlx::query_scalar!(
                        r#"-- step_up_proofs::is_good
                        SELECT EXISTS (
                            SELECT FROM step_up_proofs
                            WHERE proof_sha256 = $1 AND user_id = $2 AND session_id = $3
                              AND request_sha256 = $4 AND used_at IS NULL AND expires_at > $5)
                            AS "good!""#,
                        proof.proof_sha256.as_slice(),
                        proof.user_id.as_uuid(),
                        proof.session_id.as_uuid(),
                        proof.request_sha256.as_slice(),
                        now,
                    )
                    .fetch_one(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(good)
                })
            })
            .await
    }
}
