//! `/users/me/email-verification` and `/email-verifications`: whether one reads what is sent to the own
//! address.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use clm_api_types::password_resets::EmailVerificationConfirm;
use clm_api_types::problem::Problem;
use clm_core::email_verifications;
use clm_domain::secret::SecretString;
use uuid::Uuid;

use crate::ApiState;
use crate::operations::repeatable;
use crate::problem::ApiError;
use crate::request::{AnonymousInput, Caller};

/// Sends a link to the own address, by which one confirms to read what is sent there.
#[utoipa::path(
    post, path = "/api/v1/users/me/email-verification", tag = "users",
    params(("Idempotency-Key" = Option<String>, Header)),
    security(("session" = [])),
    responses((status = 202), (status = "4XX", body = Problem)),
)]
pub(crate) async fn request(
    State(state): State<ApiState>,
    Caller(context): Caller,
) -> Result<Response, ApiError> {
    let user_id = context.actor.user_id().map(Uuid::from);
    let act = Box::pin(async {
        email_verifications::request(&context, &state.core).await?;
        Ok((user_id, ()))
    });
    repeatable(&context, &state.core, StatusCode::ACCEPTED, act).await
}

/// Confirms an address by the link that went there, which works once.
#[utoipa::path(
    post, path = "/api/v1/email-verifications/confirm", tag = "users",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = EmailVerificationConfirm,
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn confirm(
    State(state): State<ApiState>,
    AnonymousInput { context, body }: AnonymousInput<EmailVerificationConfirm>,
) -> Result<Response, ApiError> {
    let token = SecretString::new(body.token);
    let act = Box::pin(async {
        email_verifications::confirm(&context, &state.core, &token).await?;
        Ok((None, ()))
    });
    repeatable(&context, &state.core, StatusCode::NO_CONTENT, act).await
}
