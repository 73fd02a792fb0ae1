//! The commands that put a new master key into force. What is said about the one in force is in
//! [`crate::master_key_backup`].
//!
//! A rotation wraps the data keys anew and touches nothing that they sealed. It ends in the transaction
//! in which it begins. The shares of a split key are made first and wait here: the rotation that puts
//! their key into force comes when they are stored elsewhere.

use std::sync::{Arc, Mutex, PoisonError};

use clm_database::DatabaseError;
use clm_domain::audit::{AuditRow, SecureEvent};
use clm_domain::clock::Rng;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{EncryptionKeyId, KeyRotationId, SYSTEM_ORGANIZATION, UserId};
use clm_domain::limits::GIVEN_UP_KEYS_MAX;
use clm_domain::states::MasterKeyProviderKind;
use clm_secure_api::command::RotateMasterKey;
use clm_secure_api::reply::KeyRotation;
use clm_secure_api::{CallContext, Reply};
use serde_json::{Value, json};

use crate::Secure;
use crate::audit::{RefusedAct, Stamp, cause, cause_in, row};
use crate::envelope::{EnvelopeError, Place, Sealed};
use crate::error::Failure;
use crate::in_force::InForce;
use crate::key_rotation::check_reason;
use crate::master_key::{
    MasterKeyProvider, MasterKeySourceError, MasterKeySources, SoftwareMasterKey,
};
use crate::master_key_preparation::SplitKey;
use crate::store::encryption_keys::StoredDataKey;
use crate::store::master_key_rotation::{
    MasterKeyChange, NewMasterKeyRotation, NotReplaced, RotatedMasterKey,
};
use crate::store::master_keys::StoredShareSet;

/// Most data keys that a refusal names.
const NAMED_MAX: usize = 20;

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
        check_given_up(&command.give_up)?;
        let _turn = self.preparation.turn().await;
        // Only who comes between now and the lock is too fast for us.
        self.master_keys.refresh().await?;
        if let Some(rotation) = self.rotation_to_set(command).await? {
            return Ok(rotation);
        }
        let prepared = self.prepared_for(command, self.clock.now())?;
        let old = self.master_keys.wrapping()?;
        let (new, change) = self.plan_change(context, (command, prepared), old);
        match self.store.rotate_master_key(&new, change).await {
            Ok(rotated) => {
                let set = new.set.clone();
                self.put_into_force((new.new_encryption_key_id, rotated), set);
                self.load_rotation(new.id).await
            }
            Err(error) => self.settle(&new, error).await,
        }
    }

    /// The rotation that put the key with this set into force, when it was in force already: whoever
    /// asks again has not heard the answer. What they hold then are no worthless shares.
    async fn rotation_to_set(
        &self,
        command: &RotateMasterKey,
    ) -> Result<Option<KeyRotation>, Failure> {
        let (MasterKeyProviderKind::Shamir, Some(set_id)) =
            (command.provider, command.share_set_id)
        else {
            return Ok(None);
        };
        let Some(found) = self.store.find_rotation_to_set(set_id).await? else {
            return Ok(None);
        };
        if !found.is_in_force {
            return Err(share_set_replaced().into());
        }
        self.load_rotation(found.rotation_id).await.map(Some)
    }

    /// What has come of a rotation whose transaction ended in an error: what the database says counts,
    /// as long as it says anything.
    async fn settle(
        &self,
        new: &NewMasterKeyRotation,
        error: NotReplaced,
    ) -> Result<KeyRotation, Failure> {
        match self.master_keys.refresh().await {
            Ok(_) if self.master_keys.in_force().id == new.new_encryption_key_id => {
                tracing::warn!("the master key was replaced, though the commit broke off");
                self.load_rotation(new.id).await
            }
            Ok(_) => Err(not_replaced(error)),
            // It tells nothing about the rotation, least of all that nothing was done.
            Err(failure) => {
                tracing::warn!(error = %failure, "the master key in force is not known");
                Err(not_replaced(error))
            }
        }
    }

    /// The record of a rotation that is done, whether or not it can be read.
    async fn load_rotation(&self, id: KeyRotationId) -> Result<KeyRotation, Failure> {
        let found = self.store.find_key_rotation(SYSTEM_ORGANIZATION, id);
        match found.await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(Failure::Internal(format!("no rotation {id}"))),
            Err(error) => {
                tracing::warn!(error = %error, "the record of a rotation cannot be read");
                Err(Failure::RotationUnread)
            }
        }
    }

    fn plan_change(
        &self,
        context: &CallContext,
        (command, prepared): (&RotateMasterKey, Option<SplitKey>),
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
            give_up: command.give_up.clone(),
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
        self.preparation.clear();
    }
}

fn rotation_details(command: &RotateMasterKey) -> Value {
    json!({
        "provider": command.provider.as_str(),
        "share_set_id": command.share_set_id.map(|id| id.to_string()),
        "rotation_type": command.rotation_type.as_str(),
        "stated_reason": command.reason,
        "given_up": command.give_up.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn check_given_up(ids: &[EncryptionKeyId]) -> Result<(), Fault> {
    if ids.len() <= GIVEN_UP_KEYS_MAX {
        return Ok(());
    }
    let message = format!("Give up at most {GIVEN_UP_KEYS_MAX} data keys.");
    Err(Fault::invalid("too_many_keys", "give_up", message))
}

fn not_replaced(error: NotReplaced) -> Failure {
    let conflict = |code, message: String| Fault::new(ErrorKind::Conflict, code, message).into();
    match error {
        NotReplaced::MasterKeyChanged => master_key_replaced().into(),
        NotReplaced::Source(source) => {
            let message = format!("There is no new master key: {source}.");
            conflict("master_key_absent", message)
        }
        NotReplaced::DoNotOpen(ids) => {
            let message = format!(
                "The master key was not replaced: it does not open every data key. Each of these \
                 was changed or damaged: {}. Restore them, or give them up by name; what they \
                 sealed stays lost then.",
                list(&ids)
            );
            conflict("data_keys_do_not_open", message)
        }
        NotReplaced::UnknownGivenUp(id) => {
            let message = format!("The master key in force wraps no data key {id}.");
            Fault::invalid("data_key_unknown", "give_up", message).into()
        }
        NotReplaced::LeftBehind(count) => {
            let message = format!(
                "The master key was not replaced: {count} data keys were stored under the old one \
                 meanwhile. Try again."
            );
            conflict("data_keys_left_behind", message)
        }
        NotReplaced::Database(DatabaseError::OutcomeUnknown { .. }) => Failure::RotationUnknown,
        other => other.into(),
    }
}

/// The first of the ids, and how many more there are.
fn list(ids: &[EncryptionKeyId]) -> String {
    let named: Vec<String> = ids
        .iter()
        .take(NAMED_MAX)
        .map(ToString::to_string)
        .collect();
    let named = named.join(", ");
    match ids.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn share_set_replaced() -> Fault {
    let message = "The key of these shares was in force, and another one is now. Keep them as long as \
        there are backups from their time, and make new ones.";
    Fault::new(ErrorKind::Conflict, "share_set_replaced", message)
}

pub(crate) fn master_key_replaced() -> Fault {
    let message = "Another process has replaced the master key meanwhile. Look at it, and decide \
        again.";
    Fault::new(ErrorKind::Conflict, "master_key_replaced", message)
}
