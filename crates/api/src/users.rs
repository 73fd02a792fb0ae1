//! `/whoami` and `/users/me/password`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use clm_api_types::problem::Problem;
use clm_api_types::sessions::WhoAmI;
use clm_api_types::users::PasswordChange;
use clm_core::users;
use clm_domain::secret::SecretString;
use uuid::Uuid;

use crate::ApiState;
use crate::operations::repeatable;
use crate::problem::ApiError;
use crate::request::{Caller, Input};

/// Who the caller is, and what the caller may do.
#[utoipa::path(
    get, path = "/api/v1/whoami", tag = "sessions",
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = WhoAmI), (status = "4XX", body = Problem)),
)]
pub(crate) async fn who_am_i(
    State(state): State<ApiState>,
    Caller(context): Caller,
) -> Result<Json<WhoAmI>, ApiError> {
    let found = users::who_am_i(&context, &state.core).await?;
    Ok(Json(WhoAmI {
        actor_type: found.actor_type.to_owned(),
        user_id: found.user_id.map(Uuid::from),
        username: found.username,
        api_key_id: found.api_key_id.map(Uuid::from),
        organization_id: found.organization_id.as_uuid(),
        organization_name: found.organization_name,
        permissions: found.permissions,
        must_change_password: found.must_change_password,
    }))
}

/// Changes the own password. Every other session of the user ends.
#[utoipa::path(
    post, path = "/api/v1/users/me/password", tag = "users",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = PasswordChange,
    security(("api_key" = []), ("session" = [])),
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn change_own_password(
    State(state): State<ApiState>,
    Input { context, body }: Input<PasswordChange>,
) -> Result<Response, ApiError> {
    let current = SecretString::new(body.current_password);
    let new = SecretString::new(body.new_password);
    let user_id = context.actor.user_id().map(Uuid::from);
    repeatable(
        &context,
        &state.core,
        StatusCode::NO_CONTENT,
        Box::pin(async {
            users::change_own_password(&context, &state.core, current, new).await?;
            Ok((user_id, ()))
        }),
    )
    .await
}
