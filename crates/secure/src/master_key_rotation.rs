//! The commands that put a new master key into force. What is said about the one in force is in
//! [`crate::master_key_backup`].
//!
//! A rotation wraps the data keys anew and touches nothing that they sealed. It ends in the transaction
//! in which it begins. The shares of a split key are made first and wait here: the rotation that puts
//! their key into force comes when they are stored elsewhere.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use clm_domain::audit::{AuditRow, SecureEvent};
use clm_domain::clock::{Rng, random_bytes};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{EncryptionKeyId, KeyRotationId, SYSTEM_ORGANIZATION, UserId};
use clm_domain::limits::UNSEAL_MINUTES_MAX;
use clm_domain::states::MasterKeyProviderKind;
use clm_secure_api::command::{MakeMasterKeyShares, RotateMasterKey};
use clm_secure_api::reply::{KeyRotation, MasterKeyShare, MasterKeyShares};
use clm_secure_api::{CallContext, Reply};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Secure;
use crate::audit::{RefusedAct, Stamp, cause, cause_in, row};
use crate::envelope::{EnvelopeError, Place, Sealed};
use crate::error::Failure;
use crate::in_force::InForce;
use crate::key_rotation::check_reason;
use crate::master_key::shares::{ShareSet, split};
use crate::master_key::{
    MasterKeyProvider, MasterKeySourceError, MasterKeySources, SoftwareMasterKey,
};
use crate::store::encryption_keys::StoredDataKey;
use crate::store::master_key_rotation::{
    MasterKeyChange, NewMasterKeyRotation, NotReplaced, RotatedMasterKey,
};
use crate::store::master_keys::StoredShareSet;

/// A split key whose shares are on their way to their custodians.
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

    /// Forgets a key whose time is over.
    pub(crate) fn expire(&self, now: DateTime<Utc>) {
        self.lock().take_if(|prepared| now >= prepared.expires_at);
    }

    /// The key that was to come into force under this id. Whoever asked for that may not have waited for
    /// the answer.
    pub(crate) fn find_key(
        &self,
        id: EncryptionKeyId,
    ) -> Option<(StoredShareSet, Arc<SoftwareMasterKey>)> {
        let prepared = self.lock();
        let found = prepared
            .as_ref()
            .filter(|one| one.stored.set.encryption_key_id == id)?;
        Some((found.stored.clone(), Arc::clone(&found.key)))
    }

    /// The key with this set, while it waits.
    fn find(
        &self,
        set_id: Uuid,
        now: DateTime<Utc>,
    ) -> Option<(StoredShareSet, Arc<SoftwareMasterKey>)> {
        self.expire(now);
        let prepared = self.lock();
        let found = prepared
            .as_ref()
            .filter(|one| one.stored.set.set_id == set_id)?;
        Some((found.stored.clone(), Arc::clone(&found.key)))
    }
}

/// Wraps the data keys anew, within the transaction.
struct Change {
    old: InForce,
    new_encryption_key_id: EncryptionKeyId,
    provider: MasterKeyProviderKind,
    /// The split key, or what an earlier attempt of the transaction has made.
    made: Mutex<Option<(i32, Arc<SoftwareMasterKey>)>>,
    prepared: Option<Arc<SoftwareMasterKey>>,
    sources: MasterKeySources,
    rng: Arc<dyn Rng>,
    /// The audit event without what is known only at the end.
    audit: AuditRow,
}

impl MasterKeyChange for Change {
    fn key(
        &self,
        key_version: i32,
        known: &[[u8; 32]],
    ) -> Result<Arc<SoftwareMasterKey>, MasterKeySourceError> {
        if let Some(prepared) = &self.prepared {
            return Ok(Arc::clone(prepared));
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((version, key)) = made.as_ref() {
            // Only while it is still where a start will look for it.
            let wanted = (*version, key.check_value());
            if *version == key_version && self.sources.find(self.provider, wanted).is_ok() {
                return Ok(Arc::clone(key));
            }
        }
        let wanted = (self.provider, key_version);
        let key = Arc::new(self.sources.next(wanted, known, self.rng.as_ref())?);
        *made = Some((key_version, Arc::clone(&key)));
        Ok(key)
    }

    fn rewrap(
        &self,
        stored: &StoredDataKey,
        new: &SoftwareMasterKey,
    ) -> Result<Sealed, EnvelopeError> {
        let place =
            |master| Place::data_key(stored.id, stored.organization_id, master).additional_data();
        let at = Place::data_key(stored.id, stored.organization_id, self.old.id);
        let material = self
            .old
            .key
            .unwrap(&stored.wrapped, &place(self.old.id))
            .map_err(|_| EnvelopeError::Open(at))?;
        let to = place(self.new_encryption_key_id);
        new.wrap(&material, &to, self.rng.as_ref())
            .map_err(|_| EnvelopeError::Seal(at))
    }

    fn describe(&self, key_version: i32, items: i64) -> AuditRow {
        let mut details = self.audit.details.clone();
        if let Some(fields) = details.as_object_mut() {
            fields.insert("key_version".to_owned(), Value::from(key_version));
            fields.insert("items_processed".to_owned(), Value::from(items));
        }
        self.audit.clone().with_details(details)
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
        if let Some(fields) = details.as_object_mut() {
            fields.insert(
                "share_set_id".to_owned(),
                Value::from(set.set_id.to_string()),
            );
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
        *self.preparation.lock() = Some(Prepared {
            stored: StoredShareSet { set, commitments },
            key: Arc::new(key),
            expires_at,
        });
        let shares = shares.iter().map(|share| MasterKeyShare {
            index: share.index,
            text: share.render(),
        });
        Ok(MasterKeyShares {
            share_set_id: set.set_id,
            expires_at,
            shares: shares.collect(),
        })
    }

    /// Carries out [`RotateMasterKey`].
    pub(crate) async fn rotate_master_key(
        &self,
        context: &CallContext,
        command: RotateMasterKey,
    ) -> Result<Reply, Failure> {
        let failure = match self.replace_master_key(context, &command).await {
            Ok(rotation) => return Ok(Reply::KeyRotation(Box::new(rotation))),
            Err(failure) => failure,
        };
        let act = RefusedAct {
            event: SecureEvent::MasterKeyRotated,
            resource_id: None,
            details: rotation_details(&command),
        };
        Err(self.audited(context, act, failure).await)
    }

    async fn replace_master_key(
        &self,
        context: &CallContext,
        command: &RotateMasterKey,
    ) -> Result<KeyRotation, Failure> {
        check_reason(command.reason.as_deref())?;
        let _turn = self.preparation.turn.lock().await;
        let now = self.clock.now();
        let prepared = self.prepared_for(command, now)?;
        // Only who comes between now and the lock is too fast for us.
        self.master_keys.refresh().await?;
        let old = self.master_keys.wrapping()?;
        let (new, change) = self.plan_change(context, (command, prepared), old);
        let id = new.id;
        let set = new.set.clone();
        let rotated = self.store.rotate_master_key(&new, change).await;
        let rotated = match rotated {
            Ok(rotated) => rotated,
            Err(error) => {
                // Whatever has come of it: what the database says counts.
                self.master_keys.refresh().await?;
                return Err(not_replaced(error));
            }
        };
        self.put_into_force((new.new_encryption_key_id, rotated), set);
        let found = self
            .store
            .find_key_rotation(SYSTEM_ORGANIZATION, id)
            .await?;
        found.ok_or_else(|| Failure::Internal(format!("no rotation {id}")))
    }

    /// The split key that the command names, and that is waiting here.
    fn prepared_for(
        &self,
        command: &RotateMasterKey,
        now: DateTime<Utc>,
    ) -> Result<Option<(StoredShareSet, Arc<SoftwareMasterKey>)>, Fault> {
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

    fn plan_change(
        &self,
        context: &CallContext,
        (command, prepared): (
            &RotateMasterKey,
            Option<(StoredShareSet, Arc<SoftwareMasterKey>)>,
        ),
        old: InForce,
    ) -> (Arc<NewMasterKeyRotation>, Arc<dyn MasterKeyChange>) {
        let (now, rng) = (self.clock.now(), self.rng.as_ref());
        let (set, prepared) = prepared.unzip();
        let new_encryption_key_id = set.as_ref().map_or_else(
            || EncryptionKeyId::generate(now, rng),
            |stored| stored.set.encryption_key_id,
        );
        let mut details = rotation_details(command);
        if let Some(fields) = details.as_object_mut() {
            let ids = [
                ("old_encryption_key_id", old.id),
                ("new_encryption_key_id", new_encryption_key_id),
            ];
            for (name, id) in ids {
                fields.insert(name.to_owned(), Value::from(id.to_string()));
            }
        }
        let cause = cause_in(&cause(context), SYSTEM_ORGANIZATION);
        let id = Some(new_encryption_key_id.as_uuid());
        let event = SecureEvent::MasterKeyRotated;
        let audit = row(event, &cause, id, details, Stamp { now, rng });
        let new = NewMasterKeyRotation {
            id: KeyRotationId::generate(now, rng),
            rotation_type: command.rotation_type,
            old_encryption_key_id: old.id,
            new_encryption_key_id,
            set,
            initiated_by_user_id: context.actor.user_id().map(UserId::as_uuid),
            reason: command.reason.clone(),
            now,
        };
        let change = Change {
            old,
            new_encryption_key_id,
            provider: command.provider,
            made: Mutex::default(),
            prepared,
            sources: self.master_keys.sources().clone(),
            rng: Arc::clone(&self.rng),
            audit,
        };
        (Arc::new(new), Arc::new(change))
    }

    fn put_into_force(
        &self,
        (id, rotated): (EncryptionKeyId, RotatedMasterKey),
        set: Option<StoredShareSet>,
    ) {
        let in_force = InForce {
            id,
            key_version: rotated.key_version,
            provider: rotated.key.provider(),
            key: rotated.key,
        };
        tracing::warn!(
            master_key.version = in_force.key_version, master_key.provider = %in_force.provider,
            encryption_keys.count = rotated.items, "the master key was replaced"
        );
        self.master_keys.take_over(in_force, set);
        *self.preparation.lock() = None;
    }
}

fn rotation_details(command: &RotateMasterKey) -> Value {
    json!({
        "provider": command.provider.as_str(),
        "share_set_id": command.share_set_id.map(|id| id.to_string()),
        "rotation_type": command.rotation_type.as_str(),
        "stated_reason": command.reason,
    })
}

fn not_replaced(error: NotReplaced) -> Failure {
    match error {
        NotReplaced::MasterKeyChanged => master_key_replaced().into(),
        NotReplaced::Source(source) => {
            let message = format!("There is no new master key: {source}.");
            let kind = ErrorKind::Conflict;
            Fault::new(kind, "master_key_absent", message).into()
        }
        other => other.into(),
    }
}

pub(crate) fn master_key_replaced() -> Fault {
    let message = "Another process has replaced the master key meanwhile. Look at it, and decide \
        again.";
    Fault::new(ErrorKind::Conflict, "master_key_replaced", message)
}

fn share_set_unknown() -> Fault {
    let message = format!(
        "These shares are not waiting here: they are forgotten after {UNSEAL_MINUTES_MAX} minutes, \
         when others are made, and when the server ends. Destroy them, and make new ones."
    );
    Fault::new(ErrorKind::Conflict, "share_set_unknown", message)
}
