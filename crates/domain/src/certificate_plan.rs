//! [`CertificatePlan`]: everything that a certificate will say, except issuer name, authority key
//! identifier, serial number and signature, which only the Secure Service adds.
//!
//! Policy judges exactly this value. Outside bytes (subject, public key, directory names) are kept
//! as they came and never re-encoded.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::general_name::GeneralName;
use crate::key_algorithm::KeyAlgorithm;
use crate::oid::Oid;
use crate::states::CertificateType;

/// The plan of one certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificatePlan {
    /// What the certificate is for.
    pub certificate_type: CertificateType,
    /// DER of the subject `Name`; may be an empty sequence.
    #[serde(with = "serde_bytes")]
    pub subject_der: Vec<u8>,
    /// DER of the `SubjectPublicKeyInfo`.
    #[serde(with = "serde_bytes")]
    pub subject_public_key_info: Vec<u8>,
    /// The algorithm of that key.
    pub key_algorithm: KeyAlgorithm,
    /// Start of validity, whole seconds.
    pub not_before: DateTime<Utc>,
    /// End of validity, whole seconds, inclusive (RFC 5280 §4.1.2.5).
    pub not_after: DateTime<Utc>,
    /// RFC 5280 §4.2.1.9; `None` leaves the extension out.
    pub basic_constraints: Option<BasicConstraints>,
    /// RFC 5280 §4.2.1.3; always critical.
    pub key_usage: KeyUsage,
    /// RFC 5280 §4.2.1.12; empty leaves the extension out.
    pub extended_key_usage: Vec<Oid>,
    /// RFC 5280 §4.2.1.6; empty leaves the extension out. Critical when the subject is empty.
    pub subject_alternative_names: Vec<GeneralName>,
    /// RFC 5280 §4.2.1.4; empty leaves the extension out.
    pub certificate_policies: Vec<CertificatePolicy>,
    /// RFC 5280 §4.2.1.10; only in CA certificates.
    pub name_constraints: Option<NameConstraints>,
    /// RFC 5280 §4.2.1.11; only in CA certificates.
    pub policy_constraints: Option<PolicyConstraints>,
    /// RFC 5280 §4.2.1.14 `SkipCerts`; only in CA certificates.
    pub inhibit_any_policy: Option<u32>,
    /// RFC 5280 §4.2.1.5; only in CA certificates.
    pub policy_mappings: Vec<PolicyMapping>,
    /// RFC 5280 §4.2.1.7; empty leaves the extension out.
    pub issuer_alternative_names: Vec<GeneralName>,
    /// RFC 5280 §4.2.1.13: URIs of full CRLs; empty leaves the extension out.
    pub crl_distribution_points: Vec<String>,
    /// RFC 5280 §4.2.1.15: URIs of delta CRLs; empty leaves the extension out.
    pub freshest_crl: Vec<String>,
    /// RFC 5280 §4.2.2.1.
    pub authority_information_access: AuthorityInformationAccess,
    /// RFC 5280 §4.2.2.2: `caRepository` URIs; empty leaves the extension out.
    pub subject_information_access: Vec<String>,
    /// RFC 7633 TLS feature numbers, such as 5 for OCSP must-staple.
    pub tls_features: Vec<u16>,
    /// RFC 6960 §4.2.2.2.1 `id-pkix-ocsp-nocheck`.
    pub ocsp_no_check: bool,
    /// Further extensions that a profile names, in DER.
    pub other_extensions: Vec<PlannedExtension>,
}

/// RFC 5280 §4.2.1.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasicConstraints {
    /// Whether the subject is a CA.
    pub certificate_authority: bool,
    /// How many CAs may follow below; only with `certificate_authority`.
    pub path_length_max: Option<u8>,
}

/// RFC 5280 §4.2.1.3, bit by bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the standard's nine bits, each with its name"
)]
pub struct KeyUsage {
    /// Bit 0.
    pub digital_signature: bool,
    /// Bit 1, also called nonRepudiation.
    pub content_commitment: bool,
    /// Bit 2.
    pub key_encipherment: bool,
    /// Bit 3.
    pub data_encipherment: bool,
    /// Bit 4.
    pub key_agreement: bool,
    /// Bit 5.
    pub key_cert_sign: bool,
    /// Bit 6.
    pub crl_sign: bool,
    /// Bit 7.
    pub encipher_only: bool,
    /// Bit 8.
    pub decipher_only: bool,
}

/// RFC 5280 §4.2.1.4 `PolicyInformation` with the two qualifiers that the standard defines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificatePolicy {
    /// The policy.
    pub policy_id: Oid,
    /// `id-qt-cps`: where the certification practice statement stands.
    pub cps_uris: Vec<String>,
    /// `id-qt-unotice`: explicit text, at most 200 characters.
    pub user_notice: Option<String>,
}

/// RFC 5280 §4.2.1.5.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyMapping {
    /// The issuer's policy.
    pub issuer_domain_policy: Oid,
    /// The subject's policy that counts as equal.
    pub subject_domain_policy: Oid,
}

/// RFC 5280 §4.2.1.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyConstraints {
    /// After so many certificates an explicit policy is required.
    pub require_explicit_policy: Option<u32>,
    /// After so many certificates mapping is forbidden.
    pub inhibit_policy_mapping: Option<u32>,
}

/// RFC 5280 §4.2.1.10.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameConstraints {
    /// Only names within these, per form.
    pub permitted: Vec<NameSubtree>,
    /// Never names within these.
    pub excluded: Vec<NameSubtree>,
}

/// One subtree of RFC 5280 §4.2.1.10, whose form differs from that of a name only for addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type", content = "value")]
pub enum NameSubtree {
    /// A DNS domain and everything below.
    Dns(String),
    /// A host, `.domain`, or mailbox.
    Email(String),
    /// A host or `.domain` of URIs.
    Uri(String),
    /// A network as address and prefix length.
    Ip(std::net::IpAddr, u8),
    /// DER of a `Name` prefix.
    DirectoryName(#[serde(with = "serde_bytes")] Vec<u8>),
}

/// RFC 5280 §4.2.2.1; both empty leaves the extension out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityInformationAccess {
    /// `id-ad-ocsp` URIs.
    pub ocsp: Vec<String>,
    /// `id-ad-caIssuers` URIs.
    pub ca_issuers: Vec<String>,
}

/// An extension by its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedExtension {
    /// `extnID`.
    pub oid: Oid,
    /// `critical`.
    pub critical: bool,
    /// DER inside the `extnValue` octet string.
    #[serde(with = "serde_bytes")]
    pub value_der: Vec<u8>,
}

impl CertificatePlan {
    /// A plan for an end entity that says nothing yet but subject, key and validity.
    pub fn end_entity(
        certificate_type: CertificateType,
        subject_der: Vec<u8>,
        subject_public_key_info: Vec<u8>,
        key_algorithm: KeyAlgorithm,
        (not_before, not_after): (DateTime<Utc>, DateTime<Utc>),
    ) -> Self {
        Self {
            certificate_type,
            subject_der,
            subject_public_key_info,
            key_algorithm,
            not_before,
            not_after,
            basic_constraints: None,
            key_usage: KeyUsage::default(),
            extended_key_usage: Vec::new(),
            subject_alternative_names: Vec::new(),
            certificate_policies: Vec::new(),
            name_constraints: None,
            policy_constraints: None,
            inhibit_any_policy: None,
            policy_mappings: Vec::new(),
            issuer_alternative_names: Vec::new(),
            crl_distribution_points: Vec::new(),
            freshest_crl: Vec::new(),
            authority_information_access: AuthorityInformationAccess::default(),
            subject_information_access: Vec::new(),
            tls_features: Vec::new(),
            ocsp_no_check: false,
            other_extensions: Vec::new(),
        }
    }

    /// Whether the plan makes a CA certificate in any way.
    pub fn is_certificate_authority(&self) -> bool {
        self.basic_constraints
            .is_some_and(|constraints| constraints.certificate_authority)
            || self.key_usage.key_cert_sign
            || matches!(
                self.certificate_type,
                CertificateType::Root | CertificateType::Intermediate
            )
    }

    /// Length of the validity in seconds, both ends included (RFC 5280 §4.1.2.5).
    pub fn validity_seconds(&self) -> i64 {
        (self.not_after - self.not_before).num_seconds() + 1
    }
}

/// Object identifiers of extended key usages (RFC 5280 §4.2.1.12 and successors).
pub mod extended_key_usage {
    /// TLS server.
    pub const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
    /// TLS client.
    pub const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
    /// Code signing.
    pub const CODE_SIGNING: &str = "1.3.6.1.5.5.7.3.3";
    /// S/MIME.
    pub const EMAIL_PROTECTION: &str = "1.3.6.1.5.5.7.3.4";
    /// Time stamping.
    pub const TIME_STAMPING: &str = "1.3.6.1.5.5.7.3.8";
    /// OCSP signing.
    pub const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
    /// `anyExtendedKeyUsage`, which we never issue.
    pub const ANY: &str = "2.5.29.37.0";
}
