//! `/sessions`: signing in and out. The token travels in a cookie only.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use clm_api_types::SESSION_COOKIE;
use clm_api_types::page::{Page, PageQuery};
use clm_api_types::problem::Problem;
use clm_api_types::second_factor::TotpCode;
use clm_api_types::sessions::{Session, SessionCreate, SessionCreated};
use clm_core::sessions::{self, NewSession, SessionRecord, SignIn};
use clm_domain::ids::SessionId;
use clm_domain::secret::SecretString;

use crate::ApiState;
use crate::convert;
use crate::operations::{id, once};
use crate::problem::ApiError;
use crate::request::{AnonymousInput, Caller, Input, Parameters};

/// Signs in.
#[utoipa::path(
    post, path = "/api/v1/sessions", tag = "sessions",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = SessionCreate,
    responses(
        (status = 201, body = SessionCreated, headers(("Set-Cookie" = String))),
        (status = "4XX", body = Problem),
    ),
)]
pub(crate) async fn create(
    State(state): State<ApiState>,
    AnonymousInput { context, body }: AnonymousInput<SessionCreate>,
) -> Result<Response, ApiError> {
    let sign_in = SignIn {
        username: body.username,
        password: SecretString::new(body.password),
        organization: body.organization,
    };
    let mut token = None;
    let act = Box::pin(async {
        let created = sessions::create(&context, &state.core, sign_in).await?;
        token = Some(created.token.clone());
        let session_id = created.session.session_id.as_uuid();
        Ok((session_id, session_created(created)))
    });
    let response = once(&context, &state.core, StatusCode::CREATED, act).await?;
    Ok(with_cookie(response, token))
}

/// Gives the session that asks a code of its user's second factor. It goes on with new secrets.
#[utoipa::path(
    post, path = "/api/v1/sessions/current/second-factor", tag = "sessions",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = TotpCode,
    security(("session" = [])),
    responses(
        (status = 200, body = SessionCreated, headers(("Set-Cookie" = String))),
        (status = "4XX", body = Problem),
    ),
)]
pub(crate) async fn pass_second_factor(
    State(state): State<ApiState>,
    Input { context, body }: Input<TotpCode>,
) -> Result<Response, ApiError> {
    let code = SecretString::new(body.code);
    let mut token = None;
    let act = Box::pin(async {
        let passed = sessions::second_factor::pass(&context, &state.core, code).await?;
        token = Some(passed.token.clone());
        let session_id = passed.session.session_id.as_uuid();
        Ok((session_id, session_created(passed)))
    });
    let response = once(&context, &state.core, StatusCode::OK, act).await?;
    Ok(with_cookie(response, token))
}

/// A session with its CSRF token, and what it owes.
pub(crate) fn session_created(created: NewSession) -> SessionCreated {
    SessionCreated {
        session: session(created.session),
        csrf_token: created.csrf_token.expose().to_owned(),
        owes: created.owed.map(|owed| owed.as_str().to_owned()),
    }
}

/// The answer with the token of a session, if it made one, as its cookie.
pub(crate) fn with_cookie(mut response: Response, token: Option<SecretString>) -> Response {
    if let Some(Ok(cookie)) = token.map(|token| session_cookie(token.expose())) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// The cookie of a session: this host only, out of reach of scripts and of other sites.
fn session_cookie(token: &str) -> Result<HeaderValue, header::InvalidHeaderValue> {
    let text = format!("{SESSION_COOKIE}={token}; Path=/; Secure; HttpOnly; SameSite=Strict");
    let mut value = HeaderValue::from_str(&text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Own sessions, newest first; those of the organization for whoever administers its users.
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "sessions", params(PageQuery),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Page<Session>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<Session>>, ApiError> {
    let page = convert::page_request(&query)?;
    let found = sessions::list(&context, &state.core, page).await?;
    Ok(Json(convert::page(found, session)))
}

/// Ends a session.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{session_id}", tag = "sessions",
    params(("session_id" = uuid::Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn end(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(session_id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let session_id = SessionId::from_uuid(id(&session_id, "session")?);
    sessions::end(&context, &state.core, session_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the session that asks.
#[utoipa::path(
    delete, path = "/api/v1/sessions/current", tag = "sessions",
    security(("session" = [])),
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn end_current(
    State(state): State<ApiState>,
    Caller(context): Caller,
) -> Result<StatusCode, ApiError> {
    sessions::end_current(&context, &state.core).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A session.
pub(crate) fn session(found: SessionRecord) -> Session {
    Session {
        id: found.session_id.as_uuid(),
        user_id: found.user_id.as_uuid(),
        organization_id: found.organization_id.as_uuid(),
        created_at: found.created_at,
        last_seen_at: found.last_seen_at,
        idle_expires_at: found.idle_expires_at,
        expires_at: found.expires_at,
        ip_address: found.ip_address,
        is_current: found.is_current,
    }
}
