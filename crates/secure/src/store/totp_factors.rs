//! `totp_factors` and `step_up_proofs`: which codes were used, how often a wrong one came, and what
//! a right one proved. Each decision is one statement about one row, so that it holds for all
//! processes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_database::{DatabaseError, Scope};
use clm_domain::audit::AuditRow;
use clm_domain::ids::{OrganizationId, SealedSecretId, SessionId, UserId};
use sqlx::PgConnection;

use super::sealed_secrets::{self, SecretRow, StoredSecret};
use super::{MAINTENANCE, SecureStore, audit};

/// Wrong codes in a row after which no code is judged for a while.
const FAILURES_MAX: i32 = 5;
/// How long that is at first, in seconds; each further wrong code doubles it.
const LOCK_SECONDS_MIN: f64 = 30.0;
/// How long it is at most, in seconds.
const LOCK_SECONDS_MAX: f64 = 3_600.0;
/// Most rows that one round of the upkeep removes.
const ROUND_MAX: i64 = 500;

/// A second factor.
#[derive(Clone, Debug)]
pub(crate) struct StoredTotp {
    pub(crate) secret: StoredSecret,
    pub(crate) is_active: bool,
    /// Until when a pending one may be activated.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) locked_until: Option<DateTime<Utc>>,
    pub(crate) backup_codes_left: u32,
}

/// A second factor that waits for its first code.
pub(crate) struct NewTotp {
    pub(crate) secret: StoredSecret,
    pub(crate) user_id: UserId,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) audit: AuditRow,
}

/// What a right code is used for.
pub(crate) enum TotpUse {
    /// It puts the factor into force, with the hashes of these backup codes.
    Activate(Vec<[u8; 32]>),
    /// It puts these backup codes in the place of those before.
    Renew(Vec<[u8; 32]>),
    /// Nothing else.
    Verify,
    /// It removes the factor.
    Remove,
    /// It gives a proof.
    StepUp(NewProof),
}

impl TotpUse {
    /// Whether the code is the first one.
    pub(crate) const fn activates(&self) -> bool {
        matches!(self, Self::Activate(_))
    }
}

/// What a right code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundCode {
    /// One of the device: the time step that it belongs to.
    Step(i64),
    /// The hash of a backup code, which has yet to be found.
    Backup([u8; 32]),
}

impl FoundCode {
    /// What an event says of it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Step(_) => "totp",
            Self::Backup(_) => "backup_code",
        }
    }
}

/// A proof to be given out.
pub(crate) struct NewProof {
    pub(crate) proof_sha256: [u8; 32],
    pub(crate) user_id: UserId,
    pub(crate) session_id: SessionId,
    pub(crate) request_sha256: [u8; 32],
    pub(crate) expires_at: DateTime<Utc>,
}

/// A right code.
pub(crate) struct RightCode {
    pub(crate) organization_id: OrganizationId,
    pub(crate) sealed_secret_id: SealedSecretId,
    pub(crate) code: FoundCode,
    pub(crate) now: DateTime<Utc>,
    pub(crate) used_for: TotpUse,
    pub(crate) audit: AuditRow,
}

/// What became of a right code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeOutcome {
    /// It was accepted, and is used up.
    Accepted,
    /// It, or a later one, was accepted before.
    Used,
    /// No code of the device is judged until then.
    Locked(DateTime<Utc>),
    /// There is no such backup code, or not any more.
    Unknown,
    /// The factor is not there any more, or in another state.
    Gone,
}

impl SecureStore {
    /// The second factor of a user of the organization, in force or not.
    pub(crate) async fn find_totp(
        &self,
        organization_id: OrganizationId,
        user_id: UserId,
    ) -> Result<Option<StoredTotp>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let row = self
            .pool
            .transact("find second factor", scope, |connection| {
                Box::pin(async move {
                    let row = sqlx::query!(
                        r#"-- totp_factors::find
                        SELECT s.id, s.organization_id, s.purpose, s.owner_id, s.encrypted_secret,
                            s.encryption_key_id, s.encryption_algorithm, s.encryption_iv,
                            s.encryption_auth_tag, s.created_at, f.status, f.expires_at,
                            f.locked_until, cardinality(f.backup_codes_sha256) AS "backup_codes_left!"
                        FROM totp_factors f
                        JOIN sealed_secrets s
                          ON s.organization_id = f.organization_id AND s.id = f.sealed_secret_id
                        WHERE f.organization_id = $1 AND f.user_id = $2 AND f.deleted_at IS NULL"#,
                        organization_id.as_uuid(),
                        user_id.as_uuid(),
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(row)
                })
            })
            .await?;
        let Some(row) = row else { return Ok(None) };
        let secret = SecretRow {
            id: row.id,
            organization_id: row.organization_id,
            purpose: row.purpose,
            owner_id: row.owner_id,
            encrypted_secret: row.encrypted_secret,
            encryption_key_id: row.encryption_key_id,
            encryption_algorithm: row.encryption_algorithm,
            encryption_iv: row.encryption_iv,
            encryption_auth_tag: row.encryption_auth_tag,
            created_at: row.created_at,
        };
        Ok(Some(StoredTotp {
            secret: secret.into_stored()?,
            is_active: row.status == "active",
            expires_at: row.expires_at,
            locked_until: row.locked_until,
            backup_codes_left: row.backup_codes_left.unsigned_abs(),
        }))
    }

    /// Writes a pending factor in the place of another pending one; false when one is in force.
    pub(crate) async fn insert_totp(&self, new: NewTotp) -> Result<bool, DatabaseError> {
        let new = Arc::new(new);
        let scope = Scope::Organization(new.secret.organization_id);
        self.pool
            .transact("enrol second factor", scope, |connection| {
                let new = Arc::clone(&new);
                Box::pin(async move {
                    let user = (new.secret.organization_id, new.user_id);
                    if !retire_pending(connection, user, new.secret.created_at).await? {
                        return Ok(false);
                    }
                    sealed_secrets::insert(connection, &new.secret).await?;
                    insert(connection, &new).await?;
                    audit::insert(connection, &new.audit).await?;
                    Ok::<_, Abort<DatabaseError>>(true)
                })
            })
            .await
    }

    /// Uses a right code up, and does what it is used for, in one transaction. Of all who come with
    /// one code, one is accepted.
    pub(crate) async fn use_code(&self, code: RightCode) -> Result<CodeOutcome, DatabaseError> {
        let code = Arc::new(code);
        let scope = Scope::Organization(code.organization_id);
        self.pool
            .transact("use code of second factor", scope, |connection| {
                let code = Arc::clone(&code);
                Box::pin(async move {
                    let refused = take(connection, &code).await?;
                    if let Some(refused) = refused {
                        return Ok(refused);
                    }
                    let factor = (code.organization_id, code.sealed_secret_id);
                    match &code.used_for {
                        TotpUse::Verify => {}
                        TotpUse::Activate(hashes) | TotpUse::Renew(hashes) => {
                            replace_backup_codes(connection, factor, hashes).await?;
                        }
                        TotpUse::Remove => retire(connection, factor, code.now).await?,
                        TotpUse::StepUp(proof) => {
                            insert_proof(connection, code.organization_id, proof, code.now).await?;
                        }
                    }
                    audit::insert(connection, &code.audit).await?;
                    Ok::<_, Abort<DatabaseError>>(CodeOutcome::Accepted)
                })
            })
            .await
    }

    /// Counts a wrong code; says until when no further one is judged, if so.
    pub(crate) async fn count_wrong_code(
        &self,
        (organization_id, id): (OrganizationId, SealedSecretId),
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, DatabaseError> {
        let scope = Scope::Organization(organization_id);
        let locked = self
            .pool
            .transact("count wrong code", scope, |connection| {
                Box::pin(async move {
                    // While it is locked nothing is judged, so nothing is counted either.
                    let locked = sqlx::query_scalar!(
                        r#"-- totp_factors::count_wrong_code
                        UPDATE totp_factors
                        SET failures = CASE WHEN locked_until > $3 THEN failures
                                ELSE least(failures + 1, 1000) END,
                            locked_until = CASE
                                WHEN locked_until > $3 THEN locked_until
                                WHEN failures + 1 >= $4 THEN $3 + interval '1 second'
                                    * least($6::float8, $5::float8
                                        * power(2, least(failures + 1 - $4, 20)))
                                END
                        WHERE organization_id = $1 AND sealed_secret_id = $2
                          AND deleted_at IS NULL
                        RETURNING locked_until"#,
                        organization_id.as_uuid(),
                        id.as_uuid(),
                        now,
                        FAILURES_MAX,
                        LOCK_SECONDS_MIN,
                        LOCK_SECONDS_MAX,
                    )
                    .fetch_optional(connection)
                    .await?;
                    Ok::<_, Abort<DatabaseError>>(locked)
                })
            })
            .await?;
        Ok(locked.flatten())
    }

    /// Removes the factor of a user without a code; false when there is none.
    pub(crate) async fn reset_totp(
        &self,
        factor: (OrganizationId, SealedSecretId),
        now: DateTime<Utc>,
        audit_row: AuditRow,
    ) -> Result<(), DatabaseError> {
        let audit_row = Arc::new(audit_row);
        self.pool
            .transact(
                "reset second factor",
                Scope::Organization(factor.0),
                |connection| {
                    let audit_row = Arc::clone(&audit_row);
                    Box::pin(async move {
                        retire(connection, factor, now).await?;
                        audit::insert(connection, &audit_row).await?;
                        Ok::<_, Abort<DatabaseError>>(())
                    })
                },
            )
            .await
    }

    /// Removes proofs that expired and factors that nobody activated in time.
    pub(crate) async fn remove_expired_factors(
        &self,
        now: DateTime<Utc>,
    ) -> Result<(), DatabaseError> {
        self.pool
            .transact("remove expired factors", MAINTENANCE, |connection| {
                Box::pin(async move {
                    sqlx::query!(
                        r#"-- totp_factors::remove_expired_proofs
                        DELETE FROM step_up_proofs WHERE proof_sha256 = ANY (ARRAY(
                            SELECT proof_sha256 FROM step_up_proofs
                            WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2))"#,
                        now,
                        ROUND_MAX,
                    )
                    .execute(&mut *connection)
                    .await?;
                    let expired = sqlx::query!(
                        r#"-- totp_factors::list_expired
                        SELECT organization_id, sealed_secret_id FROM totp_factors
                        WHERE status = 'pending' AND expires_at <= $1 AND deleted_at IS NULL
                        ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED"#,
                        now,
                        ROUND_MAX,
                    )
                    .fetch_all(&mut *connection)
                    .await?;
                    for row in expired {
                        let factor = (row.organization_id.into(), row.sealed_secret_id.into());
                        retire(connection, factor, now).await?;
                    }
                    Ok::<_, Abort<DatabaseError>>(())
                })
            })
            .await
    }
}

/// Uses the code up; says why not, if not.
async fn take(
    connection: &mut PgConnection,
    code: &RightCode,
) -> Result<Option<CodeOutcome>, sqlx::Error> {
    match code.code {
        FoundCode::Step(step) if take_step(connection, code, step).await? => Ok(None),
        FoundCode::Step(step) => Ok(Some(why_not(connection, code, step).await?)),
        FoundCode::Backup(hash) if take_backup_code(connection, code, &hash).await? => Ok(None),
        FoundCode::Backup(_) => Ok(Some(CodeOutcome::Unknown)),
    }
}

/// Takes a backup code out of those of a factor in force. Codes of the device are judged again from then
/// on: their owner has come.
async fn take_backup_code(
    connection: &mut PgConnection,
    code: &RightCode,
    hash: &[u8; 32],
) -> Result<bool, sqlx::Error> {
    let taken = sqlx::query!(
        r#"-- totp_factors::take_backup_code
        UPDATE totp_factors
        SET backup_codes_sha256 = array_remove(backup_codes_sha256, $3), failures = 0,
            locked_until = NULL
        WHERE organization_id = $1 AND sealed_secret_id = $2 AND deleted_at IS NULL
          AND status = 'active' AND $3 = ANY (backup_codes_sha256)"#,
        code.organization_id.as_uuid(),
        code.sealed_secret_id.as_uuid(),
        hash.as_slice(),
    )
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() > 0)
}

/// Puts backup codes in the place of those before.
async fn replace_backup_codes(
    connection: &mut PgConnection,
    (organization_id, id): (OrganizationId, SealedSecretId),
    hashes: &[[u8; 32]],
) -> Result<(), sqlx::Error> {
    let hashes: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.to_vec()).collect();
    sqlx::query!(
        r#"-- totp_factors::replace_backup_codes
        UPDATE totp_factors SET backup_codes_sha256 = $3
        WHERE organization_id = $1 AND sealed_secret_id = $2 AND deleted_at IS NULL"#,
        organization_id.as_uuid(),
        id.as_uuid(),
        &hashes,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Accepts a code whose step is later than that of any code before, unless codes are locked out.
async fn take_step(
    connection: &mut PgConnection,
    code: &RightCode,
    step: i64,
) -> Result<bool, sqlx::Error> {
    let activates = code.used_for.activates();
    let taken = sqlx::query!(
        r#"-- totp_factors::take_step
        UPDATE totp_factors
        SET last_step = $3, failures = 0, locked_until = NULL, status = 'active',
            activated_at = coalesce(activated_at, $4), expires_at = NULL
        WHERE organization_id = $1 AND sealed_secret_id = $2 AND deleted_at IS NULL
          AND (last_step IS NULL OR last_step < $3)
          AND (locked_until IS NULL OR locked_until <= $4)
          AND CASE WHEN $5::boolean THEN status = 'pending' AND expires_at > $4
              ELSE status = 'active' END"#,
        code.organization_id.as_uuid(),
        code.sealed_secret_id.as_uuid(),
        step,
        code.now,
        activates,
    )
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() > 0)
}

/// Why [`take_step`] took nothing.
async fn why_not(
    connection: &mut PgConnection,
    code: &RightCode,
    step: i64,
) -> Result<CodeOutcome, sqlx::Error> {
    let found = sqlx::query!(
        r#"-- totp_factors::why_not
        SELECT last_step, locked_until FROM totp_factors
        WHERE organization_id = $1 AND sealed_secret_id = $2 AND deleted_at IS NULL"#,
        code.organization_id.as_uuid(),
        code.sealed_secret_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(match found {
        None => CodeOutcome::Gone,
        Some(row) => match row.locked_until.filter(|until| *until > code.now) {
            Some(until) => CodeOutcome::Locked(until),
            None if row.last_step.is_some_and(|last| last >= step) => CodeOutcome::Used,
            None => CodeOutcome::Gone,
        },
    })
}

/// Removes the pending factor of a user, if any; false when one is in force.
async fn retire_pending(
    connection: &mut PgConnection,
    (organization_id, user_id): (OrganizationId, UserId),
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query!(
        r#"-- totp_factors::lock
        SELECT sealed_secret_id, status FROM totp_factors
        WHERE organization_id = $1 AND user_id = $2 AND deleted_at IS NULL FOR UPDATE"#,
        organization_id.as_uuid(),
        user_id.as_uuid(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = found else { return Ok(true) };
    if row.status == "active" {
        return Ok(false);
    }
    let factor = (organization_id, row.sealed_secret_id.into());
    retire(connection, factor, now).await?;
    Ok(true)
}

/// Removes a factor, and destroys its secret.
async fn retire(
    connection: &mut PgConnection,
    (organization_id, id): (OrganizationId, SealedSecretId),
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"-- totp_factors::retire
        UPDATE totp_factors SET deleted_at = $3
        WHERE organization_id = $1 AND sealed_secret_id = $2 AND deleted_at IS NULL"#,
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
    )
    .execute(&mut *connection)
    .await?;
    sealed_secrets::destroy(connection, (organization_id, id), now).await?;
    Ok(())
}

async fn insert(connection: &mut PgConnection, new: &NewTotp) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"-- totp_factors::insert
        INSERT INTO totp_factors (sealed_secret_id, organization_id, user_id, status, expires_at,
            created_at, updated_at)
        VALUES ($1, $2, $3, 'pending', $4, $5, $5)"#,
        new.secret.id.as_uuid(),
        new.secret.organization_id.as_uuid(),
        new.user_id.as_uuid(),
        new.expires_at,
        new.secret.created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_proof(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    proof: &NewProof,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"-- totp_factors::insert_proof
        INSERT INTO step_up_proofs (proof_sha256, organization_id, user_id, session_id,
            request_sha256, expires_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)"#,
        proof.proof_sha256.as_slice(),
        organization_id.as_uuid(),
        proof.user_id.as_uuid(),
        proof.session_id.as_uuid(),
        proof.request_sha256.as_slice(),
        proof.expires_at,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
