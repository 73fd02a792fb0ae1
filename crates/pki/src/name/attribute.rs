//! The attribute types that have a short name, with their string type and upper bound
//! (RFC 5280 appendix A.1, RFC 4514 §3, RFC 4519, X.520).

use clm_domain::oid::Oid;

use super::{Attribute, NameError, text};
use crate::asn1::{self, Reader, tag};

/// `commonName`.
pub const COMMON_NAME: &str = "2.5.4.3";

/// How a new value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StringType {
    Utf8,
    Printable,
    Ia5,
    /// A `PrintableString` of two letters (ISO 3166).
    Country,
}

struct Known {
    /// Written, and read in any case.
    name: &'static str,
    /// Also read.
    alias: &'static str,
    oid: &'static str,
    string_type: StringType,
    characters_max: usize,
}

const fn known(
    name: &'static str,
    alias: &'static str,
    oid: &'static str,
    string_type: StringType,
    characters_max: usize,
) -> Known {
    Known {
        name,
        alias,
        oid,
        string_type,
        characters_max,
    }
}

const KNOWN: [Known; 25] = {
    use StringType::{Country, Ia5, Printable, Utf8};
    [
        known("CN", "commonName", COMMON_NAME, Utf8, 64),
        known("O", "organizationName", "2.5.4.10", Utf8, 64),
        known("OU", "organizationalUnitName", "2.5.4.11", Utf8, 64),
        known("C", "countryName", "2.5.4.6", Country, 2),
        known("L", "localityName", "2.5.4.7", Utf8, 128),
        known("ST", "stateOrProvinceName", "2.5.4.8", Utf8, 128),
        known("STREET", "streetAddress", "2.5.4.9", Utf8, 128),
        known("SN", "surname", "2.5.4.4", Utf8, 32_768),
        known("serialNumber", "serialNumber", "2.5.4.5", Printable, 64),
        known("title", "T", "2.5.4.12", Utf8, 64),
        known(
            "businessCategory",
            "businessCategory",
            "2.5.4.15",
            Utf8,
            128,
        ),
        known("postalCode", "postalCode", "2.5.4.17", Utf8, 40),
        known("GN", "givenName", "2.5.4.42", Utf8, 32_768),
        known("initials", "initials", "2.5.4.43", Utf8, 32_768),
        known(
            "generationQualifier",
            "generationQualifier",
            "2.5.4.44",
            Utf8,
            32_768,
        ),
        known("dnQualifier", "dnQualifier", "2.5.4.46", Printable, 32_768),
        known("pseudonym", "pseudonym", "2.5.4.65", Utf8, 128),
        known(
            "organizationIdentifier",
            "organizationIdentifier",
            "2.5.4.97",
            Utf8,
            256,
        ),
        known(
            "DC",
            "domainComponent",
            "0.9.2342.19200300.100.1.25",
            Ia5,
            63,
        ),
        known("UID", "userId", "0.9.2342.19200300.100.1.1", Utf8, 256),
        known("emailAddress", "E", "1.2.840.113549.1.9.1", Ia5, 255),
        known(
            "unstructuredName",
            "unstructuredName",
            "1.2.840.113549.1.9.2",
            Utf8,
            255,
        ),
        known(
            "jurisdictionLocalityName",
            "jurisdictionL",
            "1.3.6.1.4.1.311.60.2.1.1",
            Utf8,
            128,
        ),
        known(
            "jurisdictionStateOrProvinceName",
            "jurisdictionST",
            "1.3.6.1.4.1.311.60.2.1.2",
            Utf8,
            128,
        ),
        known(
            "jurisdictionCountryName",
            "jurisdictionC",
            "1.3.6.1.4.1.311.60.2.1.3",
            Country,
            2,
        ),
    ]
};

/// The short name of an attribute type, if it has one.
pub(super) fn short_name(oid: &Oid) -> Option<&'static str> {
    find(oid).map(|known| known.name)
}

/// The short name, or else the dotted form.
pub(super) fn display_name(oid: &Oid) -> &str {
    short_name(oid).unwrap_or_else(|| oid.as_str())
}

/// What is wrong with a value, as the end of a sentence.
pub(super) fn check(attribute: &Attribute) -> Result<(), String> {
    let text = attribute.text.as_deref();
    let value = Reader::new(&attribute.value_der)
        .any()
        .map_err(|error| error.to_string())?;
    if let Some(violation) = text::violation(&value, text) {
        return Err(violation.to_owned());
    }
    match (find(&attribute.oid), text) {
        (Some(known), Some(text)) => check_known(known, text),
        (Some(_), None) => Err("must be a string".to_owned()),
        (None, _) => Ok(()),
    }
}

/// The DER of an `AttributeTypeAndValue` for a value of ours.
pub(super) fn encode(attribute: &str, value: &str) -> Result<Vec<u8>, NameError> {
    let (oid, known) = resolve(attribute)?;
    let refuse = |message: String| NameError::Value {
        attribute: display_name(&oid).to_owned(),
        message,
    };
    if let Some(known) = known {
        check_known(known, value).map_err(refuse)?;
    }
    if value.chars().any(text::is_unwanted) {
        return Err(refuse(
            "holds control characters or characters that change the reading direction".to_owned(),
        ));
    }
    let string_type = known.map_or(StringType::Utf8, |known| known.string_type);
    let (tag, in_alphabet) = match string_type {
        StringType::Utf8 => (tag::UTF8_STRING, true),
        StringType::Ia5 => (tag::IA5_STRING, value.is_ascii()),
        StringType::Printable | StringType::Country => (
            tag::PRINTABLE_STRING,
            value.as_bytes().iter().all(text::is_printable_string),
        ),
    };
    if !in_alphabet {
        return Err(refuse(
            "holds characters that are not allowed in this attribute".to_owned(),
        ));
    }
    encode_value(&oid, &asn1::encode(tag, value.as_bytes()))
}

/// The DER of an `AttributeTypeAndValue` for a value that is DER already.
pub(super) fn encode_raw(attribute: &str, value_der: &[u8]) -> Result<Vec<u8>, NameError> {
    let (oid, _) = resolve(attribute)?;
    asn1::check_single(value_der)?;
    encode_value(&oid, value_der)
}

fn encode_value(oid: &Oid, value_der: &[u8]) -> Result<Vec<u8>, NameError> {
    let oid = asn1::encode(tag::OBJECT_IDENTIFIER, &asn1::encode_oid(oid)?);
    Ok(asn1::encode_parts(tag::SEQUENCE, &[&oid, value_der]))
}

fn find(oid: &Oid) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.oid == oid.as_str())
}

fn resolve(attribute: &str) -> Result<(Oid, Option<&'static Known>), NameError> {
    let by_name = KNOWN.iter().find(|known| {
        known.name.eq_ignore_ascii_case(attribute) || known.alias.eq_ignore_ascii_case(attribute)
    });
    let unknown = || NameError::UnknownAttribute(attribute.chars().take(64).collect());
    let dotted = by_name.map_or(attribute, |known| known.oid);
    let oid: Oid = dotted.parse().map_err(|_| unknown())?;
    let known = by_name.or_else(|| find(&oid));
    Ok((oid, known))
}

fn check_known(known: &Known, text: &str) -> Result<(), String> {
    let characters = text.chars().count();
    if characters == 0 {
        return Err("is empty".to_owned());
    }
    let is_country = known.string_type == StringType::Country;
    if is_country && (characters != 2 || !text.bytes().all(|byte| byte.is_ascii_alphabetic())) {
        return Err("must be a country code of two letters".to_owned());
    }
    if characters > known.characters_max {
        return Err(format!(
            "has {characters} characters; at most {} are allowed",
            known.characters_max
        ));
    }
    Ok(())
}
