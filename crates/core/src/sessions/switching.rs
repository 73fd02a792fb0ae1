//! The one organization in which a session is active: changing it, and where sign-ins begin.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::Scope;
use clm_database::transaction::Abort;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::clock::whole_milliseconds;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, UserId};
use clm_domain::permission::Resource;
use clm_domain::states::OrganizationStatus;
use serde_json::json;
use sqlx::PgConnection;

use super::{NewSession, SessionRecord, lifetimes};
use crate::access;
use crate::authentication::{self, credential};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::organizations::{OrganizationRecord, find_named};
use crate::store::{audit_log, members, sessions};
use crate::{Core, audit};

/// Lets the session of the request go on in another organization of its user. It keeps its id and gets
/// new secrets; the old ones stop working.
///
/// # Errors
/// `NotFound` for every organization in which the user cannot act now; `Conflict` with code
/// `sign_in_again` when the session is too old for it; `Invalid` with code `no_session`; those of the
/// database.
pub async fn switch(context: &OpContext, core: &Core, wanted: &str) -> Result<NewSession> {
    let user_id = access::signed_in(context)?;
    let session_id = context
        .actor
        .session_id()
        .ok_or_else(access::unauthenticated)?;
    let token = credential::new_token(core.rng.as_ref());
    let csrf_token = credential::new_token(core.rng.as_ref());
    let now = whole_milliseconds(core.clock.now());
    let (event, resource_id) = (CoreEvent::SessionSwitched, Some(session_id.as_uuid()));
    let cause = context.cause();
    let row = AuditRow::success(event, &cause, resource_id, now, core.rng.as_ref())
        .with_details(json!({ "from_organization_id": context.organization_id }));
    let attempt = Arc::new(Attempt {
        wanted: wanted.to_owned(),
        left: context.organization_id,
        user_id,
        idle_latest: now + core.settings.session_idle_timeout,
        row: audit::with_origin(context, row),
        switched: sessions::RenewedSession {
            session_id,
            organization_id: context.organization_id,
            token_sha256: credential::hash(token.expose()),
            csrf_sha256: credential::hash(csrf_token.expose()),
            now,
            idle_expires_at: now,
            expires_at: now,
            passed_second_factor: false,
        },
    });
    let scope = Scope::System("a session goes from one organization of its user to another");
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("sessions::switch", scope, |connection| {
            let attempt = Arc::clone(&attempt);
            Box::pin(async move { carry_out(connection, &attempt).await })
        })
        .await;
    let session = audit::refusal(context, core, &attempt.row, outcome).await?;
    core.authentication_cache.evict(user_id);
    Ok(NewSession {
        owed: authentication::owed_by(core, &token).await?,
        session,
        token,
        csrf_token,
    })
}

/// What a switch needs.
struct Attempt {
    /// The slug or the id of the organization.
    wanted: String,
    /// The organization in which the session is active.
    left: OrganizationId,
    user_id: UserId,
    idle_latest: DateTime<Utc>,
    row: AuditRow,
    switched: sessions::RenewedSession,
}

async fn carry_out(
    connection: &mut PgConnection,
    attempt: &Attempt,
) -> std::result::Result<SessionRecord, Abort<CoreError>> {
    let found = find_open(connection, &attempt.wanted, attempt.user_id).await?;
    let organization = found.ok_or_else(|| Abort::Caller(not_found()))?;
    let now = attempt.switched.now;
    let present = sessions::find(connection, attempt.left, attempt.switched.session_id, now);
    let present = present.await?;
    let present = present.ok_or_else(|| Abort::Caller(access::unauthenticated()))?;
    let settings = &organization.settings;
    let end = lifetimes::end(present.created_at, settings);
    let expires_at = lifetimes::earlier(present.expires_at, end);
    if expires_at <= now {
        return Err(Abort::Caller(sign_in_again()));
    }
    let idle = lifetimes::earlier(attempt.idle_latest, lifetimes::idle_end(now, settings));
    let switched = sessions::RenewedSession {
        organization_id: organization.organization_id,
        idle_expires_at: idle.min(expires_at),
        expires_at,
        ..attempt.switched.clone()
    };
    if !sessions::renew(connection, &switched).await? {
        return Err(Abort::Caller(access::unauthenticated()));
    }
    let mut row = attempt.row.clone();
    row.organization_id = organization.organization_id;
    audit_log::insert(connection, &row).await?;
    Ok(SessionRecord {
        session_id: switched.session_id,
        user_id: attempt.user_id,
        organization_id: switched.organization_id,
        created_at: present.created_at,
        last_seen_at: now,
        idle_expires_at: switched.idle_expires_at,
        expires_at,
        ip_address: present.ip_address,
        user_agent: present.user_agent,
        is_current: true,
    })
}

/// The organization of this slug or id, if the user is an active member of it and it admits anybody.
async fn find_open(
    connection: &mut PgConnection,
    wanted: &str,
    user_id: UserId,
) -> sqlx::Result<Option<OrganizationRecord>> {
    let found = find_named(connection, wanted).await?;
    let admits = |one: &OrganizationRecord| one.status != OrganizationStatus::Inactive;
    let Some(organization) = found.filter(admits) else {
        return Ok(None);
    };
    let organization_id = organization.organization_id;
    let is_member = members::lock_active(connection, organization_id, user_id).await?;
    Ok(is_member.then_some(organization))
}

fn not_found() -> CoreError {
    Fault::not_found(access::noun(Resource::Organization)).into()
}

fn sign_in_again() -> CoreError {
    let message =
        "The organization allows shorter sessions than this one is already. Sign in again.";
    Fault::new(ErrorKind::Conflict, "sign_in_again", message).into()
}

/// Makes an organization of the user the one in which sign-ins begin.
///
/// # Errors
/// `NotFound` for every organization in which the user cannot act now; `Invalid` with code
/// `no_session`; those of the database.
pub async fn set_primary(context: &OpContext, core: &Core, wanted: &str) -> Result<()> {
    let user_id = access::signed_in(context)?;
    let (now, resource_id) = (core.clock.now(), Some(user_id.as_uuid()));
    let event = CoreEvent::PrimaryOrganizationChanged;
    let cause = context.cause();
    let row = AuditRow::success(event, &cause, resource_id, now, core.rng.as_ref());
    let change = Arc::new((wanted.to_owned(), audit::with_origin(context, row)));
    let scope = Scope::System("the memberships of a user are in several organizations");
    core.pool
        .transact::<_, CoreError, _>("sessions::set_primary", scope, |connection| {
            let change = Arc::clone(&change);
            Box::pin(async move {
                let (wanted, row) = change.as_ref();
                let unknown =
                    || Abort::Caller(access::unknown_reference("organization", "organization"));
                let found = find_open(connection, wanted, user_id).await?;
                let organization_id = found.ok_or_else(unknown)?.organization_id;
                if !members::set_primary(connection, (organization_id, user_id)).await? {
                    return Err(unknown());
                }
                let details = json!({ "organization_id": organization_id });
                let row = row.clone().with_details(details);
                Ok(audit_log::insert(connection, &row).await?)
            })
        })
        .await
}
