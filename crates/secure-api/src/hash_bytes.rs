//! Hashes in messages: hexadecimal text in JSON, where an array of numbers would take ten times the
//! room and the time, and bytes in CBOR. For `#[serde(with = "crate::hash_bytes")]`.

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};
use serde_bytes::ByteBuf;

pub(crate) fn serialize<S: Serializer>(hash: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.serialize_str(&hex::encode(hash))
    } else {
        serializer.serialize_bytes(hash)
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    if deserializer.is_human_readable() {
        let text = String::deserialize(deserializer)?;
        hex::decode(text).map_err(D::Error::custom)
    } else {
        ByteBuf::deserialize(deserializer).map(ByteBuf::into_vec)
    }
}

#[cfg(test)]
mod tests;
