//! Replacing an API key: a new one with the same name, scopes and networks, and an end for the old one
//! that leaves time to carry the new one to where it is used.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use clm_database::Scope;
use clm_database::transaction::Abort;
use clm_domain::audit::CoreEvent;
use clm_domain::clock::whole_milliseconds;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::ApiKeyId;
use clm_domain::networks::Networks;
use clm_domain::permission::{Action, Resource};
use serde_json::json;

use super::{
    ApiKeyRecord, CreatedApiKey, Creation, check_end, check_latest, end_within, event,
    last_characters, latest_end, load, networks_within, new_secret, owner,
};
use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::store::api_keys;
use crate::{Core, audit};

/// How long the old key goes on when nothing is said.
pub const OVERLAP_DEFAULT: TimeDelta = TimeDelta::hours(24);
/// How long it may go on.
const OVERLAP_MAX: TimeDelta = TimeDelta::days(30);

/// Asks for a key in the place of another.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// How long the old key goes on.
    pub overlap: TimeDelta,
    /// When the new key ends; absent: after as long as the old one was made for.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Makes a key in the place of another: of an own one, or of a service account's for whoever may make
/// keys for it.
///
/// # Errors
/// `NotFound` for unknown and foreign ids alike, and for keys of other people; `Conflict` with code
/// `api_key_over`; `Invalid`, naming the field; those of [`super::create`].
pub async fn rotate(
    context: &OpContext,
    core: &Core,
    api_key_id: ApiKeyId,
    rotation: Rotation,
) -> Result<CreatedApiKey> {
    let target = Target::kind(context, Resource::ApiKey);
    access::authorize(context, core, Action::Create, target).await?;
    let old = load(core, context.organization_id, api_key_id).await?;
    check_owner(context, core, &old).await?;
    let now = whole_milliseconds(core.clock.now());
    let overlap_ends_at = now + check_overlap(rotation.overlap)?;
    check_end(rotation.expires_at, now)?;
    let latest = latest_end(context, core, now).await?;
    check_latest(rotation.expires_at, latest)?;
    let expires_at = rotation.expires_at.or_else(|| as_long(&old, now, latest));
    let (secret, fingerprint) = new_secret(core);
    let record = ApiKeyRecord {
        api_key_id: ApiKeyId::generate(now, core.rng.as_ref()),
        last_four: last_characters(secret.expose()),
        scopes: narrowed(context, &old)?,
        allowed_networks: networks_within(context, old_networks(&old))?,
        replaces_api_key_id: Some(old.api_key_id),
        expires_at: end_within(context, expires_at),
        revoked_at: None,
        last_used_at: None,
        usage_count: 0,
        created_at: now,
        ..old.clone()
    };
    let creation = Arc::new(Creation {
        fingerprint,
        scopes: record.scopes.as_ref().map(|scopes| json!(scopes)),
        audit: event(context, core, CoreEvent::ApiKeyRotated, &record),
        context: context.clone(),
        record,
    });
    let scope = Scope::Organization(context.organization_id);
    let organization_id = context.organization_id;
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("api_keys::rotate", scope, |connection| {
            let creation = Arc::clone(&creation);
            Box::pin(async move {
                let named = (organization_id, api_key_id);
                if !api_keys::end_by(connection, named.0, named.1, overlap_ends_at).await? {
                    return Err(Abort::Caller(over()));
                }
                creation.insert(connection).await
            })
        })
        .await;
    let refused = audit::of_nothing(&creation.audit);
    audit::refusal(context, core, &refused, outcome).await?;
    core.authentication_cache.evict(old.user_id);
    Ok(CreatedApiKey {
        record: creation.record.clone(),
        secret,
    })
}

/// Whoever has a key's successor can do what its owner may do.
async fn check_owner(context: &OpContext, core: &Core, old: &ApiKeyRecord) -> Result<()> {
    if old.expires_at.is_some_and(|end| end <= core.clock.now()) {
        let row = event(context, core, CoreEvent::ApiKeyRotated, old);
        return audit::refusal(context, core, &audit::of_nothing(&row), Err(over())).await;
    }
    if context.actor.user_id() == Some(old.user_id) {
        return Ok(());
    }
    let id = old.api_key_id.as_uuid();
    let target = Target::object(Resource::ApiKey, old.organization_id, id).owned_by(old.user_id);
    access::authorize(context, core, Action::Create, target).await?;
    let checked = owner::check_service_account(context, core, old.user_id).await;
    checked.map_err(|error| match error.kind() {
        // A key of another person looks as if it did not exist.
        ErrorKind::NotFound => Fault::not_found(access::noun(Resource::ApiKey)).into(),
        _ => error,
    })
}

/// The scopes of the old key. With a key that is narrowed itself, one makes none that is wider.
fn narrowed(
    context: &OpContext,
    old: &ApiKeyRecord,
) -> Result<Option<clm_domain::permission::Permissions>> {
    let own_key = match context.actor {
        clm_domain::actor::Actor::ApiKey { api_key_id, .. } => api_key_id == old.api_key_id,
        _ => true,
    };
    if own_key {
        return Ok(old.scopes.clone());
    }
    super::scopes_within(context, old.user_id, old.scopes.clone())
}

fn old_networks(old: &ApiKeyRecord) -> Option<Vec<String>> {
    old.allowed_networks.as_ref().map(Networks::to_texts)
}

/// After as long as the old key was made for, and no later than the organization allows.
fn as_long(
    old: &ApiKeyRecord,
    now: DateTime<Utc>,
    latest: Option<DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    let end = old
        .expires_at
        .and_then(|end| now.checked_add_signed(end - old.created_at));
    match (end, latest) {
        (Some(end), Some(latest)) => Some(end.min(latest)),
        (end, latest) => end.or(latest),
    }
}

fn check_overlap(overlap: TimeDelta) -> Result<TimeDelta> {
    if (TimeDelta::zero()..=OVERLAP_MAX).contains(&overlap) {
        return Ok(overlap);
    }
    let message = format!(
        "The old key may go on for 0 to {} seconds.",
        OVERLAP_MAX.num_seconds()
    );
    Err(Fault::invalid("overlap_out_of_range", "overlap_seconds", message).into())
}

fn over() -> CoreError {
    let message = "The key was revoked or has ended. Make a new one.";
    Fault::new(ErrorKind::Conflict, "api_key_over", message).into()
}
