//! API keys: credentials of programs. A key acts for its owner in one organization, with the
//! owner's rights of the moment, narrowed to its scopes.

mod owner;
pub mod rotation;
pub mod usage;

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use clm_database::Scope;
use clm_database::transaction::Abort;
use clm_domain::actor::Actor;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::clock::whole_milliseconds;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{ApiKeyId, OrganizationId, UserId};
use clm_domain::networks::Networks;
use clm_domain::permission::{Action, Permissions, Resource};
use clm_domain::secret::SecretString;
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::access::{self, Target};
use crate::authentication::credential;
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::page::{Page, PageRequest};
use crate::store::api_keys::{self, KeyFingerprint};
use crate::store::{audit_log, role_assignments};
use crate::texts::check_line;
use crate::{Core, audit, organizations, step_up};

/// Longest name, in characters.
const NAME_CHARACTERS_MAX: usize = 100;
/// Characters of the key that are stored to recognize it by: `clm_` and four more.
const PREFIX_CHARACTERS: usize = 8;
/// Most networks of one key.
const NETWORKS_MAX: usize = 50;
/// Characters at the end of the key that are stored and shown.
const LAST_CHARACTERS: usize = 4;

/// Asks for an API key.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// A name for people, 1 to 100 characters.
    pub name: String,
    /// Narrows what the key may do; absent: whatever its owner may do.
    pub scopes: Option<Permissions>,
    /// When it ends; absent: as late as the organization allows.
    pub expires_at: Option<DateTime<Utc>>,
    /// Addresses and networks from where alone it may be used; absent: from anywhere.
    pub allowed_networks: Option<Vec<String>>,
    /// The service account that it shall act for; absent: whoever asks.
    pub user_id: Option<UserId>,
}

/// An API key that was just made.
#[derive(Clone, Debug)]
pub struct CreatedApiKey {
    /// Its description.
    pub record: ApiKeyRecord,
    /// The key itself. Shown once.
    pub secret: SecretString,
}

/// An API key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// The API key.
    pub api_key_id: ApiKeyId,
    /// The organization that it acts for.
    pub organization_id: OrganizationId,
    /// Its owner.
    pub user_id: UserId,
    /// Its name.
    pub name: String,
    /// Its last four characters.
    pub last_four: String,
    /// What it is narrowed to.
    pub scopes: Option<Permissions>,
    /// From where alone it may be used.
    pub allowed_networks: Option<Networks>,
    /// The key in whose place it was made.
    pub replaces_api_key_id: Option<ApiKeyId>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Its last use, some seconds late.
    pub last_used_at: Option<DateTime<Utc>>,
    /// How often it was used, some seconds late.
    pub usage_count: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Makes an API key for the user who asks, or for a service account of the organization. Whoever has a
/// service account's key can do what that may do, so that making one takes the right to change users and
/// all that the account may do.
///
/// # Errors
/// `Invalid`, naming the field, or for actors that are no user; `NotFound` for what is no service account
/// of the organization; `PolicyViolation` with code `scopes_beyond_rights`, `permissions_beyond_rights`
/// or `expires_at_too_late`, when the end lies later than the organization allows; `Forbidden` without a
/// good step-up proof; those of [`access::authorize`] and of the database.
pub async fn create(context: &OpContext, core: &Core, new: NewApiKey) -> Result<CreatedApiKey> {
    let target = Target::kind(context, Resource::ApiKey);
    access::authorize(context, core, Action::Create, target).await?;
    let now = whole_milliseconds(core.clock.now());
    let name = check_name(&new.name)?;
    check_end(new.expires_at, now)?;
    let allowed_networks = networks_within(context, new.allowed_networks)?;
    let latest = latest_end(context, core, now).await?;
    check_latest(new.expires_at, latest)?;
    let user_id = owner::of_new_key(context, core, new.user_id).await?;
    let scopes = scopes_within(context, user_id, new.scopes)?;
    let (secret, fingerprint) = new_secret(core);
    let record = ApiKeyRecord {
        api_key_id: ApiKeyId::generate(now, core.rng.as_ref()),
        organization_id: context.organization_id,
        user_id,
        name,
        last_four: last_characters(secret.expose()),
        scopes,
        allowed_networks,
        replaces_api_key_id: None,
        expires_at: end_within(context, new.expires_at.or(latest)),
        revoked_at: None,
        last_used_at: None,
        usage_count: 0,
        created_at: now,
    };
    let creation = Arc::new(Creation {
        fingerprint,
        scopes: record.scopes.as_ref().map(|scopes| json!(scopes)),
        audit: event(context, core, CoreEvent::ApiKeyCreated, &record),
        context: context.clone(),
        record,
    });
    let scope = Scope::Organization(context.organization_id);
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("api_keys::create", scope, |connection| {
            let creation = Arc::clone(&creation);
            Box::pin(async move { creation.insert(connection).await })
        })
        .await;
    let refused = audit::of_nothing(&creation.audit);
    audit::refusal(context, core, &refused, outcome).await?;
    Ok(CreatedApiKey {
        record: creation.record.clone(),
        secret,
    })
}

/// A new key, and what is stored of it.
fn new_secret(core: &Core) -> (SecretString, KeyFingerprint) {
    let secret = credential::new_api_key(core.rng.as_ref());
    let fingerprint = KeyFingerprint {
        key_prefix: secret.expose().chars().take(PREFIX_CHARACTERS).collect(),
        key_sha256: credential::hash(secret.expose()),
    };
    (secret, fingerprint)
}

/// All rows of a new API key.
struct Creation {
    record: ApiKeyRecord,
    fingerprint: KeyFingerprint,
    scopes: Option<Value>,
    audit: AuditRow,
    context: OpContext,
}

impl Creation {
    /// Inserts the key of somebody who is, and until then stays, a member.
    async fn insert(
        &self,
        connection: &mut PgConnection,
    ) -> std::result::Result<(), Abort<CoreError>> {
        let Self { record, .. } = self;
        let owner = (record.organization_id, record.user_id);
        if !role_assignments::lock_member(connection, owner.0, owner.1).await? {
            return Err(Abort::Caller(access::unknown_reference(
                "user_id", "member",
            )));
        }
        let right = (Action::Create, Resource::ApiKey);
        step_up::require(connection, &self.context, right, record.created_at).await?;
        let scopes = self.scopes.as_ref();
        api_keys::insert(connection, record, &self.fingerprint, scopes).await?;
        Ok(audit_log::insert(connection, &self.audit).await?)
    }
}

fn check_name(name: &str) -> Result<String> {
    check_line(name, NAME_CHARACTERS_MAX, ("name_invalid", "name"))
}

fn check_end(expires_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<()> {
    if expires_at.is_none_or(|end| end > now) {
        return Ok(());
    }
    let message = "The end must lie in the future.";
    Err(Fault::invalid("expires_at_past", "expires_at", message).into())
}

/// The latest end of a key made now, where the organization has one.
async fn latest_end(
    context: &OpContext,
    core: &Core,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>> {
    let organization = organizations::load(core, context.organization_id).await?;
    let days = organization.settings.api_key_days_max;
    Ok(days.map(|days| now + Duration::days(days.into())))
}

fn check_latest(asked: Option<DateTime<Utc>>, latest: Option<DateTime<Utc>>) -> Result<()> {
    match (asked, latest) {
        (Some(asked), Some(latest)) if asked > latest => {
            let message = format!("The organization allows API keys until {latest} at most.");
            let code = "expires_at_too_late";
            let fault = Fault::new(ErrorKind::PolicyViolation, code, message.clone());
            Err(fault.with_violation("expires_at", message).into())
        }
        _ => Ok(()),
    }
}

/// When the key ends. One made with another key never outlives that one.
fn end_within(context: &OpContext, asked: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    let made_with = match context.actor {
        Actor::ApiKey { .. } => context.credential_ends_at,
        _ => None,
    };
    match (asked, made_with) {
        (Some(asked), Some(end)) => Some(asked.min(end)),
        (asked, end) => asked.or(end),
    }
}

/// From where alone the key may be used. One made with another key may be used from nowhere else than
/// that one.
fn networks_within(context: &OpContext, asked: Option<Vec<String>>) -> Result<Option<Networks>> {
    let made_with = context.credential_networks.as_ref();
    let Some(asked) = asked else {
        return Ok(made_with.cloned());
    };
    let field = "allowed_networks";
    if !(1..=NETWORKS_MAX).contains(&asked.len()) {
        let message = format!("Name 1 to {NETWORKS_MAX} networks, or leave the field out.");
        return Err(Fault::invalid("allowed_networks_invalid", field, message).into());
    }
    let networks = Networks::parse(&asked)
        .map_err(|error| Fault::invalid("allowed_networks_invalid", field, error.to_string()))?;
    if made_with.is_some_and(|made_with| !made_with.hold(&networks)) {
        let message = "Your own API key may not be used from all of these networks.";
        let fault = Fault::new(ErrorKind::PolicyViolation, "networks_beyond_own", message);
        return Err(fault.with_violation(field, message).into());
    }
    Ok(Some(networks))
}

/// What the key is narrowed to. A key made with another key, or for somebody else, never has more than
/// whoever makes it: without scopes of its own it gets the rights that the maker has now.
fn scopes_within(
    context: &OpContext,
    owner: UserId,
    asked: Option<Permissions>,
) -> Result<Option<Permissions>> {
    let Some(asked) = asked else {
        let by_key = matches!(context.actor, Actor::ApiKey { .. });
        let is_narrow = by_key || context.actor.user_id() != Some(owner);
        return Ok(is_narrow.then(|| context.permissions.clone()));
    };
    let beyond = asked.beyond(&context.permissions);
    if beyond == Permissions::none() {
        return Ok(Some(asked));
    }
    let message = format!(
        "You may not do this yourself, so leave it out: {}",
        json!(beyond)
    );
    Err(Fault::new(
        ErrorKind::PolicyViolation,
        "scopes_beyond_rights",
        message.clone(),
    )
    .with_violation("scopes", message)
    .into())
}

fn last_characters(key: &str) -> String {
    let skipped = key.chars().count().saturating_sub(LAST_CHARACTERS);
    key.chars().skip(skipped).collect()
}

fn event(context: &OpContext, core: &Core, event: CoreEvent, key: &ApiKeyRecord) -> AuditRow {
    let resource_id = Some(key.api_key_id.as_uuid());
    let now = core.clock.now();
    let row = AuditRow::success(event, &context.cause(), resource_id, now, core.rng.as_ref())
        .with_details(json!({
            "name": key.name,
            "user_id": key.user_id,
            "scopes": key.scopes,
            "allowed_networks": key.allowed_networks.as_ref().map(Networks::to_texts),
            "replaces_api_key_id": key.replaces_api_key_id,
            "expires_at": key.expires_at,
        }));
    audit::with_origin(context, row)
}

/// API keys, revoked ones too, newest first: the actor's own, or those of the organization for
/// whoever administers its users.
///
/// # Errors
/// Those of [`access::authorize`] and of the database.
pub async fn list(
    context: &OpContext,
    core: &Core,
    page: PageRequest,
) -> Result<Page<ApiKeyRecord>> {
    let target = Target::kind(context, Resource::ApiKey);
    access::authorize(context, core, Action::List, target).await?;
    let organization_id = context.organization_id;
    let owner = access::visible_owner(context);
    let mut transaction = core
        .pool
        .begin(Scope::Organization(organization_id))
        .await?;
    let part = (page.after, page.rows_to_read());
    let rows = api_keys::list(&mut transaction, organization_id, owner, part)
        .await
        .map_err(|error| core.pool.statement_error(error))?;
    Ok(page.page(rows, |key| key.api_key_id.as_uuid()))
}

/// Revokes an API key: an own one, or any of the organization for whoever administers its users.
/// Takes effect at once here and within a second on other replicas. Revoking it again changes
/// nothing.
///
/// # Errors
/// `NotFound` for unknown and foreign ids alike; those of [`access::authorize`] and of the database.
pub async fn revoke(
    context: &OpContext,
    core: &Core,
    api_key_id: ApiKeyId,
) -> Result<ApiKeyRecord> {
    let target = Target::kind(context, Resource::ApiKey);
    access::authorize(context, core, Action::Delete, target).await?;
    let organization_id = context.organization_id;
    let mut record = load(core, organization_id, api_key_id).await?;
    let target = Target::object(Resource::ApiKey, organization_id, api_key_id.as_uuid())
        .owned_by(record.user_id);
    access::authorize(context, core, Action::Delete, target).await?;
    let now = core.clock.now();
    let row = Arc::new(event(context, core, CoreEvent::ApiKeyRevoked, &record));
    let scope = Scope::Organization(organization_id);
    let revoked = core
        .pool
        .transact::<_, CoreError, _>("api_keys::revoke", scope, |connection| {
            let row = Arc::clone(&row);
            Box::pin(async move {
                let revoked =
                    api_keys::revoke(connection, organization_id, api_key_id, now).await?;
                if revoked {
                    audit_log::insert(connection, &row).await?;
                }
                Ok(revoked)
            })
        })
        .await?;
    core.authentication_cache.evict(record.user_id);
    if revoked {
        record.revoked_at = Some(now);
    }
    Ok(record)
}

async fn load(
    core: &Core,
    organization_id: OrganizationId,
    api_key_id: ApiKeyId,
) -> Result<ApiKeyRecord> {
    let mut transaction = core
        .pool
        .begin(Scope::Organization(organization_id))
        .await?;
    api_keys::find(&mut transaction, organization_id, api_key_id)
        .await
        .map_err(|error| core.pool.statement_error(error))?
        .ok_or_else(|| Fault::not_found(access::noun(Resource::ApiKey)).into())
}

#[cfg(test)]
mod tests;
