//! Plans and to-be-signed certificates for the tests of this crate: valid ones, to be spoilt.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use clm_domain::certificate_plan::{
    AuthorityInformationAccess, BasicConstraints, CertificatePlan, CertificatePolicy, KeyUsage,
    NameConstraints, NameSubtree, PolicyConstraints, PolicyMapping, extended_key_usage,
};
use clm_domain::general_name::GeneralName;
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::states::CertificateType;

use crate::asn1::{encode, tag};
use crate::certificate::Certificate;
use crate::extension::encode_all;
use crate::issue::to_be_signed::{ToBeSigned, encode_validity};
use crate::issue::{IssuerIdentity, Signer, issue, prepare};
use crate::key::{PrivateKey, signature_algorithm_identifier, subject_key_identifier};
use crate::name::NameBuilder;
use crate::serial::SerialNumber;
use crate::tbs_view::TbsView;
use crate::test_fixture::{P256, sequence};

pub(crate) static ROOT_KEY: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap());
pub(crate) static ISSUING_KEY: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap());

pub(crate) const POLICY: &str = "1.3.6.1.4.1.99999.1";

pub(crate) fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A name of RDNs with one attribute each.
pub(crate) fn name(attributes: &[(&str, &str)]) -> Vec<u8> {
    attributes
        .iter()
        .fold(NameBuilder::new(), |builder, (attribute, value)| {
            builder.add(attribute, value).unwrap()
        })
        .build()
}

pub(crate) fn serial(number: u8) -> SerialNumber {
    SerialNumber::from_random([number; 16])
}

pub(crate) fn root_plan() -> CertificatePlan {
    let mut plan = CertificatePlan::end_entity(
        CertificateType::Root,
        name(&[("C", "DE"), ("O", "Example"), ("CN", "Example Root")]),
        ROOT_KEY.subject_public_key_info().to_vec(),
        KeyAlgorithm::EcdsaP256,
        (time("2026-01-01T00:00:00Z"), time("2051-01-01T00:00:00Z")),
    );
    plan.basic_constraints = Some(BasicConstraints {
        certificate_authority: true,
        path_length_max: None,
    });
    plan.key_usage = KeyUsage {
        key_cert_sign: true,
        crl_sign: true,
        ..KeyUsage::default()
    };
    plan
}

/// An issuing CA that uses every extension that only CAs have.
pub(crate) fn issuing_plan() -> CertificatePlan {
    let mut plan = root_plan();
    plan.certificate_type = CertificateType::Intermediate;
    plan.subject_der = name(&[("C", "DE"), ("O", "Example"), ("CN", "Example Issuing")]);
    plan.subject_public_key_info = ISSUING_KEY.subject_public_key_info().to_vec();
    plan.not_after = time("2036-01-01T00:00:00Z");
    plan.basic_constraints = Some(BasicConstraints {
        certificate_authority: true,
        path_length_max: Some(0),
    });
    plan.certificate_policies = vec![CertificatePolicy {
        policy_id: POLICY.parse().unwrap(),
        cps_uris: vec!["https://pki.example.com/cps".to_owned()],
        user_notice: Some("Für den inneren Gebrauch".to_owned()),
    }];
    plan.policy_mappings = vec![PolicyMapping {
        issuer_domain_policy: POLICY.parse().unwrap(),
        subject_domain_policy: "1.3.6.1.4.1.99999.2".parse().unwrap(),
    }];
    plan.policy_constraints = Some(PolicyConstraints {
        require_explicit_policy: Some(0),
        inhibit_policy_mapping: Some(200),
    });
    plan.inhibit_any_policy = Some(1);
    plan.name_constraints = Some(NameConstraints {
        permitted: vec![
            NameSubtree::Dns("example.com".to_owned()),
            NameSubtree::Email(".example.com".to_owned()),
            NameSubtree::Uri("www.example.com".to_owned()),
            NameSubtree::Ip("192.0.2.0".parse().unwrap(), 24),
            NameSubtree::Ip("2001:db8::".parse().unwrap(), 32),
            NameSubtree::DirectoryName(name(&[("C", "DE"), ("O", "Example")])),
        ],
        excluded: vec![NameSubtree::Dns("secret.example.com".to_owned())],
    });
    plan.subject_information_access = vec!["http://pki.example.com/repository".to_owned()];
    add_pointers(&mut plan, "root");
    plan
}

/// A TLS server certificate that uses every extension that leaves have.
pub(crate) fn leaf_plan() -> CertificatePlan {
    let mut plan = CertificatePlan::end_entity(
        CertificateType::Server,
        name(&[("C", "DE"), ("O", "Example"), ("CN", "www.example.com")]),
        P256.subject_public_key_info().to_vec(),
        KeyAlgorithm::EcdsaP256,
        (time("2026-11-01T00:00:00Z"), time("2027-01-30T23:59:59Z")),
    );
    plan.basic_constraints = Some(BasicConstraints {
        certificate_authority: false,
        path_length_max: None,
    });
    plan.key_usage.digital_signature = true;
    plan.extended_key_usage = [
        extended_key_usage::SERVER_AUTH,
        extended_key_usage::CLIENT_AUTH,
    ]
    .map(|purpose| purpose.parse().unwrap())
    .to_vec();
    plan.subject_alternative_names = vec![
        GeneralName::Dns("www.example.com".to_owned()),
        GeneralName::Dns("*.www.example.com".to_owned()),
        GeneralName::Ip("192.0.2.7".parse().unwrap()),
        GeneralName::Ip("2001:db8::7".parse().unwrap()),
        GeneralName::Uri("https://www.example.com/a".to_owned()),
        GeneralName::Email("mail@www.example.com".to_owned()),
        GeneralName::DirectoryName(name(&[("C", "DE"), ("O", "Example"), ("CN", "directory")])),
        GeneralName::OtherName {
            type_id: "1.3.6.1.4.1.311.20.2.3".parse().unwrap(),
            value_der: encode(tag::UTF8_STRING, b"user@example.com"),
        },
        GeneralName::RegisteredId("1.3.6.1.4.1.99999.3".parse().unwrap()),
    ];
    plan.certificate_policies = vec![CertificatePolicy {
        policy_id: POLICY.parse().unwrap(),
        cps_uris: Vec::new(),
        user_notice: None,
    }];
    plan.issuer_alternative_names = vec![GeneralName::Uri("https://pki.example.com/".to_owned())];
    plan.freshest_crl = vec!["http://pki.example.com/delta.crl".to_owned()];
    plan.tls_features = vec![5];
    add_pointers(&mut plan, "issuing");
    plan
}

fn add_pointers(plan: &mut CertificatePlan, issuer: &str) {
    plan.crl_distribution_points = vec![format!("http://pki.example.com/crl/{issuer}.crl")];
    plan.authority_information_access = AuthorityInformationAccess {
        ocsp: vec![format!("http://pki.example.com/ocsp/{issuer}")],
        ca_issuers: vec![format!("http://pki.example.com/ca/{issuer}.crt")],
    };
}

/// The issuer that a CA of this plan is.
pub(crate) fn identity(plan: &CertificatePlan) -> IssuerIdentity {
    IssuerIdentity::self_signed(plan, SignatureAlgorithm::EcdsaSha256).unwrap()
}

/// The certificate of `plan`, issued by the CA of `issuer`, whose key is `key`.
pub(crate) fn certificate(
    plan: &CertificatePlan,
    issuer: &CertificatePlan,
    key: &dyn Signer,
) -> Certificate {
    let identity = IssuerIdentity::self_signed(issuer, key.algorithm().default_signature());
    let prepared = prepare(plan, &identity.unwrap(), serial(7)).unwrap();
    Certificate::from_der(&issue(prepared, key).unwrap().der).unwrap()
}

/// A to-be-signed certificate in parts that can be spoilt one by one.
#[derive(Clone)]
pub(crate) struct Parts {
    /// The encoded version.
    pub(crate) version: u8,
    pub(crate) serial: Vec<u8>,
    pub(crate) signature_algorithm: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) validity: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) subject_public_key_info: Vec<u8>,
    /// Dotted type, critical, value.
    pub(crate) extensions: Vec<(String, bool, Vec<u8>)>,
    /// DER that is put behind the extensions, within their list.
    pub(crate) raw_extension: Vec<u8>,
}

impl Parts {
    /// The parts of what `issuer` would sign for `plan`, without checks and lints.
    pub(crate) fn new(plan: &CertificatePlan, issuer: &CertificatePlan) -> Self {
        let own = subject_key_identifier(&plan.subject_public_key_info).unwrap();
        let authority = identity(issuer).subject_key_identifier;
        let extensions = encode_all(plan, &own, &authority).unwrap();
        let serial = serial(7);
        let mut parts = Self {
            version: 2,
            serial: serial.as_bytes().to_vec(),
            signature_algorithm: signature_algorithm_identifier(SignatureAlgorithm::EcdsaSha256)
                .to_vec(),
            issuer: issuer.subject_der.clone(),
            validity: encode_validity(plan.not_before, plan.not_after),
            subject: plan.subject_der.clone(),
            subject_public_key_info: plan.subject_public_key_info.clone(),
            extensions: Vec::new(),
            raw_extension: Vec::new(),
        };
        let tbs = parts.encode_with(&extensions);
        let view = TbsView::parse(&tbs).unwrap();
        parts.extensions = view
            .extensions()
            .iter()
            .map(|extension| {
                let oid = crate::asn1::decode_oid(extension.oid).unwrap();
                (
                    oid.to_string(),
                    extension.critical,
                    extension.value.to_vec(),
                )
            })
            .collect();
        parts
    }

    /// Replaces the value of an extension, or adds the extension.
    pub(crate) fn set(&mut self, oid: &str, value: &[u8]) {
        match self.extensions.iter_mut().find(|(found, ..)| found == oid) {
            Some((_, _, old)) => *old = value.to_vec(),
            None => self
                .extensions
                .push((oid.to_owned(), false, value.to_vec())),
        }
    }

    pub(crate) fn remove(&mut self, oid: &str) {
        self.extensions.retain(|(found, ..)| found != oid);
    }

    pub(crate) fn set_critical(&mut self, oid: &str, critical: bool) {
        let mut extensions = self.extensions.iter_mut();
        extensions.find(|(found, ..)| found == oid).unwrap().1 = critical;
    }

    /// DER of the `TBSCertificate`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut extensions: Vec<Vec<u8>> = self
            .extensions
            .iter()
            .map(|(oid, critical, value)| {
                let critical: &[u8] = if *critical { &[1, 1, 0xFF] } else { &[] };
                let value = encode(tag::OCTET_STRING, value);
                sequence(&[&crate::test_fixture::oid(oid), critical, &value])
            })
            .collect();
        extensions.push(self.raw_extension.clone());
        self.encode_with(&encode(tag::SEQUENCE, &extensions.concat()))
    }

    fn encode_with(&self, extensions: &[u8]) -> Vec<u8> {
        let mut der = ToBeSigned {
            serial: &self.serial,
            signature_algorithm: &self.signature_algorithm,
            issuer: &self.issuer,
            validity: &self.validity,
            subject: &self.subject,
            subject_public_key_info: &self.subject_public_key_info,
            extensions,
        }
        .encode();
        let encoded = [0xA0, 3, 2, 1, 2];
        let version = der.windows(5).position(|window| window == encoded).unwrap();
        der[version + 4] = self.version;
        der
    }
}
