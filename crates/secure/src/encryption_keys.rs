//! The encryption keys of an organization as people see them: read, put on a schedule, and erased
//! with all that they sealed. Their material never leaves.

use clm_domain::audit::SecureEvent;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::limits::ROTATION_SCHEDULE_DAYS_MAX;
use clm_domain::states::EncryptionKeyStatus;
use clm_secure_api::command::{
    EraseOrganizationKeys, ListEncryptionKeys, LoadEncryptionKey, SetKeyRotationSchedule,
};
use clm_secure_api::reply::EncryptionKey;
use clm_secure_api::{CallContext, Reply};
use serde_json::json;

use crate::Secure;
use crate::audit::{RefusedAct, Stamp, cause, row};
use crate::error::Failure;
use crate::key_rotation::check_reason;
use crate::queries::page_size;

/// How often a key is looked for again that was replaced meanwhile.
const ATTEMPTS_MAX: u32 = 3;

impl Secure {
    /// Carries out [`ListEncryptionKeys`].
    pub(crate) async fn list_encryption_keys(
        &self,
        context: &CallContext,
        command: ListEncryptionKeys,
    ) -> Result<Reply, Failure> {
        let limit = page_size(command.limit);
        let keys = self
            .store
            .list_encryption_keys(context.organization_id, command.after, limit)
            .await?;
        Ok(Reply::EncryptionKeys(keys))
    }

    /// Carries out [`LoadEncryptionKey`].
    pub(crate) async fn load_encryption_key(
        &self,
        context: &CallContext,
        command: LoadEncryptionKey,
    ) -> Result<Reply, Failure> {
        let found = self
            .store
            .find_encryption_key(context.organization_id, command.encryption_key_id)
            .await?;
        let key = found.ok_or_else(|| Fault::not_found("encryption key"))?;
        Ok(Reply::EncryptionKey(Box::new(key)))
    }

    /// Carries out [`SetKeyRotationSchedule`].
    pub(crate) async fn set_key_rotation_schedule(
        &self,
        context: &CallContext,
        command: SetKeyRotationSchedule,
    ) -> Result<Reply, Failure> {
        let failure = match self.set_schedule(context, command.days).await {
            Ok(key) => return Ok(Reply::EncryptionKey(Box::new(key))),
            Err(failure) => failure,
        };
        let act = RefusedAct {
            event: SecureEvent::KeyRotationScheduleChanged,
            resource_id: None,
            details: json!({ "days": command.days }),
        };
        Err(self.audited(context, act, failure).await)
    }

    async fn set_schedule(
        &self,
        context: &CallContext,
        days: Option<u32>,
    ) -> Result<EncryptionKey, Failure> {
        let stored_days = days.map(check_schedule).transpose()?;
        let organization_id = context.organization_id;
        for _ in 0..ATTEMPTS_MAX {
            let active = self.store.find_active_data_key(organization_id).await?;
            let id = active.ok_or_else(no_key_yet)?.id;
            let stamp = Stamp {
                now: self.clock.now(),
                rng: self.rng.as_ref(),
            };
            let audit = row(
                SecureEvent::KeyRotationScheduleChanged,
                &cause(context),
                Some(id.as_uuid()),
                json!({ "days": days }),
                stamp,
            );
            let place = (organization_id, id);
            if self
                .store
                .set_rotation_schedule(place, stored_days, audit)
                .await?
            {
                let key = self.store.find_encryption_key(organization_id, id).await?;
                return key.ok_or_else(|| Failure::Internal(format!("no encryption key {id}")));
            }
        }
        Err(replaced_meanwhile().into())
    }

    /// Carries out [`EraseOrganizationKeys`].
    pub(crate) async fn erase_organization_keys(
        &self,
        context: &CallContext,
        command: EraseOrganizationKeys,
    ) -> Result<Reply, Failure> {
        let failure = match self.erase(context, &command.reason).await {
            Ok(erased) => return Ok(Reply::ErasedKeys(erased)),
            Err(failure) => failure,
        };
        let act = RefusedAct {
            event: SecureEvent::EncryptionKeysErased,
            resource_id: Some(context.organization_id.as_uuid()),
            details: json!({ "stated_reason": command.reason }),
        };
        Err(self.audited(context, act, failure).await)
    }

    async fn erase(&self, context: &CallContext, reason: &str) -> Result<u64, Failure> {
        check_reason(Some(reason))?;
        let organization_id = context.organization_id;
        if organization_id == SYSTEM_ORGANIZATION {
            let message = "The keys of the system organization seal what all organizations share; \
                they cannot be erased.";
            let kind = ErrorKind::PolicyViolation;
            return Err(Fault::new(kind, "system_organization", message).into());
        }
        let now = self.clock.now();
        let stamp = Stamp {
            now,
            rng: self.rng.as_ref(),
        };
        let audit = row(
            SecureEvent::EncryptionKeysErased,
            &cause(context),
            Some(organization_id.as_uuid()),
            json!({ "stated_reason": reason }),
            stamp,
        );
        let erased = self
            .store
            .erase_data_keys(organization_id, now, audit)
            .await?;
        self.data_keys.forget(organization_id);
        self.issuers.forget_signing_keys();
        tracing::warn!(
            organization.id = %organization_id, encryption_keys.count = erased,
            "the data keys of an organization were erased"
        );
        Ok(erased)
    }
}

/// The organization has sealed nothing.
pub(crate) fn no_key_yet() -> Fault {
    let message = "This organization has no data key: it is made when something is sealed for the \
        first time, such as the key of a certificate.";
    Fault::new(ErrorKind::Conflict, "encryption_key_missing", message)
}

/// Each time it was looked for, the active key was another one.
pub(crate) fn replaced_meanwhile() -> Fault {
    let message = format!(
        "The {} data key of this organization was replaced meanwhile. Try again.",
        EncryptionKeyStatus::Active
    );
    Fault::new(ErrorKind::Conflict, "encryption_key_replaced", message)
}

fn check_schedule(days: u32) -> Result<i32, Fault> {
    let stored = i32::try_from(days)
        .ok()
        .filter(|_| (1..=ROTATION_SCHEDULE_DAYS_MAX).contains(&days));
    stored.ok_or_else(|| {
        let message = format!("The schedule must be 1 to {ROTATION_SCHEDULE_DAYS_MAX} days.");
        Fault::invalid("schedule_out_of_range", "days", message)
    })
}
