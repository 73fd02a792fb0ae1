//! Lints of the frame: DER, version, extension list, signature algorithm.

use super::{Candidate, Lint, require};
use crate::asn1::{Element, Reader, check_single, decode_oid};
use crate::key::signature_algorithm_identifier;
use clm_domain::key_algorithm::SignatureAlgorithm;

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "e_x690_der",
        citation: "RFC 5280 §4.1, X.690 §10",
        check: der,
    },
    Lint {
        name: "e_x690_default_value_left_out",
        citation: "X.690 §11.5",
        check: default_value_left_out,
    },
    Lint {
        name: "w_x690_set_sorted",
        citation: "X.690 §11.6",
        check: set_sorted,
    },
    Lint {
        name: "e_rfc5280_version_3",
        citation: "RFC 5280 §4.1.2.1",
        check: version_3,
    },
    Lint {
        name: "e_rfc5280_unique_identifiers_absent",
        citation: "RFC 5280 §4.1.2.8",
        check: unique_identifiers_absent,
    },
    Lint {
        name: "e_rfc5280_extensions_present",
        citation: "RFC 5280 §4.1.2.9",
        check: extensions_present,
    },
    Lint {
        name: "e_rfc5280_extension_once",
        citation: "RFC 5280 §4.2",
        check: extension_once,
    },
    Lint {
        name: "e_rfc5280_extension_well_formed",
        citation: "RFC 5280 §4.2",
        check: extension_well_formed,
    },
    Lint {
        name: "e_rfc5280_signature_algorithm_encoding",
        citation: "RFC 5280 §4.1.1.2, RFC 4055 §3.1 and §5, RFC 5758 §3.2, RFC 8410 §3",
        check: signature_algorithm_encoding,
    },
    Lint {
        name: "e_rfc5280_signature_algorithm_equal",
        citation: "RFC 5280 §4.1.1.2",
        check: signature_algorithm_equal,
    },
];

fn der(candidate: &Candidate<'_>) -> Vec<String> {
    let mut messages = Vec::new();
    if let Err(error) = check_single(candidate.tbs.raw) {
        messages.push(format!("The to-be-signed certificate {error}."));
    }
    for extension in candidate.tbs.extensions() {
        if let Err(error) = check_single(extension.value) {
            let name = extension_name(extension.oid);
            messages.push(format!("The value of extension {name} {error}."));
        }
    }
    messages
}

fn default_value_left_out(candidate: &Candidate<'_>) -> Vec<String> {
    let mut messages: Vec<String> = candidate
        .tbs
        .extensions()
        .iter()
        .filter(|extension| extension.encodes_default)
        .map(|extension| {
            let name = extension_name(extension.oid);
            format!("Extension {name} writes critical FALSE, the default.")
        })
        .collect();
    let constraints = candidate.tbs.known.basic_constraints;
    if constraints.is_some_and(|constraints| constraints.encodes_default) {
        messages.push("Basic constraints write cA FALSE, the default.".to_owned());
    }
    messages
}

/// A warning only: the subject of a request is kept as it came, and some programs sort wrongly.
fn set_sorted(candidate: &Candidate<'_>) -> Vec<String> {
    [
        ("issuer", &candidate.tbs.issuer),
        ("subject", &candidate.tbs.subject),
    ]
    .into_iter()
    .filter(|(_, name)| {
        name.relative_names
            .iter()
            .any(|set| !set.is_sorted_by_key(|attribute| attribute.raw))
    })
    .map(|(field, _)| format!("A multi-valued relative name of the {field} is not in DER order."))
    .collect()
}

fn version_3(candidate: &Candidate<'_>) -> Vec<String> {
    require(candidate.tbs.version == Some(2), || {
        "A certificate with extensions must be of version 3.".to_owned()
    })
}

fn unique_identifiers_absent(candidate: &Candidate<'_>) -> Vec<String> {
    require(!candidate.tbs.has_unique_identifiers, || {
        "Issuer and subject unique identifiers must not be used.".to_owned()
    })
}

fn extensions_present(candidate: &Candidate<'_>) -> Vec<String> {
    require(!candidate.tbs.extensions().is_empty(), || {
        "The certificate has no extensions.".to_owned()
    })
}

fn extension_once(candidate: &Candidate<'_>) -> Vec<String> {
    let extensions = candidate.tbs.extensions();
    extensions
        .iter()
        .enumerate()
        .filter(|(index, extension)| {
            let mut earlier = extensions.iter().take(*index);
            earlier.any(|other| other.oid == extension.oid)
        })
        .map(|(_, extension)| {
            let name = extension_name(extension.oid);
            format!("Extension {name} comes more than once.")
        })
        .collect()
}

fn extension_well_formed(candidate: &Candidate<'_>) -> Vec<String> {
    let malformed = &candidate.tbs.malformed;
    let unnamed = candidate.tbs.extensions().iter().filter_map(|extension| {
        let error = decode_oid(extension.oid).err()?;
        Some(format!("The type of an extension {error}."))
    });
    malformed
        .iter()
        .map(|(oid, error)| format!("Extension {} {error}.", extension_name(oid)))
        .chain(unnamed)
        .collect()
}

fn signature_algorithm_encoding(candidate: &Candidate<'_>) -> Vec<String> {
    let mut encodings = SignatureAlgorithm::ALL.into_iter();
    let found = candidate.tbs.signature_algorithm;
    let known = encodings.any(|algorithm| signature_algorithm_identifier(algorithm) == found);
    require(known, || {
        let name = first_object_identifier(found);
        format!("Signature algorithm {name} is unknown or has other parameters than the standard.")
    })
}

fn signature_algorithm_equal(candidate: &Candidate<'_>) -> Vec<String> {
    let outer = candidate.context.outer_signature_algorithm;
    let inner = candidate.tbs.signature_algorithm;
    require(outer.is_none_or(|outer| outer == inner), || {
        "The signature algorithms inside and beside the to-be-signed certificate differ.".to_owned()
    })
}

/// The dotted form of an extension type.
pub(super) fn extension_name(oid: &[u8]) -> String {
    decode_oid(oid).map_or_else(|_| hex::encode(oid), |oid| oid.to_string())
}

fn first_object_identifier(algorithm_identifier: &[u8]) -> String {
    let element: Option<Element<'_>> = Reader::new(algorithm_identifier)
        .any()
        .and_then(|sequence| sequence.reader().any())
        .ok();
    element.map_or_else(String::new, |element| extension_name(element.value))
}
