//! The commands about rotations: start, cancel, and what is read of them.

use clm_domain::audit::{Cause, SecureEvent};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{KeyRotationId, OrganizationId, UserId};
use clm_domain::limits::{REASON_CHARACTERS_MAX, ROTATION_ITEMS_PER_SECOND_MAX};
use clm_domain::states::KeyRotationType;
use clm_secure_api::command::{
    CancelKeyRotation, ListExposedKeys, ListExposedSecrets, ListKeyRotations, LoadKeyRotation,
    StartKeyRotation,
};
use clm_secure_api::reply::KeyRotation;
use clm_secure_api::{CallContext, Reply};
use serde_json::{Value, json};

use crate::Secure;
use crate::audit::{RefusedAct, Stamp, cause, row};
use crate::encryption_keys::{no_key_yet, replaced_meanwhile};
use crate::error::Failure;
use crate::queries::page_size;
use crate::store::key_rotations::{NewKeyRotation, NotCancelled, NotStarted};

/// The throttle of rotations that nobody waits for, in private keys a second, unless told otherwise.
const ITEMS_PER_SECOND_DEFAULT: u32 = 2_000;
/// How often a rotation is tried whose old key was replaced meanwhile.
const ATTEMPTS_MAX: u32 = 3;

impl Secure {
    /// Carries out [`StartKeyRotation`].
    pub(crate) async fn start_key_rotation(
        &self,
        context: &CallContext,
        command: StartKeyRotation,
    ) -> Result<Reply, Failure> {
        let started = match check_type(&command) {
            Ok(()) => self.start_rotation(&cause(context), &command).await,
            Err(fault) => Err(fault.into()),
        };
        let failure = match started {
            Ok(rotation) => return Ok(Reply::KeyRotation(Box::new(rotation))),
            Err(failure) => failure,
        };
        let act = RefusedAct {
            event: SecureEvent::KeyRotationStarted,
            resource_id: None,
            details: details(&command),
        };
        Err(self.audited(context, act, failure).await)
    }

    /// Starts a rotation for whoever `cause` names.
    pub(super) async fn start_rotation(
        &self,
        cause: &Cause<'_>,
        command: &StartKeyRotation,
    ) -> Result<KeyRotation, Failure> {
        check_reason(command.reason.as_deref())?;
        let items_per_second_max = throttle(command)?;
        let organization_id = cause.organization_id;
        for _ in 0..ATTEMPTS_MAX {
            let new = self
                .describe_rotation(cause, command, items_per_second_max)
                .await?;
            let id = new.id;
            match self.store.start_key_rotation(new).await {
                Ok(()) => {
                    self.data_keys.forget_active(organization_id);
                    tracing::info!(
                        key_rotation.id = %id, organization.id = %organization_id,
                        key_rotation.kind = %command.rotation_type,
                        "the rotation of a data key began"
                    );
                    return self.find_rotation(organization_id, id).await;
                }
                Err(NotStarted::KeyChanged) => {
                    self.master_keys.refresh().await?;
                }
                Err(NotStarted::InProgress) => return Err(in_progress().into()),
                Err(NotStarted::Database(error)) => return Err(error.into()),
            }
        }
        Err(replaced_meanwhile().into())
    }

    async fn describe_rotation(
        &self,
        cause: &Cause<'_>,
        command: &StartKeyRotation,
        items_per_second_max: Option<i32>,
    ) -> Result<NewKeyRotation, Failure> {
        let organization_id = cause.organization_id;
        let old = self.store.find_active_data_key(organization_id).await?;
        let old = old.ok_or_else(no_key_yet)?;
        let new_key = self.data_keys.generate(organization_id, cause)?;
        let (now, rng) = (new_key.created_at, self.rng.as_ref());
        let id = KeyRotationId::generate(now, rng);
        let mut details = details(command);
        if let Some(fields) = details.as_object_mut() {
            let keys = [
                ("old_encryption_key_id", old.id),
                ("new_encryption_key_id", new_key.id),
            ];
            for (name, id) in keys {
                fields.insert(name.to_owned(), Value::from(id.to_string()));
            }
        }
        let event = SecureEvent::KeyRotationStarted;
        let audit = row(
            event,
            cause,
            Some(id.as_uuid()),
            details,
            Stamp { now, rng },
        );
        Ok(NewKeyRotation {
            id,
            organization_id,
            rotation_type: command.rotation_type,
            old_encryption_key_id: old.id,
            new_key,
            initiated_by_user_id: cause.actor.user_id().map(UserId::as_uuid),
            reason: command.reason.clone(),
            items_per_second_max,
            started_at: now,
            audit,
        })
    }

    /// Carries out [`CancelKeyRotation`].
    pub(crate) async fn cancel_key_rotation(
        &self,
        context: &CallContext,
        command: CancelKeyRotation,
    ) -> Result<Reply, Failure> {
        let id = command.key_rotation_id;
        let failure = match self.cancel(context, id).await {
            Ok(rotation) => return Ok(Reply::KeyRotation(Box::new(rotation))),
            Err(failure) => failure,
        };
        if matches!(&failure, Failure::Refused(fault) if fault.kind == ErrorKind::NotFound) {
            return Err(failure);
        }
        let act = RefusedAct {
            event: SecureEvent::KeyRotationCancelled,
            resource_id: Some(id.as_uuid()),
            details: json!({}),
        };
        Err(self.audited(context, act, failure).await)
    }

    async fn cancel(
        &self,
        context: &CallContext,
        id: KeyRotationId,
    ) -> Result<KeyRotation, Failure> {
        let organization_id = context.organization_id;
        let (now, rng) = (self.clock.now(), self.rng.as_ref());
        let event = SecureEvent::KeyRotationCancelled;
        let resource_id = Some(id.as_uuid());
        let stamp = Stamp { now, rng };
        let audit = row(event, &cause(context), resource_id, json!({}), stamp);
        match self
            .store
            .cancel_key_rotation(organization_id, id, now, audit)
            .await
        {
            Ok(()) => {
                self.data_keys.forget_active(organization_id);
                tracing::info!(key_rotation.id = %id, "the rotation of a data key is rolled back");
            }
            Err(NotCancelled::Already) => {}
            Err(NotCancelled::Database(error)) => return Err(error.into()),
            Err(refusal) => return Err(not_cancelled(&refusal).into()),
        }
        self.find_rotation(organization_id, id).await
    }

    /// Carries out [`LoadKeyRotation`].
    pub(crate) async fn load_key_rotation(
        &self,
        context: &CallContext,
        command: LoadKeyRotation,
    ) -> Result<Reply, Failure> {
        let id = command.key_rotation_id;
        let rotation = self.find_rotation(context.organization_id, id).await?;
        Ok(Reply::KeyRotation(Box::new(rotation)))
    }

    async fn find_rotation(
        &self,
        organization_id: OrganizationId,
        id: KeyRotationId,
    ) -> Result<KeyRotation, Failure> {
        let found = self.store.find_key_rotation(organization_id, id).await?;
        found.ok_or_else(|| not_found().into())
    }

    /// Carries out [`ListKeyRotations`].
    pub(crate) async fn list_key_rotations(
        &self,
        context: &CallContext,
        command: ListKeyRotations,
    ) -> Result<Reply, Failure> {
        let limit = page_size(command.limit);
        let rotations = self
            .store
            .list_key_rotations(context.organization_id, command.after, limit)
            .await?;
        Ok(Reply::KeyRotations(rotations))
    }

    /// Carries out [`ListExposedKeys`].
    pub(crate) async fn list_exposed_keys(
        &self,
        context: &CallContext,
        command: ListExposedKeys,
    ) -> Result<Reply, Failure> {
        let (organization_id, id) = (context.organization_id, command.key_rotation_id);
        self.find_rotation(organization_id, id).await?;
        let limit = page_size(command.limit);
        let exposed = self
            .store
            .list_exposed_keys((organization_id, id), command.after, limit)
            .await?;
        Ok(Reply::ExposedKeys(exposed))
    }

    /// Carries out [`ListExposedSecrets`].
    pub(crate) async fn list_exposed_secrets(
        &self,
        context: &CallContext,
        command: ListExposedSecrets,
    ) -> Result<Reply, Failure> {
        let (organization_id, id) = (context.organization_id, command.key_rotation_id);
        self.find_rotation(organization_id, id).await?;
        let limit = page_size(command.limit);
        let exposed = self
            .store
            .list_exposed_secrets((organization_id, id), command.after, limit)
            .await?;
        Ok(Reply::ExposedSecrets(exposed))
    }
}

/// Checks the reason of an act, where one is given.
pub(crate) fn check_reason(reason: Option<&str>) -> Result<(), Fault> {
    let Some(reason) = reason else { return Ok(()) };
    let length = reason.chars().count();
    if length > 0
        && length <= REASON_CHARACTERS_MAX
        && reason.trim() == reason
        && !reason.chars().any(char::is_control)
    {
        return Ok(());
    }
    let message = format!(
        "The reason must have 1 to {REASON_CHARACTERS_MAX} characters, no control characters, and \
         no space at its ends."
    );
    Err(Fault::invalid("reason_invalid", "reason", message))
}

/// Nobody but the schedule starts a scheduled rotation: it would put the next one off.
fn check_type(command: &StartKeyRotation) -> Result<(), Fault> {
    if command.rotation_type != KeyRotationType::Scheduled {
        return Ok(());
    }
    let message = "A scheduled rotation is started by the schedule. Use 'manual', 'emergency' or \
        'compromise'.";
    Err(Fault::invalid(
        "rotation_type_invalid",
        "rotation_type",
        message,
    ))
}

/// How fast the rotation may go. What is urgent is not held back unless somebody says so.
fn throttle(command: &StartKeyRotation) -> Result<Option<i32>, Fault> {
    let rate = match (command.items_per_second_max, command.rotation_type) {
        (Some(rate), _) => rate,
        (None, KeyRotationType::Scheduled | KeyRotationType::Manual) => ITEMS_PER_SECOND_DEFAULT,
        (None, KeyRotationType::Emergency | KeyRotationType::Compromise) => return Ok(None),
    };
    let stored = i32::try_from(rate)
        .ok()
        .filter(|_| (1..=ROTATION_ITEMS_PER_SECOND_MAX).contains(&rate));
    stored.map(Some).ok_or_else(|| {
        let message = format!("The throttle must be 1 to {ROTATION_ITEMS_PER_SECOND_MAX}.");
        Fault::invalid("throttle_out_of_range", "items_per_second_max", message)
    })
}

fn details(command: &StartKeyRotation) -> Value {
    json!({
        "rotation_type": command.rotation_type.as_str(),
        "stated_reason": command.reason,
    })
}

fn not_found() -> Fault {
    Fault::not_found("key rotation")
}

fn in_progress() -> Fault {
    let message = "A rotation of this organization's data key is running. Wait until it ends, or \
        cancel it.";
    Fault::new(ErrorKind::Conflict, "key_rotation_in_progress", message)
}

fn not_cancelled(refusal: &NotCancelled) -> Fault {
    match refusal {
        NotCancelled::Ended => {
            let message = "The rotation has ended, and there is nothing to cancel. To replace the \
                key again, start another one.";
            Fault::new(ErrorKind::Conflict, "key_rotation_ended", message)
        }
        NotCancelled::Compromised => {
            let message = "The old key is known to others, so that nothing may be sealed under it \
                again. Let the rotation end.";
            Fault::new(ErrorKind::PolicyViolation, "key_compromised", message)
        }
        NotCancelled::Unknown => not_found(),
        NotCancelled::Already | NotCancelled::KeyChanged | NotCancelled::Database(_) => {
            replaced_meanwhile()
        }
    }
}
