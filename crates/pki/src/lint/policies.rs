//! Lints of certificate policies and their kin, and of name constraints.

use clm_domain::general_name::GeneralName;
use const_oid::db::rfc5280::{ANY_POLICY, ID_QT_CPS, ID_QT_UNOTICE};

use super::encoding::extension_name;
use super::{Candidate, Lint, require};
use crate::asn1::{Element, tag};
use crate::general_name::check;
use crate::tbs_view::NameView;

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "e_rfc5280_certificate_policies_not_empty",
        citation: "RFC 5280 §4.2.1.4",
        check: policies_not_empty,
    },
    Lint {
        name: "e_rfc5280_certificate_policy_once",
        citation: "RFC 5280 §4.2.1.4",
        check: policy_once,
    },
    Lint {
        name: "e_rfc5280_policy_qualifier",
        citation: "RFC 5280 §4.2.1.4",
        check: qualifier,
    },
    Lint {
        name: "e_rfc5280_explicit_text",
        citation: "RFC 5280 §4.2.1.4, RFC 6818 §3",
        check: explicit_text,
    },
    Lint {
        name: "e_rfc5280_policy_mappings_not_empty",
        citation: "RFC 5280 §4.2.1.5",
        check: mappings_not_empty,
    },
    Lint {
        name: "e_rfc5280_policy_mapping_not_any",
        citation: "RFC 5280 §4.2.1.5",
        check: mapping_not_any,
    },
    Lint {
        name: "w_rfc5280_mapped_policy_asserted",
        citation: "RFC 5280 §4.2.1.5",
        check: mapped_policy_asserted,
    },
    Lint {
        name: "e_rfc5280_policy_constraints_not_empty",
        citation: "RFC 5280 §4.2.1.11",
        check: constraints_not_empty,
    },
    Lint {
        name: "e_rfc5280_name_constraints_not_empty",
        citation: "RFC 5280 §4.2.1.10",
        check: name_constraints_not_empty,
    },
    Lint {
        name: "e_rfc5280_name_constraints_distances",
        citation: "RFC 5280 §4.2.1.10",
        check: name_constraints_distances,
    },
    Lint {
        name: "e_rfc5280_name_constraints_subtree",
        citation: "RFC 5280 §4.2.1.10",
        check: name_constraints_subtree,
    },
];

/// Longest explicit text, in characters.
const EXPLICIT_TEXT_CHARACTERS_MAX: usize = 200;

fn policies_not_empty(candidate: &Candidate<'_>) -> Vec<String> {
    let policies = candidate.tbs.known.certificate_policies.as_ref();
    require(policies.is_none_or(|policies| !policies.is_empty()), || {
        "Certificate policies must name a policy.".to_owned()
    })
}

fn policy_once(candidate: &Candidate<'_>) -> Vec<String> {
    let policies: Vec<&[u8]> = asserted(candidate).collect();
    let twice = policies
        .iter()
        .enumerate()
        .any(|(index, policy)| policies.iter().take(index).any(|other| other == policy));
    require(!twice, || {
        "Certificate policies name a policy twice.".to_owned()
    })
}

fn qualifier(candidate: &Candidate<'_>) -> Vec<String> {
    let policies = candidate.tbs.known.certificate_policies.iter().flatten();
    policies
        .filter_map(|policy| {
            let problem = if policy.has_empty_qualifiers {
                Some("an empty list of qualifiers".to_owned())
            } else {
                policy
                    .qualifiers
                    .iter()
                    .find_map(|(oid, value)| qualifier_problem(oid, value))
            };
            let name = extension_name(policy.oid);
            problem.map(|problem| format!("Certificate policy {name} has {problem}."))
        })
        .collect()
}

fn qualifier_problem(oid: &[u8], value: &Element<'_>) -> Option<String> {
    if oid == ID_QT_CPS.as_bytes() {
        if value.tag != tag::IA5_STRING {
            return Some("a CPS pointer that is no IA5String".to_owned());
        }
        let uri = GeneralName::Uri(String::from_utf8_lossy(value.value).into_owned());
        return check(&uri)
            .err()
            .map(|message| format!("a CPS pointer that {message}"));
    }
    let notice = oid == ID_QT_UNOTICE.as_bytes() && value.tag == tag::SEQUENCE;
    (!notice).then(|| format!("an unknown qualifier {}", extension_name(oid)))
}

fn explicit_text(candidate: &Candidate<'_>) -> Vec<String> {
    let policies = candidate.tbs.known.certificate_policies.iter().flatten();
    policies
        .flat_map(|policy| policy.qualifiers.iter())
        .filter(|(oid, _)| *oid == ID_QT_UNOTICE.as_bytes())
        .filter_map(|(_, notice)| explicit_text_problem(notice))
        .map(|problem| format!("The explicit text of a user notice {problem}."))
        .collect()
}

/// Only `UTF8String` is judged as good: we write no other, and RFC 5280 advises it.
fn explicit_text_problem(notice: &Element<'_>) -> Option<String> {
    let mut reader = notice.reader();
    let Ok(text) = reader.expect(tag::UTF8_STRING) else {
        return Some("is no UTF8String".to_owned());
    };
    let Ok(text) = std::str::from_utf8(text.value) else {
        return Some("is not UTF-8".to_owned());
    };
    let characters = text.chars().count();
    if characters == 0 || characters > EXPLICIT_TEXT_CHARACTERS_MAX {
        return Some(format!(
            "has {characters} characters; 1 to {EXPLICIT_TEXT_CHARACTERS_MAX} are allowed"
        ));
    }
    text.chars()
        .any(char::is_control)
        .then(|| "has control characters".to_owned())
}

fn mappings_not_empty(candidate: &Candidate<'_>) -> Vec<String> {
    let mappings = candidate.tbs.known.policy_mappings.as_ref();
    require(mappings.is_none_or(|mappings| !mappings.is_empty()), || {
        "Policy mappings must map a policy.".to_owned()
    })
}

fn mapping_not_any(candidate: &Candidate<'_>) -> Vec<String> {
    let mut mappings = candidate.tbs.known.policy_mappings.iter().flatten();
    let any = ANY_POLICY.as_bytes();
    let maps_any = mappings.any(|(issuer, subject)| *issuer == any || *subject == any);
    require(!maps_any, || "anyPolicy must not be mapped.".to_owned())
}

fn mapped_policy_asserted(candidate: &Candidate<'_>) -> Vec<String> {
    let mappings = candidate.tbs.known.policy_mappings.iter().flatten();
    mappings
        .filter(|(issuer, _)| !asserted(candidate).any(|policy| policy == *issuer))
        .map(|(issuer, _)| {
            let name = extension_name(issuer);
            format!("Policy {name} is mapped and not among the certificate policies.")
        })
        .collect()
}

fn constraints_not_empty(candidate: &Candidate<'_>) -> Vec<String> {
    let constraints = candidate.tbs.known.policy_constraints;
    require(constraints != Some((None, None)), || {
        "Policy constraints must set at least one limit.".to_owned()
    })
}

fn name_constraints_not_empty(candidate: &Candidate<'_>) -> Vec<String> {
    let constraints = candidate.tbs.known.name_constraints.as_ref();
    let empty = constraints.is_some_and(|constraints| {
        constraints.permitted.is_empty() && constraints.excluded.is_empty()
    });
    require(!empty, || {
        "Name constraints must have a subtree.".to_owned()
    })
}

fn name_constraints_distances(candidate: &Candidate<'_>) -> Vec<String> {
    let constraints = candidate.tbs.known.name_constraints.as_ref();
    let has_distances = constraints.is_some_and(|constraints| constraints.has_distances);
    require(!has_distances, || {
        "Subtrees must leave out minimum, which is zero, and maximum.".to_owned()
    })
}

fn name_constraints_subtree(candidate: &Candidate<'_>) -> Vec<String> {
    let constraints = candidate.tbs.known.name_constraints.iter();
    constraints
        .flat_map(|constraints| constraints.permitted.iter().chain(&constraints.excluded))
        .filter_map(|base| subtree_problem(base).err())
        .map(|problem| format!("A name constraint {problem}."))
        .collect()
}

fn subtree_problem(base: &Element<'_>) -> Result<(), String> {
    const RFC822_NAME: u8 = tag::context(1);
    const DNS_NAME: u8 = tag::context(2);
    const DIRECTORY_NAME: u8 = tag::context_constructed(4);
    const URI: u8 = tag::context(6);
    const IP_ADDRESS: u8 = tag::context(7);
    let text = String::from_utf8_lossy(base.value);
    match base.tag {
        // An empty domain holds every name: the usual way to exclude a whole form.
        DNS_NAME | URI | RFC822_NAME if text.is_empty() => Ok(()),
        DNS_NAME => check_domain(&text),
        // RFC 5280 §4.2.1.10: a leading period means "only below" for hosts of URIs and mailboxes.
        URI => check_domain(text.strip_prefix('.').unwrap_or(&text)),
        RFC822_NAME if text.contains('@') => check(&GeneralName::Email(text.into_owned())),
        RFC822_NAME => check_domain(text.strip_prefix('.').unwrap_or(&text)),
        IP_ADDRESS => check_network(base.value),
        DIRECTORY_NAME => NameView::parse(base.value)
            .map(|_| ())
            .map_err(|error| error.to_string()),
        _ => Err("has a form that cannot be constrained".to_owned()),
    }
}

fn check_domain(domain: &str) -> Result<(), String> {
    if domain.contains('*') {
        return Err("has a wildcard; a domain holds what is below anyway".to_owned());
    }
    check(&GeneralName::Dns(domain.to_owned()))
}

/// Address and mask; the mask has ones before zeros, and the address nothing behind it.
fn check_network(octets: &[u8]) -> Result<(), String> {
    if !matches!(octets.len(), 8 | 32) {
        return Err(format!(
            "has an address and mask of {} octets instead of 8 or 32",
            octets.len()
        ));
    }
    let (address, mask) = octets.split_at(octets.len() / 2);
    let bits: Vec<bool> = mask
        .iter()
        .flat_map(|octet| (0..8).map(move |bit| octet & (0x80 >> bit) != 0))
        .collect();
    let contiguous = bits.is_sorted_by_key(|bit| !bit);
    let reaches_behind = address
        .iter()
        .zip(mask)
        .any(|(octet, mask)| octet & !mask != 0);
    if !contiguous || reaches_behind {
        return Err(
            "is no network: its mask has gaps, or its address reaches behind it".to_owned(),
        );
    }
    Ok(())
}

/// The policies that certificate policies assert.
fn asserted<'c, 'a>(candidate: &'c Candidate<'a>) -> impl Iterator<Item = &'a [u8]> + 'c {
    let policies = candidate.tbs.known.certificate_policies.iter().flatten();
    policies.map(|policy| policy.oid)
}
