//! Tests of `extension`.

use clm_domain::certificate_plan::{
    NameConstraints, NameSubtree, PlannedExtension, extended_key_usage,
};

use super::name_constraints::network_octets;
use super::*;
use crate::asn1::decode_oid;
use crate::plan_fixture::{Parts, issuing_plan, leaf_plan, name, root_plan};

/// The extensions of a leaf by type, in order, with their critical flags.
fn of_leaf(plan: &CertificatePlan) -> Vec<(String, bool, Vec<u8>)> {
    Parts::new(plan, &issuing_plan()).extensions
}

fn value(plan: &CertificatePlan, oid: ObjectIdentifier) -> Option<(bool, String)> {
    of_leaf(plan)
        .into_iter()
        .find(|(found, ..)| *found == oid.to_string())
        .map(|(_, critical, value)| (critical, hex::encode(value)))
}

fn other(oid: &str, value_der: &[u8]) -> PlannedExtension {
    PlannedExtension {
        oid: oid.parse().unwrap(),
        critical: true,
        value_der: value_der.to_vec(),
    }
}

fn refusal(spoil: impl FnOnce(&mut CertificatePlan)) -> String {
    let mut plan = leaf_plan();
    spoil(&mut plan);
    encode_all(&plan, &[1; 20], &[2; 20]).unwrap_err().field
}

#[test]
fn the_order_is_fixed() {
    let decided: Vec<String> = DECIDED_BY_FIELDS.iter().map(ToString::to_string).collect();
    for plan in [leaf_plan(), issuing_plan(), root_plan()] {
        let places: Vec<usize> = of_leaf(&plan)
            .iter()
            .map(|(oid, ..)| decided.iter().position(|one| one == oid).unwrap())
            .collect();
        assert!(places.is_sorted(), "{places:?}");
    }
}

#[test]
fn other_extensions_come_last_and_in_their_order() {
    let mut plan = leaf_plan();
    plan.other_extensions = vec![other("2.999.2", &[5, 0]), other("1.2.3", &[4, 0])];
    let extensions = of_leaf(&plan);
    let last: Vec<&str> = extensions
        .iter()
        .rev()
        .take(2)
        .map(|one| one.0.as_str())
        .collect();
    assert_eq!(last, ["1.2.3", "2.999.2"]);
    assert_eq!(extensions.last().unwrap().2, [4, 0]);
}

#[test]
fn extensions_with_fields_of_their_own_do_not_come_as_bytes() {
    for oid in DECIDED_BY_FIELDS {
        let oid = oid.to_string();
        assert!(is_decided_by_field(&oid.parse().unwrap()));
        let field = refusal(|plan| plan.other_extensions = vec![other(&oid, &[5, 0])]);
        assert_eq!(field, "other_extensions[0].oid");
    }
    assert!(!is_decided_by_field(&"2.5.29.9".parse().unwrap()));
}

#[test]
fn other_extensions_come_once_and_hold_one_element() {
    let twice = vec![other("1.2.3", &[5, 0]), other("1.2.3", &[5, 0])];
    assert_eq!(
        refusal(|plan| plan.other_extensions = twice),
        "other_extensions[1].oid"
    );
    for bad in [&[][..], &[5], &[5, 0, 5, 0], &[0x30, 0x80, 0, 0]] {
        let field = refusal(|plan| plan.other_extensions = vec![other("1.2.3", bad)]);
        assert_eq!(field, "other_extensions[0].value_der", "{bad:02x?}");
    }
}

#[test]
fn empty_fields_leave_their_extensions_out() {
    let mut plan = CertificatePlan::end_entity(
        leaf_plan().certificate_type,
        leaf_plan().subject_der,
        leaf_plan().subject_public_key_info,
        leaf_plan().key_algorithm,
        (leaf_plan().not_before, leaf_plan().not_after),
    );
    let types: Vec<String> = of_leaf(&plan).into_iter().map(|one| one.0).collect();
    assert_eq!(types, ["2.5.29.14", "2.5.29.35"]);
    plan.key_usage.decipher_only = true;
    let usage = value(&plan, ID_CE_KEY_USAGE).unwrap();
    assert_eq!(usage, (true, "0303070080".to_owned()));
}

#[test]
fn basic_constraints_leave_defaults_out() {
    let mut plan = leaf_plan();
    let mut encoded = |certificate_authority, path_length_max| {
        plan.basic_constraints = Some(BasicConstraints {
            certificate_authority,
            path_length_max,
        });
        value(&plan, ID_CE_BASIC_CONSTRAINTS).unwrap()
    };
    assert_eq!(encoded(false, None), (true, "3000".to_owned()));
    assert_eq!(encoded(true, None), (true, "30030101ff".to_owned()));
    assert_eq!(
        encoded(true, Some(0)),
        (true, "30060101ff020100".to_owned())
    );
    assert_eq!(
        encoded(true, Some(200)),
        (true, "30070101ff020200c8".to_owned())
    );
}

#[test]
fn alternative_names_are_critical_exactly_without_subject() {
    let mut plan = leaf_plan();
    assert!(!value(&plan, ID_CE_SUBJECT_ALT_NAME).unwrap().0);
    plan.subject_der = name(&[]);
    assert!(value(&plan, ID_CE_SUBJECT_ALT_NAME).unwrap().0);
}

#[test]
fn extended_key_usage_is_critical_for_time_stamping_only() {
    let mut plan = leaf_plan();
    assert!(!value(&plan, ID_CE_EXT_KEY_USAGE).unwrap().0);
    plan.extended_key_usage = vec![extended_key_usage::TIME_STAMPING.parse().unwrap()];
    let encoded = value(&plan, ID_CE_EXT_KEY_USAGE).unwrap();
    assert_eq!(encoded, (true, "300a06082b06010505070308".to_owned()));
}

#[test]
fn flags_and_features_have_the_bytes_of_their_standards() {
    let mut plan = leaf_plan();
    plan.tls_features = vec![5];
    plan.ocsp_no_check = true;
    // RFC 7633 appendix A.
    let features = value(&plan, ID_PE_TLS_FEATURE).unwrap();
    assert_eq!(features, (false, "3003020105".to_owned()));
    let no_check = value(&plan, ID_PKIX_OCSP_NOCHECK).unwrap();
    assert_eq!(no_check, (false, "0500".to_owned()));
}

#[test]
fn all_addresses_of_a_crl_stand_in_one_distribution_point() {
    let mut plan = leaf_plan();
    plan.crl_distribution_points = vec!["http://a".to_owned(), "http://b".to_owned()];
    let (critical, encoded) = value(&plan, ID_CE_CRL_DISTRIBUTION_POINTS).unwrap();
    assert!(!critical);
    let uris = "8608687474703a2f2f618608687474703a2f2f62";
    assert_eq!(encoded, format!("301a3018a016a014{uris}"));
}

#[test]
fn networks_are_written_as_address_and_mask() {
    let octets = |network: &str, prefix| network_octets(network.parse().unwrap(), prefix);
    assert_eq!(
        octets("192.0.2.0", 24),
        Some(vec![192, 0, 2, 0, 255, 255, 255, 0])
    );
    assert_eq!(octets("0.0.0.0", 0), Some(vec![0; 8]));
    assert_eq!(octets("::", 0), Some(vec![0; 32]));
    assert_eq!(
        octets("2001:db8::1", 128).map(|octets| octets.len()),
        Some(32)
    );
    assert_eq!(octets("192.0.2.1", 24), None);
    assert_eq!(octets("192.0.2.0", 33), None);
    assert_eq!(octets("2001:db8::", 129), None);
    let field = refusal(|plan| {
        plan.name_constraints = Some(NameConstraints {
            permitted: vec![NameSubtree::Dns("example.com".to_owned())],
            excluded: vec![NameSubtree::Ip("192.0.2.1".parse().unwrap(), 24)],
        });
    });
    assert_eq!(field, "name_constraints.excluded[0]");
}

#[test]
fn a_name_that_cannot_be_certified_is_refused() {
    let field = refusal(|plan| {
        plan.subject_alternative_names = vec![GeneralName::Dns("a b".to_owned())];
    });
    assert_eq!(field, "subject_alternative_names");
}

#[test]
fn object_identifiers_survive() {
    let mut plan = leaf_plan();
    let large = "2.18446744073709551615.18446744073709551615";
    plan.extended_key_usage = vec![large.parse().unwrap()];
    let (_, encoded) = value(&plan, ID_CE_EXT_KEY_USAGE).unwrap();
    let content = hex::decode(&encoded).unwrap()[4..].to_vec();
    assert_eq!(decode_oid(&content).unwrap().as_str(), large);
}
