//! Rows for `secure_audit_log`. A row is written in the transaction of its act, or, for a refusal,
//! before the caller hears of it.

use chrono::{DateTime, Utc};
use clm_database::DatabaseError;
use clm_domain::actor::Actor;
use clm_domain::audit::{AuditRow, Cause, SecureEvent};
use clm_domain::clock::Rng;
use clm_domain::error::Fault;
use clm_domain::ids::OrganizationId;
use clm_secure_api::CallContext;
use serde_json::Value;
use uuid::Uuid;

use crate::Secure;
use crate::error::Failure;

/// Longest reason of a refusal, in characters: it may quote what a stranger sent.
const REASON_CHARACTERS_MAX: usize = 500;
/// Longest text within the details of a refusal, in characters.
const DETAIL_CHARACTERS_MAX: usize = 200;
/// Most items of a list within the details of a refusal.
const DETAIL_ITEMS_MAX: usize = 20;

/// When a row is made, and where its id comes from.
#[derive(Clone, Copy)]
pub(crate) struct Stamp<'a> {
    /// The moment, cut to milliseconds in the row.
    pub(crate) now: DateTime<Utc>,
    /// Random bits of the id.
    pub(crate) rng: &'a dyn Rng,
}

/// Who asked for what, taken from the context of a command.
pub(crate) const fn cause(context: &CallContext) -> Cause<'_> {
    Cause {
        actor: &context.actor,
        organization_id: context.organization_id,
        request_id: context.request_id,
    }
}

/// The same cause for an act in another organization, such as that of a shared certificate
/// authority.
pub(crate) const fn cause_in<'a>(cause: &Cause<'a>, organization_id: OrganizationId) -> Cause<'a> {
    Cause {
        actor: cause.actor,
        organization_id,
        request_id: cause.request_id,
    }
}

/// The row of a successful act. `details` is an object.
pub(crate) fn row(
    event: SecureEvent,
    cause: &Cause<'_>,
    resource_id: Option<Uuid>,
    mut details: Value,
    stamp: Stamp<'_>,
) -> AuditRow {
    // The columns have no place for the operating-system user.
    if let (Actor::LocalOperator { uid }, Some(fields)) = (cause.actor, details.as_object_mut()) {
        fields.insert("local_operator_uid".to_owned(), Value::from(*uid));
    }
    AuditRow::success(event, cause, resource_id, stamp.now, stamp.rng).with_details(details)
}

/// The operating-system user in the details that [`row`] wrote.
pub(crate) fn local_operator_uid(details: &Value) -> Option<u32> {
    details.get("local_operator_uid")?.as_u64()?.try_into().ok()
}

/// An act that was refused or failed.
pub(crate) struct RefusedAct {
    /// The event that tells of it.
    pub(crate) event: SecureEvent,
    /// What it was about, where that exists.
    pub(crate) resource_id: Option<Uuid>,
    /// An object that says more.
    pub(crate) details: Value,
}

impl Secure {
    /// Records that an act was refused, with the fault's code, and returns once that is committed.
    ///
    /// # Errors
    /// [`Failure::Audit`]: then the caller must not be told of the refusal as if it were settled.
    pub(crate) async fn record_refusal(
        &self,
        context: &CallContext,
        mut act: RefusedAct,
        fault: &Fault,
    ) -> Result<(), Failure> {
        describe_fault(&mut act.details, fault);
        self.record_unsuccessful(context, act, &fault.message).await
    }

    /// Records how an attempt ended that was not carried out, and returns what its caller hears.
    ///
    /// That is the failure itself, or [`Failure::Audit`] where its row could not be written. A
    /// failure without a row is one of the database itself, which would take no row either, or one
    /// whose outcome is open.
    pub(crate) async fn audited(
        &self,
        context: &CallContext,
        mut act: RefusedAct,
        failure: Failure,
    ) -> Failure {
        let recorded = match (&failure, code_of_failure(&failure)) {
            (Failure::Refused(fault), _) => self.record_refusal(context, act, fault).await,
            (_, None) => return failure,
            (_, Some(code)) => {
                if let Some(details) = act.details.as_object_mut() {
                    details.insert("code".to_owned(), Value::from(code));
                }
                let reason = failure.to_string();
                self.record_unsuccessful(context, act, &reason).await
            }
        };
        recorded.err().unwrap_or(failure)
    }

    async fn record_unsuccessful(
        &self,
        context: &CallContext,
        act: RefusedAct,
        reason: &str,
    ) -> Result<(), Failure> {
        let stamp = Stamp {
            now: self.clock.now(),
            rng: self.rng.as_ref(),
        };
        let row = unsuccessful_row(&cause(context), act, reason, stamp);
        self.store.record_audit(&row).await.map_err(Failure::Audit)
    }
}

/// The row of a refusal, with the fault's code.
pub(crate) fn refusal_row(
    cause: &Cause<'_>,
    mut act: RefusedAct,
    fault: &Fault,
    stamp: Stamp<'_>,
) -> AuditRow {
    describe_fault(&mut act.details, fault);
    unsuccessful_row(cause, act, &fault.message, stamp)
}

fn unsuccessful_row(
    cause: &Cause<'_>,
    act: RefusedAct,
    reason: &str,
    stamp: Stamp<'_>,
) -> AuditRow {
    let details = storable(act.details);
    row(act.event, cause, act.resource_id, details, stamp)
        .refused(legible(reason, REASON_CHARACTERS_MAX))
}

fn describe_fault(details: &mut Value, fault: &Fault) {
    let Some(details) = details.as_object_mut() else {
        return;
    };
    details.insert("code".to_owned(), Value::from(fault.code.as_ref()));
    let violations = fault.violations.iter().take(DETAIL_ITEMS_MAX);
    let texts: Vec<Value> = violations
        .map(|one| Value::from(format!("{}: {}", one.field, one.message)))
        .collect();
    details.insert("violations".to_owned(), Value::Array(texts));
}

/// What the row of a failed attempt calls it; none where no row is written.
const fn code_of_failure(failure: &Failure) -> Option<&'static str> {
    match failure {
        Failure::Database(DatabaseError::Duplicate { .. }) => Some("already_exists"),
        Failure::Database(DatabaseError::ConstraintViolated { .. }) => Some("constraint_violated"),
        Failure::Envelope(_) => Some("seal_unusable"),
        Failure::MasterKey(_) => Some("master_key_unusable"),
        _ => None,
    }
}

/// Text of a stranger that the table takes and that does no harm in a terminal: PostgreSQL refuses
/// NUL, and the row with it.
fn legible(text: &str, characters_max: usize) -> String {
    text.chars()
        .take(characters_max)
        .map(|one| match one.is_control() {
            true => char::REPLACEMENT_CHARACTER,
            false => one,
        })
        .collect()
}

/// Details whose every text is [`legible`].
fn storable(details: Value) -> Value {
    match details {
        Value::String(text) => Value::String(legible(&text, DETAIL_CHARACTERS_MAX)),
        Value::Array(items) => items
            .into_iter()
            .take(DETAIL_ITEMS_MAX)
            .map(storable)
            .collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, storable(value)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests;
