//! The split key whose shares are on their way to their custodians: it waits here, and nowhere else,
//! until a rotation names its set.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use clm_domain::audit::SecureEvent;
use clm_domain::clock::random_bytes;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{EncryptionKeyId, SYSTEM_ORGANIZATION};
use clm_domain::limits::UNSEAL_MINUTES_MAX;
use clm_domain::states::MasterKeyProviderKind;
use clm_secure_api::command::{MakeMasterKeyShares, RotateMasterKey};
use clm_secure_api::reply::{MasterKeyShare, MasterKeyShares};
use clm_secure_api::{CallContext, Reply};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Secure;
use crate::audit::{RefusedAct, Stamp, cause, cause_in, row};
use crate::error::Failure;
use crate::master_key::SoftwareMasterKey;
use crate::master_key::shares::{ShareSet, prove, split};
use crate::store::master_keys::StoredShareSet;

/// A split key, and how its shares are recognized.
pub(crate) type SplitKey = (StoredShareSet, Arc<SoftwareMasterKey>);

struct Prepared {
    stored: StoredShareSet,
    key: Arc<SoftwareMasterKey>,
    expires_at: DateTime<Utc>,
}

/// The one split key that may come into force, and the turn of those who replace the master key.
#[derive(Default)]
pub(crate) struct Preparation {
    prepared: Mutex<Option<Prepared>>,
    turn: tokio::sync::Mutex<()>,
}

impl Preparation {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Prepared>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for whoever prepares a master key, replaces it or seals it.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Forgets a key whose time is over.
    pub(crate) fn expire(&self, now: DateTime<Utc>) {
        self.lock().take_if(|prepared| now >= prepared.expires_at);
    }

    /// Forgets whatever waits.
    pub(crate) fn clear(&self) {
        *self.lock() = None;
    }

    /// Forgets the key with this id: it is in force.
    pub(crate) fn clear_key(&self, id: EncryptionKeyId) {
        self.lock()
            .take_if(|prepared| prepared.stored.set.encryption_key_id == id);
    }

    /// The key that was to come into force under this id. Whoever asked for that may not have waited for
    /// the answer.
    pub(crate) fn find_key(&self, id: EncryptionKeyId) -> Option<SplitKey> {
        self.find_by(|set| set.encryption_key_id == id)
    }

    /// The key with this set, while it waits.
    fn find(&self, set_id: Uuid, now: DateTime<Utc>) -> Option<SplitKey> {
        self.expire(now);
        self.find_by(|set| set.set_id == set_id)
    }

    fn find_by(&self, fits: impl FnOnce(&ShareSet) -> bool) -> Option<SplitKey> {
        let prepared = self.lock();
        let found = prepared.as_ref().filter(|one| fits(&one.stored.set))?;
        Some((found.stored.clone(), Arc::clone(&found.key)))
    }
}

impl Secure {
    /// Carries out [`MakeMasterKeyShares`].
    pub(crate) async fn make_master_key_shares(
        &self,
        context: &CallContext,
        command: MakeMasterKeyShares,
    ) -> Result<Reply, Failure> {
        let details = json!({ "threshold": command.threshold, "shares": command.shares });
        match self.make_shares(context, &command, details.clone()).await {
            Ok(shares) => Ok(Reply::MasterKeyShares(Box::new(shares))),
            Err(failure) => {
                let act = RefusedAct {
                    event: SecureEvent::MasterKeySharesMade,
                    resource_id: None,
                    details,
                };
                Err(self.audited(context, act, failure).await)
            }
        }
    }

    async fn make_shares(
        &self,
        context: &CallContext,
        command: &MakeMasterKeyShares,
        mut details: Value,
    ) -> Result<MasterKeyShares, Failure> {
        let _turn = self.preparation.turn().await;
        // Whoever sealed it meanwhile wants no other key in this memory either.
        self.master_keys.wrapping()?;
        let (now, rng) = (self.clock.now(), self.rng.as_ref());
        let set = ShareSet {
            encryption_key_id: EncryptionKeyId::generate(now, rng),
            set_id: Uuid::from_bytes(random_bytes(rng)),
            threshold: command.threshold,
            count: command.shares,
        };
        let key = SoftwareMasterKey::generate(MasterKeyProviderKind::Shamir, rng);
        let shares = split(&key, set, rng)
            .map_err(|fault| Fault::invalid("shares_out_of_range", "shares", fault.to_string()))?;
        // After the next start there is nothing else to open it with.
        prove(&shares, &key).map_err(|fault| Failure::Internal(fault.to_string()))?;
        if let Some(fields) = details.as_object_mut() {
            let set_id = Value::from(set.set_id.to_string());
            fields.insert("share_set_id".to_owned(), set_id);
        }
        let id = Some(set.encryption_key_id.as_uuid());
        let here = cause_in(&cause(context), SYSTEM_ORGANIZATION);
        let event = SecureEvent::MasterKeySharesMade;
        let audit = row(event, &here, id, details, Stamp { now, rng });
        self.store.record_audit(&audit).await?;
        let expires_at = now + TimeDelta::minutes(UNSEAL_MINUTES_MAX);
        let commitments = shares
            .iter()
            .map(|share| (share.index, share.commitment()))
            .collect();
        let made = shares.iter().map(|share| MasterKeyShare {
            index: share.index,
            text: share.render(),
        });
        let made = MasterKeyShares {
            share_set_id: set.set_id,
            expires_at,
            shares: made.collect(),
        };
        *self.preparation.lock() = Some(Prepared {
            stored: StoredShareSet { set, commitments },
            key: Arc::new(key),
            expires_at,
        });
        Ok(made)
    }

    /// The split key that the command names, and that is waiting here.
    pub(crate) fn prepared_for(
        &self,
        command: &RotateMasterKey,
        now: DateTime<Utc>,
    ) -> Result<Option<SplitKey>, Fault> {
        let is_split = command.provider == MasterKeyProviderKind::Shamir;
        match (is_split, command.share_set_id) {
            (false, None) => Ok(None),
            (true, Some(id)) => {
                let found = self.preparation.find(id, now);
                found.map(Some).ok_or_else(share_set_unknown)
            }
            _ => {
                let message = "Name the set of shares for the provider 'shamir', and for no other: \
                    the shares are made first.";
                Err(Fault::invalid("share_set_invalid", "share_set_id", message))
            }
        }
    }
}

fn share_set_unknown() -> Fault {
    let message = format!(
        "These shares are not waiting here: they are forgotten after {UNSEAL_MINUTES_MAX} minutes, \
         when others are made, when the master key is sealed, and when the server ends. Their key has \
         never been in force. Destroy them, and make new ones."
    );
    Fault::new(ErrorKind::Conflict, "share_set_unknown", message)
}
