//! `/users`, `/users/me/password` and `/whoami`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use clm_api_types::page::{Page, PageQuery};
use clm_api_types::problem::Problem;
use clm_api_types::sessions::WhoAmI;
use clm_api_types::users::{
    PasswordChange, User, UserCreate, UserCreated, UserPassword, UserPasswordSet, UserQuery,
    UserStatusUpdate, UserUpdate,
};
use clm_core::users::{self, NewUser, UserChange, UserFilter, UserRecord};
use clm_domain::ids::{OrganizationId, UserId};
use clm_domain::secret::SecretString;
use clm_domain::states::UserType;
use uuid::Uuid;

use crate::ApiState;
use crate::convert;
use crate::operations::{id, once, repeatable, revision, tagged};
use crate::problem::ApiError;
use crate::request::{Caller, Input, Parameters};
use crate::sessions::with_cookie;

/// What an id in a path names.
const NOUN: &str = "user";

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
        owes: found.owed.map(|owed| owed.as_str().to_owned()),
    }))
}

/// Changes the own password. Every other session of the user ends; the one that asks gets a new token.
#[utoipa::path(
    post, path = "/api/v1/users/me/password", tag = "users",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = PasswordChange,
    security(("api_key" = []), ("session" = [])),
    responses(
        (status = 204, headers(("Set-Cookie" = Option<String>))),
        (status = "4XX", body = Problem),
    ),
)]
pub(crate) async fn change_own_password(
    State(state): State<ApiState>,
    Input { context, body }: Input<PasswordChange>,
) -> Result<Response, ApiError> {
    let current = SecretString::new(body.current_password);
    let new = SecretString::new(body.new_password);
    let user_id = context.actor.user_id().map(Uuid::from);
    let mut token = None;
    let act = Box::pin(async {
        token = users::change_own_password(&context, &state.core, current, new).await?;
        Ok((user_id, ()))
    });
    let response = repeatable(&context, &state.core, StatusCode::NO_CONTENT, act).await?;
    Ok(with_cookie(response, token))
}

/// Users of the own organization, newest first. Whoever acts in the System organization may name
/// another home.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users", params(UserQuery),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Page<User>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Parameters(query): Parameters<UserQuery>,
) -> Result<Json<Page<User>>, ApiError> {
    let page = convert::page_request(&PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    })?;
    let home = query.home_organization_id.map(OrganizationId::from_uuid);
    let filter = UserFilter::new(query.status, query.username.as_deref())?;
    let found = users::list(&context, &state.core, (home, filter), page).await?;
    Ok(Json(convert::page(found, |found| user(&state, found))))
}

/// One user.
#[utoipa::path(
    get, path = "/api/v1/users/{user_id}", tag = "users",
    params(("user_id" = uuid::Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses(
        (status = 200, body = User, headers(("ETag" = String))),
        (status = "4XX", body = Problem),
    ),
)]
pub(crate) async fn load(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(user_id): Path<String>,
) -> Result<Response, ApiError> {
    let user_id = UserId::from_uuid(id(&user_id, NOUN)?);
    let found = users::load(&context, &state.core, user_id).await?;
    Ok(tagged(found.revision, user(&state, found)))
}

/// Makes a user. A person's password must be changed at the first sign-in; a generated one is shown
/// once.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "users",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = UserCreate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 201, body = UserCreated), (status = "4XX", body = Problem)),
)]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Input { context, body }: Input<UserCreate>,
) -> Result<Response, ApiError> {
    let new = NewUser {
        username: body.username,
        email: body.email,
        display_name: body.display_name,
        user_type: body.user_type.unwrap_or(UserType::Person),
        password: body.password.map(SecretString::new),
        home_organization_id: body.home_organization_id.map(OrganizationId::from_uuid),
    };
    let is_generated = new.user_type == UserType::Person && new.password.is_none();
    let (core, status) = (&state.core, StatusCode::CREATED);
    let act = async {
        let created = users::create(&context, core, new).await?;
        let password = created.generated_password;
        let password = password.map(|password| password.expose().to_owned());
        let user = user(&state, created.record);
        Ok((user.id, UserCreated { user, password }))
    };
    if is_generated {
        return once(&context, core, status, Box::pin(act)).await;
    }
    let act = Box::pin(async { act.await.map(|(id, body)| (Some(id), body)) });
    repeatable(&context, core, status, act).await
}

/// Changes the names and addresses of a user.
#[utoipa::path(
    patch, path = "/api/v1/users/{user_id}", tag = "users",
    params(
        ("user_id" = uuid::Uuid, Path),
        ("If-Match" = String, Header, description = "The `revision` that was read, in quotes."),
    ),
    request_body = UserUpdate,
    security(("api_key" = []), ("session" = [])),
    responses(
        (status = 200, body = User, headers(("ETag" = String))),
        (status = "4XX", body = Problem),
    ),
)]
pub(crate) async fn update(
    State(state): State<ApiState>,
    Path(user_id): Path<String>,
    headers: HeaderMap,
    Input { context, body }: Input<UserUpdate>,
) -> Result<Response, ApiError> {
    let user_id = UserId::from_uuid(id(&user_id, NOUN)?);
    let revision = revision(&headers, NOUN)?;
    let change = UserChange {
        username: body.username,
        email: body.email,
        display_name: body.display_name,
    };
    let changed = users::update(&context, &state.core, (user_id, revision), change).await?;
    Ok(tagged(changed.revision, user(&state, changed)))
}

/// Sets the status of a user. Unless it is active, every session ends and no API key works any more.
#[utoipa::path(
    put, path = "/api/v1/users/{user_id}/status", tag = "users",
    params(("user_id" = uuid::Uuid, Path)),
    request_body = UserStatusUpdate,
    security(("api_key" = []), ("session" = [])),
    responses(
        (status = 200, body = User, headers(("ETag" = String))),
        (status = "4XX", body = Problem),
    ),
)]
pub(crate) async fn set_status(
    State(state): State<ApiState>,
    Path(user_id): Path<String>,
    Input { context, body }: Input<UserStatusUpdate>,
) -> Result<Response, ApiError> {
    let user_id = UserId::from_uuid(id(&user_id, NOUN)?);
    let wanted = (body.status, body.reason);
    let set = users::set_status(&context, &state.core, user_id, wanted).await?;
    Ok(tagged(set.revision, user(&state, set)))
}

/// Gives a user a new first password, which must be changed at the next sign-in; a generated one is
/// shown once. Every session of the user ends.
#[utoipa::path(
    post, path = "/api/v1/users/{user_id}/password", tag = "users",
    params(("user_id" = uuid::Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = UserPasswordSet,
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = UserPassword), (status = "4XX", body = Problem)),
)]
pub(crate) async fn set_password(
    State(state): State<ApiState>,
    Path(user_id): Path<String>,
    Input { context, body }: Input<UserPasswordSet>,
) -> Result<Response, ApiError> {
    let user_id = UserId::from_uuid(id(&user_id, NOUN)?);
    let password = body.password.map(SecretString::new);
    let is_generated = password.is_none();
    let (core, status) = (&state.core, StatusCode::OK);
    let act = async {
        let generated = users::set_first_password(&context, core, user_id, password).await?;
        let password = generated.map(|password| password.expose().to_owned());
        Ok((user_id.as_uuid(), UserPassword { password }))
    };
    if is_generated {
        return once(&context, core, status, Box::pin(act)).await;
    }
    let act = Box::pin(async { act.await.map(|(id, body)| (Some(id), body)) });
    repeatable(&context, core, status, act).await
}

/// Forgets the wrong passwords of a user, and the lock that they caused.
#[utoipa::path(
    post, path = "/api/v1/users/{user_id}/unlock", tag = "users",
    params(("user_id" = uuid::Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = User), (status = "4XX", body = Problem)),
)]
pub(crate) async fn unlock(
    State(state): State<ApiState>,
    Path(user_id): Path<String>,
    Caller(context): Caller,
) -> Result<Response, ApiError> {
    let user_id = UserId::from_uuid(id(&user_id, NOUN)?);
    let act = Box::pin(async {
        let unlocked = users::unlock(&context, &state.core, user_id).await?;
        Ok((Some(user_id.as_uuid()), user(&state, unlocked)))
    });
    repeatable(&context, &state.core, StatusCode::OK, act).await
}

/// Deletes a user: sessions, API keys, role assignments and memberships end.
#[utoipa::path(
    delete, path = "/api/v1/users/{user_id}", tag = "users",
    params(("user_id" = uuid::Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    Path(user_id): Path<String>,
    Caller(context): Caller,
) -> Result<StatusCode, ApiError> {
    let user_id = UserId::from_uuid(id(&user_id, NOUN)?);
    users::delete(&context, &state.core, user_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Brings a deleted user back, as a member of the home organization without roles and API keys.
#[utoipa::path(
    post, path = "/api/v1/users/{user_id}/restore", tag = "users",
    params(("user_id" = uuid::Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = User), (status = "4XX", body = Problem)),
)]
pub(crate) async fn restore(
    State(state): State<ApiState>,
    Path(user_id): Path<String>,
    Caller(context): Caller,
) -> Result<Response, ApiError> {
    let user_id = UserId::from_uuid(id(&user_id, NOUN)?);
    let act = Box::pin(async {
        let restored = users::restore(&context, &state.core, user_id).await?;
        Ok((Some(user_id.as_uuid()), user(&state, restored)))
    });
    repeatable(&context, &state.core, StatusCode::OK, act).await
}

fn user(state: &ApiState, found: UserRecord) -> User {
    let now = state.clock.now();
    User {
        id: found.user_id.as_uuid(),
        home_organization_id: found.home_organization_id.as_uuid(),
        username: found.username,
        email: found.email,
        display_name: found.display_name,
        user_type: found.user_type,
        status: found.status,
        must_change_password: found.must_change_password,
        locked_until: found.locked_until.filter(|until| *until > now),
        password_changed_at: found.password_changed_at,
        last_sign_in_at: found.last_sign_in_at,
        revision: found.revision,
        created_at: found.created_at,
    }
}
