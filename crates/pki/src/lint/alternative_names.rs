//! Lints of subject and issuer alternative names, and of the subject that they may stand for.

use clm_domain::general_name::GeneralName;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc3280::EMAIL_ADDRESS;
use const_oid::db::rfc4519::COMMON_NAME;
use const_oid::db::rfc5280::{ID_CE_SUBJECT_ALT_NAME, ID_KP_SERVER_AUTH};

use super::{Candidate, Lint, require};
use crate::asn1::{Element, check_single, decode_oid, tag};
use crate::general_name::check;
use crate::tbs_view::NameView;

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "e_rfc5280_subject_or_critical_names",
        citation: "RFC 5280 §4.1.2.6 and §4.2.1.6",
        check: subject_or_critical_names,
    },
    Lint {
        name: "e_rfc5280_alternative_names_not_empty",
        citation: "RFC 5280 §4.2.1.6 and §4.2.1.7",
        check: not_empty,
    },
    Lint {
        name: "e_rfc5280_alternative_name_form",
        citation: "RFC 5280 §4.2.1.6",
        check: form,
    },
    Lint {
        name: "e_rfc1034_dns_name",
        citation: "RFC 5280 §4.2.1.6, RFC 1034 §3.5, RFC 6125 §6.4.3",
        check: dns_name,
    },
    Lint {
        name: "e_rfc5280_ip_address",
        citation: "RFC 5280 §4.2.1.6",
        check: ip_address,
    },
    Lint {
        name: "e_rfc3986_uri",
        citation: "RFC 5280 §4.2.1.6, RFC 3986 §4.3",
        check: uri,
    },
    Lint {
        name: "e_rfc5321_mailbox",
        citation: "RFC 5280 §4.2.1.6, RFC 5321 §4.1.2",
        check: mailbox,
    },
    Lint {
        name: "e_rfc5280_directory_name",
        citation: "RFC 5280 §4.2.1.6",
        check: directory_name,
    },
    Lint {
        name: "e_rfc5280_other_name",
        citation: "RFC 5280 §4.2.1.6",
        check: other_name,
    },
    Lint {
        name: "w_rfc5280_subject_alternative_name_once",
        citation: "RFC 5280 §4.2.1.6",
        check: once,
    },
    Lint {
        name: "e_rfc5280_subject_mailbox_among_names",
        citation: "RFC 5280 §4.1.2.6",
        check: subject_mailbox_among_names,
    },
    Lint {
        name: "w_cabf_common_name_among_names",
        citation: "CA/Browser Forum Baseline Requirements §7.1.4.3",
        check: common_name_among_names,
    },
];

/// Identifier octets of the forms of `GeneralName`.
const OTHER_NAME: u8 = tag::context_constructed(0);
const RFC822_NAME: u8 = tag::context(1);
const DNS_NAME: u8 = tag::context(2);
const DIRECTORY_NAME: u8 = tag::context_constructed(4);
const URI: u8 = tag::context(6);
const IP_ADDRESS: u8 = tag::context(7);
const REGISTERED_ID: u8 = tag::context(8);

fn subject_or_critical_names(candidate: &Candidate<'_>) -> Vec<String> {
    let names = candidate.tbs.extension(ID_CE_SUBJECT_ALT_NAME);
    let critical = names.is_some_and(|extension| extension.critical);
    require(critical || !candidate.tbs.subject.is_empty(), || {
        "An empty subject needs subject alternative names that are critical.".to_owned()
    })
}

fn not_empty(candidate: &Candidate<'_>) -> Vec<String> {
    lists(candidate)
        .filter(|(_, names)| names.is_empty())
        .map(|(field, _)| format!("{field} has no name."))
        .collect()
}

fn form(candidate: &Candidate<'_>) -> Vec<String> {
    const FORMS: [u8; 7] = [
        OTHER_NAME,
        RFC822_NAME,
        DNS_NAME,
        DIRECTORY_NAME,
        URI,
        IP_ADDRESS,
        REGISTERED_ID,
    ];
    judge(candidate, |name| {
        if FORMS.contains(&name.tag) {
            Ok(())
        } else {
            Err("is of a form that we do not certify".to_owned())
        }
    })
}

fn dns_name(candidate: &Candidate<'_>) -> Vec<String> {
    judge_text(candidate, DNS_NAME, GeneralName::Dns)
}

fn uri(candidate: &Candidate<'_>) -> Vec<String> {
    judge_text(candidate, URI, GeneralName::Uri)
}

fn mailbox(candidate: &Candidate<'_>) -> Vec<String> {
    judge_text(candidate, RFC822_NAME, GeneralName::Email)
}

fn ip_address(candidate: &Candidate<'_>) -> Vec<String> {
    judge(candidate, |name| match (name.tag, name.value.len()) {
        (IP_ADDRESS, 4 | 16) => Ok(()),
        (IP_ADDRESS, octets) => Err(format!("has {octets} octets instead of 4 or 16")),
        _ => Ok(()),
    })
}

fn directory_name(candidate: &Candidate<'_>) -> Vec<String> {
    judge(candidate, |name| {
        if name.tag != DIRECTORY_NAME {
            return Ok(());
        }
        let parsed = NameView::parse(name.value).map_err(|error| error.to_string())?;
        if parsed.is_empty() {
            return Err("is an empty directory name".to_owned());
        }
        Ok(())
    })
}

fn other_name(candidate: &Candidate<'_>) -> Vec<String> {
    judge(candidate, |name| {
        let read = match name.tag {
            OTHER_NAME => read_other_name(name),
            REGISTERED_ID => decode_oid(name.value).map(|_| ()),
            _ => Ok(()),
        };
        read.map_err(|error| error.to_string())
    })
}

/// `OtherName`: a type, and one value inside an explicit tag.
fn read_other_name(name: &Element<'_>) -> Result<(), crate::asn1::DerError> {
    let mut reader = name.reader();
    decode_oid(reader.expect(tag::OBJECT_IDENTIFIER)?.value)?;
    let value = reader.expect(tag::context_constructed(0))?;
    reader.finish()?;
    check_single(value.value)
}

fn once(candidate: &Candidate<'_>) -> Vec<String> {
    let names = candidate.tbs.known.subject_alternative_names.as_deref();
    let mut sorted: Vec<&[u8]> = names
        .iter()
        .copied()
        .flatten()
        .map(|name| name.raw)
        .collect();
    sorted.sort_unstable();
    let twice = sorted
        .windows(2)
        .any(|pair| matches!(pair, [one, other] if one == other));
    require(!twice, || {
        "Subject alternative names list a name twice.".to_owned()
    })
}

/// RFC 5280 §4.1.2.6: a mailbox in the subject is out of date, and must at least be an rfc822Name.
fn subject_mailbox_among_names(candidate: &Candidate<'_>) -> Vec<String> {
    require(all_among_names(candidate, EMAIL_ADDRESS), || {
        "An emailAddress in the subject must also be an rfc822Name among the alternative names."
            .to_owned()
    })
}

/// Clients that still read the common name must not see a name that was not checked as one.
fn common_name_among_names(candidate: &Candidate<'_>) -> Vec<String> {
    let mut purposes = candidate.tbs.known.extended_key_usage.iter().flatten();
    let is_server = purposes.any(|purpose| *purpose == ID_KP_SERVER_AUTH.as_bytes())
        && !candidate.tbs.is_certificate_authority();
    require(
        !is_server || all_among_names(candidate, COMMON_NAME),
        || {
            "The common name of a TLS server should be among its subject alternative names."
                .to_owned()
        },
    )
}

/// Whether every subject attribute of this type is also a subject alternative name.
fn all_among_names(candidate: &Candidate<'_>, oid: ObjectIdentifier) -> bool {
    let names = candidate.tbs.known.subject_alternative_names.as_deref();
    let mut values = candidate
        .tbs
        .subject
        .attributes()
        .filter(|attribute| attribute.oid == oid.as_bytes())
        .map(|attribute| String::from_utf8_lossy(attribute.value.value));
    values.all(|text| {
        let mut names = names.unwrap_or_default().iter();
        names.any(|name| name_says(name, &text))
    })
}

fn name_says(name: &Element<'_>, text: &str) -> bool {
    match (name.tag, name.value) {
        (IP_ADDRESS, octets) => match text.parse() {
            Ok(std::net::IpAddr::V4(address)) => address.octets() == octets,
            Ok(std::net::IpAddr::V6(address)) => address.octets() == octets,
            Err(_) => false,
        },
        (DNS_NAME | RFC822_NAME | URI, octets) => octets.eq_ignore_ascii_case(text.as_bytes()),
        _ => false,
    }
}

/// Applies the syntax of one textual form to all names of that form.
fn judge_text(
    candidate: &Candidate<'_>,
    tag: u8,
    general_name: fn(String) -> GeneralName,
) -> Vec<String> {
    judge(candidate, |name| {
        if name.tag != tag {
            return Ok(());
        }
        if !name.value.is_ascii() {
            return Err("has characters beyond ASCII".to_owned());
        }
        check(&general_name(
            String::from_utf8_lossy(name.value).into_owned(),
        ))
    })
}

/// What `judge` says of each alternative name, as sentences.
fn judge(
    candidate: &Candidate<'_>,
    judge: impl Fn(&Element<'_>) -> Result<(), String>,
) -> Vec<String> {
    lists(candidate)
        .flat_map(|(field, names)| names.iter().enumerate().map(move |name| (field, name)))
        .filter_map(|(field, (index, name))| {
            let message = judge(name).err()?;
            Some(format!("{field}[{index}] {message}."))
        })
        .collect()
}

fn lists<'c, 'a>(
    candidate: &'c Candidate<'a>,
) -> impl Iterator<Item = (&'static str, &'c [Element<'a>])> {
    let known = &candidate.tbs.known;
    [
        ("subjectAltName", known.subject_alternative_names.as_deref()),
        ("issuerAltName", known.issuer_alternative_names.as_deref()),
    ]
    .into_iter()
    .filter_map(|(field, names)| names.map(|names| (field, names)))
}
