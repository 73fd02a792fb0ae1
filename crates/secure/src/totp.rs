//! Time-based one-time passwords (RFC 6238) as every authenticator has them: HMAC-SHA-1, six digits,
//! thirty seconds. Pure; which codes were used is for [`crate::store::totp_factors`].

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use clm_domain::secret::{SecretBytes, SecretString};

/// Bytes of a secret, as many as the hash has (RFC 4226 §4).
pub(crate) const SECRET_BYTES: usize = 20;
/// Digits of a code.
const DIGITS: usize = 6;
/// How long a code is shown, in seconds.
const STEP_SECONDS: i64 = 30;
/// How many steps a device may be wrong, to either side (RFC 6238 §5.2).
const SKEW_STEPS: i64 = 1;
/// RFC 4648 §6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The time step whose code this is, of those around `now`. Takes as long whatever the code.
pub(crate) fn matching_step(
    secret: &SecretBytes,
    code: &SecretString,
    now: DateTime<Utc>,
) -> Option<i64> {
    let current = now.timestamp().div_euclid(STEP_SECONDS);
    let mut found = None;
    for step in current - SKEW_STEPS..=current + SKEW_STEPS {
        let expected = code_of(secret, step);
        if verify_slices_are_equal(expected.expose().as_bytes(), code.expose().as_bytes()).is_ok() {
            found = Some(step);
        }
    }
    found
}

/// Whether the text has the form of a code.
pub(crate) fn is_code(text: &SecretString) -> bool {
    let text = text.expose();
    text.len() == DIGITS && text.bytes().all(|one| one.is_ascii_digit())
}

/// RFC 4226 §5.3 with the time step as the counter.
fn code_of(secret: &SecretBytes, step: i64) -> SecretString {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose());
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes.last().copied().unwrap_or_default() & 0x0f);
    let truncated = bytes
        .iter()
        .skip(offset)
        .take(4)
        .fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    SecretString::new(format!("{:06}", (truncated & 0x7fff_ffff) % 1_000_000))
}

/// What the user's device reads: an `otpauth` address with the secret.
pub(crate) fn uri(secret: &SecretBytes, label: &str) -> SecretString {
    let mut escaped = String::new();
    for byte in label.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    let secret = base32(secret.expose());
    SecretString::new(format!(
        "otpauth://totp/CLM:{escaped}?secret={}&issuer=CLM&algorithm=SHA1&digits={DIGITS}\
         &period={STEP_SECONDS}",
        secret.expose()
    ))
}

/// RFC 4648 §6 without padding.
pub(crate) fn base32(bytes: &[u8]) -> SecretString {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for chunk in bytes.chunks(5) {
        let mut block = [0_u8; 8];
        for (to, from) in block.iter_mut().skip(3).zip(chunk) {
            *to = *from;
        }
        let number = u64::from_be_bytes(block);
        let characters = (chunk.len() * 8).div_ceil(5);
        for index in 0..characters {
            let five = (number >> (35 - 5 * index)) & 31;
            let digit = usize::try_from(five).ok().and_then(|five| BASE32.get(five));
            text.extend(digit.map(|digit| char::from(*digit)));
        }
    }
    SecretString::new(text)
}

#[cfg(test)]
mod tests;
