//! Texts of one line that people give: trimmed, bounded in characters, without control characters.

use clm_domain::error::Fault;
use clm_domain::limits::REASON_CHARACTERS_MAX;

use crate::error::Result;

/// A text of 1 to `most` characters.
///
/// # Errors
/// `Invalid` with this code, naming this field.
pub(crate) fn check_line(
    text: &str,
    most: usize,
    (code, field): (&'static str, &str),
) -> Result<String> {
    if let Some(text) = fitting(text, most) {
        return Ok(text);
    }
    let message = format!("Use 1 to {most} characters, none of them a control character.");
    Err(Fault::invalid(code, field, message).into())
}

/// A reason, where one must be given.
///
/// # Errors
/// `Invalid` with code `reason_invalid`.
pub(crate) fn check_reason(reason: &str) -> Result<String> {
    if let Some(reason) = fitting(reason, REASON_CHARACTERS_MAX) {
        return Ok(reason);
    }
    let message = format!(
        "Say why, in 1 to {REASON_CHARACTERS_MAX} characters, none of them a control character."
    );
    Err(Fault::invalid("reason_invalid", "reason", message).into())
}

fn fitting(text: &str, most: usize) -> Option<String> {
    let text = text.trim();
    let fits = (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
