//! Rows of `step_up_proofs`: what was proved for which request, and whether that was used.

use chrono::{DateTime, Utc};
use clm_domain::ids::{OrganizationId, SessionId, UserId};
use sqlx::PgConnection;

/// A proof as it is known by: everything that must be the same when it is used.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    pub(crate) proof_sha256: [u8; 32],
    pub(crate) organization_id: OrganizationId,
    pub(crate) user_id: UserId,
    pub(crate) session_id: SessionId,
    pub(crate) request_sha256: [u8; 32],
}

/// Records a proof that is given out (system scope: the audit event belongs to the home of its user).
pub(crate) async fn insert(
    connection: &mut PgConnection,
    proof: &Proof,
    (now, expires_at): (DateTime<Utc>, DateTime<Utc>),
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- step_up_proofs::insert
        INSERT INTO step_up_proofs (
            proof_sha256, organization_id, user_id, session_id, request_sha256, expires_at,
            created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)",
        proof.proof_sha256.as_slice(),
        proof.organization_id.as_uuid(),
        proof.user_id.as_uuid(),
        proof.session_id.as_uuid(),
        proof.request_sha256.as_slice(),
        expires_at,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Uses a proof up; false when it is not good for this request, or not any more. Of two who come with
/// it at once, the second waits for the first and finds it used.
pub(crate) async fn use_up(
    connection: &mut PgConnection,
    proof: &Proof,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- step_up_proofs::use_up
        UPDATE step_up_proofs SET used_at = $6
        WHERE proof_sha256 = $1 AND organization_id = $2 AND user_id = $3 AND session_id = $4
          AND request_sha256 = $5 AND used_at IS NULL AND expires_at > $6",
        proof.proof_sha256.as_slice(),
        proof.organization_id.as_uuid(),
        proof.user_id.as_uuid(),
        proof.session_id.as_uuid(),
        proof.request_sha256.as_slice(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
