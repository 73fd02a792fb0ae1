//! The string types of names (RFC 5280 §4.1.2.4, X.680 §41): reading them as text, leniently, and
//! judging whether they keep the rules of their type.

use crate::asn1::{Element, tag};

/// The text of a string value; `None` for other types and for bytes that are no text at all.
pub(super) fn decode(value: &Element<'_>) -> Option<String> {
    match value.tag {
        tag::UTF8_STRING => std::str::from_utf8(value.value).ok().map(str::to_owned),
        tag::PRINTABLE_STRING | tag::IA5_STRING | tag::NUMERIC_STRING | tag::VISIBLE_STRING => {
            match std::str::from_utf8(value.value) {
                Ok(text) => Some(text.to_owned()),
                Err(_) => Some(latin1(value.value)),
            }
        }
        // Nobody writes the escape sequences of T.61; programs mean Latin-1 by this type.
        tag::TELETEX_STRING => Some(latin1(value.value)),
        tag::BMP_STRING => {
            let (units, rest) = value.value.as_chunks::<2>();
            let units = units
                .iter()
                .map(|unit| u32::from(u16::from_be_bytes(*unit)));
            characters(units, rest)
        }
        tag::UNIVERSAL_STRING => {
            let (units, rest) = value.value.as_chunks::<4>();
            characters(units.iter().map(|unit| u32::from_be_bytes(*unit)), rest)
        }
        _ => None,
    }
}

/// Which rule a string value breaks, as the end of a sentence. Values of other types break none.
pub(super) fn violation(value: &Element<'_>, text: Option<&str>) -> Option<&'static str> {
    let in_alphabet = match value.tag {
        tag::UTF8_STRING if text.is_none() => return Some("is not valid UTF-8"),
        tag::BMP_STRING | tag::UNIVERSAL_STRING if text.is_none() => {
            return Some("holds something that is no character");
        }
        tag::PRINTABLE_STRING if !value.value.iter().all(is_printable_string) => {
            return Some(
                "is a PrintableString with characters that this type lacks: use UTF8String",
            );
        }
        tag::NUMERIC_STRING => value
            .value
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b' '),
        tag::IA5_STRING | tag::VISIBLE_STRING => value.value.is_ascii(),
        _ => true,
    };
    if !in_alphabet {
        return Some("holds characters that its string type lacks");
    }
    text.is_some_and(|text| text.chars().any(is_unwanted))
        .then_some("holds control characters or characters that change the reading direction")
}

/// X.680 §41.4.
pub(super) const fn is_printable_string(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            *byte,
            b' ' | b'\'' | b'(' | b')' | b'+' | b',' | b'-' | b'.' | b'/' | b':' | b'=' | b'?'
        )
}

/// Characters that are not seen, or that make a reader see something else.
pub(super) fn is_unwanted(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn characters(units: impl Iterator<Item = u32>, rest: &[u8]) -> Option<String> {
    if rest.is_empty() {
        units.map(char::from_u32).collect()
    } else {
        None
    }
}
