//! The Core Service: use cases, one module each, and all SQL of `clm_core_db` (in `store`).
//!
//! Every use case takes an [`context::OpContext`] first and asks [`access`] before it acts. What
//! concerns keys and certificates is done by the Secure Service through
//! [`clm_secure_api::SecureClient`]; this crate never sees its database. Start with
//! [`certificate_requests`].

pub mod access;
pub mod api_keys;
pub mod audit;
pub mod authentication;
pub mod certificate_authorities;
pub mod certificate_quotas;
pub mod certificate_requests;
pub mod certificates;
pub mod context;
pub mod email_verifications;
pub mod encryption_keys;
pub mod error;
pub mod health;
pub mod idempotency;
pub mod invitations;
pub mod key_rotations;
pub(crate) mod last_administrator;
pub mod mail;
pub mod master_key;
pub mod members;
pub mod operator;
pub mod organizations;
pub mod page;
pub mod password;
pub mod password_resets;
pub mod profile;
pub mod projection;
pub mod reconcile;
pub mod relay;
pub mod rights_changes;
pub mod role_assignments;
pub mod roles;
pub mod second_factor;
pub mod sessions;
pub mod step_up;
pub(crate) mod store;
#[cfg(test)]
mod test_values;
pub(crate) mod texts;
pub mod transport_certificate;
pub mod transport_key;
pub mod users;

use std::sync::Arc;
use std::time::Duration;

use clm_database::{GroupCommit, Pool};
use clm_domain::clock::{Clock, Rng};
use clm_domain::ids::UserId;
use clm_secure_api::SecureClient;
use tokio::sync::broadcast;

pub use context::OpContext;
pub use error::CoreError;
use store::certificate_metadata::ProjectionWriter;

/// Most password changes that wait for a slow listener.
const PASSWORD_CHANGES_MAX: usize = 64;

/// Everything that use cases share. Cheap to clone behind an [`Arc`].
pub struct Core {
    pub(crate) pool: Pool,
    pub(crate) projections: GroupCommit<ProjectionWriter>,
    pub(crate) secure: SecureClient,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) passwords: password::PasswordHasher,
    pub(crate) authentication_cache: authentication::AuthenticationCache,
    pub(crate) sign_in_throttle: authentication::SignInThrottle,
    /// The same for links that come by mail: each that is asked for counts, and each that is none.
    pub(crate) link_throttle: authentication::SignInThrottle,
    pub(crate) api_key_usage: api_keys::usage::Usage,
    pub(crate) acknowledgements: relay::Acknowledgements,
    pub(crate) authorities: certificate_authorities::AuthorityCache,
    pub(crate) certificate_quotas: certificate_quotas::CertificateQuotas,
    pub(crate) password_changes: broadcast::Sender<UserId>,
    pub(crate) settings: Settings,
}

/// What an operator decides about the core.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long one request may take, from arrival to answer.
    pub request_timeout: Duration,
    /// A session ends after so long without use.
    pub session_idle_timeout: Duration,
    /// A session ends after so long in any case.
    pub session_lifetime: Duration,
    /// How hard passwords are hashed.
    pub password_hashing: password::PasswordHashing,
    /// How mail leaves, where it does.
    pub mail: Option<mail::MailSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            session_idle_timeout: Duration::from_secs(30 * 60),
            session_lifetime: Duration::from_secs(12 * 60 * 60),
            password_hashing: password::PasswordHashing::default(),
            mail: None,
        }
    }
}

/// What [`Core::open`] needs.
pub struct CoreOptions {
    /// Connections to `clm_core_db` as `clm_core_user`.
    pub pool: Pool,
    /// The Secure Service.
    pub secure: SecureClient,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub rng: Arc<dyn Rng>,
    /// What the operator decided.
    pub settings: Settings,
}

impl Core {
    /// The Core Service on its database. Contacts nothing yet.
    pub fn open(options: CoreOptions) -> Arc<Self> {
        Arc::new(Self {
            passwords: password::PasswordHasher::new(options.settings.password_hashing.clone()),
            authentication_cache: authentication::AuthenticationCache::default(),
            sign_in_throttle: authentication::SignInThrottle::default(),
            link_throttle: authentication::SignInThrottle::default(),
            api_key_usage: api_keys::usage::Usage::default(),
            acknowledgements: relay::Acknowledgements::default(),
            authorities: certificate_authorities::AuthorityCache::default(),
            certificate_quotas: certificate_quotas::CertificateQuotas::default(),
            password_changes: broadcast::Sender::new(PASSWORD_CHANGES_MAX),
            projections: GroupCommit::new(options.pool.clone(), ProjectionWriter),
            pool: options.pool,
            secure: options.secure,
            clock: options.clock,
            rng: options.rng,
            settings: options.settings,
        })
    }

    /// Whether mail can be sent.
    pub fn sends_mail(&self) -> bool {
        self.settings.mail.is_some()
    }

    /// Told of each user who changed the own password.
    pub fn password_changes(&self) -> broadcast::Receiver<UserId> {
        self.password_changes.subscribe()
    }
}
