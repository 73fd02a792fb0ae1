//! How data keys come and go: the first one of an organization, its successor when it has sealed as
//! often as it may, and the count that says so.

use std::sync::atomic::Ordering;

use clm_domain::audit::{Cause, SecureEvent};
use clm_domain::ids::{EncryptionKeyId, OrganizationId, UserId};
use clm_domain::secret::SecretBytes;
use serde_json::json;
use zeroize::Zeroizing;

use super::{DataKey, DataKeys, SEALS_RESERVED};
use crate::audit::{Stamp, cause_in, row};
use crate::envelope::{ALGORITHM, KEY_BYTES, Place};
use crate::error::Failure;
use crate::store::encryption_keys::NewDataKey;

impl DataKeys {
    /// A fresh data key of the organization, wrapped, with the audit event of its making. It is
    /// none before it is stored.
    ///
    /// # Errors
    /// [`Failure::MasterKey`].
    pub(crate) fn generate(
        &self,
        organization_id: OrganizationId,
        cause: &Cause<'_>,
    ) -> Result<NewDataKey, Failure> {
        let (now, rng) = (self.clock.now(), self.rng.as_ref());
        let id = EncryptionKeyId::generate(now, rng);
        let mut material = Zeroizing::new(vec![0_u8; KEY_BYTES]);
        rng.fill(&mut material);
        let material = SecretBytes::new(std::mem::take(&mut *material));
        let master = self.master_keys.wrapping()?;
        let place = Place::data_key(id, organization_id, master.id);
        let wrapped = master.key.wrap(&material, &place.additional_data(), rng)?;
        let details = json!({
            "key_type": "data",
            "key_algorithm": ALGORITHM,
            "wrapping_key_id": master.id.to_string(),
        });
        let cause_here = cause_in(cause, organization_id);
        let event = SecureEvent::EncryptionKeyCreated;
        let stamp = Stamp { now, rng };
        let audit = row(event, &cause_here, Some(id.as_uuid()), details, stamp);
        Ok(NewDataKey {
            id,
            organization_id,
            wrapping_key_id: master.id,
            provider: master.provider,
            wrapped,
            seal_count_max: self.seals_max,
            created_by_user_id: cause.actor.user_id().map(UserId::as_uuid),
            created_at: now,
            audit,
        })
    }

    /// Makes the first key of the organization, unless somebody else has.
    pub(super) async fn create(
        &self,
        organization_id: OrganizationId,
        cause: &Cause<'_>,
    ) -> Result<(), Failure> {
        let new = self.generate(organization_id, cause)?;
        let id = new.id;
        if self.store.insert_data_key(new).await? {
            tracing::info!(
                encryption_key.id = %id, organization.id = %organization_id,
                "made the data key of an organization"
            );
            return Ok(());
        }
        // Somebody was faster, or the master key was replaced.
        self.master_keys.refresh().await.map(drop)
    }

    /// Replaces a key that has sealed as often as it may: its successor is active at once, and it
    /// still opens. Does nothing when it is not active any more, or has seals left.
    pub(super) async fn roll_over(&self, key: &DataKey, cause: &Cause<'_>) -> Result<(), Failure> {
        let new = self.generate(key.organization_id, cause)?;
        let (id, now) = (new.id, new.created_at);
        let details = json!({ "new_encryption_key_id": id.to_string() });
        let cause_here = cause_in(cause, key.organization_id);
        let event = SecureEvent::EncryptionKeyRolledOver;
        let rng = self.rng.as_ref();
        let stamp = Stamp { now, rng };
        let audit = row(event, &cause_here, Some(key.id.as_uuid()), details, stamp);
        if self.store.roll_over_data_key(key.id, new, audit).await? {
            tracing::info!(
                encryption_key.id = %key.id, encryption_key.successor_id = %id,
                organization.id = %key.organization_id,
                "a data key has sealed as often as it may and was replaced"
            );
            return Ok(());
        }
        self.master_keys.refresh().await.map(drop)
    }

    /// Takes reserved seals, reserving more when they are used up; false when the key may not seal
    /// so often, or is not active any more.
    pub(super) async fn count_seals(&self, key: &DataKey, count: i64) -> Result<bool, Failure> {
        if key.take_seals(count) {
            return Ok(true);
        }
        let _turn = key.reserving.lock().await;
        // Who held the turn before has reserved for all who waited.
        while !key.take_seals(count) {
            let granted = self
                .store
                .reserve_seals(key.organization_id, key.id, SEALS_RESERVED)
                .await?;
            if granted == 0 {
                return Ok(false);
            }
            key.seals_left.fetch_add(granted, Ordering::Relaxed);
        }
        Ok(true)
    }
}
