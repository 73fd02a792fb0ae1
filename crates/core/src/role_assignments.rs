//! Assignments: who holds which role in the active organization, from when to when.
//!
//! An assignment begins and ends by the clock, without anybody doing anything. Nobody gives, prolongs
//! or takes away a role that gives more than they hold themselves.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::Scope;
use clm_database::transaction::Abort;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::clock::{Rng, whole_milliseconds};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, RoleAssignmentId, RoleId, SYSTEM_ORGANIZATION, UserId};
use clm_domain::permission::{Action, Permissions, Resource};
use serde_json::json;
use sqlx::PgConnection;

use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::{CoreError, Result, revision_changed};
use crate::last_administrator::Watch;
use crate::page::{Page, PageRequest};
use crate::roles::{effective, refuse_beyond_rights};
use crate::store::{audit_log, authority, role_assignments, roles};
use crate::texts::check_line;
use crate::{Core, audit, step_up};

/// Longest reason, in characters.
const REASON_CHARACTERS_MAX: usize = 2000;
/// Most assignments of one user in one organization that have not ended.
const ASSIGNMENTS_PER_USER_MAX: i64 = 100;

/// Asks for an assignment.
#[derive(Clone, Debug)]
pub struct NewRoleAssignment {
    /// A member of the active organization.
    pub user_id: UserId,
    /// A role that the organization may use.
    pub role_id: RoleId,
    /// When it begins; absent or past: now.
    pub valid_from: Option<DateTime<Utc>>,
    /// When it ends; absent: never.
    pub valid_until: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Option<String>,
}

/// An assignment of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAssignmentRecord {
    /// The assignment.
    pub role_assignment_id: RoleAssignmentId,
    /// Where the role is held.
    pub organization_id: OrganizationId,
    /// Who holds it.
    pub user_id: UserId,
    /// The holder's name.
    pub username: String,
    /// The role.
    pub role_id: RoleId,
    /// Its stable name.
    pub role_code: String,
    /// First moment of validity.
    pub valid_from: DateTime<Utc>,
    /// First moment after validity; absent while open-ended.
    pub valid_until: Option<DateTime<Utc>>,
    /// Who granted it; absent for the platform and the operator of the machine.
    pub granted_by_user_id: Option<UserId>,
    /// Why.
    pub reason: Option<String>,
    /// Rises with each change.
    pub revision: i64,
    /// When it was granted.
    pub created_at: DateTime<Utc>,
}

impl RoleAssignmentRecord {
    /// A new assignment that begins now and is open-ended; without the names in it.
    pub(crate) fn from_now_on(
        (organization_id, user_id, role_id): (OrganizationId, UserId, RoleId),
        granted_by_user_id: Option<UserId>,
        (now, rng): (DateTime<Utc>, &dyn Rng),
    ) -> Self {
        Self {
            role_assignment_id: RoleAssignmentId::generate(now, rng),
            organization_id,
            user_id,
            username: String::new(),
            role_id,
            role_code: String::new(),
            valid_from: now,
            valid_until: None,
            granted_by_user_id,
            reason: None,
            revision: 1,
            created_at: now,
        }
    }
}

/// Which assignments to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Of this user only.
    pub user_id: Option<UserId>,
    /// Of this role only.
    pub role_id: Option<RoleId>,
    /// Only those that have not ended by then.
    pub not_ended_at: Option<DateTime<Utc>>,
}

/// Gives a member of the active organization a role there.
///
/// # Errors
/// `NotFound` for a user or role that is not visible; `Invalid` with code
/// `valid_until_not_after` or `reason_invalid`; `Conflict` with code `already_assigned` when the user has
/// the role at any moment of that time, `too_many_assignments`; `PolicyViolation` with code
/// `permissions_beyond_rights`; `Forbidden` without a good step-up proof; those of [`access::authorize`] and of the database.
pub async fn grant(
    context: &OpContext,
    core: &Core,
    new: NewRoleAssignment,
) -> Result<RoleAssignmentRecord> {
    let target = Target::kind(context, Resource::RoleAssignment);
    access::authorize(context, core, Action::Create, target).await?;
    let now = whole_milliseconds(core.clock.now());
    let valid_from = new
        .valid_from
        .map_or(now, |from| whole_milliseconds(from).max(now));
    let valid_until = new.valid_until.map(whole_milliseconds);
    check_end(valid_until, valid_from)?;
    let named = (context.organization_id, new.user_id, new.role_id);
    let moment = (now, core.rng.as_ref());
    let assignment = RoleAssignmentRecord {
        valid_from,
        valid_until,
        reason: check_reason(new.reason)?,
        ..RoleAssignmentRecord::from_now_on(named, context.actor.user_id(), moment)
    };
    let row = event(context, core, CoreEvent::RoleAssigned, &assignment);
    let granting = Arc::new((assignment, row, context.clone()));
    let scope = Scope::Organization(context.organization_id);
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("role_assignments::grant", scope, |connection| {
            let granting = Arc::clone(&granting);
            Box::pin(async move {
                let (assignment, row, context) = granting.as_ref();
                check_grant(connection, assignment, &context.permissions).await?;
                let right = (Action::Create, Resource::RoleAssignment);
                step_up::require(connection, context, right, assignment.created_at).await?;
                role_assignments::insert(connection, assignment).await?;
                audit_log::insert(connection, row).await?;
                find(
                    connection,
                    assignment.organization_id,
                    assignment.role_assignment_id,
                )
                .await
            })
        })
        .await;
    let refused = audit::of_nothing(&granting.1);
    let granted = audit::refusal(context, core, &refused, outcome).await?;
    core.authentication_cache.evict(granted.user_id);
    Ok(granted)
}

/// Whether the assignment may be made, while nobody changes the role.
async fn check_grant(
    connection: &mut PgConnection,
    assignment: &RoleAssignmentRecord,
    held: &Permissions,
) -> std::result::Result<(), Abort<CoreError>> {
    let RoleAssignmentRecord {
        organization_id,
        user_id,
        ..
    } = *assignment;
    let given = check_gift(connection, (organization_id, assignment.role_id), held).await?;
    if let Some(granter) = assignment.granted_by_user_id {
        // What is remembered of the granter may be a second old; what is given stays.
        let now = assignment.created_at;
        let held = authority::find_held(connection, granter, organization_id, now).await?;
        let given: Permissions = given
            .iter()
            .filter(|(resource, _)| !resource.is_of_installation())
            .collect();
        refuse_beyond_rights(&given, &held, "role_id").map_err(Abort::Caller)?;
    }
    if !role_assignments::lock_member(connection, organization_id, user_id).await? {
        return Err(Abort::Caller(access::unknown_reference("user_id", "user")));
    }
    // Grants of the same user come one after the other, so that none overlaps another unseen.
    role_assignments::lock(connection, organization_id, user_id).await?;
    if let Some(other) = role_assignments::find_overlapping(connection, assignment).await? {
        return Err(Abort::Caller(already_assigned(other)));
    }
    let now = assignment.created_at;
    let count =
        role_assignments::count_open_of_user(connection, organization_id, user_id, now).await?;
    if count >= ASSIGNMENTS_PER_USER_MAX {
        return Err(Abort::Caller(too_many()));
    }
    Ok(())
}

/// Whether the organization may use the role, and it gives nothing that the actor does not hold. It stays
/// as it is until the end of the transaction. Returns what it gives.
pub(crate) async fn check_gift(
    connection: &mut PgConnection,
    (organization_id, role_id): (OrganizationId, RoleId),
    held: &Permissions,
) -> std::result::Result<Permissions, Abort<CoreError>> {
    let unknown = || Abort::Caller(access::unknown_reference("role_id", "role"));
    let found = roles::find(connection, organization_id, role_id).await?;
    let owner = found.ok_or_else(unknown)?.organization_id;
    roles::lock_shared(connection, owner).await?;
    if owner != SYSTEM_ORGANIZATION {
        // It may inherit from one of the System organization.
        roles::lock_shared(connection, SYSTEM_ORGANIZATION).await?;
    }
    let lineage = roles::list_lineage(connection, role_id).await?;
    if lineage.is_empty() {
        return Err(unknown());
    }
    let given = effective(&lineage, organization_id);
    refuse_beyond_rights(&given, held, "role_id").map_err(Abort::Caller)?;
    Ok(given)
}

/// Assignments in the active organization, newest first; ended ones too, unless the filter says
/// otherwise.
///
/// # Errors
/// Those of [`access::authorize`] and of the database.
pub async fn list(
    context: &OpContext,
    core: &Core,
    filter: Filter,
    page: PageRequest,
) -> Result<Page<RoleAssignmentRecord>> {
    let target = Target::kind(context, Resource::RoleAssignment);
    access::authorize(context, core, Action::List, target).await?;
    let organization_id = context.organization_id;
    let mut transaction = core
        .pool
        .begin(Scope::Organization(organization_id))
        .await?;
    let part = (page.after, page.rows_to_read());
    let rows = role_assignments::list(&mut transaction, organization_id, filter, part)
        .await
        .map_err(|error| core.pool.statement_error(error))?;
    Ok(page.page(rows, |one| one.role_assignment_id.as_uuid()))
}

/// One assignment in the active organization.
///
/// # Errors
/// `NotFound` for unknown and foreign ids alike; those of [`access::authorize`] and of the database.
pub async fn load(
    context: &OpContext,
    core: &Core,
    role_assignment_id: RoleAssignmentId,
) -> Result<RoleAssignmentRecord> {
    let target = Target::kind(context, Resource::RoleAssignment);
    access::authorize(context, core, Action::Read, target).await?;
    load_own(context, core, role_assignment_id).await
}

async fn load_own(
    context: &OpContext,
    core: &Core,
    role_assignment_id: RoleAssignmentId,
) -> Result<RoleAssignmentRecord> {
    let organization_id = context.organization_id;
    let mut transaction = core
        .pool
        .begin(Scope::Organization(organization_id))
        .await?;
    role_assignments::find(&mut transaction, organization_id, role_assignment_id)
        .await
        .map_err(|error| core.pool.statement_error(error))?
        .ok_or_else(not_found)
}

/// Moves the end of an assignment that has not ended; `None` leaves it open. An end that has passed is
/// now.
///
/// # Errors
/// `Conflict` with code `assignment_ended`, `revision_changed`, `already_assigned` or
/// `last_administrator`; `NotFound` for unknown and foreign ids alike; those of [`grant`].
pub async fn change_end(
    context: &OpContext,
    core: &Core,
    (role_assignment_id, revision): (RoleAssignmentId, i64),
    valid_until: Option<DateTime<Utc>>,
) -> Result<RoleAssignmentRecord> {
    let target = Target::kind(context, Resource::RoleAssignment);
    access::authorize(context, core, Action::Update, target).await?;
    let present = load_own(context, core, role_assignment_id).await?;
    let now = whole_milliseconds(core.clock.now());
    let valid_until = valid_until.map(|until| whole_milliseconds(until).max(now));
    check_end(valid_until, present.valid_from)?;
    let change = End {
        present: present.clone(),
        revision: Some(revision),
        valid_until,
        event: CoreEvent::RoleAssignmentChanged,
    };
    end_at(context, core, now, change).await
}

/// Takes a role away now, or cancels an assignment that has not begun. Once it has ended, doing it
/// again changes nothing.
///
/// # Errors
/// `Conflict` with code `last_administrator`; `NotFound` for unknown and foreign ids alike; those of
/// [`grant`].
pub async fn withdraw(
    context: &OpContext,
    core: &Core,
    role_assignment_id: RoleAssignmentId,
) -> Result<()> {
    let target = Target::kind(context, Resource::RoleAssignment);
    access::authorize(context, core, Action::Delete, target).await?;
    let present = load_own(context, core, role_assignment_id).await?;
    let now = whole_milliseconds(core.clock.now());
    if present.valid_until.is_some_and(|until| until <= now) {
        return Ok(());
    }
    let change = End {
        present,
        revision: None,
        valid_until: Some(now),
        event: CoreEvent::RoleWithdrawn,
    };
    end_at(context, core, now, change).await.map(|_| ())
}

/// A new end of an assignment.
struct End {
    present: RoleAssignmentRecord,
    /// The revision that was read, where the caller must name one.
    revision: Option<i64>,
    valid_until: Option<DateTime<Utc>>,
    event: CoreEvent,
}

async fn end_at(
    context: &OpContext,
    core: &Core,
    now: DateTime<Utc>,
    change: End,
) -> Result<RoleAssignmentRecord> {
    let row = event(context, core, change.event, &change.present);
    let user_id = change.present.user_id;
    let ending = Arc::new((change, context.clone()));
    let rng = Arc::clone(&core.rng);
    let scope = Scope::System("an administrator may be a guest, whose row belongs to another home");
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("role_assignments::end_at", scope, |connection| {
            let (ending, rng) = (Arc::clone(&ending), Arc::clone(&rng));
            Box::pin(async move {
                let (change, context) = ending.as_ref();
                let watch = Watch::begin(connection, user_id, now).await?;
                let ended = move_end(connection, context, (change, now)).await?;
                if ended.revision == change.present.revision {
                    return Ok(ended);
                }
                watch.end(connection).await?;
                let row = event_at(context, (now, rng.as_ref()), change.event, &ended);
                audit_log::insert(connection, &row).await?;
                Ok(ended)
            })
        })
        .await;
    let ended = audit::refusal(context, core, &row, outcome).await?;
    core.authentication_cache.evict(user_id);
    Ok(ended)
}

async fn move_end(
    connection: &mut PgConnection,
    context: &OpContext,
    (change, now): (&End, DateTime<Utc>),
) -> std::result::Result<RoleAssignmentRecord, Abort<CoreError>> {
    let End { present, .. } = change;
    let organization_id = present.organization_id;
    role_assignments::lock(connection, organization_id, present.user_id).await?;
    let named = (organization_id, present.role_assignment_id);
    let found = role_assignments::find_for_change(connection, named.0, named.1).await?;
    let mut stored = found.ok_or_else(|| Abort::Caller(not_found()))?;
    if let Some(read) = change.revision
        && read != stored.revision
    {
        let error = revision_changed("role assignment", stored.revision, read);
        return Err(Abort::Caller(error));
    }
    if stored.valid_until.is_some_and(|until| until <= now) {
        return Err(Abort::Caller(ended_already()));
    }
    let gift = (organization_id, stored.role_id);
    check_gift(connection, gift, &context.permissions).await?;
    if stored.valid_until == change.valid_until {
        return Ok(stored);
    }
    let is_own = context.actor.user_id() == Some(stored.user_id);
    if is_own && is_later(change.valid_until, stored.valid_until) {
        return Err(Abort::Caller(own_assignment()));
    }
    let before = stored.valid_until;
    stored.valid_until = change.valid_until;
    stored.revision += 1;
    let cancelled = stored
        .valid_until
        .is_some_and(|until| until <= stored.valid_from);
    if cancelled {
        role_assignments::cancel(connection, named, now).await?;
        return Ok(stored);
    }
    if let Some(other) = role_assignments::find_overlapping(connection, &stored).await? {
        return Err(Abort::Caller(already_assigned(other)));
    }
    if is_later(stored.valid_until, before) {
        let right = (Action::Update, Resource::RoleAssignment);
        step_up::require(connection, context, right, now).await?;
    }
    role_assignments::update_end(connection, &stored).await?;
    Ok(stored)
}

async fn find(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
    role_assignment_id: RoleAssignmentId,
) -> std::result::Result<RoleAssignmentRecord, Abort<CoreError>> {
    role_assignments::find(connection, organization_id, role_assignment_id)
        .await?
        .ok_or_else(|| Abort::Caller(not_found()))
}

fn check_end(valid_until: Option<DateTime<Utc>>, valid_from: DateTime<Utc>) -> Result<()> {
    if valid_until.is_none_or(|until| until > valid_from) {
        return Ok(());
    }
    let message = "The end must lie after the beginning, and in the future.";
    Err(Fault::invalid("valid_until_not_after", "valid_until", message).into())
}

fn check_reason(reason: Option<String>) -> Result<Option<String>> {
    let given = reason.filter(|reason| !reason.trim().is_empty());
    let refusal = ("reason_invalid", "reason");
    let checked = given.map(|reason| check_line(&reason, REASON_CHARACTERS_MAX, refusal));
    checked.transpose()
}

fn not_found() -> CoreError {
    Fault::not_found(access::noun(Resource::RoleAssignment)).into()
}

fn already_assigned(other: RoleAssignmentId) -> CoreError {
    let message = format!(
        "The user has this role for some of that time already, by assignment {other}. Move the end \
         of that one instead."
    );
    Fault::new(ErrorKind::Conflict, "already_assigned", message).into()
}

/// Whether one end lies after another; absent: never.
fn is_later(end: Option<DateTime<Utc>>, other: Option<DateTime<Utc>>) -> bool {
    other.is_some_and(|other| end.is_none_or(|end| end > other))
}

fn own_assignment() -> CoreError {
    let message = "Nobody prolongs the own role. Ask somebody else who holds it.";
    Fault::new(ErrorKind::PolicyViolation, "own_assignment", message).into()
}

fn ended_already() -> CoreError {
    let message = "The assignment has ended. Assign the role again.";
    Fault::new(ErrorKind::Conflict, "assignment_ended", message).into()
}

fn too_many() -> CoreError {
    let message = format!(
        "A user has at most {ASSIGNMENTS_PER_USER_MAX} assignments in an organization. Withdraw one, \
         or make a role that combines several."
    );
    Fault::new(ErrorKind::Conflict, "too_many_assignments", message).into()
}

fn event(
    context: &OpContext,
    core: &Core,
    event: CoreEvent,
    assignment: &RoleAssignmentRecord,
) -> AuditRow {
    event_at(
        context,
        (core.clock.now(), core.rng.as_ref()),
        event,
        assignment,
    )
}

fn event_at(
    context: &OpContext,
    (now, rng): (DateTime<Utc>, &dyn Rng),
    event: CoreEvent,
    assignment: &RoleAssignmentRecord,
) -> AuditRow {
    let resource_id = Some(assignment.role_assignment_id.as_uuid());
    let row =
        AuditRow::success(event, &context.cause(), resource_id, now, rng).with_details(json!({
            "user_id": assignment.user_id,
            "role_id": assignment.role_id,
            "valid_from": assignment.valid_from,
            "valid_until": assignment.valid_until,
            "stated_reason": assignment.reason,
        }));
    audit::with_origin(context, row)
}
