//! All SQL of `clm_core_db`, one file per aggregate. Row types stay private to their file.

pub(crate) mod accounts;
pub(crate) mod administrators;
pub(crate) mod api_keys;
pub(crate) mod audit_log;
pub(crate) mod authority;
pub(crate) mod certificate_metadata;
pub(crate) mod certificate_quotas;
pub(crate) mod idempotency_keys;
pub(crate) mod inbox;
pub(crate) mod invitations;
pub(crate) mod known_sign_in_addresses;
pub(crate) mod mail_accounts;
pub(crate) mod maintenance;
pub(crate) mod members;
pub(crate) mod notifications;
pub(crate) mod one_time_links;
pub(crate) mod organizations;
pub(crate) mod password_history;
pub(crate) mod rights_changes;
pub(crate) mod role_assignments;
pub(crate) mod roles;
pub(crate) mod sessions;
pub(crate) mod step_up_proofs;
pub(crate) mod users;

use crate::authentication::credential::CredentialHash;

/// Reads a stored value of a closed set.
fn parse_stored<T>(text: &str) -> sqlx::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse()
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Reads a stored SHA-256.
fn hash_of_stored(bytes: Vec<u8>) -> sqlx::Result<CredentialHash> {
    CredentialHash::try_from(bytes)
        .map_err(|_| sqlx::Error::Decode("a stored SHA-256 does not have 32 bytes".into()))
}
