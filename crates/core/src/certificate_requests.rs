//! Asking for certificates: the platform's main job.
//!
//! The core decides and plans, the Secure Service issues in one transaction, the core applies the
//! reply in one statement and only then answers. The client's idempotency key travels with the
//! command, so that a retry after any failure returns the same certificate.

use std::collections::BTreeMap;

use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::certificate_plan::CertificatePlan;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::general_name::GeneralName;
use clm_domain::ids::{CertificateId, CertificateRequestId, IssuerId};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::limits::{TAG_BYTES_MAX, TAGS_MAX};
use clm_domain::permission::{Action, Resource};
use clm_domain::states::{CertificateType, DeploymentEnvironment};
use clm_pki::csr::CertificationRequest;
use clm_pki::name;
use clm_secure_api::command::{
    FindIssued, IssuanceContext, IssueCertificate, KeySource, ListCertificateRequests,
    LoadCertificateRequest,
};
pub use clm_secure_api::reply::CertificateRequest;
use clm_secure_api::reply::Issued;

use crate::access::{self, Target};
use crate::certificates::{Certificate, CertificateDetail};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::page::{Page, PageRequest};
use crate::profile::{self, Wishes};
use crate::{Core, audit, certificate_authorities, certificate_quotas, projection};

/// The code of a key that was used for another body.
const KEY_REUSED: &str = "idempotency_key_reused";

/// What a requester asks for.
#[derive(Clone, Debug)]
pub struct NewCertificateRequest {
    /// Where the key comes from, with the names.
    pub source: RequestSource,
    /// The authority that shall sign; the default one when absent.
    pub issuer_id: Option<IssuerId>,
    /// What it is for.
    pub certificate_type: CertificateType,
    /// How long it shall be valid; [`profile::VALIDITY_SECONDS_DEFAULT`] when absent.
    pub validity_seconds: Option<u64>,
    /// Where it will be used.
    pub environment: Option<DeploymentEnvironment>,
    /// Free labels.
    pub tags: Vec<String>,
    /// Custom fields.
    pub custom_fields: BTreeMap<String, String>,
}

/// Where the key of a request comes from.
#[derive(Clone, Debug)]
pub enum RequestSource {
    /// A PKCS#10 request, PEM or DER.
    CertificationRequest(Vec<u8>),
    /// The platform makes the key.
    Generate {
        /// The algorithm of the key.
        key_algorithm: KeyAlgorithm,
        /// Subject as RFC 4514 text; may be empty.
        subject: String,
        /// Names.
        names: Vec<GeneralName>,
    },
}

/// A request that was fulfilled at once.
#[derive(Clone, Debug)]
pub struct Fulfilled {
    /// The request.
    pub certificate_request_id: CertificateRequestId,
    /// Its certificate.
    pub certificate: CertificateDetail,
    /// Whether an earlier request with the same idempotency key was answered.
    pub replayed: bool,
}

/// Asks for a certificate and returns it.
///
/// # Errors
/// `Invalid` and `PolicyViolation` name the fields; `Upstream` is safe to retry with the same
/// idempotency key, which returns the same certificate.
pub async fn create(
    context: &OpContext,
    core: &Core,
    request: NewCertificateRequest,
) -> Result<Fulfilled> {
    let target = Target::kind(context, Resource::CertificateRequest);
    access::authorize(context, core, Action::Create, target).await?;
    match issue(context, core, request).await {
        Err(error) if is_refusal(error.kind()) => {
            if error.0.code != KEY_REUSED
                && let Some(issued) = find_issued(context, core).await?
            {
                return settle(context, core, issued).await;
            }
            record_refusal(context, core, &error).await?;
            Err(error)
        }
        outcome => outcome,
    }
}

async fn issue(
    context: &OpContext,
    core: &Core,
    request: NewCertificateRequest,
) -> Result<Fulfilled> {
    check_labels(&request)?;
    let now = core.clock.now();
    let validity_seconds = request
        .validity_seconds
        .unwrap_or(profile::VALIDITY_SECONDS_DEFAULT);
    let until = profile::end_of(now, validity_seconds)?;
    let issuer =
        certificate_authorities::select(context, core, request.issuer_id, (now, until)).await?;
    let (plan, key_source) = plan(&request, &issuer.limits, now)?;
    let command = IssueCertificate {
        certificate_request_id: CertificateRequestId::generate(now, core.rng.as_ref()),
        certificate_id: CertificateId::generate(now, core.rng.as_ref()),
        issuer_id: issuer.issuer_id,
        key_source,
        plan,
        context: IssuanceContext {
            owner_user_id: context.actor.user_id(),
            environment: request.environment,
            tags: request.tags,
            custom_fields: request.custom_fields,
        },
    };
    let place = certificate_quotas::take(context, core).await?;
    let issued = core.secure.issue_certificate(context.call(), command).await;
    if let Err(error) = &issued
        && says_that_nothing_was_done(error.0.kind)
    {
        place.give_back();
        return Err(error.clone().into());
    }
    let fulfilled = settle(context, core, issued?).await?;
    match fulfilled.replayed {
        true => place.give_back(),
        false => place.settle(core).await,
    }
    Ok(fulfilled)
}

/// What an earlier request with the same idempotency key and body got: a rule that came since then
/// does not take it back.
async fn find_issued(context: &OpContext, core: &Core) -> Result<Option<Issued>> {
    if context.request.idempotency.is_none() {
        return Ok(None);
    }
    Ok(core
        .secure
        .find_issued(context.call(), FindIssued {})
        .await?)
}

/// Brings the inventory up to what was issued, and only then answers.
async fn settle(context: &OpContext, core: &Core, issued: Issued) -> Result<Fulfilled> {
    projection::apply(core, &issued.event, Some(&context.request)).await?;
    core.acknowledgements.push(issued.event.event_id);
    fulfilled(issued)
}

/// Plans the certificate and says where its key comes from.
fn plan(
    request: &NewCertificateRequest,
    limits: &clm_domain::issuer_limits::IssuerLimits,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(CertificatePlan, KeySource)> {
    let validity_seconds = request
        .validity_seconds
        .unwrap_or(profile::VALIDITY_SECONDS_DEFAULT);
    let certificate_type = request.certificate_type;
    match &request.source {
        RequestSource::CertificationRequest(bytes) => {
            let csr = CertificationRequest::parse(bytes).map_err(|error| csr_fault(&error))?;
            profile::check_requested(csr.requested())?;
            let wishes = Wishes {
                certificate_type,
                subject_der: csr.subject_der().to_vec(),
                subject_public_key_info: csr.spki_der().to_vec(),
                key_algorithm: csr.key_algorithm(),
                names: csr.requested().subject_alternative_names.clone(),
                validity_seconds,
            };
            let plan = profile::plan(wishes, limits, now)?;
            Ok((
                plan,
                KeySource::CertificationRequest {
                    der: csr.der().to_vec(),
                },
            ))
        }
        RequestSource::Generate {
            key_algorithm,
            subject,
            names,
        } => {
            let subject_der = name::from_rfc4514(subject)
                .map_err(|error| Fault::invalid("subject_invalid", "subject", error.to_string()))?;
            let wishes = Wishes {
                certificate_type,
                subject_der,
                subject_public_key_info: Vec::new(),
                key_algorithm: *key_algorithm,
                names: names.clone(),
                validity_seconds,
            };
            Ok((profile::plan(wishes, limits, now)?, KeySource::Generate))
        }
    }
}

fn csr_fault(error: &clm_pki::csr::CsrError) -> Fault {
    Fault::invalid(error.code(), error.field(), error.to_string())
}

fn check_labels(request: &NewCertificateRequest) -> Result<()> {
    if request.tags.len() > TAGS_MAX || request.custom_fields.len() > TAGS_MAX {
        let message = format!("At most {TAGS_MAX} tags and {TAGS_MAX} custom fields are allowed.");
        return Err(Fault::invalid("too_many_labels", "tags", message).into());
    }
    let bad = |text: &String| {
        text.is_empty() || text.len() > TAG_BYTES_MAX || text.chars().any(char::is_control)
    };
    let message = format!("Use 1 to {TAG_BYTES_MAX} bytes without control characters.");
    if let Some(index) = request.tags.iter().position(bad) {
        return Err(Fault::invalid("tag_invalid", format!("tags[{index}]"), message).into());
    }
    let long = |value: &String| value.len() > TAG_BYTES_MAX || value.contains('\0');
    match request
        .custom_fields
        .iter()
        .find(|(key, value)| bad(key) || long(value))
    {
        Some(_) => Err(Fault::invalid("custom_field_invalid", "custom_fields", message).into()),
        None => Ok(()),
    }
}

/// Turns the reply into what the requester gets.
fn fulfilled(issued: Issued) -> Result<Fulfilled> {
    let record = issued.event.body.record().clone();
    let certificate_request_id = record
        .certificate_request_id
        .ok_or_else(|| CoreError::internal(&"an issued certificate has no request"))?;
    let certificate = Certificate {
        certificate_id: record.certificate_id,
        organization_id: record.organization_id,
        certificate_request_id: record.certificate_request_id,
        issuer_id: record.issuer_id,
        certificate_type: record.certificate_type,
        status: record.status,
        serial_number: record.serial_number,
        subject: record.subject,
        common_name: record.common_name,
        subject_alternative_names: record.subject_alternative_names,
        fingerprint_sha256: record.fingerprint_sha256,
        spki_sha256: record.spki_sha256,
        key_algorithm: record.key_algorithm.as_str().to_owned(),
        not_before: record.not_before,
        not_after: record.not_after,
        has_private_key: record.has_private_key,
        owner_user_id: record.context.owner_user_id,
        environment: record.context.environment,
        tags: record.context.tags,
        custom_fields: record.context.custom_fields,
        revision: record.revision,
        created_at: issued.event.occurred_at,
    };
    Ok(Fulfilled {
        certificate_request_id,
        certificate: CertificateDetail {
            certificate,
            certificate_der: issued.certificate_der,
            chain_der: issued
                .chain_der
                .into_iter()
                .map(serde_bytes::ByteBuf::into_vec)
                .collect(),
        },
        replayed: issued.replayed,
    })
}

/// Whether the error is a decision about the request, not an outage.
const fn is_refusal(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Invalid
            | ErrorKind::PolicyViolation
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::ApprovalRequired
    )
}

/// Whether the error of the Secure Service is its word that it issued nothing.
const fn says_that_nothing_was_done(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Upstream | ErrorKind::Internal)
}

async fn record_refusal(context: &OpContext, core: &Core, error: &CoreError) -> Result<()> {
    let fields: Vec<&str> = error
        .0
        .violations
        .iter()
        .take(20)
        .map(|violation| violation.field.as_str())
        .collect();
    let row = AuditRow::success(
        CoreEvent::CertificateRequestRefused,
        &context.cause(),
        None,
        core.clock.now(),
        core.rng.as_ref(),
    )
    .refused(error.0.code.clone())
    .with_details(serde_json::json!({ "fields": fields }));
    audit::record(context, core, row).await
}

/// Requests of the organization, newest first.
///
/// # Errors
/// Those of [`access::authorize`] and of the Secure Service.
pub async fn list(
    context: &OpContext,
    core: &Core,
    page: PageRequest,
) -> Result<Page<CertificateRequest>> {
    let target = Target::kind(context, Resource::CertificateRequest);
    access::authorize(context, core, Action::List, target).await?;
    let command = ListCertificateRequests {
        after: page.after.map(CertificateRequestId::from_uuid),
        limit: page.limit + 1,
    };
    let rows = core
        .secure
        .list_certificate_requests(context.call(), command)
        .await?;
    Ok(page.page(rows, |request| request.certificate_request_id.as_uuid()))
}

/// One request.
///
/// # Errors
/// `NotFound` for unknown and foreign ids alike; those of [`access::authorize`].
pub async fn load(
    context: &OpContext,
    core: &Core,
    certificate_request_id: CertificateRequestId,
) -> Result<CertificateRequest> {
    let target = Target::kind(context, Resource::CertificateRequest);
    access::authorize(context, core, Action::Read, target).await?;
    let request = core
        .secure
        .load_certificate_request(
            context.call(),
            LoadCertificateRequest {
                certificate_request_id,
            },
        )
        .await?;
    let target = Target::object(
        Resource::CertificateRequest,
        request.organization_id,
        certificate_request_id.as_uuid(),
    );
    access::authorize(context, core, Action::Read, target).await?;
    Ok(request)
}
