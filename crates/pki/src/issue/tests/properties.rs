//! Any plan is either refused or issued as it says, and nothing panics.

use clm_domain::certificate_plan::{
    AuthorityInformationAccess, CertificatePolicy, KeyUsage, NameConstraints, NameSubtree,
    PolicyConstraints, PolicyMapping,
};
use clm_domain::general_name::GeneralName;
use clm_domain::oid::Oid;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::issue::to_be_signed::ToBeSigned;
use crate::plan_fixture::{Parts, name};
use crate::tbs_view::TbsView;

mod read_back;

use read_back::read_back;

const HOST: &str = "[a-z][a-z0-9]{0,10}\\.example\\.com";
const URI: &str = "http://[a-z]{1,10}\\.example\\.com/[a-z0-9]{0,10}";

fn an_oid() -> impl Strategy<Value = Oid> {
    "1\\.3\\.6\\.1\\.4\\.1\\.[1-9][0-9]{0,8}\\.[1-9][0-9]{0,3}"
        .prop_map(|text| text.parse().unwrap())
}

fn a_general_name() -> impl Strategy<Value = GeneralName> {
    prop_oneof![
        HOST.prop_map(GeneralName::Dns),
        HOST.prop_map(|host| GeneralName::Dns(format!("*.{host}"))),
        any::<[u8; 4]>().prop_map(|octets| GeneralName::Ip(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| GeneralName::Ip(octets.into())),
        URI.prop_map(GeneralName::Uri),
        HOST.prop_map(|host| GeneralName::Email(format!("mail@{host}"))),
        HOST.prop_map(|host| GeneralName::DirectoryName(name(&[("CN", &host)]))),
        (an_oid(), vec(any::<u8>(), 0..200)).prop_map(|(type_id, value)| {
            GeneralName::OtherName {
                type_id,
                value_der: encode(tag::OCTET_STRING, &value),
            }
        }),
        an_oid().prop_map(GeneralName::RegisteredId),
    ]
}

fn a_subtree() -> impl Strategy<Value = NameSubtree> {
    prop_oneof![
        HOST.prop_map(NameSubtree::Dns),
        HOST.prop_map(|host| NameSubtree::Email(format!(".{host}"))),
        HOST.prop_map(NameSubtree::Uri),
        (any::<u32>(), 0..=32_u8).prop_map(|(bits, prefix)| {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            NameSubtree::Ip(std::net::Ipv4Addr::from(bits & mask).into(), prefix)
        }),
        (any::<u128>(), 0..=128_u8).prop_map(|(bits, prefix)| {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            NameSubtree::Ip(std::net::Ipv6Addr::from(bits & mask).into(), prefix)
        }),
        HOST.prop_map(|host| NameSubtree::DirectoryName(name(&[("O", &host)]))),
    ]
}

fn a_policy() -> impl Strategy<Value = CertificatePolicy> {
    (an_oid(), vec(URI, 0..3), option::of("[a-zäöü ]{1,200}")).prop_map(
        |(policy_id, cps_uris, user_notice)| CertificatePolicy {
            policy_id,
            cps_uris,
            user_notice,
        },
    )
}

fn an_extension() -> impl Strategy<Value = PlannedExtension> {
    (an_oid(), any::<bool>(), vec(any::<u8>(), 0..300)).prop_map(|(oid, critical, value)| {
        PlannedExtension {
            oid,
            critical,
            value_der: encode(tag::OCTET_STRING, &value),
        }
    })
}

prop_compose! {
    fn some_pointers()(
        crl_distribution_points in vec(URI, 0..3),
        freshest_crl in vec(URI, 0..3),
        ocsp in vec(URI, 0..3),
        ca_issuers in vec(URI, 0..3),
    ) -> (Vec<String>, Vec<String>, AuthorityInformationAccess) {
        (crl_distribution_points, freshest_crl, AuthorityInformationAccess { ocsp, ca_issuers })
    }
}

prop_compose! {
    /// Mostly within the standards; a list may still hold a value twice, which is refused.
    fn a_leaf_plan()(
        subject in option::of(HOST),
        names in vec(a_general_name(), 1..120),
        issuer_names in vec(a_general_name(), 0..3),
        (start, length) in (-600_000_000_i64..7_000_000_000, 0..9_000_000_000_i64),
        usage_bits in any::<[bool; 2]>(),
        purposes in vec(an_oid(), 0..4),
        policies in vec(a_policy(), 0..4),
        (crls, deltas, access) in some_pointers(),
        tls_features in vec(any::<u16>(), 0..4),
        other_extensions in vec(an_extension(), 0..4),
    ) -> CertificatePlan {
        let mut plan = leaf_plan();
        plan.subject_der = subject.map_or_else(|| name(&[]), |host| name(&[("O", &host)]));
        plan.subject_alternative_names = names;
        plan.issuer_alternative_names = issuer_names;
        plan.not_before = DateTime::from_timestamp(start, 0).unwrap();
        plan.not_after = DateTime::from_timestamp(start + length, 0).unwrap();
        plan.key_usage.digital_signature = usage_bits[0];
        plan.key_usage.content_commitment = usage_bits[1];
        plan.extended_key_usage = purposes;
        plan.certificate_policies = policies;
        plan.crl_distribution_points = crls;
        plan.freshest_crl = deltas;
        plan.authority_information_access = access;
        plan.tls_features = tls_features;
        plan.other_extensions = other_extensions;
        plan
    }
}

prop_compose! {
    fn a_ca_plan()(
        path_length_max in option::of(any::<u8>()),
        permitted in vec(a_subtree(), 0..5),
        excluded in vec(a_subtree(), 0..5),
        policies in vec(a_policy(), 0..4),
        mapped in vec(an_oid(), 0..3),
        limits in any::<(Option<u32>, Option<u32>, Option<u32>)>(),
        repositories in vec(URI, 0..3),
    ) -> CertificatePlan {
        let mut plan = issuing_plan();
        plan.basic_constraints = Some(BasicConstraints {
            certificate_authority: true,
            path_length_max,
        });
        let constraints = NameConstraints { permitted, excluded };
        plan.name_constraints = (constraints != NameConstraints::default()).then_some(constraints);
        plan.policy_mappings = mapped
            .into_iter()
            .map(|oid| PolicyMapping {
                issuer_domain_policy: oid,
                subject_domain_policy: "1.2.3".parse().unwrap(),
            })
            .collect();
        plan.certificate_policies = policies;
        let (require_explicit_policy, inhibit_policy_mapping, inhibit_any_policy) = limits;
        plan.policy_constraints = require_explicit_policy.or(inhibit_policy_mapping).map(|_| {
            PolicyConstraints { require_explicit_policy, inhibit_policy_mapping }
        });
        plan.inhibit_any_policy = inhibit_any_policy;
        plan.subject_information_access = repositories;
        plan
    }
}

prop_compose! {
    /// Whatever bytes and texts fit into the types.
    fn a_wild_plan()(
        mut plan in prop_oneof![a_leaf_plan(), a_ca_plan()],
        subject_der in vec(any::<u8>(), 0..60),
        keep in any::<[bool; 6]>(),
        (dns, uri, email) in any::<(String, String, String)>(),
        key_usage in any::<[bool; 9]>(),
        years in any::<(i32, i32)>(),
        subtree in (any::<[u8; 16]>(), any::<u8>()),
        value_der in vec(any::<u8>(), 0..60),
    ) -> CertificatePlan {
        if !keep[0] { plan.subject_der = subject_der.clone(); }
        if !keep[1] { plan.subject_public_key_info = subject_der; }
        if !keep[2] {
            plan.subject_alternative_names = vec![
                GeneralName::Dns(dns.clone()),
                GeneralName::Uri(uri.clone()),
                GeneralName::Email(email),
                GeneralName::DirectoryName(value_der.clone()),
            ];
            plan.crl_distribution_points = vec![uri.clone()];
            plan.tls_features = vec![0, u16::MAX];
        }
        if !keep[3] {
            let [digital_signature, content_commitment, key_encipherment, data_encipherment,
                key_agreement, key_cert_sign, crl_sign, encipher_only, decipher_only] = key_usage;
            plan.key_usage = KeyUsage {
                digital_signature, content_commitment, key_encipherment, data_encipherment,
                key_agreement, key_cert_sign, crl_sign, encipher_only, decipher_only,
            };
        }
        if !keep[4] {
            let at = |year: i32| DateTime::from_timestamp(i64::from(year) * 3_000, 0);
            plan.not_before = at(years.0).unwrap();
            plan.not_after = at(years.1).unwrap();
        }
        if !keep[5] {
            plan.name_constraints = Some(NameConstraints {
                permitted: vec![NameSubtree::Ip(subtree.0.into(), subtree.1)],
                excluded: vec![
                    NameSubtree::Dns(dns),
                    NameSubtree::Uri(uri),
                    NameSubtree::DirectoryName(value_der.clone()),
                ],
            });
            plan.other_extensions = vec![PlannedExtension {
                oid: "2.5.29.9".parse().unwrap(),
                critical: true,
                value_der,
            }];
        }
        plan
    }
}

/// The errors among lints that random lists may rightly meet: a value that comes twice.
const TWICE: [&str; 4] = [
    "e_rfc5280_extended_key_usage_once",
    "e_rfc5280_certificate_policy_once",
    "e_rfc7633_tls_features",
    "e_rfc5280_extension_once",
];

/// The to-be-signed certificate, unless the plan holds something twice.
fn prepared(plan: &CertificatePlan, issuer: &CertificatePlan) -> Option<PreparedCertificate> {
    let mut issuer = identity(issuer);
    issuer.not_after = time("9999-12-31T23:59:59Z");
    match prepare(plan, &issuer, serial(1)) {
        Ok(prepared) => Some(prepared),
        Err(PrepareError::Lint(findings)) => {
            let errors = findings
                .iter()
                .filter(|one| one.severity == Severity::Error);
            for finding in errors {
                assert!(TWICE.contains(&finding.lint), "{finding}");
            }
            None
        }
        Err(PrepareError::Extension(error)) => {
            assert!(error.message.contains("twice"), "{error}");
            None
        }
        Err(other) => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_leaf_says_what_its_plan_says(plan in a_leaf_plan()) {
        if let Some(prepared) = prepared(&plan, &issuing_plan()) {
            let der = issue(prepared, &*ISSUING_KEY).unwrap().der;
            prop_assert_eq!(read_back(&der, &plan), plan);
        }
    }

    #[test]
    fn a_ca_says_what_its_plan_says(plan in a_ca_plan()) {
        if let Some(prepared) = prepared(&plan, &root_plan()) {
            let der = issue(prepared, &*ROOT_KEY).unwrap().der;
            prop_assert_eq!(read_back(&der, &plan), plan);
        }
    }

    #[test]
    fn encoding_what_was_read_gives_the_same_bytes(plan in a_leaf_plan()) {
        let first = Parts::new(&plan_without_twins(plan), &issuing_plan()).encode();
        let view = TbsView::parse(&first).unwrap();
        let validity = encode_validity(
            view.not_before.time.unwrap(),
            view.not_after.time.unwrap(),
        );
        let extensions = view.extensions().iter().map(|extension| {
            let critical: &[u8] = if extension.critical { &[1, 1, 0xFF] } else { &[] };
            let oid = encode(tag::OBJECT_IDENTIFIER, extension.oid);
            sequence(&[&oid, critical, &encode(tag::OCTET_STRING, extension.value)])
        });
        let second = ToBeSigned {
            serial: view.serial,
            signature_algorithm: view.signature_algorithm,
            issuer: view.issuer.raw,
            validity: &validity,
            subject: view.subject.raw,
            subject_public_key_info: view.subject_public_key_info,
            extensions: &encode(tag::SEQUENCE, &extensions.collect::<Vec<_>>().concat()),
        };
        prop_assert_eq!(second.encode(), first);
    }

    #[test]
    fn no_plan_panics(plan in a_wild_plan(), root in any::<bool>()) {
        let issuer = if root { root_plan() } else { issuing_plan() };
        if let Ok(prepared) = prepare(&plan, &identity(&issuer), serial(1)) {
            prop_assert!(issue(prepared, &*ISSUING_KEY).is_ok());
        }
    }
}

/// Drops extensions that come a second time, which have no encoding.
fn plan_without_twins(mut plan: CertificatePlan) -> CertificatePlan {
    let mut seen = std::collections::HashSet::new();
    plan.other_extensions
        .retain(|extension| seen.insert(extension.oid.clone()));
    plan
}
