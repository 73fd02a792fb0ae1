//! `/encryption-keys` and `/key-rotation-schedule`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use clm_api_types::encryption_keys::{
    EncryptionKey, EncryptionKeysErase, EncryptionKeysErased, KeyRotationSchedule,
};
use clm_api_types::page::{Page, PageQuery};
use clm_api_types::problem::Problem;
use clm_core::encryption_keys;
use clm_domain::ids::EncryptionKeyId;

use crate::ApiState;
use crate::convert;
use crate::operations::{id, repeatable};
use crate::problem::ApiError;
use crate::request::{Caller, Input, Parameters};

/// Encryption keys of the organization, newest first. Never their material.
#[utoipa::path(
    get, path = "/api/v1/encryption-keys", tag = "encryption keys", params(PageQuery),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Page<EncryptionKey>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<EncryptionKey>>, ApiError> {
    let page = convert::page_request(&query)?;
    let found = encryption_keys::list(&context, &state.core, page).await?;
    Ok(Json(convert::page(found, encryption_key)))
}

/// One encryption key.
#[utoipa::path(
    get, path = "/api/v1/encryption-keys/{encryption_key_id}", tag = "encryption keys",
    params(("encryption_key_id" = uuid::Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = EncryptionKey), (status = "4XX", body = Problem)),
)]
pub(crate) async fn load(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(encryption_key_id): Path<String>,
) -> Result<Json<EncryptionKey>, ApiError> {
    let encryption_key_id = EncryptionKeyId::from_uuid(id(&encryption_key_id, "encryption key")?);
    let found = encryption_keys::load(&context, &state.core, encryption_key_id).await?;
    Ok(Json(encryption_key(found)))
}

/// Says how often the data key of the organization is rotated; answers with the key.
#[utoipa::path(
    put, path = "/api/v1/key-rotation-schedule", tag = "encryption keys",
    request_body = KeyRotationSchedule,
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = EncryptionKey), (status = "4XX", body = Problem)),
)]
pub(crate) async fn set_schedule(
    State(state): State<ApiState>,
    Input { context, body }: Input<KeyRotationSchedule>,
) -> Result<Json<EncryptionKey>, ApiError> {
    let key = encryption_keys::set_schedule(&context, &state.core, body.days).await?;
    Ok(Json(encryption_key(key)))
}

/// Destroys every data key of the organization. Every private key that it holds, those of its
/// certificate authorities too, is useless from then on, for ever.
#[utoipa::path(
    post, path = "/api/v1/encryption-keys/erase", tag = "encryption keys",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = EncryptionKeysErase,
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = EncryptionKeysErased), (status = "4XX", body = Problem)),
)]
pub(crate) async fn erase(
    State(state): State<ApiState>,
    Input { context, body }: Input<EncryptionKeysErase>,
) -> Result<Response, ApiError> {
    let organization_id = context.organization_id.as_uuid();
    let EncryptionKeysErase {
        organization,
        reason,
    } = body;
    repeatable(
        &context,
        &state.core,
        StatusCode::OK,
        Box::pin(async {
            let erasing = encryption_keys::erase(&context, &state.core, &organization, reason);
            let erased = EncryptionKeysErased {
                organization_id,
                keys_destroyed: erasing.await?,
            };
            Ok((Some(organization_id), erased))
        }),
    )
    .await
}

fn encryption_key(found: encryption_keys::EncryptionKey) -> EncryptionKey {
    EncryptionKey {
        id: found.encryption_key_id.as_uuid(),
        organization_id: found.organization_id.as_uuid(),
        key_type: found.key_type,
        key_version: found.key_version,
        key_algorithm: found.key_algorithm,
        status: found.status,
        provider: found.provider,
        seal_count: found.seal_count,
        seal_count_max: found.seal_count_max,
        rotation_schedule_days: found.rotation_schedule_days,
        activated_at: found.activated_at,
        rotated_at: found.rotated_at,
        retired_at: found.retired_at,
        revoked_at: found.revoked_at,
        destroyed_at: found.destroyed_at,
        created_at: found.created_at,
    }
}
