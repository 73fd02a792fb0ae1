//! The plan that a certificate carries out, read by an independent parser where it can.

use std::net::IpAddr;

use clm_domain::certificate_plan::{
    AuthorityInformationAccess, BasicConstraints, CertificatePlan, CertificatePolicy, KeyUsage,
    NameConstraints, NameSubtree, PlannedExtension, PolicyConstraints, PolicyMapping,
};
use clm_domain::general_name::GeneralName;
use clm_domain::oid::Oid;
use x509_parser::extensions::{
    AccessDescription, CRLDistributionPoint, DistributionPointName, ExtendedKeyUsage,
    GeneralName as Parsed, GeneralSubtree, ParsedExtension, PolicyInformation,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::asn1::{Reader, decode_oid, small_unsigned, tag};

/// `certificate_type` and `key_algorithm`, which no certificate shows, come from `plan`.
pub(super) fn read_back(der: &[u8], plan: &CertificatePlan) -> CertificatePlan {
    let (rest, certificate) = X509Certificate::from_der(der).unwrap();
    assert!(rest.is_empty());
    let tbs = &certificate.tbs_certificate;
    let date = |seconds| chrono::DateTime::from_timestamp(seconds, 0).unwrap();
    let mut read = CertificatePlan::end_entity(
        plan.certificate_type,
        tbs.subject.as_raw().to_vec(),
        tbs.subject_pki.raw.to_vec(),
        plan.key_algorithm,
        (
            date(tbs.validity.not_before.timestamp()),
            date(tbs.validity.not_after.timestamp()),
        ),
    );
    for extension in tbs.extensions() {
        let oid = decode_oid(extension.oid.as_bytes()).unwrap();
        assert!(
            extension.parsed_extension().error().is_none(),
            "{oid} {:02x?}",
            extension.value
        );
        if !read_usage(&mut read, extension.parsed_extension())
            && !read_names_and_policies(&mut read, extension.parsed_extension())
            && !read_pointers(&mut read, extension.parsed_extension())
            && !read_unparsed(&mut read, &oid, extension.value)
        {
            read.other_extensions.push(PlannedExtension {
                oid,
                critical: extension.critical,
                value_der: extension.value.to_vec(),
            });
        }
    }
    read
}

fn read_usage(read: &mut CertificatePlan, extension: &ParsedExtension<'_>) -> bool {
    match extension {
        ParsedExtension::BasicConstraints(constraints) => {
            read.basic_constraints = Some(BasicConstraints {
                certificate_authority: constraints.ca,
                path_length_max: constraints
                    .path_len_constraint
                    .map(|length| u8::try_from(length).unwrap()),
            });
        }
        ParsedExtension::KeyUsage(usage) => {
            read.key_usage = KeyUsage {
                digital_signature: usage.digital_signature(),
                content_commitment: usage.non_repudiation(),
                key_encipherment: usage.key_encipherment(),
                data_encipherment: usage.data_encipherment(),
                key_agreement: usage.key_agreement(),
                key_cert_sign: usage.key_cert_sign(),
                crl_sign: usage.crl_sign(),
                encipher_only: usage.encipher_only(),
                decipher_only: usage.decipher_only(),
            };
        }
        // The generated purposes are none that the parser knows by name.
        ParsedExtension::ExtendedKeyUsage(ExtendedKeyUsage { other, .. }) => {
            read.extended_key_usage = other.iter().map(oid).collect();
        }
        ParsedExtension::SubjectKeyIdentifier(_) | ParsedExtension::AuthorityKeyIdentifier(_) => {}
        _ => return false,
    }
    true
}

fn read_names_and_policies(read: &mut CertificatePlan, extension: &ParsedExtension<'_>) -> bool {
    match extension {
        ParsedExtension::SubjectAlternativeName(names) => {
            read.subject_alternative_names = names.general_names.iter().map(name).collect();
        }
        ParsedExtension::IssuerAlternativeName(names) => {
            read.issuer_alternative_names = names.general_names.iter().map(name).collect();
        }
        ParsedExtension::CertificatePolicies(policies) => {
            read.certificate_policies = policies.iter().map(policy).collect();
        }
        ParsedExtension::PolicyMappings(mappings) => {
            read.policy_mappings = mappings
                .mappings
                .iter()
                .map(|mapping| PolicyMapping {
                    issuer_domain_policy: oid(&mapping.issuer_domain_policy),
                    subject_domain_policy: oid(&mapping.subject_domain_policy),
                })
                .collect();
        }
        ParsedExtension::NameConstraints(constraints) => {
            read.name_constraints = Some(NameConstraints {
                permitted: subtrees(constraints.permitted_subtrees.as_deref()),
                excluded: subtrees(constraints.excluded_subtrees.as_deref()),
            });
        }
        ParsedExtension::PolicyConstraints(constraints) => {
            read.policy_constraints = Some(PolicyConstraints {
                require_explicit_policy: constraints.require_explicit_policy,
                inhibit_policy_mapping: constraints.inhibit_policy_mapping,
            });
        }
        ParsedExtension::InhibitAnyPolicy(inhibit) => {
            read.inhibit_any_policy = Some(inhibit.skip_certs);
        }
        _ => return false,
    }
    true
}

fn read_pointers(read: &mut CertificatePlan, extension: &ParsedExtension<'_>) -> bool {
    match extension {
        ParsedExtension::CRLDistributionPoints(points) => {
            read.crl_distribution_points = points.iter().flat_map(distribution_uris).collect();
        }
        ParsedExtension::AuthorityInfoAccess(access) => {
            read.authority_information_access = AuthorityInformationAccess {
                ocsp: access_uris(&access.accessdescs, "1.3.6.1.5.5.7.48.1"),
                ca_issuers: access_uris(&access.accessdescs, "1.3.6.1.5.5.7.48.2"),
            };
        }
        ParsedExtension::SubjectInfoAccess(access) => {
            read.subject_information_access =
                access_uris(&access.accessdescs, "1.3.6.1.5.5.7.48.5");
        }
        _ => return false,
    }
    true
}

/// Extensions that the parser does not know.
fn read_unparsed(read: &mut CertificatePlan, oid: &Oid, value: &[u8]) -> bool {
    match oid.as_str() {
        "2.5.29.46" => {
            use x509_parser::extensions::CRLDistributionPoints;
            let (_, points) = CRLDistributionPoints::from_der(value).unwrap();
            read.freshest_crl = points.iter().flat_map(distribution_uris).collect();
        }
        "1.3.6.1.5.5.7.1.24" => {
            let mut reader = crate::asn1::single(value, tag::SEQUENCE).unwrap().reader();
            while !reader.is_finished() {
                let number = small_unsigned(&reader.expect(tag::INTEGER).unwrap()).unwrap();
                read.tls_features.push(u16::try_from(number).unwrap());
            }
        }
        "1.3.6.1.5.5.7.48.1.5" => {
            assert_eq!(value, [5, 0]);
            read.ocsp_no_check = true;
        }
        _ => return false,
    }
    true
}

fn oid(parsed: &x509_parser::der_parser::oid::Oid<'_>) -> Oid {
    parsed.to_id_string().parse().unwrap()
}

fn name(parsed: &Parsed<'_>) -> GeneralName {
    match parsed {
        Parsed::DNSName(text) => GeneralName::Dns((*text).to_owned()),
        Parsed::URI(text) => GeneralName::Uri((*text).to_owned()),
        Parsed::RFC822Name(text) => GeneralName::Email((*text).to_owned()),
        Parsed::IPAddress(octets) => GeneralName::Ip(address(octets)),
        Parsed::DirectoryName(name) => GeneralName::DirectoryName(name.as_raw().to_vec()),
        Parsed::RegisteredID(id) => GeneralName::RegisteredId(oid(id)),
        Parsed::OtherName(type_id, value) => GeneralName::OtherName {
            type_id: oid(type_id),
            value_der: Reader::new(value).any().unwrap().value.to_vec(),
        },
        other => panic!("{other:?}"),
    }
}

fn address(octets: &[u8]) -> IpAddr {
    match <[u8; 4]>::try_from(octets) {
        Ok(octets) => octets.into(),
        Err(_) => <[u8; 16]>::try_from(octets).unwrap().into(),
    }
}

fn subtrees(parsed: Option<&[GeneralSubtree<'_>]>) -> Vec<NameSubtree> {
    let subtrees = parsed.unwrap_or_default().iter();
    subtrees.map(|subtree| base(&subtree.base)).collect()
}

fn base(parsed: &Parsed<'_>) -> NameSubtree {
    match parsed {
        Parsed::DNSName(text) => NameSubtree::Dns((*text).to_owned()),
        Parsed::URI(text) => NameSubtree::Uri((*text).to_owned()),
        Parsed::RFC822Name(text) => NameSubtree::Email((*text).to_owned()),
        Parsed::DirectoryName(name) => NameSubtree::DirectoryName(name.as_raw().to_vec()),
        Parsed::IPAddress(octets) => {
            let (octets, mask) = octets.split_at(octets.len() / 2);
            let prefix: u32 = mask.iter().map(|octet| octet.count_ones()).sum();
            NameSubtree::Ip(address(octets), u8::try_from(prefix).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

fn policy(parsed: &PolicyInformation<'_>) -> CertificatePolicy {
    let mut policy = CertificatePolicy {
        policy_id: oid(&parsed.policy_id),
        cps_uris: Vec::new(),
        user_notice: None,
    };
    for qualifier in parsed.policy_qualifiers.iter().flatten() {
        let value = Reader::new(qualifier.qualifier).any().unwrap();
        match oid(&qualifier.policy_qualifier_id).as_str() {
            "1.3.6.1.5.5.7.2.1" => policy.cps_uris.push(text(value.value)),
            "1.3.6.1.5.5.7.2.2" => {
                let explicit = value.reader().expect(tag::UTF8_STRING).unwrap();
                policy.user_notice = Some(text(explicit.value));
            }
            other => panic!("{other}"),
        }
    }
    policy
}

fn distribution_uris(point: &CRLDistributionPoint<'_>) -> Vec<String> {
    match &point.distribution_point {
        Some(DistributionPointName::FullName(names)) => names.iter().map(uri).collect(),
        other => panic!("{other:?}"),
    }
}

fn access_uris(descriptions: &[AccessDescription<'_>], method: &str) -> Vec<String> {
    descriptions
        .iter()
        .filter(|description| oid(&description.access_method).as_str() == method)
        .map(|description| uri(&description.access_location))
        .collect()
}

fn uri(parsed: &Parsed<'_>) -> String {
    match parsed {
        Parsed::URI(text) => (*text).to_owned(),
        other => panic!("{other:?}"),
    }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}
