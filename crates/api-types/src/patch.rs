//! Partial changes: an absent field stays as it is, null clears it, a value replaces it.

use serde::{Deserialize, Deserializer};

/// Reads a field of a partial change that can be cleared; for `#[serde(default, deserialize_with =
/// "crate::patch::given")]`.
///
/// # Errors
/// When the value does not fit.
pub fn given<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
