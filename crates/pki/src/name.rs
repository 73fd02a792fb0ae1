//! Distinguished names (RFC 5280 §4.1.2.4, X.501): reading, judging, writing, and their text form
//! (RFC 4514).
//!
//! The DER of a name from outside is kept as it came, even where the values of a relative name
//! stand unsorted; it is never written anew. Start with [`DistinguishedName`] and [`NameBuilder`].

mod attribute;
mod rfc4514;
mod text;

use clm_domain::limits::SUBJECT_DER_BYTES_MAX;
use clm_domain::oid::Oid;

use crate::asn1::{self, DerError, Element, tag};

pub use attribute::COMMON_NAME;
pub use rfc4514::from_rfc4514;

/// Why a name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The bytes are not the DER of a `Name`.
    #[error("the name is malformed: it {0}")]
    Malformed(&'static str),
    /// The name is larger than [`SUBJECT_DER_BYTES_MAX`].
    #[error("the name is too long: at most {SUBJECT_DER_BYTES_MAX} bytes are accepted")]
    TooLong,
    /// One value breaks a rule.
    #[error("the value of {attribute} {message}")]
    Value {
        /// The short name or object identifier of the attribute.
        attribute: String,
        /// What is wrong with it, as the end of the sentence.
        message: String,
    },
    /// The attribute type is neither a known short name nor an object identifier.
    #[error(
        "'{0}' is neither a known attribute such as CN, O, OU, C, L, ST nor a dotted object identifier"
    )]
    UnknownAttribute(String),
    /// The text is not of the form of RFC 4514.
    #[error("the text of the name is malformed: {0}")]
    Syntax(&'static str),
}

impl From<DerError> for NameError {
    fn from(error: DerError) -> Self {
        Self::Malformed(error.0)
    }
}

/// A `Name`, taken apart for reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName {
    der: Vec<u8>,
    relative_names: Vec<Vec<Attribute>>,
}

/// One `AttributeTypeAndValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The attribute type.
    pub oid: Oid,
    /// The text of a string value in any of the string types, as far as it can be read. Before
    /// [`DistinguishedName::check`] has passed, it may hold control characters.
    pub text: Option<String>,
    /// The DER of the value, as it came.
    pub value_der: Vec<u8>,
}

impl DistinguishedName {
    /// Takes the DER of a `Name` apart. The structure must be DER; what the strings say is left to
    /// [`Self::check`], because certificates of others break those rules often.
    ///
    /// # Errors
    /// [`NameError::Malformed`] and [`NameError::TooLong`].
    pub fn from_der(der: &[u8]) -> Result<Self, NameError> {
        if der.len() > SUBJECT_DER_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        let mut reader = asn1::single(der, tag::SEQUENCE)?.reader();
        let mut relative_names = Vec::new();
        while !reader.is_finished() {
            relative_names.push(relative_name(&reader.expect(tag::SET)?)?);
        }
        Ok(Self {
            der: der.to_vec(),
            relative_names,
        })
    }

    /// The DER, as it came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether the name has no attribute at all.
    pub const fn is_empty(&self) -> bool {
        self.relative_names.is_empty()
    }

    /// The relative names in the order of the DER, the most significant first; each has one
    /// attribute or more.
    pub fn relative_names(&self) -> &[Vec<Attribute>] {
        &self.relative_names
    }

    /// All texts of one attribute type, given in dotted form, in the order of the DER.
    pub fn texts<'a>(&'a self, oid: &'a str) -> impl Iterator<Item = &'a str> {
        self.relative_names
            .iter()
            .flatten()
            .filter(move |attribute| attribute.oid.as_str() == oid)
            .filter_map(|attribute| attribute.text.as_deref())
    }

    /// The texts of all `commonName` attributes, in the order of the DER.
    pub fn common_names(&self) -> Vec<&str> {
        self.texts(COMMON_NAME).collect()
    }

    /// The text form of RFC 4514: the most specific relative name first. Attributes without a
    /// known short name, and values that are no text, stand as hexadecimal DER. Control
    /// characters are escaped.
    pub fn rfc4514(&self) -> String {
        rfc4514::to_text(&self.relative_names)
    }

    /// Judges a name that somebody asks to certify: strings must keep to the alphabet of their
    /// type and hold no control character, and lengths must be within RFC 5280 appendix A.1.
    ///
    /// # Errors
    /// [`NameError::Value`] for the first value that breaks a rule.
    pub fn check(&self) -> Result<(), NameError> {
        self.relative_names.iter().flatten().try_for_each(|one| {
            attribute::check(one).map_err(|message| NameError::Value {
                attribute: attribute::display_name(&one.oid).to_owned(),
                message,
            })
        })
    }
}

/// Whether this is the DER of the empty name.
pub fn is_empty(der: &[u8]) -> bool {
    der == [tag::SEQUENCE, 0]
}

/// Writes a new name, the most significant relative name first.
#[derive(Clone, Debug, Default)]
pub struct NameBuilder {
    relative_names: Vec<u8>,
}

impl NameBuilder {
    /// A builder of the empty name.
    pub const fn new() -> Self {
        Self {
            relative_names: Vec::new(),
        }
    }

    /// Appends a relative name of one attribute. `attribute` is a short name such as `CN` in any
    /// case, or a dotted object identifier.
    ///
    /// # Errors
    /// When the attribute is unknown, the value breaks a rule, or the name becomes too long.
    pub fn add(self, attribute: &str, value: &str) -> Result<Self, NameError> {
        self.add_multi_valued(&[(attribute, value)])
    }

    /// Appends a relative name of several attributes.
    ///
    /// # Errors
    /// As [`Self::add`]; also when there is no attribute.
    pub fn add_multi_valued(self, attributes: &[(&str, &str)]) -> Result<Self, NameError> {
        let mut encoded = Vec::with_capacity(attributes.len());
        for (attribute, value) in attributes {
            encoded.push(attribute::encode(attribute, value)?);
        }
        self.add_encoded(encoded)
    }

    /// The DER of the name.
    pub fn build(self) -> Vec<u8> {
        asn1::encode(tag::SEQUENCE, &self.relative_names)
    }

    /// Appends a relative name from the DER of its attributes.
    fn add_encoded(mut self, mut attributes: Vec<Vec<u8>>) -> Result<Self, NameError> {
        if attributes.is_empty() {
            return Err(NameError::Syntax("a relative name needs an attribute"));
        }
        // X.690 §11.6: a SET OF is sorted by its encodings.
        attributes.sort_unstable();
        self.relative_names
            .extend(asn1::encode(tag::SET, &attributes.concat()));
        if self.relative_names.len() > SUBJECT_DER_BYTES_MAX - 4 {
            return Err(NameError::TooLong);
        }
        Ok(self)
    }
}

fn relative_name(set: &Element<'_>) -> Result<Vec<Attribute>, NameError> {
    let mut reader = set.reader();
    let mut attributes = Vec::with_capacity(1);
    while !reader.is_finished() {
        let mut fields = reader.expect(tag::SEQUENCE)?.reader();
        let oid = asn1::decode_oid(fields.expect(tag::OBJECT_IDENTIFIER)?.value)?;
        let value = fields.any()?;
        fields.finish()?;
        asn1::check_nested(&value)?;
        attributes.push(Attribute {
            oid,
            text: text::decode(&value),
            value_der: value.raw.to_vec(),
        });
    }
    if attributes.is_empty() {
        return Err(NameError::Malformed(
            "has a relative name without attribute",
        ));
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests;
