//! Lints of issuer and subject.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc3280::{EMAIL_ADDRESS, PSEUDONYM};
use const_oid::db::rfc4519 as attribute;

use super::encoding::extension_name;
use super::{Candidate, Lint, require};
use crate::asn1::{Element, tag};
use crate::tbs_view::{AttributeView, NameView};

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "e_rfc5280_issuer_not_empty",
        citation: "RFC 5280 §4.1.2.4",
        check: issuer_not_empty,
    },
    Lint {
        name: "e_rfc5280_relative_name_not_empty",
        citation: "RFC 5280 §4.1.2.4",
        check: relative_name_not_empty,
    },
    Lint {
        name: "e_x501_relative_name_types_differ",
        citation: "X.501 §9.3",
        check: relative_name_types_differ,
    },
    Lint {
        name: "e_rfc5280_attribute_string_type",
        citation: "RFC 5280 §4.1.2.4 and appendix A.1",
        check: string_type,
    },
    Lint {
        name: "w_rfc5280_attribute_string_type_outdated",
        citation: "RFC 5280 §4.1.2.4",
        check: string_type_outdated,
    },
    Lint {
        name: "e_rfc5280_attribute_text",
        citation: "RFC 5280 §4.1.2.4, X.680 §41",
        check: text,
    },
    Lint {
        name: "e_rfc5280_attribute_not_empty",
        citation: "RFC 5280 appendix A.1",
        check: attribute_not_empty,
    },
    Lint {
        name: "e_rfc5280_attribute_upper_bound",
        citation: "RFC 5280 appendix A.1",
        check: upper_bound,
    },
    Lint {
        name: "e_rfc5280_country_name",
        citation: "RFC 5280 appendix A.1, ISO 3166-1",
        check: country_name,
    },
    Lint {
        name: "e_unicode_attribute_control_character",
        citation: "Unicode Standard §23.1",
        check: control_character,
    },
];

/// The upper bounds of RFC 5280 appendix A.1 in characters; ub-name is 32768.
const UPPER_BOUNDS: [(ObjectIdentifier, &str, usize); 13] = [
    (attribute::COMMON_NAME, "commonName", 64),
    (attribute::ORGANIZATION_NAME, "organizationName", 64),
    (
        attribute::ORGANIZATIONAL_UNIT_NAME,
        "organizationalUnitName",
        64,
    ),
    (attribute::LOCALITY_NAME, "localityName", 128),
    (attribute::ST, "stateOrProvinceName", 128),
    (attribute::COUNTRY_NAME, "countryName", 2),
    (attribute::SERIAL_NUMBER, "serialNumber", 64),
    (attribute::TITLE, "title", 64),
    (PSEUDONYM, "pseudonym", 128),
    (EMAIL_ADDRESS, "emailAddress", 255),
    (attribute::SURNAME, "surname", 32_768),
    (attribute::GIVEN_NAME, "givenName", 32_768),
    (attribute::INITIALS, "initials", 32_768),
];

/// Attributes whose string type RFC 5280 appendix A.1 fixes.
const FIXED_TYPES: [(ObjectIdentifier, &str, u8); 5] = [
    (
        attribute::COUNTRY_NAME,
        "countryName",
        tag::PRINTABLE_STRING,
    ),
    (
        attribute::SERIAL_NUMBER,
        "serialNumber",
        tag::PRINTABLE_STRING,
    ),
    (
        attribute::DN_QUALIFIER,
        "dnQualifier",
        tag::PRINTABLE_STRING,
    ),
    (
        attribute::DOMAIN_COMPONENT,
        "domainComponent",
        tag::IA5_STRING,
    ),
    (EMAIL_ADDRESS, "emailAddress", tag::IA5_STRING),
];

/// `DirectoryString` (RFC 5280 §4.1.2.4).
const DIRECTORY_STRING: [u8; 5] = [
    tag::UTF8_STRING,
    tag::PRINTABLE_STRING,
    tag::TELETEX_STRING,
    tag::UNIVERSAL_STRING,
    tag::BMP_STRING,
];

fn issuer_not_empty(candidate: &Candidate<'_>) -> Vec<String> {
    require(!candidate.tbs.issuer.is_empty(), || {
        "The issuer must have a name.".to_owned()
    })
}

fn relative_name_not_empty(candidate: &Candidate<'_>) -> Vec<String> {
    names(candidate)
        .filter(|(_, name)| name.relative_names.iter().any(Vec::is_empty))
        .map(|(field, _)| format!("The {field} has a relative name without attribute."))
        .collect()
}

fn relative_name_types_differ(candidate: &Candidate<'_>) -> Vec<String> {
    names(candidate)
        .filter(|(_, name)| name.relative_names.iter().any(|set| has_type_twice(set)))
        .map(|(field, _)| format!("A relative name of the {field} has an attribute type twice."))
        .collect()
}

fn has_type_twice(set: &[AttributeView<'_>]) -> bool {
    set.iter().enumerate().any(|(index, attribute)| {
        let mut earlier = set.iter().take(index);
        earlier.any(|other| other.oid == attribute.oid)
    })
}

fn string_type(candidate: &Candidate<'_>) -> Vec<String> {
    for_each_attribute(candidate, |attribute| {
        let fixed = find(&FIXED_TYPES, attribute.oid);
        let tag = attribute.value.tag;
        match fixed {
            Some((_, name, expected)) if tag != *expected => Some(format!(
                "{name} has a string type that the standard does not allow"
            )),
            Some(_) => None,
            None => find(&UPPER_BOUNDS, attribute.oid)
                .filter(|_| !DIRECTORY_STRING.contains(&tag))
                .map(|(_, name, _)| format!("{name} must be a DirectoryString")),
        }
    })
}

fn string_type_outdated(candidate: &Candidate<'_>) -> Vec<String> {
    for_each_attribute(candidate, |attribute| {
        let outdated = [tag::TELETEX_STRING, tag::BMP_STRING, tag::UNIVERSAL_STRING];
        outdated.contains(&attribute.value.tag).then(|| {
            let name = extension_name(attribute.oid);
            format!("attribute {name} has an outdated string type; use UTF8String")
        })
    })
}

fn text(candidate: &Candidate<'_>) -> Vec<String> {
    for_each_attribute(candidate, |attribute| {
        (!text_fits_its_type(&attribute.value)).then(|| {
            let name = extension_name(attribute.oid);
            format!("attribute {name} has characters that its string type lacks")
        })
    })
}

fn attribute_not_empty(candidate: &Candidate<'_>) -> Vec<String> {
    for_each_attribute(candidate, |attribute| {
        attribute
            .value
            .value
            .is_empty()
            .then(|| format!("attribute {} is empty", extension_name(attribute.oid)))
    })
}

/// An error wherever the name comes from: who asks for a longer name is told before it is signed.
fn upper_bound(candidate: &Candidate<'_>) -> Vec<String> {
    for_each_attribute(candidate, |attribute| {
        let (_, name, bound) = find(&UPPER_BOUNDS, attribute.oid)?;
        let length = characters(&attribute.value).count();
        (length > *bound)
            .then(|| format!("{name} has {length} characters; at most {bound} are allowed"))
    })
}

fn country_name(candidate: &Candidate<'_>) -> Vec<String> {
    for_each_attribute(candidate, |attribute| {
        let is_country = attribute.oid == attribute::COUNTRY_NAME.as_bytes();
        let code = attribute.value.value;
        let two_letters = code.len() == 2 && code.iter().all(u8::is_ascii_alphabetic);
        (is_country && !two_letters)
            .then(|| "countryName must be a country code of two letters".to_owned())
    })
}

/// A NUL once let a name read as another; no control character has a meaning in a name.
fn control_character(candidate: &Candidate<'_>) -> Vec<String> {
    for_each_attribute(candidate, |attribute| {
        let mut characters = characters(&attribute.value);
        characters.any(is_control).then(|| {
            let name = extension_name(attribute.oid);
            format!("attribute {name} has a control character")
        })
    })
}

fn is_control(code_point: u32) -> bool {
    char::from_u32(code_point).is_none_or(char::is_control)
}

/// Whether the octets of a string are of its type. Other types are not judged.
fn text_fits_its_type(value: &Element<'_>) -> bool {
    let octets = value.value;
    match value.tag {
        tag::UTF8_STRING => std::str::from_utf8(octets).is_ok(),
        tag::PRINTABLE_STRING => octets
            .iter()
            .all(|octet| octet.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(octet)),
        tag::IA5_STRING | tag::VISIBLE_STRING => octets.is_ascii(),
        tag::NUMERIC_STRING => octets
            .iter()
            .all(|octet| octet.is_ascii_digit() || *octet == b' '),
        tag::BMP_STRING => octets.len().is_multiple_of(2),
        tag::UNIVERSAL_STRING => octets.len().is_multiple_of(4),
        _ => true,
    }
}

/// The code points of a string value; those of values that are no string are their octets.
fn characters<'a>(value: &Element<'a>) -> Box<dyn Iterator<Item = u32> + 'a> {
    let octets = value.value;
    let wide = |octets: &[u8]| {
        octets
            .iter()
            .fold(0, |point, octet| (point << 8) | u32::from(*octet))
    };
    match (value.tag, std::str::from_utf8(octets)) {
        (tag::UTF8_STRING, Ok(text)) => Box::new(text.chars().map(u32::from)),
        (tag::BMP_STRING, _) => Box::new(octets.chunks(2).map(wide)),
        (tag::UNIVERSAL_STRING, _) => Box::new(octets.chunks(4).map(wide)),
        _ => Box::new(octets.iter().map(|octet| u32::from(*octet))),
    }
}

fn names<'c, 'a>(
    candidate: &'c Candidate<'a>,
) -> impl Iterator<Item = (&'static str, &'c NameView<'a>)> {
    [
        ("issuer", &candidate.tbs.issuer),
        ("subject", &candidate.tbs.subject),
    ]
    .into_iter()
}

/// What `judge` says of each attribute of issuer and subject, as sentences.
fn for_each_attribute(
    candidate: &Candidate<'_>,
    judge: impl Fn(&AttributeView<'_>) -> Option<String>,
) -> Vec<String> {
    names(candidate)
        .flat_map(|(field, name)| name.attributes().map(move |attribute| (field, attribute)))
        .filter_map(|(field, attribute)| {
            judge(attribute).map(|message| format!("In the {field}, {message}."))
        })
        .collect()
}

fn find<'t, T>(
    table: &'t [(ObjectIdentifier, &'static str, T)],
    oid: &[u8],
) -> Option<&'t (ObjectIdentifier, &'static str, T)> {
    table.iter().find(|(known, _, _)| known.as_bytes() == oid)
}
