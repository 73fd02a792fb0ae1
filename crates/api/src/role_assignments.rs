//! `/role-assignments`: who holds which role, from when to when.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use clm_api_types::page::{Page, PageQuery};
use clm_api_types::problem::Problem;
use clm_api_types::role_assignments::{
    RoleAssignment, RoleAssignmentCreate, RoleAssignmentQuery, RoleAssignmentUpdate,
};
use clm_core::role_assignments::{self, Filter, NewRoleAssignment, RoleAssignmentRecord};
use clm_domain::ids::{RoleAssignmentId, RoleId, UserId};
use uuid::Uuid;

use crate::ApiState;
use crate::convert;
use crate::operations::{id, repeatable, revision, tagged};
use crate::problem::ApiError;
use crate::request::{Caller, Input, Parameters};

/// Gives a member of the organization a role. One gives only what one holds.
#[utoipa::path(
    post, path = "/api/v1/role-assignments", tag = "roles",
    params(
        ("Idempotency-Key" = Option<String>, Header),
        ("CLM-Step-Up" = Option<String>, Header, description = "The proof of `POST /step-up`."),
    ),
    request_body = RoleAssignmentCreate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 201, body = RoleAssignment), (status = "4XX", body = Problem)),
)]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Input { context, body }: Input<RoleAssignmentCreate>,
) -> Result<Response, ApiError> {
    let new = NewRoleAssignment {
        user_id: UserId::from_uuid(body.user_id),
        role_id: RoleId::from_uuid(body.role_id),
        valid_from: body.valid_from,
        valid_until: body.valid_until,
        reason: body.reason,
    };
    let act = Box::pin(async {
        let granted = role_assignments::grant(&context, &state.core, new).await?;
        let role_assignment_id = granted.role_assignment_id.as_uuid();
        Ok((Some(role_assignment_id), assignment(granted)))
    });
    repeatable(&context, &state.core, StatusCode::CREATED, act).await
}

/// Assignments that count now or will, newest first; ended ones too, if asked.
#[utoipa::path(
    get, path = "/api/v1/role-assignments", tag = "roles", params(RoleAssignmentQuery),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Page<RoleAssignment>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Parameters(query): Parameters<RoleAssignmentQuery>,
) -> Result<Json<Page<RoleAssignment>>, ApiError> {
    let page = convert::page_request(&PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    })?;
    let filter = Filter {
        user_id: query.user_id.map(UserId::from_uuid),
        role_id: query.role_id.map(RoleId::from_uuid),
        not_ended_at: (!query.ended).then(|| state.clock.now()),
    };
    let found = role_assignments::list(&context, &state.core, filter, page).await?;
    Ok(Json(convert::page(found, assignment)))
}

/// One assignment.
#[utoipa::path(
    get, path = "/api/v1/role-assignments/{role_assignment_id}", tag = "roles",
    params(("role_assignment_id" = Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = RoleAssignment), (status = "4XX", body = Problem)),
)]
pub(crate) async fn load(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(role_assignment_id): Path<String>,
) -> Result<Response, ApiError> {
    let role_assignment_id = parse_id(&role_assignment_id)?;
    let found = role_assignments::load(&context, &state.core, role_assignment_id).await?;
    Ok(tagged(found.revision, assignment(found)))
}

/// Moves the end of an assignment.
#[utoipa::path(
    patch, path = "/api/v1/role-assignments/{role_assignment_id}", tag = "roles",
    params(
        ("role_assignment_id" = Uuid, Path),
        ("If-Match" = String, Header, description = "The `revision` that was read, in quotes."),
        ("CLM-Step-Up" = Option<String>, Header, description = "The proof of `POST /step-up`."),
    ),
    request_body = RoleAssignmentUpdate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = RoleAssignment), (status = "4XX", body = Problem)),
)]
pub(crate) async fn update(
    State(state): State<ApiState>,
    Path(role_assignment_id): Path<String>,
    headers: HeaderMap,
    Input { context, body }: Input<RoleAssignmentUpdate>,
) -> Result<Response, ApiError> {
    let role_assignment_id = parse_id(&role_assignment_id)?;
    let named = (role_assignment_id, revision(&headers, "role assignment")?);
    let changed =
        role_assignments::change_end(&context, &state.core, named, body.valid_until).await?;
    Ok(tagged(changed.revision, assignment(changed)))
}

/// Takes a role away now, or cancels an assignment that has not begun.
#[utoipa::path(
    delete, path = "/api/v1/role-assignments/{role_assignment_id}", tag = "roles",
    params(("role_assignment_id" = Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn withdraw(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(role_assignment_id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let role_assignment_id = parse_id(&role_assignment_id)?;
    role_assignments::withdraw(&context, &state.core, role_assignment_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn parse_id(text: &str) -> Result<RoleAssignmentId, ApiError> {
    id(text, "role assignment").map(RoleAssignmentId::from_uuid)
}

fn assignment(found: RoleAssignmentRecord) -> RoleAssignment {
    RoleAssignment {
        id: found.role_assignment_id.as_uuid(),
        organization_id: found.organization_id.as_uuid(),
        user_id: found.user_id.as_uuid(),
        username: found.username,
        role_id: found.role_id.as_uuid(),
        role_code: found.role_code,
        valid_from: found.valid_from,
        valid_until: found.valid_until,
        granted_by_user_id: found.granted_by_user_id.map(Uuid::from),
        reason: found.reason,
        revision: found.revision,
        created_at: found.created_at,
    }
}
