//! `/users/me/totp` and `/step-up`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use clm_api_types::problem::Problem;
use clm_api_types::second_factor::{
    StepUpCreate, StepUpProof, StepUpRequest, TotpCode, TotpEnrolment,
};
use clm_core::certificate_authorities::IssuerLimitsChange;
use clm_core::second_factor;
use clm_domain::ids::IssuerId;
use clm_domain::secret::SecretString;
use uuid::Uuid;

use crate::ApiState;
use crate::operations::{once, repeatable};
use crate::problem::ApiError;
use crate::request::{Caller, Input};

/// Makes a second factor for oneself. It counts once it is activated.
#[utoipa::path(
    post, path = "/api/v1/users/me/totp", tag = "users",
    security(("session" = [])),
    responses((status = 201, body = TotpEnrolment), (status = "4XX", body = Problem)),
)]
pub(crate) async fn enrol(
    State(state): State<ApiState>,
    Caller(context): Caller,
) -> Result<Response, ApiError> {
    let act = Box::pin(async {
        let (user_id, enrolled) = second_factor::enrol(&context, &state.core).await?;
        let enrolment = TotpEnrolment {
            uri: enrolled.uri.expose().to_owned(),
            expires_at: enrolled.expires_at,
        };
        Ok((user_id.as_uuid(), enrolment))
    });
    once(&context, &state.core, StatusCode::CREATED, act).await
}

/// Puts one's own second factor into force with a first code.
#[utoipa::path(
    post, path = "/api/v1/users/me/totp/activate", tag = "users",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = TotpCode,
    security(("session" = [])),
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn activate(
    State(state): State<ApiState>,
    Input { context, body }: Input<TotpCode>,
) -> Result<Response, ApiError> {
    let code = SecretString::new(body.code);
    let act = Box::pin(async {
        let user_id = second_factor::activate(&context, &state.core, code).await?;
        Ok((Some(user_id.as_uuid()), ()))
    });
    repeatable(&context, &state.core, StatusCode::NO_CONTENT, act).await
}

/// Removes one's own second factor with a code of it.
#[utoipa::path(
    post, path = "/api/v1/users/me/totp/remove", tag = "users",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = TotpCode,
    security(("session" = [])),
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn remove(
    State(state): State<ApiState>,
    Input { context, body }: Input<TotpCode>,
) -> Result<Response, ApiError> {
    let code = SecretString::new(body.code);
    let act = Box::pin(async {
        let user_id = second_factor::remove(&context, &state.core, code).await?;
        Ok((Some(user_id.as_uuid()), ()))
    });
    repeatable(&context, &state.core, StatusCode::NO_CONTENT, act).await
}

/// A code becomes a proof for one request.
#[utoipa::path(
    post, path = "/api/v1/step-up", tag = "sessions",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = StepUpCreate,
    security(("session" = [])),
    responses((status = 201, body = StepUpProof), (status = "4XX", body = Problem)),
)]
pub(crate) async fn step_up(
    State(state): State<ApiState>,
    Input { context, body }: Input<StepUpCreate>,
) -> Result<Response, ApiError> {
    let code = SecretString::new(body.code);
    let change = change(body.request);
    let act = Box::pin(async {
        let asked = (code, change);
        let (user_id, proved) = second_factor::step_up(&context, &state.core, asked).await?;
        let proof = StepUpProof {
            proof: proved.proof.expose().to_owned(),
            expires_at: proved.expires_at,
        };
        Ok((Uuid::from(user_id), proof))
    });
    once(&context, &state.core, StatusCode::CREATED, act).await
}

fn change(request: StepUpRequest) -> IssuerLimitsChange {
    match request {
        StepUpRequest::ChangeIssuerLimits {
            certificate_authority_id,
            revision,
            limits,
            reason,
        } => IssuerLimitsChange {
            issuer_id: IssuerId::from_uuid(certificate_authority_id),
            limits: *limits,
            revision,
            reason,
        },
    }
}
