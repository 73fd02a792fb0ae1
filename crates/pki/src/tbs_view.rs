//! [`TbsView`]: the fields of a `TBSCertificate` (RFC 5280 §4.1), read once and without copying,
//! for lints and for path validation.
//!
//! It reads and does not judge: a field that the standard forbids is kept for those who judge it.
//! Only bytes that are no `TBSCertificate` at all are refused. An extension that cannot be read is
//! listed in [`TbsView::malformed`] and must never count as absent. Start with
//! [`TbsView::parse`].

mod extensions;

use chrono::{DateTime, NaiveDate, Utc};
use const_oid::ObjectIdentifier;

use crate::asn1::{DerError, Element, Reader, boolean, single, small_unsigned, tag};

pub(crate) use extensions::{
    AccessDescriptionView, DistributionPointView, Extensions, name_constraints,
};

/// Identifier octet of `UTCTime`.
pub(crate) const UTC_TIME: u8 = 0x17;
/// Identifier octet of `GeneralizedTime`.
pub(crate) const GENERALIZED_TIME: u8 = 0x18;

/// A `TBSCertificate`.
#[derive(Debug)]
pub(crate) struct TbsView<'a> {
    /// The whole of it.
    pub(crate) raw: &'a [u8],
    /// `version` as encoded, 2 for v3; `None` when left out.
    pub(crate) version: Option<u32>,
    /// Content octets of `serialNumber`.
    pub(crate) serial: &'a [u8],
    /// DER of the `AlgorithmIdentifier` in `signature`.
    pub(crate) signature_algorithm: &'a [u8],
    /// The issuer.
    pub(crate) issuer: NameView<'a>,
    /// Start of validity.
    pub(crate) not_before: TimeView<'a>,
    /// End of validity.
    pub(crate) not_after: TimeView<'a>,
    /// The subject.
    pub(crate) subject: NameView<'a>,
    /// DER of the `SubjectPublicKeyInfo`.
    pub(crate) subject_public_key_info: &'a [u8],
    /// Whether `issuerUniqueID` or `subjectUniqueID` is there.
    pub(crate) has_unique_identifiers: bool,
    /// Every extension as it came; `None` when the field is left out.
    pub(crate) extensions: Option<Vec<ExtensionView<'a>>>,
    /// The known extensions, read; of one that comes twice, the first.
    pub(crate) known: Extensions<'a>,
    /// Known extensions that could not be read, and why.
    pub(crate) malformed: Vec<(&'a [u8], DerError)>,
}

/// An `Extension`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExtensionView<'a> {
    /// Content octets of `extnID`.
    pub(crate) oid: &'a [u8],
    /// `critical`, false when left out.
    pub(crate) critical: bool,
    /// Whether `critical` is encoded although it is false, its default.
    pub(crate) encodes_default: bool,
    /// What `extnValue` holds.
    pub(crate) value: &'a [u8],
}

/// A `Name`.
#[derive(Clone, Debug)]
pub(crate) struct NameView<'a> {
    /// DER of the `Name`.
    pub(crate) raw: &'a [u8],
    /// Its relative distinguished names, each a set.
    pub(crate) relative_names: Vec<RelativeNameView<'a>>,
}

/// A `RelativeDistinguishedName`, mostly of one attribute.
pub(crate) type RelativeNameView<'a> = Vec<AttributeView<'a>>;

/// An `AttributeTypeAndValue`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttributeView<'a> {
    /// Content octets of the type.
    pub(crate) oid: &'a [u8],
    /// The value.
    pub(crate) value: Element<'a>,
    /// DER of both.
    pub(crate) raw: &'a [u8],
}

/// A `Time`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeView<'a> {
    /// Identifier octet: `UTCTime` or `GeneralizedTime`.
    pub(crate) tag: u8,
    /// Its characters.
    pub(crate) text: &'a [u8],
    /// The instant, when the text has the form of RFC 5280 §4.1.2.5 and such a day exists.
    pub(crate) time: Option<DateTime<Utc>>,
}

impl<'a> TbsView<'a> {
    /// Reads a `TBSCertificate`.
    ///
    /// # Errors
    /// When the fields before the extensions, or the frame of an extension, are not as in
    /// RFC 5280 §4.1.
    pub(crate) fn parse(raw: &'a [u8]) -> Result<Self, DerError> {
        let mut reader = single(raw, tag::SEQUENCE)?.reader();
        let version = match reader.optional(tag::context_constructed(0))? {
            Some(version) => Some(small_unsigned(&single(version.value, tag::INTEGER)?)?),
            None => None,
        };
        let serial = reader.expect(tag::INTEGER)?.value;
        let signature_algorithm = reader.expect(tag::SEQUENCE)?.raw;
        let issuer = NameView::read(&mut reader)?;
        let mut validity = reader.expect(tag::SEQUENCE)?.reader();
        let not_before = TimeView::read(&mut validity)?;
        let not_after = TimeView::read(&mut validity)?;
        validity.finish()?;
        let subject = NameView::read(&mut reader)?;
        let subject_public_key_info = reader.expect(tag::SEQUENCE)?.raw;
        let issuer_unique = reader.optional(tag::context(1))?;
        let subject_unique = reader.optional(tag::context(2))?;
        let extensions = match reader.optional(tag::context_constructed(3))? {
            Some(extensions) => Some(read_extensions(extensions.value)?),
            None => None,
        };
        reader.finish()?;
        let (known, malformed) = Extensions::read(extensions.as_deref().unwrap_or_default());
        Ok(Self {
            raw,
            version,
            serial,
            signature_algorithm,
            issuer,
            not_before,
            not_after,
            subject,
            subject_public_key_info,
            has_unique_identifiers: issuer_unique.is_some() || subject_unique.is_some(),
            extensions,
            known,
            malformed,
        })
    }

    /// Every extension, in order.
    pub(crate) fn extensions(&self) -> &[ExtensionView<'a>] {
        self.extensions.as_deref().unwrap_or_default()
    }

    /// The first extension of this type.
    pub(crate) fn extension(&self, oid: ObjectIdentifier) -> Option<&ExtensionView<'a>> {
        self.extensions()
            .iter()
            .find(|extension| extension.oid == oid.as_bytes())
    }

    /// Whether basic constraints say that the subject is a CA.
    pub(crate) fn is_certificate_authority(&self) -> bool {
        let constraints = self.known.basic_constraints;
        constraints.is_some_and(|constraints| constraints.certificate_authority)
    }

    /// Whether issuer and subject are the same name (RFC 5280 §3.2).
    pub(crate) fn is_self_issued(&self) -> bool {
        self.issuer.raw == self.subject.raw
    }
}

impl<'a> NameView<'a> {
    /// Reads the one `Name` that `der` consists of.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, DerError> {
        let mut reader = Reader::new(der);
        let name = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(name)
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, DerError> {
        let name = reader.expect(tag::SEQUENCE)?;
        let mut names = name.reader();
        let mut relative_names = Vec::new();
        while !names.is_finished() {
            relative_names.push(read_relative_name(&names.expect(tag::SET)?)?);
        }
        Ok(Self {
            raw: name.raw,
            relative_names,
        })
    }

    /// Whether it has no relative distinguished name.
    pub(crate) fn is_empty(&self) -> bool {
        self.relative_names.is_empty()
    }

    /// Every attribute, in order.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = &AttributeView<'a>> {
        self.relative_names.iter().flatten()
    }
}

fn read_relative_name<'a>(set: &Element<'a>) -> Result<RelativeNameView<'a>, DerError> {
    let mut reader = set.reader();
    let mut attributes = Vec::new();
    while !reader.is_finished() {
        let attribute = reader.expect(tag::SEQUENCE)?;
        let mut parts = attribute.reader();
        let oid = parts.expect(tag::OBJECT_IDENTIFIER)?.value;
        let value = parts.any()?;
        parts.finish()?;
        attributes.push(AttributeView {
            oid,
            value,
            raw: attribute.raw,
        });
    }
    Ok(attributes)
}

fn read_extensions(content: &[u8]) -> Result<Vec<ExtensionView<'_>>, DerError> {
    let mut reader = single(content, tag::SEQUENCE)?.reader();
    let mut extensions = Vec::with_capacity(12);
    while !reader.is_finished() {
        let mut fields = reader.expect(tag::SEQUENCE)?.reader();
        let oid = fields.expect(tag::OBJECT_IDENTIFIER)?.value;
        let critical = match fields.optional(tag::BOOLEAN)? {
            Some(critical) => Some(boolean(&critical)?),
            None => None,
        };
        let value = fields.expect(tag::OCTET_STRING)?.value;
        fields.finish()?;
        extensions.push(ExtensionView {
            oid,
            critical: critical.unwrap_or(false),
            encodes_default: critical == Some(false),
            value,
        });
    }
    Ok(extensions)
}

impl<'a> TimeView<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DerError> {
        let element = reader.any()?;
        let (century, digits) = match (element.tag, element.value) {
            (UTC_TIME, digits) => (None, digits),
            (GENERALIZED_TIME, [first, second, digits @ ..]) => {
                (two_digits(*first, *second), digits)
            }
            (GENERALIZED_TIME, _) => (None, &[][..]),
            _ => return Err(DerError("has a time of another type than the standard")),
        };
        Ok(Self {
            tag: element.tag,
            text: element.value,
            time: read_time(element.tag, century, digits),
        })
    }
}

/// `YYMMDDHHMMSSZ` behind the century, if any.
fn read_time(tag: u8, century: Option<i32>, digits: &[u8]) -> Option<DateTime<Utc>> {
    let (b'Z', digits) = digits.split_last()? else {
        return None;
    };
    let numbers: Option<Vec<i32>> = digits
        .chunks(2)
        .map(|pair| match pair {
            [first, second] => two_digits(*first, *second),
            _ => None,
        })
        .collect();
    let [year, month, day, hour, minute, second] = *numbers?.as_slice() else {
        return None;
    };
    let century = match (tag, year) {
        // RFC 5280 §4.1.2.5.1: 50 and above are of the twentieth century.
        (UTC_TIME, 50..) => 19,
        (UTC_TIME, _) => 20,
        _ => century?,
    };
    let number = |value: i32| u32::try_from(value).ok();
    let date = NaiveDate::from_ymd_opt(century * 100 + year, number(month)?, number(day)?)?;
    let time = date.and_hms_opt(number(hour)?, number(minute)?, number(second)?)?;
    Some(time.and_utc())
}

fn two_digits(first: u8, second: u8) -> Option<i32> {
    let digit = |octet: u8| octet.is_ascii_digit().then(|| i32::from(octet - b'0'));
    Some(digit(first)? * 10 + digit(second)?)
}

#[cfg(test)]
mod tests;
