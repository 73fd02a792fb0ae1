//! Starting the Secure Service: it starts only with the master key that opens what is stored.

use std::sync::Arc;

use chrono::TimeDelta;
use clm_database::{DatabaseError, Pool};
use clm_domain::actor::Actor;
use clm_domain::audit::{Cause, SecureEvent};
use clm_domain::ids::{EncryptionKeyId, RequestId, SYSTEM_ORGANIZATION};
use serde_json::json;

use crate::audit::{Stamp, row};
use crate::data_keys::DataKeys;
use crate::envelope::{ALGORITHM, EnvelopeError};
use crate::error::Failure;
use crate::health::open_sample;
use crate::issuance_rate::IssuanceRates;
use crate::issuers::Issuers;
use crate::key_factory::KeyFactory;
use crate::master_key::MasterKeyError;
use crate::store::SecureStore;
use crate::store::encryption_keys::{NewMasterKey, StoredMasterKey};
use crate::{Secure, SecureOptions};

/// The Secure Service does not start.
#[derive(Debug, thiserror::Error)]
pub enum SecureOpenError {
    /// The database does not answer, or is not prepared.
    #[error("clm_secure_db cannot be used: {0}")]
    Database(#[from] DatabaseError),
    /// The master key is not the one that this database was sealed under.
    #[error(
        "the master key of provider '{provider}' is not the one that sealed the keys in \
         clm_secure_db (version {key_version}, provider '{stored_provider}'); without that one \
         nothing stored can be opened, so put it back"
    )]
    OtherMasterKey {
        /// The provider in use.
        provider: &'static str,
        /// The provider on record.
        stored_provider: String,
        /// The version on record.
        key_version: i32,
    },
    /// The master key is the right one by its check value, yet a wrapped key does not open: the row
    /// was changed.
    #[error("the master key does not open a stored key: {0}")]
    Sealed(#[from] EnvelopeError),
    /// The provider of the master key does not answer.
    #[error("the master key cannot be used: {0}")]
    MasterKey(#[from] MasterKeyError),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Secure {
    /// Whether a master key is on record: then a file that is missing was lost, and must be put back.
    ///
    /// # Errors
    /// [`SecureOpenError::Database`].
    pub async fn has_master_key(pool: &Pool) -> Result<bool, SecureOpenError> {
        let stored = SecureStore::new(pool.clone()).find_master_key().await?;
        Ok(stored.is_some())
    }

    /// Starts the service: records the master key's check value at the very first start, compares
    /// it at each later one, and tries the key on what is stored.
    ///
    /// # Errors
    /// [`SecureOpenError`]; `OtherMasterKey` when the key does not belong to this database.
    pub async fn open(options: SecureOptions) -> Result<Self, SecureOpenError> {
        let store = SecureStore::new(options.pool.clone());
        let stored = ensure_master_key(&store, &options).await?;
        check_master_key(&stored, &options)?;
        open_sample(&store, options.master_key.as_ref(), stored.id).await?;
        let relay_delay = TimeDelta::from_std(options.relay_delay)
            .map_err(|error| SecureOpenError::Other(format!("relay_delay: {error}")))?;
        let SecureOptions {
            master_key,
            clock,
            rng,
            rsa_keys_ahead,
            data_key_seals_max,
            ..
        } = options;
        let sources = (Arc::clone(&clock), Arc::clone(&rng));
        let data_keys = Arc::new(DataKeys::new(
            store.clone(),
            Arc::clone(&master_key),
            stored.id,
            sources,
            data_key_seals_max,
        ));
        Ok(Self {
            issuers: Issuers::new(store.clone(), Arc::clone(&data_keys), Arc::clone(&clock)),
            key_factory: KeyFactory::new(rsa_keys_ahead),
            issuance_rates: IssuanceRates::default(),
            store,
            master_key,
            master_key_id: stored.id,
            clock,
            rng,
            data_keys,
            relay_delay,
        })
    }
}

async fn ensure_master_key(
    store: &SecureStore,
    options: &SecureOptions,
) -> Result<StoredMasterKey, SecureOpenError> {
    if let Some(stored) = store.find_master_key().await? {
        return Ok(stored);
    }
    // Of several processes that start at once one records its key; the others find and compare it.
    if store
        .insert_master_key(describe_master_key(options))
        .await?
    {
        tracing::info!(
            master_key.provider = options.master_key.name(),
            "recorded the check value of the master key; keep a copy of the key in a safe place"
        );
    }
    let stored = store.find_master_key().await?;
    stored.ok_or_else(|| SecureOpenError::Other("the master key has no active row".to_owned()))
}

fn describe_master_key(options: &SecureOptions) -> NewMasterKey {
    let (now, rng) = (options.clock.now(), options.rng.as_ref());
    let id = EncryptionKeyId::generate(now, rng);
    let cause = Cause {
        actor: &Actor::System,
        organization_id: SYSTEM_ORGANIZATION,
        request_id: RequestId::generate(now, rng),
    };
    let provider = options.master_key.name();
    let details = json!({ "key_type": "master", "key_algorithm": ALGORITHM, "provider": provider });
    let event = SecureEvent::EncryptionKeyCreated;
    let audit = row(
        event,
        &cause,
        Some(id.as_uuid()),
        details,
        Stamp { now, rng },
    );
    let check_value = options.master_key.check_value();
    NewMasterKey {
        id,
        provider,
        check_value,
        created_at: now,
        audit,
    }
}

fn check_master_key(
    stored: &StoredMasterKey,
    options: &SecureOptions,
) -> Result<(), SecureOpenError> {
    if stored.check_value == options.master_key.check_value() {
        return Ok(());
    }
    Err(SecureOpenError::OtherMasterKey {
        provider: options.master_key.name(),
        stored_provider: stored.provider.clone(),
        key_version: stored.key_version,
    })
}

impl From<Failure> for SecureOpenError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Database(error) | Failure::Audit(error) => Self::Database(error),
            Failure::Envelope(error) => Self::Sealed(error),
            Failure::MasterKey(error) => Self::MasterKey(error),
            Failure::Refused(fault) => Self::Other(fault.message),
            Failure::Internal(message) => Self::Other(message),
        }
    }
}
