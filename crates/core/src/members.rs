//! Members: who may act in the active organization, guests from other homes included.
//!
//! A member's account is governed by the home; the organization acts on the membership alone. Start
//! with [`list`]; how a membership ends is in [`departure`].

pub mod departure;
pub(crate) mod hand_over;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::Scope;
use clm_database::transaction::Abort;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::clock::{uuid_v7, whole_milliseconds};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, RoleId, UserId};
use clm_domain::permission::{Action, Permissions, Resource};
use clm_domain::states::{MembershipStatus, UserType};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::last_administrator::Watch;
use crate::organizations;
use crate::page::{Page, PageRequest};
use crate::roles::refuse_beyond_rights;
use crate::store::{audit_log, authority, members, organizations as organization_rows, sessions};
use crate::texts::check_reason;
use crate::{Core, audit, users};

/// A role that a member holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRole {
    /// The role.
    pub role_id: RoleId,
    /// Its stable name.
    pub role_code: String,
}

/// A member of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// The user.
    pub user_id: UserId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// Whether it is the user's home; else the user is a guest.
    pub is_home: bool,
    /// The name to sign in with.
    pub username: String,
    /// The name for people.
    pub display_name: Option<String>,
    /// Address for messages.
    pub email: Option<String>,
    /// A person or a service.
    pub user_type: UserType,
    /// Whether the user may act in the organization.
    pub status: MembershipStatus,
    /// Whether the user's sign-ins begin in it.
    pub is_primary: bool,
    /// When the membership began.
    pub joined_at: DateTime<Utc>,
    /// The roles that the user holds in it now.
    pub roles: Vec<HeldRole>,
}

/// Asks for a membership.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// The user: an id, or the name and the slug of the home with `@` between them.
    pub user: String,
    /// The organization.
    pub organization_id: OrganizationId,
}

/// Members of the active organization.
///
/// # Errors
/// Those of [`access::authorize`] and of the database.
pub async fn list(
    context: &OpContext,
    core: &Core,
    page: PageRequest,
) -> Result<Page<MemberRecord>> {
    let target = Target::kind(context, Resource::Membership);
    access::authorize(context, core, Action::List, target).await?;
    let organization_id = context.organization_id;
    let mut transaction = core
        .pool
        .begin(Scope::Organization(organization_id))
        .await?;
    let part = (page.after, page.rows_to_read());
    let rows = members::list(&mut transaction, organization_id, part)
        .await
        .map_err(|error| core.pool.statement_error(error))?;
    Ok(page.page(rows, |member| member.user_id.as_uuid()))
}

/// One member of the active organization.
///
/// # Errors
/// `NotFound` for everybody else; those of [`access::authorize`] and of the database.
pub async fn load(context: &OpContext, core: &Core, user_id: UserId) -> Result<MemberRecord> {
    let target = Target::kind(context, Resource::Membership);
    access::authorize(context, core, Action::Read, target).await?;
    find(core, context.organization_id, user_id).await
}

async fn find(
    core: &Core,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<MemberRecord> {
    let mut transaction = core
        .pool
        .begin(Scope::Organization(organization_id))
        .await?;
    members::find(&mut transaction, organization_id, user_id)
        .await
        .map_err(|error| core.pool.statement_error(error))?
        .ok_or_else(not_found)
}

/// Makes a user a member of an organization, from the System organization. Everybody else invites: to
/// name users of other organizations would tell who there is.
///
/// # Errors
/// `NotFound`, naming the field, for what is not visible; `Conflict` with code `already_member`;
/// those of [`access::authorize_across`] and of the database.
pub async fn add(context: &OpContext, core: &Core, new: NewMember) -> Result<MemberRecord> {
    access::authorize_across(context, core, Action::Create, Resource::Membership).await?;
    let now = whole_milliseconds(core.clock.now());
    let organization_id = new.organization_id;
    let row = event(context, core, CoreEvent::MemberAdded, None);
    let adding = Arc::new((new, row.clone(), uuid_v7(now, core.rng.as_ref())));
    let scope = Scope::System("who governs organizations puts users of any into any other");
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("members::add", scope, |connection| {
            let adding = Arc::clone(&adding);
            Box::pin(async move {
                let (new, row, membership_id) = adding.as_ref();
                let user_id = resolve(connection, new).await?;
                let named = (organization_id, user_id);
                if !members::insert(connection, *membership_id, named, now).await? {
                    return Err(Abort::Caller(already_member()));
                }
                let mut row = row.clone();
                row.resource_id = Some(user_id.as_uuid());
                let row = row.with_details(json!({ "organization_id": organization_id }));
                audit_log::insert(connection, &row).await?;
                Ok(user_id)
            })
        })
        .await;
    let user_id = audit::refusal(context, core, &row, outcome).await?;
    core.authentication_cache.evict(user_id);
    find(core, organization_id, user_id).await
}

/// The user whom the text means, while the organization is there.
async fn resolve(
    connection: &mut PgConnection,
    new: &NewMember,
) -> std::result::Result<UserId, Abort<CoreError>> {
    let unknown = |field, noun| Abort::Caller(access::unknown_reference(field, noun));
    let organization = organization_rows::find(connection, new.organization_id).await?;
    if organization.is_none() {
        return Err(unknown("organization_id", "organization"));
    }
    let wanted = new.user.trim();
    let found = match Uuid::parse_str(wanted) {
        Ok(id) => members::find_user(connection, UserId::from_uuid(id)).await?,
        Err(_) => match wanted.rsplit_once('@') {
            Some((name, slug))
                if users::check_username(name).is_ok() && organizations::is_slug(slug) =>
            {
                members::find_user_by_name(connection, &users::normalized(name), slug).await?
            }
            _ => None,
        },
    };
    found.ok_or_else(|| unknown("user", "user"))
}

/// Suspends a member of the active organization, which ends the user's sessions in it, or admits the
/// member again.
///
/// # Errors
/// `Invalid`, naming `reason`; `Conflict` with code `own_membership` or `last_administrator`;
/// `NotFound` for everybody who is no member; those of [`access::authorize`] and of the database.
pub async fn set_status(
    context: &OpContext,
    core: &Core,
    user_id: UserId,
    (status, reason): (MembershipStatus, String),
) -> Result<MemberRecord> {
    let target = Target::kind(context, Resource::Membership);
    access::authorize(context, core, Action::Update, target).await?;
    let organization_id = context.organization_id;
    find(core, organization_id, user_id).await?;
    let reason = check_reason(&reason)?;
    let row = event(context, core, CoreEvent::MemberStatusChanged, Some(user_id));
    if context.actor.user_id() == Some(user_id) {
        return audit::refusal(context, core, &row, Err(own_membership())).await;
    }
    let now = whole_milliseconds(core.clock.now());
    let change = Arc::new((row, reason, context.permissions.clone()));
    let scope = Scope::System("an administrator may be a guest, whose row belongs to another home");
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("members::set_status", scope, |connection| {
            let change = Arc::clone(&change);
            Box::pin(async move {
                let (row, reason, held) = change.as_ref();
                let named = (organization_id, user_id);
                let watch = Watch::begin(connection, user_id, now).await?;
                refuse_outranked(connection, held, (named, now)).await?;
                let present = members::lock(connection, named.0, named.1).await?;
                let present = present.ok_or_else(|| Abort::Caller(not_found()))?;
                if present.status == status {
                    return Ok(());
                }
                members::update_status(connection, named, status).await?;
                let ended = match status {
                    MembershipStatus::Active => 0,
                    MembershipStatus::Suspended => {
                        sessions::end_of_member(connection, named, now).await?
                    }
                };
                watch.end(connection).await?;
                let row = row.clone().with_details(json!({
                    "status": [present.status, status], "sessions_ended": ended,
                    "stated_reason": reason,
                }));
                audit_log::insert(connection, &row).await?;
                Ok(())
            })
        })
        .await;
    audit::refusal(context, core, &change.0, outcome).await?;
    core.authentication_cache.evict(user_id);
    find(core, organization_id, user_id).await
}

/// Refuses when the member holds here, or will hold, what the actor does not: a suspension that ends
/// gives back, and one that begins takes away, all of that.
async fn refuse_outranked(
    connection: &mut PgConnection,
    held: &Permissions,
    ((organization_id, user_id), now): ((OrganizationId, UserId), DateTime<Utc>),
) -> std::result::Result<(), Abort<CoreError>> {
    let theirs = authority::find_held_or_to_come(connection, user_id, organization_id, now).await?;
    let theirs = theirs.counting_in(organization_id);
    refuse_beyond_rights(&theirs, held, "user_id").map_err(Abort::Caller)
}

/// The event of an act on a membership, in the organization that the actor acts for.
fn event(context: &OpContext, core: &Core, what: CoreEvent, user_id: Option<UserId>) -> AuditRow {
    let resource_id = user_id.map(Uuid::from);
    let (now, rng) = (core.clock.now(), core.rng.as_ref());
    let row = AuditRow::success(what, &context.cause(), resource_id, now, rng);
    audit::with_origin(context, row)
}

fn not_found() -> CoreError {
    Fault::not_found(access::noun(Resource::Membership)).into()
}

pub(crate) fn already_member() -> CoreError {
    let message = "The user is a member of the organization already.";
    Fault::new(ErrorKind::Conflict, "already_member", message).into()
}

fn own_membership() -> CoreError {
    let message = "This is your own membership. To leave: POST /api/v1/members/me/leave.";
    Fault::new(ErrorKind::Conflict, "own_membership", message).into()
}
