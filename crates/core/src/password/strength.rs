//! How easy a password is to guess, for somebody who knows common passwords, words, dates, keyboards,
//! and the user's own names.

use clm_domain::error::Fault;
use clm_domain::secret::SecretString;
use zxcvbn::{Score, zxcvbn};

use crate::error::Result;

/// Words shorter than this, in characters, are in no password because of the user.
const WORD_CHARACTERS_MIN: usize = 3;
/// Most words of the user that are looked for.
const WORDS_MAX: usize = 50;

/// So many letters and digits of a password must not be the user's own words.
const OTHER_CHARACTERS_MIN: usize = 6;

/// Words by which somebody would guess the passwords of a user: the texts and their parts.
pub fn own_words(texts: &[&str]) -> Vec<String> {
    let parts = texts.iter().flat_map(|text| {
        let parts = text.split(|c: char| !c.is_alphanumeric());
        std::iter::once(text.trim()).chain(parts)
    });
    let long = parts.filter(|word| word.chars().count() >= WORD_CHARACTERS_MIN);
    long.map(str::to_lowercase).take(WORDS_MAX).collect()
}

/// Refuses a password that a hundred million guesses would find, were its hash stolen; `words` are
/// those of [`own_words`]. Beyond its hundredth character a password is not looked at.
///
/// # Errors
/// `Invalid` with code `password_too_common`, naming `field`.
pub fn check_strength(
    password: &SecretString,
    words: &[String],
    field: &'static str,
) -> Result<()> {
    if other_characters(password, words) < OTHER_CHARACTERS_MIN {
        let message = "This password says little more than your own names. Use several words that \
                       have nothing to do with you.";
        return Err(Fault::invalid("password_too_common", field, message).into());
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let entropy = zxcvbn(password.expose(), &words);
    if entropy.score() >= Score::Three {
        return Ok(());
    }
    let warning = entropy.feedback().and_then(|feedback| feedback.warning());
    let warning = warning.map_or_else(String::new, |warning| format!(" {warning}"));
    let message = format!(
        "This password is too easy to guess.{warning} Use several words that do not belong together \
         and have nothing to do with you."
    );
    Err(Fault::invalid("password_too_common", field, message).into())
}

/// How many letters and digits are left without the user's own words.
fn other_characters(password: &SecretString, words: &[String]) -> usize {
    let mut rest = SecretString::new(password.expose().to_lowercase());
    for word in words {
        rest = SecretString::new(rest.expose().replace(word.as_str(), " "));
    }
    let characters = rest.expose().chars();
    characters.filter(|c| c.is_alphanumeric()).count()
}

#[cfg(test)]
mod tests;
