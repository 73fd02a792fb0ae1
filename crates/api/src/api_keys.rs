//! `/api-keys`: credentials of programs.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::TimeDelta;
use clm_api_types::api_keys::{ApiKey, ApiKeyCreate, ApiKeyCreated, ApiKeyRotate};
use clm_api_types::page::{Page, PageQuery};
use clm_api_types::problem::Problem;
use clm_core::api_keys::rotation::{self, OVERLAP_DEFAULT, Rotation};
use clm_core::api_keys::{self, ApiKeyRecord, NewApiKey};
use clm_domain::ids::{ApiKeyId, UserId};
use clm_domain::networks::Networks;
use uuid::Uuid;

use crate::ApiState;
use crate::convert;
use crate::operations::{id, once};
use crate::problem::ApiError;
use crate::request::{Caller, Input, Parameters};

/// Makes an API key of the caller. Its secret is shown once.
#[utoipa::path(
    post, path = "/api/v1/api-keys", tag = "API keys",
    params(
        ("Idempotency-Key" = Option<String>, Header),
        ("CLM-Step-Up" = Option<String>, Header, description = "The proof of `POST /step-up`."),
    ),
    request_body = ApiKeyCreate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 201, body = ApiKeyCreated), (status = "4XX", body = Problem)),
)]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Input { context, body }: Input<ApiKeyCreate>,
) -> Result<Response, ApiError> {
    let new = NewApiKey {
        name: body.name,
        scopes: body.scopes,
        expires_at: body.expires_at,
        allowed_networks: body.allowed_networks,
        user_id: body.user_id.map(UserId::from_uuid),
    };
    once(
        &context,
        &state.core,
        StatusCode::CREATED,
        Box::pin(async {
            let created = api_keys::create(&context, &state.core, new).await?;
            let secret = created.secret.expose().to_owned();
            let api_key = api_key(created.record);
            Ok((api_key.id, ApiKeyCreated { api_key, secret }))
        }),
    )
    .await
}

/// Own API keys, newest first; those of the organization for whoever administers its users.
#[utoipa::path(
    get, path = "/api/v1/api-keys", tag = "API keys", params(PageQuery),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Page<ApiKey>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<ApiKey>>, ApiError> {
    let page = convert::page_request(&query)?;
    let found = api_keys::list(&context, &state.core, page).await?;
    Ok(Json(convert::page(found, api_key)))
}

/// Makes an API key in the place of another, which goes on for some time. The new secret is shown once.
#[utoipa::path(
    post, path = "/api/v1/api-keys/{api_key_id}/rotate", tag = "API keys",
    params(
        ("api_key_id" = uuid::Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header),
        ("CLM-Step-Up" = Option<String>, Header, description = "The proof of `POST /step-up`."),
    ),
    request_body = ApiKeyRotate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 201, body = ApiKeyCreated), (status = "4XX", body = Problem)),
)]
pub(crate) async fn rotate(
    State(state): State<ApiState>,
    Path(api_key_id): Path<String>,
    Input { context, body }: Input<ApiKeyRotate>,
) -> Result<Response, ApiError> {
    let api_key_id = ApiKeyId::from_uuid(id(&api_key_id, "API key")?);
    let overlap = match body.overlap_seconds {
        // What does not fit a duration is out of range anyway.
        Some(seconds) => TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX),
        None => OVERLAP_DEFAULT,
    };
    let rotation = Rotation {
        overlap,
        expires_at: body.expires_at,
    };
    let act = Box::pin(async {
        let created = rotation::rotate(&context, &state.core, api_key_id, rotation).await?;
        let secret = created.secret.expose().to_owned();
        let api_key = api_key(created.record);
        Ok((api_key.id, ApiKeyCreated { api_key, secret }))
    });
    once(&context, &state.core, StatusCode::CREATED, act).await
}

/// Revokes an API key.
#[utoipa::path(
    delete, path = "/api/v1/api-keys/{api_key_id}", tag = "API keys",
    params(("api_key_id" = uuid::Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn revoke(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(api_key_id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let api_key_id = ApiKeyId::from_uuid(id(&api_key_id, "API key")?);
    api_keys::revoke(&context, &state.core, api_key_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn api_key(found: ApiKeyRecord) -> ApiKey {
    ApiKey {
        id: found.api_key_id.as_uuid(),
        user_id: found.user_id.as_uuid(),
        organization_id: found.organization_id.as_uuid(),
        name: found.name,
        last_four: found.last_four,
        scopes: found.scopes,
        allowed_networks: found.allowed_networks.as_ref().map(Networks::to_texts),
        replaces_api_key_id: found.replaces_api_key_id.map(Uuid::from),
        expires_at: found.expires_at,
        revoked_at: found.revoked_at,
        last_used_at: found.last_used_at,
        usage_count: found.usage_count,
        created_at: found.created_at,
    }
}
