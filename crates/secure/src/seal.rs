//! The seal over a split master key: shares come in one by one, and the last one that is needed opens
//! the service. A wrong share is refused by name and spoils nothing.

use std::time::Duration;

use clm_domain::audit::SecureEvent;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_secure_api::command::{Seal, Unseal};
use clm_secure_api::reply::SealStatus;
use clm_secure_api::{CallContext, Reply};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::Secure;
use crate::audit::{RefusedAct, Stamp, cause, cause_in, row};
use crate::error::Failure;
use crate::health::open_sample;
use crate::in_force::InForce;
use crate::master_key::shares::Share;
use crate::master_key::{MasterKeyProvider as _, ShareFault, SoftwareMasterKey};
use crate::master_key_rotation::master_key_replaced;
use crate::store::master_keys::StoredShareSet;

/// How long the seal waits for those who were faster, and then for its record.
const LAST_WORD_WAIT: Duration = Duration::from_secs(10);

impl Secure {
    /// Whether the master key is split and not in this process.
    pub fn is_sealed(&self) -> bool {
        self.master_keys.is_sealed()
    }

    /// Told when the master key comes into this process and leaves it.
    pub fn watch_master_key(&self) -> watch::Receiver<bool> {
        self.master_keys.watch()
    }

    /// Which provider and version of the master key is in force, and how far the custodians are.
    pub fn master_key_in_force(&self) -> (&'static str, i32, SealStatus) {
        let in_force = self.master_keys.in_force();
        let status = self.master_keys.status(self.clock.now());
        (in_force.provider.as_str(), in_force.key_version, status)
    }

    /// Wipes shares that waited too long for others, hears of a master key that another process has put
    /// into force, and forgets what a sealed key had opened. Meant for a background loop.
    ///
    /// # Errors
    /// [`crate::KeyRotationError`]; the next call goes on.
    pub async fn watch_over_master_key(&self) -> Result<(), crate::KeyRotationError> {
        let now = self.clock.now();
        self.preparation.expire(now);
        if self.master_keys.expire(now) {
            tracing::warn!(
                "shares of the master key waited too long for others and were forgotten"
            );
        }
        self.master_keys.refresh().await?;
        if self.is_sealed() {
            self.forget_keys();
        }
        Ok(())
    }

    /// Carries out [`clm_secure_api::command::LoadSealStatus`].
    pub(crate) fn load_seal_status(&self) -> Reply {
        Reply::SealStatus(self.master_keys.status(self.clock.now()))
    }

    /// Carries out [`Unseal`].
    pub(crate) async fn unseal(
        &self,
        context: &CallContext,
        command: Unseal,
    ) -> Result<Reply, Failure> {
        // One share after the other: the last one decides.
        let _turn = self.unsealing.lock().await;
        let failure = match self.take_share(context, &command).await {
            Ok(status) => return Ok(Reply::SealStatus(status)),
            Err(failure) => failure,
        };
        let act = RefusedAct {
            event: SecureEvent::UnsealRefused,
            resource_id: None,
            details: json!({}),
        };
        Err(self.audited(context, act, failure).await)
    }

    async fn take_share(
        &self,
        context: &CallContext,
        command: &Unseal,
    ) -> Result<SealStatus, Failure> {
        let now = self.clock.now();
        if !self.is_sealed() {
            return Err(not_sealed().into());
        }
        let share = Share::parse(&command.share).map_err(unreadable)?;
        let set = self.master_keys.share_set().ok_or_else(not_sealed)?;
        recognize(&set, &share)?;
        if self.master_keys.has_share(share.index, now) {
            return Ok(self.master_keys.status(now));
        }
        let index = share.index;
        let Some(key) = self.master_keys.try_combine(&share, now)? else {
            let event = SecureEvent::UnsealShareAccepted;
            self.record_seal(context, event, json!({ "share_index": index }))
                .await?;
            tracing::info!(
                share.index = index,
                "a share of the master key was accepted"
            );
            let status = self.master_keys.collect(share, now);
            return Ok(status.ok_or_else(master_key_replaced)?);
        };
        self.check_combined(&key).await?;
        let event = SecureEvent::UnsealCompleted;
        self.record_seal(context, event, json!({ "share_index": index }))
            .await?;
        let status = self.master_keys.unseal(key);
        let status = status.ok_or_else(master_key_replaced)?;
        tracing::warn!("the master key is open: its custodians have put it together");
        Ok(status)
    }

    /// The shares were recognized one by one; that their key is the right one is decided here.
    async fn check_combined(&self, key: &SoftwareMasterKey) -> Result<(), Failure> {
        let in_force: InForce = self.master_keys.in_force();
        if key.check_value() != in_force.key.check_value() {
            self.master_keys.reset();
            let message = "The shares do not give the master key in force; what was stored about \
                them was changed. All of them were forgotten.";
            let kind = ErrorKind::KeyUnavailable;
            return Err(Fault::new(kind, "shares_do_not_fit", message).into());
        }
        open_sample(&self.store, key, in_force.id).await
    }

    /// Carries out [`clm_secure_api::command::ResetUnseal`].
    pub(crate) async fn reset_unseal(&self, context: &CallContext) -> Result<Reply, Failure> {
        let _turn = self.unsealing.lock().await;
        let event = SecureEvent::UnsealReset;
        self.record_seal(context, event, json!({})).await?;
        Ok(Reply::SealStatus(self.master_keys.reset()))
    }

    /// Carries out [`Seal`].
    pub(crate) async fn seal(
        &self,
        context: &CallContext,
        command: Seal,
    ) -> Result<Reply, Failure> {
        if let Err(fault) = self.check_may_seal(command.force).await {
            return Err(self.seal_refused(context, fault).await);
        }
        let has_backup = self.master_keys.has_backup();
        // At once, whoever else is at work, and whether or not a database answers: of all acts this is
        // the one that only takes away.
        let first = self.close();
        let last_word = tokio::time::timeout(LAST_WORD_WAIT, self.close_after_others());
        let status = match last_word.await {
            Ok(status) => status,
            Err(_) => {
                tracing::warn!("the master key was sealed while something else does not end");
                self.close()
            }
        };
        let Some(mut status) = status else {
            return Err(self.seal_refused(context, not_split()).await);
        };
        status.changed |= first.is_some_and(|first| first.changed);
        tracing::warn!("the master key was taken out of memory");
        let details = json!({ "backup_confirmed": has_backup });
        let recording = self.record_seal(context, SecureEvent::Sealed, details);
        match tokio::time::timeout(LAST_WORD_WAIT, recording).await {
            Ok(Ok(())) => Ok(Reply::SealStatus(status)),
            Ok(Err(failure)) => {
                tracing::error!(error = %failure, "that the master key was sealed is not recorded");
                Err(sealed_unrecorded().into())
            }
            Err(_) => Err(sealed_unrecorded().into()),
        }
    }

    /// Whether there is something to seal, and somebody has proved that the shares give the key: else
    /// this would be the end of everything that is sealed.
    async fn check_may_seal(&self, force: bool) -> Result<(), Fault> {
        let is_harmless = || force || self.master_keys.has_backup() || self.is_sealed();
        if is_harmless() {
            return Ok(());
        }
        // Another process may have heard of a copy, or replaced the key.
        if let Err(failure) = self.master_keys.refresh().await {
            tracing::warn!(error = %failure, "the master key in force is not known");
        }
        if self.master_keys.share_set().is_none() {
            return Err(not_split());
        }
        if is_harmless() {
            return Ok(());
        }
        let message = "Nobody has proved that the shares of the master key give it. If they do not, \
            sealing it is the end of everything that is sealed. Try them first, while it is open: \
            clm key master confirm-backup with the files of as many shares as open it. Or seal it all \
            the same (--force).";
        Err(Fault::new(
            ErrorKind::Conflict,
            "backup_unconfirmed",
            message,
        ))
    }

    /// Seals what a rotation or custodians, who were faster, leave behind.
    async fn close_after_others(&self) -> Option<SealStatus> {
        let _turn = self.preparation.turn().await;
        let _unsealing = self.unsealing.lock().await;
        // A rotation that nobody has waited for has left its key in the preparation.
        if let Err(failure) = self.master_keys.refresh().await {
            tracing::warn!(error = %failure, "the master key in force is not known");
        }
        self.close()
    }

    /// Takes out of memory what there is of a split key; nothing when the key in force is none.
    fn close(&self) -> Option<SealStatus> {
        let status = self.master_keys.seal()?;
        self.preparation.clear();
        self.forget_keys();
        Some(status)
    }

    async fn seal_refused(&self, context: &CallContext, fault: Fault) -> Failure {
        let act = RefusedAct {
            event: SecureEvent::Sealed,
            resource_id: None,
            details: json!({}),
        };
        self.audited(context, act, fault.into()).await
    }

    /// Forgets everything that the master key has opened.
    pub(crate) fn forget_keys(&self) {
        self.data_keys.forget_all();
        self.issuers.forget_signing_keys();
    }

    async fn record_seal(
        &self,
        context: &CallContext,
        event: SecureEvent,
        details: Value,
    ) -> Result<(), Failure> {
        let stamp = Stamp {
            now: self.clock.now(),
            rng: self.rng.as_ref(),
        };
        let id = Some(self.master_keys.in_force().id.as_uuid());
        let cause = cause_in(&cause(context), SYSTEM_ORGANIZATION);
        let audit = row(event, &cause, id, details, stamp);
        self.store
            .record_audit(&audit)
            .await
            .map_err(Failure::Audit)
    }
}

/// Whether the share is one of the set in force. What it is instead is said, for custodians keep old
/// ones too.
fn recognize(stored: &StoredShareSet, share: &Share) -> Result<(), Fault> {
    let set = &stored.set;
    if share.set.encryption_key_id != set.encryption_key_id || share.set.set_id != set.set_id {
        let message = format!(
            "This share belongs to the set {} of the master key {}; the set {} of the key {} is in \
             force. Shares of earlier sets and of other installations do not open it.",
            share.set.set_id, share.set.encryption_key_id, set.set_id, set.encryption_key_id
        );
        return Err(Fault::invalid("share_of_another_set", "share", message));
    }
    let known = stored.commitments.iter();
    let fits = known
        .filter(|(index, _)| *index == share.index)
        .any(|(_, hash)| *hash == share.commitment());
    if fits && share.set == *set {
        return Ok(());
    }
    let message = format!(
        "This is not share {} as it was made: its content is another one.",
        share.index
    );
    Err(Fault::invalid("share_foreign", "share", message))
}

fn unreadable(fault: ShareFault) -> Fault {
    let code = match fault {
        ShareFault::Damaged => "share_damaged",
        _ => "share_malformed",
    };
    let message = format!("This is no share of a master key: {fault}.");
    Fault::invalid(code, "share", message)
}

fn not_split() -> Fault {
    let message = "The master key is not split: whoever starts the program opens it. Split it first \
        (clm key master rotate --to shamir).";
    Fault::new(ErrorKind::Conflict, "master_key_not_split", message)
}

/// Not that nothing was done: it was.
fn sealed_unrecorded() -> Fault {
    let message = "The master key is sealed. That could not be recorded: the database of the Secure \
        Service does not answer.";
    Fault::new(ErrorKind::Upstream, "sealed_unrecorded", message)
}

fn not_sealed() -> Fault {
    let message = "The master key is not sealed: there is nothing to open.";
    Fault::new(ErrorKind::Conflict, "not_sealed", message)
}
