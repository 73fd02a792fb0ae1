//! Rotations of the organization's data key: started, watched and cancelled. The work itself is done
//! by the Secure Service while everything goes on.

use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::ids::{KeyRotationId, PrivateKeyId, SealedSecretId};
use clm_domain::permission::{Action, Resource};
use clm_domain::states::KeyRotationType;
use clm_secure_api::command::{
    CancelKeyRotation, ListExposedKeys, ListExposedSecrets, ListKeyRotations, LoadKeyRotation,
    StartKeyRotation,
};
pub use clm_secure_api::reply::{ExposedKey, ExposedSecret, KeyRotation};
use serde_json::json;
use uuid::Uuid;

use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::Result;
use crate::page::{Page, PageRequest};
use crate::{Core, audit};

/// Asks for a rotation.
#[derive(Clone, Debug)]
pub struct NewKeyRotation {
    /// Why.
    pub rotation_type: KeyRotationType,
    /// Why, in words.
    pub reason: Option<String>,
    /// Most secrets sealed anew in a second.
    pub items_per_second_max: Option<u32>,
}

/// Starts a rotation of the organization's data key.
///
/// # Errors
/// `Invalid` names the field; `Conflict` while another one runs, or when nothing was ever sealed.
pub async fn start(context: &OpContext, core: &Core, new: NewKeyRotation) -> Result<KeyRotation> {
    let target = Target::kind(context, Resource::EncryptionKey);
    access::authorize(context, core, Action::Rotate, target).await?;
    let rotation_type = new.rotation_type;
    let command = StartKeyRotation {
        rotation_type,
        reason: new.reason,
        items_per_second_max: new.items_per_second_max,
    };
    let started = core
        .secure
        .start_key_rotation(context.call(), command)
        .await;
    let id = started.as_ref().ok();
    let id = id.map(|rotation| rotation.key_rotation_id.as_uuid());
    let row = row(context, core, CoreEvent::KeyRotationStarted, id)
        .with_details(json!({ "rotation_type": rotation_type.as_str() }));
    let row = match &started {
        Ok(_) => row,
        Err(error) => row.refused(error.0.code.clone()),
    };
    audit::record(context, core, row).await?;
    Ok(started?)
}

/// Rotations of the organization, newest first.
///
/// # Errors
/// Those of [`access::authorize`] and of the Secure Service.
pub async fn list(
    context: &OpContext,
    core: &Core,
    page: PageRequest,
) -> Result<Page<KeyRotation>> {
    let target = Target::kind(context, Resource::EncryptionKey);
    access::authorize(context, core, Action::List, target).await?;
    let command = ListKeyRotations {
        after: page.after.map(KeyRotationId::from_uuid),
        limit: page.limit + 1,
    };
    let rows = core
        .secure
        .list_key_rotations(context.call(), command)
        .await?;
    Ok(page.page(rows, |rotation| rotation.key_rotation_id.as_uuid()))
}

/// One rotation of the organization.
///
/// # Errors
/// `NotFound` for unknown and foreign ids alike; those of [`access::authorize`].
pub async fn load(
    context: &OpContext,
    core: &Core,
    key_rotation_id: KeyRotationId,
) -> Result<KeyRotation> {
    load_authorized(context, core, key_rotation_id, Action::Read).await
}

/// Rolls a running rotation back. A repetition changes nothing.
///
/// # Errors
/// `NotFound`; `Conflict` when it has ended; `PolicyViolation` when the old key is known to others.
pub async fn cancel(
    context: &OpContext,
    core: &Core,
    key_rotation_id: KeyRotationId,
) -> Result<KeyRotation> {
    load_authorized(context, core, key_rotation_id, Action::Rotate).await?;
    let cancelled = core
        .secure
        .cancel_key_rotation(context.call(), CancelKeyRotation { key_rotation_id })
        .await;
    let id = Some(key_rotation_id.as_uuid());
    let row = row(context, core, CoreEvent::KeyRotationCancelled, id);
    let row = match &cancelled {
        Ok(_) => row,
        Err(error) => row.refused(error.0.code.clone()),
    };
    audit::record(context, core, row).await?;
    Ok(cancelled?)
}

/// The private keys that a compromise exposed, in order of their ids.
///
/// # Errors
/// `NotFound` for unknown and foreign rotations alike; those of [`access::authorize`].
pub async fn list_exposed(
    context: &OpContext,
    core: &Core,
    key_rotation_id: KeyRotationId,
    page: PageRequest,
) -> Result<Page<ExposedKey>> {
    let target = Target::kind(context, Resource::EncryptionKey);
    access::authorize(context, core, Action::Read, target).await?;
    let command = ListExposedKeys {
        key_rotation_id,
        after: page.after.map(PrivateKeyId::from_uuid),
        limit: page.limit + 1,
    };
    let rows = core
        .secure
        .list_exposed_keys(context.call(), command)
        .await?;
    Ok(page.page(rows, |key| key.private_key_id.as_uuid()))
}

/// The secrets that a compromise exposed, in order of their ids.
///
/// # Errors
/// `NotFound` for unknown and foreign rotations alike; those of [`access::authorize`].
pub async fn list_exposed_secrets(
    context: &OpContext,
    core: &Core,
    key_rotation_id: KeyRotationId,
    page: PageRequest,
) -> Result<Page<ExposedSecret>> {
    let target = Target::kind(context, Resource::EncryptionKey);
    access::authorize(context, core, Action::Read, target).await?;
    let command = ListExposedSecrets {
        key_rotation_id,
        after: page.after.map(SealedSecretId::from_uuid),
        limit: page.limit + 1,
    };
    let rows = core
        .secure
        .list_exposed_secrets(context.call(), command)
        .await?;
    Ok(page.page(rows, |secret| secret.sealed_secret_id.as_uuid()))
}

async fn load_authorized(
    context: &OpContext,
    core: &Core,
    key_rotation_id: KeyRotationId,
    action: Action,
) -> Result<KeyRotation> {
    let target = Target::kind(context, Resource::EncryptionKey);
    access::authorize(context, core, action, target).await?;
    // The Secure Service answers only for rotations of the organization.
    let command = LoadKeyRotation { key_rotation_id };
    Ok(core
        .secure
        .load_key_rotation(context.call(), command)
        .await?)
}

fn row(context: &OpContext, core: &Core, event: CoreEvent, resource_id: Option<Uuid>) -> AuditRow {
    let (now, rng) = (core.clock.now(), core.rng.as_ref());
    AuditRow::success(event, &context.cause(), resource_id, now, rng)
}
