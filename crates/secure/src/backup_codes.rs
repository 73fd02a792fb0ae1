//! Backup codes of a second factor: what they look like, and what is kept of them. Pure; which are left
//! is for [`crate::store::totp_factors`].

use clm_domain::clock::{Rng, random_bytes};
use clm_domain::secret::SecretString;
use sha2::{Digest as _, Sha256};

use crate::totp::base32;

/// How many a user gets.
pub(crate) const CODES: usize = 10;
/// Random bytes of a code: enough that nobody guesses one, so that they need no slow hash.
const RANDOM_BYTES: usize = 10;
/// Characters of a code, without hyphens.
const CHARACTERS: usize = 16;
/// Characters between two hyphens.
const GROUP: usize = 4;

/// New codes, as their user sees them: `abcd-efgh-ijkl-mnop`.
pub(crate) fn generate(rng: &dyn Rng) -> Vec<SecretString> {
    (0..CODES)
        .map(|_| {
            let bytes: [u8; RANDOM_BYTES] = random_bytes(rng);
            let code = base32(&bytes);
            let mut shown = String::with_capacity(CHARACTERS + CHARACTERS / GROUP);
            for (index, character) in code.expose().chars().enumerate() {
                if index > 0 && index % GROUP == 0 {
                    shown.push('-');
                }
                shown.push(character.to_ascii_lowercase());
            }
            SecretString::new(shown)
        })
        .collect()
}

/// What is stored of a code; `None` when the text has not the form of one. Upper or lower case, with or
/// without hyphens and blanks.
pub(crate) fn hash(text: &SecretString) -> Option<[u8; 32]> {
    let mut code = String::with_capacity(CHARACTERS);
    for character in text.expose().chars() {
        match character.to_ascii_uppercase() {
            '-' | ' ' => {}
            character @ ('A'..='Z' | '2'..='7') if code.len() < CHARACTERS => code.push(character),
            _ => return None,
        }
    }
    let code = SecretString::new(code);
    (code.expose().len() == CHARACTERS).then(|| Sha256::digest(code.expose()).into())
}

#[cfg(test)]
mod tests;
