//! `/healthz`, `/readyz` and `/metrics`, outside REST v1.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use clm_api_types::health::{Check, Readiness};
use clm_core::Core;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::ApiState;
use crate::peer::Peer;
use crate::problem;

/// How long what the checks found is told again, so that nobody can make them work without end.
const READINESS_LIFETIME: Duration = Duration::from_secs(1);

pub(crate) fn routes() -> Router<ApiState> {
    let latest = Latest::default();
    Router::new()
        .route("/healthz", get(alive))
        .route(
            "/readyz",
            get(move |State(state): State<ApiState>| ready(state, latest.clone())),
        )
        .route("/metrics", get(metrics))
}

/// What the last checks found, and when. Whoever comes while they run waits for them.
type Latest = Arc<Mutex<Option<(Instant, Readiness)>>>;

/// The process answers.
async fn alive() -> &'static str {
    "ok\n"
}

/// Everything that issuing needs answers.
async fn ready(state: ApiState, latest: Latest) -> Response {
    let mut latest = latest.lock().await;
    let readiness = match &*latest {
        Some((at, readiness)) if at.elapsed() < READINESS_LIFETIME => readiness.clone(),
        _ => {
            let readiness = check(&state.core).await;
            *latest = Some((Instant::now(), readiness.clone()));
            readiness
        }
    };
    drop(latest);
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}

async fn check(core: &Core) -> Readiness {
    readiness(clm_core::health::check(core).await)
}

/// What checks found, for programs.
pub(crate) fn readiness(checks: Vec<clm_core::health::Check>) -> Readiness {
    let checks: Vec<Check> = checks
        .into_iter()
        .map(|check| Check {
            name: check.name.to_owned(),
            passed: check.passed,
            message: check.message,
        })
        .collect();
    let ready = checks.iter().all(|check| check.passed);
    Readiness { ready, checks }
}

/// For programs on this machine only: the numbers tell about every organization.
async fn metrics(State(state): State<ApiState>, peer: Option<Extension<Peer>>) -> Response {
    if !peer.is_some_and(|Extension(peer)| is_here(peer)) {
        let detail = "The metrics are for this machine only: ask through loopback or clm.sock.";
        return problem::of_status(StatusCode::FORBIDDEN, "local_only", detail).into_response();
    }
    let text = (state.metrics)();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// Whether the other end is on this machine.
fn is_here(peer: Peer) -> bool {
    match peer {
        Peer::LocalOperator { .. } => true,
        Peer::Network(address) => address.to_canonical().is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_peers_on_this_machine_are_here() {
        let network = |text: &str| Peer::Network(text.parse().unwrap());
        assert!(is_here(Peer::LocalOperator { uid: 0 }));
        assert!(is_here(network("127.0.0.1")));
        assert!(is_here(network("::ffff:127.0.0.1")));
        assert!(is_here(network("::1")));
        assert!(!is_here(network("192.0.2.1")));
        assert!(!is_here(network("::ffff:192.0.2.1")));
    }
}
