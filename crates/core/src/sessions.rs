//! Signing in, seeing and ending sessions.
//!
//! A failed sign-in tells nothing: the same text, the same number of hashes and no trace of what
//! was typed, whether the name is unknown, the password wrong, or the user locked. Nothing that was
//! typed as a name is ever stored: it may be a password in the wrong field.
//!
//! Whoever has a second factor gets a session that owes it: see [`second_factor`].

mod lifetimes;
pub(crate) mod renewal;
pub mod second_factor;
pub mod switching;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::Scope;
use clm_domain::actor::Actor;
use clm_domain::audit::{AuditRow, Cause, CoreEvent};
use clm_domain::clock::{uuid_v7, whole_milliseconds};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, SYSTEM_ORGANIZATION, SessionId, UserId};
use clm_domain::organization_settings::OrganizationSettings;
use clm_domain::permission::{Action, Resource};
use clm_domain::secret::SecretString;
use clm_domain::states::{OrganizationStatus, SessionSecondFactor, UserStatus};
use clm_secure_api::CallContext;
use clm_secure_api::command::FindSecondFactor;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::access::{self, Target};
use crate::authentication::credential;
use crate::authentication::throttle::network_of;
use crate::context::{OpContext, Owed};
use crate::error::{CoreError, Result};
use crate::page::{Page, PageRequest};
use crate::store::users::{PasswordState, SignInCandidate};
use crate::store::{audit_log, organizations, sessions, users as user_rows};
use crate::users::{self, guesses::Guess};
use crate::{Core, audit, authentication};

/// Most live sessions of one user; a sign-in beyond that ends the oldest.
const SESSIONS_PER_USER_MAX: i64 = 100;
/// How long a session may owe its second factor.
const OWED_MINUTES: i64 = 10;

/// Asks for a session.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: SecretString,
    /// The slug of the user's home organization; needed only where the name exists in several.
    pub organization: Option<String>,
}

/// A session that was just made.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Its description.
    pub session: SessionRecord,
    /// The credential itself. Shown once.
    pub token: SecretString,
    /// What each change must prove to come from the session's page. Shown once.
    pub csrf_token: SecretString,
    /// What it owes before anything else is allowed.
    pub owed: Option<Owed>,
}

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The session.
    pub session_id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// The organization that it acts for.
    pub organization_id: OrganizationId,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Last use, to the minute.
    pub last_seen_at: DateTime<Utc>,
    /// Ends then without use.
    pub idle_expires_at: DateTime<Utc>,
    /// Ends then in any case.
    pub expires_at: DateTime<Utc>,
    /// From where it was opened.
    pub ip_address: Option<String>,
    /// With what it was opened.
    pub user_agent: Option<String>,
    /// Whether it is the one that asks.
    pub is_current: bool,
}

/// Signs a person in. `context` is that of [`crate::authentication::anonymous`].
///
/// # Errors
/// `Unauthenticated` with code `sign_in_failed`, whatever the reason; `RateLimited` when too many
/// sign in at once, or have failed from this address; those of the database.
pub async fn create(context: &OpContext, core: &Core, sign_in: SignIn) -> Result<NewSession> {
    let network = network_of(context.request.ip_address.as_deref());
    core.sign_in_throttle.admit(network)?;
    let created = try_to_create(context, core, sign_in).await;
    match &created {
        Ok(_) => core.sign_in_throttle.succeeded(network),
        Err(error) if error.kind() == ErrorKind::Unauthenticated => {
            core.sign_in_throttle.failed(network);
        }
        Err(_) => {}
    }
    created
}

async fn try_to_create(context: &OpContext, core: &Core, sign_in: SignIn) -> Result<NewSession> {
    let Some(candidate) = find_candidate(core, &sign_in).await? else {
        core.passwords.verify_unknown(&sign_in.password).await?;
        let nobody = (SYSTEM_ORGANIZATION, UserId::from_uuid(Uuid::nil()));
        has_second_factor(context, core, nobody).await?;
        let row = refusal(context, core, SYSTEM_ORGANIZATION).refused("unknown_user");
        audit::record(context, core, row).await?;
        return Err(sign_in_failed());
    };
    let verified_hash = verify(core, &candidate, &sign_in.password).await?;
    let owner = (candidate.home_organization_id, candidate.user_id);
    let second_factor = match has_second_factor(context, core, owner).await? {
        true => SessionSecondFactor::Owed,
        false => SessionSecondFactor::None,
    };
    let token = credential::new_token(core.rng.as_ref());
    let csrf_token = credential::new_token(core.rng.as_ref());
    let session = sessions::NewSession {
        second_factor,
        ..new_session(context, core, &candidate, (&token, &csrf_token))
    };
    let attempt = Arc::new(Attempt {
        success: success(context, core, &session),
        refusal: refusal(context, core, candidate.home_organization_id)
            .with_details(json!({ "user_id": candidate.user_id })),
        candidate,
        verified_hash,
        known_address_id: uuid_v7(session.created_at, core.rng.as_ref()),
        session,
    });
    let scope = Scope::System("a sign-in finds its user before the organization is known");
    let signed_in = core
        .pool
        .transact::<_, CoreError, _>("sessions::create", scope, |connection| {
            let attempt = Arc::clone(&attempt);
            Box::pin(async move { Ok(decide(connection, &attempt).await?) })
        })
        .await?;
    let SignedIn {
        organization_id,
        session,
        ended_others,
    } = signed_in.ok_or_else(sign_in_failed)?;
    if ended_others {
        core.authentication_cache.evict(attempt.candidate.user_id);
    }
    renew_hash(core, &attempt, &sign_in.password).await?;
    Ok(NewSession {
        owed: authentication::owed_by(core, &token).await?,
        session: record_of(&session, organization_id),
        token,
        csrf_token,
    })
}

/// Whether a user has a second factor in force. Asked of the Secure Service for every attempt, whatever the
/// password and the name: the time that it takes tells nothing.
async fn has_second_factor(
    context: &OpContext,
    core: &Core,
    (home_organization_id, user_id): (OrganizationId, UserId),
) -> Result<bool> {
    let call = CallContext {
        organization_id: home_organization_id,
        ..context.call()
    };
    let command = FindSecondFactor { user_id };
    Ok(core
        .secure
        .find_second_factor(call, command)
        .await?
        .is_active)
}

/// The user whom the name means; `None` without a query for names that nobody can have.
async fn find_candidate(core: &Core, sign_in: &SignIn) -> Result<Option<SignInCandidate>> {
    let organization = sign_in.organization.as_deref().map(str::trim);
    let possible = users::check_username(&sign_in.username).is_ok()
        && organization.is_none_or(crate::organizations::is_slug);
    if !possible {
        return Ok(None);
    }
    let username = users::normalized(&sign_in.username);
    let found = user_rows::find_for_sign_in(core.pool.unscoped(), &username, organization).await;
    Ok(found.map_err(|error| core.pool.statement_error(error))?)
}

/// The stored hash that the password matches, if it does.
async fn verify(
    core: &Core,
    candidate: &SignInCandidate,
    password: &SecretString,
) -> Result<Option<String>> {
    let Some(hash) = &candidate.password_hash else {
        core.passwords.verify_unknown(password).await?;
        return Ok(None);
    };
    let matches = core.passwords.verify(password, hash).await?;
    Ok(matches.then(|| hash.clone()))
}

/// What one sign-in of a known user may come to.
struct Attempt {
    candidate: SignInCandidate,
    /// The hash that the password matched.
    verified_hash: Option<String>,
    /// For the address, if it becomes known.
    known_address_id: Uuid,
    session: sessions::NewSession,
    success: AuditRow,
    refusal: AuditRow,
}

/// What a successful sign-in came to.
struct SignedIn {
    organization_id: OrganizationId,
    /// The session as it was stored.
    session: sessions::NewSession,
    /// Whether older sessions had to make room.
    ended_others: bool,
}

/// Decides under the lock of the user's row, so that guesses that arrive together count one by one.
/// `None` is a refusal, which has been recorded.
async fn decide(
    connection: &mut PgConnection,
    attempt: &Attempt,
) -> sqlx::Result<Option<SignedIn>> {
    let user_id = attempt.candidate.user_id;
    let now = attempt.session.created_at;
    let Some(state) = user_rows::lock_password_state(connection, user_id).await? else {
        return refuse(connection, attempt, "unknown_user").await;
    };
    let address = attempt.session.ip_address.as_deref();
    let guess = Guess::find(connection, user_id, address, now).await?;
    let state = guess.judged_by(state);
    if let Some(reason) = judge(attempt, &state, now) {
        if reason == "wrong_password" {
            guess.failed(connection, &state, now).await?;
        }
        return refuse(connection, attempt, reason).await;
    }
    let home = attempt.candidate.home_organization_id;
    let organization = user_rows::find_sign_in_organization(connection, user_id, home).await?;
    let Some(organization_id) = organization else {
        return refuse(connection, attempt, "no_active_membership").await;
    };
    let owes = attempt.session.second_factor == SessionSecondFactor::Owed;
    if !owes {
        let known = (attempt.known_address_id, now);
        guess.succeeded(connection, &state, known).await?;
    }
    let settings = settings_of(connection, organization_id).await?;
    let of_home = match home == organization_id {
        true => settings.clone(),
        false => settings_of(connection, home).await?,
    };
    let expired = users::expire_password(connection, (user_id, &state), &of_home, now).await?;
    let mut session = attempt.session.clone();
    lifetimes::limit(&mut session, &settings);
    sessions::insert(connection, organization_id, &session).await?;
    let spared = (SESSIONS_PER_USER_MAX, None);
    let ended = sessions::end_of_user(connection, user_id, now, spared).await?;
    let mut row = attempt.success.clone().with_details(json!({
        "sessions_ended": ended,
        "password_expired": expired,
        "second_factor": session.second_factor.as_str(),
    }));
    row.organization_id = organization_id;
    audit_log::insert(connection, &row).await?;
    Ok(Some(SignedIn {
        organization_id,
        session,
        ended_others: ended > 0,
    }))
}

/// What an organization decides about itself (system scope).
async fn settings_of(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
) -> sqlx::Result<OrganizationSettings> {
    let found = organizations::find(connection, organization_id).await?;
    Ok(found.map(|one| one.settings).unwrap_or_default())
}

/// Why the user may not sign in, for the audit log only.
fn judge(attempt: &Attempt, state: &PasswordState, now: DateTime<Utc>) -> Option<&'static str> {
    if users::is_locked(state, now) {
        // Neither counted nor told: the right password looks as wrong as any other.
        return Some("locked");
    }
    if attempt.verified_hash.is_none() || attempt.verified_hash != state.password_hash {
        return Some("wrong_password");
    }
    if state.user_status != UserStatus::Active {
        return Some("user_not_active");
    }
    if attempt.candidate.home_organization_status == OrganizationStatus::Inactive {
        return Some("organization_inactive");
    }
    None
}

async fn refuse<T>(
    connection: &mut PgConnection,
    attempt: &Attempt,
    reason: &str,
) -> sqlx::Result<Option<T>> {
    let row = attempt.refusal.clone().refused(reason);
    audit_log::insert(connection, &row).await?;
    Ok(None)
}

/// Hashes the password with the parameters of today, where it was with others. Only after the
/// sign-in: before, the time that it takes would tell that the password is right.
async fn renew_hash(core: &Core, attempt: &Attempt, password: &SecretString) -> Result<()> {
    let user_id = attempt.candidate.user_id;
    let Some(old) = attempt
        .verified_hash
        .clone()
        .filter(|old| core.passwords.needs_rehash(old))
    else {
        return Ok(());
    };
    let new = core.passwords.hash(password, core.rng.as_ref()).await?;
    let hashes = Arc::new((old, new));
    let scope = Scope::System("a sign-in renews the hash in the user's home organization");
    core.pool
        .transact("sessions::renew_hash", scope, |connection| {
            let hashes = Arc::clone(&hashes);
            Box::pin(async move {
                let (old, new) = hashes.as_ref();
                Ok(user_rows::replace_password_hash(connection, user_id, old, new).await?)
            })
        })
        .await
}

fn sign_in_failed() -> CoreError {
    Fault::new(
        ErrorKind::Unauthenticated,
        "sign_in_failed",
        "Name or password is wrong, or the user may not sign in now. After several failures, wait \
         some minutes.",
    )
    .into()
}

fn new_session(
    context: &OpContext,
    core: &Core,
    candidate: &SignInCandidate,
    (token, csrf_token): (&SecretString, &SecretString),
) -> sessions::NewSession {
    let now = whole_milliseconds(core.clock.now());
    let expires_at = now + core.settings.session_lifetime;
    sessions::NewSession {
        session_id: SessionId::generate(now, core.rng.as_ref()),
        user_id: candidate.user_id,
        token_sha256: credential::hash(token.expose()),
        csrf_sha256: credential::hash(csrf_token.expose()),
        created_at: now,
        idle_expires_at: expires_at.min(now + core.settings.session_idle_timeout),
        expires_at,
        ip_address: context.request.ip_address.clone(),
        user_agent: context.request.user_agent.clone(),
        second_factor: SessionSecondFactor::None,
    }
}

fn record_of(session: &sessions::NewSession, organization_id: OrganizationId) -> SessionRecord {
    SessionRecord {
        session_id: session.session_id,
        user_id: session.user_id,
        organization_id,
        created_at: session.created_at,
        last_seen_at: session.created_at,
        idle_expires_at: session.idle_expires_at,
        expires_at: session.expires_at,
        ip_address: session.ip_address.clone(),
        user_agent: session.user_agent.clone(),
        is_current: true,
    }
}

/// The event of a sign-in; its organization is set when it is known.
fn success(context: &OpContext, core: &Core, session: &sessions::NewSession) -> AuditRow {
    let actor = Actor::User {
        user_id: session.user_id,
        session_id: session.session_id,
    };
    let cause = Cause {
        actor: &actor,
        organization_id: SYSTEM_ORGANIZATION,
        request_id: context.request.request_id,
    };
    let resource_id = Some(session.session_id.as_uuid());
    let now = session.created_at;
    let event = CoreEvent::SessionCreated;
    let row = AuditRow::success(event, &cause, resource_id, now, core.rng.as_ref());
    audit::with_origin(context, row)
}

/// The event of a sign-in that failed, without its reason.
fn refusal(context: &OpContext, core: &Core, organization_id: OrganizationId) -> AuditRow {
    let cause = Cause {
        organization_id,
        ..context.cause()
    };
    let now = core.clock.now();
    let event = CoreEvent::SessionCreated;
    let row = AuditRow::success(event, &cause, None, now, core.rng.as_ref());
    audit::with_origin(context, row)
}

/// Live sessions, newest first: the actor's own, or those of the organization for whoever
/// administers its users.
///
/// # Errors
/// Those of [`access::authorize`] and of the database.
pub async fn list(
    context: &OpContext,
    core: &Core,
    page: PageRequest,
) -> Result<Page<SessionRecord>> {
    let target = Target::kind(context, Resource::Session);
    access::authorize(context, core, Action::List, target).await?;
    let listing = sessions::Listing {
        organization_id: context.organization_id,
        owner: access::visible_owner(context),
        after: page.after,
        limit: page.rows_to_read(),
        now: core.clock.now(),
    };
    let mut transaction = core
        .pool
        .begin(Scope::Organization(context.organization_id))
        .await?;
    let rows = sessions::list(&mut transaction, listing)
        .await
        .map_err(|error| core.pool.statement_error(error))?;
    let records = rows.into_iter().map(|row| listed(context, row)).collect();
    Ok(page.page(records, |session: &SessionRecord| {
        session.session_id.as_uuid()
    }))
}

fn listed(context: &OpContext, row: sessions::LiveSession) -> SessionRecord {
    let session_id = SessionId::from_uuid(row.id);
    SessionRecord {
        session_id,
        user_id: UserId::from_uuid(row.user_id),
        organization_id: OrganizationId::from_uuid(row.organization_id),
        created_at: row.created_at,
        last_seen_at: row.last_seen_at,
        idle_expires_at: row.idle_expires_at,
        expires_at: row.expires_at,
        ip_address: row.ip_address,
        user_agent: row.user_agent,
        is_current: context.actor.session_id() == Some(session_id),
    }
}

/// Ends a session: an own one, or any of the organization for whoever administers its users.
///
/// # Errors
/// `NotFound` for sessions that are unknown, foreign or over; those of [`access::authorize`].
pub async fn end(context: &OpContext, core: &Core, session_id: SessionId) -> Result<()> {
    let target = Target::kind(context, Resource::Session);
    access::authorize(context, core, Action::Delete, target).await?;
    let mut transaction = core
        .pool
        .begin(Scope::Organization(context.organization_id))
        .await?;
    let now = core.clock.now();
    let found = sessions::find(&mut transaction, context.organization_id, session_id, now)
        .await
        .map_err(|error| core.pool.statement_error(error))?
        .ok_or_else(|| Fault::not_found(access::noun(Resource::Session)))?;
    drop(transaction);
    let owner = UserId::from_uuid(found.user_id);
    let target =
        Target::object(Resource::Session, context.organization_id, found.id).owned_by(owner);
    access::authorize(context, core, Action::Delete, target).await?;
    end_authorized(context, core, session_id, owner).await
}

/// Ends the session that asks. Always allowed.
///
/// # Errors
/// `Invalid` when the request has no session; those of the database.
pub async fn end_current(context: &OpContext, core: &Core) -> Result<()> {
    match &context.actor {
        Actor::User {
            user_id,
            session_id,
        } => end_authorized(context, core, *session_id, *user_id).await,
        Actor::Anonymous => Err(access::unauthenticated()),
        Actor::ApiKey { .. } | Actor::LocalOperator { .. } | Actor::System => {
            let message = "This request was not made with a session, so there is none to end.";
            Err(Fault::new(ErrorKind::Invalid, "no_session", message).into())
        }
    }
}

async fn end_authorized(
    context: &OpContext,
    core: &Core,
    session_id: SessionId,
    owner: UserId,
) -> Result<()> {
    let now = core.clock.now();
    let resource_id = Some(session_id.as_uuid());
    let event = CoreEvent::SessionEnded;
    let row = AuditRow::success(event, &context.cause(), resource_id, now, core.rng.as_ref())
        .with_details(json!({ "user_id": owner }));
    let row = Arc::new(audit::with_origin(context, row));
    let organization_id = context.organization_id;
    core.pool
        .transact::<_, CoreError, _>(
            "sessions::end",
            Scope::Organization(organization_id),
            |connection| {
                let row = Arc::clone(&row);
                Box::pin(async move {
                    // What somebody else ended meanwhile is as ended as it should be.
                    if sessions::end(connection, organization_id, session_id, now).await? {
                        audit_log::insert(connection, &row).await?;
                    }
                    Ok(())
                })
            },
        )
        .await?;
    core.authentication_cache.evict(owner);
    Ok(())
}

#[cfg(test)]
mod tests;
