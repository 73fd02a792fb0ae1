//! The seal over a split master key: shares come in one by one, and the last one that is needed opens
//! the service. A wrong share is refused by name and spoils nothing.

use clm_domain::audit::SecureEvent;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_secure_api::command::Unseal;
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

    /// Carries out [`clm_secure_api::command::Seal`].
    pub(crate) async fn seal(&self, context: &CallContext) -> Result<Reply, Failure> {
        let _turn = self.unsealing.lock().await;
        if self.master_keys.share_set().is_none() {
            let message = "The master key is not split: whoever starts the program opens it. Split \
                it first (clm key master rotate --to shamir).";
            let fault = Fault::new(ErrorKind::Conflict, "master_key_not_split", message);
            let act = RefusedAct {
                event: SecureEvent::Sealed,
                resource_id: None,
                details: json!({}),
            };
            return Err(self.audited(context, act, fault.into()).await);
        }
        self.record_seal(context, SecureEvent::Sealed, json!({}))
            .await?;
        let status = self.master_keys.seal();
        self.forget_keys();
        tracing::warn!("the master key was taken out of memory");
        let status = status.unwrap_or_else(|| self.master_keys.status(self.clock.now()));
        Ok(Reply::SealStatus(status))
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

fn not_sealed() -> Fault {
    let message = "The master key is not sealed: there is nothing to open.";
    Fault::new(ErrorKind::Conflict, "not_sealed", message)
}
