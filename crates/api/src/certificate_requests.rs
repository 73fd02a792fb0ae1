//! `/certificate-requests`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use clm_api_types::certificate_requests::{
    CertificateRequest, CertificateRequestCreate, CertificateRequestCreated,
};
use clm_api_types::page::{Page, PageQuery};
use clm_api_types::problem::Problem;
use clm_core::certificate_requests::{self, NewCertificateRequest, RequestSource};
use clm_domain::error::Fault;
use clm_domain::general_name::GeneralName;
use clm_domain::ids::{CertificateRequestId, IssuerId};
use clm_domain::states::{CertificateRequestStatus, CertificateType};

use crate::ApiState;
use crate::convert;
use crate::operations::id;
use crate::problem::ApiError;
use crate::request::{Caller, Input, Parameters};

/// Asks for a certificate. The idempotency key makes a retry return the same certificate.
#[utoipa::path(
    post, path = "/api/v1/certificate-requests", tag = "certificate requests",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = CertificateRequestCreate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 201, body = CertificateRequestCreated), (status = "4XX", body = Problem)),
)]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Input { context, body }: Input<CertificateRequestCreate>,
) -> Result<Response, ApiError> {
    let request = NewCertificateRequest {
        source: source(&body)?,
        issuer_id: body.certificate_authority_id.map(IssuerId::from_uuid),
        certificate_type: body.certificate_type.unwrap_or(CertificateType::Server),
        validity_seconds: body.validity_seconds,
        environment: body.environment,
        tags: body.tags,
        custom_fields: body.custom_fields,
    };
    let fulfilled = certificate_requests::create(&context, &state.core, request).await?;
    let request_id = fulfilled.certificate_request_id;
    let location = format!("/api/v1/certificate-requests/{request_id}");
    let created = CertificateRequestCreated {
        id: request_id.as_uuid(),
        status: CertificateRequestStatus::Fulfilled,
        certificate: convert::certificate_detail(fulfilled.certificate),
    };
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(created),
    )
        .into_response())
}

/// Where the key and the names come from: exactly one of `csr` and `key_algorithm`.
fn source(body: &CertificateRequestCreate) -> Result<RequestSource, ApiError> {
    match (&body.csr, body.key_algorithm) {
        (Some(csr), None) => {
            if body.subject.is_some() || !body.subject_alternative_names.is_empty() {
                let message = "With a CSR the names stand in the CSR.";
                return Err(Fault::invalid("names_beside_csr", "subject", message).into());
            }
            Ok(RequestSource::CertificationRequest(csr.as_bytes().to_vec()))
        }
        (None, Some(key_algorithm)) => {
            let names = body
                .subject_alternative_names
                .iter()
                .enumerate()
                .map(|(index, text)| name(index, text))
                .collect::<Result<Vec<_>, _>>()?;
            let subject = body.subject.clone().unwrap_or_default();
            Ok(RequestSource::Generate {
                key_algorithm,
                subject,
                names,
            })
        }
        _ => {
            let message = "Give either 'csr', or 'key_algorithm' for a key made by the platform.";
            Err(Fault::invalid("key_source_missing", "csr", message).into())
        }
    }
}

/// Reads a name such as `DNS:app.example`.
fn name(index: usize, text: &str) -> Result<GeneralName, ApiError> {
    let unknown = || {
        let field = format!("subject_alternative_names[{index}]");
        let message = "Write a name as DNS:…, IP:…, URI:… or email:….";
        ApiError::from(Fault::invalid(
            "subject_alternative_names_invalid",
            field,
            message,
        ))
    };
    let (form, value) = text.split_once(':').ok_or_else(unknown)?;
    match form.to_ascii_lowercase().as_str() {
        "dns" => Ok(GeneralName::Dns(value.to_owned())),
        "ip" => value.parse().map(GeneralName::Ip).map_err(|_| unknown()),
        "uri" => Ok(GeneralName::Uri(value.to_owned())),
        "email" => Ok(GeneralName::Email(value.to_owned())),
        _ => Err(unknown()),
    }
}

/// Certificate requests of the organization, newest first.
#[utoipa::path(
    get, path = "/api/v1/certificate-requests", tag = "certificate requests", params(PageQuery),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Page<CertificateRequest>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<CertificateRequest>>, ApiError> {
    let page = convert::page_request(&query)?;
    let found = certificate_requests::list(&context, &state.core, page).await?;
    Ok(Json(convert::page(found, convert::certificate_request)))
}

/// One certificate request.
#[utoipa::path(
    get, path = "/api/v1/certificate-requests/{certificate_request_id}",
    tag = "certificate requests", params(("certificate_request_id" = uuid::Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = CertificateRequest), (status = "4XX", body = Problem)),
)]
pub(crate) async fn load(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(request_id): Path<String>,
) -> Result<Json<CertificateRequest>, ApiError> {
    let request_id = CertificateRequestId::from_uuid(id(&request_id, "certificate request")?);
    let found = certificate_requests::load(&context, &state.core, request_id).await?;
    Ok(Json(convert::certificate_request(found)))
}
