//! A master key as text: 256 random bits in hexadecimal between a header and a checksum line. Where
//! one line is easier to handle, the hexadecimal digits alone do.

use clm_domain::secret::{SecretBytes, SecretString};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::envelope::KEY_BYTES;

/// The first line.
const HEADER: &str = "clm-master-key version 1 aes-256";
/// What the checksum line begins with.
const CHECKSUM_PREFIX: &str = "sha256 ";

/// The text is no master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextFault {
    /// It has another form.
    Malformed(&'static str),
    /// It was cut short or changed.
    Damaged,
}

/// The three lines of a key.
pub(super) fn render(key: &SecretBytes) -> SecretString {
    let body = SecretString::new(format!(
        "{HEADER}\n{}\n",
        *Zeroizing::new(hex::encode(key.expose()))
    ));
    let checksum = hex::encode(Sha256::digest(body.expose().as_bytes()));
    SecretString::new(format!("{}{CHECKSUM_PREFIX}{checksum}\n", body.expose()))
}

/// Reads exactly what [`render`] wrote.
pub(super) fn parse(bytes: &[u8]) -> Result<SecretBytes, TextFault> {
    let malformed = TextFault::Malformed;
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not text"))?;
    let mut lines = text.split_inclusive('\n');
    let (Some(header), Some(key), Some(checksum)) = (lines.next(), lines.next(), lines.next())
    else {
        return Err(malformed("it does not have three lines"));
    };
    if header.strip_suffix('\n') != Some(HEADER) {
        return Err(malformed("its first line is not that of a known version"));
    }
    let expected = Sha256::new()
        .chain_update(header)
        .chain_update(key)
        .finalize();
    let found = checksum
        .strip_prefix(CHECKSUM_PREFIX)
        .and_then(|line| line.strip_suffix('\n'));
    if found != Some(hex::encode(expected).as_str()) {
        return Err(TextFault::Damaged);
    }
    if lines.next().is_some() {
        return Err(malformed("something follows the checksum"));
    }
    decode(key.trim_end_matches('\n')).ok_or(malformed(
        "its second line is not a key of 256 bits in hexadecimal",
    ))
}

/// Reads a key that people or programs have handed on: the three lines, whether or not the last one
/// still has its end, or the 64 hexadecimal digits alone.
pub(super) fn parse_handed_on(bytes: &[u8]) -> Result<SecretBytes, TextFault> {
    let text = std::str::from_utf8(bytes).map_err(|_| TextFault::Malformed("it is not text"))?;
    let text = text.trim();
    if let Some(key) = decode(text) {
        return Ok(key);
    }
    if !text.starts_with(HEADER) {
        return Err(TextFault::Malformed(
            "it is neither the three lines of a master key nor 64 hexadecimal digits",
        ));
    }
    parse(Zeroizing::new(format!("{text}\n")).as_bytes())
}

fn decode(digits: &str) -> Option<SecretBytes> {
    let mut decoded = Zeroizing::new(vec![0_u8; KEY_BYTES]);
    hex::decode_to_slice(digits, &mut decoded).ok()?;
    Some(SecretBytes::new(std::mem::take(&mut *decoded)))
}
