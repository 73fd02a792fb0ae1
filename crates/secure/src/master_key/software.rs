//! The master key in memory, wherever it came from, and the one that is not there.

use aws_lc_rs::hmac;
use clm_domain::clock::Rng;
use clm_domain::secret::SecretBytes;
use clm_domain::states::MasterKeyProviderKind;
use zeroize::Zeroizing;

use super::{MasterKeyError, MasterKeyProvider};
use crate::envelope::{self, KEY_BYTES, Sealed};

/// What the check value is an HMAC of.
const CHECK_LABEL: &[u8] = b"clm master key check value, version 1";

/// An AES-256 key in the memory of this process.
pub struct SoftwareMasterKey {
    provider: MasterKeyProviderKind,
    key: SecretBytes,
}

impl SoftwareMasterKey {
    /// The key that `provider` holds.
    pub(super) const fn new(provider: MasterKeyProviderKind, key: SecretBytes) -> Self {
        Self { provider, key }
    }

    /// A fresh key for `provider`.
    pub(crate) fn generate(provider: MasterKeyProviderKind, rng: &dyn Rng) -> Self {
        let mut key = Zeroizing::new(vec![0_u8; KEY_BYTES]);
        rng.fill(&mut key);
        Self::new(provider, SecretBytes::new(std::mem::take(&mut *key)))
    }

    /// Who holds the key.
    pub(crate) const fn provider(&self) -> MasterKeyProviderKind {
        self.provider
    }

    /// The key itself, for writing it to its file and for splitting it.
    pub(super) const fn material(&self) -> &SecretBytes {
        &self.key
    }
}

impl MasterKeyProvider for SoftwareMasterKey {
    fn name(&self) -> &'static str {
        self.provider.as_str()
    }

    fn check_value(&self) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.expose());
        let mut value = [0_u8; 32];
        for (to, from) in value.iter_mut().zip(hmac::sign(&key, CHECK_LABEL).as_ref()) {
            *to = *from;
        }
        value
    }

    fn wrap(
        &self,
        data_key: &SecretBytes,
        additional_data: &[u8],
        rng: &dyn Rng,
    ) -> Result<Sealed, MasterKeyError> {
        envelope::encrypt(&self.key, additional_data, data_key, rng)
            .map_err(|_| MasterKeyError::Refused)
    }

    fn unwrap(
        &self,
        wrapped: &Sealed,
        additional_data: &[u8],
    ) -> Result<SecretBytes, MasterKeyError> {
        envelope::decrypt(&self.key, additional_data, wrapped).map_err(|_| MasterKeyError::Refused)
    }
}

/// A split key that nobody has put together yet: known by its check value, and of no use.
#[derive(Clone, Copy, Debug)]
pub struct SealedMasterKey {
    check_value: [u8; 32],
}

impl SealedMasterKey {
    /// The key with this check value.
    pub const fn new(check_value: [u8; 32]) -> Self {
        Self { check_value }
    }
}

impl MasterKeyProvider for SealedMasterKey {
    fn name(&self) -> &'static str {
        MasterKeyProviderKind::Shamir.as_str()
    }

    fn check_value(&self) -> [u8; 32] {
        self.check_value
    }

    fn wrap(&self, _: &SecretBytes, _: &[u8], _: &dyn Rng) -> Result<Sealed, MasterKeyError> {
        Err(MasterKeyError::Sealed)
    }

    fn unwrap(&self, _: &Sealed, _: &[u8]) -> Result<SecretBytes, MasterKeyError> {
        Err(MasterKeyError::Sealed)
    }
}
