//! What operations share: reading ids, and answers that survive a repetition.

use std::future::Future;
use std::pin::Pin;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use clm_core::error::Result;
use clm_core::idempotency::{self, Answer, Once};
use clm_core::{Core, OpContext};
use clm_domain::error::Fault;
use serde::Serialize;
use uuid::Uuid;

use crate::problem::{self, ApiError};

/// Reads an id in a path. What is no id names nothing, like an unknown id.
pub(crate) fn id(text: &str, noun: &str) -> std::result::Result<Uuid, ApiError> {
    Uuid::parse_str(text).map_err(|_| Fault::not_found(noun).into())
}

/// The revision that the caller read, from `If-Match` (RFC 9110 §13.1.1).
pub(crate) fn revision(headers: &HeaderMap, noun: &str) -> std::result::Result<i64, ApiError> {
    let value = headers.get(header::IF_MATCH);
    let value = value.and_then(|value| value.to_str().ok()?.trim().parse::<Quoted>().ok());
    value.map(|quoted| quoted.0).ok_or_else(|| {
        let message =
            format!("Say in If-Match, in quotes, which revision of the {noun} was read: its ETag.");
        let status = StatusCode::PRECONDITION_REQUIRED;
        problem::of_status(status, "if_match_required", &message)
    })
}

/// A number in quotes.
struct Quoted(i64);

impl std::str::FromStr for Quoted {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let inner = text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        inner.and_then(|text| text.parse().ok()).map(Self).ok_or(())
    }
}

/// An object, with its revision as `ETag` (RFC 9110 §8.8.3).
pub(crate) fn tagged<B: Serialize>(revision: i64, body: B) -> Response {
    let mut response = Json(body).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// An act on its way, boxed: it is large, and wrapped several times.
pub(crate) type Act<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Carries out an act whose answer may be given again.
pub(crate) async fn repeatable<B: Serialize>(
    context: &OpContext,
    core: &Core,
    status: StatusCode,
    act: Act<'_, (Option<Uuid>, B)>,
) -> std::result::Result<Response, ApiError> {
    let answer = idempotency::run(context, core, async {
        let (resource_id, body) = act.await?;
        Answer::new(status.as_u16(), resource_id, &body)
    })
    .await?;
    let status = StatusCode::from_u16(answer.status).unwrap_or(status);
    if answer.body.is_null() {
        return Ok(status.into_response());
    }
    Ok((status, Json(answer.body)).into_response())
}

/// Carries out an act whose answer holds a secret and is given once.
pub(crate) async fn once<B: Serialize>(
    context: &OpContext,
    core: &Core,
    status: StatusCode,
    act: Act<'_, (Uuid, B)>,
) -> std::result::Result<Response, ApiError> {
    let answer = idempotency::run_once(context, core, async {
        let (resource_id, answer) = act.await?;
        Ok(Once {
            status: status.as_u16(),
            resource_id,
            answer,
        })
    })
    .await?;
    Ok((status, Json(answer)).into_response())
}
