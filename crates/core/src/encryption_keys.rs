//! The keys that seal what an organization stores: seen, put on a schedule, and erased for ever.
//! Replacing them is in [`crate::key_rotations`]. Their material never comes here.

use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::EncryptionKeyId;
use clm_domain::permission::{Action, Resource};
use clm_secure_api::command::{
    EraseOrganizationKeys, ListEncryptionKeys, LoadEncryptionKey, SetKeyRotationSchedule,
};
pub use clm_secure_api::reply::EncryptionKey;
use serde_json::json;
use uuid::Uuid;

use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::Result;
use crate::page::{Page, PageRequest};
use crate::{Core, audit, organizations};

/// Keys of the organization, newest first.
///
/// # Errors
/// Those of [`access::authorize`] and of the Secure Service.
pub async fn list(
    context: &OpContext,
    core: &Core,
    page: PageRequest,
) -> Result<Page<EncryptionKey>> {
    let target = Target::kind(context, Resource::EncryptionKey);
    access::authorize(context, core, Action::List, target).await?;
    let command = ListEncryptionKeys {
        after: page.after.map(EncryptionKeyId::from_uuid),
        limit: page.limit + 1,
    };
    let rows = core
        .secure
        .list_encryption_keys(context.call(), command)
        .await?;
    Ok(page.page(rows, |key| key.encryption_key_id.as_uuid()))
}

/// One key of the organization.
///
/// # Errors
/// `NotFound` for unknown and foreign ids alike; those of [`access::authorize`].
pub async fn load(
    context: &OpContext,
    core: &Core,
    encryption_key_id: EncryptionKeyId,
) -> Result<EncryptionKey> {
    let target = Target::kind(context, Resource::EncryptionKey);
    access::authorize(context, core, Action::Read, target).await?;
    // The Secure Service answers only for keys of the organization.
    let command = LoadEncryptionKey { encryption_key_id };
    Ok(core
        .secure
        .load_encryption_key(context.call(), command)
        .await?)
}

/// Says how often the data key is rotated, in days; `None` for no schedule. Returns the key.
///
/// # Errors
/// `Invalid` for a schedule out of range; `Conflict` when the organization has no data key yet.
pub async fn set_schedule(
    context: &OpContext,
    core: &Core,
    days: Option<u32>,
) -> Result<EncryptionKey> {
    let target = Target::kind(context, Resource::EncryptionKey);
    access::authorize(context, core, Action::Update, target).await?;
    let command = SetKeyRotationSchedule { days };
    let set = core
        .secure
        .set_key_rotation_schedule(context.call(), command)
        .await;
    let id = set.as_ref().ok().map(|key| key.encryption_key_id.as_uuid());
    let row = row(context, core, CoreEvent::KeyRotationScheduleChanged, id)
        .with_details(json!({ "days": days }));
    let row = match &set {
        Ok(_) => row,
        Err(error) => row.refused(error.0.code.clone()),
    };
    audit::record(context, core, row).await?;
    Ok(set?)
}

/// Destroys every data key of the caller's organization, and so all that they sealed: its private
/// keys, for ever. Returns how many keys that were.
///
/// # Errors
/// `Invalid` unless `slug` is that of the organization; `PolicyViolation` for the system
/// organization.
pub async fn erase(context: &OpContext, core: &Core, slug: &str, reason: String) -> Result<u64> {
    let target = Target::kind(context, Resource::EncryptionKey);
    access::authorize(context, core, Action::Delete, target).await?;
    let organization_id = context.organization_id;
    let stated_reason: String = reason.chars().take(200).collect();
    let erased = match check_slug(context, core, slug).await {
        Ok(()) => core
            .secure
            .erase_organization_keys(context.call(), EraseOrganizationKeys { reason })
            .await
            .map_err(Into::into),
        Err(error) => Err(error),
    };
    let id = Some(organization_id.as_uuid());
    let row = row(context, core, CoreEvent::EncryptionKeysErased, id)
        .with_details(json!({ "stated_reason": stated_reason }));
    let row = match &erased {
        Ok(_) => row,
        Err(error) => row.refused(error.0.code.clone()),
    };
    audit::record(context, core, row).await?;
    erased
}

/// Nobody erases an organization by mistake: its slug has to be said.
async fn check_slug(context: &OpContext, core: &Core, slug: &str) -> Result<()> {
    let organization = organizations::load(core, context.organization_id).await?;
    if organization.slug == slug {
        return Ok(());
    }
    let message = "This is not the slug of your organization. Erasing its keys makes every private \
        key that it holds useless for ever.";
    Err(
        Fault::new(ErrorKind::Invalid, "organization_mismatch", message)
            .with_violation("organization", message)
            .into(),
    )
}

fn row(context: &OpContext, core: &Core, event: CoreEvent, resource_id: Option<Uuid>) -> AuditRow {
    let (now, rng) = (core.clock.now(), core.rng.as_ref());
    AuditRow::success(event, &context.cause(), resource_id, now, rng)
}
