//! What a PostgreSQL server stores of a password under SCRAM-SHA-256.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clm_domain::secret::SecretString;
use zeroize::Zeroizing;

use super::RolesError;

/// 4096: PostgreSQL's default, and the least that RFC 7677 §4 allows.
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);

/// Octets of the salt, as PostgreSQL makes it.
const SALT_OCTETS: usize = 16;

/// The longest password that every client takes.
const PASSWORD_OCTETS_MAX: usize = 1000;

/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (RFC 5802 §3, RFC 7677 §3).
pub(super) fn verifier(
    password: &SecretString,
    salt: [u8; SALT_OCTETS],
) -> Result<Zeroizing<String>, RolesError> {
    let password = password.expose();
    // Of printable ASCII, SASLprep (RFC 4013) makes the same on every side.
    let is_plain = password
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if !is_plain || password.is_empty() || password.len() > PASSWORD_OCTETS_MAX {
        return Err(RolesError::UnsuitablePassword);
    }
    let mut salted_password = Zeroizing::new([0_u8; digest::SHA256_OUTPUT_LEN]);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        ITERATIONS,
        &salt,
        password.as_bytes(),
        salted_password.as_mut_slice(),
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, salted_password.as_slice());
    let client_key = hmac::sign(&key, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let server_key = hmac::sign(&key, b"Server Key");
    Ok(Zeroizing::new(format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored_key.as_ref()),
        STANDARD.encode(server_key.as_ref())
    )))
}
