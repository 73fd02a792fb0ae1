//! The encoding of messages for the remote form: CBOR (RFC 8949), behind one version byte.
//!
//! Within a version fields are only added, each with a default, and what is unknown is ignored.
//! Anything else takes a new version, whose program also reads the one before.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version that this program writes.
pub const VERSION: u8 = 1;

/// The first version that there was.
const VERSION_FIRST: u8 = 1;

/// Largest message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The versions that a program reads: its own and the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest one.
    pub oldest: u8,
    /// The program's own.
    pub newest: u8,
}

/// The versions that this program reads.
pub const SUPPORTED: Versions = Versions::of(VERSION);

impl Versions {
    /// The versions of a program whose own one is `newest`.
    pub const fn of(newest: u8) -> Self {
        let oldest = if newest > VERSION_FIRST {
            newest - 1
        } else {
            newest
        };
        Self { oldest, newest }
    }

    /// Whether a message of that version can be read.
    pub const fn accept(self, version: u8) -> bool {
        self.oldest <= version && version <= self.newest
    }
}

/// A message cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The message does not fit the encoding or the limit.
    #[error("a message to or from the Secure Service cannot be encoded: {0}")]
    Encode(String),
    /// The bytes are no message.
    #[error("a message to or from the Secure Service cannot be decoded: {0}")]
    Decode(String),
    /// The message has a version that this program does not read.
    #[error(
        "a message to or from the Secure Service has version {found}; this program reads {oldest} \
         to {newest}"
    )]
    Version {
        /// The version of the message.
        found: u8,
        /// The oldest one that is read.
        oldest: u8,
        /// The newest one that is read.
        newest: u8,
    },
}

/// Writes a message in this program's version.
///
/// # Errors
/// [`WireError::Encode`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    encode_as(VERSION, message)
}

/// Writes a message in a version that the peer reads.
///
/// # Errors
/// [`WireError::Encode`].
pub fn encode_as<T: Serialize>(version: u8, message: &T) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![version];
    ciborium::into_writer(message, &mut bytes)
        .map_err(|error| WireError::Encode(error.to_string()))?;
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(WireError::Encode(format!(
            "{} bytes are too many",
            bytes.len()
        )));
    }
    Ok(bytes)
}

/// Reads a message of a version that this program reads.
///
/// # Errors
/// [`WireError::Version`], [`WireError::Decode`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    decode_any(SUPPORTED, bytes).map(|(_, message)| message)
}

/// Reads a message of one of these versions; also which one it has.
///
/// # Errors
/// [`WireError::Version`], [`WireError::Decode`].
pub fn decode_any<T: DeserializeOwned>(
    versions: Versions,
    bytes: &[u8],
) -> Result<(u8, T), WireError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(WireError::Decode(format!(
            "{} bytes are too many",
            bytes.len()
        )));
    }
    match bytes.split_first() {
        Some((&version, body)) if versions.accept(version) => ciborium::from_reader(body)
            .map(|message| (version, message))
            .map_err(|error| WireError::Decode(error.to_string())),
        Some((&found, _)) => Err(WireError::Version {
            found,
            oldest: versions.oldest,
            newest: versions.newest,
        }),
        None => Err(WireError::Decode("the message is empty".to_owned())),
    }
}

#[cfg(test)]
mod tests;
