//! From a credential to an [`OpContext`]: API keys, sessions, the local operator.
//!
//! Whatever is wrong with a credential, the caller hears the same: [`access::unauthenticated`]. A
//! lock after wrong passwords stops signing in, not what is signed in already: otherwise anybody
//! who knows a name could stop the sessions and API keys of that user from outside. Who shall stop
//! at once gets another user status, or loses the credential.
//!
//! The credentials:
//! - **API key**: `clm_`, 43 base62 digits of 32 random bytes, 6 base62 digits of a checksum; 53
//!   characters, `clm_[0-9A-Za-z]{49}`. The digits are `0-9A-Za-z` in this order, the checksum is
//!   the first four bytes of the SHA-256 of the 47 characters before it. So garbage is refused
//!   without a query, and scanners for leaked secrets can tell a key from what only looks like one.
//! - **Session token** and **CSRF token**: base64url of 32 random bytes without padding; 43
//!   characters.
//!
//! What is stored is the SHA-256 of the whole text: 256 random bits need no slow hash.

mod cache;
pub(crate) mod credential;
pub(crate) mod throttle;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use clm_database::Scope;
use clm_domain::actor::Actor;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, SYSTEM_ORGANIZATION};
use clm_domain::networks::Networks;
use clm_domain::permission::{Action, Permissions, Resource};
use clm_domain::secret::SecretString;
use clm_domain::states::{OrganizationStatus, SessionSecondFactor, UserStatus};

use crate::context::{OpContext, Owed, RequestInfo};
use crate::error::{CoreError, Result};
use crate::store::users::Holder;
use crate::store::{api_keys, sessions};
use crate::{Core, access, audit, organizations};
use credential::CredentialHash;

pub use cache::AuthenticationCache;
pub use throttle::SignInThrottle;

/// How often the last use of a session is written, at most.
const LAST_SEEN_INTERVAL: TimeDelta = TimeDelta::seconds(50);

/// How a request proves that the page of the session made it, not another site.
#[derive(Clone, Copy, Debug)]
pub enum CsrfProof<'a> {
    /// The method is safe (RFC 9110 §9.2.1): it changes nothing.
    NotNeeded,
    /// The token of the request, if it has one.
    Token(Option<&'a str>),
}

/// Whom a credential stands for, as long as nothing changes.
#[derive(Clone, Debug)]
struct Identity {
    actor: Actor,
    username: String,
    organization_id: OrganizationId,
    permissions: Permissions,
    owed: Option<Owed>,
    /// When the credential stops being good; absent: never.
    ends_at: Option<DateTime<Utc>>,
    /// When it is to be looked up again: an assignment of the holder begins or ends, or the use of a
    /// session is to be noted.
    look_up_at: Option<DateTime<Utc>>,
    /// From where alone it may be used. Of API keys.
    allowed_networks: Option<Networks>,
    /// What it is narrowed to. Of API keys.
    scopes: Option<Permissions>,
    /// Of sessions.
    csrf_sha256: Option<CredentialHash>,
}

/// The context of a request with an API key.
///
/// # Errors
/// `Unauthenticated`, whatever is wrong with the key; those of the database.
pub async fn with_api_key(core: &Core, request: RequestInfo, secret: &str) -> Result<OpContext> {
    let hash = credential::api_key_hash(secret).ok_or_else(access::unauthenticated)?;
    let identity = match core.authentication_cache.find(&hash, core.clock.now()) {
        Some(identity) => identity,
        None => load_api_key(core, hash).await?,
    };
    let context = context_of(core, request, &identity)?;
    if let Some(networks) = &identity.allowed_networks
        && !is_from(networks, &context)
    {
        refuse_address(core, &context).await?;
        return Err(access::unauthenticated());
    }
    if let Actor::ApiKey { api_key_id, .. } = context.actor {
        core.api_key_usage.note(api_key_id, core.clock.now());
    }
    Ok(context)
}

/// Whether the request came from one of the networks. What came from nowhere known did not.
fn is_from(networks: &Networks, context: &OpContext) -> bool {
    let address = context.request.ip_address.as_deref();
    address
        .and_then(|address| address.parse().ok())
        .is_some_and(|address| networks.contain(address))
}

/// Records that a good key came from a wrong address, for its owner to see; the caller hears what
/// whoever has no good key hears. Once a minute for each key, so that nobody fills the log.
async fn refuse_address(core: &Core, context: &OpContext) -> Result<()> {
    let now = core.clock.now();
    let Actor::ApiKey { api_key_id, .. } = context.actor else {
        return Ok(());
    };
    if !core.api_key_usage.is_first_refusal(api_key_id, now) {
        return Ok(());
    }
    let id = Some(api_key_id.as_uuid());
    let event = CoreEvent::AccessDenied;
    let row = AuditRow::success(event, &context.cause(), id, now, core.rng.as_ref())
        .refused("address_not_allowed");
    audit::record(context, core, row).await
}

/// The context of a request with a session.
///
/// # Errors
/// `Unauthenticated`, whatever is wrong with the token; `Forbidden` with code
/// `csrf_token_invalid`; those of the database.
pub async fn with_session(
    core: &Core,
    request: RequestInfo,
    token: &str,
    csrf: CsrfProof<'_>,
) -> Result<OpContext> {
    let hash = credential::token_hash(token).ok_or_else(access::unauthenticated)?;
    let identity = match core.authentication_cache.find(&hash, core.clock.now()) {
        Some(identity) => identity,
        None => load_session(core, hash).await?,
    };
    let context = context_of(core, request, &identity)?;
    check_csrf(&identity, csrf)?;
    Ok(context)
}

/// The context of somebody on the same machine, who may do everything: for the organization with
/// this id or slug, or the system organization.
///
/// # Errors
/// `NotFound` for an unknown organization, `Conflict` for an inactive one; those of the database.
pub async fn as_local_operator(
    core: &Core,
    request: RequestInfo,
    uid: u32,
    organization: Option<&str>,
) -> Result<OpContext> {
    let mut context = anonymous(core, request);
    context.actor = Actor::LocalOperator { uid };
    context.permissions = Permissions::all();
    if let Some(wanted) = organization {
        let found = organizations::find_by_slug_or_id(core, wanted).await?;
        let found = found.ok_or_else(|| Fault::not_found(access::noun(Resource::Organization)))?;
        context.organization_id = found.organization_id;
        context.permissions = within(found.status, context.permissions).ok_or_else(|| {
            let message = "The organization is inactive: nothing can be done in it.";
            Fault::new(ErrorKind::Conflict, "organization_inactive", message)
        })?;
    }
    Ok(context)
}

/// The context of a request without a credential: nobody, in the system organization.
pub fn anonymous(core: &Core, request: RequestInfo) -> OpContext {
    OpContext {
        actor: Actor::Anonymous,
        username: None,
        organization_id: SYSTEM_ORGANIZATION,
        permissions: Permissions::none(),
        owed: None,
        credential_ends_at: None,
        credential_networks: None,
        credential_scopes: None,
        request,
        deadline: core.clock.now() + core.settings.request_timeout,
    }
}

fn context_of(core: &Core, request: RequestInfo, identity: &Identity) -> Result<OpContext> {
    let context = anonymous(core, request);
    if identity
        .ends_at
        .is_some_and(|ends_at| ends_at <= core.clock.now())
    {
        return Err(access::unauthenticated());
    }
    Ok(OpContext {
        actor: identity.actor.clone(),
        username: Some(identity.username.clone()),
        organization_id: identity.organization_id,
        permissions: identity.permissions.clone(),
        owed: identity.owed,
        credential_ends_at: identity.ends_at,
        credential_networks: identity.allowed_networks.clone(),
        credential_scopes: identity.scopes.clone(),
        ..context
    })
}

async fn load_api_key(core: &Core, hash: CredentialHash) -> Result<Arc<Identity>> {
    let begun = core.authentication_cache.begin();
    let found = api_keys::find_by_hash(core.pool.unscoped(), &hash, core.clock.now())
        .await
        .map_err(|error| core.pool.statement_error(error))?
        .ok_or_else(access::unauthenticated)?;
    let rights = admit(&found.holder).ok_or_else(access::unauthenticated)?;
    let identity = Arc::new(Identity {
        actor: Actor::ApiKey {
            api_key_id: found.api_key_id,
            user_id: found.holder.user_id,
        },
        username: found.holder.username,
        organization_id: found.holder.organization_id,
        permissions: found
            .scopes
            .as_ref()
            .map_or_else(|| rights.clone(), |scopes| rights.intersect(scopes)),
        // A new password, or a second factor, is what a sign-in asks for; a key is none.
        owed: None,
        ends_at: found.expires_at,
        look_up_at: found.holder.rights_change_at,
        allowed_networks: found.allowed_networks,
        scopes: found.scopes,
        csrf_sha256: None,
    });
    core.authentication_cache
        .insert(&begun, hash, Arc::clone(&identity));
    Ok(identity)
}

async fn load_session(core: &Core, hash: CredentialHash) -> Result<Arc<Identity>> {
    let begun = core.authentication_cache.begin();
    let now = core.clock.now();
    let mut found = sessions::find_by_token(core.pool.unscoped(), &hash, now)
        .await
        .map_err(|error| core.pool.statement_error(error))?
        .ok_or_else(access::unauthenticated)?;
    let permissions = admit(&found.holder).ok_or_else(access::unauthenticated)?;
    if found.idle_expires_at <= now || found.expires_at <= now {
        return Err(access::unauthenticated());
    }
    let use_noted_every = use_noted_every(&found);
    refresh(core, &mut found, now).await?;
    let owed = owed(&found);
    let identity = Arc::new(Identity {
        actor: Actor::User {
            user_id: found.holder.user_id,
            session_id: found.session_id,
        },
        username: found.holder.username,
        organization_id: found.holder.organization_id,
        permissions,
        owed,
        ends_at: Some(found.idle_expires_at.min(found.expires_at)),
        look_up_at: earlier(found.holder.rights_change_at, now + use_noted_every),
        allowed_networks: None,
        scopes: None,
        csrf_sha256: Some(found.csrf_sha256),
    });
    core.authentication_cache
        .insert(&begun, hash, Arc::clone(&identity));
    Ok(identity)
}

/// What the session of a token owes, looked up anew.
///
/// # Errors
/// `Unauthenticated`; those of the database.
pub(crate) async fn owed_by(core: &Core, token: &SecretString) -> Result<Option<Owed>> {
    let identity = load_session(core, credential::hash(token.expose())).await?;
    Ok(identity.owed)
}

/// What a session owes before anything else is allowed.
fn owed(session: &sessions::FoundSession) -> Option<Owed> {
    match session.second_factor {
        SessionSecondFactor::Owed => Some(Owed::SecondFactor),
        _ if session.holder.must_change_password => Some(Owed::PasswordChange),
        SessionSecondFactor::None if session.second_factor_required => {
            Some(Owed::SecondFactorEnrolment)
        }
        SessionSecondFactor::None | SessionSecondFactor::Passed => None,
    }
}

/// How often the use of a session is noted: often enough that it does not end while it is used.
fn use_noted_every(session: &sessions::FoundSession) -> TimeDelta {
    let idle = session.idle_expires_at - session.last_seen_at;
    LAST_SEEN_INTERVAL.min(idle / 4)
}

fn earlier(one: Option<DateTime<Utc>>, other: DateTime<Utc>) -> Option<DateTime<Utc>> {
    Some(one.map_or(other, |one| one.min(other)))
}

/// Writes the last use of a session, once a minute.
async fn refresh(
    core: &Core,
    session: &mut sessions::FoundSession,
    now: DateTime<Utc>,
) -> Result<()> {
    let seen_before = now - use_noted_every(session);
    if session.last_seen_at > seen_before {
        return Ok(());
    }
    let session_id = session.session_id;
    // As long as before, which the organization may have made shorter than the installation does.
    let idle = (session.idle_expires_at - session.last_seen_at).to_std();
    let idle = idle.unwrap_or_default();
    let idle_expires_at = now + idle.min(core.settings.session_idle_timeout);
    let scope = Scope::Organization(session.holder.organization_id);
    core.pool
        .transact::<_, CoreError, _>("authentication::refresh", scope, move |connection| {
            Box::pin(async move {
                let times = (now, idle_expires_at);
                Ok(sessions::update_last_seen(connection, session_id, seen_before, times).await?)
            })
        })
        .await?;
    session.idle_expires_at = idle_expires_at;
    Ok(())
}

/// What the holder of a credential may do now, or `None` for nothing at all.
pub(crate) fn admit(holder: &Holder) -> Option<Permissions> {
    let active = holder.user_status == UserStatus::Active && holder.membership_active;
    if !active {
        return None;
    }
    within(holder.organization_status, holder.permissions.clone())
}

/// What is left of permissions in an organization of this status: all, what only reads, or `None`.
fn within(status: OrganizationStatus, permissions: Permissions) -> Option<Permissions> {
    match status {
        OrganizationStatus::Active => Some(permissions),
        OrganizationStatus::Suspended => Some(permissions.iter().filter(is_harmless).collect()),
        OrganizationStatus::Inactive => None,
    }
}

/// Whether a permission only reads, or ends a session.
fn is_harmless((resource, action): &(Resource, Action)) -> bool {
    matches!(action, Action::Read | Action::List | Action::Verify)
        || (*resource == Resource::Session && *action == Action::Delete)
}

fn check_csrf(identity: &Identity, proof: CsrfProof<'_>) -> Result<()> {
    let CsrfProof::Token(token) = proof else {
        return Ok(());
    };
    let valid = match (
        token.and_then(credential::token_hash),
        &identity.csrf_sha256,
    ) {
        (Some(found), Some(expected)) => credential::equal_in_constant_time(&found, expected),
        _ => false,
    };
    if valid {
        return Ok(());
    }
    let message = "The request carries no valid CSRF token of the session. Send the token that came \
                   with the session in the header 'X-CSRF-Token'.";
    Err(Fault::new(ErrorKind::Forbidden, "csrf_token_invalid", message).into())
}

#[cfg(test)]
mod tests;
