//! Changing the limits of an issuer: the proof is used up, the limits are compared with those above
//! and below, and issuer and audit log are written, in one transaction.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::DatabaseError;
use clm_database::transaction::Abort;
use clm_domain::audit::AuditRow;
use clm_domain::error::Violation;
use clm_domain::ids::{IssuerId, OrganizationId};
use clm_domain::issuer_limits::IssuerLimits;
use serde_json::Value;
use sqlx::PgConnection;

use super::issuers::list_chains;
use super::step_up_proofs::{self, ProofUse};
use super::{ISSUERS, SecureStore, audit, json};

/// The advisory lock under which limits change: two changes at once, above and below, would each be
/// compared with what the other one replaces.
const LIMITS_LOCK: i64 = 0x636c_6d5f_6c69_6d31;

/// The limits that an issuer shall have.
pub(crate) struct NewLimits {
    pub(crate) issuer_id: IssuerId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) limits: IssuerLimits,
    pub(crate) limits_json: Value,
    pub(crate) revision: i64,
    /// Absent for those who need none.
    pub(crate) proof: Option<ProofUse>,
    pub(crate) now: DateTime<Utc>,
    /// Makes the audit row; told the limits before.
    pub(crate) describe: DescribeLimits,
}

/// Makes the audit row of a change from the limits before.
pub(crate) type DescribeLimits = Arc<dyn Fn(&Value) -> AuditRow + Send + Sync>;

/// Limits were not changed; nothing was, and the proof is as good as before.
#[derive(Debug)]
pub(crate) enum NotChanged {
    /// The proof is none, used, expired, or another's.
    ProofInvalid,
    /// The organization owns no such issuer.
    Unknown,
    /// It has another revision.
    Revision(i64),
    /// They allow more than those of the issuer above that is named.
    Above(String, Vec<Violation>),
    /// Those of an issuer below allow more; it is named when it is of the same organization.
    Below(Option<String>, Vec<Violation>),
    /// The database.
    Database(DatabaseError),
}

impl From<DatabaseError> for NotChanged {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl SecureStore {
    /// Changes the limits of an issuer.
    pub(crate) async fn change_issuer_limits(&self, new: NewLimits) -> Result<(), NotChanged> {
        let new = Arc::new(new);
        self.pool
            .transact("change issuer limits", ISSUERS, |connection| {
                let new = Arc::clone(&new);
                Box::pin(async move {
                    if let Some(proof) = &new.proof
                        && !step_up_proofs::use_up(connection, proof, new.now).await?
                    {
                        return Err(Abort::Caller(NotChanged::ProofInvalid));
                    }
                    let before = lock(connection, &new).await?;
                    compare_above(connection, &new).await?;
                    compare_below(connection, &new).await?;
                    update(connection, &new).await?;
                    audit::insert(connection, &(new.describe)(&before)).await?;
                    Ok::<_, Abort<NotChanged>>(())
                })
            })
            .await
    }
}

/// The limits of the issuer as they are, when it has the expected revision.
async fn lock(connection: &mut PgConnection, new: &NewLimits) -> Result<Value, Abort<NotChanged>> {
    sqlx::query_scalar!(
        r#"-- issuer_limits::serialize
        SELECT pg_advisory_xact_lock($1)::text"#,
        LIMITS_LOCK,
    )
    .fetch_one(&mut *connection)
    .await?;
    let found = sqlx::query!(
        r#"-- issuer_limits::lock
        SELECT limits, revision FROM issuers
        WHERE organization_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE"#,
        new.organization_id.as_uuid(),
        new.issuer_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    match found {
        None => Err(Abort::Caller(NotChanged::Unknown)),
        Some(row) if row.revision != new.revision => {
            Err(Abort::Caller(NotChanged::Revision(row.revision)))
        }
        Some(row) => Ok(row.limits),
    }
}

async fn compare_above(
    connection: &mut PgConnection,
    new: &NewLimits,
) -> Result<(), Abort<NotChanged>> {
    let chain = list_chains(connection, &[new.issuer_id.as_uuid()]).await;
    let chain = chain.map_err(|error| match error {
        Abort::Statement(error) => Abort::Statement(error),
        Abort::Caller(error) => Abort::Caller(NotChanged::Database(error)),
    })?;
    for (_, depth, link) in chain {
        let violations = match depth {
            0 => Vec::new(),
            _ => new.limits.is_within(&link.limits),
        };
        if !violations.is_empty() {
            return Err(Abort::Caller(NotChanged::Above(link.name, violations)));
        }
    }
    Ok(())
}

/// Bounded as deep as [`list_chains`].
async fn compare_below(
    connection: &mut PgConnection,
    new: &NewLimits,
) -> Result<(), Abort<NotChanged>> {
    let below = sqlx::query!(
        r#"-- issuer_limits::list_below
        WITH RECURSIVE below AS (
            SELECT i.id, 1 AS depth FROM issuers i WHERE i.parent_issuer_id = $1
            UNION ALL
            SELECT i.id, below.depth + 1
            FROM below JOIN issuers i ON i.parent_issuer_id = below.id
            WHERE below.depth < 16
        )
        SELECT i.name, i.organization_id, i.limits
        FROM below JOIN issuers i ON i.id = below.id
        WHERE i.deleted_at IS NULL ORDER BY below.depth, i.id"#,
        new.issuer_id.as_uuid(),
    )
    .fetch_all(connection)
    .await?;
    for row in below {
        let limits: IssuerLimits =
            json("issuers.limits", row.limits).map_err(|error| Abort::Caller(error.into()))?;
        let violations = limits.is_within(&new.limits);
        if !violations.is_empty() {
            let is_own = row.organization_id == new.organization_id.as_uuid();
            let name = is_own.then_some(row.name);
            return Err(Abort::Caller(NotChanged::Below(name, violations)));
        }
    }
    Ok(())
}

async fn update(connection: &mut PgConnection, new: &NewLimits) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"-- issuer_limits::update
        UPDATE issuers SET limits = $3, revision = revision + 1
        WHERE organization_id = $1 AND id = $2"#,
        new.organization_id.as_uuid(),
        new.issuer_id.as_uuid(),
        new.limits_json,
    )
    .execute(connection)
    .await?;
    Ok(())
}
