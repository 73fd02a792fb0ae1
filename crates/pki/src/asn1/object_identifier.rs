//! Object identifiers between their DER contents and [`Oid`] (X.690 §8.19).

use clm_domain::oid::Oid;

use super::DerError;

/// Longest contents octets that are decoded.
const ENCODED_BYTES_MAX: usize = 128;

/// The object identifier whose contents octets these are.
///
/// # Errors
/// When an arc is not in its shortest form, is cut off or is larger than [`Oid`] can hold.
pub(crate) fn decode_oid(contents: &[u8]) -> Result<Oid, DerError> {
    const MALFORMED: DerError = DerError("has a malformed OBJECT IDENTIFIER");
    if contents.is_empty() || contents.len() > ENCODED_BYTES_MAX {
        return Err(MALFORMED);
    }
    let mut text = String::with_capacity(contents.len() * 3);
    let mut arc = 0_u128;
    let mut at_start = true;
    for &octet in contents {
        if (at_start && octet == 0x80) || arc >> 121 != 0 {
            return Err(MALFORMED);
        }
        arc = (arc << 7) | u128::from(octet & 0x7f);
        at_start = octet & 0x80 == 0;
        if at_start {
            push_arc(&mut text, arc);
            arc = 0;
        }
    }
    if !at_start {
        return Err(MALFORMED);
    }
    text.parse().map_err(|_| MALFORMED)
}

/// Appends an arc; the first one of an encoding holds two.
fn push_arc(text: &mut String, arc: u128) {
    use std::fmt::Write as _;
    let written = if text.is_empty() {
        let first = (arc / 40).min(2);
        write!(text, "{first}.{}", arc - first * 40)
    } else {
        write!(text, ".{arc}")
    };
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

/// The contents octets of an object identifier.
///
/// # Errors
/// When an arc is too large.
pub(crate) fn encode_oid(oid: &Oid) -> Result<Vec<u8>, DerError> {
    const TOO_LARGE: DerError = DerError("has an OBJECT IDENTIFIER with too large an arc");
    let mut arcs = oid.as_str().split('.').map(str::parse::<u128>);
    let mut next = || arcs.next().transpose().map_err(|_| TOO_LARGE);
    let first = next()?.unwrap_or(0);
    let second = next()?.unwrap_or(0);
    let mut out = Vec::with_capacity(oid.as_str().len());
    push_base_128(&mut out, second.checked_add(first * 40).ok_or(TOO_LARGE)?);
    while let Some(arc) = next()? {
        push_base_128(&mut out, arc);
    }
    Ok(out)
}

/// Appends a number in groups of seven bits, all but the last with the top bit set.
fn push_base_128(out: &mut Vec<u8>, number: u128) {
    let groups = (128 - number.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let more = if group == 0 { 0 } else { 0x80 };
        out.push(more | u8::try_from((number >> (group * 7)) & 0x7f).unwrap_or(0));
    }
}
