//! The encoding of messages for the remote form: CBOR (RFC 8949), behind one version byte.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version that this program writes. It reads no other.
pub const VERSION: u8 = 1;

/// Largest message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A message cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The message does not fit the encoding or the limit.
    #[error("a message to or from the Secure Service cannot be encoded: {0}")]
    Encode(String),
    /// The bytes are no message of this version.
    #[error("a message to or from the Secure Service cannot be decoded: {0}")]
    Decode(String),
}

/// Writes a message.
///
/// # Errors
/// [`WireError::Encode`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![VERSION];
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

/// Reads a message.
///
/// # Errors
/// [`WireError::Decode`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(WireError::Decode(format!(
            "{} bytes are too many",
            bytes.len()
        )));
    }
    match bytes.split_first() {
        Some((&VERSION, body)) => {
            ciborium::from_reader(body).map_err(|error| WireError::Decode(error.to_string()))
        }
        Some((version, _)) => Err(WireError::Decode(format!("version {version} is unknown"))),
        None => Err(WireError::Decode("the message is empty".to_owned())),
    }
}
