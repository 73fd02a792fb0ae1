//! Organizations: the tenants.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::{DatabaseError, Scope};
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::clock::whole_milliseconds;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, SYSTEM_ORGANIZATION};
use clm_domain::permission::{Action, Resource};
use clm_domain::states::OrganizationStatus;
use serde_json::json;
use uuid::Uuid;

use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::store::{audit_log, organizations};
use crate::{Core, audit};

/// Longest name, in characters.
const NAME_CHARACTERS_MAX: usize = 200;
/// Longest slug, in characters: that of a DNS label (RFC 1035 §2.3.4).
const SLUG_CHARACTERS_MAX: usize = 63;
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
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Makes an organization. Organizations are made in the system organization.
///
/// # Errors
/// `Invalid`, naming the field; `Conflict` with code `slug_taken`; those of [`access::authorize`]
/// and of the database.
pub async fn create(
    context: &OpContext,
    core: &Core,
    new: NewOrganization,
) -> Result<OrganizationRecord> {
    let target = Target {
        organization_id: SYSTEM_ORGANIZATION,
        ..Target::kind(context, Resource::Organization)
    };
    access::authorize(context, core, Action::Create, target).await?;
    let name = check_name(&new.name)?;
    check_slug(&new.slug)?;
    let now = whole_milliseconds(core.clock.now());
    let record = OrganizationRecord {
        organization_id: OrganizationId::generate(now, core.rng.as_ref()),
        name,
        slug: new.slug,
        status: OrganizationStatus::Active,
        created_at: now,
    };
    let resource_id = Some(record.organization_id.as_uuid());
    let event = CoreEvent::OrganizationCreated;
    let row = AuditRow::success(event, &context.cause(), resource_id, now, core.rng.as_ref())
        .with_details(json!({ "slug": record.slug }));
    let creation = Arc::new((record, audit::with_origin(context, row)));
    let scope = Scope::System("a new organization has no scope of its own yet");
    core.pool
        .transact::<_, DatabaseError, _>("organizations::create", scope, |connection| {
            let creation = Arc::clone(&creation);
            Box::pin(async move {
                let (record, row) = creation.as_ref();
                organizations::insert(connection, record).await?;
                Ok(audit_log::insert(connection, row).await?)
            })
        })
        .await
        .map_err(taken_or_failed)?;
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

/// The live organization with this id or slug. Asks no right: for the platform itself (bootstrap,
/// sign-in, the local operator), never for an answer to somebody else.
///
/// # Errors
/// Those of the database.
pub async fn find_by_slug_or_id(core: &Core, wanted: &str) -> Result<Option<OrganizationRecord>> {
    let wanted = wanted.trim();
    let scope = Scope::System("the organization is looked up before anything is known about it");
    let mut transaction = core.pool.begin(scope).await?;
    let found = match Uuid::parse_str(wanted) {
        Ok(id) => organizations::find(&mut transaction, OrganizationId::from_uuid(id)).await,
        Err(_) if is_slug(wanted) => organizations::find_by_slug(&mut transaction, wanted).await,
        Err(_) => Ok(None),
    };
    Ok(found.map_err(|error| core.pool.statement_error(error))?)
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
    let name = name.trim();
    let fits = (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count());
    if fits && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    let message =
        format!("Use 1 to {NAME_CHARACTERS_MAX} characters, none of them a control character.");
    Err(Fault::invalid("name_invalid", "name", message).into())
}

#[cfg(test)]
mod tests;
