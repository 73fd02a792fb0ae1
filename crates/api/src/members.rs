//! `/members`: who may act in the active organization.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use clm_api_types::members::{
    Member, MemberCreate, MemberLeave, MemberRemoval, MemberRole, MemberStatusUpdate,
};
use clm_api_types::page::{Page, PageQuery};
use clm_api_types::problem::Problem;
use clm_core::members::{self, MemberRecord, NewMember, departure};
use clm_domain::ids::{OrganizationId, UserId};

use crate::ApiState;
use crate::convert;
use crate::operations::{id, repeatable};
use crate::problem::ApiError;
use crate::request::{Caller, Input, Parameters};

/// Members of the active organization, the youngest account first.
#[utoipa::path(
    get, path = "/api/v1/members", tag = "members", params(PageQuery),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Page<Member>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<Member>>, ApiError> {
    let page = convert::page_request(&query)?;
    let found = members::list(&context, &state.core, page).await?;
    Ok(Json(convert::page(found, member)))
}

/// One member of the active organization.
#[utoipa::path(
    get, path = "/api/v1/members/{user_id}", tag = "members",
    params(("user_id" = uuid::Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Member), (status = "4XX", body = Problem)),
)]
pub(crate) async fn load(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(user_id): Path<String>,
) -> Result<Json<Member>, ApiError> {
    let user_id = UserId::from_uuid(id(&user_id, "member")?);
    let found = members::load(&context, &state.core, user_id).await?;
    Ok(Json(member(found)))
}

/// Makes a user of any organization a member of another one, from the System organization. From
/// elsewhere: `POST /api/v1/invitations`.
#[utoipa::path(
    post, path = "/api/v1/members", tag = "members",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = MemberCreate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 201, body = Member), (status = "4XX", body = Problem)),
)]
pub(crate) async fn add(
    State(state): State<ApiState>,
    Input { context, body }: Input<MemberCreate>,
) -> Result<Response, ApiError> {
    let new = NewMember {
        user: body.user,
        organization_id: OrganizationId::from_uuid(body.organization_id),
    };
    let act = Box::pin(async {
        let added = members::add(&context, &state.core, new).await?;
        Ok((Some(added.user_id.as_uuid()), member(added)))
    });
    repeatable(&context, &state.core, StatusCode::CREATED, act).await
}

/// Suspends a member, or admits the member again.
#[utoipa::path(
    put, path = "/api/v1/members/{user_id}/status", tag = "members",
    params(("user_id" = uuid::Uuid, Path)),
    request_body = MemberStatusUpdate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Member), (status = "4XX", body = Problem)),
)]
pub(crate) async fn set_status(
    State(state): State<ApiState>,
    Path(user_id): Path<String>,
    Input { context, body }: Input<MemberStatusUpdate>,
) -> Result<Json<Member>, ApiError> {
    let user_id = UserId::from_uuid(id(&user_id, "member")?);
    let wanted = (body.status, body.reason);
    let changed = members::set_status(&context, &state.core, user_id, wanted).await?;
    Ok(Json(member(changed)))
}

/// Ends a guest's membership with the roles, API keys and sessions that belong to it.
#[utoipa::path(
    delete, path = "/api/v1/members/{user_id}", tag = "members",
    params(("user_id" = uuid::Uuid, Path), MemberRemoval),
    security(("api_key" = []), ("session" = [])),
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn remove(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(user_id): Path<String>,
    Parameters(query): Parameters<MemberRemoval>,
) -> Result<StatusCode, ApiError> {
    let user_id = UserId::from_uuid(id(&user_id, "member")?);
    let successor = query.successor_user_id.map(UserId::from_uuid);
    departure::remove(&context, &state.core, user_id, successor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Leaves the active organization, which must not be one's home.
#[utoipa::path(
    post, path = "/api/v1/members/me/leave", tag = "members",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = MemberLeave,
    security(("session" = [])),
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn leave(
    State(state): State<ApiState>,
    Input { context, body }: Input<MemberLeave>,
) -> Result<Response, ApiError> {
    let successor = body.successor_user_id.map(UserId::from_uuid);
    let act = Box::pin(async {
        let user_id = departure::leave(&context, &state.core, successor).await?;
        Ok((Some(user_id.as_uuid()), ()))
    });
    repeatable(&context, &state.core, StatusCode::NO_CONTENT, act).await
}

fn member(found: MemberRecord) -> Member {
    let roles = found.roles.into_iter();
    Member {
        user_id: found.user_id.as_uuid(),
        organization_id: found.organization_id.as_uuid(),
        is_home: found.is_home,
        username: found.username,
        display_name: found.display_name,
        email: found.email,
        user_type: found.user_type,
        status: found.status,
        is_primary: found.is_primary,
        joined_at: found.joined_at,
        roles: roles
            .map(|role| MemberRole {
                id: role.role_id.as_uuid(),
                role_code: role.role_code,
            })
            .collect(),
    }
}
