//! Bytes and text that must not be shown: zeroized on drop, without `Debug` output, `Display` or
//! serialization. What has to travel in the contract says so field by field.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Secret bytes, such as key material.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes ownership of `bytes`.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The secret. Keep the borrow short and never copy it into something that is not zeroized.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(hidden)")
    }
}

/// Secret text, such as a password or token.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretString(String);

impl SecretString {
    /// Takes ownership of `text`.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret. Keep the borrow short and never copy it into something that is not zeroized.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretString(hidden)")
    }
}

impl From<String> for SecretString {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// `#[serde(with = "…")]` for the few contract fields that carry a secret on purpose, each of them
/// an explicit, audited act.
pub mod explicit_secret {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::SecretString;

    /// Writes the secret as text.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(secret: &SecretString, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    /// Reads the secret from text.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
        String::deserialize(from).map(SecretString::new)
    }
}
