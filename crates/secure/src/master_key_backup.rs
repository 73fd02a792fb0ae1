//! What is said about the master key in force: who holds it, where it is, and whether somebody has
//! proved to have a copy. The proof is its check value; no copy comes here.

use clm_domain::audit::SecureEvent;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::states::MasterKeyProviderKind;
use clm_secure_api::command::ConfirmMasterKeyBackup;
use clm_secure_api::reply::MasterKey;
use clm_secure_api::{CallContext, Reply};
use serde_json::json;

use crate::Secure;
use crate::audit::{RefusedAct, Stamp, cause, cause_in, row};
use crate::error::Failure;
use crate::master_key_rotation::master_key_replaced;
use crate::store::master_keys::StoredMasterKey;

impl Secure {
    /// Carries out [`clm_secure_api::command::LoadMasterKey`].
    pub(crate) async fn load_master_key(&self) -> Result<Reply, Failure> {
        let stored = self.stored_master_key().await?;
        Ok(Reply::MasterKey(Box::new(
            self.describe_master_key(stored).await?,
        )))
    }

    /// Carries out [`ConfirmMasterKeyBackup`].
    pub(crate) async fn confirm_master_key_backup(
        &self,
        context: &CallContext,
        command: ConfirmMasterKeyBackup,
    ) -> Result<Reply, Failure> {
        let failure = match self.confirm_backup(context, &command).await {
            Ok(stored) => {
                let described = self.describe_master_key(stored).await?;
                return Ok(Reply::MasterKey(Box::new(described)));
            }
            Err(failure) => failure,
        };
        let act = RefusedAct {
            event: SecureEvent::MasterKeyBackupConfirmed,
            resource_id: None,
            details: json!({}),
        };
        Err(self.audited(context, act, failure).await)
    }

    async fn confirm_backup(
        &self,
        context: &CallContext,
        command: &ConfirmMasterKeyBackup,
    ) -> Result<StoredMasterKey, Failure> {
        let stored = self.stored_master_key().await?;
        check_copy(&stored, command)?;
        let (now, rng) = (self.clock.now(), self.rng.as_ref());
        let details = json!({
            "key_version": stored.key_version,
            "proved_by": if command.check_value.is_some() { "copy" } else { "custodians" },
        });
        let here = cause_in(&cause(context), SYSTEM_ORGANIZATION);
        let event = SecureEvent::MasterKeyBackupConfirmed;
        let id = Some(stored.id.as_uuid());
        let audit = row(event, &here, id, details, Stamp { now, rng });
        let confirmed = self
            .store
            .confirm_master_key_backup(stored.id, now, audit)
            .await?;
        if !confirmed {
            return Err(master_key_replaced().into());
        }
        self.master_keys.note_backup(stored.id);
        self.stored_master_key().await
    }

    async fn stored_master_key(&self) -> Result<StoredMasterKey, Failure> {
        let stored = self.store.find_master_key().await?;
        stored.ok_or_else(|| Failure::Internal("the master key has no active row".to_owned()))
    }

    async fn describe_master_key(&self, stored: StoredMasterKey) -> Result<MasterKey, Failure> {
        let set = match stored.provider {
            MasterKeyProviderKind::Shamir => self.store.find_share_set(stored.id).await?,
            _ => None,
        };
        let set = set.map(|stored| stored.set);
        let place = match stored.provider {
            MasterKeyProviderKind::File => {
                let wanted = (stored.key_version, stored.check_value);
                self.master_keys.sources().file_in_use(wanted)
            }
            MasterKeyProviderKind::Credential => "a systemd credential".to_owned(),
            MasterKeyProviderKind::Environment => "an environment variable".to_owned(),
            MasterKeyProviderKind::Shamir => "its custodians".to_owned(),
        };
        Ok(MasterKey {
            data_keys: self.store.count_wrapped(stored.id).await?,
            data_keys_astray: self.store.count_astray().await?,
            encryption_key_id: stored.id,
            key_version: stored.key_version,
            provider: stored.provider,
            place,
            threshold: set.map(|set| set.threshold),
            shares: set.map(|set| set.count),
            activated_at: stored.activated_at,
            backup_confirmed_at: stored.backup_confirmed_at,
        })
    }
}

/// Whether what was proved is that the key in force exists elsewhere.
fn check_copy(stored: &StoredMasterKey, command: &ConfirmMasterKeyBackup) -> Result<(), Fault> {
    let is_split = stored.provider == MasterKeyProviderKind::Shamir;
    let message = match command.check_value {
        Some(value) if value == stored.check_value => return Ok(()),
        None if is_split => return Ok(()),
        Some(_) => format!(
            "This is no copy of the master key in force, which is version {} of provider '{}'.",
            stored.key_version, stored.provider
        ),
        None => "Show the copy: only custodians of a split key are believed.".to_owned(),
    };
    Err(Fault::new(ErrorKind::Conflict, "not_a_copy", message))
}
