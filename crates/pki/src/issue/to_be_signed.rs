//! [`ToBeSigned`]: the `TBSCertificate` of RFC 5280 §4.1 as bytes put in order.
//!
//! Nothing is judged here, so that tests can write what no certificate may say; only
//! [`crate::issue`] makes certificates from it.

use chrono::{DateTime, Datelike, Timelike, Utc};

use crate::asn1::tag::{INTEGER, context_constructed};
use crate::der_writer::DerWriter;

/// Identifier octet of `UTCTime`.
const UTC_TIME: u8 = 0x17;
/// Identifier octet of `GeneralizedTime`.
const GENERALIZED_TIME: u8 = 0x18;
/// First year that `UTCTime` cannot say (RFC 5280 §4.1.2.5).
const GENERALIZED_TIME_YEAR_MIN: i32 = 2050;
/// `v3` (RFC 5280 §4.1.2.1).
const VERSION_3: u32 = 2;

/// The fields of a `TBSCertificate`, each in DER but for the serial number.
#[derive(Clone, Debug)]
pub(crate) struct ToBeSigned<'a> {
    /// Content octets of the serial number.
    pub(crate) serial: &'a [u8],
    /// `AlgorithmIdentifier`.
    pub(crate) signature_algorithm: &'a [u8],
    /// `Name`.
    pub(crate) issuer: &'a [u8],
    /// `Validity`.
    pub(crate) validity: &'a [u8],
    /// `Name`.
    pub(crate) subject: &'a [u8],
    /// `SubjectPublicKeyInfo`.
    pub(crate) subject_public_key_info: &'a [u8],
    /// `Extensions`.
    pub(crate) extensions: &'a [u8],
}

impl ToBeSigned<'_> {
    /// DER of the `TBSCertificate`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let parts = [
            self.issuer,
            self.subject,
            self.subject_public_key_info,
            self.extensions,
        ];
        let capacity = 128 + parts.iter().map(|part| part.len()).sum::<usize>();
        let mut writer = DerWriter::with_capacity(capacity);
        writer.sequence(|writer| {
            writer.constructed(context_constructed(0), |writer| {
                writer.unsigned(INTEGER, VERSION_3);
            });
            writer.primitive(INTEGER, self.serial);
            writer.raw(self.signature_algorithm);
            writer.raw(self.issuer);
            writer.raw(self.validity);
            writer.raw(self.subject);
            writer.raw(self.subject_public_key_info);
            writer.constructed(context_constructed(3), |writer| writer.raw(self.extensions));
        });
        writer.finish()
    }
}

/// DER of `Validity` (RFC 5280 §4.1.2.5). Fractions of seconds are not written; years outside
/// 1950 to 9999 have no encoding and must have been refused.
pub(crate) fn encode_validity(not_before: DateTime<Utc>, not_after: DateTime<Utc>) -> Vec<u8> {
    let mut writer = DerWriter::with_capacity(40);
    writer.sequence(|writer| {
        write_time(writer, not_before);
        write_time(writer, not_after);
    });
    writer.finish()
}

/// RFC 5280 §4.1.2.5: `UTCTime` through 2049, `GeneralizedTime` from 2050.
fn write_time(writer: &mut DerWriter, time: DateTime<Utc>) {
    let mut digits = String::with_capacity(15);
    let tag = if time.year() < GENERALIZED_TIME_YEAR_MIN {
        UTC_TIME
    } else {
        push_two_digits(&mut digits, time.year().unsigned_abs() / 100);
        GENERALIZED_TIME
    };
    for part in [
        time.year().unsigned_abs() % 100,
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
    ] {
        push_two_digits(&mut digits, part);
    }
    digits.push('Z');
    writer.primitive(tag, digits.as_bytes());
}

fn push_two_digits(digits: &mut String, number: u32) {
    for digit in [number / 10 % 10, number % 10] {
        digits.push(char::from_digit(digit, 10).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests;
