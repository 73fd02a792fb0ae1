//! Creating a certificate authority: its key, its certificate, its limits and who may use it, in
//! one transaction.
//!
//! A root signs itself. An intermediate is signed by its parent under the parent's own limits, end
//! and path length, like any other certificate, and its own limits stay within those of everyone
//! above it. Repeating the command with the same name returns what is there, if it is the same.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use clm_domain::audit::{AuditRow, SecureEvent};
use clm_domain::certificate_plan::{BasicConstraints, CertificatePlan, KeyUsage};
use clm_domain::clock::{random_bytes, whole_milliseconds};
use clm_domain::error::{ErrorKind, Fault, Violation};
use clm_domain::ids::{CertificateId, IssuerId, OrganizationId};
use clm_domain::issuer_limits::{IssuerLimits, judge};
use clm_domain::states::{CertificateType, IssuerKind};
use clm_pki::certificate::Certificate;
use clm_pki::issue::{IssuedCertificate, IssuerIdentity, prepare};
use clm_pki::key::{PrivateKey, subject_key_identifier};
use clm_pki::name::DistinguishedName;
use clm_pki::serial::SerialNumber;
use clm_secure_api::command::CreateCertificateAuthority;
use clm_secure_api::{CallContext, Reply};
use serde_json::json;

use crate::Secure;
use crate::audit::{RefusedAct, Stamp, cause, row};
use crate::error::Failure;
use crate::issuers::sign_with;
use crate::plan_fault::{common_name, prepare_fault, read_subject, refuse_violations};
use crate::step_up::{SteppedUp, step_up_invalid};
use crate::store::issuers::{NewIssuer, NewIssuerCertificate, StoredIssuer};
use crate::store::private_keys::KeyPurpose;

/// Longest name for people, in characters.
const NAME_CHARACTERS_MAX: usize = 200;
/// Most organizations that are admitted with the command.
const ORGANIZATIONS_MAX: usize = 1_000;
/// Most certificate authorities in one chain.
const CHAIN_LENGTH_MAX: usize = 8;
/// Longest validity, in seconds: a hundred years.
const VALIDITY_SECONDS_MAX: u64 = 100 * 366 * 86_400;

/// A certificate authority that is signed but not recorded.
struct SignedAuthority {
    id: IssuerId,
    subject: DistinguishedName,
    plan: CertificatePlan,
    key: Arc<PrivateKey>,
    certificate: IssuedCertificate,
    /// What the certificate is signed with: the parent's way, or a root's own.
    identity: IssuerIdentity,
}

impl Secure {
    /// Carries out [`CreateCertificateAuthority`].
    pub(crate) async fn create_certificate_authority(
        &self,
        context: &CallContext,
        command: CreateCertificateAuthority,
    ) -> Result<Reply, Failure> {
        let failure = match self.create_authority(context, &command).await {
            Ok(issuer) => return Ok(Reply::CertificateAuthority(Box::new(issuer.to_reply()))),
            Err(failure) => failure,
        };
        let act = RefusedAct {
            event: SecureEvent::CertificateAuthorityCreated,
            resource_id: None,
            details: json!({ "name": command.name }),
        };
        Err(self.audited(context, act, failure).await)
    }

    async fn create_authority(
        &self,
        context: &CallContext,
        command: &CreateCertificateAuthority,
    ) -> Result<StoredIssuer, Failure> {
        check_command(command)?;
        // A repetition makes nothing, and its proof was used up by the first time.
        if let Some(existing) = self.find_existing(context, command).await? {
            return Ok(existing);
        }
        let parent = match command.parent_issuer_id {
            Some(id) => Some(
                self.issuers
                    .load_signing(context.organization_id, id)
                    .await?,
            ),
            None => None,
        };
        let about = (CreateCertificateAuthority::NAME, &command.proved());
        let stepped_up = self.stepped_up(context, command.proof.as_ref(), about)?;
        self.check_proof(&stepped_up).await?;
        let signed = self.sign_authority(command, parent.as_deref()).await?;
        let new = self
            .describe_authority(context, (command, &stepped_up), signed)
            .await?;
        match self.store.insert_issuer(Arc::new(new)).await {
            Ok(true) => {}
            Ok(false) => return Err(step_up_invalid().into()),
            // Somebody made one of that name meanwhile: what was signed here is dropped.
            Err(error) if error.is_duplicate_of("ux_issuers_organization_id_name") => {}
            Err(error) => return Err(error.into()),
        }
        let made = self.find_existing(context, command).await?;
        made.ok_or_else(|| Failure::Internal("a new certificate authority is not there".to_owned()))
    }

    /// The certificate authority of that name, when it is the one that is asked for.
    async fn find_existing(
        &self,
        context: &CallContext,
        command: &CreateCertificateAuthority,
    ) -> Result<Option<StoredIssuer>, Failure> {
        let found = self
            .store
            .find_issuer_by_name(context.organization_id, &command.name)
            .await?;
        let Some(issuer) = found else { return Ok(None) };
        let path_length_max = path_length_max(&issuer)?;
        let Some(difference) = difference(&issuer, path_length_max, command) else {
            return Ok(Some(issuer));
        };
        let message = format!(
            "There is another certificate authority called '{}', with another {difference}. \
             Choose another name.",
            command.name
        );
        let fault = Fault::new(ErrorKind::Conflict, "name_taken", message.clone());
        Err(fault.with_violation("name", message).into())
    }

    async fn sign_authority(
        &self,
        command: &CreateCertificateAuthority,
        parent: Option<&StoredIssuer>,
    ) -> Result<SignedAuthority, Failure> {
        let subject = read_subject(&command.subject_der)?;
        let mut plan = plan(command, self.clock.now())?;
        if let Some(parent) = parent {
            check_below(parent, command, (&plan, &subject))?;
        }
        let key = Arc::new(self.key_factory.generate(command.key_algorithm).await?);
        plan.subject_public_key_info = key.subject_public_key_info().to_vec();
        let identity = match parent {
            Some(parent) => parent.identity(),
            None => IssuerIdentity::self_signed(&plan, command.signature_algorithm)
                .map_err(|error| prepare_fault(&error))?,
        };
        let serial = SerialNumber::from_random(random_bytes(self.rng.as_ref()));
        let prepared = prepare(&plan, &identity, serial).map_err(|error| prepare_fault(&error))?;
        let certificate = match parent {
            Some(parent) => {
                let now = self.clock.now();
                self.issuance_rates
                    .take(parent.id, parent.limits.issuances_per_minute_max, now)?;
                self.issuers.sign(parent, prepared).await?
            }
            None => sign_with(prepared, Arc::clone(&key)).await?,
        };
        let id = IssuerId::generate(self.clock.now(), self.rng.as_ref());
        Ok(SignedAuthority {
            id,
            subject,
            plan,
            key,
            certificate,
            identity,
        })
    }

    /// Everything that has to be recorded about a new certificate authority.
    async fn describe_authority(
        &self,
        context: &CallContext,
        (command, stepped_up): (&CreateCertificateAuthority, &SteppedUp),
        signed: SignedAuthority,
    ) -> Result<NewIssuer, Failure> {
        let private_key = self
            .seal_new_key(context, &signed.key, KeyPurpose::Issuer)
            .await?;
        let now = whole_milliseconds(self.clock.now());
        let certificate_id = CertificateId::generate(now, self.rng.as_ref());
        let key_identifier = subject_key_identifier(&private_key.public_key_der)
            .map_err(|error| Failure::Internal(error.to_string()))?;
        let limits = serde_json::to_value(&command.limits)
            .map_err(|error| Failure::Internal(error.to_string()))?;
        let about = (&signed, certificate_id);
        let audit = self.authority_audit(context, (command, stepped_up), about, now);
        let SignedAuthority {
            id,
            subject,
            plan,
            certificate,
            identity,
            ..
        } = signed;
        Ok(NewIssuer {
            id,
            organization_id: context.organization_id,
            name: command.name.clone(),
            kind: kind(command),
            parent_issuer_id: command.parent_issuer_id,
            subject: subject.rfc4514(),
            common_name: common_name(&subject),
            subject_der: plan.subject_der,
            subject_key_identifier: key_identifier.to_vec(),
            key_algorithm: command.key_algorithm,
            signature_algorithm: command.signature_algorithm,
            limits,
            private_key,
            certificate: NewIssuerCertificate {
                id: certificate_id,
                certificate_type: plan.certificate_type,
                signed_by: command.parent_issuer_id.unwrap_or(id),
                serial_number: certificate.serial.as_bytes().to_vec(),
                der: certificate.der,
                fingerprint_sha256: certificate.fingerprint_sha256,
                tbs_sha256: certificate.tbs_sha256,
                signature_algorithm: identity.signature_algorithm,
                not_before: plan.not_before,
                not_after: plan.not_after,
            },
            organization_ids: admitted(context.organization_id, command),
            created_by_user_id: context.actor.user_id(),
            created_at: now,
            proof: stepped_up.proof().cloned(),
            audit,
        })
    }

    /// Two events: a certificate was signed, and it made a certificate authority.
    fn authority_audit(
        &self,
        context: &CallContext,
        (command, stepped_up): (&CreateCertificateAuthority, &SteppedUp),
        (signed, certificate_id): (&SignedAuthority, CertificateId),
        now: DateTime<Utc>,
    ) -> Vec<AuditRow> {
        let details = json!({
            "name": command.name,
            "kind": kind(command).as_str(),
            "issuer_id": signed.id.to_string(),
            "parent_issuer_id": command.parent_issuer_id.map(|id| id.to_string()),
            "certificate_id": certificate_id.to_string(),
            "serial_number": hex::encode(signed.certificate.serial.as_bytes()),
            "fingerprint_sha256": hex::encode(signed.certificate.fingerprint_sha256),
            "tbs_sha256": hex::encode(signed.certificate.tbs_sha256),
            "key_algorithm": command.key_algorithm.as_str(),
            "not_after": signed.plan.not_after.to_rfc3339(),
            "step_up": stepped_up.word(),
        });
        let stamp = Stamp {
            now,
            rng: self.rng.as_ref(),
        };
        let issued = SecureEvent::CertificateIssued;
        let created = SecureEvent::CertificateAuthorityCreated;
        let certificate_id = Some(certificate_id.as_uuid());
        let issuer_id = Some(signed.id.as_uuid());
        vec![
            row(
                issued,
                &cause(context),
                certificate_id,
                details.clone(),
                stamp,
            ),
            row(created, &cause(context), issuer_id, details, stamp),
        ]
    }
}

const fn kind(command: &CreateCertificateAuthority) -> IssuerKind {
    if command.parent_issuer_id.is_some() {
        IssuerKind::Intermediate
    } else {
        IssuerKind::Root
    }
}

/// The organizations beside the owner, each once.
fn admitted(owner: OrganizationId, command: &CreateCertificateAuthority) -> Vec<OrganizationId> {
    let mut ids: Vec<OrganizationId> = command
        .organization_ids
        .iter()
        .copied()
        .filter(|id| *id != owner)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn check_command(command: &CreateCertificateAuthority) -> Result<(), Fault> {
    let name = command.name.as_str();
    let length = name.chars().count();
    if length == 0
        || length > NAME_CHARACTERS_MAX
        || name.trim() != name
        || name.chars().any(char::is_control)
    {
        let message = format!(
            "The name must have 1 to {NAME_CHARACTERS_MAX} characters, no control characters, and \
             no space at its ends."
        );
        return Err(Fault::invalid("name_invalid", "name", message));
    }
    if !command.signature_algorithm.fits(command.key_algorithm) {
        let message = format!(
            "A key of {} cannot sign with {}; leave it out, or use {}.",
            command.key_algorithm,
            command.signature_algorithm,
            command.key_algorithm.default_signature()
        );
        return Err(Fault::invalid(
            "signature_algorithm_mismatch",
            "signature_algorithm",
            message,
        ));
    }
    if command.organization_ids.len() > ORGANIZATIONS_MAX {
        let message = format!("At most {ORGANIZATIONS_MAX} organizations can be admitted at once.");
        return Err(Fault::invalid(
            "too_many_organizations",
            "organization_ids",
            message,
        ));
    }
    if clm_pki::name::is_empty(&command.subject_der) {
        // RFC 5280 §4.1.2.6: the subject of a CA must not be empty.
        let message = "A certificate authority needs a subject, such as CN=Example Issuing CA.";
        return Err(Fault::invalid("subject_empty", "subject", message));
    }
    Ok(())
}

/// The plan of the certificate, still without its key.
fn plan(
    command: &CreateCertificateAuthority,
    now: DateTime<Utc>,
) -> Result<CertificatePlan, Fault> {
    let certificate_type = match kind(command) {
        IssuerKind::Root => CertificateType::Root,
        IssuerKind::Intermediate => CertificateType::Intermediate,
    };
    let mut plan = CertificatePlan::end_entity(
        certificate_type,
        command.subject_der.clone(),
        Vec::new(),
        command.key_algorithm,
        validity(command.validity_seconds, now)?,
    );
    plan.basic_constraints = Some(BasicConstraints {
        certificate_authority: true,
        path_length_max: command.path_length_max,
    });
    plan.key_usage = KeyUsage {
        key_cert_sign: true,
        crl_sign: true,
        ..KeyUsage::default()
    };
    Ok(plan)
}

/// From this second on; the last second is part of the validity (RFC 5280 §4.1.2.5).
fn validity(seconds: u64, now: DateTime<Utc>) -> Result<(DateTime<Utc>, DateTime<Utc>), Fault> {
    let refused = || {
        let message = format!(
            "The validity must be 1 to {VALIDITY_SECONDS_MAX} seconds and end before the year \
             10000."
        );
        Fault::invalid("validity_invalid", "validity_seconds", message)
    };
    let whole = (1..=VALIDITY_SECONDS_MAX)
        .contains(&seconds)
        .then(|| seconds - 1);
    let rest = whole
        .and_then(|rest| i64::try_from(rest).ok())
        .ok_or_else(refused)?;
    let not_before = DateTime::from_timestamp(now.timestamp(), 0).ok_or_else(refused)?;
    let not_after = not_before
        .checked_add_signed(TimeDelta::seconds(rest))
        .ok_or_else(refused)?;
    Ok((not_before, not_after))
}

/// Judges a new certificate authority against the one that is asked to sign it.
fn check_below(
    parent: &StoredIssuer,
    command: &CreateCertificateAuthority,
    (plan, subject): (&CertificatePlan, &DistinguishedName),
) -> Result<(), Failure> {
    let mut violations = judge(plan, &parent.limits, &subject.common_names());
    violations.extend(limits_beyond(parent, &command.limits));
    let mut violate = |field: &str, message: String| {
        violations.push(Violation {
            field: field.to_owned(),
            message,
        });
    };
    if plan.not_after > parent.not_after {
        let end = parent.not_after.to_rfc3339();
        violate(
            "validity_seconds",
            format!("The certificate of the parent ends at {end}; this one must not end later."),
        );
    }
    if parent.chain.len() + 2 > CHAIN_LENGTH_MAX {
        violate(
            "parent_issuer_id",
            format!("At most {CHAIN_LENGTH_MAX} certificate authorities may form a chain."),
        );
    }
    if let Some(message) = path_length_objection(path_length_max(parent)?, command.path_length_max)
    {
        violate("path_length_max", message);
    }
    Ok(refuse_violations(&parent.name, violations)?)
}

/// What the limits allow beyond those of the parent, else of the nearest one above it that they are
/// not within: a parent that signs no end entities does not hand down all that binds it.
fn limits_beyond(parent: &StoredIssuer, limits: &IssuerLimits) -> Vec<Violation> {
    let above = parent.chain.iter().map(|link| &link.limits);
    std::iter::once(&parent.limits)
        .chain(above)
        .map(|above| limits.is_within(above))
        .find(|violations| !violations.is_empty())
        .unwrap_or_default()
}

/// What the certificate authority that is there has other than the command asks for.
fn difference(
    existing: &StoredIssuer,
    path_length_max: Option<u8>,
    command: &CreateCertificateAuthority,
) -> Option<&'static str> {
    let compared = [
        (
            "parent",
            existing.parent_issuer_id == command.parent_issuer_id,
        ),
        ("subject", existing.subject_der == command.subject_der),
        (
            "key algorithm",
            existing.key_algorithm == command.key_algorithm,
        ),
        (
            "signature algorithm",
            existing.signature_algorithm == command.signature_algorithm,
        ),
        ("path length", path_length_max == command.path_length_max),
        ("set of limits", existing.limits == command.limits),
    ];
    compared
        .into_iter()
        .find_map(|(what, is_same)| (!is_same).then_some(what))
}

/// How many certificate authorities the issuer's certificate allows below it.
fn path_length_max(parent: &StoredIssuer) -> Result<Option<u8>, Failure> {
    let unreadable = |error: String| {
        Failure::Internal(format!(
            "the certificate of issuer {} is unreadable: {error}",
            parent.id
        ))
    };
    let certificate = Certificate::from_der(&parent.certificate_der)
        .map_err(|error| unreadable(error.to_string()))?;
    let constraints = certificate
        .basic_constraints()
        .map_err(|error| unreadable(error.to_string()))?;
    Ok(constraints.and_then(|constraints| constraints.path_length_max))
}

/// RFC 5280 §4.2.1.9: below a CA with path length n, a CA has at most n - 1.
fn path_length_objection(parent: Option<u8>, wanted: Option<u8>) -> Option<String> {
    let parent = parent?;
    match (parent.checked_sub(1), wanted) {
        (None, _) => {
            Some("The parent's path length is 0: it signs no certificate authorities.".to_owned())
        }
        (Some(most), Some(wanted)) if wanted <= most => None,
        (Some(most), _) => Some(format!(
            "The parent's path length is {parent}; give one of at most {most}."
        )),
    }
}

#[cfg(test)]
mod tests;
