//! One's own second factor. The secret and the judgement are the Secure Service's; here it is only found out who asks.

use clm_domain::actor::Actor;
use clm_domain::audit::{AuditRow, Cause, CoreEvent};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, SessionId, UserId};
use clm_domain::secret::SecretString;
use clm_secure_api::command::{ActivateTotp, EnrolTotp, FindSecondFactor, RemoveTotp, ResetTotp};
pub use clm_secure_api::reply::TotpEnrolment;
use clm_secure_api::{CallContext, SecureError};
use serde_json::json;

use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::store::users::find_home;
use crate::{Core, access, audit};
use clm_database::Scope;

/// A person with a session. The home organization is the tenant of the second factor, whatever
/// organization the session is active in.
pub(crate) struct Person {
    pub(crate) user_id: UserId,
    pub(crate) session_id: SessionId,
    username: String,
    pub(crate) home_organization_id: OrganizationId,
}

/// Makes a second factor for the acting person. It counts once a first code has come.
///
/// # Errors
/// `Invalid` with code `no_session` for API keys; `Conflict` when one is in force.
pub async fn enrol(context: &OpContext, core: &Core) -> Result<(UserId, TotpEnrolment)> {
    let person = person(context, core).await?;
    let command = EnrolTotp {
        label: person.username.clone(),
    };
    let call = person.call(context);
    let enrolled = core.secure.enrol_totp(call, command).await;
    let enrolled = person
        .record(context, core, CoreEvent::TotpEnrolled, enrolled)
        .await?;
    Ok((person.user_id, enrolled))
}

/// Puts the second factor of the acting person into force.
///
/// # Errors
/// `Invalid` for a wrong code; `RateLimited` after too many.
pub async fn activate(context: &OpContext, core: &Core, code: SecretString) -> Result<UserId> {
    let person = person(context, core).await?;
    let call = person.call(context);
    let done = core.secure.activate_totp(call, ActivateTotp { code }).await;
    person
        .record(context, core, CoreEvent::TotpActivated, done)
        .await?;
    Ok(person.user_id)
}

/// Removes the second factor of the acting person.
///
/// # Errors
/// `Invalid` for a wrong code; `RateLimited` after too many.
pub async fn remove(context: &OpContext, core: &Core, code: SecretString) -> Result<UserId> {
    let person = person(context, core).await?;
    let call = person.call(context);
    let done = core.secure.remove_totp(call, RemoveTotp { code }).await;
    person
        .record(context, core, CoreEvent::TotpRemoved, done)
        .await?;
    Ok(person.user_id)
}

/// Removes the second factor of a user who has lost it. The Secure Service takes that from the
/// operator of the machine alone. The context is of the user's home organization.
///
/// # Errors
/// `Forbidden` for everybody else; `Conflict` when there is none.
pub async fn reset(
    context: &OpContext,
    core: &Core,
    (user_id, reason): (UserId, String),
) -> Result<()> {
    let stated_reason: String = reason.chars().take(200).collect();
    let command = ResetTotp { user_id, reason };
    let done = core.secure.reset_totp(context.call(), command).await;
    let (now, rng) = (core.clock.now(), core.rng.as_ref());
    let id = Some(user_id.as_uuid());
    let row = AuditRow::success(CoreEvent::TotpReset, &context.cause(), id, now, rng)
        .with_details(json!({ "stated_reason": stated_reason }));
    let row = match &done {
        Ok(_) => row,
        Err(error) => row.refused(error.0.code.clone()),
    };
    audit::record(context, core, row).await?;
    done?;
    Ok(())
}

pub(crate) async fn person(context: &OpContext, core: &Core) -> Result<Person> {
    let (user_id, session_id) = match context.actor {
        Actor::User {
            user_id,
            session_id,
        } => (user_id, session_id),
        Actor::Anonymous => return Err(access::unauthenticated()),
        Actor::ApiKey { .. } | Actor::LocalOperator { .. } | Actor::System => {
            let message = "A second factor belongs to a person: sign in (clm login) first.";
            return Err(Fault::new(ErrorKind::Invalid, "no_session", message).into());
        }
    };
    if context.must_change_password {
        let message = "Change your password first.";
        let kind = ErrorKind::Forbidden;
        return Err(Fault::new(kind, "password_change_required", message).into());
    }
    let scope = Scope::System("a second factor belongs to the home organization");
    let found = core
        .pool
        .transact::<_, CoreError, _>("second_factor::person", scope, |connection| {
            Box::pin(async move { Ok(find_home(connection, user_id).await?) })
        })
        .await?;
    let (username, home_organization_id) = found.ok_or_else(access::unauthenticated)?;
    Ok(Person {
        user_id,
        session_id,
        username,
        home_organization_id,
    })
}

impl Person {
    pub(crate) fn call(&self, context: &OpContext) -> CallContext {
        CallContext {
            organization_id: self.home_organization_id,
            ..context.call()
        }
    }

    /// Whether a second factor is in force.
    pub(crate) async fn has_second_factor(&self, context: &OpContext, core: &Core) -> Result<bool> {
        let user_id = self.user_id;
        let command = FindSecondFactor { user_id };
        let found = core
            .secure
            .find_second_factor(self.call(context), command)
            .await?;
        Ok(found.is_active)
    }

    pub(crate) async fn record<T>(
        &self,
        context: &OpContext,
        core: &Core,
        event: CoreEvent,
        outcome: std::result::Result<T, SecureError>,
    ) -> Result<T> {
        let cause = Cause {
            organization_id: self.home_organization_id,
            ..context.cause()
        };
        let (now, rng) = (core.clock.now(), core.rng.as_ref());
        let id = Some(self.user_id.as_uuid());
        let row = AuditRow::success(event, &cause, id, now, rng);
        let row = match &outcome {
            Ok(_) => row,
            Err(error) => row.refused(error.0.code.clone()),
        };
        audit::record(context, core, row).await?;
        Ok(outcome?)
    }
}
