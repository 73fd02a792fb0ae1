//! Starting the Secure Service: it starts only with the master key that opens what is stored.

use std::sync::Arc;

use chrono::TimeDelta;
use clm_database::DatabaseError;
use clm_domain::actor::Actor;
use clm_domain::audit::{Cause, SecureEvent};
use clm_domain::ids::{EncryptionKeyId, RequestId, SYSTEM_ORGANIZATION};
use clm_domain::states::MasterKeyProviderKind;
use serde_json::json;

use crate::audit::{Stamp, row};
use crate::data_keys::DataKeys;
use crate::envelope::{ALGORITHM, EnvelopeError};
use crate::error::Failure;
use crate::health::open_sample;
use crate::in_force::MasterKeys;
use crate::issuance_rate::IssuanceRates;
use crate::issuers::Issuers;
use crate::key_factory::KeyFactory;
use crate::master_key::{
    MasterKeyError, MasterKeyProvider as _, MasterKeySourceError, SoftwareMasterKey,
};
use crate::master_key_preparation::Preparation;
use crate::rate::Rates;
use crate::store::SecureStore;
use crate::store::master_keys::{NewMasterKey, StoredMasterKey};
use crate::{Secure, SecureOptions};

/// The Secure Service does not start.
#[derive(Debug, thiserror::Error)]
pub enum SecureOpenError {
    /// The database does not answer, or is not prepared.
    #[error("clm_secure_db cannot be used: {0}")]
    Database(#[from] DatabaseError),
    /// The master key is not the one that this database was sealed under.
    #[error(
        "the master key is not the one that sealed the keys in clm_secure_db: version \
         {key_version} of provider '{provider}' is in force, and {source}; without that one nothing \
         stored can be opened, so put it back"
    )]
    OtherMasterKey {
        /// The provider on record.
        provider: MasterKeyProviderKind,
        /// The version on record.
        key_version: i32,
        /// What was found.
        source: MasterKeySourceError,
    },
    /// The master key is nowhere.
    #[error(
        "the master key is lost, and no new one was made: version {key_version} of provider \
         '{provider}' is in force, and {source}; put it back there"
    )]
    LostMasterKey {
        /// The provider on record.
        provider: MasterKeyProviderKind,
        /// The version on record.
        key_version: i32,
        /// What was looked for.
        source: MasterKeySourceError,
    },
    /// The master key is there and cannot be read.
    #[error(
        "the master key, version {key_version} of provider '{provider}', cannot be read: {source}"
    )]
    UnreadableMasterKey {
        /// The provider on record.
        provider: MasterKeyProviderKind,
        /// The version on record.
        key_version: i32,
        /// Why.
        source: MasterKeySourceError,
    },
    /// A new installation has no master key to begin with.
    #[error("the first master key, of provider '{provider}', cannot be had: {source}")]
    NoMasterKey {
        /// The provider that was chosen.
        provider: MasterKeyProviderKind,
        /// Why.
        source: MasterKeySourceError,
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

impl SecureOpenError {
    /// Which of the reasons that the key in force was not found.
    const fn from_source(
        provider: MasterKeyProviderKind,
        key_version: i32,
        source: MasterKeySourceError,
    ) -> Self {
        if matches!(source, MasterKeySourceError::Other(_)) {
            return Self::OtherMasterKey {
                provider,
                key_version,
                source,
            };
        }
        if source.is_absence() {
            return Self::LostMasterKey {
                provider,
                key_version,
                source,
            };
        }
        Self::UnreadableMasterKey {
            provider,
            key_version,
            source,
        }
    }
}

impl Secure {
    /// Starts the service: records the master key's check value at the very first start, compares
    /// it at each later one, and tries the key on what is stored.
    ///
    /// # Errors
    /// [`SecureOpenError`]; `OtherMasterKey` when the key does not belong to this database. A split
    /// key is no error: the service starts sealed.
    pub async fn open(options: SecureOptions) -> Result<Self, SecureOpenError> {
        let store = SecureStore::new(options.pool.clone());
        let stored = ensure_master_key(&store, &options).await?;
        let sources = options.master_key.clone();
        let preparation = Arc::new(Preparation::default());
        let places = (sources, Arc::clone(&preparation));
        let master_keys = Arc::new(MasterKeys::open(store.clone(), places, &stored).await?);
        if !master_keys.is_sealed() {
            let in_force = master_keys.in_force();
            open_sample(&store, in_force.key.as_ref(), stored.id).await?;
        }
        let relay_delay = TimeDelta::from_std(options.relay_delay)
            .map_err(|error| SecureOpenError::Other(format!("relay_delay: {error}")))?;
        let SecureOptions {
            clock,
            rng,
            rsa_keys_ahead,
            data_key_seals_max,
            ..
        } = options;
        let sources = (Arc::clone(&clock), Arc::clone(&rng));
        let data_keys = Arc::new(DataKeys::new(
            store.clone(),
            Arc::clone(&master_keys),
            sources,
            data_key_seals_max,
        ));
        Ok(Self {
            issuers: Issuers::new(store.clone(), Arc::clone(&data_keys), Arc::clone(&clock)),
            key_factory: KeyFactory::new(rsa_keys_ahead),
            issuance_rates: IssuanceRates::default(),
            opens: Rates::default(),
            store,
            master_keys,
            preparation,
            unsealing: tokio::sync::Mutex::default(),
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
    let key = options
        .master_key
        .first(options.rng.as_ref())
        .map_err(|source| SecureOpenError::NoMasterKey {
            provider: options
                .master_key
                .first
                .unwrap_or(MasterKeyProviderKind::File),
            source,
        })?;
    if store
        .insert_master_key(describe_master_key(options, &key))
        .await?
    {
        tracing::info!(
            master_key.provider = key.name(),
            "recorded the check value of the master key; keep a copy of the key in a safe place"
        );
    }
    let stored = store.find_master_key().await?;
    stored.ok_or_else(|| SecureOpenError::Other("the master key has no active row".to_owned()))
}

fn describe_master_key(options: &SecureOptions, key: &SoftwareMasterKey) -> NewMasterKey {
    let (now, rng) = (options.clock.now(), options.rng.as_ref());
    let id = EncryptionKeyId::generate(now, rng);
    let cause = Cause {
        actor: &Actor::System,
        organization_id: SYSTEM_ORGANIZATION,
        request_id: RequestId::generate(now, rng),
    };
    let provider = key.name();
    let details = json!({ "key_type": "master", "key_algorithm": ALGORITHM, "provider": provider });
    let event = SecureEvent::EncryptionKeyCreated;
    let audit = row(
        event,
        &cause,
        Some(id.as_uuid()),
        details,
        Stamp { now, rng },
    );
    NewMasterKey {
        id,
        provider: key.provider(),
        check_value: key.check_value(),
        created_at: now,
        audit,
    }
}

impl From<Failure> for SecureOpenError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Database(error) | Failure::Audit(error) => Self::Database(error),
            Failure::Envelope(error) => Self::Sealed(error),
            Failure::MasterKey(error) => Self::MasterKey(error),
            Failure::MasterKeyLost {
                provider,
                key_version,
                source,
            } => Self::from_source(provider, key_version, source),
            Failure::Refused(fault) => Self::Other(fault.message),
            Failure::Internal(message) => Self::Other(message),
            unheard @ (Failure::RotationUnknown | Failure::RotationUnread) => {
                Self::Other(unheard.to_string())
            }
        }
    }
}
