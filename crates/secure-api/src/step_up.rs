//! Which command a step-up proof is good for: a hash over organization, name and arguments, which
//! both sides compute and only the Secure Service decides by.

use clm_domain::ids::OrganizationId;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::wire::WireError;

/// The first bytes under the hash: what it is for, and the version of its form.
const DOMAIN: &[u8] = b"clm-step-up-v1";

/// SHA-256 over [`DOMAIN`] and the CBOR of organization, command name and arguments without the
/// proof. The arguments hold no maps, so that there is one encoding of them.
///
/// # Errors
/// [`WireError::Encode`].
pub fn request_hash<T: Serialize>(
    organization_id: OrganizationId,
    command: &str,
    arguments: &T,
) -> Result<[u8; 32], WireError> {
    let mut bytes = DOMAIN.to_vec();
    ciborium::into_writer(&(organization_id, command, arguments), &mut bytes)
        .map_err(|error| WireError::Encode(error.to_string()))?;
    Ok(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests;
