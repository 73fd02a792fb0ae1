//! The one mapping from error kinds to HTTP: RFC 9457 problem documents.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
pub use clm_api_types::problem::MEDIA_TYPE;
use clm_api_types::problem::{FieldError, Problem};
use clm_core::CoreError;
use clm_domain::error::{ErrorKind, Fault};

/// An error on its way to the client.
#[derive(Debug)]
pub struct ApiError(Box<Answer>);

#[derive(Debug)]
struct Answer {
    problem: Problem,
    retry_after_seconds: Option<u32>,
}

impl From<CoreError> for ApiError {
    fn from(error: CoreError) -> Self {
        Self::from(error.0)
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        let status = status(&fault);
        let mut error = of_status(status, &fault.code, &fault.message);
        error.0.problem.errors = fault
            .violations
            .into_iter()
            .map(|violation| FieldError {
                field: violation.field,
                message: violation.message,
            })
            .collect();
        error.0.retry_after_seconds = fault.retry_after_seconds;
        error
    }
}

/// The status of each kind. Some codes are finer than their kind.
fn status(fault: &Fault) -> StatusCode {
    match (fault.kind, fault.code.as_ref()) {
        (ErrorKind::Invalid, "malformed_json" | "cursor_invalid" | "limit_out_of_range") => {
            StatusCode::BAD_REQUEST
        }
        // RFC 9110 §13.1.1: what If-Match names is no longer there.
        (ErrorKind::Conflict, "revision_changed") => StatusCode::PRECONDITION_FAILED,
        (ErrorKind::NotFound, _) => StatusCode::NOT_FOUND,
        (ErrorKind::Conflict, _) => StatusCode::CONFLICT,
        (ErrorKind::Invalid | ErrorKind::PolicyViolation, _) => StatusCode::UNPROCESSABLE_ENTITY,
        (ErrorKind::Forbidden | ErrorKind::ApprovalRequired, _) => StatusCode::FORBIDDEN,
        (ErrorKind::Unauthenticated, _) => StatusCode::UNAUTHORIZED,
        (ErrorKind::RateLimited, _) => StatusCode::TOO_MANY_REQUESTS,
        (ErrorKind::KeyUnavailable | ErrorKind::Upstream, _) => StatusCode::SERVICE_UNAVAILABLE,
        (ErrorKind::Internal, _) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A problem that has no fault behind it, such as an unknown path.
pub fn of_status(status: StatusCode, code: &str, detail: &str) -> ApiError {
    ApiError(Box::new(Answer {
        problem: Problem {
            problem_type: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.to_owned(),
            code: code.to_owned(),
            errors: Vec::new(),
            request_id: None,
        },
        retry_after_seconds: None,
    }))
}

impl ApiError {
    /// Names the field that is at fault.
    #[must_use]
    pub fn with_field(mut self, field: &str, message: &str) -> Self {
        self.0.problem.errors.push(FieldError {
            field: field.to_owned(),
            message: message.to_owned(),
        });
        self
    }

    /// The document alone, for answers that are not written by a handler.
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0.problem).unwrap_or_default()
    }

    /// Names the request.
    #[must_use]
    pub fn with_request_id(mut self, request_id: String) -> Self {
        self.0.problem.request_id = Some(request_id);
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Answer {
            problem,
            retry_after_seconds,
        } = *self.0;
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (
            status,
            [(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))],
            body,
        )
            .into_response();
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after_seconds {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // Kept for the layer that adds the request id to problems.
        response.extensions_mut().insert(ProblemBody(problem));
        response
    }
}

/// The problem inside a response, for the layer that completes it.
#[derive(Clone, Debug)]
pub(crate) struct ProblemBody(pub(crate) Problem);
