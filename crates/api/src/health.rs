//! `/healthz`, `/readyz` and `/metrics`, outside REST v1.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use clm_api_types::health::{Check, Readiness};

use crate::ApiState;

pub(crate) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// The process answers.
async fn alive() -> &'static str {
    "ok\n"
}

/// Everything that issuing needs answers.
async fn ready(State(state): State<ApiState>) -> Response {
    let checks: Vec<Check> = clm_core::health::check(&state.core)
        .await
        .into_iter()
        .map(|check| Check {
            name: check.name.to_owned(),
            passed: check.passed,
            message: check.message,
        })
        .collect();
    let ready = checks.iter().all(|check| check.passed);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Readiness { ready, checks })).into_response()
}

async fn metrics(State(state): State<ApiState>) -> Response {
    let text = (state.metrics)();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
