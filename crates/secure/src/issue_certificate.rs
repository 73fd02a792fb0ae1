//! Issuing a certificate: judge, prepare, lint, sign, and record everything in one statement.
//!
//! The core has judged the plan already; it is judged here again against what this side stores
//! itself, because a core may be compromised. No certificate is returned before its record is
//! committed. A refusal leaves an audit event and nothing else.

use chrono::{DateTime, TimeDelta, Utc};
use clm_domain::audit::{AuditRow, SecureEvent};
use clm_domain::certificate_plan::CertificatePlan;
use clm_domain::clock::{random_bytes, whole_milliseconds};
use clm_domain::error::{ErrorKind, Fault, Violation};
use clm_domain::ids::EventId;
use clm_domain::issuer_limits::judge;
use clm_domain::limits::{CSR_DER_BYTES_MAX, IDEMPOTENCY_RETENTION_HOURS};
use clm_domain::states::CertificateStatus;
use clm_pki::csr::CertificationRequest;
use clm_pki::issue::{IssuedCertificate, prepare};
use clm_pki::key::{PrivateKey, spki_sha256};
use clm_pki::name::DistinguishedName;
use clm_pki::serial::SerialNumber;
use clm_secure_api::command::{IssueCertificate, KeySource};
use clm_secure_api::event::{CertificateRecord, Event, EventBody};
use clm_secure_api::reply::Issued;
use clm_secure_api::{CallContext, Reply};
use serde_json::{Value, json};

use crate::Secure;
use crate::audit::{RefusedAct, Stamp, cause, row};
use crate::error::Failure;
use crate::plan_fault::{common_name, csr_fault, prepare_fault, read_subject, refuse_violations};
use crate::store::issuance::{NewIssuance, StoredIssuance};
use crate::store::issuers::StoredIssuer;
use crate::store::private_keys::KeyPurpose;

/// How far a certificate may be dated back, in hours: room for clocks that are behind, not for a
/// past that was not (CA/Browser Forum Baseline Requirements §7.1.2.7).
const BACKDATING_HOURS_MAX: i64 = 48;
/// How far in the future a certificate may begin, in hours.
const POSTDATING_HOURS_MAX: i64 = 48;
/// How much earlier than its issuer a certificate may begin, in minutes: profiles date back a
/// little for clocks that are behind, and an issuer may be used as soon as it is there.
const CLOCK_SKEW_MINUTES: i64 = 5;

/// The key of the subject, as far as it came here.
enum SubjectKey {
    /// The requester has it; this is the request.
    Held(Vec<u8>),
    /// It was made here.
    Made(Box<PrivateKey>),
}

/// A signed certificate that is not recorded yet.
struct Signed {
    plan: CertificatePlan,
    subject: DistinguishedName,
    key: SubjectKey,
    certificate: IssuedCertificate,
}

impl Secure {
    /// Carries out [`IssueCertificate`].
    pub(crate) async fn issue_certificate(
        &self,
        context: &CallContext,
        command: IssueCertificate,
    ) -> Result<Reply, Failure> {
        let failure = match self.issue(context, &command).await {
            Ok(issued) => return Ok(Reply::Issued(Box::new(issued))),
            // The issuer may have changed since an earlier attempt succeeded without its caller
            // hearing of it.
            Err(Failure::Refused(fault)) => match self.find_replay(context, &command).await {
                Ok(Some(issued)) => return Ok(Reply::Issued(Box::new(issued))),
                Ok(None) => Failure::Refused(fault),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        let act = RefusedAct {
            event: SecureEvent::CertificateIssuanceRefused,
            resource_id: Some(command.certificate_request_id.as_uuid()),
            details: json!({ "issuer_id": command.issuer_id.to_string() }),
        };
        Err(self.audited(context, act, failure).await)
    }

    async fn issue(
        &self,
        context: &CallContext,
        command: &IssueCertificate,
    ) -> Result<Issued, Failure> {
        let issuer = self
            .issuers
            .load_signing(context.organization_id, command.issuer_id)
            .await?;
        let signed = self.sign(&issuer, command).await?;
        let issuance = Box::new(self.describe(context, command, &issuer, signed).await?);
        let (mut issuance, mut inserted) = self.store.insert_issuance(issuance).await?;
        if !inserted {
            // Somebody was faster, or this is a repetition. What was signed just now is dropped and
            // never leaves, unless the key was only in the way because it is a day old.
            if let Some(replay) = self.find_replay(context, command).await? {
                return Ok(replay);
            }
            (issuance, inserted) = self.store.insert_issuance(issuance).await?;
        }
        if !inserted {
            let message = "The id of the certificate request is in use already. Choose a new one.";
            let kind = ErrorKind::Conflict;
            return Err(Fault::new(kind, "certificate_request_exists", message).into());
        }
        let NewIssuance {
            event,
            certificate_der,
            ..
        } = *issuance;
        let chain_der = issuer.chain_below_root();
        Ok(Issued {
            event,
            certificate_der,
            chain_der,
            replayed: false,
        })
    }

    async fn sign(
        &self,
        issuer: &StoredIssuer,
        command: &IssueCertificate,
    ) -> Result<Signed, Failure> {
        let now = self.clock.now();
        let mut plan = command.plan.clone();
        let held = match &command.key_source {
            KeySource::CertificationRequest { der } => Some(prove_possession(der, &plan)?),
            KeySource::Generate => None,
        };
        let subject = read_subject(&plan.subject_der)?;
        check_plan(&plan, &subject, issuer, now)?;
        self.issuance_rates
            .take(issuer.id, issuer.limits.issuances_per_minute_max, now)?;
        let key = match held {
            Some(csr_der) => SubjectKey::Held(csr_der),
            None => {
                let key = self.key_factory.generate(plan.key_algorithm).await?;
                plan.subject_public_key_info = key.subject_public_key_info().to_vec();
                SubjectKey::Made(Box::new(key))
            }
        };
        let serial = SerialNumber::from_random(random_bytes(self.rng.as_ref()));
        let prepared =
            prepare(&plan, &issuer.identity(), serial).map_err(|error| prepare_fault(&error))?;
        let certificate = self.issuers.sign(issuer, prepared).await?;
        Ok(Signed {
            plan,
            subject,
            key,
            certificate,
        })
    }

    /// Everything that has to be recorded about a signed certificate, at one moment: a replay finds
    /// the audit event by the time of the certificate.
    async fn describe(
        &self,
        context: &CallContext,
        command: &IssueCertificate,
        issuer: &StoredIssuer,
        signed: Signed,
    ) -> Result<NewIssuance, Failure> {
        let now = whole_milliseconds(self.clock.now());
        let record = record(context, command, &signed);
        let Signed {
            plan,
            key,
            certificate,
            ..
        } = signed;
        let (csr_der, private_key) = match key {
            SubjectKey::Held(csr_der) => (Some(csr_der), None),
            SubjectKey::Made(key) => {
                let purpose = KeyPurpose::EndEntity;
                (None, Some(self.seal_new_key(context, &key, purpose).await?))
            }
        };
        let audit = self.issuance_audit(context, &record, (&plan, &certificate, issuer), now);
        let context_json = to_json(&record.context)?;
        let event = Event {
            event_id: EventId::generate(now, self.rng.as_ref()),
            organization_id: context.organization_id,
            actor: context.actor.clone(),
            request_id: context.request_id,
            occurred_at: now,
            body: EventBody::CertificateIssued(Box::new(record)),
        };
        Ok(NewIssuance {
            event_json: to_json(&event)?,
            event,
            context_json,
            event_available_at: now + self.relay_delay,
            csr_der,
            private_key,
            serial_number: certificate.serial.as_bytes().to_vec(),
            tbs_sha256: certificate.tbs_sha256,
            certificate_der: certificate.der,
            signature_algorithm: issuer.signature_algorithm,
            idempotency_key: context.idempotency_key,
            audit,
        })
    }

    fn issuance_audit(
        &self,
        context: &CallContext,
        record: &CertificateRecord,
        (plan, certificate, issuer): (&CertificatePlan, &IssuedCertificate, &StoredIssuer),
        now: DateTime<Utc>,
    ) -> AuditRow {
        let mut details = json!({
            "issuer_id": issuer.id.to_string(),
            "certificate_request_id": record.certificate_request_id.map(|id| id.to_string()),
            "serial_number": record.serial_number,
            "fingerprint_sha256": hex::encode(&record.fingerprint_sha256),
            "tbs_sha256": hex::encode(certificate.tbs_sha256),
            "key_algorithm": record.key_algorithm.as_str(),
            "private_key_held": record.has_private_key,
            "not_after": record.not_after.to_rfc3339(),
        });
        note_further_extensions(&mut details, plan);
        let stamp = Stamp {
            now,
            rng: self.rng.as_ref(),
        };
        let resource_id = Some(record.certificate_id.as_uuid());
        row(
            SecureEvent::CertificateIssued,
            &cause(context),
            resource_id,
            details,
            stamp,
        )
    }

    /// What an earlier command with the same idempotency key, or the same request id, issued. A key
    /// that is a day old is forgotten on this occasion.
    ///
    /// # Errors
    /// `Invalid` with code `idempotency_key_reused` when that command was another one.
    async fn find_replay(
        &self,
        context: &CallContext,
        command: &IssueCertificate,
    ) -> Result<Option<Issued>, Failure> {
        if let Some(key) = context.idempotency_key {
            let forgotten_before = self.clock.now() - TimeDelta::hours(IDEMPOTENCY_RETENTION_HOURS);
            self.store
                .forget_idempotency_key(context.organization_id, key, forgotten_before)
                .await?;
        }
        let found = self
            .store
            .find_issuance(
                context.organization_id,
                command.certificate_request_id,
                context.idempotency_key,
            )
            .await?;
        let Some(found) = found else { return Ok(None) };
        check_same_command(context, command, &found)?;
        let chain = match found.event.body.record().issuer_id {
            Some(issuer_id) => self.store.list_issuer_chain(issuer_id).await?,
            None => Vec::new(),
        };
        Ok(Some(Issued {
            event: found.event,
            certificate_der: found.certificate_der,
            chain_der: crate::issuers::without_root(chain),
            replayed: true,
        }))
    }
}

/// Whether what was found answers this very command.
fn check_same_command(
    context: &CallContext,
    command: &IssueCertificate,
    found: &StoredIssuance,
) -> Result<(), Fault> {
    let record = found.event.body.record();
    if let Some(key) = &context.idempotency_key {
        if found.request_sha256.as_deref() == Some(key.request_sha256.as_slice()) {
            return Ok(());
        }
        let message = "This idempotency key was used for another request already. Choose a new key \
            for a new request.";
        return Err(Fault::invalid(
            "idempotency_key_reused",
            "idempotency-key",
            message,
        ));
    }
    if record.certificate_id == command.certificate_id
        && record.issuer_id == Some(command.issuer_id)
    {
        return Ok(());
    }
    let message =
        "The certificate request was answered already, with another certificate. Choose a new id.";
    Err(Fault::new(
        ErrorKind::Conflict,
        "certificate_request_exists",
        message,
    ))
}

/// Reads a certification request, verifies that its sender has the private key (RFC 2986 §3), and
/// that the plan is for that key. Returns its DER.
fn prove_possession(der: &[u8], plan: &CertificatePlan) -> Result<Vec<u8>, Fault> {
    if der.len() > CSR_DER_BYTES_MAX {
        let message = format!("The certification request has more than {CSR_DER_BYTES_MAX} bytes.");
        return Err(Fault::invalid("csr_too_large", "csr", message));
    }
    let request = CertificationRequest::from_der(der).map_err(|error| csr_fault(&error))?;
    request
        .verify_proof_of_possession()
        .map_err(|error| csr_fault(&error))?;
    let is_planned_key = request.spki_der() == plan.subject_public_key_info
        && request.key_algorithm() == plan.key_algorithm;
    if !is_planned_key {
        let message = "The public key of the certification request is not the one that the \
            certificate is planned for.";
        return Err(Fault::invalid("public_key_mismatch", "csr", message));
    }
    Ok(request.der().to_vec())
}

/// Adds the policies and further extensions that are signed to the details of an audit event.
fn note_further_extensions(details: &mut Value, plan: &CertificatePlan) {
    let policies = plan.certificate_policies.iter();
    let extensions = plan.other_extensions.iter();
    let lists: [(&str, Vec<&str>); 2] = [
        (
            "certificate_policies",
            policies.map(|policy| policy.policy_id.as_str()).collect(),
        ),
        (
            "other_extensions",
            extensions.map(|extension| extension.oid.as_str()).collect(),
        ),
    ];
    let Some(details) = details.as_object_mut() else {
        return;
    };
    for (name, oids) in lists {
        if !oids.is_empty() {
            details.insert(name.to_owned(), json!(oids));
        }
    }
}

/// Judges the plan against the issuer's own limits and validity.
fn check_plan(
    plan: &CertificatePlan,
    subject: &DistinguishedName,
    issuer: &StoredIssuer,
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    if plan.is_certificate_authority() {
        let message =
            "A certificate authority is created by its own command, never issued as a certificate.";
        return Err(Fault::new(
            ErrorKind::PolicyViolation,
            "certificate_authority_not_issued",
            message,
        )
        .with_violation("basic_constraints", message));
    }
    let mut violations = judge(plan, &issuer.limits, &subject.common_names());
    let issuer_validity = (issuer.not_before, issuer.not_after);
    violations.extend(judge_times(plan, issuer_validity, now));
    refuse_violations(&issuer.name, violations)
}

/// Judges when the certificate begins and ends, against the issuer's own certificate and the
/// clock.
fn judge_times(
    plan: &CertificatePlan,
    (issuer_not_before, issuer_not_after): (DateTime<Utc>, DateTime<Utc>),
    now: DateTime<Utc>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut violate = |field: &str, message: String| {
        violations.push(Violation {
            field: field.to_owned(),
            message,
        });
    };
    if plan.not_after > issuer_not_after {
        let end = issuer_not_after.to_rfc3339();
        violate(
            "not_after",
            format!(
                "The certificate of the issuer itself ends at {end}; this one must not end later."
            ),
        );
    }
    if plan.not_after <= now {
        let message = "The certificate would have ended already.";
        violate("not_after", message.to_owned());
    }
    if plan.not_before < now - TimeDelta::hours(BACKDATING_HOURS_MAX) {
        let message =
            format!("A certificate may begin at most {BACKDATING_HOURS_MAX} hours in the past.");
        violate("not_before", message);
    }
    if plan.not_before > now + TimeDelta::hours(POSTDATING_HOURS_MAX) {
        let message =
            format!("A certificate may begin at most {POSTDATING_HOURS_MAX} hours in the future.");
        violate("not_before", message);
    }
    if plan.not_before < issuer_not_before - TimeDelta::minutes(CLOCK_SKEW_MINUTES) {
        let begin = issuer_not_before.to_rfc3339();
        violate(
            "not_before",
            format!("The certificate of the issuer itself begins at {begin}; begin then or later."),
        );
    }
    violations
}

fn record(context: &CallContext, command: &IssueCertificate, signed: &Signed) -> CertificateRecord {
    let Signed {
        plan,
        subject,
        key,
        certificate,
    } = signed;
    let names = plan
        .subject_alternative_names
        .iter()
        .map(ToString::to_string);
    CertificateRecord {
        certificate_id: command.certificate_id,
        organization_id: context.organization_id,
        certificate_request_id: Some(command.certificate_request_id),
        issuer_id: Some(command.issuer_id),
        revision: 1,
        certificate_type: plan.certificate_type,
        status: CertificateStatus::Active,
        serial_number: hex::encode(certificate.serial.as_bytes()),
        subject: subject.rfc4514(),
        common_name: common_name(subject),
        subject_alternative_names: names.collect(),
        fingerprint_sha256: certificate.fingerprint_sha256.to_vec(),
        spki_sha256: spki_sha256(&plan.subject_public_key_info).to_vec(),
        key_algorithm: plan.key_algorithm,
        not_before: plan.not_before,
        not_after: plan.not_after,
        has_private_key: matches!(key, SubjectKey::Made(_)),
        context: command.context.clone(),
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Internal(error.to_string()))
}

#[cfg(test)]
mod tests;
