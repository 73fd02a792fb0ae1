//! `GeneralName` and `GeneralNames` (RFC 5280 §4.2.1.6): DER in both directions, and the syntactic
//! rules of names that we certify.
//!
//! Whether somebody may have a name is not judged here. Start with [`decode_general_names`],
//! [`encode_general_names`] and [`check`].

mod syntax;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clm_domain::general_name::GeneralName;

use crate::asn1::{self, DerError, Element, tag};
use crate::name::DistinguishedName;

/// Why a list of names is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeneralNameError {
    /// The bytes are not the DER of `GeneralNames`.
    #[error("the list of names is malformed: it {0}")]
    Malformed(&'static str),
    /// One name is refused.
    #[error("name {} ({form}) {message}", index + 1)]
    Name {
        /// Its place in the list, from 0.
        index: usize,
        /// The form, as in RFC 5280.
        form: &'static str,
        /// What is wrong with it, as the end of the sentence.
        message: String,
    },
}

impl From<DerError> for GeneralNameError {
    fn from(error: DerError) -> Self {
        Self::Malformed(error.0)
    }
}

/// The DER of `GeneralNames`. Each name must pass [`check`].
///
/// # Errors
/// [`GeneralNameError::Name`] for the first name that does not pass, [`GeneralNameError::Malformed`]
/// for an empty list, which the standard does not allow.
pub fn encode_general_names(names: &[GeneralName]) -> Result<Vec<u8>, GeneralNameError> {
    if names.is_empty() {
        return Err(GeneralNameError::Malformed("has no name"));
    }
    let mut contents = Vec::with_capacity(names.len() * 24);
    for (index, name) in names.iter().enumerate() {
        let encoded = encode_general_name(name).map_err(|message| GeneralNameError::Name {
            index,
            form: name.form(),
            message,
        })?;
        contents.extend_from_slice(&encoded);
    }
    Ok(asn1::encode(tag::SEQUENCE, &contents))
}

/// The DER of one `GeneralName`, which must pass [`check`].
///
/// # Errors
/// What is wrong with the name, as the end of a sentence.
pub fn encode_general_name(name: &GeneralName) -> Result<Vec<u8>, String> {
    check(name)?;
    let encode_oid = |oid| asn1::encode_oid(oid).map_err(|error: DerError| error.to_string());
    Ok(match name {
        GeneralName::Email(text) => asn1::encode(tag::context(1), text.as_bytes()),
        GeneralName::Dns(text) => asn1::encode(tag::context(2), text.as_bytes()),
        GeneralName::Uri(text) => asn1::encode(tag::context(6), text.as_bytes()),
        GeneralName::Ip(IpAddr::V4(address)) => asn1::encode(tag::context(7), &address.octets()),
        GeneralName::Ip(IpAddr::V6(address)) => asn1::encode(tag::context(7), &address.octets()),
        // Name is a CHOICE, so its implicit tag becomes explicit (X.680 §31.2.7).
        GeneralName::DirectoryName(der) => asn1::encode(tag::context_constructed(4), der),
        GeneralName::RegisteredId(oid) => asn1::encode(tag::context(8), &encode_oid(oid)?),
        GeneralName::OtherName { type_id, value_der } => asn1::encode_parts(
            tag::context_constructed(0),
            &[
                &asn1::encode(tag::OBJECT_IDENTIFIER, &encode_oid(type_id)?),
                &asn1::encode(tag::context_constructed(0), value_der),
            ],
        ),
    })
}

/// Reads the DER of `GeneralNames`. Judges the encoding only; [`check`] judges what a name says.
/// Texts with other than printable ASCII characters are refused here: nobody can mean them well.
///
/// # Errors
/// When the DER is malformed, the list is empty, or a name has the form `x400Address` or
/// `ediPartyName`, which nobody can check.
pub fn decode_general_names(der: &[u8]) -> Result<Vec<GeneralName>, GeneralNameError> {
    let mut reader = asn1::single(der, tag::SEQUENCE)?.reader();
    let mut names = Vec::new();
    while !reader.is_finished() {
        let element = reader.any()?;
        let name = decode(&element).map_err(|message| GeneralNameError::Name {
            index: names.len(),
            form: form(element.tag),
            message,
        })?;
        names.push(name);
    }
    if names.is_empty() {
        return Err(GeneralNameError::Malformed("has no name"));
    }
    Ok(names)
}

/// Judges the syntax of a name that somebody asks to certify.
///
/// - `dNSName`: letters, digits and hyphens in labels of 1 to 63 characters, 253 in all, no
///   trailing dot, A-labels only; `*` as the whole leftmost label before at least two others.
/// - `rfc822Name`: an ASCII mailbox (RFC 5321 §4.1.2) without quoting.
/// - `uniformResourceIdentifier`: absolute, ASCII; `http` and `https` with a host.
/// - `directoryName`: not empty, within the rules of [`DistinguishedName::check`].
/// - `otherName`, `registeredID`: well-formed DER.
///
/// # Errors
/// What is wrong with the name, as the end of a sentence.
pub fn check(name: &GeneralName) -> Result<(), String> {
    match name {
        GeneralName::Dns(text) => syntax::check_dns(text),
        GeneralName::Email(text) => syntax::check_email(text),
        GeneralName::Uri(text) => syntax::check_uri(text),
        GeneralName::Ip(_) => Ok(()),
        GeneralName::DirectoryName(der) => check_directory_name(der),
        GeneralName::OtherName { type_id, value_der } => {
            asn1::encode_oid(type_id).map_err(|error| error.to_string())?;
            asn1::check_single(value_der).map_err(|error| error.to_string())
        }
        GeneralName::RegisteredId(oid) => asn1::encode_oid(oid)
            .map(|_| ())
            .map_err(|error| error.to_string()),
    }
}

/// [`check`] for all of a list.
///
/// # Errors
/// [`GeneralNameError::Name`] for the first name that does not pass.
pub fn check_all(names: &[GeneralName]) -> Result<(), GeneralNameError> {
    for (index, name) in names.iter().enumerate() {
        check(name).map_err(|message| GeneralNameError::Name {
            index,
            form: name.form(),
            message,
        })?;
    }
    Ok(())
}

fn check_directory_name(der: &[u8]) -> Result<(), String> {
    let name = DistinguishedName::from_der(der).map_err(|error| error.to_string())?;
    if name.is_empty() {
        return Err("is empty".to_owned());
    }
    name.check().map_err(|error| error.to_string())
}

fn decode(element: &Element<'_>) -> Result<GeneralName, String> {
    let describe = |error: DerError| error.to_string();
    match element.tag {
        0xa0 => other_name(element).map_err(describe),
        0x81 => text(element).map(GeneralName::Email),
        0x82 => text(element).map(GeneralName::Dns),
        0x86 => text(element).map(GeneralName::Uri),
        0x87 => address(element.value).map(GeneralName::Ip),
        0xa4 => {
            let name = asn1::single(element.value, tag::SEQUENCE).map_err(describe)?;
            DistinguishedName::from_der(name.raw)
                .map(|name| GeneralName::DirectoryName(name.der().to_vec()))
                .map_err(|error| error.to_string())
        }
        0x88 => asn1::decode_oid(element.value)
            .map(GeneralName::RegisteredId)
            .map_err(describe),
        0xa3 | 0xa5 => Err("has a form that is not accepted".to_owned()),
        _ => Err("is no GeneralName".to_owned()),
    }
}

/// `OtherName ::= SEQUENCE { type-id, value [0] EXPLICIT ANY }`, its own tag replaced.
fn other_name(element: &Element<'_>) -> Result<GeneralName, DerError> {
    let mut reader = element.reader();
    let type_id = asn1::decode_oid(reader.expect(tag::OBJECT_IDENTIFIER)?.value)?;
    let value = reader.expect(tag::context_constructed(0))?;
    reader.finish()?;
    asn1::check_single(value.value)?;
    Ok(GeneralName::OtherName {
        type_id,
        value_der: value.value.to_vec(),
    })
}

/// An `IA5String` of printable characters.
fn text(element: &Element<'_>) -> Result<String, String> {
    if !element.value.is_ascii() {
        return Err(match element.tag {
            0x82 => "holds characters beyond ASCII: write internationalized names with A-labels \
                     (punycode), such as xn--bcher-kva.example"
                .to_owned(),
            0x81 => "holds characters beyond ASCII: write the domain with A-labels (punycode)"
                .to_owned(),
            _ => "holds characters beyond ASCII: percent-encode them".to_owned(),
        });
    }
    if element.value.iter().any(u8::is_ascii_control) {
        return Err("holds control characters".to_owned());
    }
    String::from_utf8(element.value.to_vec()).map_err(|_| "is no text".to_owned())
}

fn address(octets: &[u8]) -> Result<IpAddr, String> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Ok(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    match <[u8; 16]>::try_from(octets) {
        Ok(octets) => Ok(IpAddr::V6(Ipv6Addr::from(octets))),
        Err(_) => Err(format!("has {} bytes instead of 4 or 16", octets.len())),
    }
}

/// The word of RFC 5280 for the form that an identifier octet announces.
const fn form(tag: u8) -> &'static str {
    match tag & 0x1f {
        0 => "otherName",
        1 => "rfc822Name",
        2 => "dNSName",
        3 => "x400Address",
        4 => "directoryName",
        5 => "ediPartyName",
        6 => "uniformResourceIdentifier",
        7 => "iPAddress",
        8 => "registeredID",
        _ => "unknown form",
    }
}

#[cfg(test)]
mod tests;
