//! Certificates of the bare loop: the to-be-signed part is made ahead, and only serial number and
//! signature are new each time.

use std::ops::Range;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use clm_domain::actor::Actor;
use clm_domain::certificate_plan::{
    BasicConstraints, CertificatePlan, KeyUsage, extended_key_usage,
};
use clm_domain::clock::{random_bytes, uuid_v7};
use clm_domain::general_name::GeneralName;
use clm_domain::ids::{ApiKeyId, UserId};
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::oid::Oid;
use clm_domain::states::CertificateType;
use clm_pki::issue::{IssuerIdentity, prepare};
use clm_pki::key::{
    PrivateKey, signature_algorithm_identifier, spki_sha256, subject_key_identifier,
};
use clm_pki::name::NameBuilder;
use clm_pki::serial::SerialNumber;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::seed::Seed;
use crate::environment::{MachineRng, now};
use crate::requests::Csr;

/// What it signs with.
const SIGNATURE: SignatureAlgorithm = SignatureAlgorithm::EcdsaSha256;
/// Validity of the certificates, in days: the product's default.
const VALIDITY_DAYS: i64 = 90;

/// A P-256 key that signs, loaded once.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) key: PrivateKey,
    pub(super) identity: IssuerIdentity,
}

impl Authority {
    /// Makes one.
    pub(super) fn make() -> anyhow::Result<Self> {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
        let subject_key_identifier = subject_key_identifier(key.subject_public_key_info())?;
        Ok(Self {
            identity: IssuerIdentity {
                subject_der: NameBuilder::new()
                    .add("CN", "CLM Benchmark Issuing CA")?
                    .build(),
                subject_key_identifier: subject_key_identifier.to_vec(),
                signature_algorithm: SIGNATURE,
                not_after: now() + TimeDelta::days(VALIDITY_DAYS * 40),
            },
            key,
        })
    }
}

/// A request with all that can be made of it ahead.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) csr_der: Vec<u8>,
    pub(super) host: String,
    pub(super) subject: String,
    pub(super) subject_alternative_names: Vec<String>,
    pub(super) spki_sha256: [u8; 32],
    pub(super) not_before: DateTime<Utc>,
    pub(super) not_after: DateTime<Utc>,
    /// JSON of the outbox, of the audit logs and of the context, as long as the product's.
    pub(super) event_json: String,
    pub(super) secure_details_json: String,
    pub(super) core_details_json: String,
    pub(super) context_json: String,
    tbs_der: Vec<u8>,
    /// Where the serial number stands in `tbs_der`.
    serial_at: Range<usize>,
}

/// One certificate with the identifiers of its rows.
#[derive(Debug)]
pub(super) struct Issuance<'a> {
    pub(super) template: &'a Template,
    pub(super) now: DateTime<Utc>,
    pub(super) request_id: Uuid,
    pub(super) certificate_id: Uuid,
    pub(super) event_id: Uuid,
    pub(super) secure_audit_id: Uuid,
    pub(super) core_audit_id: Uuid,
    pub(super) idempotency_key_sha256: [u8; 32],
    pub(super) serial_number: SerialNumber,
    pub(super) certificate_der: Vec<u8>,
    pub(super) fingerprint_sha256: [u8; 32],
    pub(super) tbs_sha256: [u8; 32],
}

impl Template {
    /// Makes everything but serial number and signature.
    pub(super) fn make(csr: &Csr, authority: &Authority, seed: &Seed) -> anyhow::Result<Self> {
        let begin = now();
        let not_before = begin.with_nanosecond(0).unwrap_or(begin);
        let not_after = not_before + TimeDelta::days(VALIDITY_DAYS);
        let plan = plan(csr, (not_before, not_after))?;
        let serial = SerialNumber::from_random(random_bytes(&MachineRng));
        let prepared = prepare(&plan, &authority.identity, serial.clone())?;
        let tbs_der = prepared.tbs_der().to_vec();
        let length = serial.as_bytes().len();
        let begin = tbs_der
            .windows(length)
            .position(|window| window == serial.as_bytes())
            .context("the serial number is not in the certificate")?;
        let mut template = Self {
            csr_der: csr.der.clone(),
            host: csr.host.clone(),
            subject: format!("CN={}", csr.host),
            subject_alternative_names: plan
                .subject_alternative_names
                .iter()
                .map(ToString::to_string)
                .collect(),
            spki_sha256: spki_sha256(&csr.spki_der),
            not_before,
            not_after,
            event_json: String::new(),
            secure_details_json: String::new(),
            core_details_json: String::new(),
            context_json: String::new(),
            tbs_der,
            serial_at: begin..begin + length,
        };
        template.describe(seed, &serial);
        Ok(template)
    }

    /// A new certificate: a new serial number, a signature, and the two put together.
    pub(super) fn sign(&self, authority: &Authority) -> anyhow::Result<Issuance<'_>> {
        let serial_number = SerialNumber::from_random(random_bytes(&MachineRng));
        let mut tbs_der = self.tbs_der.clone();
        tbs_der
            .get_mut(self.serial_at.clone())
            .context("the serial number has no place")?
            .copy_from_slice(serial_number.as_bytes());
        let signature = authority.key.sign(SIGNATURE, &tbs_der)?;
        let certificate_der = assemble(&tbs_der, &signature)?;
        let now = now();
        let id = || uuid_v7(now, &MachineRng);
        Ok(Issuance {
            template: self,
            now,
            request_id: id(),
            certificate_id: id(),
            event_id: id(),
            secure_audit_id: id(),
            core_audit_id: id(),
            idempotency_key_sha256: random_bytes(&MachineRng),
            serial_number,
            fingerprint_sha256: Sha256::digest(&certificate_der).into(),
            tbs_sha256: Sha256::digest(&tbs_der).into(),
            certificate_der,
        })
    }

    /// Writes the JSON columns. Their identifiers are not those of any row: only the size matters.
    fn describe(&mut self, seed: &Seed, serial: &SerialNumber) {
        let id = || uuid_v7(self.not_before, &MachineRng).to_string();
        let hash = self.spki_sha256;
        let serial = hex::encode(serial.as_bytes());
        let context = json!({
            "owner_user_id": seed.user_id, "environment": null, "tags": [], "custom_fields": {},
        });
        let record = json!({
            "certificate_id": id(), "organization_id": seed.organization_id,
            "certificate_request_id": id(), "issuer_id": seed.issuer_id, "revision": 1,
            "certificate_type": "server", "status": "active", "serial_number": serial,
            "subject": self.subject, "common_name": self.host,
            "subject_alternative_names": self.subject_alternative_names,
            "fingerprint_sha256": hash, "spki_sha256": hash,
            "key_algorithm": KeyAlgorithm::EcdsaP256, "not_before": self.not_before,
            "not_after": self.not_after, "has_private_key": false, "context": context,
        });
        let actor = Actor::ApiKey {
            api_key_id: ApiKeyId::from_uuid(seed.api_key_id),
            user_id: UserId::from_uuid(seed.user_id),
        };
        let event = json!({
            "event_id": id(), "organization_id": seed.organization_id,
            "actor": actor,
            "request_id": id(), "occurred_at": self.not_before,
            "body": { "type": "certificate_issued", "data": record },
        });
        let secure_details = json!({
            "issuer_id": seed.issuer_id, "certificate_request_id": id(), "serial_number": serial,
            "fingerprint_sha256": hex::encode(hash), "tbs_sha256": hex::encode(hash),
            "key_algorithm": KeyAlgorithm::EcdsaP256, "private_key_held": false,
            "not_after": self.not_after.to_rfc3339(),
        });
        let core_details = json!({
            "serial_number": serial, "certificate_request_id": id(),
            "certificate_authority_id": seed.issuer_id, "event_id": id(),
        });
        self.context_json = context.to_string();
        self.event_json = event.to_string();
        self.secure_details_json = secure_details.to_string();
        self.core_details_json = core_details.to_string();
    }
}

/// What the product's profile makes of the request.
fn plan(csr: &Csr, validity: (DateTime<Utc>, DateTime<Utc>)) -> anyhow::Result<CertificatePlan> {
    let mut plan = CertificatePlan::end_entity(
        CertificateType::Server,
        csr.subject_der.clone(),
        csr.spki_der.clone(),
        KeyAlgorithm::EcdsaP256,
        validity,
    );
    plan.basic_constraints = Some(BasicConstraints {
        certificate_authority: false,
        path_length_max: None,
    });
    plan.key_usage = KeyUsage {
        digital_signature: true,
        ..KeyUsage::default()
    };
    let server: Oid = extended_key_usage::SERVER_AUTH.parse()?;
    plan.extended_key_usage = vec![server];
    plan.subject_alternative_names = vec![GeneralName::Dns(csr.host.clone())];
    Ok(plan)
}

/// `Certificate` (RFC 5280 §4.1), for the lengths that occur here: a body of 256 to 65,535 octets
/// and a signature of at most 126.
fn assemble(tbs_der: &[u8], signature: &[u8]) -> anyhow::Result<Vec<u8>> {
    let algorithm = signature_algorithm_identifier(SIGNATURE);
    let bits = u8::try_from(signature.len() + 1)
        .ok()
        .filter(|length| *length < 0x80)
        .context("the signature is too long")?;
    let body = tbs_der.len() + algorithm.len() + 2 + usize::from(bits);
    let body = u16::try_from(body)
        .ok()
        .filter(|length| *length > 0xff)
        .context("the certificate has an unexpected length")?;
    let mut der = Vec::with_capacity(usize::from(body) + 4);
    der.extend_from_slice(&[0x30, 0x82]);
    der.extend_from_slice(&body.to_be_bytes());
    der.extend_from_slice(tbs_der);
    der.extend_from_slice(algorithm);
    der.extend_from_slice(&[0x03, bits, 0x00]);
    der.extend_from_slice(signature);
    Ok(der)
}
