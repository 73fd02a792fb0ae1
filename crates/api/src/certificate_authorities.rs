//! `/certificate-authorities`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use clm_api_types::certificate_authorities::{
    CertificateAuthority, CertificateAuthorityCreate, IssuerLimitsUpdate,
};
use clm_api_types::page::{Page, PageQuery};
use clm_api_types::problem::Problem;
use clm_core::certificate_authorities::{self, IssuerLimitsChange, NewCertificateAuthority};
use clm_domain::ids::IssuerId;

use crate::ApiState;
use crate::convert;
use crate::operations::{id, repeatable, revision};
use crate::problem::ApiError;
use crate::request::{Caller, Input, Parameters};

/// Creates a certificate authority of the caller's organization, with its key. Takes the proof of
/// `POST /step-up` for exactly this authority; API keys cannot, and the operator of the machine needs none.
#[utoipa::path(
    post, path = "/api/v1/certificate-authorities", tag = "certificate authorities",
    params(
        ("Idempotency-Key" = Option<String>, Header),
        ("CLM-Step-Up" = Option<String>, Header, description = "The proof of `POST /step-up`."),
    ),
    request_body = CertificateAuthorityCreate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 201, body = CertificateAuthority), (status = "4XX", body = Problem)),
)]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Input { context, body }: Input<CertificateAuthorityCreate>,
) -> Result<Response, ApiError> {
    let new = wished(body);
    repeatable(
        &context,
        &state.core,
        StatusCode::CREATED,
        Box::pin(async {
            let created = certificate_authorities::create(&context, &state.core, new).await?;
            Ok((
                Some(created.issuer_id.as_uuid()),
                convert::certificate_authority(created),
            ))
        }),
    )
    .await
}

/// What is asked for.
pub(crate) fn wished(body: CertificateAuthorityCreate) -> NewCertificateAuthority {
    NewCertificateAuthority {
        name: body.name,
        subject: body.subject,
        parent_issuer_id: body.parent_id.map(IssuerId::from_uuid),
        key_algorithm: body.key_algorithm,
        signature_algorithm: body.signature_algorithm,
        validity_days: body.validity_days,
        path_length_max: body.path_length_max,
        limits: body.limits,
        organization_ids: Vec::new(),
    }
}

/// Certificate authorities that the organization owns or may use, oldest first.
#[utoipa::path(
    get, path = "/api/v1/certificate-authorities", tag = "certificate authorities",
    params(PageQuery),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Page<CertificateAuthority>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<CertificateAuthority>>, ApiError> {
    let page = convert::page_request(&query)?;
    let found = certificate_authorities::list(&context, &state.core, page).await?;
    Ok(Json(convert::page(found, convert::certificate_authority)))
}

/// One certificate authority.
#[utoipa::path(
    get, path = "/api/v1/certificate-authorities/{certificate_authority_id}",
    tag = "certificate authorities", params(("certificate_authority_id" = uuid::Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = CertificateAuthority), (status = "4XX", body = Problem)),
)]
pub(crate) async fn load(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(authority_id): Path<String>,
) -> Result<Json<CertificateAuthority>, ApiError> {
    let issuer_id = IssuerId::from_uuid(id(&authority_id, "certificate authority")?);
    let found = certificate_authorities::load(&context, &state.core, issuer_id).await?;
    Ok(Json(convert::certificate_authority(found)))
}

/// Changes what a certificate authority may ever sign. Takes the proof of `POST /step-up` for exactly
/// this change; the operator of the machine needs none.
#[utoipa::path(
    put, path = "/api/v1/certificate-authorities/{certificate_authority_id}/limits",
    tag = "certificate authorities",
    params(
        ("certificate_authority_id" = uuid::Uuid, Path),
        ("If-Match" = String, Header, description = "The `revision` that was read, in quotes."),
        ("CLM-Step-Up" = Option<String>, Header, description = "The proof of `POST /step-up`."),
    ),
    request_body = IssuerLimitsUpdate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = CertificateAuthority), (status = "4XX", body = Problem)),
)]
pub(crate) async fn change_limits(
    State(state): State<ApiState>,
    Path(authority_id): Path<String>,
    headers: HeaderMap,
    Input { context, body }: Input<IssuerLimitsUpdate>,
) -> Result<Json<CertificateAuthority>, ApiError> {
    let change = IssuerLimitsChange {
        issuer_id: IssuerId::from_uuid(id(&authority_id, "certificate authority")?),
        limits: body.limits,
        revision: revision(&headers, "certificate authority")?,
        reason: body.reason,
    };
    let changed = certificate_authorities::change_limits(&context, &state.core, change).await?;
    Ok(Json(convert::certificate_authority(changed)))
}
