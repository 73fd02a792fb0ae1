//! The data key of each organization: made on first need, wrapped by the master key, unwrapped in
//! memory while in use.
//!
//! Unwrapped keys never leave this process and are wiped when they leave the cache. Which key is
//! *active* is read anew every few seconds, so that a rotation by another process is noticed; until
//! then a retired key may still seal, which a rotation has to wait out before it counts what
//! remains. How keys are made, and replaced when they have sealed as often as they may, is in
//! [`succession`].

mod succession;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::TimeDelta;
use clm_domain::audit::Cause;
use clm_domain::clock::{Clock, Rng};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{EncryptionKeyId, OrganizationId, PrivateKeyId, SealedSecretId};
use clm_domain::secret::SecretBytes;
use clm_domain::states::{EncryptionKeyStatus, SecretPurpose};

use crate::cache::Cache;
use crate::envelope::{self, EnvelopeError, Place, Sealed};
use crate::error::Failure;
use crate::in_force::MasterKeys;
use crate::master_key::{MasterKeyError, MasterKeyProvider};
use crate::store::SecureStore;
use crate::store::encryption_keys::StoredDataKey;

/// Most unwrapped keys in memory.
const KEYS_MAX: usize = 4096;
/// How long an unwrapped key stays in memory, in seconds: so long may one that was destroyed by
/// another process still lie there, used for nothing.
const UNWRAPPED_SECONDS_MAX: i64 = 60 * 60;
/// How long a key is taken for the active one, in seconds.
pub(crate) const ACTIVE_SECONDS_MAX: i64 = 5;
/// NIST SP 800-38D §8.3: at most 2^32 seals under one key when nonces are random.
pub(crate) const SEALS_MAX: i64 = 1 << 32;
/// Seals reserved at once. What a process does not use when it stops is lost.
const SEALS_RESERVED: i64 = 1 << 16;
/// How often the loser of a race for a new key looks for the winner's.
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

/// A private key or secret, sealed, and the data key that sealed it.
pub(crate) struct SealedItem {
    pub(crate) encryption_key_id: EncryptionKeyId,
    pub(crate) sealed: Sealed,
}

/// What data keys seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    PrivateKey(PrivateKeyId),
    Secret(SealedSecretId, SecretPurpose),
}

impl Item {
    const fn place(self, organization_id: OrganizationId, key_id: EncryptionKeyId) -> Place {
        match self {
            Self::PrivateKey(id) => Place::private_key(id, organization_id, key_id),
            Self::Secret(id, purpose) => Place::secret((id, purpose), organization_id, key_id),
        }
    }
}

/// Seals anew under one key what another one sealed.
pub(crate) struct Mover {
    /// Those that open, newest first.
    left: Vec<Arc<DataKey>>,
    to: Arc<DataKey>,
    rng: Arc<dyn Rng>,
}

/// The data keys of all organizations.
pub(crate) struct DataKeys {
    store: SecureStore,
    master_keys: Arc<MasterKeys>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    /// Seals after which a key that is made here is replaced.
    seals_max: i64,
    unwrapped: Cache<EncryptionKeyId, Arc<DataKey>>,
    active: Cache<OrganizationId, Arc<DataKey>>,
}

impl DataKeys {
    /// Data keys under the master key in force.
    pub(crate) fn new(
        store: SecureStore,
        master_keys: Arc<MasterKeys>,
        (clock, rng): (Arc<dyn Clock>, Arc<dyn Rng>),
        seals_max: i64,
    ) -> Self {
        let unwrapped_max = TimeDelta::seconds(UNWRAPPED_SECONDS_MAX);
        Self {
            store,
            master_keys,
            clock,
            rng,
            seals_max,
            unwrapped: Cache::new(KEYS_MAX, Some(unwrapped_max)),
            active: Cache::new(KEYS_MAX, Some(TimeDelta::seconds(ACTIVE_SECONDS_MAX))),
        }
    }

    /// Seals an item of the organization, making its data key when it has none, or when the one it
    /// has has sealed as often as it may.
    ///
    /// # Errors
    /// [`Failure`]; `KeyUnavailable` when others use up each new key as well.
    pub(crate) async fn seal(
        &self,
        (organization_id, item): (OrganizationId, Item),
        plaintext: &SecretBytes,
        cause: &Cause<'_>,
    ) -> Result<SealedItem, Failure> {
        for _ in 0..ATTEMPTS_MAX {
            let key = self.active(organization_id, cause).await?;
            if !self.count_seals(&key, 1).await? {
                // It was replaced meanwhile, or has to be now.
                self.active.forget(&organization_id);
                self.roll_over(&key, cause).await?;
                continue;
            }
            let place = item.place(organization_id, key.id);
            let sealed = envelope::seal(&key.material, &place, plaintext, self.rng.as_ref())?;
            return Ok(SealedItem {
                encryption_key_id: key.id,
                sealed,
            });
        }
        let message = "The data key of this organization is being replaced. Try again.";
        let kind = ErrorKind::KeyUnavailable;
        Err(Fault::new(kind, "encryption_key_exhausted", message).into())
    }

    /// Opens an item of the organization.
    ///
    /// # Errors
    /// [`Failure::Envelope`] when it does not open; `KeyUnavailable` when its data key is
    /// revoked or gone.
    pub(crate) async fn open(
        &self,
        (organization_id, item): (OrganizationId, Item),
        encryption_key_id: EncryptionKeyId,
        sealed: &Sealed,
    ) -> Result<SecretBytes, Failure> {
        let key = self.by_id(organization_id, encryption_key_id).await?;
        let place = item.place(organization_id, encryption_key_id);
        Ok(envelope::open(&key.material, &place, sealed)?)
    }

    /// What seals anew under `to` what `from` sealed, and what those among `earlier` sealed that can be
    /// unwrapped; all of the organization.
    ///
    /// # Errors
    /// [`Failure::Envelope`] when `from` or `to` does not unwrap; `KeyUnavailable` when one of them is
    /// revoked or gone.
    pub(crate) async fn mover(
        &self,
        organization_id: OrganizationId,
        (from, to): (EncryptionKeyId, EncryptionKeyId),
        earlier: &[EncryptionKeyId],
    ) -> Result<Mover, Failure> {
        let to = self.by_id(organization_id, to).await?;
        let mut left = vec![self.by_id(organization_id, from).await?];
        for id in earlier.iter().filter(|id| **id != from) {
            match self.by_id(organization_id, *id).await {
                Ok(key) => left.push(key),
                Err(Failure::Envelope(error)) => {
                    tracing::warn!(%error, "what an earlier data key sealed stays where it is");
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(Mover {
            left,
            to,
            rng: Arc::clone(&self.rng),
        })
    }

    /// The key that follows the one of `mover`, which has sealed as often as it may.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) async fn successor(
        &self,
        mover: &Mover,
        cause: &Cause<'_>,
    ) -> Result<EncryptionKeyId, Failure> {
        self.roll_over(&mover.to, cause).await?;
        self.forget_active(mover.to.organization_id);
        Ok(self.active(mover.to.organization_id, cause).await?.id)
    }

    /// Most seals of a key that is made here.
    pub(crate) const fn seals_max(&self) -> i64 {
        self.seals_max
    }

    /// Counts seals that `mover` is about to make; false when its key may not seal so often, or
    /// seals no more.
    pub(crate) async fn count_moves(&self, mover: &Mover, count: i64) -> Result<bool, Failure> {
        self.count_seals(&mover.to, count).await
    }

    /// Forgets all keys of the organization.
    pub(crate) fn forget(&self, organization_id: OrganizationId) {
        self.active.forget(&organization_id);
        self.unwrapped
            .forget_where(|_, key| key.organization_id == organization_id);
    }

    /// Forgets every key: the master key that opens them is not here any more.
    pub(crate) fn forget_all(&self) {
        self.active.forget_where(|_, _| true);
        self.unwrapped.forget_where(|_, _| true);
    }

    /// Forgets which key of the organization is active: it has just been replaced.
    pub(crate) fn forget_active(&self, organization_id: OrganizationId) {
        self.active.forget(&organization_id);
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
                let key = self.unwrap(&stored).await?;
                self.active.store(organization_id, Arc::clone(&key), now);
                return Ok(key);
            }
            // Whether this process or another one makes it: the next round finds it.
            self.create(organization_id, cause).await?;
        }
        // Each time the master key was replaced before the data key was stored.
        let message = "The master key is being replaced. Nothing was done; try again.";
        let kind = ErrorKind::KeyUnavailable;
        Err(Fault::new(kind, "master_key_changing", message).into())
    }

    async fn by_id(
        &self,
        organization_id: OrganizationId,
        id: EncryptionKeyId,
    ) -> Result<Arc<DataKey>, Failure> {
        // Always asked, even when the key is in memory: a key that was revoked opens nothing from
        // then on.
        match self.store.find_data_key(organization_id, id).await? {
            Some(stored) if stored.status != EncryptionKeyStatus::Revoked => {
                self.unwrap(&stored).await
            }
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
    async fn unwrap(&self, stored: &StoredDataKey) -> Result<Arc<DataKey>, Failure> {
        // Asked even for a key in memory: under another master it is for that one to open it.
        let master = self.master_keys.unwrapping(stored.wrapping_key_id).await?;
        let now = self.clock.now();
        if let Some(key) = self.unwrapped.find(&stored.id, now) {
            return Ok(key);
        }
        let key = Arc::new(DataKey {
            id: stored.id,
            organization_id: stored.organization_id,
            material: unwrap_material(master.key.as_ref(), stored)?,
            seals_left: AtomicI64::new(0),
            reserving: tokio::sync::Mutex::default(),
        });
        self.unwrapped.store(stored.id, Arc::clone(&key), now);
        Ok(key)
    }
}

impl Mover {
    /// Seals an item of one of the keys that are left anew. The seal must have been counted.
    ///
    /// # Errors
    /// [`EnvelopeError`] naming the row when it does not open.
    pub(crate) fn reseal(
        &self,
        (left, item): (EncryptionKeyId, Item),
        sealed: &Sealed,
    ) -> Result<Sealed, EnvelopeError> {
        let place = |id| item.place(self.to.organization_id, id);
        let key = self.left.iter().find(|key| key.id == left);
        let key = key.ok_or_else(|| EnvelopeError::Open(place(left)))?;
        let opened = envelope::open(&key.material, &place(left), sealed)?;
        envelope::seal(
            &self.to.material,
            &place(self.to.id),
            &opened,
            self.rng.as_ref(),
        )
    }

    /// Gives back seals that were counted and not made.
    pub(crate) fn give_back(&self, count: i64) {
        self.to.seals_left.fetch_add(count, Ordering::Relaxed);
    }
}

impl DataKey {
    /// Takes reserved seals, if there are so many.
    fn take_seals(&self, count: i64) -> bool {
        let take = |left: i64| (left >= count).then(|| left - count);
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
