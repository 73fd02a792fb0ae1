//! For each lint, a good certificate and what spoils it.

use super::*;

type Case = (&'static str, Good, fn(&mut Parts));

const KEY_USAGE: &str = "2.5.29.15";
const SUBJECT_ALT_NAME: &str = "2.5.29.17";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const NAME_CONSTRAINTS: &str = "2.5.29.30";
const CRL_DISTRIBUTION_POINTS: &str = "2.5.29.31";
const CERTIFICATE_POLICIES: &str = "2.5.29.32";
const POLICY_MAPPINGS: &str = "2.5.29.33";
const AUTHORITY_KEY_IDENTIFIER: &str = "2.5.29.35";
const POLICY_CONSTRAINTS: &str = "2.5.29.36";
const EXT_KEY_USAGE: &str = "2.5.29.37";
const SUBJECT_KEY_IDENTIFIER: &str = "2.5.29.14";
const AUTHORITY_INFO_ACCESS: &str = "1.3.6.1.5.5.7.1.1";
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
const OCSP_NO_CHECK: &str = "1.3.6.1.5.5.7.48.1.5";

const NAME: u8 = 0x0C;
const EMPTY: &[u8] = &[0x30, 0];

pub(super) const CASES: &[Case] = &[
    // encoding
    ("e_x690_der", Good::Leaf, |parts| {
        parts.set("1.2.3", &[0x30, 0x80, 0, 0]);
    }),
    ("e_x690_default_value_left_out", Good::Leaf, |parts| {
        parts.set(BASIC_CONSTRAINTS, &[0x30, 3, 1, 1, 0]);
    }),
    ("w_x690_set_sorted", Good::Leaf, |parts| {
        let set = [
            attribute("2.5.4.10", NAME, b"OO"),
            attribute("2.5.4.3", NAME, b"CN"),
        ]
        .concat();
        parts.subject = sequence(&[&encode(tag::SET, &set)]);
    }),
    ("e_rfc5280_version_3", Good::Leaf, |parts| parts.version = 1),
    ("e_rfc5280_unique_identifiers_absent", Good::Leaf, |parts| {
        parts.subject_public_key_info.extend([0x81, 2, 0, 1]);
    }),
    ("e_rfc5280_extensions_present", Good::Leaf, |parts| {
        parts.extensions.clear()
    }),
    ("e_rfc5280_extension_once", Good::Leaf, |parts| {
        let first = parts.extensions[0].clone();
        parts.extensions.push(first);
    }),
    ("e_rfc5280_extension_well_formed", Good::Leaf, |parts| {
        parts.set(KEY_USAGE, &[3, 3, 0, 0x80, 0]);
    }),
    (
        "e_rfc5280_signature_algorithm_encoding",
        Good::Leaf,
        |parts| {
            // ecdsa-with-SHA256 with NULL, which RFC 5758 §3.2 forbids.
            parts.signature_algorithm = sequence(&[&oid("1.2.840.10045.4.3.2"), &[5, 0]]);
        },
    ),
    ("e_rfc5280_signature_algorithm_equal", Good::Leaf, |parts| {
        parts.signature_algorithm = sequence(&[&oid("1.2.840.10045.4.3.3")]);
    }),
    // serial
    ("e_rfc5280_serial_positive", Good::Leaf, |parts| {
        parts.serial[0] = 0x80
    }),
    ("e_rfc5280_serial_at_most_20_octets", Good::Leaf, |parts| {
        parts.serial = vec![1; 21]
    }),
    ("e_x690_serial_shortest_form", Good::Leaf, |parts| {
        parts.serial.insert(0, 0)
    }),
    ("e_cabf_serial_at_least_64_bits", Good::Leaf, |parts| {
        parts.serial = vec![0x7F; 8]
    }),
    // validity
    ("e_rfc5280_validity_order", Good::Leaf, |parts| {
        parts.validity = validity(b"270101000000Z", b"261231235959Z");
    }),
    ("e_rfc5280_time_type", Good::Leaf, |parts| {
        parts.validity = sequence(&[
            &encode(0x17, b"261101000000Z"),
            &encode(0x18, b"20270101000000Z"),
        ]);
    }),
    ("e_rfc5280_time_format", Good::Leaf, |parts| {
        parts.validity = validity(b"2611010000Z", b"270230000000Z");
    }),
    ("w_rfc5280_validity_end_defined", Good::Leaf, |parts| {
        parts.validity = sequence(&[
            &encode(0x17, b"261101000000Z"),
            &encode(0x18, b"99991231235959Z"),
        ]);
    }),
    // distinguished names
    ("e_rfc5280_issuer_not_empty", Good::Leaf, |parts| {
        parts.issuer = EMPTY.to_vec()
    }),
    ("e_rfc5280_relative_name_not_empty", Good::Leaf, |parts| {
        parts.subject = sequence(&[&[tag::SET, 0]]);
    }),
    ("e_x501_relative_name_types_differ", Good::Leaf, |parts| {
        let set = [
            attribute("2.5.4.3", NAME, b"a"),
            attribute("2.5.4.3", NAME, b"b"),
        ]
        .concat();
        parts.subject = sequence(&[&encode(tag::SET, &set)]);
    }),
    ("e_rfc5280_attribute_string_type", Good::Leaf, |parts| {
        parts.subject = one_attribute("2.5.4.6", NAME, b"DE");
    }),
    (
        "w_rfc5280_attribute_string_type_outdated",
        Good::Leaf,
        |parts| {
            parts.subject = one_attribute("2.5.4.10", tag::BMP_STRING, b"\0O");
        },
    ),
    ("e_rfc5280_attribute_text", Good::Leaf, |parts| {
        parts.subject = one_attribute("2.5.4.10", tag::PRINTABLE_STRING, b"a@b");
    }),
    ("e_rfc5280_attribute_not_empty", Good::Leaf, |parts| {
        parts.subject = one_attribute("2.5.4.10", NAME, b"");
    }),
    ("e_rfc5280_attribute_upper_bound", Good::Leaf, |parts| {
        parts.subject = one_attribute("2.5.4.3", NAME, &[b'x'; 65]);
    }),
    ("e_rfc5280_country_name", Good::Leaf, |parts| {
        parts.subject = one_attribute("2.5.4.6", tag::PRINTABLE_STRING, b"D1");
    }),
    (
        "e_unicode_attribute_control_character",
        Good::Leaf,
        |parts| {
            parts.subject = one_attribute("2.5.4.3", NAME, b"www.example.com\0.evil.example");
        },
    ),
    // public key
    ("e_rfc5480_public_key_algorithm", Good::Leaf, |parts| {
        // id-ecPublicKey with secp256k1.
        let algorithm = sequence(&[&oid("1.2.840.10045.2.1"), &oid("1.3.132.0.10")]);
        parts.subject_public_key_info = sequence(&[&algorithm, &encode(tag::BIT_STRING, &[0; 66])]);
    }),
    ("e_rfc5480_public_key_encoding", Good::Leaf, |parts| {
        // The point is compressed.
        let mut key = vec![0, 2];
        key.extend([7; 32]);
        let algorithm = sequence(&[&oid("1.2.840.10045.2.1"), &oid("1.2.840.10045.3.1.7")]);
        parts.subject_public_key_info = sequence(&[&algorithm, &encode(tag::BIT_STRING, &key)]);
    }),
    ("e_cabf_rsa_key", Good::RsaLeaf, |parts| {
        // 1024 bits and exponent 3.
        let modulus = encode(tag::INTEGER, &[0x7F; 128]);
        let key = [&[0][..], &sequence(&[&modulus, &[2, 1, 3]])].concat();
        let algorithm = sequence(&[&oid("1.2.840.113549.1.1.1"), &[5, 0]]);
        parts.subject_public_key_info = sequence(&[&algorithm, &encode(tag::BIT_STRING, &key)]);
    }),
    // criticality
    (
        "e_rfc5280_extension_must_be_critical",
        Good::Issuing,
        |parts| {
            parts.set_critical(BASIC_CONSTRAINTS, false);
        },
    ),
    (
        "e_rfc5280_extension_must_not_be_critical",
        Good::Leaf,
        |parts| {
            parts.set_critical(AUTHORITY_INFO_ACCESS, true);
        },
    ),
    (
        "w_rfc5280_extension_should_be_critical",
        Good::Leaf,
        |parts| {
            parts.set_critical(KEY_USAGE, false);
        },
    ),
    (
        "w_rfc5280_extension_should_not_be_critical",
        Good::Leaf,
        |parts| {
            parts.set_critical(SUBJECT_ALT_NAME, true);
        },
    ),
    // certificate authority
    ("e_rfc5280_ca_has_key_cert_sign", Good::Issuing, |parts| {
        parts.set(KEY_USAGE, &[3, 2, 1, 0x02]);
    }),
    ("e_rfc5280_key_cert_sign_only_in_ca", Good::Leaf, |parts| {
        parts.set(KEY_USAGE, &[3, 2, 2, 0x84]);
    }),
    ("e_rfc5280_path_length_only_in_ca", Good::Leaf, |parts| {
        parts.set(BASIC_CONSTRAINTS, &[0x30, 3, 2, 1, 0]);
    }),
    ("e_rfc5280_ca_subject_not_empty", Good::Issuing, |parts| {
        parts.subject = EMPTY.to_vec()
    }),
    (
        "e_rfc5280_name_constraints_only_in_ca",
        Good::Leaf,
        |parts| {
            parts.set(NAME_CONSTRAINTS, &permitted(0x82, b"example.com"));
        },
    ),
    ("e_rfc5280_policy_limits_only_in_ca", Good::Leaf, |parts| {
        parts.set(POLICY_CONSTRAINTS, &[0x30, 3, 0x80, 1, 0]);
    }),
    // key usage
    ("e_rfc5280_key_usage_not_zero", Good::Leaf, |parts| {
        parts.set(KEY_USAGE, &[3, 1, 0])
    }),
    ("w_rfc5280_key_agreement_direction", Good::Leaf, |parts| {
        parts.set(KEY_USAGE, &[3, 2, 0, 0x81]);
    }),
    ("e_rfc8813_key_usage_fits_key", Good::Leaf, |parts| {
        parts.set(KEY_USAGE, &[3, 2, 5, 0xA0]);
    }),
    (
        "e_rfc5280_extended_key_usage_not_empty",
        Good::Leaf,
        |parts| {
            parts.set(EXT_KEY_USAGE, EMPTY);
        },
    ),
    ("e_rfc5280_extended_key_usage_once", Good::Leaf, |parts| {
        let purpose = oid(extended_key_usage::SERVER_AUTH);
        parts.set(EXT_KEY_USAGE, &sequence(&[&purpose, &purpose]));
    }),
    ("e_cabf_extended_key_usage_not_any", Good::Leaf, |parts| {
        parts.set(EXT_KEY_USAGE, &sequence(&[&oid(extended_key_usage::ANY)]));
    }),
    (
        "e_rfc5280_extended_key_usage_fits_key_usage",
        Good::Leaf,
        |parts| {
            parts.set(KEY_USAGE, &[3, 2, 6, 0x40]);
        },
    ),
    (
        "e_rfc3161_time_stamping_alone_and_critical",
        Good::TimeStamping,
        |parts| {
            parts.set_critical(EXT_KEY_USAGE, false);
        },
    ),
    (
        "e_rfc6960_no_check_only_for_ocsp_signing",
        Good::Leaf,
        |parts| {
            parts.set(OCSP_NO_CHECK, &[5, 0]);
        },
    ),
    // key identifiers
    (
        "e_rfc5280_ca_subject_key_identifier_present",
        Good::Issuing,
        |parts| {
            parts.remove(SUBJECT_KEY_IDENTIFIER);
        },
    ),
    (
        "w_rfc5280_subject_key_identifier_present",
        Good::Leaf,
        |parts| {
            parts.remove(SUBJECT_KEY_IDENTIFIER);
        },
    ),
    (
        "e_rfc7093_subject_key_identifier_of_key",
        Good::Leaf,
        |parts| {
            let foreign = subject_key_identifier(RSA.subject_public_key_info()).unwrap();
            parts.set(SUBJECT_KEY_IDENTIFIER, &encode(tag::OCTET_STRING, &foreign));
        },
    ),
    (
        "e_rfc5280_authority_key_identifier_present",
        Good::Leaf,
        |parts| {
            parts.remove(AUTHORITY_KEY_IDENTIFIER);
        },
    ),
    (
        "e_rfc5280_authority_key_identifier_of_issuer",
        Good::Leaf,
        |parts| {
            parts.set(
                AUTHORITY_KEY_IDENTIFIER,
                &sequence(&[&encode(0x80, &[9; 20])]),
            );
        },
    ),
    (
        "e_rfc5280_authority_certificate_whole",
        Good::Leaf,
        |parts| {
            parts.set(AUTHORITY_KEY_IDENTIFIER, &sequence(&[&encode(0x82, &[9])]));
        },
    ),
    // alternative names
    (
        "e_rfc5280_subject_or_critical_names",
        Good::EmptySubject,
        |parts| {
            parts.set_critical(SUBJECT_ALT_NAME, false);
        },
    ),
    (
        "e_rfc5280_alternative_names_not_empty",
        Good::Leaf,
        |parts| {
            parts.set(SUBJECT_ALT_NAME, EMPTY);
        },
    ),
    ("e_rfc5280_alternative_name_form", Good::Leaf, |parts| {
        names(parts, 0xA3, &[])
    }),
    ("e_rfc1034_dns_name", Good::Leaf, |parts| {
        names(parts, 0x82, b"under_score.example.com")
    }),
    ("e_rfc5280_ip_address", Good::Leaf, |parts| {
        names(parts, 0x87, &[192, 0, 2])
    }),
    ("e_rfc3986_uri", Good::Leaf, |parts| {
        names(parts, 0x86, b"/relative")
    }),
    ("e_rfc5321_mailbox", Good::Leaf, |parts| {
        names(parts, 0x81, b"nobody")
    }),
    ("e_rfc5280_directory_name", Good::Leaf, |parts| {
        names(parts, 0xA4, EMPTY)
    }),
    ("e_rfc5280_other_name", Good::Leaf, |parts| {
        names(parts, 0xA0, &oid("1.2.3"))
    }),
    (
        "w_rfc5280_subject_alternative_name_once",
        Good::Leaf,
        |parts| {
            let dns = encode(0x82, b"www.example.com");
            parts.set(SUBJECT_ALT_NAME, &sequence(&[&dns, &dns]));
        },
    ),
    (
        "e_rfc5280_subject_mailbox_among_names",
        Good::Leaf,
        |parts| {
            parts.subject =
                one_attribute("1.2.840.113549.1.9.1", tag::IA5_STRING, b"a@example.com");
        },
    ),
    ("w_cabf_common_name_among_names", Good::Leaf, |parts| {
        parts.subject = one_attribute("2.5.4.3", NAME, b"other.example.com");
    }),
    // policies and name constraints
    (
        "e_rfc5280_certificate_policies_not_empty",
        Good::Leaf,
        |parts| {
            parts.set(CERTIFICATE_POLICIES, EMPTY);
        },
    ),
    ("e_rfc5280_certificate_policy_once", Good::Leaf, |parts| {
        let policy = sequence(&[&oid("1.2.3")]);
        parts.set(CERTIFICATE_POLICIES, &sequence(&[&policy, &policy]));
    }),
    ("e_rfc5280_policy_qualifier", Good::Leaf, |parts| {
        let qualifier = sequence(&[
            &oid("1.3.6.1.5.5.7.2.1"),
            &encode(NAME, b"https://a.example/"),
        ]);
        policy(parts, &qualifier);
    }),
    ("e_rfc5280_explicit_text", Good::Leaf, |parts| {
        let notice = sequence(&[&encode(NAME, &[b'x'; 201])]);
        policy(parts, &sequence(&[&oid("1.3.6.1.5.5.7.2.2"), &notice]));
    }),
    (
        "e_rfc5280_policy_mappings_not_empty",
        Good::Issuing,
        |parts| {
            parts.set(POLICY_MAPPINGS, EMPTY);
        },
    ),
    ("e_rfc5280_policy_mapping_not_any", Good::Issuing, |parts| {
        let mapping = sequence(&[&oid("2.5.29.32.0"), &oid("1.2.3")]);
        parts.set(POLICY_MAPPINGS, &sequence(&[&mapping]));
    }),
    ("w_rfc5280_mapped_policy_asserted", Good::Issuing, |parts| {
        let mapping = sequence(&[&oid("1.2.3.4"), &oid("1.2.3")]);
        parts.set(POLICY_MAPPINGS, &sequence(&[&mapping]));
    }),
    (
        "e_rfc5280_policy_constraints_not_empty",
        Good::Issuing,
        |parts| {
            parts.set(POLICY_CONSTRAINTS, EMPTY);
        },
    ),
    (
        "e_rfc5280_name_constraints_not_empty",
        Good::Issuing,
        |parts| {
            parts.set(NAME_CONSTRAINTS, EMPTY);
        },
    ),
    (
        "e_rfc5280_name_constraints_distances",
        Good::Issuing,
        |parts| {
            let subtree = sequence(&[&encode(0x82, b"example.com"), &[0x80, 1, 1]]);
            parts.set(NAME_CONSTRAINTS, &sequence(&[&encode(0xA0, &subtree)]));
        },
    ),
    (
        "e_rfc5280_name_constraints_subtree",
        Good::Issuing,
        |parts| {
            parts.set(
                NAME_CONSTRAINTS,
                &permitted(0x87, &[192, 0, 2, 0, 255, 0, 255, 0]),
            );
        },
    ),
    // pointers
    ("e_rfc5280_pointers_not_empty", Good::Leaf, |parts| {
        parts.set(AUTHORITY_INFO_ACCESS, EMPTY);
    }),
    (
        "e_rfc5280_distribution_point_located",
        Good::Leaf,
        |parts| {
            let reasons_only = sequence(&[&[0x81, 2, 6, 0x40]]);
            parts.set(CRL_DISTRIBUTION_POINTS, &sequence(&[&reasons_only]));
        },
    ),
    ("e_rfc5280_distribution_point_uri", Good::Leaf, |parts| {
        distribution_point(parts, b"ftp://a.example/crl");
    }),
    ("e_rfc5280_access_location_uri", Good::Leaf, |parts| {
        let description = sequence(&[&oid("1.3.6.1.5.5.7.48.1"), &encode(0x82, b"a.example")]);
        parts.set(AUTHORITY_INFO_ACCESS, &sequence(&[&description]));
    }),
    (
        "w_rfc5280_revocation_pointer_without_tls",
        Good::Leaf,
        |parts| {
            distribution_point(parts, b"https://a.example/crl");
        },
    ),
    ("e_rfc7633_tls_features", Good::Leaf, |parts| {
        parts.set(TLS_FEATURE, &[0x30, 6, 2, 1, 5, 2, 1, 5]);
    }),
];

fn attribute(kind: &str, string_tag: u8, value: &[u8]) -> Vec<u8> {
    sequence(&[&oid(kind), &encode(string_tag, value)])
}

fn one_attribute(kind: &str, string_tag: u8, value: &[u8]) -> Vec<u8> {
    sequence(&[&encode(tag::SET, &attribute(kind, string_tag, value))])
}

fn validity(not_before: &[u8], not_after: &[u8]) -> Vec<u8> {
    sequence(&[&encode(0x17, not_before), &encode(0x17, not_after)])
}

/// Subject alternative names of one name.
fn names(parts: &mut Parts, form: u8, value: &[u8]) {
    parts.set(SUBJECT_ALT_NAME, &sequence(&[&encode(form, value)]));
}

/// Certificate policies of one policy with one qualifier.
fn policy(parts: &mut Parts, qualifier: &[u8]) {
    let policy = sequence(&[&oid("1.2.3"), &sequence(&[qualifier])]);
    parts.set(CERTIFICATE_POLICIES, &sequence(&[&policy]));
}

/// Name constraints that permit one subtree.
fn permitted(form: u8, base: &[u8]) -> Vec<u8> {
    let subtree = sequence(&[&encode(form, base)]);
    sequence(&[&encode(0xA0, &subtree)])
}

fn distribution_point(parts: &mut Parts, uri: &[u8]) {
    let name = encode(0xA0, &encode(0xA0, &encode(0x86, uri)));
    parts.set(CRL_DISTRIBUTION_POINTS, &sequence(&[&sequence(&[&name])]));
}
