//! Accepting an invitation: by a signed-in user of any organization, with the token alone.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::Scope;
use clm_database::transaction::Abort;
use clm_domain::audit::{AuditRow, Cause, CoreEvent};
use clm_domain::clock::{uuid_v7, whole_milliseconds};
use clm_domain::ids::{OrganizationId, UserId};
use clm_domain::permission::{Action, Resource};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::not_found;
use crate::authentication::credential;
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::members::already_member;
use crate::role_assignments::{RoleAssignmentRecord, check_gift};
use crate::roles::refuse_beyond_rights;
use crate::store::invitations::{self, FoundInvitation};
use crate::store::{audit_log, members, role_assignments};
use crate::{Core, access, audit};

/// What accepting came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The organization of which one is a member now.
    pub organization_id: OrganizationId,
    /// Its short name.
    pub organization_slug: String,
    /// Its name.
    pub organization_name: String,
}

/// Makes the user of the session a member of the organization that the token invites to.
///
/// # Errors
/// `NotFound` whatever is wrong with the token; `Conflict` with code `already_member`; `Invalid` with
/// code `no_session`; those of the database.
pub async fn accept(context: &OpContext, core: &Core, token: &str) -> Result<Joined> {
    let user_id = access::signed_in(context)?;
    let now = whole_milliseconds(core.clock.now());
    let token = token.trim();
    let hash = credential::token_hash(token).or_else(|| credential::link_token_hash(token));
    let hash = hash.ok_or_else(not_found)?;
    let found = invitations::find_by_token(core.pool.unscoped(), &hash, now)
        .await
        .map_err(|error| core.pool.statement_error(error))?
        .filter(may_still_give)
        .ok_or_else(not_found)?;
    let cause = Cause {
        organization_id: found.organization_id,
        ..context.cause()
    };
    let resource_id = Some(found.invitation_id.as_uuid());
    let event = CoreEvent::InvitationAccepted;
    let row = AuditRow::success(event, &cause, resource_id, now, core.rng.as_ref())
        .with_details(json!({ "user_id": user_id, "role_id": found.role_id }));
    let acceptance = Arc::new(Acceptance {
        membership_id: uuid_v7(now, core.rng.as_ref()),
        assignment: found.role_id.map(|role_id| {
            let named = (found.organization_id, user_id, role_id);
            let moment = (now, core.rng.as_ref());
            RoleAssignmentRecord::from_now_on(named, found.invited_by_user_id, moment)
        }),
        user_id,
        now,
        audit: audit::with_origin(context, row),
        found,
    });
    let scope = Scope::System("a user of one organization becomes a member of another");
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("invitations::accept", scope, |connection| {
            let acceptance = Arc::clone(&acceptance);
            Box::pin(async move { join(connection, &acceptance).await })
        })
        .await;
    audit::refusal(context, core, &acceptance.audit, outcome).await?;
    core.authentication_cache.evict(user_id);
    let found = &acceptance.found;
    Ok(Joined {
        organization_id: found.organization_id,
        organization_slug: found.organization_slug.clone(),
        organization_name: found.organization_name.clone(),
    })
}

/// Whether the inviter, who may have lost rights since, could still invite and give the role, which may
/// give more since.
fn may_still_give(found: &FoundInvitation) -> bool {
    let Some(held) = &found.inviter_permissions else {
        // The operator of the machine.
        return true;
    };
    let may_invite = held.allows(Resource::Membership, Action::Create)
        && (found.role_id.is_none() || held.allows(Resource::RoleAssignment, Action::Create));
    let given = found.role_permissions.counting_in(found.organization_id);
    may_invite && refuse_beyond_rights(&given, held, "role_id").is_ok()
}

struct Acceptance {
    found: FoundInvitation,
    membership_id: Uuid,
    /// The role of the invitation, if it names one.
    assignment: Option<RoleAssignmentRecord>,
    user_id: UserId,
    now: DateTime<Utc>,
    audit: AuditRow,
}

async fn join(
    connection: &mut PgConnection,
    acceptance: &Acceptance,
) -> std::result::Result<(), Abort<CoreError>> {
    let Acceptance {
        found,
        user_id,
        now,
        ..
    } = acceptance;
    let (user_id, now) = (*user_id, *now);
    // Two who present it at once come one after the other, and the second one finds it used.
    if !invitations::accept(connection, found.invitation_id, (user_id, now)).await? {
        return Err(Abort::Caller(not_found()));
    }
    let named = (found.organization_id, user_id);
    if !members::insert(connection, acceptance.membership_id, named, now).await? {
        return Err(Abort::Caller(already_member()));
    }
    if let Some(assignment) = &acceptance.assignment {
        refuse_changed_role(connection, found, assignment).await?;
        role_assignments::insert(connection, assignment).await?;
    }
    Ok(audit_log::insert(connection, &acceptance.audit).await?)
}

/// Refuses a role that was deleted since the invitation was looked up, or gives more than it did then.
async fn refuse_changed_role(
    connection: &mut PgConnection,
    found: &FoundInvitation,
    assignment: &RoleAssignmentRecord,
) -> std::result::Result<(), Abort<CoreError>> {
    let named = (found.organization_id, assignment.role_id);
    let seen = found.role_permissions.counting_in(found.organization_id);
    match check_gift(connection, named, &seen).await {
        Ok(_) => Ok(()),
        Err(Abort::Caller(_)) => Err(Abort::Caller(not_found())),
        Err(other) => Err(other),
    }
}
