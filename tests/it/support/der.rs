//! As much DER as the tests need to write requests that no tool writes, and to look into
//! certificates without the program's own reader.

use clm_domain::key_algorithm::SignatureAlgorithm;
use clm_pki::key::{PrivateKey, signature_algorithm_identifier};

/// `SEQUENCE`.
pub(crate) const SEQUENCE: u8 = 0x30;
/// `SET`.
pub(crate) const SET: u8 = 0x31;
/// `OBJECT IDENTIFIER`.
const OBJECT_IDENTIFIER: u8 = 0x06;
/// `OCTET STRING`.
const OCTET_STRING: u8 = 0x04;
/// `UTF8String`.
const UTF8_STRING: u8 = 0x0c;
/// `dNSName` among general names.
pub(crate) const DNS_NAME: u8 = 0x82;

/// `commonName`.
pub(crate) const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// `extensionRequest` of PKCS#9.
const EXTENSION_REQUEST: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e";
/// `subjectAltName`.
pub(crate) const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// One element: tag, length and contents.
pub(crate) fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = contents.len();
    let mut der = vec![tag];
    if let Ok(short) = u8::try_from(length)
        && short < 128
    {
        der.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        der.push(0x80 | u8::try_from(significant.len()).unwrap());
        der.extend_from_slice(significant);
    }
    der.extend(contents);
    der
}

/// A name with one common name, given in bytes.
pub(crate) fn common_name(value: &[u8]) -> Vec<u8> {
    let attribute = element(
        SEQUENCE,
        &[
            &element(OBJECT_IDENTIFIER, &[COMMON_NAME]),
            &element(UTF8_STRING, &[value]),
        ],
    );
    element(SEQUENCE, &[&element(SET, &[&attribute])])
}

/// A name without attributes.
pub(crate) fn empty_name() -> Vec<u8> {
    element(SEQUENCE, &[])
}

/// A request in PEM as it should be signed, for names that no tool would write.
pub(crate) fn csr(subject: &[u8], names: &[Vec<u8>], key: &PrivateKey) -> String {
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let attributes = if names.is_empty() {
        Vec::new()
    } else {
        let extension = element(
            SEQUENCE,
            &[
                &element(OBJECT_IDENTIFIER, &[SUBJECT_ALTERNATIVE_NAME]),
                &element(OCTET_STRING, &[&element(SEQUENCE, &names)]),
            ],
        );
        let extensions = element(SEQUENCE, &[&extension]);
        element(
            SEQUENCE,
            &[
                &element(OBJECT_IDENTIFIER, &[EXTENSION_REQUEST]),
                &element(SET, &[&extensions]),
            ],
        )
    };
    let information = element(
        SEQUENCE,
        &[
            &[2, 1, 0],
            subject,
            key.subject_public_key_info(),
            &element(0xa0, &[&attributes]),
        ],
    );
    let algorithm: SignatureAlgorithm = key.algorithm().default_signature();
    let signature = key.sign(algorithm, &information).unwrap();
    let der = element(
        SEQUENCE,
        &[
            &information,
            signature_algorithm_identifier(algorithm),
            &element(0x03, &[&[0], &signature]),
        ],
    );
    clm_pki::pem::encode("CERTIFICATE REQUEST", &der)
}

/// The elements inside an element, each whole.
pub(crate) fn children(der: &[u8]) -> Vec<&[u8]> {
    let mut rest = contents(der);
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (first, behind) = rest.split_at(length(rest));
        found.push(first);
        rest = behind;
    }
    found
}

/// What is inside an element.
pub(crate) fn contents(der: &[u8]) -> &[u8] {
    &der[header(der).0..length(der)]
}

/// The subject and the public key of a request, as they stand there.
pub(crate) fn of_request(der: &[u8]) -> (&[u8], &[u8]) {
    let information = children(children(der)[0]);
    (information[1], information[2])
}

/// The subject and the public key of a certificate of version 3, as they stand there.
pub(crate) fn of_certificate(der: &[u8]) -> (&[u8], &[u8]) {
    let to_be_signed = children(children(der)[0]);
    (to_be_signed[5], to_be_signed[6])
}

/// The value of an extension that a request asks for.
pub(crate) fn requested_extension<'a>(der: &'a [u8], oid: &[u8]) -> Option<&'a [u8]> {
    let information = children(children(der)[0]);
    let attribute = children(information[3])
        .into_iter()
        .find(|attribute| contents(children(attribute)[0]) == EXTENSION_REQUEST)?;
    let extensions = children(children(attribute)[1])[0];
    extension(extensions, oid)
}

/// The value of an extension of a certificate.
pub(crate) fn certificate_extension<'a>(der: &'a [u8], oid: &[u8]) -> Option<&'a [u8]> {
    let to_be_signed = children(children(der)[0]);
    let tagged = to_be_signed.into_iter().find(|part| part[0] == 0xa3)?;
    extension(children(tagged)[0], oid)
}

fn extension<'a>(extensions: &'a [u8], oid: &[u8]) -> Option<&'a [u8]> {
    children(extensions)
        .into_iter()
        .map(children)
        .find(|extension| contents(extension[0]) == oid)
        .map(|extension| contents(extension[extension.len() - 1]))
}

/// Lengths of the header and of the contents.
fn header(der: &[u8]) -> (usize, usize) {
    let first = usize::from(der[1]);
    if first < 128 {
        return (2, first);
    }
    let octets = first & 0x7f;
    let length = der[2..2 + octets]
        .iter()
        .fold(0, |length, octet| length << 8 | usize::from(*octet));
    (2 + octets, length)
}

fn length(der: &[u8]) -> usize {
    let (header, contents) = header(der);
    header + contents
}
