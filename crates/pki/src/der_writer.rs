//! A streaming writer of DER for structures that nest, where [`crate::asn1`] would join parts
//! again and again: certificates and their extensions.
//!
//! It writes what the platform itself says; bytes from outside are copied with
//! [`DerWriter::raw`] and never encoded again. Writing cannot fail. Start with
//! [`DerWriter::constructed`].

use clm_domain::oid::Oid;

use crate::asn1::{encode_oid, tag};

/// DER under construction.
#[derive(Debug, Default)]
pub(crate) struct DerWriter {
    bytes: Vec<u8>,
}

impl DerWriter {
    /// An empty writer with room for `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
        }
    }

    /// What was written.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes a value whose content is whatever `content` writes.
    pub(crate) fn constructed<R>(&mut self, tag: u8, content: impl FnOnce(&mut Self) -> R) -> R {
        self.bytes.push(tag);
        // One byte is kept for the length, which suffices below 128; longer ones are inserted.
        self.bytes.push(0);
        let start = self.bytes.len();
        let result = content(self);
        let length = self.bytes.len().saturating_sub(start);
        let encoded = Length::of(length);
        let tail = start.saturating_sub(1)..start;
        self.bytes.splice(tail, encoded.as_bytes().iter().copied());
        result
    }

    /// Writes a `SEQUENCE`.
    pub(crate) fn sequence<R>(&mut self, content: impl FnOnce(&mut Self) -> R) -> R {
        self.constructed(tag::SEQUENCE, content)
    }

    /// Writes a value by its content octets.
    pub(crate) fn primitive(&mut self, tag: u8, content: &[u8]) {
        self.bytes.push(tag);
        self.bytes
            .extend_from_slice(Length::of(content.len()).as_bytes());
        self.bytes.extend_from_slice(content);
    }

    /// Copies bytes that are DER already.
    pub(crate) fn raw(&mut self, der: &[u8]) {
        self.bytes.extend_from_slice(der);
    }

    /// Writes `TRUE`; `FALSE` never occurs, because it is always a default (X.690 §11.5).
    pub(crate) fn boolean_true(&mut self) {
        self.primitive(tag::BOOLEAN, &[0xFF]);
    }

    /// Writes `NULL`.
    pub(crate) fn null(&mut self) {
        self.primitive(tag::NULL, &[]);
    }

    /// Writes a number that is not negative, as `INTEGER` or under an implicit tag.
    pub(crate) fn unsigned(&mut self, tag: u8, number: u32) {
        // A fifth byte in front keeps a number with its first bit set positive (X.690 §8.3.3).
        let bytes = u64::from(number).to_be_bytes();
        let skipped = bytes
            .windows(2)
            .take_while(|pair| matches!(pair, [0, next] if next & 0x80 == 0))
            .count();
        self.primitive(tag, bytes.get(skipped..).unwrap_or_default());
    }

    /// Writes an `OBJECT IDENTIFIER` from its content octets.
    pub(crate) fn known_object_identifier(&mut self, oid: const_oid::ObjectIdentifier) {
        self.primitive(tag::OBJECT_IDENTIFIER, oid.as_bytes());
    }

    /// Writes an `OBJECT IDENTIFIER` from its checked text.
    pub(crate) fn object_identifier(&mut self, oid: &Oid) {
        // The syntax that `Oid` guarantees always has an encoding; an empty one would not pass the
        // lint that reads every object identifier again.
        let content = encode_oid(oid).unwrap_or_default();
        self.primitive(tag::OBJECT_IDENTIFIER, &content);
    }

    /// Writes a named bit list: bit 0 is the first of `bits`, trailing zeros go (X.690 §11.2.2).
    pub(crate) fn named_bits(&mut self, bits: &[bool]) {
        let used = bits.iter().rposition(|bit| *bit).map_or(0, |last| last + 1);
        let octets = used.div_ceil(8);
        let mut content = vec![0_u8; 1 + octets];
        if let Some(unused) = content.first_mut() {
            *unused = u8::try_from(octets * 8 - used).unwrap_or(0);
        }
        for (position, _) in bits.iter().enumerate().filter(|(_, bit)| **bit) {
            if let Some(octet) = content.get_mut(1 + position / 8) {
                *octet |= 0x80 >> (position % 8);
            }
        }
        self.primitive(tag::BIT_STRING, &content);
    }
}

/// The octets of a definite length in its shortest form.
struct Length {
    octets: [u8; 9],
    start: usize,
}

impl Length {
    fn of(length: usize) -> Self {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let mut octets = [0_u8; 9];
        if let Some(number) = octets.last_chunk_mut::<8>() {
            *number = length.to_be_bytes();
        }
        if length < 0x80 {
            return Self { octets, start: 8 };
        }
        let count = 8 - u8::try_from(length.leading_zeros() / 8).unwrap_or(0);
        let start = 8 - usize::from(count);
        if let Some(first) = octets.get_mut(start) {
            *first = 0x80 | count;
        }
        Self { octets, start }
    }

    fn as_bytes(&self) -> &[u8] {
        self.octets.get(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
