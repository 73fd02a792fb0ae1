//! Extractors: who calls ([`Caller`]), and what they send ([`Input`]).

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use clm_api_types::{
    CSRF_HEADER, IDEMPOTENCY_HEADER, ORGANIZATION_HEADER, SESSION_COOKIE, STEP_UP_HEADER,
};
use clm_core::authentication::{self, CsrfProof};
use clm_core::context::{HttpRequest, Idempotency, OpContext, RequestInfo};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::RequestId;
use clm_domain::limits::{IDEMPOTENCY_KEY_BYTES_MAX, REQUEST_BODY_BYTES_MAX};
use clm_domain::secret::SecretString;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::ApiState;
use crate::peer::Peer;
use crate::problem::{self, ApiError};
use crate::rate_limits;

/// Longest user agent that is kept, in characters.
const USER_AGENT_CHARACTERS_MAX: usize = 200;
/// Longest credential that is looked at, in bytes.
const CREDENTIAL_BYTES_MAX: usize = 512;

/// Longest part of a refused body that is still read, in bytes. A client that writes when the
/// connection ends gets an error of its own instead of our answer.
const DISCARDED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The authenticated caller of an operation without a body.
pub(crate) struct Caller(pub(crate) OpContext);

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &ApiState,
    ) -> Result<Self, Self::Rejection> {
        let request = request_info(parts, state, &[])?;
        authenticate(parts, state, request).await.map(Self)
    }
}

/// The query of a list. What does not fit is a problem document like any other.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<ApiState> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &ApiState,
    ) -> Result<Self, Self::Rejection> {
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| {
                let message = format!("The query does not fit: {}.", rejection.body_text());
                problem::of_status(StatusCode::BAD_REQUEST, "malformed_query", &message)
                    .with_field("query", &message)
            })
    }
}

/// The authenticated caller of an operation, and its JSON body.
pub(crate) struct Input<T> {
    pub(crate) context: OpContext,
    pub(crate) body: T,
}

impl<T: DeserializeOwned> FromRequest<ApiState> for Input<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Self::Rejection> {
        let (parts, mut body) = request.into_parts();
        // The caller is known before the body is read: nobody unknown makes us read one.
        let bare = request_info(&parts, state, &[])?;
        let mut context = authenticate(&parts, state, bare).await?;
        let bytes = match read_body(&parts.headers, &mut body).await {
            Ok(bytes) => bytes,
            Err(refusal) => {
                discard(&mut body).await;
                return Err(refusal);
            }
        };
        context.request = request_info(&parts, state, &bytes)?;
        Ok(Self {
            context,
            body: parse(&bytes)?,
        })
    }
}

/// A caller who need not be known yet, and the JSON body: for signing in, and for links that
/// came by mail.
pub(crate) struct AnonymousInput<T> {
    pub(crate) context: OpContext,
    pub(crate) body: T,
}

impl<T: DeserializeOwned> FromRequest<ApiState> for AnonymousInput<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Self::Rejection> {
        let (parts, mut body) = request.into_parts();
        let bytes = read_body(&parts.headers, &mut body).await?;
        let info = request_info(&parts, state, &bytes)?;
        let context = authentication::anonymous(&state.core, info);
        Ok(Self {
            context,
            body: parse(&bytes)?,
        })
    }
}

/// Finds out who calls, and counts the request.
async fn authenticate(
    parts: &Parts,
    state: &ApiState,
    request: RequestInfo,
) -> Result<OpContext, ApiError> {
    let context = identify(parts, state, request).await?;
    rate_limits::count_principal(state, parts.extensions.get(), &context)?;
    Ok(context)
}

/// Finds out who calls: an API key, a session, or the local operator.
async fn identify(
    parts: &Parts,
    state: &ApiState,
    request: RequestInfo,
) -> Result<OpContext, ApiError> {
    let core = &state.core;
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let secret = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, secret)| {
                scheme.eq_ignore_ascii_case("bearer") && secret.len() <= CREDENTIAL_BYTES_MAX
            })
            .map(|(_, secret)| secret.trim())
            .ok_or_else(clm_core::access::unauthenticated)?;
        return Ok(authentication::with_api_key(core, request, secret).await?);
    }
    if let Some(token) = cookie(&parts.headers, SESSION_COOKIE) {
        let csrf = if parts.method == Method::GET || parts.method == Method::HEAD {
            CsrfProof::NotNeeded
        } else {
            let token = parts
                .headers
                .get(CSRF_HEADER)
                .and_then(|value| value.to_str().ok());
            CsrfProof::Token(token)
        };
        return Ok(authentication::with_session(core, request, token, csrf).await?);
    }
    if let Some(Peer::LocalOperator { uid }) = parts.extensions.get::<Peer>() {
        let organization = match parts.headers.get(ORGANIZATION_HEADER) {
            // Never fall back to another organization than the one that was meant.
            Some(value) => Some(value.to_str().map_err(|_| organization_unreadable())?),
            None => None,
        };
        return Ok(authentication::as_local_operator(core, request, *uid, organization).await?);
    }
    Err(clm_core::access::unauthenticated().into())
}

fn organization_unreadable() -> ApiError {
    let message = "Name the organization by its slug or its id.";
    Fault::invalid("organization_invalid", ORGANIZATION_HEADER, message).into()
}

/// Where the request came from, what it asks for, and the idempotency key bound to its body.
fn request_info(parts: &Parts, state: &ApiState, body: &[u8]) -> Result<RequestInfo, ApiError> {
    let request_id = parts
        .extensions
        .get::<RequestId>()
        .copied()
        .unwrap_or_else(|| RequestId::generate(state.clock.now(), state.rng.as_ref()));
    let ip_address = match parts.extensions.get::<Peer>() {
        Some(Peer::Network(address)) => Some(address.to_string()),
        _ => None,
    };
    let user_agent = parts
        .headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .map(|agent| agent.chars().take(USER_AGENT_CHARACTERS_MAX).collect());
    let idempotency = idempotency_key(&parts.headers)?.map(|key| Idempotency {
        key,
        // The path with its ids: the same key on another object is another act.
        route: format!("{} {}", parts.method, parts.uri.path()),
        request_sha256: Sha256::digest(body).into(),
    });
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    let http = (!reads).then(|| HttpRequest {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        body_sha256: Sha256::digest(body).into(),
    });
    Ok(RequestInfo {
        request_id,
        ip_address,
        user_agent,
        idempotency,
        http,
        step_up_proof: step_up_proof(&parts.headers),
    })
}

/// The step-up proof, if the request brings one. One that is no text is as wrong as any other.
fn step_up_proof(headers: &HeaderMap) -> Option<SecretString> {
    let value = headers.get(STEP_UP_HEADER)?;
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    Some(SecretString::new(text))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_HEADER) else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default().trim().trim_matches('"');
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX || !visible {
        let message = format!(
            "The idempotency key must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters."
        );
        return Err(Fault::invalid("idempotency_key_invalid", IDEMPOTENCY_HEADER, message).into());
    }
    Ok(Some(key.to_owned()))
}

pub(crate) async fn read_body(headers: &HeaderMap, body: &mut Body) -> Result<Vec<u8>, ApiError> {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        let detail = "Send the body as 'Content-Type: application/json'.";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(problem::of_status(status, "unsupported_media_type", detail)
            .with_field("content-type", detail));
    }
    let mut bytes = Vec::new();
    while let Some(part) = next_part(body).await? {
        if bytes.len() + part.len() > REQUEST_BODY_BYTES_MAX {
            let detail = format!("The body has more than {REQUEST_BODY_BYTES_MAX} bytes.");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return Err(
                problem::of_status(status, "body_too_large", &detail).with_field("body", &detail)
            );
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// The next part of a body; none at its end.
async fn next_part(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        match frame.map(|frame| frame.map(|frame| frame.into_data())) {
            None => return Ok(None),
            Some(Ok(Ok(part))) => return Ok(Some(part)),
            // Trailers, which nobody asks for.
            Some(Ok(Err(_))) => {}
            Some(Err(_)) => {
                let detail = "The body could not be read to its end.";
                let status = StatusCode::BAD_REQUEST;
                return Err(problem::of_status(status, "body_unreadable", detail)
                    .with_field("body", detail));
            }
        }
    }
}

/// Reads what is left of a refused body, within limits.
pub(crate) async fn discard(body: &mut Body) {
    let mut length = 0;
    while length <= DISCARDED_BYTES_MAX {
        match next_part(body).await {
            Ok(Some(part)) => length += part.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

/// Reads the body and names the field where it does not fit.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // An array would be read as the fields in their order.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        let message = "The body must be a JSON object.";
        return Err(Fault::invalid("malformed_json", "body", message).into());
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "body".to_owned() } else { path };
        let inner = error.inner();
        let message = if inner.is_data() {
            format!("The field does not fit: {inner}.")
        } else {
            format!("The body is not JSON: {inner}.")
        };
        let mut fault = Fault::new(ErrorKind::Invalid, "malformed_json", message.clone());
        fault = fault.with_violation(field, message);
        ApiError::from(fault)
    })?;
    deserializer.end().map_err(|_| {
        let message = "The body goes on after its JSON value.";
        ApiError::from(Fault::invalid("malformed_json", "body", message))
    })?;
    Ok(value)
}

/// The value of a cookie. Two cookies of the name are none: which one would be meant?
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(found, _)| *found == name)
        .map(|(_, value)| value);
    let value = values
        .next()
        .filter(|value| value.len() <= CREDENTIAL_BYTES_MAX)?;
    values.next().is_none().then_some(value)
}
