//! The Secure Service: keys, certificate authorities, issuance, their audit log, and all SQL of
//! `clm_secure_db`.
//!
//! It alone holds the master key and credentials of its database. It answers
//! [`clm_secure_api::SecureService`] and never calls anybody. Nothing but the composition and tests
//! may depend on this crate. Start with `service`, then follow a command, such as
//! `issue_certificate`.

mod audit;
mod backup_codes;
mod cache;
mod change_issuer_limits;
mod create_certificate_authority;
mod data_keys;
mod encryption_keys;
pub mod envelope;
mod error;
mod events;
mod export_private_key;
mod find_issued;
mod health;
mod in_force;
mod issuance_rate;
mod issue_certificate;
mod issuers;
mod key_factory;
mod key_rotation;
pub mod master_key;
mod master_key_backup;
mod master_key_preparation;
mod master_key_rotation;
mod new_private_key;
mod open;
mod plan_fault;
mod queries;
mod rate;
mod seal;
mod sealed_secrets;
mod second_factor;
mod service;
mod step_up;
mod store;
mod totp;
pub mod transport;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use clm_database::Pool;
use clm_domain::clock::{Clock, Rng};
use clm_domain::ids::OrganizationId;

pub use key_rotation::KeyRotationError;
pub use master_key::{
    FileMasterKey, MasterKeyError, MasterKeyFileError, MasterKeyProvider, MasterKeySourceError,
    MasterKeySources, ShareFault, SoftwareMasterKey, check_value_of_copy, check_value_of_shares,
};
pub use open::SecureOpenError;

use data_keys::DataKeys;
use in_force::MasterKeys;
use issuance_rate::IssuanceRates;
use issuers::Issuers;
use key_factory::KeyFactory;
use master_key_preparation::Preparation;
use rate::Rates;
use store::SecureStore;

/// How long the direct reply has before the relay carries an event, unless told otherwise.
pub const RELAY_DELAY: Duration = Duration::from_secs(2);

/// How often a data key may seal before it is replaced, unless told otherwise.
pub const DATA_KEY_SEALS_MAX: i64 = data_keys::SEALS_MAX;

/// What the Secure Service needs.
pub struct SecureOptions {
    /// Connections to `clm_secure_db`, signed in as `clm_secure_user`.
    pub pool: Pool,
    /// Where the master key is looked for. Which one is in force the database says.
    pub master_key: MasterKeySources,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// A CSPRNG.
    pub rng: Arc<dyn Rng>,
    /// Events younger than this are not pulled; see [`RELAY_DELAY`].
    pub relay_delay: Duration,
    /// How many RSA-2048 and how many RSA-3072 keys are kept ready; 0 makes each when it is needed.
    pub rsa_keys_ahead: usize,
    /// How often a data key that is made here may seal before it is replaced; see
    /// [`DATA_KEY_SEALS_MAX`], which it must not exceed.
    pub data_key_seals_max: i64,
}

/// The Secure Service, in this process.
pub struct Secure {
    store: SecureStore,
    master_keys: Arc<MasterKeys>,
    preparation: Arc<Preparation>,
    /// Held by whoever gives a share.
    unsealing: tokio::sync::Mutex<()>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    data_keys: Arc<DataKeys>,
    issuers: Issuers,
    key_factory: KeyFactory,
    issuance_rates: IssuanceRates,
    /// Secrets that were opened for the core.
    opens: Rates<OrganizationId>,
    relay_delay: TimeDelta,
}
