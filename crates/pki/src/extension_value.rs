//! Readers of the extension values that requests and certificates share (RFC 5280 §4.2.1).
//!
//! Each takes the contents of an `extnValue` and demands DER; none judges what it reads.

use clm_domain::certificate_plan::{BasicConstraints, KeyUsage};
use clm_domain::oid::Oid;

use crate::asn1::{self, DerError, tag};

/// Object identifiers of the extensions that are read.
pub(crate) mod oid {
    pub(crate) const SUBJECT_KEY_IDENTIFIER: &str = "2.5.29.14";
    pub(crate) const KEY_USAGE: &str = "2.5.29.15";
    pub(crate) const SUBJECT_ALTERNATIVE_NAME: &str = "2.5.29.17";
    pub(crate) const BASIC_CONSTRAINTS: &str = "2.5.29.19";
    pub(crate) const AUTHORITY_KEY_IDENTIFIER: &str = "2.5.29.35";
    pub(crate) const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
}

/// `KeyUsage` (§4.2.1.3), without zero bits at the end (X.690 §11.2.2).
pub(crate) fn key_usage(value: &[u8]) -> Result<KeyUsage, DerError> {
    let usage = key_usage_of_others(value)?;
    let is_minimal = match asn1::single(value, tag::BIT_STRING)?.value {
        [unused, .., last] => last.trailing_zeros() == u32::from(*unused),
        _ => true,
    };
    if is_minimal {
        Ok(usage)
    } else {
        Err(DerError("has a key usage that ends with zero bits"))
    }
}

/// `KeyUsage` (§4.2.1.3). Old programs leave zero bits at its end, which mean nothing.
pub(crate) fn key_usage_of_others(value: &[u8]) -> Result<KeyUsage, DerError> {
    let element = asn1::single(value, tag::BIT_STRING)?;
    let (unused, octets) = match element.value {
        [unused @ 0..=7, octets @ ..] => (*unused, octets),
        _ => return Err(DerError("has a malformed BIT STRING")),
    };
    let last = octets.last().copied().unwrap_or(0);
    let fits = u32::from(unused) <= last.trailing_zeros() && !(octets.is_empty() && unused != 0);
    let bits = u16::from_be_bytes([
        octets.first().copied().unwrap_or(0),
        octets.get(1).copied().unwrap_or(0),
    ]);
    if !fits || octets.len() > 2 || bits & 0x007f != 0 {
        return Err(DerError("has a key usage with bits that do not exist"));
    }
    let bit = |number: u32| bits & (0x8000 >> number) != 0;
    Ok(KeyUsage {
        digital_signature: bit(0),
        content_commitment: bit(1),
        key_encipherment: bit(2),
        data_encipherment: bit(3),
        key_agreement: bit(4),
        key_cert_sign: bit(5),
        crl_sign: bit(6),
        encipher_only: bit(7),
        decipher_only: bit(8),
    })
}

/// `BasicConstraints` (§4.2.1.9). A path length above 255 reads as 255, which no path reaches.
pub(crate) fn basic_constraints(value: &[u8]) -> Result<BasicConstraints, DerError> {
    let mut reader = asn1::single(value, tag::SEQUENCE)?.reader();
    let certificate_authority = match reader.optional(tag::BOOLEAN)? {
        Some(element) => asn1::boolean(&element)?,
        None => false,
    };
    let path_length_max = match reader.optional(tag::INTEGER)? {
        Some(element) => {
            let length = asn1::small_unsigned(&element)?;
            Some(u8::try_from(length).unwrap_or(u8::MAX))
        }
        None => None,
    };
    reader.finish()?;
    Ok(BasicConstraints {
        certificate_authority,
        path_length_max,
    })
}

/// `ExtKeyUsageSyntax` (§4.2.1.12).
pub(crate) fn extended_key_usage(value: &[u8]) -> Result<Vec<Oid>, DerError> {
    let mut reader = asn1::single(value, tag::SEQUENCE)?.reader();
    let mut purposes = Vec::new();
    while !reader.is_finished() {
        let element = reader.expect(tag::OBJECT_IDENTIFIER)?;
        purposes.push(asn1::decode_oid(element.value)?);
    }
    if purposes.is_empty() {
        return Err(DerError("has an extended key usage without purpose"));
    }
    Ok(purposes)
}

/// `SubjectKeyIdentifier` (§4.2.1.2).
pub(crate) fn subject_key_identifier(value: &[u8]) -> Result<Vec<u8>, DerError> {
    Ok(asn1::single(value, tag::OCTET_STRING)?.value.to_vec())
}

/// The `keyIdentifier` of an `AuthorityKeyIdentifier` (§4.2.1.1), if it has one.
pub(crate) fn authority_key_identifier(value: &[u8]) -> Result<Option<Vec<u8>>, DerError> {
    let mut reader = asn1::single(value, tag::SEQUENCE)?.reader();
    let identifier = reader.optional(tag::context(0))?;
    reader.optional(tag::context_constructed(1))?;
    reader.optional(tag::context(2))?;
    reader.finish()?;
    Ok(identifier.map(|element| element.value.to_vec()))
}

#[cfg(test)]
mod tests;
