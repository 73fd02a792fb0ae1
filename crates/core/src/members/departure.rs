//! How a membership ends: by leaving, or because somebody else removes the member.
//!
//! With it end, in the same transaction, the roles, API keys and sessions that the user has in the
//! organization; what the user owns there passes to a successor.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::Scope;
use clm_database::transaction::Abort;
use clm_domain::audit::CoreEvent;
use clm_domain::clock::whole_milliseconds;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, UserId};
use clm_domain::permission::{Action, Resource};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{event, find, hand_over, not_found, own_membership, refuse_outranked};
use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::last_administrator::Watch;
use crate::store::{api_keys, audit_log, members, role_assignments, sessions};
use crate::{Core, audit};

/// Removes a member of the active organization.
///
/// # Errors
/// `Conflict` with code `home_membership`, `own_membership`, `owns_objects` or `last_administrator`;
/// `Invalid`, naming `successor_user_id`; `NotFound` for everybody who is no member; those of
/// [`access::authorize`] and of the database.
pub async fn remove(
    context: &OpContext,
    core: &Core,
    user_id: UserId,
    successor: Option<UserId>,
) -> Result<()> {
    let target = Target::kind(context, Resource::Membership);
    access::authorize(context, core, Action::Delete, target).await?;
    find(core, context.organization_id, user_id).await?;
    let what = CoreEvent::MemberRemoved;
    if context.actor.user_id() == Some(user_id) {
        let row = event(context, core, what, Some(user_id));
        return audit::refusal(context, core, &row, Err(own_membership())).await;
    }
    end(context, core, what, (user_id, successor)).await
}

/// Leaves the active organization, by a session in it, which ends.
///
/// # Errors
/// `Invalid` with code `no_session` for a request without one, or naming `successor_user_id`;
/// `Conflict` with code `home_membership`, `owns_objects` or `last_administrator`; those of the
/// database.
pub async fn leave(context: &OpContext, core: &Core, successor: Option<UserId>) -> Result<UserId> {
    let user_id = access::signed_in(context)?;
    end(context, core, CoreEvent::MemberLeft, (user_id, successor)).await?;
    Ok(user_id)
}

async fn end(
    context: &OpContext,
    core: &Core,
    what: CoreEvent,
    (user_id, successor): (UserId, Option<UserId>),
) -> Result<()> {
    let now = whole_milliseconds(core.clock.now());
    let organization_id = context.organization_id;
    let row = event(context, core, what, Some(user_id));
    // Whoever leaves takes nothing away from anybody else.
    let held = (context.actor.user_id() != Some(user_id)).then(|| context.permissions.clone());
    let ending = Arc::new((row, held));
    let scope = Scope::System("an administrator may be a guest, whose row belongs to another home");
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("members::end", scope, |connection| {
            let ending = Arc::clone(&ending);
            Box::pin(async move {
                let (row, held) = ending.as_ref();
                let named = (organization_id, user_id);
                let present = members::lock(connection, named.0, named.1).await?;
                let present = present.ok_or_else(|| Abort::Caller(not_found()))?;
                if present.is_home {
                    return Err(Abort::Caller(home_membership()));
                }
                // Before the turn of those who take rights away: this may be much.
                let handed_over = hand_over::hand_over(connection, named, successor).await?;
                let watch = Watch::begin(connection, user_id, now).await?;
                if let Some(held) = held {
                    refuse_outranked(connection, held, (named, now)).await?;
                }
                let ended = end_everything(connection, named, now).await?;
                watch.end(connection).await?;
                let details = json!({
                    "ended": ended, "certificates_handed_over": handed_over,
                    "successor_user_id": successor,
                });
                let row = row.clone().with_details(details);
                Ok(audit_log::insert(connection, &row).await?)
            })
        })
        .await;
    audit::refusal(context, core, &ending.0, outcome).await?;
    core.authentication_cache.evict(user_id);
    Ok(())
}

/// Ends the membership, and what the user has by it. Says what that was.
async fn end_everything(
    connection: &mut PgConnection,
    named: (OrganizationId, UserId),
    now: DateTime<Utc>,
) -> sqlx::Result<Value> {
    // First: what is granted or made at this moment keeps the membership, and is seen after it.
    let here = (Some(named.0), named.1);
    members::end(connection, here, now).await?;
    let assignments = role_assignments::end_of_user(connection, here, now).await?;
    let api_keys = api_keys::revoke_of_user(connection, here, now).await?;
    let sessions = sessions::end_of_member(connection, named, now).await?;
    Ok(json!({
        "role_assignments": assignments, "api_keys": api_keys, "sessions": sessions,
    }))
}

fn home_membership() -> CoreError {
    let message = "The organization is the user's home, which is not left. Change the status of the \
                   membership or of the user instead.";
    Fault::new(ErrorKind::Conflict, "home_membership", message).into()
}
