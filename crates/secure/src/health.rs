//! Whether the service can work, and the upkeep that a background loop calls.

use clm_database::DatabaseError;
use clm_domain::ids::EncryptionKeyId;
use clm_secure_api::Reply;
use clm_secure_api::reply::Health;

use crate::Secure;
use crate::data_keys::unwrap_material;
use crate::error::Failure;
use crate::master_key::MasterKeyProvider;
use crate::store::SecureStore;

/// How many months ahead audit partitions are made.
const PARTITION_MONTHS_AHEAD: i32 = 12;
/// Reported when the database could not be asked.
const PARTITIONS_UNKNOWN: i32 = -1;

impl Secure {
    /// Carries out [`clm_secure_api::command::CheckHealth`]. It never fails: what does not work is
    /// in the reply.
    pub(crate) async fn check_health(&self) -> Reply {
        let database = self.store.ping().await.is_ok();
        let (mut master_key, mut audit_partitions_ahead) = (false, PARTITIONS_UNKNOWN);
        if database {
            master_key = self.master_key_opens().await;
            audit_partitions_ahead = self
                .store
                .audit_partitions_ahead()
                .await
                .unwrap_or(PARTITIONS_UNKNOWN);
        }
        let (provider, master_key_version, seal) = self.master_key_in_force();
        Reply::Health(Health {
            database,
            master_key,
            master_key_provider: provider.to_owned(),
            master_key_version,
            seal,
            audit_partitions_ahead,
        })
    }

    /// Whether the master key is here and opens what is stored.
    async fn master_key_opens(&self) -> bool {
        if let Err(failure) = self.master_keys.refresh().await {
            tracing::error!(error = %failure, "the master key in force cannot be found");
            return false;
        }
        let in_force = self.master_keys.in_force();
        // A sealed key is no fault, and everybody knows.
        if self.is_sealed() {
            return false;
        }
        let opened = open_sample(&self.store, in_force.key.as_ref(), in_force.id).await;
        if let Err(failure) = &opened {
            tracing::error!(error = %failure, "the master key does not open what is stored");
        }
        opened.is_ok()
    }

    /// Makes the monthly partitions of the audit log for the next twelve months; returns how many
    /// were missing. Meant for a background loop; calling it often costs little.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn ensure_audit_partitions(&self) -> Result<i32, DatabaseError> {
        self.store
            .ensure_audit_partitions(PARTITION_MONTHS_AHEAD)
            .await
    }
}

/// Opens the newest data key that the master key wraps, where there is one.
pub(crate) async fn open_sample(
    store: &SecureStore,
    master_key: &dyn MasterKeyProvider,
    master_key_id: EncryptionKeyId,
) -> Result<(), Failure> {
    match store.find_data_key_wrapped_by(master_key_id).await? {
        Some(stored) => unwrap_material(master_key, &stored).map(drop),
        None => Ok(()),
    }
}
