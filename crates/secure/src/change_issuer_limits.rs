//! Changing what an issuer may sign: the act that a core which was taken over would want most, so it
//! takes a proof that a person gave a code for exactly this change.
//!
//! The hash that the proof must name is computed here, over what was received. The operator of the
//! machine, who can read the master key, needs no proof; the event says so.

use std::sync::Arc;

use clm_domain::audit::SecureEvent;
use clm_domain::error::{ErrorKind, Fault, Violation};
use clm_secure_api::command::{ChangeIssuerLimits, IssuerLimitsChange};
use clm_secure_api::{CallContext, Reply};
use serde_json::{Value, json};

use crate::Secure;
use crate::audit::{RefusedAct, Stamp, cause, row};
use crate::error::Failure;
use crate::key_rotation::check_reason;
use crate::step_up::step_up_invalid;
use crate::store::issuer_limits::{DescribeLimits, NewLimits, NotChanged};

/// Most limits of an issuer, in bytes of JSON.
const LIMITS_BYTES_MAX: usize = 64 * 1_024;
/// Longest validity that limits may name, in seconds: a hundred years.
const VALIDITY_SECONDS_MAX: u64 = 36_525 * 86_400;

impl Secure {
    /// Carries out [`ChangeIssuerLimits`].
    pub(crate) async fn change_issuer_limits(
        &self,
        context: &CallContext,
        command: ChangeIssuerLimits,
    ) -> Result<Reply, Failure> {
        let issuer_id = command.change.issuer_id;
        let failure = match self.change_limits(context, &command).await {
            Ok(()) => {
                self.issuers.forget_usable();
                let issuer = self
                    .issuers
                    .load(context.organization_id, issuer_id)
                    .await?;
                return Ok(Reply::CertificateAuthority(Box::new(issuer.to_reply())));
            }
            Err(failure) => failure,
        };
        let act = RefusedAct {
            event: SecureEvent::IssuerLimitsChanged,
            resource_id: Some(issuer_id.as_uuid()),
            details: json!({ "stated_reason": command.change.reason }),
        };
        Err(self.audited(context, act, failure).await)
    }

    async fn change_limits(
        &self,
        context: &CallContext,
        command: &ChangeIssuerLimits,
    ) -> Result<(), Failure> {
        let change = &command.change;
        let about = (ChangeIssuerLimits::NAME, change);
        let stepped_up = self.stepped_up(context, command.proof.as_ref(), about)?;
        check_reason(Some(&change.reason))?;
        let limits_json = check_limits(change)?;
        let describe = self.describe_change(context, change, (&limits_json, stepped_up.word()));
        let new = NewLimits {
            issuer_id: change.issuer_id,
            organization_id: context.organization_id,
            limits: change.limits.clone(),
            limits_json,
            revision: change.revision,
            proof: stepped_up.proof().cloned(),
            now: self.clock.now(),
            describe,
        };
        let changed = self.store.change_issuer_limits(new).await;
        changed.map_err(|refused| refusal(refused, change))
    }

    fn describe_change(
        &self,
        context: &CallContext,
        change: &IssuerLimitsChange,
        (after, stepped_up): (&Value, &'static str),
    ) -> DescribeLimits {
        let (context, after) = (context.clone(), after.clone());
        let (now, rng) = (self.clock.now(), Arc::clone(&self.rng));
        let (id, reason) = (change.issuer_id, change.reason.clone());
        let revision = change.revision + 1;
        Arc::new(move |before| {
            let details = json!({
                "before": before,
                "after": after,
                "revision": revision,
                "stated_reason": reason,
                "step_up": stepped_up,
            });
            let rng = rng.as_ref();
            let event = SecureEvent::IssuerLimitsChanged;
            let stamp = Stamp { now, rng };
            row(event, &cause(&context), Some(id.as_uuid()), details, stamp)
        })
    }
}

fn check_limits(change: &IssuerLimitsChange) -> Result<Value, Failure> {
    let limits = &change.limits;
    if !(1..=VALIDITY_SECONDS_MAX).contains(&limits.validity_seconds_max) {
        let message = format!("The longest validity is 1 to {VALIDITY_SECONDS_MAX} seconds.");
        let field = "limits.validity_seconds_max";
        return Err(Fault::invalid("limits_invalid", field, message).into());
    }
    if limits.key_algorithms.is_empty() {
        let message = "Name at least one key algorithm.";
        let field = "limits.key_algorithms";
        return Err(Fault::invalid("limits_invalid", field, message).into());
    }
    let json =
        serde_json::to_value(limits).map_err(|error| Failure::Internal(error.to_string()))?;
    if json.to_string().len() > LIMITS_BYTES_MAX {
        let message = format!("The limits have more than {LIMITS_BYTES_MAX} bytes.");
        return Err(Fault::invalid("limits_too_large", "limits", message).into());
    }
    Ok(json)
}

fn refusal(refused: NotChanged, change: &IssuerLimitsChange) -> Failure {
    let violates = |message: String, violations: Vec<Violation>| {
        let mut fault = Fault::new(ErrorKind::PolicyViolation, "limits_not_nested", message);
        fault.violations = violations;
        fault
    };
    let fault = match refused {
        NotChanged::Database(error) => return error.into(),
        NotChanged::ProofInvalid => step_up_invalid(),
        NotChanged::Unknown => Fault::not_found("certificate authority"),
        NotChanged::Revision(revision) => {
            let message = format!(
                "The certificate authority was changed meanwhile: it has revision {revision}, not \
                 {}. Read its limits again.",
                change.revision
            );
            Fault::new(ErrorKind::Conflict, "revision_changed", message)
        }
        NotChanged::Above(name, violations) => {
            let message = format!(
                "The limits allow more than those of the certificate authority '{name}' above."
            );
            violates(message, violations)
        }
        NotChanged::Below(name, violations) => {
            let below = name.map_or_else(
                || "a certificate authority of another organization".to_owned(),
                |name| format!("the certificate authority '{name}'"),
            );
            let message = format!(
                "Below this one is {below}, whose limits allow more than these. Narrow it first."
            );
            violates(message, violations)
        }
    };
    fault.into()
}
