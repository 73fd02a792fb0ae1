//! Sealing: AES-256-GCM (NIST SP 800-38D) whose additional data names the row that holds the
//! result.
//!
//! A sealed value that is moved to another row, column, organization or key does not open there.
//! Keys and content never appear in an error. Start with [`seal`] and [`open`].

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use clm_domain::clock::{Rng, random_bytes};
use clm_domain::ids::{EncryptionKeyId, OrganizationId, PrivateKeyId, SealedSecretId};
use clm_domain::secret::SecretBytes;
use clm_domain::states::SecretPurpose;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The name of the algorithm, as stored beside everything that is sealed.
pub const ALGORITHM: &str = "AES-256-GCM";
/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce (NIST SP 800-38D §8.2.2, random construction).
pub const NONCE_BYTES: usize = 12;
/// Bytes of an authentication tag.
pub const TAG_BYTES: usize = 16;

/// The version of the additional data, its first field.
const FORMAT_VERSION: u8 = 1;

/// A sealed value: safe to store, useless without the key and the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// As long as the plaintext.
    pub ciphertext: Vec<u8>,
    /// Random, never used twice with one key.
    pub nonce: [u8; NONCE_BYTES],
    /// Authenticates ciphertext and additional data.
    pub tag: [u8; TAG_BYTES],
}

/// Where a sealed value is stored, and under which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The primary key of the row.
    pub row_id: Uuid,
    /// The organization that owns the row.
    pub organization_id: OrganizationId,
    /// The row in `encryption_keys` of the key that seals.
    pub encryption_key_id: EncryptionKeyId,
    /// The algorithm, and of a secret also what it is for: a secret whose purpose was changed does
    /// not open.
    pub algorithm: &'static str,
}

/// Sealing or opening failed. It names the row, never what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The cipher refused the key or the length.
    #[error("{0} cannot be sealed")]
    Seal(Place),
    /// The tag does not fit: another key, another row, or a changed value.
    #[error(
        "{0} does not open: it was changed, moved from another row, or sealed under another key"
    )]
    Open(Place),
}

/// The cipher refused; the caller knows what it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CipherRefused;

impl Place {
    /// The place of the wrapped material of a data key.
    pub const fn data_key(
        id: EncryptionKeyId,
        organization_id: OrganizationId,
        wrapping_key_id: EncryptionKeyId,
    ) -> Self {
        Self {
            table: "encryption_keys",
            column: "encrypted_key_material",
            row_id: id.as_uuid(),
            organization_id,
            encryption_key_id: wrapping_key_id,
            algorithm: ALGORITHM,
        }
    }

    /// The place of the sealed material of a private key.
    pub const fn private_key(
        id: PrivateKeyId,
        organization_id: OrganizationId,
        encryption_key_id: EncryptionKeyId,
    ) -> Self {
        Self {
            table: "private_keys",
            column: "encrypted_key_material",
            row_id: id.as_uuid(),
            organization_id,
            encryption_key_id,
            algorithm: ALGORITHM,
        }
    }

    /// The place of a secret that is kept for the core.
    pub const fn secret(
        (id, purpose): (SealedSecretId, SecretPurpose),
        organization_id: OrganizationId,
        encryption_key_id: EncryptionKeyId,
    ) -> Self {
        Self {
            table: "sealed_secrets",
            column: "encrypted_secret",
            row_id: id.as_uuid(),
            organization_id,
            encryption_key_id,
            algorithm: match purpose {
                SecretPurpose::Totp => "AES-256-GCM totp",
                SecretPurpose::Webhook => "AES-256-GCM webhook",
                SecretPurpose::Connector => "AES-256-GCM connector",
            },
        }
    }

    /// The additional data: format version, table, column, row id, organization id, encryption key
    /// id and algorithm, each as a four-byte big-endian length and its bytes.
    pub fn additional_data(&self) -> Vec<u8> {
        let fields: [&[u8]; 7] = [
            &[FORMAT_VERSION],
            self.table.as_bytes(),
            self.column.as_bytes(),
            self.row_id.as_bytes(),
            &self.organization_id.as_uuid().into_bytes(),
            &self.encryption_key_id.as_uuid().into_bytes(),
            self.algorithm.as_bytes(),
        ];
        let mut out = Vec::with_capacity(160);
        for field in fields {
            let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(field);
        }
        out
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} of row {}", self.table, self.column, self.row_id)
    }
}

/// Seals `plaintext` for `place` under a fresh random nonce.
///
/// # Errors
/// [`EnvelopeError::Seal`].
pub(crate) fn seal(
    key: &SecretBytes,
    place: &Place,
    plaintext: &SecretBytes,
    rng: &dyn Rng,
) -> Result<Sealed, EnvelopeError> {
    encrypt(key, &place.additional_data(), plaintext, rng).map_err(|_| EnvelopeError::Seal(*place))
}

/// Opens what was sealed for `place`.
///
/// # Errors
/// [`EnvelopeError::Open`].
pub(crate) fn open(
    key: &SecretBytes,
    place: &Place,
    sealed: &Sealed,
) -> Result<SecretBytes, EnvelopeError> {
    decrypt(key, &place.additional_data(), sealed).map_err(|_| EnvelopeError::Open(*place))
}

/// AES-256-GCM with a fresh random nonce.
pub(crate) fn encrypt(
    key: &SecretBytes,
    additional_data: &[u8],
    plaintext: &SecretBytes,
    rng: &dyn Rng,
) -> Result<Sealed, CipherRefused> {
    let nonce: [u8; NONCE_BYTES] = random_bytes(rng);
    // The buffer holds plaintext until it is encrypted in place; on an early return it is wiped.
    let mut buffer = Zeroizing::new(plaintext.expose().to_vec());
    let tag = cipher(key)?
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(additional_data),
            buffer.as_mut_slice(),
        )
        .map_err(|_| CipherRefused)?;
    Ok(Sealed {
        ciphertext: std::mem::take(&mut *buffer),
        nonce,
        tag: tag.as_ref().try_into().map_err(|_| CipherRefused)?,
    })
}

/// The reverse of [`encrypt`].
pub(crate) fn decrypt(
    key: &SecretBytes,
    additional_data: &[u8],
    sealed: &Sealed,
) -> Result<SecretBytes, CipherRefused> {
    let mut plaintext = Zeroizing::new(vec![0_u8; sealed.ciphertext.len()]);
    cipher(key)?
        .open_separate_gather(
            Nonce::assume_unique_for_key(sealed.nonce),
            Aad::from(additional_data),
            &sealed.ciphertext,
            &sealed.tag,
            plaintext.as_mut_slice(),
        )
        .map_err(|_| CipherRefused)?;
    Ok(SecretBytes::new(std::mem::take(&mut *plaintext)))
}

fn cipher(key: &SecretBytes) -> Result<LessSafeKey, CipherRefused> {
    UnboundKey::new(&AES_256_GCM, key.expose())
        .map(LessSafeKey::new)
        .map_err(|_| CipherRefused)
}

#[cfg(test)]
mod tests;
