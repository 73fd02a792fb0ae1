//! Object identifiers as dotted text, checked for syntax.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An ASN.1 object identifier in dotted decimal form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Oid(String);

/// The text is no object identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no object identifier: write dotted decimal numbers such as 1.3.6.1.5.5.7.3.1")]
pub struct OidSyntaxError(String);

/// Longest accepted text form, in bytes.
const TEXT_BYTES_MAX: usize = 256;

impl Oid {
    /// The dotted text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Oid {
    type Err = OidSyntaxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || OidSyntaxError(text.chars().take(64).collect());
        if text.len() > TEXT_BYTES_MAX {
            return Err(error());
        }
        let mut arcs = Vec::new();
        for arc in text.split('.') {
            let canonical = !arc.is_empty() && (arc == "0" || !arc.starts_with('0'));
            if !canonical || !arc.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(error());
            }
            arcs.push(arc.parse::<u128>().map_err(|_| error())?);
        }
        // X.660: the first arc is 0, 1 or 2; below 0 and 1 the second is at most 39.
        match (arcs.first(), arcs.get(1)) {
            (Some(0 | 1), Some(0..=39)) | (Some(2), Some(_)) => Ok(Self(text.to_owned())),
            _ => Err(error()),
        }
    }
}

impl TryFrom<String> for Oid {
    type Error = OidSyntaxError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Oid> for String {
    fn from(oid: Oid) -> Self {
        oid.0
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({})", self.0)
    }
}
