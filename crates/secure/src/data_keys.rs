//! The data key of each organization: made on first need, wrapped by the master key, unwrapped in
//! memory while in use.
//!
//! Unwrapped keys never leave this process and are wiped when they leave the cache. Which key is
//! *active* is read anew every few seconds, so that a rotation by another process is noticed; until
//! then a retired key may still seal, which a rotation has to wait out before it counts what
//! remains.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::TimeDelta;
use clm_domain::audit::{Cause, SecureEvent};
use clm_domain::clock::{Clock, Rng};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{EncryptionKeyId, OrganizationId, PrivateKeyId, UserId};
use clm_domain::secret::SecretBytes;
use clm_domain::states::EncryptionKeyStatus;
use serde_json::json;
use zeroize::Zeroizing;

use crate::audit::{Stamp, cause_in, row};
use crate::cache::Cache;
use crate::envelope::{self, ALGORITHM, EnvelopeError, KEY_BYTES, Place, Sealed};
use crate::error::Failure;
use crate::master_key::{MasterKeyError, MasterKeyProvider};
use crate::store::SecureStore;
use crate::store::encryption_keys::{NewDataKey, StoredDataKey};

/// Most unwrapped keys in memory.
const KEYS_MAX: usize = 4096;
/// How long a key is taken for the active one, in seconds.
const ACTIVE_SECONDS_MAX: i64 = 5;
/// NIST SP 800-38D §8.3: at most 2^32 seals under one key when nonces are random.
const SEALS_MAX: i64 = 1 << 32;
/// Seals reserved at once. What a process does not use when it stops is lost.
const SEALS_RESERVED: i64 = 1 << 16;
/// How often the loser of a race for the first key looks for the winner's.
const ATTEMPTS_MAX: u32 = 3;

/// An unwrapped data key.
struct DataKey {
    id: EncryptionKeyId,
    organization_id: OrganizationId,
    material: SecretBytes,
    /// How many seals are reserved and not yet made.
    seals_left: AtomicI64,
    /// Held by whoever reserves more.
    reserving: tokio::sync::Mutex<()>,
}

/// A private key, sealed, and the data key that sealed it.
pub(crate) struct SealedPrivateKey {
    pub(crate) encryption_key_id: EncryptionKeyId,
    pub(crate) sealed: Sealed,
}

/// The data keys of all organizations.
pub(crate) struct DataKeys {
    store: SecureStore,
    master_key: Arc<dyn MasterKeyProvider>,
    master_key_id: EncryptionKeyId,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    unwrapped: Cache<EncryptionKeyId, Arc<DataKey>>,
    active: Cache<OrganizationId, Arc<DataKey>>,
}

impl DataKeys {
    /// Data keys under the master key whose row is `master_key_id`.
    pub(crate) fn new(
        store: SecureStore,
        master_key: Arc<dyn MasterKeyProvider>,
        master_key_id: EncryptionKeyId,
        (clock, rng): (Arc<dyn Clock>, Arc<dyn Rng>),
    ) -> Self {
        Self {
            store,
            master_key,
            master_key_id,
            clock,
            rng,
            unwrapped: Cache::new(KEYS_MAX, None),
            active: Cache::new(KEYS_MAX, Some(TimeDelta::seconds(ACTIVE_SECONDS_MAX))),
        }
    }

    /// Seals a private key of the organization, making its data key when it has none.
    ///
    /// # Errors
    /// [`Failure`]; `KeyUnavailable` when the data key has sealed as often as it may.
    pub(crate) async fn seal_private_key(
        &self,
        (organization_id, id): (OrganizationId, PrivateKeyId),
        pkcs8_der: &SecretBytes,
        cause: &Cause<'_>,
    ) -> Result<SealedPrivateKey, Failure> {
        let key = self.active(organization_id, cause).await?;
        self.count_seal(&key).await?;
        let place = Place::private_key(id, organization_id, key.id);
        let sealed = envelope::seal(&key.material, &place, pkcs8_der, self.rng.as_ref())?;
        Ok(SealedPrivateKey {
            encryption_key_id: key.id,
            sealed,
        })
    }

    /// Opens a private key of the organization.
    ///
    /// # Errors
    /// [`Failure::Envelope`] when it does not open; `KeyUnavailable` when its data key is
    /// revoked or gone.
    pub(crate) async fn open_private_key(
        &self,
        (organization_id, id): (OrganizationId, PrivateKeyId),
        encryption_key_id: EncryptionKeyId,
        sealed: &Sealed,
    ) -> Result<SecretBytes, Failure> {
        let key = self.by_id(organization_id, encryption_key_id).await?;
        let place = Place::private_key(id, organization_id, encryption_key_id);
        Ok(envelope::open(&key.material, &place, sealed)?)
    }

    async fn active(
        &self,
        organization_id: OrganizationId,
        cause: &Cause<'_>,
    ) -> Result<Arc<DataKey>, Failure> {
        let now = self.clock.now();
        if let Some(key) = self.active.find(&organization_id, now) {
            return Ok(key);
        }
        for _ in 0..ATTEMPTS_MAX {
            if let Some(stored) = self.store.find_active_data_key(organization_id).await? {
                let key = self.unwrap(&stored)?;
                self.active.store(organization_id, Arc::clone(&key), now);
                return Ok(key);
            }
            // Whether this process or another one makes it: the next round finds it.
            self.create(organization_id, cause).await?;
        }
        Err(Failure::Internal(format!(
            "organization {organization_id} has no active data key"
        )))
    }

    async fn by_id(
        &self,
        organization_id: OrganizationId,
        id: EncryptionKeyId,
    ) -> Result<Arc<DataKey>, Failure> {
        // Always asked, even when the key is in memory: a key that was revoked opens nothing from
        // then on.
        match self.store.find_data_key(organization_id, id).await? {
            Some(stored) if stored.status != EncryptionKeyStatus::Revoked => self.unwrap(&stored),
            _ => {
                let message = format!(
                    "The encryption key {id} is revoked or destroyed, so that what it sealed stays \
                     closed."
                );
                Err(Fault::new(
                    ErrorKind::KeyUnavailable,
                    "encryption_key_unavailable",
                    message,
                )
                .into())
            }
        }
    }

    /// The key in memory for `stored`, so that all users of one key share its count of seals.
    fn unwrap(&self, stored: &StoredDataKey) -> Result<Arc<DataKey>, Failure> {
        let now = self.clock.now();
        if let Some(key) = self.unwrapped.find(&stored.id, now) {
            return Ok(key);
        }
        let key = Arc::new(DataKey {
            id: stored.id,
            organization_id: stored.organization_id,
            material: unwrap_material(self.master_key.as_ref(), stored)?,
            seals_left: AtomicI64::new(0),
            reserving: tokio::sync::Mutex::default(),
        });
        self.unwrapped.store(stored.id, Arc::clone(&key), now);
        Ok(key)
    }

    async fn create(
        &self,
        organization_id: OrganizationId,
        cause: &Cause<'_>,
    ) -> Result<(), Failure> {
        let (now, rng) = (self.clock.now(), self.rng.as_ref());
        let id = EncryptionKeyId::generate(now, rng);
        let mut material = Zeroizing::new(vec![0_u8; KEY_BYTES]);
        rng.fill(&mut material);
        let material = SecretBytes::new(std::mem::take(&mut *material));
        let place = Place::data_key(id, organization_id, self.master_key_id);
        let wrapped = self
            .master_key
            .wrap(&material, &place.additional_data(), rng)?;
        let details = json!({
            "key_type": "data",
            "key_algorithm": ALGORITHM,
            "wrapping_key_id": self.master_key_id.to_string(),
        });
        let cause_here = cause_in(cause, organization_id);
        let event = SecureEvent::EncryptionKeyCreated;
        let audit = row(
            event,
            &cause_here,
            Some(id.as_uuid()),
            details,
            Stamp { now, rng },
        );
        let new = NewDataKey {
            id,
            organization_id,
            wrapping_key_id: self.master_key_id,
            provider: self.master_key.name(),
            wrapped,
            seal_count_max: SEALS_MAX,
            created_by_user_id: cause.actor.user_id().map(UserId::as_uuid),
            created_at: now,
            audit,
        };
        if self.store.insert_data_key(new).await? {
            tracing::info!(
                encryption_key.id = %id, organization.id = %organization_id,
                "made the data key of an organization"
            );
        }
        Ok(())
    }

    /// Takes one of the reserved seals, reserving more when they are used up.
    async fn count_seal(&self, key: &DataKey) -> Result<(), Failure> {
        if key.take_seal() {
            return Ok(());
        }
        let _turn = key.reserving.lock().await;
        // Who held the turn before has reserved for all who waited.
        if key.take_seal() {
            return Ok(());
        }
        let (organization_id, id) = (key.organization_id, key.id);
        if !self
            .store
            .reserve_seals(organization_id, id, SEALS_RESERVED)
            .await?
        {
            // The key may have been rotated meanwhile: look again next time.
            self.active.forget(&organization_id);
            let message = "The data key of this organization has sealed as often as it may, or was \
                just replaced. Try again; if that does not help, it has to be rotated.";
            let kind = ErrorKind::KeyUnavailable;
            return Err(Fault::new(kind, "encryption_key_exhausted", message).into());
        }
        key.seals_left
            .fetch_add(SEALS_RESERVED - 1, Ordering::Relaxed);
        Ok(())
    }
}

impl DataKey {
    /// Takes a reserved seal, if there is one.
    fn take_seal(&self) -> bool {
        let take = |left: i64| (left > 0).then(|| left - 1);
        self.seals_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

/// Unwraps a stored data key.
///
/// # Errors
/// [`Failure::Envelope`] naming the row when the master key does not open it.
pub(crate) fn unwrap_material(
    master_key: &dyn MasterKeyProvider,
    stored: &StoredDataKey,
) -> Result<SecretBytes, Failure> {
    let place = Place::data_key(stored.id, stored.organization_id, stored.wrapping_key_id);
    master_key
        .unwrap(&stored.wrapped, &place.additional_data())
        .map_err(|error| match error {
            MasterKeyError::Refused => EnvelopeError::Open(place).into(),
            unavailable => unavailable.into(),
        })
}
