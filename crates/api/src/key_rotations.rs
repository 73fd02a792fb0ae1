//! `/key-rotations`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use clm_api_types::key_rotations::{ExposedKey, ExposedSecret, KeyRotation, KeyRotationCreate};
use clm_api_types::page::{Page, PageQuery};
use clm_api_types::problem::Problem;
use clm_core::key_rotations::{self, NewKeyRotation};
use clm_domain::ids::KeyRotationId;
use uuid::Uuid;

use crate::ApiState;
use crate::convert;
use crate::operations::{id, repeatable};
use crate::problem::ApiError;
use crate::request::{Caller, Input, Parameters};

/// Starts a rotation of the organization's data key. Answers at once; the work goes on beside
/// everything else.
#[utoipa::path(
    post, path = "/api/v1/key-rotations", tag = "encryption keys",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = KeyRotationCreate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 201, body = KeyRotation), (status = "4XX", body = Problem)),
)]
pub(crate) async fn start(
    State(state): State<ApiState>,
    Input { context, body }: Input<KeyRotationCreate>,
) -> Result<Response, ApiError> {
    let new = NewKeyRotation {
        rotation_type: body.rotation_type,
        reason: body.reason,
        items_per_second_max: body.items_per_second_max,
    };
    repeatable(
        &context,
        &state.core,
        StatusCode::CREATED,
        Box::pin(async {
            let started = key_rotations::start(&context, &state.core, new).await?;
            Ok((
                Some(started.key_rotation_id.as_uuid()),
                key_rotation(started),
            ))
        }),
    )
    .await
}

/// Rotations of the organization's keys, newest first.
#[utoipa::path(
    get, path = "/api/v1/key-rotations", tag = "encryption keys", params(PageQuery),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Page<KeyRotation>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<KeyRotation>>, ApiError> {
    let page = convert::page_request(&query)?;
    let found = key_rotations::list(&context, &state.core, page).await?;
    Ok(Json(convert::page(found, key_rotation)))
}

/// One rotation, with its progress.
#[utoipa::path(
    get, path = "/api/v1/key-rotations/{key_rotation_id}", tag = "encryption keys",
    params(("key_rotation_id" = uuid::Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = KeyRotation), (status = "4XX", body = Problem)),
)]
pub(crate) async fn load(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(key_rotation_id): Path<String>,
) -> Result<Json<KeyRotation>, ApiError> {
    let found = key_rotations::load(&context, &state.core, named(&key_rotation_id)?).await?;
    Ok(Json(key_rotation(found)))
}

/// Rolls a running rotation back: the old key is active again, and everything moves back to it.
#[utoipa::path(
    post, path = "/api/v1/key-rotations/{key_rotation_id}/cancel", tag = "encryption keys",
    params(("key_rotation_id" = uuid::Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = KeyRotation), (status = "4XX", body = Problem)),
)]
pub(crate) async fn cancel(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(key_rotation_id): Path<String>,
) -> Result<Json<KeyRotation>, ApiError> {
    let cancelled = key_rotations::cancel(&context, &state.core, named(&key_rotation_id)?).await?;
    Ok(Json(key_rotation(cancelled)))
}

/// Private keys that a rotation of type `compromise` exposed: what to replace, and which
/// certificates to revoke.
#[utoipa::path(
    get, path = "/api/v1/key-rotations/{key_rotation_id}/exposed-keys", tag = "encryption keys",
    params(("key_rotation_id" = uuid::Uuid, Path), PageQuery),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Page<ExposedKey>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn list_exposed(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(key_rotation_id): Path<String>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<ExposedKey>>, ApiError> {
    let page = convert::page_request(&query)?;
    let key_rotation_id = named(&key_rotation_id)?;
    let found = key_rotations::list_exposed(&context, &state.core, key_rotation_id, page).await?;
    Ok(Json(convert::page(found, exposed_key)))
}

/// Secrets that a rotation of type `compromise` exposed: second factors to enrol anew, secrets to
/// replace.
#[utoipa::path(
    get, path = "/api/v1/key-rotations/{key_rotation_id}/exposed-secrets", tag = "encryption keys",
    params(("key_rotation_id" = uuid::Uuid, Path), PageQuery),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Page<ExposedSecret>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn list_exposed_secrets(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(key_rotation_id): Path<String>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<ExposedSecret>>, ApiError> {
    let page = convert::page_request(&query)?;
    let id = named(&key_rotation_id)?;
    let found = key_rotations::list_exposed_secrets(&context, &state.core, id, page).await?;
    Ok(Json(convert::page(found, |secret| ExposedSecret {
        id: secret.sealed_secret_id.as_uuid(),
        purpose: secret.purpose,
        owner_id: secret.owner_id,
        destroyed: secret.destroyed,
    })))
}

fn named(key_rotation_id: &str) -> Result<KeyRotationId, ApiError> {
    id(key_rotation_id, "key rotation").map(KeyRotationId::from_uuid)
}

pub(crate) fn key_rotation(found: key_rotations::KeyRotation) -> KeyRotation {
    KeyRotation {
        id: found.key_rotation_id.as_uuid(),
        organization_id: found.organization_id.as_uuid(),
        rotation_type: found.rotation_type,
        status: found.status,
        old_encryption_key_id: found.old_encryption_key_id.as_uuid(),
        new_encryption_key_id: found.new_encryption_key_id.map(Uuid::from),
        initiated_by_user_id: found.initiated_by_user_id.map(Uuid::from),
        reason: found.reason,
        items_total: found.items_total,
        items_processed: found.items_processed,
        items_failed: found.items_failed,
        items_rolled_back: found.items_rolled_back,
        items_per_second_max: found.items_per_second_max,
        started_at: found.started_at,
        rollback_started_at: found.rollback_started_at,
        completed_at: found.completed_at,
        error_message: found.error_message,
    }
}

fn exposed_key(found: key_rotations::ExposedKey) -> ExposedKey {
    ExposedKey {
        id: found.private_key_id.as_uuid(),
        is_issuer_key: found.is_issuer_key,
        key_algorithm: found.key_algorithm,
        spki_sha256: hex::encode(found.spki_sha256),
        certificate_ids: found.certificate_ids.into_iter().map(Uuid::from).collect(),
    }
}
