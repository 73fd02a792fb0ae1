//! `/password-resets`: a new password by a link that goes to a verified address.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use clm_api_types::password_resets::{PasswordResetConfirm, PasswordResetCreate};
use clm_api_types::problem::Problem;
use clm_core::password_resets::{self, PasswordResetRequest};
use clm_domain::secret::SecretString;

use crate::ApiState;
use crate::operations::repeatable;
use crate::problem::ApiError;
use crate::request::AnonymousInput;

/// Asks for a link by which a user chooses a new password. Accepted whether or not there is such a user;
/// a link goes to verified addresses of persons only.
#[utoipa::path(
    post, path = "/api/v1/password-resets", tag = "users",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = PasswordResetCreate,
    responses((status = 202), (status = "4XX", body = Problem)),
)]
pub(crate) async fn request(
    State(state): State<ApiState>,
    AnonymousInput { context, body }: AnonymousInput<PasswordResetCreate>,
) -> Result<Response, ApiError> {
    let asked = PasswordResetRequest {
        username: body.username,
        organization: body.organization,
    };
    let act = Box::pin(async {
        password_resets::request(&context, &state.core, asked).await?;
        Ok((None, ()))
    });
    repeatable(&context, &state.core, StatusCode::ACCEPTED, act).await
}

/// Chooses a new password by a link, which works once. Every session of the user ends.
#[utoipa::path(
    post, path = "/api/v1/password-resets/confirm", tag = "users",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = PasswordResetConfirm,
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn confirm(
    State(state): State<ApiState>,
    AnonymousInput { context, body }: AnonymousInput<PasswordResetConfirm>,
) -> Result<Response, ApiError> {
    let token = SecretString::new(body.token);
    let new = SecretString::new(body.new_password);
    let act = Box::pin(async {
        password_resets::confirm(&context, &state.core, &token, new).await?;
        Ok((None, ()))
    });
    repeatable(&context, &state.core, StatusCode::NO_CONTENT, act).await
}
