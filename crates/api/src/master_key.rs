//! `/master-key`, `/seal-status`, `/unseal` and `/seal`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use clm_api_types::key_rotations::KeyRotation;
use clm_api_types::master_key::{
    MasterKey, MasterKeyBackupConfirm, MasterKeyRotationCreate, MasterKeyShare, MasterKeyShares,
    MasterKeySharesCreate, SealRequest, SealStatus, UnsealShare,
};
use clm_api_types::problem::Problem;
use clm_core::master_key::{self, NewMasterKey};
use clm_domain::error::Fault;
use clm_domain::secret::SecretString;

use crate::ApiState;
use crate::key_rotations::key_rotation;
use crate::operations::{once, repeatable};
use crate::problem::ApiError;
use crate::request::{Caller, Input};

/// The master key in force: where it is, never the key.
#[utoipa::path(
    get, path = "/api/v1/master-key", tag = "master key",
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = MasterKey), (status = "4XX", body = Problem)),
)]
pub(crate) async fn load(
    State(state): State<ApiState>,
    Caller(context): Caller,
) -> Result<Json<MasterKey>, ApiError> {
    let found = master_key::load(&context, &state.core).await?;
    Ok(Json(describe(found)))
}

/// Makes shares of a master key that may come, and shows them once. Nothing changes until a rotation
/// names the set, within 15 minutes.
#[utoipa::path(
    post, path = "/api/v1/master-key/shares", tag = "master key",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = MasterKeySharesCreate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 201, body = MasterKeyShares), (status = "4XX", body = Problem)),
)]
pub(crate) async fn make_shares(
    State(state): State<ApiState>,
    Input { context, body }: Input<MasterKeySharesCreate>,
) -> Result<Response, ApiError> {
    let numbers = (body.threshold, body.shares);
    once(
        &context,
        &state.core,
        StatusCode::CREATED,
        Box::pin(async {
            let made = master_key::make_shares(&context, &state.core, numbers).await?;
            Ok((made.share_set_id, shown_shares(&made)))
        }),
    )
    .await
}

/// Replaces the master key: every data key of every organization is wrapped anew, at once. To name the
/// set of shares that is in force already changes nothing and is answered with the rotation that put it
/// there: whoever did not get the answer may ask again.
#[utoipa::path(
    post, path = "/api/v1/master-key/rotations", tag = "master key",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = MasterKeyRotationCreate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 201, body = KeyRotation), (status = "4XX", body = Problem)),
)]
pub(crate) async fn rotate(
    State(state): State<ApiState>,
    Input { context, body }: Input<MasterKeyRotationCreate>,
) -> Result<Response, ApiError> {
    let new = new_key(body);
    repeatable(
        &context,
        &state.core,
        StatusCode::CREATED,
        Box::pin(async {
            let rotated = master_key::rotate(&context, &state.core, new).await?;
            let id = rotated.key_rotation_id.as_uuid();
            Ok((Some(id), key_rotation(rotated)))
        }),
    )
    .await
}

/// Proves that a copy of the master key exists.
#[utoipa::path(
    post, path = "/api/v1/master-key/backup-confirmation", tag = "master key",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = MasterKeyBackupConfirm,
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = MasterKey), (status = "4XX", body = Problem)),
)]
pub(crate) async fn confirm_backup(
    State(state): State<ApiState>,
    Input { context, body }: Input<MasterKeyBackupConfirm>,
) -> Result<Response, ApiError> {
    let check_value = body.check_value.map(|text| decode(&text)).transpose()?;
    repeatable(
        &context,
        &state.core,
        StatusCode::OK,
        Box::pin(async {
            let confirmed = master_key::confirm_backup(&context, &state.core, check_value).await?;
            let id = confirmed.encryption_key_id.as_uuid();
            Ok((Some(id), describe(confirmed)))
        }),
    )
    .await
}

/// Whether the master key is sealed, and how many shares were given.
#[utoipa::path(
    get, path = "/api/v1/seal-status", tag = "master key",
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = SealStatus), (status = "4XX", body = Problem)),
)]
pub(crate) async fn seal_status(
    State(state): State<ApiState>,
    Caller(context): Caller,
) -> Result<Json<SealStatus>, ApiError> {
    let status = master_key::seal_status(&context, &state.core).await?;
    Ok(Json(seal_state(status)))
}

/// Gives one share of a split master key. The last one that is needed opens the service; one that was
/// given before changes nothing.
#[utoipa::path(
    post, path = "/api/v1/unseal", tag = "master key",
    request_body = UnsealShare,
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = SealStatus), (status = "4XX", body = Problem)),
)]
pub(crate) async fn unseal(
    State(state): State<ApiState>,
    Input { context, body }: Input<UnsealShare>,
) -> Result<Json<SealStatus>, ApiError> {
    let share = SecretString::new(body.share);
    let status = master_key::unseal(&context, &state.core, share).await?;
    Ok(Json(seal_state(status)))
}

/// Forgets the shares that were given.
#[utoipa::path(
    delete, path = "/api/v1/unseal", tag = "master key",
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = SealStatus), (status = "4XX", body = Problem)),
)]
pub(crate) async fn reset_unseal(
    State(state): State<ApiState>,
    Caller(context): Caller,
) -> Result<Json<SealStatus>, ApiError> {
    let status = master_key::reset_unseal(&context, &state.core).await?;
    Ok(Json(seal_state(status)))
}

/// Takes a split master key out of the server's memory: nothing is opened until its custodians come.
/// Refused with code `backup_unconfirmed` while nobody has proved that its shares give it.
#[utoipa::path(
    post, path = "/api/v1/seal", tag = "master key",
    request_body = SealRequest,
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = SealStatus), (status = "4XX", body = Problem)),
)]
pub(crate) async fn seal(
    State(state): State<ApiState>,
    Input { context, body }: Input<SealRequest>,
) -> Result<Json<SealStatus>, ApiError> {
    let status = master_key::seal(&context, &state.core, body.force).await?;
    Ok(Json(seal_state(status)))
}

pub(crate) fn new_key(body: MasterKeyRotationCreate) -> NewMasterKey {
    NewMasterKey {
        provider: body.provider,
        share_set_id: body.share_set_id,
        rotation_type: body.rotation_type,
        reason: body.reason,
        give_up: body.give_up.into_iter().map(Into::into).collect(),
    }
}

pub(crate) fn shown_shares(made: &master_key::MasterKeyShares) -> MasterKeyShares {
    let shares = made.shares.iter().map(|share| MasterKeyShare {
        index: share.index,
        text: share.text.expose().to_owned(),
    });
    MasterKeyShares {
        share_set_id: made.share_set_id,
        expires_at: made.expires_at,
        shares: shares.collect(),
    }
}

pub(crate) fn decode(text: &str) -> Result<[u8; 32], ApiError> {
    let mut value = [0_u8; 32];
    hex::decode_to_slice(text, &mut value).map_err(|_| {
        let message = "A check value is 64 hexadecimal digits.";
        ApiError::from(Fault::invalid(
            "check_value_invalid",
            "check_value",
            message,
        ))
    })?;
    Ok(value)
}

pub(crate) fn describe(found: master_key::MasterKey) -> MasterKey {
    MasterKey {
        id: found.encryption_key_id.as_uuid(),
        key_version: found.key_version,
        provider: found.provider,
        place: found.place,
        data_keys: found.data_keys,
        data_keys_astray: found.data_keys_astray,
        threshold: found.threshold,
        shares: found.shares,
        activated_at: found.activated_at,
        backup_confirmed_at: found.backup_confirmed_at,
    }
}

pub(crate) fn seal_state(status: master_key::SealStatus) -> SealStatus {
    SealStatus {
        sealed: status.sealed,
        master_key_id: status.encryption_key_id.map(|id| id.as_uuid()),
        threshold: status.threshold,
        shares: status.shares,
        given: status.given,
        changed: status.changed,
        expires_at: status.expires_at,
    }
}
