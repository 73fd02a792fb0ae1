//! Secret bytes in the few messages that carry them on purpose. For
//! `#[serde(with = "crate::secret_bytes")]`.

use clm_domain::secret::SecretBytes;
use serde::{Deserialize as _, Deserializer, Serializer};
use serde_bytes::ByteBuf;

pub(crate) fn serialize<S: Serializer>(secret: &SecretBytes, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(secret.expose())
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SecretBytes, D::Error> {
    ByteBuf::deserialize(from).map(|bytes| SecretBytes::new(bytes.into_vec()))
}
