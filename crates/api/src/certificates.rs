//! `/certificates`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use clm_api_types::certificates::{
    Certificate, CertificateDetail, PrivateKeyExport, PrivateKeyExported,
};
use clm_api_types::page::{Page, PageQuery};
use clm_api_types::problem::Problem;
use clm_core::certificates;
use clm_domain::ids::CertificateId;
use clm_domain::secret::SecretString;

use crate::ApiState;
use crate::convert;
use crate::operations::{id, once};
use crate::problem::ApiError;
use crate::request::{Caller, Input, Parameters};

/// Certificates of the organization, newest first.
#[utoipa::path(
    get, path = "/api/v1/certificates", tag = "certificates", params(PageQuery),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Page<Certificate>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<Certificate>>, ApiError> {
    let page = convert::page_request(&query)?;
    let found = certificates::list(&context, &state.core, page).await?;
    Ok(Json(convert::page(found, convert::certificate)))
}

/// One certificate with its chain.
#[utoipa::path(
    get, path = "/api/v1/certificates/{certificate_id}", tag = "certificates",
    params(("certificate_id" = uuid::Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = CertificateDetail), (status = "4XX", body = Problem)),
)]
pub(crate) async fn load(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(certificate_id): Path<String>,
) -> Result<Json<CertificateDetail>, ApiError> {
    let certificate_id = CertificateId::from_uuid(id(&certificate_id, "certificate")?);
    let found = certificates::load(&context, &state.core, certificate_id).await?;
    Ok(Json(convert::certificate_detail(found)))
}

/// Lets the private key of a certificate leave, encrypted under a passphrase.
#[utoipa::path(
    post, path = "/api/v1/certificates/{certificate_id}/private-key-export", tag = "certificates",
    params(
        ("certificate_id" = uuid::Uuid, Path), ("Idempotency-Key" = Option<String>, Header),
        ("CLM-Step-Up" = Option<String>, Header, description = "The proof of `POST /step-up`."),
    ),
    request_body = PrivateKeyExport,
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = PrivateKeyExported), (status = "4XX", body = Problem)),
)]
pub(crate) async fn export_private_key(
    State(state): State<ApiState>,
    Path(certificate_id): Path<String>,
    Input { context, body }: Input<PrivateKeyExport>,
) -> Result<Response, ApiError> {
    let certificate_id = CertificateId::from_uuid(id(&certificate_id, "certificate")?);
    let passphrase = SecretString::new(body.passphrase);
    once(
        &context,
        &state.core,
        StatusCode::OK,
        Box::pin(async {
            let exported =
                certificates::export_private_key(&context, &state.core, certificate_id, passphrase)
                    .await?;
            let exported = PrivateKeyExported {
                certificate_id: certificate_id.as_uuid(),
                encrypted_private_key_pem: exported.expose().to_owned(),
            };
            Ok((certificate_id.as_uuid(), exported))
        }),
    )
    .await
}
