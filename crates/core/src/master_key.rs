//! The master key of the installation, and the seal over a split one: seen, replaced, proved to exist
//! elsewhere, opened by its custodians. The key itself never comes here; shares pass through.
//!
//! It belongs to the installation. Who may do something here holds a role in the system organization;
//! that a tenant gives its own people such words gives them nothing. Commands go to the Secure Service
//! for the system organization, and both audit logs have them there, whoever acted from wherever.

use clm_domain::audit::{AuditRow, Cause, CoreEvent};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{EncryptionKeyId, SYSTEM_ORGANIZATION};
use clm_domain::permission::{Action, Resource};
use clm_domain::secret::SecretString;
use clm_domain::states::{KeyRotationType, MasterKeyProviderKind};
use clm_secure_api::CallContext;
use clm_secure_api::command::{
    ConfirmMasterKeyBackup, LoadMasterKey, LoadSealStatus, MakeMasterKeyShares, ResetUnseal,
    RotateMasterKey, Seal, Unseal,
};
pub use clm_secure_api::reply::{KeyRotation, MasterKey, MasterKeyShares, SealStatus};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::{Core, audit};

/// Asks for a new master key.
#[derive(Clone, Debug)]
pub struct NewMasterKey {
    /// Who shall hold it.
    pub provider: MasterKeyProviderKind,
    /// The shares, when it is to be split.
    pub share_set_id: Option<Uuid>,
    /// Why.
    pub rotation_type: KeyRotationType,
    /// Why, in words.
    pub reason: Option<String>,
    /// Data keys that need not open.
    pub give_up: Vec<EncryptionKeyId>,
}

impl From<NewMasterKey> for RotateMasterKey {
    fn from(new: NewMasterKey) -> Self {
        Self {
            provider: new.provider,
            share_set_id: new.share_set_id,
            rotation_type: new.rotation_type,
            reason: new.reason,
            give_up: new.give_up,
        }
    }
}

/// The master key in force.
///
/// # Errors
/// Those of [`access::authorize`] and of the Secure Service.
pub async fn load(context: &OpContext, core: &Core) -> Result<MasterKey> {
    authorize(context, core, (Resource::MasterKey, Action::Read)).await?;
    let call = call(context);
    Ok(core.secure.load_master_key(call, LoadMasterKey {}).await?)
}

/// Makes `shares` shares of a master key that may come, of which `threshold` give it, and shows them
/// once.
///
/// # Errors
/// `Invalid` for a number of shares that cannot be.
pub async fn make_shares(
    context: &OpContext,
    core: &Core,
    (threshold, shares): (u8, u8),
) -> Result<MasterKeyShares> {
    authorize(context, core, (Resource::MasterKey, Action::Rotate)).await?;
    let details = json!({ "threshold": threshold, "shares": shares });
    let command = MakeMasterKeyShares { threshold, shares };
    let made = core
        .secure
        .make_master_key_shares(call(context), command)
        .await;
    let id = made.as_ref().ok().map(|made| made.share_set_id);
    let event = CoreEvent::MasterKeySharesMade;
    record(context, core, (event, id, details), made).await
}

/// Replaces the master key.
///
/// # Errors
/// `Conflict` when there is no new key, or another process was faster.
pub async fn rotate(context: &OpContext, core: &Core, new: NewMasterKey) -> Result<KeyRotation> {
    authorize(context, core, (Resource::MasterKey, Action::Rotate)).await?;
    let details = json!({
        "provider": new.provider.as_str(), "rotation_type": new.rotation_type.as_str(),
    });
    let command = RotateMasterKey::from(new);
    let rotated = core.secure.rotate_master_key(call(context), command).await;
    let id = rotated.as_ref().ok();
    let id = id.map(|rotation| rotation.key_rotation_id.as_uuid());
    let event = CoreEvent::MasterKeyRotated;
    record(context, core, (event, id, details), rotated).await
}

/// Says that a copy of the master key exists, which its check value proves.
///
/// # Errors
/// `Invalid` when it is no copy.
pub async fn confirm_backup(
    context: &OpContext,
    core: &Core,
    check_value: Option<[u8; 32]>,
) -> Result<MasterKey> {
    authorize(context, core, (Resource::MasterKey, Action::Update)).await?;
    let command = ConfirmMasterKeyBackup { check_value };
    let confirmed = core
        .secure
        .confirm_master_key_backup(call(context), command)
        .await;
    let id = confirmed.as_ref().ok();
    let id = id.map(|key| key.encryption_key_id.as_uuid());
    let event = CoreEvent::MasterKeyBackupConfirmed;
    record(context, core, (event, id, json!({})), confirmed).await
}

/// Whether the master key is sealed.
///
/// # Errors
/// Those of [`access::authorize`] and of the Secure Service.
pub async fn seal_status(context: &OpContext, core: &Core) -> Result<SealStatus> {
    authorize(context, core, (Resource::Seal, Action::Read)).await?;
    let call = call(context);
    Ok(core
        .secure
        .load_seal_status(call, LoadSealStatus {})
        .await?)
}

/// Gives one share. One that was given before changes nothing, and is no event.
///
/// # Errors
/// `Invalid` says what is wrong with the share; `Conflict` when nothing is sealed.
pub async fn unseal(context: &OpContext, core: &Core, share: SecretString) -> Result<SealStatus> {
    authorize(context, core, (Resource::Seal, Action::Unseal)).await?;
    let taken = core.secure.unseal(call(context), Unseal { share }).await;
    let event = match &taken {
        Ok(status) if !status.changed => return Ok(*status),
        Ok(status) if status.sealed => CoreEvent::UnsealShareAccepted,
        Ok(_) => CoreEvent::UnsealCompleted,
        Err(_) => CoreEvent::UnsealRefused,
    };
    let id = concerned(&taken);
    record(context, core, (event, id, json!({})), taken).await
}

/// Forgets the shares that were given.
///
/// # Errors
/// Those of [`access::authorize`] and of the Secure Service.
pub async fn reset_unseal(context: &OpContext, core: &Core) -> Result<SealStatus> {
    authorize(context, core, (Resource::Seal, Action::Unseal)).await?;
    let reset = core
        .secure
        .reset_unseal(call(context), ResetUnseal {})
        .await;
    let id = concerned(&reset);
    let event = CoreEvent::UnsealReset;
    record(context, core, (event, id, json!({})), reset).await
}

/// Takes a split master key out of the memory of the Secure Service. `force`: though nobody has proved
/// that its shares give it.
///
/// # Errors
/// `Conflict` when it is not split, or unproved and not forced.
pub async fn seal(context: &OpContext, core: &Core, force: bool) -> Result<SealStatus> {
    authorize(context, core, (Resource::Seal, Action::Administer)).await?;
    let sealed = core.secure.seal(call(context), Seal { force }).await;
    let id = concerned(&sealed);
    let event = CoreEvent::Sealed;
    record(
        context,
        core,
        (event, id, json!({ "forced": force })),
        sealed,
    )
    .await
}

async fn authorize(
    context: &OpContext,
    core: &Core,
    (resource, action): (Resource, Action),
) -> Result<()> {
    access::authorize(context, core, action, Target::installation(resource)).await
}

/// The context of a command about what belongs to the installation.
fn call(context: &OpContext) -> CallContext {
    CallContext {
        organization_id: SYSTEM_ORGANIZATION,
        ..context.call()
    }
}

fn concerned<E>(status: &std::result::Result<SealStatus, E>) -> Option<Uuid> {
    let status = status.as_ref().ok()?;
    status.encryption_key_id.map(Into::into)
}

/// Records how the act ended, and passes that on. An act that was done is never answered as if it had
/// not been: whoever holds fresh shares would take them for worthless.
async fn record<T, E>(
    context: &OpContext,
    core: &Core,
    (event, id, details): (CoreEvent, Option<Uuid>, Value),
    outcome: std::result::Result<T, E>,
) -> Result<T>
where
    CoreError: From<E>,
{
    let outcome = outcome.map_err(CoreError::from);
    let (now, rng) = (core.clock.now(), core.rng.as_ref());
    let cause = Cause {
        organization_id: SYSTEM_ORGANIZATION,
        ..context.cause()
    };
    let row = AuditRow::success(event, &cause, id, now, rng).with_details(details);
    let row = match &outcome {
        Ok(_) => row,
        Err(error) => row.refused(error.0.code.clone()),
    };
    let recorded = audit::record(context, core, row).await;
    match (recorded, outcome) {
        (Ok(()), outcome) => outcome,
        (Err(error), Ok(_)) => Err(done_unrecorded(event, &error)),
        (Err(error), Err(_)) => Err(error),
    }
}

fn done_unrecorded(event: CoreEvent, error: &CoreError) -> CoreError {
    tracing::error!(event.code = event.code(), error = %error, "what was done is not recorded");
    let message = "It was done. That could not be recorded in audit_log: clm_core_db does not answer. \
        Look at the master key (clm key master show, clm unseal --status) before you do anything else.";
    Fault::new(ErrorKind::Upstream, "done_unrecorded", message).into()
}
