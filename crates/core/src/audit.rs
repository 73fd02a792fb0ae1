//! Writing to `audit_log`: always in the transaction of the act; refusals in one of their own.
//! Without an audit row there is no act.

use clm_database::Scope;
use clm_domain::audit::AuditRow;
use clm_domain::error::ErrorKind;

use crate::Core;
use crate::context::OpContext;
use crate::error::Result;
use crate::store::audit_log;

/// Completes a row with what the request tells about its origin.
#[must_use]
pub fn with_origin(context: &OpContext, mut row: AuditRow) -> AuditRow {
    row.ip_address.clone_from(&context.request.ip_address);
    row.user_agent.clone_from(&context.request.user_agent);
    row
}

/// Records that an act was refused by its rules or the state of things, and gives the refusal back.
/// What names nothing, does not fit its fields or fails leaves no event.
///
/// # Errors
/// Those of `outcome`; `Upstream` when the refusal cannot be recorded.
pub async fn refusal<T>(
    context: &OpContext,
    core: &Core,
    row: &AuditRow,
    outcome: Result<T>,
) -> Result<T> {
    if let Err(error) = &outcome
        && matches!(
            error.kind(),
            ErrorKind::Conflict | ErrorKind::PolicyViolation | ErrorKind::Forbidden
        )
    {
        record(context, core, row.clone().refused(error.0.code.clone())).await?;
    }
    outcome
}

/// The event of an act that came to nothing: what it would have made does not exist.
#[must_use]
pub fn of_nothing(row: &AuditRow) -> AuditRow {
    AuditRow {
        resource_id: None,
        ..row.clone()
    }
}

/// Records an event that stands alone, such as a refusal.
///
/// # Errors
/// `Upstream` when the database is not available: then the caller must not go on.
pub async fn record(context: &OpContext, core: &Core, row: AuditRow) -> Result<()> {
    let row = with_origin(context, row);
    core.pool
        .transact(
            "audit::record",
            Scope::Organization(row.organization_id),
            |connection| {
                let row = row.clone();
                Box::pin(async move { Ok(audit_log::insert(connection, &row).await?) })
            },
        )
        .await
}
