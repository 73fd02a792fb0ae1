//! Tests of `issuers`.

use clm_domain::certificate_plan::{BasicConstraints, CertificatePlan, KeyUsage};
use clm_domain::issuer_limits::{IssuerLimits, NameLimits};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::states::CertificateType;
use clm_pki::issue::prepare;
use clm_pki::name::from_rfc4514;
use clm_pki::serial::SerialNumber;
use uuid::Uuid;

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn link(name: &str) -> ChainLink {
    let limits = IssuerLimits {
        certificate_authority: true,
        end_entities: false,
        extended_key_usage: Vec::new(),
        key_algorithms: KeyAlgorithm::ALL.to_vec(),
        validity_seconds_max: 1_000,
        names: NameLimits::default(),
        issuances_per_minute_max: None,
        certificate_policies: Vec::new(),
        other_extensions: Vec::new(),
    };
    ChainLink {
        name: name.to_owned(),
        is_root: true,
        is_active: true,
        not_after: at(10),
        limits,
        certificate_der: Vec::new(),
    }
}

/// The certificate of a root with this key.
fn certificate(key: &PrivateKey) -> Vec<u8> {
    let mut plan = CertificatePlan::end_entity(
        CertificateType::Root,
        from_rfc4514("CN=Root").unwrap(),
        key.subject_public_key_info().to_vec(),
        KeyAlgorithm::EcdsaP256,
        (at(0), at(1_000)),
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
    let signature = KeyAlgorithm::EcdsaP256.default_signature();
    let identity = IssuerIdentity::self_signed(&plan, signature).unwrap();
    let prepared = prepare(&plan, &identity, SerialNumber::from_random([7; _])).unwrap();
    issue(prepared, key).unwrap().der
}

#[test]
fn whoever_is_above_stops_what_is_below() {
    let chain = [link("Middle"), link("Root")];
    assert!(check_above("Issuing", &[], at(0)).is_ok());
    assert!(check_above("Issuing", &chain, at(10)).is_ok());

    let mut suspended = chain.clone();
    suspended[1].is_active = false;
    let mut ended = chain;
    ended[1].not_after = at(-1);
    for chain in [suspended, ended] {
        let fault = check_above("Issuing", &chain, at(0)).unwrap_err();
        assert_eq!(fault.kind, ErrorKind::PolicyViolation);
        assert_eq!(fault.code, "issuer_not_active");
        assert!(fault.message.contains("'Root' above 'Issuing'"), "{fault}");
    }
}

#[test]
fn a_key_signs_only_below_its_own_certificate() {
    let id = IssuerId::from_uuid(Uuid::from_u128(1));
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let other = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let certificate = certificate(&key);
    assert!(check_key(id, &certificate, &key).is_ok());
    match check_key(id, &certificate, &other).unwrap_err() {
        Failure::Refused(fault) => {
            assert_eq!(fault.kind, ErrorKind::Internal);
            assert_eq!(fault.code, "issuer_key_mismatch");
        }
        failure => panic!("{failure}"),
    }
    assert!(check_key(id, &[0x30, 0], &key).is_err());
}
