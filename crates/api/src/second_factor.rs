//! `/users/me/totp` and `/step-up`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use clm_api_types::problem::Problem;
use clm_api_types::second_factor::{
    BackupCodes, SecondFactor, StepUpCreate, StepUpProof, StepUpRequest, TotpActivated, TotpCode,
    TotpEnrolment,
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
use crate::sessions::{session_created, with_cookie};

/// Whether one has a second factor in force.
#[utoipa::path(
    get, path = "/api/v1/users/me/totp", tag = "users",
    security(("session" = [])),
    responses((status = 200, body = SecondFactor), (status = "4XX", body = Problem)),
)]
pub(crate) async fn find(
    State(state): State<ApiState>,
    Caller(context): Caller,
) -> Result<Json<SecondFactor>, ApiError> {
    let found = second_factor::find(&context, &state.core).await?;
    Ok(Json(SecondFactor {
        is_active: found.is_active,
        backup_codes_left: found.backup_codes_left,
    }))
}

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

/// Puts one's own second factor into force with a first code. The session goes on with new secrets; one's
/// others end.
#[utoipa::path(
    post, path = "/api/v1/users/me/totp/activate", tag = "users",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = TotpCode,
    security(("session" = [])),
    responses(
        (status = 200, body = TotpActivated, headers(("Set-Cookie" = String))),
        (status = "4XX", body = Problem),
    ),
)]
pub(crate) async fn activate(
    State(state): State<ApiState>,
    Input { context, body }: Input<TotpCode>,
) -> Result<Response, ApiError> {
    let code = SecretString::new(body.code);
    let mut token = None;
    let act = Box::pin(async {
        let activated = second_factor::activate(&context, &state.core, code).await?;
        token = Some(activated.session.token.clone());
        let user_id = activated.session.session.user_id.as_uuid();
        let body = TotpActivated {
            backup_codes: shown(&activated.backup_codes),
            session: session_created(activated.session),
        };
        Ok((user_id, body))
    });
    let response = once(&context, &state.core, StatusCode::OK, act).await?;
    Ok(with_cookie(response, token))
}

fn shown(codes: &[SecretString]) -> Vec<String> {
    codes.iter().map(|code| code.expose().to_owned()).collect()
}

/// Makes new backup codes with a code; the old ones stop counting.
#[utoipa::path(
    post, path = "/api/v1/users/me/totp/backup-codes", tag = "users",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = TotpCode,
    security(("session" = [])),
    responses((status = 201, body = BackupCodes), (status = "4XX", body = Problem)),
)]
pub(crate) async fn renew_backup_codes(
    State(state): State<ApiState>,
    Input { context, body }: Input<TotpCode>,
) -> Result<Response, ApiError> {
    let code = SecretString::new(body.code);
    let act = Box::pin(async {
        let made = second_factor::renew_backup_codes(&context, &state.core, code).await?;
        let (user_id, codes) = made;
        let backup_codes = shown(&codes);
        Ok((user_id.as_uuid(), BackupCodes { backup_codes }))
    });
    once(&context, &state.core, StatusCode::CREATED, act).await
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
