//! `/organizations`, and the one in which a session is active.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use clm_api_types::organizations::{
    Organization, OrganizationChoice, OrganizationCreate, OrganizationStatusUpdate,
    OrganizationSummary, OrganizationUpdate,
};
use clm_api_types::page::{Page, PageQuery};
use clm_api_types::problem::Problem;
use clm_api_types::sessions::SessionCreated;
use clm_core::OpContext;
use clm_core::organizations::changes::{self, OrganizationChange};
use clm_core::organizations::{self, NewOrganization, OrganizationDetail, OrganizationRecord};
use clm_core::sessions::switching;
use clm_domain::ids::OrganizationId;

use crate::ApiState;
use crate::convert;
use crate::operations::{id, repeatable, revision, tagged};
use crate::problem::ApiError;
use crate::request::{Caller, Input, Parameters};
use crate::sessions::{session_created, with_cookie};

/// Makes an organization, from the System organization.
#[utoipa::path(
    post, path = "/api/v1/organizations", tag = "organizations",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = OrganizationCreate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 201, body = Organization), (status = "4XX", body = Problem)),
)]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Input { context, body }: Input<OrganizationCreate>,
) -> Result<Response, ApiError> {
    let new = NewOrganization {
        name: body.name,
        slug: body.slug,
        max_users: body.max_users,
        max_certificates: body.max_certificates,
    };
    let act = Box::pin(async {
        let record = organizations::create(&context, &state.core, new).await?;
        let id = record.organization_id.as_uuid();
        let detail = OrganizationDetail {
            record,
            user_count: 0,
            certificate_count: 0,
        };
        Ok((Some(id), organization(detail)))
    });
    repeatable(&context, &state.core, StatusCode::CREATED, act).await
}

/// The organizations that the caller belongs to, newest first; all of them for whoever may list them
/// in the System organization.
#[utoipa::path(
    get, path = "/api/v1/organizations", tag = "organizations", params(PageQuery),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Page<OrganizationSummary>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<OrganizationSummary>>, ApiError> {
    let page = convert::page_request(&query)?;
    let found = organizations::list(&context, &state.core, page).await?;
    Ok(Json(convert::page(found, |one| summary(&context, one))))
}

/// One organization: the active one, or any from the System organization.
#[utoipa::path(
    get, path = "/api/v1/organizations/{organization_id}", tag = "organizations",
    params(("organization_id" = uuid::Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Organization), (status = "4XX", body = Problem)),
)]
pub(crate) async fn load(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(organization_id): Path<String>,
) -> Result<Response, ApiError> {
    let named = OrganizationId::from_uuid(id(&organization_id, "organization")?);
    let found = organizations::show(&context, &state.core, named).await?;
    Ok(tagged(found.record.revision, organization(found)))
}

/// Changes an organization: its name and settings; its quotas from the System organization only.
#[utoipa::path(
    patch, path = "/api/v1/organizations/{organization_id}", tag = "organizations",
    params(("organization_id" = uuid::Uuid, Path), ("If-Match" = String, Header)),
    request_body = OrganizationUpdate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Organization), (status = "4XX", body = Problem)),
)]
pub(crate) async fn update(
    State(state): State<ApiState>,
    Path(organization_id): Path<String>,
    headers: HeaderMap,
    Input { context, body }: Input<OrganizationUpdate>,
) -> Result<Response, ApiError> {
    let named = OrganizationId::from_uuid(id(&organization_id, "organization")?);
    let read = revision(&headers, "organization")?;
    let change = OrganizationChange {
        name: body.name,
        settings: body.settings,
        max_users: body.max_users,
        max_certificates: body.max_certificates,
    };
    let changed = changes::update(&context, &state.core, (named, read), change).await?;
    Ok(tagged(changed.record.revision, organization(changed)))
}

/// Opens, suspends or closes an organization, from the System organization.
#[utoipa::path(
    put, path = "/api/v1/organizations/{organization_id}/status", tag = "organizations",
    params(("organization_id" = uuid::Uuid, Path)),
    request_body = OrganizationStatusUpdate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Organization), (status = "4XX", body = Problem)),
)]
pub(crate) async fn set_status(
    State(state): State<ApiState>,
    Path(organization_id): Path<String>,
    Input { context, body }: Input<OrganizationStatusUpdate>,
) -> Result<Response, ApiError> {
    let named = OrganizationId::from_uuid(id(&organization_id, "organization")?);
    let wanted = (body.status, body.reason);
    let changed = changes::set_status(&context, &state.core, named, wanted).await?;
    Ok(tagged(changed.record.revision, organization(changed)))
}

/// Lets the session of the request go on in another organization of its user. It gets a new token and a
/// new CSRF token.
#[utoipa::path(
    put, path = "/api/v1/sessions/current/organization", tag = "sessions",
    request_body = OrganizationChoice,
    security(("session" = [])),
    responses(
        (status = 200, body = SessionCreated, headers(("Set-Cookie" = String))),
        (status = "4XX", body = Problem),
    ),
)]
pub(crate) async fn switch(
    State(state): State<ApiState>,
    Input { context, body }: Input<OrganizationChoice>,
) -> Result<Response, ApiError> {
    let switched = switching::switch(&context, &state.core, &body.organization).await?;
    let token = Some(switched.token.clone());
    let response = Json(session_created(switched)).into_response();
    Ok(with_cookie(response, token))
}

/// Makes an organization of the caller the one in which sign-ins begin.
#[utoipa::path(
    put, path = "/api/v1/users/me/primary-organization", tag = "users",
    request_body = OrganizationChoice,
    security(("session" = [])),
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn set_primary(
    State(state): State<ApiState>,
    Input { context, body }: Input<OrganizationChoice>,
) -> Result<StatusCode, ApiError> {
    switching::set_primary(&context, &state.core, &body.organization).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn summary(context: &OpContext, found: OrganizationRecord) -> OrganizationSummary {
    OrganizationSummary {
        is_current: found.organization_id == context.organization_id,
        id: found.organization_id.as_uuid(),
        name: found.name,
        slug: found.slug,
        status: found.status,
        created_at: found.created_at,
    }
}

fn organization(found: OrganizationDetail) -> Organization {
    let record = found.record;
    Organization {
        id: record.organization_id.as_uuid(),
        name: record.name,
        slug: record.slug,
        status: record.status,
        settings: record.settings,
        max_users: record.max_users,
        max_certificates: record.max_certificates,
        user_count: found.user_count,
        certificate_count: found.certificate_count,
        revision: record.revision,
        created_at: record.created_at,
    }
}
