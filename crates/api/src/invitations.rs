//! `/invitations`: how users of other organizations become members.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use clm_api_types::members::{
    Invitation, InvitationAccept, InvitationAccepted, InvitationCreate, InvitationCreated,
    InvitationDelivery,
};
use clm_api_types::page::{Page, PageQuery};
use clm_api_types::problem::Problem;
use clm_core::invitations::{self, InvitationRecord, NewInvitation};
use clm_domain::ids::{InvitationId, RoleId};
use clm_domain::secret::SecretString;
use uuid::Uuid;

use crate::ApiState;
use crate::convert;
use crate::operations::{id, once, repeatable};
use crate::problem::ApiError;
use crate::request::{Caller, Input, Parameters};

/// Invites somebody into the active organization. The token goes to the address by mail, or where none
/// can be sent, is shown once.
#[utoipa::path(
    post, path = "/api/v1/invitations", tag = "members",
    params(
        ("Idempotency-Key" = Option<String>, Header),
        ("CLM-Step-Up" = Option<String>, Header, description = "The proof of `POST /step-up`."),
    ),
    request_body = InvitationCreate,
    security(("api_key" = []), ("session" = [])),
    responses((status = 201, body = InvitationCreated), (status = "4XX", body = Problem)),
)]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Input { context, body }: Input<InvitationCreate>,
) -> Result<Response, ApiError> {
    let new = NewInvitation {
        email: body.email,
        role_id: body.role_id.map(RoleId::from_uuid),
    };
    let (core, status) = (&state.core, StatusCode::CREATED);
    let act = async {
        let created = invitations::create(&context, core, new).await?;
        let token = created.token.map(|token| token.expose().to_owned());
        let delivery = match token {
            Some(_) => InvitationDelivery::Answer,
            None => InvitationDelivery::Email,
        };
        let invitation = invitation(created.record);
        let answer = InvitationCreated {
            invitation,
            delivery,
            token,
        };
        Ok((answer.invitation.id, answer))
    };
    if !core.sends_mail() {
        return once(&context, core, status, Box::pin(act)).await;
    }
    let act = Box::pin(async { act.await.map(|(id, body)| (Some(id), body)) });
    repeatable(&context, core, status, act).await
}

/// The invitations of the active organization, newest first.
#[utoipa::path(
    get, path = "/api/v1/invitations", tag = "members", params(PageQuery),
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = Page<Invitation>), (status = "4XX", body = Problem)),
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<Invitation>>, ApiError> {
    let page = convert::page_request(&query)?;
    let found = invitations::list(&context, &state.core, page).await?;
    Ok(Json(convert::page(found, invitation)))
}

/// Takes an invitation back.
#[utoipa::path(
    delete, path = "/api/v1/invitations/{invitation_id}", tag = "members",
    params(("invitation_id" = uuid::Uuid, Path)),
    security(("api_key" = []), ("session" = [])),
    responses((status = 204), (status = "4XX", body = Problem)),
)]
pub(crate) async fn revoke(
    State(state): State<ApiState>,
    Caller(context): Caller,
    Path(invitation_id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let named = InvitationId::from_uuid(id(&invitation_id, "invitation")?);
    invitations::revoke(&context, &state.core, named).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the user of the session a member of the organization that invited.
#[utoipa::path(
    post, path = "/api/v1/invitations/accept", tag = "members",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = InvitationAccept,
    security(("session" = [])),
    responses((status = 200, body = InvitationAccepted), (status = "4XX", body = Problem)),
)]
pub(crate) async fn accept(
    State(state): State<ApiState>,
    Input { context, body }: Input<InvitationAccept>,
) -> Result<Response, ApiError> {
    let token = SecretString::new(body.token);
    let act = Box::pin(async {
        let joined = invitations::accept(&context, &state.core, token.expose()).await?;
        let organization_id = joined.organization_id.as_uuid();
        let answer = InvitationAccepted {
            organization_id,
            organization_slug: joined.organization_slug,
            organization_name: joined.organization_name,
        };
        Ok((Some(organization_id), answer))
    });
    repeatable(&context, &state.core, StatusCode::OK, act).await
}

fn invitation(found: InvitationRecord) -> Invitation {
    Invitation {
        id: found.invitation_id.as_uuid(),
        organization_id: found.organization_id.as_uuid(),
        email: found.email,
        role_id: found.role_id.map(Uuid::from),
        invited_by_user_id: found.invited_by_user_id.map(Uuid::from),
        expires_at: found.expires_at,
        accepted_at: found.accepted_at,
        accepted_by_user_id: found.accepted_by_user_id.map(Uuid::from),
        revoked_at: found.revoked_at,
        created_at: found.created_at,
    }
}
