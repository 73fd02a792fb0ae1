//! `/roles`: named sets of permissions.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use clm_api_types::page::{Page, PageQuery};
use clm_api_types::problem::Problem;
use clm_api_types::roles::{Role, RoleCreate, RoleDetail, RoleUpdate};
use clm_core::roles::{self, NewRole, RoleChange, RoleRecord};
use clm_domain::ids::RoleId;
use uuid::Uuid;

use crate::ApiState;
use crate::convert;
use crate::operations::{id, repeatable, revision, tagged};
use crate::problem::ApiError;
use crate::request::{Caller, Input, Parameters};

/// Makes a role. One gives only what one holds.
#[utoipa::path(
    post, path = "/api/v1/roles", tag = "roles",
    params(
        ("Idempotency-Key" = Option<String>, Header),
        ("CLM-Step-Up" = Option<String>, Header, description = "The proof of `POST /step-up`."),
    ),
    request_body = RoleCreate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 201, body = RoleDetail), (status = "4XX", body = Problem)),
)]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Input { context, body }: Input<RoleCreate>,
) -> Result<Response, ApiError> {
    let new = NewRole {
        role_code: body.role_code,
        role_name: body.role_name,
        description: body.description,
        permissions: body.permissions,
        parent_role_id: body.parent_role_id.map(RoleId::from_uuid),
    };
    let act = Box::pin(async {
        let created = roles::create(&context, &state.core, new).await?;
        Ok((Some(created.role.role_id.as_uuid()), detail(created)))
    });
    repeatable(&context, &state.core, StatusCode::CREATED, act).await
}

/// The roles that the organization may use, newest first: its own, then those of the System organization.
#[utoipa::path(
    get, path = "/api/v1/roles", tag = "roles", params(PageQuery),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Page<Role>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<Role>>, ApiError> {
    let page = convert::page_request(&query)?;
    let found = roles::list(&context, &state.core, page).await?;
    Ok(Json(convert::page(found, role)))
}

/// One role, with all that it gives.
#[utoipa::path(
    get, path = "/api/v1/roles/{role_id}", tag = "roles",
    params(("role_id" = Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = RoleDetail), (status = "4XX", body = Problem)),
)]
pub(crate) async fn load(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(role_id): Path<String>,
) -> Result<Response, ApiError> {
    let role_id = RoleId::from_uuid(id(&role_id, "role")?);
    let found = roles::load(&context, &state.core, role_id).await?;
    Ok(tagged(found.role.revision, detail(found)))
}

/// Changes a role; whoever holds it has the new permissions at once. The six system roles cannot be
/// changed.
#[utoipa::path(
    patch, path = "/api/v1/roles/{role_id}", tag = "roles",
    params(
        ("role_id" = Uuid, Path),
        ("If-Match" = String, Header, description = "The `revision` that was read, in quotes."),
        ("CLM-Step-Up" = Option<String>, Header, description = "The proof of `POST /step-up`."),
    ),
    request_body = RoleUpdate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = RoleDetail), (status = "4XX", body = Problem)),
)]
pub(crate) async fn update(
    State(state): State<ApiState>,
    Path(role_id): Path<String>,
    headers: HeaderMap,
    Input { context, body }: Input<RoleUpdate>,
) -> Result<Response, ApiError> {
    let role_id = RoleId::from_uuid(id(&role_id, "role")?);
    let named = (role_id, revision(&headers, "role")?);
    let change = RoleChange {
        role_name: body.role_name,
        description: body.description,
        permissions: body.permissions,
        parent_role_id: body
            .parent_role_id
            .map(|parent| parent.map(RoleId::from_uuid)),
    };
    let changed = roles::update(&context, &state.core, named, change).await?;
    Ok(tagged(changed.role.revision, detail(changed)))
}

/// Removes a role that nobody holds and none inherits from. It can be restored.
#[utoipa::path(
    delete, path = "/api/v1/roles/{role_id}", tag = "roles",
    params(
        ("role_id" = Uuid, Path),
        ("If-Match" = String, Header, description = "The `revision` that was read, in quotes."),
    ),
    security(("api_key" = []), ("session" = [])),
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(role_id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let role_id = RoleId::from_uuid(id(&role_id, "role")?);
    let named = (role_id, revision(&headers, "role")?);
    roles::delete(&context, &state.core, named).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the removal of a role back.
#[utoipa::path(
    post, path = "/api/v1/roles/{role_id}/restore", tag = "roles",
    params(
        ("role_id" = Uuid, Path),
        ("CLM-Step-Up" = Option<String>, Header, description = "The proof of `POST /step-up`."),
    ),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = RoleDetail), (status = "4XX", body = Problem)),
)]
pub(crate) async fn restore(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(role_id): Path<String>,
) -> Result<Response, ApiError> {
    let role_id = RoleId::from_uuid(id(&role_id, "role")?);
    let act = Box::pin(async {
        let restored = roles::restore(&context, &state.core, role_id).await?;
        Ok((Some(role_id.as_uuid()), detail(restored)))
    });
    repeatable(&context, &state.core, StatusCode::OK, act).await
}

fn role(found: RoleRecord) -> Role {
    Role {
        id: found.role_id.as_uuid(),
        organization_id: found.organization_id.as_uuid(),
        role_code: found.role_code,
        role_name: found.role_name,
        description: found.description,
        permissions: found.permissions,
        parent_role_id: found.parent_role_id.map(Uuid::from),
        is_system_role: found.is_system_role,
        revision: found.revision,
        created_at: found.created_at,
        updated_at: found.updated_at,
    }
}

fn detail(found: roles::RoleDetail) -> RoleDetail {
    RoleDetail {
        role: role(found.role),
        effective_permissions: found.effective_permissions,
    }
}
