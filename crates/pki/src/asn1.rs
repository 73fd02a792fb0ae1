//! Strict DER, as far as this crate needs it: a reader that hands out raw slices, and a writer
//! that puts finished parts together.
//!
//! Must never accept BER (long forms of short lengths, indefinite lengths, constructed strings)
//! and never recurse without bound. It stands in for the `der` crate because outside names hold
//! types that `der` refuses (`UniversalString`) and must be kept byte for byte.
//! Start with [`Reader`] and [`encode`].

mod object_identifier;

use std::fmt;

pub(crate) use object_identifier::{decode_oid, encode_oid};

/// Identifier octets that this crate reads or writes.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    pub(crate) const NUMERIC_STRING: u8 = 0x12;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const TELETEX_STRING: u8 = 0x14;
    pub(crate) const IA5_STRING: u8 = 0x16;
    pub(crate) const VISIBLE_STRING: u8 = 0x1a;
    pub(crate) const UNIVERSAL_STRING: u8 = 0x1c;
    pub(crate) const BMP_STRING: u8 = 0x1e;

    /// `[number]`, primitive.
    pub(crate) const fn context(number: u8) -> u8 {
        0x80 | number
    }

    /// `[number]`, constructed.
    pub(crate) const fn context_constructed(number: u8) -> u8 {
        0xa0 | number
    }
}

/// How deep elements may nest before [`check_nested`] gives up.
const NESTING_MAX: usize = 32;
/// Set in the identifier octet of an element that holds elements.
const CONSTRUCTED: u8 = 0x20;
/// The number part of an identifier octet; all ones announces a long identifier.
const TAG_NUMBER_MASK: u8 = 0x1f;

/// Why bytes are no DER, in words that finish "it …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DerError(pub(crate) &'static str);

/// One element: identifier octet, contents, and both together with the length as they came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// The identifier octet.
    pub(crate) tag: u8,
    /// The contents octets.
    pub(crate) value: &'a [u8],
    /// The whole element.
    pub(crate) raw: &'a [u8],
}

impl<'a> Element<'a> {
    /// A reader over the contents.
    pub(crate) const fn reader(&self) -> Reader<'a> {
        Reader::new(self.value)
    }
}

impl fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Element({:02x}, {} bytes)", self.tag, self.value.len())
    }
}

/// Reads elements one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over `bytes`.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything was read.
    pub(crate) const fn is_finished(&self) -> bool {
        self.rest.is_empty()
    }

    /// The identifier octet that comes next.
    pub(crate) fn peek_tag(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Element<'a>, DerError> {
        let (&tag, after_tag) = self.rest.split_first().ok_or(TRUNCATED)?;
        if tag & TAG_NUMBER_MASK == TAG_NUMBER_MASK {
            return Err(DerError("uses a long tag, which no known field does"));
        }
        let (length, header_length) = read_length(after_tag)?;
        let end = header_length
            .checked_add(1)
            .and_then(|start| start.checked_add(length))
            .ok_or(TRUNCATED)?;
        let (raw, rest) = self.rest.split_at_checked(end).ok_or(TRUNCATED)?;
        let value = raw.get(header_length + 1..).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(Element { tag, value, raw })
    }

    /// The next element, which must have this identifier octet.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Element<'a>, DerError> {
        match self.peek_tag() {
            Some(found) if found == tag => self.any(),
            Some(_) => Err(DerError("has an element of another type than the standard")),
            None => Err(DerError("lacks an element that the standard demands")),
        }
    }

    /// The next element if it has this identifier octet.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, DerError> {
        if self.peek_tag() == Some(tag) {
            self.any().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Demands that everything was read.
    pub(crate) const fn finish(&self) -> Result<(), DerError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DerError("has trailing data"))
        }
    }
}

const TRUNCATED: DerError = DerError("ends before its length says");

/// Reads length octets: the length, and how many octets it took.
fn read_length(bytes: &[u8]) -> Result<(usize, usize), DerError> {
    let (&first, rest) = bytes.split_first().ok_or(TRUNCATED)?;
    if first < 0x80 {
        return Ok((usize::from(first), 1));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 {
        return Err(DerError("uses an indefinite length, which DER forbids"));
    }
    if count > 4 {
        return Err(DerError("has a length of more than four octets"));
    }
    let octets = rest.get(..count).ok_or(TRUNCATED)?;
    let length = octets
        .iter()
        .fold(0_u64, |length, &octet| (length << 8) | u64::from(octet));
    let minimal = octets.first().is_some_and(|&octet| octet != 0) && length >= 0x80;
    if !minimal {
        return Err(DerError(
            "has a length that is not in its shortest form, as DER demands",
        ));
    }
    let length = usize::try_from(length).map_err(|_| TRUNCATED)?;
    Ok((length, count + 1))
}

/// The one element that `bytes` consist of.
pub(crate) fn single(bytes: &[u8], tag: u8) -> Result<Element<'_>, DerError> {
    let mut reader = Reader::new(bytes);
    let element = reader.expect(tag)?;
    reader.finish()?;
    Ok(element)
}

/// Demands that `bytes` are exactly one element, DER down to the last leaf.
pub(crate) fn check_single(bytes: &[u8]) -> Result<(), DerError> {
    let mut reader = Reader::new(bytes);
    let element = reader.any()?;
    reader.finish()?;
    check_nested(&element)
}

/// Demands that everything inside `element` is DER in form.
pub(crate) fn check_nested(element: &Element<'_>) -> Result<(), DerError> {
    check_nested_from(element, 0)
}

fn check_nested_from(element: &Element<'_>, depth: usize) -> Result<(), DerError> {
    let constructed = element.tag & CONSTRUCTED != 0;
    let universal = element.tag & 0xc0 == 0;
    if universal {
        let number = element.tag & TAG_NUMBER_MASK;
        // SEQUENCE and SET, EXTERNAL and EMBEDDED PDV hold elements; DER lets no other do so.
        if number == 0 || constructed != matches!(number, 0x08 | 0x0b | 0x10 | 0x11) {
            return Err(DerError("splits a string in parts, which DER forbids"));
        }
    }
    if !constructed {
        return Ok(());
    }
    if depth >= NESTING_MAX {
        return Err(DerError("is nested too deeply"));
    }
    let mut reader = element.reader();
    while !reader.is_finished() {
        check_nested_from(&reader.any()?, depth + 1)?;
    }
    Ok(())
}

/// The value of a BOOLEAN.
pub(crate) fn boolean(element: &Element<'_>) -> Result<bool, DerError> {
    match element.value {
        [0x00] => Ok(false),
        [0xff] => Ok(true),
        _ => Err(DerError("has a BOOLEAN that is neither 00 nor FF")),
    }
}

/// The magnitude of an INTEGER that must not be negative, without leading zero octets but for zero.
pub(crate) fn unsigned<'a>(element: &Element<'a>) -> Result<&'a [u8], DerError> {
    match element.value {
        [] => Err(DerError("has an empty INTEGER")),
        [first, ..] if first & 0x80 != 0 => Err(DerError("has a negative INTEGER")),
        [0, second, ..] if second & 0x80 == 0 => Err(DerError(
            "has an INTEGER that is not in its shortest form, as DER demands",
        )),
        [0, rest @ ..] if !rest.is_empty() => Ok(rest),
        value => Ok(value),
    }
}

/// An INTEGER from 0 to 2^32 - 1.
pub(crate) fn small_unsigned(element: &Element<'_>) -> Result<u32, DerError> {
    let magnitude = unsigned(element)?;
    if magnitude.len() > 4 {
        return Err(DerError("has an INTEGER above 2^32"));
    }
    Ok(magnitude
        .iter()
        .fold(0, |value, &octet| (value << 8) | u32::from(octet)))
}

/// The octets of a BIT STRING that must fill whole octets.
pub(crate) fn whole_octets<'a>(element: &Element<'a>) -> Result<&'a [u8], DerError> {
    match element.value {
        [0, octets @ ..] => Ok(octets),
        _ => Err(DerError("has a BIT STRING that does not fill whole octets")),
    }
}

/// An element from its identifier octet and contents.
pub(crate) fn encode(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 6);
    out.push(tag);
    push_length(&mut out, value.len());
    out.extend_from_slice(value);
    out
}

/// An element from its identifier octet and the parts of its contents.
pub(crate) fn encode_parts(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    encode(tag, &parts.concat())
}

/// An INTEGER from a magnitude with or without leading zero octets.
pub(crate) fn encode_unsigned(magnitude: &[u8]) -> Vec<u8> {
    let leading = magnitude.iter().take_while(|&&octet| octet == 0).count();
    let digits = magnitude.get(leading..).unwrap_or_default();
    let mut value = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_none_or(|first| first & 0x80 != 0) {
        value.push(0);
    }
    value.extend_from_slice(digits);
    encode(tag::INTEGER, &value)
}

/// A BIT STRING of whole octets.
pub(crate) fn encode_bit_string(octets: &[u8]) -> Vec<u8> {
    encode_parts(tag::BIT_STRING, &[&[0], octets])
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    let octets = length.to_be_bytes();
    let significant: &[u8] = {
        let zeros = octets.iter().take_while(|&&octet| octet == 0).count();
        octets.get(zeros..).unwrap_or_default()
    };
    match (length, u8::try_from(significant.len())) {
        (0..0x80, _) => out.push(significant.first().copied().unwrap_or(0)),
        (_, Ok(count)) => {
            out.push(0x80 | count);
            out.extend_from_slice(significant);
        }
        // A usize has eight octets; this arm is for the type, not for any length.
        (_, Err(_)) => {}
    }
}

#[cfg(test)]
mod tests;
