//! The texts of the credentials that the platform gives out, as the module above describes them,
//! and the hashes that it keeps.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clm_domain::clock::{Rng, random_bytes};
use clm_domain::secret::SecretString;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// What every API key begins with.
const API_KEY_PREFIX: &str = "clm_";
/// Base62 digits that 32 bytes need.
const API_KEY_RANDOM_DIGITS: usize = 43;
/// Base62 digits that a checksum of four bytes needs.
const API_KEY_CHECKSUM_DIGITS: usize = 6;
/// What the token of a link begins with.
const LINK_TOKEN_PREFIX: &str = "clm_link_";
/// Random bytes in each credential.
const RANDOM_BYTES: usize = 32;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// SHA-256 of a credential: what is stored of it, and what caches know it by.
pub(crate) type CredentialHash = [u8; 32];

/// A new API key.
pub(crate) fn new_api_key(rng: &dyn Rng) -> SecretString {
    let random = Zeroizing::new(random_bytes::<RANDOM_BYTES>(rng));
    let mut key = String::with_capacity(
        API_KEY_PREFIX.len() + API_KEY_RANDOM_DIGITS + API_KEY_CHECKSUM_DIGITS,
    );
    key.push_str(API_KEY_PREFIX);
    push_base62(&mut key, random.as_slice(), API_KEY_RANDOM_DIGITS);
    let checksum = checksum(&key);
    key.push_str(&checksum);
    SecretString::new(key)
}

/// The hash of an API key, unless the text is none.
pub(crate) fn api_key_hash(key: &str) -> Option<CredentialHash> {
    let body_length = API_KEY_PREFIX.len() + API_KEY_RANDOM_DIGITS;
    let (body, found) = key.split_at_checked(body_length)?;
    let well_formed = body.starts_with(API_KEY_PREFIX) && found == checksum(body);
    well_formed.then(|| hash(key))
}

/// A new session token or CSRF token.
pub(crate) fn new_token(rng: &dyn Rng) -> SecretString {
    let random = Zeroizing::new(random_bytes::<RANDOM_BYTES>(rng));
    SecretString::new(URL_SAFE_NO_PAD.encode(random.as_slice()))
}

/// The hash of a session token or CSRF token, unless the text is none.
pub(crate) fn token_hash(token: &str) -> Option<CredentialHash> {
    let mut bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let well_formed = bytes.len() == RANDOM_BYTES;
    bytes.zeroize();
    well_formed.then(|| hash(token))
}

/// A new token of a link that goes by mail, or of an invitation that does.
pub(crate) fn new_link_token(rng: &dyn Rng) -> SecretString {
    let token = new_token(rng);
    SecretString::new(format!("{LINK_TOKEN_PREFIX}{}", token.expose()))
}

/// The hash of a token of a link, unless the text is none.
pub(crate) fn link_token_hash(token: &str) -> Option<CredentialHash> {
    let random = token.strip_prefix(LINK_TOKEN_PREFIX)?;
    token_hash(random).map(|_| hash(token))
}

/// The hash of a credential that was just made here.
pub(crate) fn hash(credential: &str) -> CredentialHash {
    Sha256::digest(credential.as_bytes()).into()
}

/// Compares in a time that does not depend on where the first difference is.
pub(crate) fn equal_in_constant_time(left: &CredentialHash, right: &CredentialHash) -> bool {
    let difference = left
        .iter()
        .zip(right)
        .fold(0, |found, (a, b)| found | (a ^ b));
    std::hint::black_box(difference) == 0
}

fn checksum(body: &str) -> String {
    let digest = Sha256::digest(body.as_bytes());
    let mut digits = String::with_capacity(API_KEY_CHECKSUM_DIGITS);
    push_base62(
        &mut digits,
        digest.get(..4).unwrap_or_default(),
        API_KEY_CHECKSUM_DIGITS,
    );
    digits
}

/// Appends `bytes`, read as one big-endian number, as `count` base62 digits.
fn push_base62(text: &mut String, bytes: &[u8], count: usize) {
    let mut number = Zeroizing::new(bytes.to_vec());
    let mut digits = Zeroizing::new(Vec::with_capacity(count));
    for _ in 0..count {
        let remainder = divide(&mut number, BASE62.len() as u16);
        digits.push(BASE62.get(usize::from(remainder)).copied().unwrap_or(b'0'));
    }
    text.extend(digits.iter().rev().map(|digit| char::from(*digit)));
}

/// Divides a big-endian number in place; returns the remainder.
fn divide(number: &mut [u8], divisor: u16) -> u16 {
    let mut remainder = 0;
    for byte in number {
        let value = remainder << 8 | u16::from(*byte);
        *byte = u8::try_from(value / divisor).unwrap_or(u8::MAX);
        remainder = value % divisor;
    }
    remainder
}

#[cfg(test)]
mod tests;
