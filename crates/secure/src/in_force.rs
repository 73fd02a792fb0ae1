//! The master key in force, as this process knows it: which row, and the key behind it, or the seal.
//!
//! The database says which key is in force. This is what was last heard of it; [`MasterKeys::refresh`]
//! hears again, and whoever meets a data key under another master does. A split key that nobody has put
//! together in this process is sealed: its shares are collected here, and wiped when they have served,
//! when they are too old, or when somebody says so.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::EncryptionKeyId;
use clm_domain::limits::UNSEAL_MINUTES_MAX;
use clm_domain::states::MasterKeyProviderKind;
use clm_secure_api::reply::SealStatus;
use tokio::sync::watch;

use crate::error::Failure;
use crate::master_key::shares::Share;
use crate::master_key::{
    MasterKeyProvider, MasterKeySourceError, MasterKeySources, SealedMasterKey, SoftwareMasterKey,
};
use crate::master_key_preparation::Preparation;
use crate::store::SecureStore;
use crate::store::master_keys::{StoredMasterKey, StoredShareSet};

/// When trying again makes sense while people have to come, in seconds.
const SEALED_RETRY_SECONDS: u32 = 30;

/// A master key and its row.
#[derive(Clone)]
pub(crate) struct InForce {
    pub(crate) id: EncryptionKeyId,
    pub(crate) key_version: i32,
    pub(crate) provider: MasterKeyProviderKind,
    pub(crate) key: Arc<dyn MasterKeyProvider>,
}

/// The shares that were given for a sealed key.
#[derive(Default)]
struct Collected {
    shares: BTreeMap<u8, Share>,
    first_at: Option<DateTime<Utc>>,
}

struct State {
    in_force: InForce,
    /// How the shares are recognized, when the key is split.
    set: Option<Arc<StoredShareSet>>,
    is_sealed: bool,
    /// Whether somebody has proved to have a copy, as far as this process has heard.
    has_backup: bool,
    collected: Collected,
}

/// What this process knows of the master key.
pub(crate) struct MasterKeys {
    store: SecureStore,
    sources: MasterKeySources,
    /// The split key that this process has made, and that may have come into force.
    preparation: Arc<Preparation>,
    state: RwLock<State>,
    /// Whether the key is here.
    is_open: watch::Sender<bool>,
}

impl InForce {
    /// The key that is known by `stored`.
    pub(crate) fn new(stored: &StoredMasterKey, key: Arc<dyn MasterKeyProvider>) -> Self {
        Self {
            id: stored.id,
            key_version: stored.key_version,
            provider: stored.provider,
            key,
        }
    }
}

impl State {
    /// An open key, of which nobody has a copy yet.
    fn open(in_force: InForce, set: Option<Arc<StoredShareSet>>) -> Self {
        Self {
            in_force,
            set,
            is_sealed: false,
            has_backup: false,
            collected: Collected::default(),
        }
    }

    /// A split key that is not here.
    fn sealed(stored: &StoredMasterKey, set: StoredShareSet) -> Self {
        let key = Arc::new(SealedMasterKey::new(stored.check_value));
        let set = Some(Arc::new(set));
        let mut state = Self::open(InForce::new(stored, key), set);
        state.is_sealed = true;
        state.knowing(stored)
    }

    /// With what the row says beside the key.
    fn knowing(mut self, stored: &StoredMasterKey) -> Self {
        self.has_backup = stored.backup_confirmed_at.is_some();
        self
    }

    /// Takes the key out; says whether it was here.
    fn close(&mut self) -> bool {
        let was_open = !self.is_sealed;
        if was_open {
            let check_value = self.in_force.key.check_value();
            self.in_force.key = Arc::new(SealedMasterKey::new(check_value));
            self.is_sealed = true;
        }
        self.collected = Collected::default();
        was_open
    }

    /// Forgets shares whose time is over.
    fn expire(&mut self, now: DateTime<Utc>) -> bool {
        let over = self.expires_at().is_some_and(|end| now >= end);
        if over {
            self.collected = Collected::default();
        }
        over
    }

    fn expires_at(&self) -> Option<DateTime<Utc>> {
        let first_at = self.collected.first_at?;
        Some(first_at + TimeDelta::minutes(UNSEAL_MINUTES_MAX))
    }

    fn status(&self, changed: bool) -> SealStatus {
        let set = self.set.as_deref();
        SealStatus {
            sealed: self.is_sealed,
            encryption_key_id: Some(self.in_force.id),
            threshold: set.map(|set| set.set.threshold),
            shares: set.map(|set| set.set.count),
            given: u8::try_from(self.collected.shares.len()).unwrap_or(u8::MAX),
            changed,
            expires_at: self.expires_at(),
        }
    }
}

impl MasterKeys {
    /// Finds the key of `stored`, or starts sealed when it is split.
    pub(crate) async fn open(
        store: SecureStore,
        (sources, preparation): (MasterKeySources, Arc<Preparation>),
        stored: &StoredMasterKey,
    ) -> Result<Self, Failure> {
        let state = load(&store, &sources, stored).await?;
        let is_open = watch::Sender::new(!state.is_sealed);
        Ok(Self {
            store,
            sources,
            preparation,
            state: RwLock::new(state),
            is_open,
        })
    }

    /// Where keys are looked for and made.
    pub(crate) const fn sources(&self) -> &MasterKeySources {
        &self.sources
    }

    /// Told when the key comes and goes.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.is_open.subscribe()
    }

    /// What is in force, sealed or not.
    pub(crate) fn in_force(&self) -> InForce {
        self.read(|state| state.in_force.clone())
    }

    /// Whether the key is split and not here.
    pub(crate) fn is_sealed(&self) -> bool {
        self.read(|state| state.is_sealed)
    }

    /// How far the custodians are.
    pub(crate) fn status(&self, now: DateTime<Utc>) -> SealStatus {
        self.write(|state| {
            state.expire(now);
            state.status(false)
        })
    }

    /// The key that wraps now.
    ///
    /// # Errors
    /// `KeyUnavailable` with code `sealed`.
    pub(crate) fn wrapping(&self) -> Result<InForce, Failure> {
        self.read(|state| match state.is_sealed {
            true => Err(sealed(&state.status(false)).into()),
            false => Ok(state.in_force.clone()),
        })
    }

    /// The key in force, which wraps what `wrapping_key_id` wraps. Another process may have replaced it:
    /// then the new one is looked for.
    ///
    /// # Errors
    /// `KeyUnavailable` when this process does not find it.
    pub(crate) async fn unwrapping(
        &self,
        wrapping_key_id: EncryptionKeyId,
    ) -> Result<InForce, Failure> {
        let known = self.wrapping()?;
        if known.id == wrapping_key_id {
            return Ok(known);
        }
        self.refresh().await?;
        let known = self.wrapping()?;
        if known.id == wrapping_key_id {
            return Ok(known);
        }
        // The row was read before yet another one came into force, or none of us has written it.
        tracing::warn!(
            master_key.id = %wrapping_key_id, master_key.in_force_id = %known.id,
            "a data key is wrapped under a master key that is not in force"
        );
        let message = "The master key is being replaced. Nothing was done; try again.";
        let kind = ErrorKind::KeyUnavailable;
        Err(Fault::new(kind, "master_key_changing", message).into())
    }

    /// Hears from the database which key is in force, and finds it when it is another one; says whether
    /// it is.
    ///
    /// # Errors
    /// [`Failure`]; then this process goes on with what it has, which opens nothing that is wrapped
    /// under the other one.
    pub(crate) async fn refresh(&self) -> Result<bool, Failure> {
        let stored = self.store.find_master_key().await?;
        let stored = stored.ok_or_else(|| {
            Failure::Internal("the master key has no active row any more".to_owned())
        })?;
        if self.read(|state| state.in_force.id == stored.id) {
            if stored.backup_confirmed_at.is_some() {
                self.note_backup(stored.id);
            }
            return Ok(false);
        }
        let state = match self.preparation.find_key(stored.id) {
            Some((set, key)) => State::open(InForce::new(&stored, key), Some(Arc::new(set))),
            None => load(&self.store, &self.sources, &stored).await?,
        };
        let state = state.knowing(&stored);
        if !self.replace(state) {
            return Ok(false);
        }
        // Nobody is left to whom its shares would have to be shown.
        self.preparation.clear_key(stored.id);
        tracing::info!(
            master_key.version = stored.key_version, master_key.provider = %stored.provider,
            sealed = self.is_sealed(), "another master key is in force"
        );
        Ok(true)
    }

    /// Takes over a key that this process has put into force itself.
    pub(crate) fn take_over(&self, in_force: InForce, set: Option<StoredShareSet>) {
        self.replace(State::open(in_force, set.map(Arc::new)));
    }

    /// Notes that a copy of this key exists.
    pub(crate) fn note_backup(&self, id: EncryptionKeyId) {
        self.write(|state| state.has_backup |= state.in_force.id == id);
    }

    /// Whether somebody has proved to have a copy of the key in force.
    pub(crate) fn has_backup(&self) -> bool {
        self.read(|state| state.has_backup)
    }

    /// How the shares of the split key in force are recognized.
    pub(crate) fn share_set(&self) -> Option<Arc<StoredShareSet>> {
        self.read(|state| state.set.clone())
    }

    /// Whether the share was given already.
    pub(crate) fn has_share(&self, index: u8, now: DateTime<Utc>) -> bool {
        self.write(|state| {
            state.expire(now);
            state.collected.shares.contains_key(&index)
        })
    }

    /// The key that the collected shares and `last` give, when they are enough.
    pub(crate) fn try_combine(
        &self,
        last: &Share,
        now: DateTime<Utc>,
    ) -> Result<Option<SoftwareMasterKey>, Failure> {
        self.write(|state| {
            state.expire(now);
            let given = state.collected.shares.len() + 1;
            if given < usize::from(last.set.threshold) {
                return Ok(None);
            }
            let shares = state.collected.shares.values().chain(std::iter::once(last));
            crate::master_key::shares::combine(shares)
                .map(Some)
                .map_err(|fault| Failure::Internal(fault.to_string()))
        })
    }

    /// Keeps a share until the others come; not when another key came into force meanwhile.
    pub(crate) fn collect(&self, share: Share, now: DateTime<Utc>) -> Option<SealStatus> {
        self.write(|state| {
            let set = state.set.as_ref()?.set;
            if !state.is_sealed || set != share.set {
                return None;
            }
            state.collected.first_at.get_or_insert(now);
            state.collected.shares.insert(share.index, share);
            Some(state.status(true))
        })
    }

    /// Opens the seal with the key that the shares gave; not when another key came into force
    /// meanwhile, under whose row this one would wrap what nobody could ever open.
    pub(crate) fn unseal(&self, key: SoftwareMasterKey) -> Option<SealStatus> {
        self.write(|state| {
            if !state.is_sealed || state.in_force.key.check_value() != key.check_value() {
                return None;
            }
            state.in_force.key = Arc::new(key);
            state.is_sealed = false;
            state.collected = Collected::default();
            self.is_open.send_replace(true);
            Some(state.status(true))
        })
    }

    /// Forgets what was given.
    pub(crate) fn reset(&self) -> SealStatus {
        self.write(|state| {
            let changed = !state.collected.shares.is_empty();
            state.collected = Collected::default();
            state.status(changed)
        })
    }

    /// Forgets shares whose time is over; says whether there were any.
    pub(crate) fn expire(&self, now: DateTime<Utc>) -> bool {
        self.write(|state| state.expire(now))
    }

    /// Takes a split key out of memory; nothing when the key in force is none.
    pub(crate) fn seal(&self) -> Option<SealStatus> {
        self.write(|state| {
            state.set.as_ref()?;
            let changed = state.close();
            self.is_open.send_replace(false);
            Some(state.status(changed))
        })
    }

    /// Goes over to a newer key; says whether it is one. What a look at the database has brought may be
    /// older than what this process has done meanwhile, and never takes its place.
    fn replace(&self, mut fresh: State) -> bool {
        self.write(|state| {
            if fresh.in_force.key_version <= state.in_force.key_version {
                return false;
            }
            // Whoever sealed the key before, while this one was on its way, meant this one as well.
            if state.is_sealed && fresh.set.is_some() {
                fresh.close();
            }
            self.is_open.send_replace(!fresh.is_sealed);
            *state = fresh;
            true
        })
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Finds the key of a row.
async fn load(
    store: &SecureStore,
    sources: &MasterKeySources,
    stored: &StoredMasterKey,
) -> Result<State, Failure> {
    if stored.provider == MasterKeyProviderKind::Shamir {
        let set = store.find_share_set(stored.id).await?;
        let set = set.ok_or_else(|| {
            Failure::Internal(format!("the split master key {} has no shares", stored.id))
        })?;
        return Ok(State::sealed(stored, set));
    }
    let wanted = (stored.key_version, stored.check_value);
    let key = sources
        .find(stored.provider, wanted)
        .map_err(|source| lost(stored, source))?;
    let state = State::open(InForce::new(stored, Arc::new(key)), None);
    Ok(state.knowing(stored))
}

fn lost(stored: &StoredMasterKey, source: MasterKeySourceError) -> Failure {
    Failure::MasterKeyLost {
        provider: stored.provider,
        key_version: stored.key_version,
        source,
    }
}

/// What everybody hears while the key is sealed.
pub(crate) fn sealed(status: &SealStatus) -> Fault {
    let missing = status
        .threshold
        .unwrap_or_default()
        .saturating_sub(status.given);
    let message = format!(
        "The master key is sealed: {missing} more of its {} custodians have to give their share \
         (clm unseal). Nothing was done; try again later.",
        status.shares.unwrap_or_default()
    );
    let mut fault = Fault::new(ErrorKind::KeyUnavailable, "sealed", message);
    fault.retry_after_seconds = Some(SEALED_RETRY_SECONDS);
    fault
}

#[cfg(test)]
mod tests;
