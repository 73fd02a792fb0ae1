//! Organizations: the tenants. Whoever belongs to one sees it; they are made and governed from the
//! System organization, where each look at another one is audited.
//!
//! Start with [`list`] and [`load`]; what changes an organization is in [`changes`].

pub mod changes;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::{DatabaseError, Scope};
use clm_domain::actor::Actor;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::clock::whole_milliseconds;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::OrganizationId;
use clm_domain::organization_settings::OrganizationSettings;
use clm_domain::permission::{Action, Resource};
use clm_domain::states::OrganizationStatus;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::page::{Page, PageRequest};
use crate::store::{audit_log, organizations};
use crate::texts::check_line;
use crate::{Core, audit};

/// Longest name, in characters.
const NAME_CHARACTERS_MAX: usize = 200;
/// Longest slug, in characters: that of a DNS label (RFC 1035 §2.3.4).
const SLUG_CHARACTERS_MAX: usize = 63;
/// Highest quota of users.
const USERS_MAX: i64 = 10_000_000;
/// Highest quota of live certificates.
const CERTIFICATES_MAX: i64 = 1_000_000_000_000;
/// The unique index on slugs.
const SLUG_INDEX: &str = "ux_organizations_slug";

/// Asks for an organization.
#[derive(Clone, Debug)]
pub struct NewOrganization {
    /// What people call it.
    pub name: String,
    /// Short name for sign-in and links: lower-case letters, digits and inner hyphens. Never given
    /// out again.
    pub slug: String,
    /// Most users whose home it is; absent: no limit.
    pub max_users: Option<i64>,
    /// Most live certificates; absent: no limit.
    pub max_certificates: Option<i64>,
}

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationRecord {
    /// The organization.
    pub organization_id: OrganizationId,
    /// What people call it.
    pub name: String,
    /// Its short name.
    pub slug: String,
    /// Whether it can be worked in.
    pub status: OrganizationStatus,
    /// What it decides about itself.
    pub settings: OrganizationSettings,
    /// Most users whose home it is; absent: no limit.
    pub max_users: Option<i64>,
    /// Most live certificates; absent: no limit.
    pub max_certificates: Option<i64>,
    /// Counts the changes.
    pub revision: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// An organization with what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationDetail {
    /// The organization.
    pub record: OrganizationRecord,
    /// Users whose home it is.
    pub user_count: i64,
    /// Certificates that are neither revoked nor expired, without those of authorities.
    pub certificate_count: i64,
}

/// Makes an organization. Organizations are made in the System organization.
///
/// # Errors
/// `Invalid`, naming the field; `Conflict` with code `slug_taken`; those of
/// [`access::authorize_across`] and of the database.
pub async fn create(
    context: &OpContext,
    core: &Core,
    new: NewOrganization,
) -> Result<OrganizationRecord> {
    access::authorize_across(context, core, Action::Create, Resource::Organization).await?;
    let name = check_name(&new.name)?;
    check_slug(&new.slug)?;
    check_quotas(new.max_users, new.max_certificates)?;
    let now = whole_milliseconds(core.clock.now());
    let record = OrganizationRecord {
        organization_id: OrganizationId::generate(now, core.rng.as_ref()),
        name,
        slug: new.slug,
        status: OrganizationStatus::Active,
        settings: OrganizationSettings::default(),
        max_users: new.max_users,
        max_certificates: new.max_certificates,
        revision: 1,
        created_at: now,
    };
    let row = event(
        context,
        core,
        CoreEvent::OrganizationCreated,
        record.organization_id,
    )
    .with_details(json!({ "slug": record.slug }));
    let creation = Arc::new((record, row));
    let scope = Scope::System("a new organization has no scope of its own yet");
    let created = core
        .pool
        .transact::<_, DatabaseError, _>("organizations::create", scope, |connection| {
            let creation = Arc::clone(&creation);
            Box::pin(async move {
                let (record, row) = creation.as_ref();
                organizations::insert(connection, record).await?;
                Ok(audit_log::insert(connection, row).await?)
            })
        })
        .await
        .map_err(taken_or_failed);
    let mut row = creation.1.clone();
    row.resource_id = None;
    audit::refusal(context, core, &row, created).await?;
    Ok(creation.0.clone())
}

fn taken_or_failed(error: DatabaseError) -> CoreError {
    if error.is_duplicate_of(SLUG_INDEX) {
        let message = "This slug belongs to an organization, or did once. Choose another.";
        return Fault::new(ErrorKind::Conflict, "slug_taken", message)
            .with_violation("slug", message)
            .into();
    }
    error.into()
}

/// The event of an act on an organization, in the one that the actor acts for.
fn event(
    context: &OpContext,
    core: &Core,
    event: CoreEvent,
    organization_id: OrganizationId,
) -> AuditRow {
    let resource_id = Some(organization_id.as_uuid());
    let (now, rng) = (core.clock.now(), core.rng.as_ref());
    let row = AuditRow::success(event, &context.cause(), resource_id, now, rng);
    audit::with_origin(context, row)
}

/// The organizations that the actor may know of, newest first: all of them for whoever has the right
/// to that in the System organization, which is audited there; else those in which the user is an
/// active member. Other actors see the one that they act for.
///
/// # Errors
/// `Unauthenticated` for nobody; those of the database.
pub async fn list(
    context: &OpContext,
    core: &Core,
    page: PageRequest,
) -> Result<Page<OrganizationRecord>> {
    access::require_identity(context)?;
    let sees_all = access::acts_from_system(context)
        && access::holds(context, Action::List, Resource::Organization);
    let part = (page.after, page.rows_to_read());
    let scope = match (sees_all, &context.actor) {
        (true, _) => Scope::System("who governs organizations sees them all"),
        (false, Actor::User { .. }) => Scope::System("a user may belong to several organizations"),
        (false, _) => Scope::Organization(context.organization_id),
    };
    let mut transaction = core.pool.begin(scope).await?;
    let rows = match (sees_all, &context.actor) {
        (true, _) => organizations::list(&mut transaction, part).await,
        (false, Actor::User { user_id, .. }) => {
            organizations::list_of_member(&mut transaction, *user_id, part).await
        }
        (false, _) => {
            let found = organizations::find(&mut transaction, context.organization_id).await;
            let follows = |id: OrganizationId| page.after.is_none_or(|after| id.as_uuid() < after);
            found.map(|found| {
                let found = found.into_iter();
                found.filter(|one| follows(one.organization_id)).collect()
            })
        }
    };
    drop(transaction);
    let rows = rows.map_err(|error| core.pool.statement_error(error))?;
    if sees_all {
        record_look(context, core, CoreEvent::OrganizationListedAcross, None).await?;
    }
    Ok(page.page(rows, |organization| organization.organization_id.as_uuid()))
}

/// One organization with what it has: the active one, or any for whoever acts from the System
/// organization, which is audited there.
///
/// # Errors
/// `NotFound` for unknown and foreign ids alike; those of [`access::authorize`] and of the database.
pub async fn show(
    context: &OpContext,
    core: &Core,
    organization_id: OrganizationId,
) -> Result<OrganizationDetail> {
    authorize_one(context, core, Action::Read, organization_id).await?;
    let is_own = organization_id == context.organization_id;
    let scope = match is_own {
        true => Scope::Organization(organization_id),
        false => Scope::System("who governs organizations sees each of them"),
    };
    let now = core.clock.now();
    let mut transaction = core.pool.begin(scope).await?;
    let found = organizations::find_detail(&mut transaction, organization_id, now)
        .await
        .map_err(|error| core.pool.statement_error(error))?
        .ok_or_else(|| Fault::not_found(access::noun(Resource::Organization)))?;
    drop(transaction);
    if !is_own {
        let event = CoreEvent::OrganizationReadAcross;
        record_look(context, core, event, Some(organization_id)).await?;
    }
    Ok(found)
}

/// Allows an act on one organization: on the active one, and on any from the System organization.
async fn authorize_one(
    context: &OpContext,
    core: &Core,
    action: Action,
    organization_id: OrganizationId,
) -> Result<()> {
    let target = Target::kind(context, Resource::Organization);
    access::authorize(context, core, action, target).await?;
    if access::acts_from_system(context) {
        return Ok(());
    }
    let id = organization_id.as_uuid();
    let target = Target::object(Resource::Organization, organization_id, id);
    access::authorize(context, core, action, target).await
}

/// Records that somebody looked across organizations.
async fn record_look(
    context: &OpContext,
    core: &Core,
    what: CoreEvent,
    seen: Option<OrganizationId>,
) -> Result<()> {
    let resource_id = seen.map(Uuid::from);
    let (now, rng) = (core.clock.now(), core.rng.as_ref());
    let row = AuditRow::success(what, &context.cause(), resource_id, now, rng);
    audit::record(context, core, row).await
}

/// The live organization with this id or slug. Asks no right: for the platform itself (bootstrap,
/// sign-in, the local operator), never for an answer to somebody else.
///
/// # Errors
/// Those of the database.
pub async fn find_by_slug_or_id(core: &Core, wanted: &str) -> Result<Option<OrganizationRecord>> {
    let scope = Scope::System("the organization is looked up before anything is known about it");
    let mut transaction = core.pool.begin(scope).await?;
    let found = find_named(&mut transaction, wanted).await;
    Ok(found.map_err(|error| core.pool.statement_error(error))?)
}

/// The live organization that a slug or an id names (system scope).
pub(crate) async fn find_named(
    connection: &mut PgConnection,
    wanted: &str,
) -> sqlx::Result<Option<OrganizationRecord>> {
    let wanted = wanted.trim();
    match Uuid::parse_str(wanted) {
        Ok(id) => organizations::find(connection, OrganizationId::from_uuid(id)).await,
        Err(_) if is_slug(wanted) => organizations::find_by_slug(connection, wanted).await,
        Err(_) => Ok(None),
    }
}

/// A live organization. Asks no right: see [`find_by_slug_or_id`].
///
/// # Errors
/// `NotFound`; those of the database.
pub async fn load(core: &Core, organization_id: OrganizationId) -> Result<OrganizationRecord> {
    let mut transaction = core
        .pool
        .begin(Scope::Organization(organization_id))
        .await?;
    organizations::find(&mut transaction, organization_id)
        .await
        .map_err(|error| core.pool.statement_error(error))?
        .ok_or_else(|| Fault::not_found(access::noun(Resource::Organization)).into())
}

/// Whether a text can be a slug. What reads as an id is none, so that both can be told apart.
pub(crate) fn is_slug(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=SLUG_CHARACTERS_MAX).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
        && Uuid::parse_str(text).is_err()
}

fn check_slug(slug: &str) -> Result<()> {
    if is_slug(slug) {
        return Ok(());
    }
    let message = format!(
        "Use 1 to {SLUG_CHARACTERS_MAX} lower-case letters, digits and hyphens, no hyphen at \
         either end, and no UUID."
    );
    Err(Fault::invalid("slug_invalid", "slug", message).into())
}

fn check_name(name: &str) -> Result<String> {
    check_line(name, NAME_CHARACTERS_MAX, ("name_invalid", "name"))
}

fn check_quotas(max_users: Option<i64>, max_certificates: Option<i64>) -> Result<()> {
    let quotas = [
        ("max_users", max_users, USERS_MAX),
        ("max_certificates", max_certificates, CERTIFICATES_MAX),
    ];
    for (field, quota, most) in quotas {
        if quota.is_some_and(|quota| !(0..=most).contains(&quota)) {
            let message = format!("Use 0 to {most}, or leave it out for no limit.");
            return Err(Fault::invalid("quota_out_of_range", field, message).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
