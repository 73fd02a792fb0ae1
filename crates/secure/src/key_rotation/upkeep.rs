//! What nobody asks for one by one: rotations whose time has come, and the end of keys that nothing
//! needs any more.

use std::sync::Arc;

use chrono::TimeDelta;
use clm_domain::actor::Actor;
use clm_domain::audit::{Cause, SecureEvent};
use clm_domain::error::ErrorKind;
use clm_domain::ids::RequestId;
use clm_domain::states::KeyRotationType;
use clm_secure_api::command::StartKeyRotation;
use serde_json::json;

use super::KeyRotationError;
use crate::Secure;
use crate::audit::{Stamp, row};
use crate::error::Failure;
use crate::store::data_key_lifecycle::{DescribeDestroyed, OwnedDataKey};

/// How long a key is kept after it went out of use, in hours: for whoever reads with it at that
/// moment, and for whoever notices a mistake.
const RETIRED_HOURS_MIN: i64 = 24;
/// What the history says of a scheduled rotation.
const SCHEDULED_REASON: &str = "the rotation schedule of the key";

impl Secure {
    /// Starts the rotations that are due by schedule, and destroys keys that went out of use a day
    /// ago and under which nothing is sealed any more. Meant for a background loop; any number of
    /// processes may call it at once, and calling it often costs little.
    ///
    /// # Errors
    /// [`KeyRotationError`]; the next call goes on.
    pub async fn maintain_keys(&self) -> Result<(), KeyRotationError> {
        for key in self.store.list_due_schedules(self.clock.now()).await? {
            let organization_id = key.organization_id;
            // One organization's trouble is not that of the others.
            if let Err(error) = self.start_scheduled(key).await {
                metrics::counter!("clm_key_rotations_not_started_total").increment(1);
                tracing::error!(
                    organization.id = %organization_id, %error,
                    "a scheduled rotation could not be started and will be tried again"
                );
            }
        }
        self.destroy_unused().await
    }

    async fn start_scheduled(&self, key: OwnedDataKey) -> Result<(), KeyRotationError> {
        let cause = Cause {
            actor: &Actor::System,
            organization_id: key.organization_id,
            request_id: RequestId::generate(self.clock.now(), self.rng.as_ref()),
        };
        let command = StartKeyRotation {
            rotation_type: KeyRotationType::Scheduled,
            reason: Some(SCHEDULED_REASON.to_owned()),
            items_per_second_max: None,
        };
        match self.start_rotation(&cause, &command).await {
            Ok(_) => Ok(()),
            // Another process was faster, or one that somebody started is still running.
            Err(Failure::Refused(fault)) if fault.kind == ErrorKind::Conflict => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn destroy_unused(&self) -> Result<(), KeyRotationError> {
        let now = self.clock.now();
        let rng = Arc::clone(&self.rng);
        let describe: DescribeDestroyed = Arc::new(move |key| {
            let cause = Cause {
                actor: &Actor::System,
                organization_id: key.organization_id,
                request_id: RequestId::generate(now, rng.as_ref()),
            };
            let event = SecureEvent::EncryptionKeyDestroyed;
            let rng = rng.as_ref();
            let stamp = Stamp { now, rng };
            row(event, &cause, Some(key.id.as_uuid()), json!({}), stamp)
        });
        let describe_masters = Arc::clone(&describe);
        let retired_before = now - TimeDelta::hours(RETIRED_HOURS_MIN);
        let destroyed = self
            .store
            .destroy_unused_data_keys((retired_before, now), describe)
            .await?;
        let masters = self
            .store
            .destroy_unused_master_keys((retired_before, now), describe_masters)
            .await?;
        for key in masters {
            tracing::info!(
                encryption_key.id = %key.id,
                "a master key that wraps nothing any more counts as destroyed"
            );
        }
        for key in destroyed {
            tracing::info!(
                encryption_key.id = %key.id, organization.id = %key.organization_id,
                "destroyed a data key that nothing was sealed under any more"
            );
        }
        Ok(())
    }
}
