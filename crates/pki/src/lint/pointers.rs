//! Lints of what points to CRLs, OCSP and certificates, and of TLS features.

use clm_domain::general_name::GeneralName;

use super::{Candidate, Lint, require};
use crate::asn1::{Element, tag};
use crate::general_name::check;
use crate::tbs_view::{AccessDescriptionView, DistributionPointView};

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "e_rfc5280_pointers_not_empty",
        citation: "RFC 5280 §4.2.1.13, §4.2.2.1 and §4.2.2.2",
        check: not_empty,
    },
    Lint {
        name: "e_rfc5280_distribution_point_located",
        citation: "RFC 5280 §4.2.1.13",
        check: located,
    },
    Lint {
        name: "e_rfc5280_distribution_point_uri",
        citation: "RFC 5280 §4.2.1.13",
        check: distribution_point_uri,
    },
    Lint {
        name: "e_rfc5280_access_location_uri",
        citation: "RFC 5280 §4.2.2.1 and §4.2.2.2",
        check: access_location_uri,
    },
    Lint {
        name: "w_rfc5280_revocation_pointer_without_tls",
        citation: "RFC 5280 §8",
        check: without_tls,
    },
    Lint {
        name: "e_rfc7633_tls_features",
        citation: "RFC 7633 §4.1",
        check: tls_features,
    },
];

const URI: u8 = tag::context(6);
/// Schemes by which RFC 5280 lets CRLs, certificates and OCSP be fetched.
const SCHEMES: [&str; 4] = ["http", "https", "ldap", "ldaps"];
/// Greatest TLS extension type (RFC 8446 §4.2).
const TLS_FEATURE_MAX: u32 = 65_535;

fn not_empty(candidate: &Candidate<'_>) -> Vec<String> {
    let known = &candidate.tbs.known;
    let empty = [
        (
            "cRLDistributionPoints",
            is_empty(known.crl_distribution_points.as_ref()),
        ),
        ("freshestCRL", is_empty(known.freshest_crl.as_ref())),
        (
            "authorityInfoAccess",
            is_empty(known.authority_information_access.as_ref()),
        ),
        (
            "subjectInfoAccess",
            is_empty(known.subject_information_access.as_ref()),
        ),
    ];
    empty
        .into_iter()
        .filter(|(_, empty)| *empty)
        .map(|(field, _)| format!("{field} points nowhere."))
        .collect()
}

fn is_empty<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(Vec::is_empty)
}

fn located(candidate: &Candidate<'_>) -> Vec<String> {
    let lost = distribution_points(candidate).any(|point| !point.is_located);
    require(!lost, || {
        "A distribution point names neither a place nor a CRL issuer.".to_owned()
    })
}

fn distribution_point_uri(candidate: &Candidate<'_>) -> Vec<String> {
    distribution_points(candidate)
        .flat_map(|point| &point.full_name)
        .filter_map(|name| fetchable(name, &SCHEMES).err())
        .map(|problem| format!("A CRL distribution point {problem}."))
        .collect()
}

fn access_location_uri(candidate: &Candidate<'_>) -> Vec<String> {
    let known = &candidate.tbs.known;
    let authority = locations(known.authority_information_access.as_deref())
        .filter_map(|name| fetchable(name, &SCHEMES).err())
        .map(|problem| format!("An authorityInfoAccess location {problem}."));
    // RFC 6487 §4.8.8.1 has rsync in subjectInfoAccess, so any scheme goes there.
    let subject = locations(known.subject_information_access.as_deref())
        .filter_map(|name| fetchable(name, &[]).err())
        .map(|problem| format!("A subjectInfoAccess location {problem}."));
    authority.chain(subject).collect()
}

/// Checking the server that tells about revocation would need that server.
fn without_tls(candidate: &Candidate<'_>) -> Vec<String> {
    let known = &candidate.tbs.known;
    let points = distribution_points(candidate).flat_map(|point| &point.full_name);
    let mut pointers = points.chain(locations(known.authority_information_access.as_deref()));
    let needs_tls = pointers.any(|name| {
        let uri = String::from_utf8_lossy(name.value).to_ascii_lowercase();
        uri.starts_with("https:") || uri.starts_with("ldaps:")
    });
    require(!needs_tls, || {
        "Pointers to revocation data and issuers should not need TLS themselves.".to_owned()
    })
}

fn tls_features(candidate: &Candidate<'_>) -> Vec<String> {
    let Some(features) = &candidate.tbs.known.tls_features else {
        return Vec::new();
    };
    let twice = features
        .iter()
        .enumerate()
        .any(|(index, feature)| features.iter().take(index).any(|other| other == feature));
    let too_large = features.iter().any(|feature| *feature > TLS_FEATURE_MAX);
    require(!features.is_empty() && !twice && !too_large, || {
        "TLS features must be a list of different TLS extension types.".to_owned()
    })
}

/// What is wrong with a `GeneralName` from which something is fetched; an empty list of schemes
/// allows all.
fn fetchable(name: &Element<'_>, schemes: &[&str]) -> Result<(), String> {
    if name.tag != URI || !name.value.is_ascii() {
        return Err("is no URI".to_owned());
    }
    let uri = String::from_utf8_lossy(name.value).into_owned();
    let scheme = uri.split(':').next().unwrap_or_default();
    let known = schemes
        .iter()
        .any(|known| known.eq_ignore_ascii_case(scheme));
    if !schemes.is_empty() && !known {
        return Err(format!("has scheme '{scheme}' instead of http or ldap"));
    }
    check(&GeneralName::Uri(uri))
}

fn distribution_points<'c, 'a>(
    candidate: &'c Candidate<'a>,
) -> impl Iterator<Item = &'c DistributionPointView<'a>> {
    let known = &candidate.tbs.known;
    let complete = known.crl_distribution_points.iter().flatten();
    complete.chain(known.freshest_crl.iter().flatten())
}

fn locations<'c, 'a>(
    descriptions: Option<&'c [AccessDescriptionView<'a>]>,
) -> impl Iterator<Item = &'c Element<'a>> {
    let descriptions = descriptions.unwrap_or_default();
    descriptions.iter().map(|description| &description.location)
}
