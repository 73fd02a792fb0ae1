//! What operations share: reading ids, and answers that survive a repetition.

use std::future::Future;
use std::pin::Pin;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use clm_core::error::Result;
use clm_core::idempotency::{self, Answer, Once};
use clm_core::{Core, OpContext};
use clm_domain::error::Fault;
use serde::Serialize;
use uuid::Uuid;

use crate::problem::ApiError;

/// Reads an id in a path. What is no id names nothing, like an unknown id.
pub(crate) fn id(text: &str, noun: &str) -> std::result::Result<Uuid, ApiError> {
    Uuid::parse_str(text).map_err(|_| Fault::not_found(noun).into())
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
