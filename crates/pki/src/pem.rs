//! The textual encoding of keys, requests and certificates (RFC 7468).
//!
//! Reads what tools print, with text around the blocks and either line ending; writes the strict
//! form. Working copies of the text are wiped, because a block may hold a private key. Start with
//! [`decode_one`] and [`encode`].

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// `CERTIFICATE` and the old name that some tools still write.
pub const CERTIFICATE_LABELS: &[&str] = &["CERTIFICATE", "X509 CERTIFICATE"];
/// `CERTIFICATE REQUEST` and the old name that some tools still write.
pub const REQUEST_LABELS: &[&str] = &["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

/// Characters on one line of the strict form.
const LINE_CHARACTERS: usize = 64;

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// No block with a label that was asked for.
    #[error("no PEM block '{0}' was found")]
    Missing(String),
    /// More than one block where one was asked for.
    #[error("more than one PEM block '{0}' was found where one is expected")]
    Several(String),
    /// A block does not keep to the format.
    #[error("the PEM text is malformed: {0}")]
    Malformed(&'static str),
}

/// One block.
#[derive(Clone, PartialEq, Eq)]
pub struct PemBlock {
    /// What stands behind `BEGIN`.
    pub label: String,
    /// The decoded contents.
    pub contents: Vec<u8>,
}

impl std::fmt::Debug for PemBlock {
    /// Shows no contents: they may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PemBlock({}, {} bytes)", self.label, self.contents.len())
    }
}

/// The strict form of one block, with a line feed at the end.
pub fn encode(label: &str, contents: &[u8]) -> String {
    let base64 = Zeroizing::new(STANDARD.encode(contents));
    let lines = base64.len().div_ceil(LINE_CHARACTERS);
    // Room for all at once: growing would leave copies of a private key behind.
    let mut out = String::with_capacity(base64.len() + lines + 2 * label.len() + 40);
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    for (position, character) in base64.chars().enumerate() {
        if position > 0 && position % LINE_CHARACTERS == 0 {
            out.push('\n');
        }
        out.push(character);
    }
    if !base64.is_empty() {
        out.push('\n');
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}

/// The contents of the one block with one of `labels`; other blocks and text around are ignored.
///
/// # Errors
/// When there is no such block, more than one, or a block of any label is malformed.
pub fn decode_one(text: &[u8], labels: &[&str]) -> Result<Vec<u8>, PemError> {
    let mut blocks = decode_all(text, labels)?.into_iter();
    let wanted = || labels.first().copied().unwrap_or_default().to_owned();
    let block = blocks.next().ok_or_else(|| PemError::Missing(wanted()))?;
    match blocks.next() {
        None => Ok(block.contents),
        Some(_) => Err(PemError::Several(wanted())),
    }
}

/// All blocks with one of `labels`, in their order; other blocks and text around are ignored.
///
/// # Errors
/// [`PemError::Malformed`] when a block of any label does not keep to the format.
pub fn decode_all(text: &[u8], labels: &[&str]) -> Result<Vec<PemBlock>, PemError> {
    let mut blocks = Vec::new();
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    while let Some(line) = lines.next() {
        let Some(label) = boundary(line, b"-----BEGIN ") else {
            continue;
        };
        let base64 = read_block(&mut lines, label)?;
        if labels.contains(&label) {
            let contents = STANDARD.decode(base64.as_slice()).map_err(|_| {
                PemError::Malformed("a block holds something that is no base64 with padding")
            })?;
            blocks.push(PemBlock {
                label: label.to_owned(),
                contents,
            });
        }
    }
    Ok(blocks)
}

/// The DER in `bytes`, which are DER already or PEM with one block of one of `labels`.
///
/// # Errors
/// As [`decode_one`], for bytes that do not begin like DER.
pub fn to_der<'a>(bytes: &'a [u8], labels: &[&str]) -> Result<Cow<'a, [u8]>, PemError> {
    match bytes {
        // A sequence of 128 bytes or more; no text goes on like this after a '0'.
        [0x30, 0x80..=0xff, ..] => Ok(Cow::Borrowed(bytes)),
        _ => decode_one(bytes, labels).map(Cow::Owned),
    }
}

/// The label of a line such as `-----BEGIN label-----`.
fn boundary<'a>(line: &'a [u8], prefix: &[u8]) -> Option<&'a str> {
    let label = line.strip_prefix(prefix)?.strip_suffix(b"-----")?;
    std::str::from_utf8(label).ok()
}

/// The base64 characters up to the line that ends the block.
fn read_block<'a>(
    lines: &mut impl Iterator<Item = &'a [u8]>,
    label: &str,
) -> Result<Zeroizing<Vec<u8>>, PemError> {
    let mut base64 = Zeroizing::new(Vec::new());
    for line in lines {
        if line.starts_with(b"-----") {
            return match boundary(line, b"-----END ") {
                Some(end) if end == label => Ok(base64),
                _ => Err(PemError::Malformed(
                    "a block ends with another label than it began",
                )),
            };
        }
        if line.contains(&b':') {
            return Err(PemError::Malformed(
                "a block has header lines, as old encrypted keys do: convert it to PKCS#8",
            ));
        }
        base64.extend_from_slice(line);
    }
    Err(PemError::Malformed("a block has no end"))
}

#[cfg(test)]
mod tests;
