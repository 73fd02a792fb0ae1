//! Keys of the core's own connections: of its HTTPS listener, and with which it calls a Secure Service
//! in another process. They are made here and stay in this process and its files; what travels is a
//! request for a certificate.

use clm_domain::general_name::GeneralName;
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::secret::SecretBytes;
use clm_pki::csr;
use clm_pki::key::PrivateKey;

use crate::error::{CoreError, Result};

/// DER of a subject without any name: the alternative names say it all (RFC 5280 §4.1.2.6).
const EMPTY_SUBJECT_DER: [u8; 2] = [0x30, 0x00];

/// A P-256 key as PKCS#8 (RFC 5958), and a PKCS#10 request (RFC 2986) for it with these names, both
/// DER.
///
/// # Errors
/// `Internal` when the key cannot be made.
pub fn new_with_request(names: &[GeneralName]) -> Result<(SecretBytes, Vec<u8>)> {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)
        .map_err(|error| CoreError::internal(&error))?;
    let request = csr::build_request(&EMPTY_SUBJECT_DER, names, &key)
        .map_err(|error| CoreError::internal(&error))?;
    let key = key
        .to_pkcs8_der()
        .map_err(|error| CoreError::internal(&error))?;
    Ok((key, request))
}
