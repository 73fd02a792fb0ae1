//! [`SerialNumber`]: the serial number of a certificate.
//!
//! It is made of passed-in random bits, never of a counter or a clock, so that nobody can predict
//! what a certificate will contain (CA/Browser Forum Baseline Requirements §7.1).

use std::fmt;

/// Octets of a serial number that we make: one fixed octet and 128 random bits.
const OCTETS: usize = 17;
/// Most octets of any serial number (RFC 5280 §4.1.2.2).
const OCTETS_MAX: usize = 20;
/// The fixed first octet: positive and not zero, so that all our serial numbers are equally long
/// and none needs a leading zero octet.
const FIRST_OCTET: u8 = 0x4C;

/// A positive serial number of at most 20 octets (RFC 5280 §4.1.2.2), as the content octets of
/// its DER `INTEGER`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber(Vec<u8>);

/// The bytes are no serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a serial number is a positive integer of 1 to 20 octets without needless leading zeros")]
pub struct SerialNumberError;

impl SerialNumber {
    /// A serial number of 17 octets: one fixed positive octet, then `random`, 128 bits of a CSPRNG.
    pub fn from_random(random: [u8; 16]) -> Self {
        let mut octets = Vec::with_capacity(OCTETS);
        octets.push(FIRST_OCTET);
        octets.extend_from_slice(&random);
        Self(octets)
    }

    /// Reads the content octets of a DER `INTEGER`, big-endian.
    ///
    /// # Errors
    /// When they are empty, more than 20, zero, negative, or not in shortest form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SerialNumberError> {
        let canonical = match bytes {
            [] | [0] => false,
            [0, second, ..] => second & 0x80 != 0,
            [first, ..] => first & 0x80 == 0,
        };
        if canonical && bytes.len() <= OCTETS_MAX {
            Ok(Self(bytes.to_vec()))
        } else {
            Err(SerialNumberError)
        }
    }

    /// The content octets of the DER `INTEGER`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for SerialNumber {
    /// Lower-case hexadecimal without separators.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialNumber({self})")
    }
}

#[cfg(test)]
mod tests;
