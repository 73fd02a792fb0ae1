//! What a Secure Service in a process of its own answers on its local socket: the part of REST v1 that is
//! about the master key, under the same paths, and health. There is no core behind it; see
//! [`clm_core::operator`].

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clm_api_types::key_rotations::KeyRotation;
use clm_api_types::master_key::{
    MasterKey, MasterKeyBackupConfirm, MasterKeyRotationCreate, MasterKeyShares,
    MasterKeySharesCreate, SealRequest, SealStatus, UnsealShare,
};
use clm_core::operator::{Operator, Operators};
use clm_domain::secret::SecretString;
use serde::de::DeserializeOwned;

use crate::health::readiness;
use crate::key_rotations::key_rotation;
use crate::master_key::{decode, describe, new_key, seal_state, shown_shares};
use crate::peer::Peer;
use crate::problem::{self, ApiError};
use crate::request::{discard, parse, read_body};

/// What handlers share.
#[derive(Clone)]
pub struct OperatorState {
    /// What can be done.
    pub operators: Arc<Operators>,
    /// Renders the metrics of the process in the Prometheus text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// The routes. Whoever does not come through the local socket is refused by each of them.
pub fn router(state: OperatorState) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/master-key", get(load))
        .route("/api/v1/master-key/shares", post(make_shares))
        .route("/api/v1/master-key/rotations", post(rotate))
        .route(
            "/api/v1/master-key/backup-confirmation",
            post(confirm_backup),
        )
        .route("/api/v1/seal-status", get(seal_status))
        .route("/api/v1/unseal", post(unseal).delete(reset_unseal))
        .route("/api/v1/seal", post(seal))
        .fallback(elsewhere)
        .with_state(state)
}

/// Who calls, without a body.
struct Here(Operator);

impl FromRequestParts<OperatorState> for Here {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &OperatorState,
    ) -> Result<Self, Self::Rejection> {
        match parts.extensions.get::<Peer>() {
            Some(Peer::LocalOperator { uid }) => Ok(Self(Operator {
                uid: *uid,
                request_id: state.operators.request_id(),
            })),
            _ => Err(clm_core::access::unauthenticated().into()),
        }
    }
}

/// Who calls, and the JSON body.
struct HereWith<T>(Operator, T);

impl<T: DeserializeOwned> FromRequest<OperatorState> for HereWith<T> {
    type Rejection = ApiError;

    async fn from_request(
        request: Request,
        state: &OperatorState,
    ) -> Result<Self, Self::Rejection> {
        let (mut parts, mut body) = request.into_parts();
        let Here(operator) = Here::from_request_parts(&mut parts, state).await?;
        match read_body(&parts.headers, &mut body).await {
            Ok(bytes) => Ok(Self(operator, parse(&bytes)?)),
            Err(refusal) => {
                discard(&mut body).await;
                Err(refusal)
            }
        }
    }
}

async fn ready(State(state): State<OperatorState>) -> Response {
    let readiness = readiness(state.operators.check().await);
    let status = match readiness.ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(readiness)).into_response()
}

async fn metrics(State(state): State<OperatorState>, _here: Here) -> Response {
    let text = (state.metrics)();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn load(
    State(state): State<OperatorState>,
    Here(operator): Here,
) -> Result<Json<MasterKey>, ApiError> {
    Ok(Json(describe(state.operators.load(operator).await?)))
}

async fn make_shares(
    State(state): State<OperatorState>,
    HereWith(operator, body): HereWith<MasterKeySharesCreate>,
) -> Result<(StatusCode, Json<MasterKeyShares>), ApiError> {
    let numbers = (body.threshold, body.shares);
    let made = state.operators.make_shares(operator, numbers).await?;
    Ok((StatusCode::CREATED, Json(shown_shares(&made))))
}

async fn rotate(
    State(state): State<OperatorState>,
    HereWith(operator, body): HereWith<MasterKeyRotationCreate>,
) -> Result<(StatusCode, Json<KeyRotation>), ApiError> {
    let rotated = state.operators.rotate(operator, new_key(body)).await?;
    Ok((StatusCode::CREATED, Json(key_rotation(rotated))))
}

async fn confirm_backup(
    State(state): State<OperatorState>,
    HereWith(operator, body): HereWith<MasterKeyBackupConfirm>,
) -> Result<Json<MasterKey>, ApiError> {
    let check_value = body.check_value.map(|text| decode(&text)).transpose()?;
    let confirmed = state.operators.confirm_backup(operator, check_value);
    Ok(Json(describe(confirmed.await?)))
}

async fn seal_status(
    State(state): State<OperatorState>,
    Here(operator): Here,
) -> Result<Json<SealStatus>, ApiError> {
    let status = state.operators.seal_status(operator).await?;
    Ok(Json(seal_state(status)))
}

async fn unseal(
    State(state): State<OperatorState>,
    HereWith(operator, body): HereWith<UnsealShare>,
) -> Result<Json<SealStatus>, ApiError> {
    let share = SecretString::new(body.share);
    let status = state.operators.unseal(operator, share).await?;
    Ok(Json(seal_state(status)))
}

async fn reset_unseal(
    State(state): State<OperatorState>,
    Here(operator): Here,
) -> Result<Json<SealStatus>, ApiError> {
    let status = state.operators.reset_unseal(operator).await?;
    Ok(Json(seal_state(status)))
}

async fn seal(
    State(state): State<OperatorState>,
    HereWith(operator, body): HereWith<SealRequest>,
) -> Result<Json<SealStatus>, ApiError> {
    let status = state.operators.seal(operator, body.force).await?;
    Ok(Json(seal_state(status)))
}

async fn elsewhere() -> Response {
    let detail = "This process serves the Secure Service alone: here the master key is seen, replaced, \
        sealed and opened. Everything else is asked of the core.";
    problem::of_status(StatusCode::NOT_FOUND, "not_served_here", detail).into_response()
}
