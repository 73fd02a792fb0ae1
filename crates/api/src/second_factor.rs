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
use clm_core::context::HttpRequest;
use clm_core::second_factor;
use clm_core::step_up::{Command, For, Given, give};
use clm_domain::error::Fault;
use clm_domain::ids::{CertificateId, IssuerId};
use clm_domain::secret::SecretString;
use uuid::Uuid;

use crate::ApiState;
use crate::certificate_authorities::wished;
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

/// A code, or the password where there is no second factor, becomes a proof for one request.
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
    let asked = (given(body.code, body.password)?, wanted(body.request)?);
    let act = Box::pin(async {
        let (user_id, proved) = give(&context, &state.core, asked).await?;
        let proof = StepUpProof {
            proof: proved.proof.expose().to_owned(),
            expires_at: proved.expires_at,
        };
        Ok((Uuid::from(user_id), proof))
    });
    once(&context, &state.core, StatusCode::CREATED, act).await
}

fn given(code: Option<String>, password: Option<String>) -> Result<Given, ApiError> {
    match (code, password) {
        (Some(code), None) => Ok(Given::Code(SecretString::new(code))),
        (None, Some(password)) => Ok(Given::Password(SecretString::new(password))),
        (None, None) | (Some(_), Some(_)) => {
            let message = "Give a code of your second factor, or your password if you have none.";
            Err(Fault::invalid("code_or_password", "code", message).into())
        }
    }
}

fn wanted(request: StepUpRequest) -> Result<For, ApiError> {
    Ok(match request {
        StepUpRequest::Request {
            method,
            path,
            body_sha256,
        } => For::Request(HttpRequest {
            method,
            path,
            body_sha256: sha256(&body_sha256)?,
        }),
        StepUpRequest::CreateCertificateAuthority {
            certificate_authority,
        } => command(Command::CreateCertificateAuthority(wished(
            *certificate_authority,
        ))),
        StepUpRequest::ExportPrivateKey { certificate_id } => command(Command::ExportPrivateKey(
            CertificateId::from_uuid(certificate_id),
        )),
        StepUpRequest::ChangeIssuerLimits {
            certificate_authority_id,
            revision,
            limits,
            reason,
        } => command(Command::ChangeIssuerLimits(IssuerLimitsChange {
            issuer_id: IssuerId::from_uuid(certificate_authority_id),
            limits: *limits,
            revision,
            reason,
        })),
    })
}

fn command(command: Command) -> For {
    For::Command(Box::new(command))
}

fn sha256(text: &str) -> Result<[u8; 32], ApiError> {
    let mut hash = [0; 32];
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if is_lower && hex::decode_to_slice(text, &mut hash).is_ok() {
        return Ok(hash);
    }
    let message = "SHA-256 of the body, as 64 hexadecimal digits in lower case.";
    Err(Fault::invalid("body_sha256_invalid", "request.body_sha256", message).into())
}
