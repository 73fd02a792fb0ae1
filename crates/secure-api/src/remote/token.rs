//! The one-time token that introduces a program to a Secure Service: where that is, what its
//! authority's certificate is, and a secret.

use std::fmt;
use std::str::FromStr;

use clm_domain::secret::SecretString;

/// Bytes of the secret.
pub const SECRET_BYTES: usize = 32;

/// What a token begins with: its kind and version.
const PREFIX: &str = "clm-pair-1";
/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 1_024;

/// A one-time token.
#[derive(Clone, PartialEq, Eq)]
pub struct PairingToken {
    /// `host:port` of the Secure Service.
    pub address: String,
    /// SHA-256 of the DER of the authority's certificate.
    pub authority_sha256: [u8; 32],
    /// Known to its bearer alone; the service keeps the hash.
    pub secret: [u8; SECRET_BYTES],
}

impl fmt::Debug for PairingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PairingToken({})", self.address)
    }
}

/// The text is no token. It is not repeated: it may be one, but for a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Another kind or version.
    #[error(
        "this is no pairing token of a version that this program reads; it begins with {PREFIX}:"
    )]
    Prefix,
    /// A part is missing or misshapen.
    #[error("the pairing token is damaged: copy it whole, as 'clm pair create' printed it")]
    Damaged,
}

impl PairingToken {
    /// The text that is carried to the other host.
    pub fn to_text(&self) -> SecretString {
        SecretString::new(format!(
            "{PREFIX}:{}:{}:{}",
            self.address,
            hex::encode(self.authority_sha256),
            hex::encode(self.secret)
        ))
    }
}

impl FromStr for PairingToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Damaged);
        }
        let rest = text.strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
        let rest = rest.strip_prefix(':').ok_or(TokenError::Prefix)?;
        // From the end: an address has colons of its own.
        let mut parts = rest.rsplitn(3, ':');
        let secret = fixed(parts.next())?;
        let authority_sha256 = fixed(parts.next())?;
        let address = parts.next().filter(|address| is_address(address));
        Ok(Self {
            address: address.ok_or(TokenError::Damaged)?.to_owned(),
            authority_sha256,
            secret,
        })
    }
}

/// Whether the text names a host and a port.
pub fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && host.len() <= 255
            && port.parse::<u16>().is_ok_and(|port| port > 0)
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    })
}

fn fixed(text: Option<&str>) -> Result<[u8; 32], TokenError> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.unwrap_or_default(), &mut bytes).map_err(|_| TokenError::Damaged)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
