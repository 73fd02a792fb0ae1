//! One's own second factor. The secret and the judgement are the Secure Service's; here it is only found
//! out who asks.

use std::sync::Arc;

use clm_database::Scope;
use clm_domain::actor::Actor;
use clm_domain::audit::{AuditRow, Cause, CoreEvent};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, SessionId, UserId};
use clm_domain::secret::SecretString;
use clm_secure_api::command::{
    ActivateTotp, EnrolTotp, FindSecondFactor, RemoveTotp, RenewBackupCodes, ResetTotp,
};
pub use clm_secure_api::reply::{SecondFactorStatus, TotpEnrolment};
use clm_secure_api::{CallContext, SecureError};
use serde_json::json;
use uuid::Uuid;

use crate::context::{OpContext, Owed};
use crate::error::{CoreError, Result};
use crate::sessions::NewSession;
use crate::sessions::renewal::Renewal;
use crate::store::users::find_home;
use crate::store::{audit_log, sessions};
use crate::{Core, access, audit};

/// A person with a session. The home organization is the tenant of the second factor, whatever
/// organization the session is active in.
pub(crate) struct Person {
    pub(crate) user_id: UserId,
    pub(crate) session_id: SessionId,
    username: String,
    pub(crate) home_organization_id: OrganizationId,
}

/// A second factor that was just put into force.
#[derive(Debug)]
pub struct Activated {
    /// Codes that stand for one of the device, each once. Shown once.
    pub backup_codes: Vec<SecretString>,
    /// The session, which goes on with new secrets.
    pub session: NewSession,
}

/// Whether the acting person has a second factor in force.
///
/// # Errors
/// `Invalid` with code `no_session` for API keys.
pub async fn find(context: &OpContext, core: &Core) -> Result<SecondFactorStatus> {
    let person = person(context, core, &[Owed::SecondFactorEnrolment]).await?;
    let command = FindSecondFactor {
        user_id: person.user_id,
    };
    let found = core
        .secure
        .find_second_factor(person.call(context), command);
    Ok(found.await?)
}

/// Makes a second factor for the acting person. It counts once a first code has come.
///
/// # Errors
/// `Invalid` with code `no_session` for API keys; `Conflict` when one is in force.
pub async fn enrol(context: &OpContext, core: &Core) -> Result<(UserId, TotpEnrolment)> {
    let person = person(context, core, &[Owed::SecondFactorEnrolment]).await?;
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

/// Puts the second factor of the acting person into force. The session goes on with new secrets; the
/// others of the person, which passed none, end.
///
/// # Errors
/// `Invalid` for a wrong code; `RateLimited` after too many.
pub async fn activate(context: &OpContext, core: &Core, code: SecretString) -> Result<Activated> {
    let person = person(context, core, &[Owed::SecondFactorEnrolment]).await?;
    let (user_id, session_id) = (person.user_id, person.session_id);
    let call = person.call(context);
    let done = core.secure.activate_totp(call, ActivateTotp { code }).await;
    let about = (CoreEvent::TotpActivated, Some(user_id.as_uuid()));
    let row = person.row(context, core, about);
    let made = unless_refused(context, core, &row, done).await?;
    let change = Arc::new((Renewal::new(context, core, session_id), row));
    let scope = Scope::System("whoever gets a second factor loses the sessions without it");
    let session = core
        .pool
        .transact::<_, CoreError, _>("second_factor::activate", scope, |connection| {
            let change = Arc::clone(&change);
            Box::pin(async move {
                let (renewal, row) = change.as_ref();
                let session = renewal.carry_out(connection).await?;
                let spared = (0, Some(session_id));
                let ended = sessions::end_of_user(connection, user_id, renewal.now, spared).await?;
                let row = row.clone().with_details(json!({ "sessions_ended": ended }));
                audit_log::insert(connection, &row).await?;
                Ok(session)
            })
        })
        .await?;
    let (renewal, _) = Arc::into_inner(change).ok_or_else(access::unauthenticated)?;
    Ok(Activated {
        backup_codes: made.codes.into_iter().map(|code| code.0).collect(),
        session: renewal.finish(core, session).await?,
    })
}

/// Makes new backup codes for the acting person; the old ones stop counting.
///
/// # Errors
/// `Invalid` for a wrong code; `Conflict` without a second factor; `RateLimited` after too many.
pub async fn renew_backup_codes(
    context: &OpContext,
    core: &Core,
    code: SecretString,
) -> Result<(UserId, Vec<SecretString>)> {
    let person = person(context, core, &[]).await?;
    let call = person.call(context);
    let made = core
        .secure
        .renew_backup_codes(call, RenewBackupCodes { code });
    let made = person
        .record(context, core, CoreEvent::BackupCodesRenewed, made.await)
        .await?;
    let codes = made.codes.into_iter().map(|code| code.0).collect();
    Ok((person.user_id, codes))
}

/// Removes the second factor of the acting person. Where one is required, the sessions of the person owe a
/// new one then.
///
/// # Errors
/// `Invalid` for a wrong code; `RateLimited` after too many.
pub async fn remove(context: &OpContext, core: &Core, code: SecretString) -> Result<UserId> {
    let person = person(context, core, &[]).await?;
    let user_id = person.user_id;
    let call = person.call(context);
    let done = core.secure.remove_totp(call, RemoveTotp { code }).await;
    let about = (CoreEvent::TotpRemoved, Some(user_id.as_uuid()));
    let row = Arc::new(person.row(context, core, about));
    unless_refused(context, core, &row, done).await?;
    let scope = Scope::System("the sessions of a user are in several organizations");
    core.pool
        .transact::<_, CoreError, _>("second_factor::remove", scope, |connection| {
            let row = Arc::clone(&row);
            Box::pin(async move {
                sessions::forget_second_factor(connection, user_id).await?;
                Ok(audit_log::insert(connection, &row).await?)
            })
        })
        .await?;
    core.authentication_cache.evict(user_id);
    Ok(user_id)
}

/// Removes the second factor of a user who has lost it, and ends the user's sessions. The Secure Service
/// takes that from the operator of the machine alone. The context is of the user's home organization.
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
    let row = Arc::new(row);
    unless_refused(context, core, &row, done).await?;
    let scope = Scope::System("the sessions of a user are in several organizations");
    core.pool
        .transact::<_, CoreError, _>("second_factor::reset", scope, |connection| {
            let row = Arc::clone(&row);
            Box::pin(async move {
                sessions::end_of_user(connection, user_id, now, (0, None)).await?;
                Ok(audit_log::insert(connection, &row).await?)
            })
        })
        .await?;
    core.authentication_cache.evict(user_id);
    Ok(())
}

/// The acting person, whose session may owe what is admitted and nothing else.
///
/// # Errors
/// `Unauthenticated` for nobody; `Invalid` with code `no_session` for API keys; `Forbidden` while the
/// session owes something else; those of the database.
pub(crate) async fn person(context: &OpContext, core: &Core, admitted: &[Owed]) -> Result<Person> {
    let (user_id, session_id) = match &context.actor {
        Actor::User {
            user_id,
            session_id,
        } => (*user_id, *session_id),
        Actor::Anonymous => return Err(access::unauthenticated()),
        Actor::ApiKey { .. } | Actor::LocalOperator { .. } | Actor::System => {
            let message = "A second factor belongs to a person: sign in (clm login) first.";
            return Err(Fault::new(ErrorKind::Invalid, "no_session", message).into());
        }
    };
    if let Some(owed) = context.owed.filter(|owed| !admitted.contains(owed)) {
        return Err(access::owes(owed));
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

/// What the Secure Service did; its refusal is recorded.
///
/// # Errors
/// The refusal; those of the database.
pub(crate) async fn unless_refused<T>(
    context: &OpContext,
    core: &Core,
    row: &AuditRow,
    outcome: std::result::Result<T, SecureError>,
) -> Result<T> {
    if let Err(error) = &outcome {
        let refused = row.clone().refused(error.0.code.clone());
        audit::record(context, core, refused).await?;
    }
    Ok(outcome?)
}

impl Person {
    /// The context of a command about the person's second factor.
    pub(crate) fn call(&self, context: &OpContext) -> CallContext {
        CallContext {
            organization_id: self.home_organization_id,
            ..context.call()
        }
    }

    /// Whether a second factor is in force.
    ///
    /// # Errors
    /// Those of the Secure Service.
    pub(crate) async fn has_second_factor(&self, context: &OpContext, core: &Core) -> Result<bool> {
        let user_id = self.user_id;
        let command = FindSecondFactor { user_id };
        let found = core.secure.find_second_factor(self.call(context), command);
        Ok(found.await?.is_active)
    }

    /// The event of an act about the person's second factor, in the home organization.
    pub(crate) fn row(
        &self,
        context: &OpContext,
        core: &Core,
        (event, resource_id): (CoreEvent, Option<Uuid>),
    ) -> AuditRow {
        let cause = Cause {
            organization_id: self.home_organization_id,
            ..context.cause()
        };
        let (now, rng) = (core.clock.now(), core.rng.as_ref());
        audit::with_origin(
            context,
            AuditRow::success(event, &cause, resource_id, now, rng),
        )
    }

    /// What the Secure Service did, recorded either way.
    ///
    /// # Errors
    /// The refusal; those of the database.
    pub(crate) async fn record<T>(
        &self,
        context: &OpContext,
        core: &Core,
        event: CoreEvent,
        outcome: std::result::Result<T, SecureError>,
    ) -> Result<T> {
        let row = self.row(context, core, (event, Some(self.user_id.as_uuid())));
        let done = unless_refused(context, core, &row, outcome).await?;
        audit::record(context, core, row).await?;
        Ok(done)
    }
}
