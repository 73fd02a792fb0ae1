//! `/access/explain`: why somebody may do something or not.

use axum::Json;
use axum::extract::State;
use clm_api_types::access::{AccessExplanation, AccessGrant, AccessQuestion, GrantState};
use clm_api_types::problem::Problem;
use clm_core::access::explanation::{self, Explanation, Grant, Question};
use clm_domain::ids::UserId;
use clm_domain::permission::rule;
use uuid::Uuid;

use crate::ApiState;
use crate::problem::ApiError;
use crate::request::Input;

/// Says whether somebody may do something in the active organization, and by which assignment and role.
/// Changes nothing. About others it needs the right to read role assignments.
#[utoipa::path(
    post, path = "/api/v1/access/explain", tag = "roles",
    request_body = AccessQuestion,
    security(("api_key" = []), ("session" = [])),
    responses((status = 200, body = AccessExplanation), (status = "4XX", body = Problem)),
)]
pub(crate) async fn explain(
    State(state): State<ApiState>,
    Input { context, body }: Input<AccessQuestion>,
) -> Result<Json<AccessExplanation>, ApiError> {
    let question = Question {
        user_id: body.user_id.map(UserId::from_uuid),
        action: body.action,
        resource: body.resource,
        at: body.at,
    };
    let found = explanation::explain(&context, &state.core, question).await?;
    Ok(Json(answer(question, found)))
}

fn answer(question: Question, found: Explanation) -> AccessExplanation {
    let rule = rule(question.resource, question.action);
    AccessExplanation {
        allowed: found.allowed,
        code: found.code.to_owned(),
        explanation: found.explanation,
        user_id: found.user_id.map(Uuid::from),
        username: found.username,
        organization_id: found.organization_id.as_uuid(),
        resource: question.resource,
        action: question.action,
        at: found.at,
        grants: found
            .grants
            .into_iter()
            .map(|one| grant(one, rule.clone()))
            .collect(),
    }
}

fn grant(found: Grant, rule: String) -> AccessGrant {
    AccessGrant {
        role_assignment_id: found.role_assignment_id.as_uuid(),
        organization_id: found.organization_id.as_uuid(),
        assigned_role_id: found.assigned_role_id.as_uuid(),
        assigned_role_code: found.assigned_role_code,
        role_id: found.role_id.as_uuid(),
        role_code: found.role_code,
        rule,
        valid_from: found.valid_from,
        valid_until: found.valid_until,
        state: match found.state {
            explanation::GrantState::Pending => GrantState::Pending,
            explanation::GrantState::Current => GrantState::Current,
            explanation::GrantState::Ended => GrantState::Ended,
        },
    }
}
