//! What every response and request goes through: request id, safe headers, limits, and the
//! credentials of the OpenAPI document.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use clm_api_types::{REQUEST_ID_HEADER, SESSION_COOKIE};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::RequestId;
use clm_domain::limits::REQUEST_BODY_BYTES_MAX;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};

use crate::ApiState;
use crate::problem::{self, ApiError, ProblemBody};
use crate::rate_limits::limited;

/// How long a request may take from its head to its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Wraps the routes.
pub(crate) fn with_layers(routes: Router, state: ApiState) -> Router {
    routes
        .layer(DefaultBodyLimit::max(REQUEST_BODY_BYTES_MAX))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(with_timeout))
        .layer(middleware::from_fn_with_state(state.clone(), limited))
        .layer(middleware::from_fn_with_state(state, with_request_id))
}

async fn with_timeout(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = "The request took too long. Try again with the same idempotency key.";
            ApiError::from(Fault::new(ErrorKind::Upstream, "timed_out", message)).into_response()
        }
    }
}

/// Gives the request its id, and the response its id and safe headers. Problems carry the id in
/// their body too.
async fn with_request_id(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Response {
    let request_id = RequestId::generate(state.clock.now(), state.rng.as_ref());
    request.extensions_mut().insert(request_id);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    tracing::debug!(request.id = %request_id, http.method = %method, http.path = %path,
        http.status = response.status().as_u16(), "request answered");

    if let Some(ProblemBody(mut problem)) = response.extensions_mut().remove::<ProblemBody>() {
        problem.request_id = Some(request_id.to_string());
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(body);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert(HeaderName::from_static(REQUEST_ID_HEADER), value);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A panic is a fault of ours; the client learns no more than that.
fn panicked(_panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    tracing::error!("a request handler panicked");
    problem::of_status(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "The platform failed to do this. The log of the server says why, under the request id.",
    )
    .into_response()
}

/// Adds the two credentials to the OpenAPI document.
pub(crate) struct Credentials;

impl utoipa::Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("api_key", SecurityScheme::Http(bearer));
        let cookie = ApiKey::Cookie(ApiKeyValue::new(SESSION_COOKIE));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    }
}
