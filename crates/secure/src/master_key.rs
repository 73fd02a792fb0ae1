//! The master key, which wraps the data keys of all organizations and never touches anything else.
//!
//! [`MasterKeyProvider`] is what the service asks; no provider hands the key itself out. A key from a
//! file, a credential, the environment or shares is the same in memory ([`SoftwareMasterKey`]).
//! [`MasterKeySources`] is where keys are looked for and made; which one is in force the database says
//! (`crate::in_force`).

mod file;
pub(crate) mod shares;
mod software;
mod sources;
mod text;

use clm_domain::clock::Rng;
use clm_domain::secret::SecretBytes;

pub use file::{FileMasterKey, MasterKeyFileError};
pub use shares::{ShareFault, check_value_of_shares};
pub use software::{SealedMasterKey, SoftwareMasterKey};
pub use sources::{MasterKeySourceError, MasterKeySources, check_value_of_copy};

use crate::envelope::Sealed;

/// Who holds the master key.
pub trait MasterKeyProvider: Send + Sync {
    /// The stored name of the provider, such as `file`.
    fn name(&self) -> &'static str;

    /// A value that recognizes the key without revealing it: stored when the key comes into force and
    /// compared at each start.
    fn check_value(&self) -> [u8; 32];

    /// Wraps a data key. `additional_data` binds the result to its row.
    ///
    /// # Errors
    /// [`MasterKeyError`].
    fn wrap(
        &self,
        data_key: &SecretBytes,
        additional_data: &[u8],
        rng: &dyn Rng,
    ) -> Result<Sealed, MasterKeyError>;

    /// Unwraps a data key.
    ///
    /// # Errors
    /// [`MasterKeyError::Refused`] when the key or the row is another one.
    fn unwrap(
        &self,
        wrapped: &Sealed,
        additional_data: &[u8],
    ) -> Result<SecretBytes, MasterKeyError>;
}

/// The master key did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    /// The wrapped key was changed, moved, or wrapped under another master key.
    #[error("the master key does not open the wrapped key")]
    Refused,
    /// The key is split, and not enough of its shares are here.
    #[error("the master key is sealed: its custodians have to open it")]
    Sealed,
    /// The provider cannot be used now.
    #[error("the master key provider does not answer: {0}")]
    Unavailable(String),
}

#[cfg(test)]
pub(crate) mod conformance;
