//! Roles: named sets of permissions. Those of the organization are its own to write; those of the
//! System organization, the six system roles among them, are there for all.
//!
//! Nobody gives away what he or she does not hold: whoever writes a role must hold all that it will
//! give, with what it inherits. All changes to the roles of one organization come one after the other.

mod checks;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::Scope;
use clm_database::transaction::Abort;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::clock::whole_milliseconds;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, RoleId, SYSTEM_ORGANIZATION};
use clm_domain::permission::{Action, Permissions, Resource};
use serde_json::json;
use sqlx::PgConnection;

use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::{CoreError, Result, revision_changed};
use crate::page::{Page, PageRequest};
use crate::store::{audit_log, role_assignments, roles};
use crate::{Core, audit, step_up};

pub(crate) use checks::refuse_beyond_rights;

/// Most levels of a hierarchy, the role itself included.
pub const ROLE_LEVELS_MAX: usize = 10;
/// Most live roles of one organization.
const ROLES_PER_ORGANIZATION_MAX: i64 = 1000;

/// Asks for a role.
#[derive(Clone, Debug)]
pub struct NewRole {
    /// Stable name for programs: capital letters, digits and underscores. Never given out again.
    pub role_code: String,
    /// Name for people.
    pub role_name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it allows.
    pub permissions: Permissions,
    /// The role whose permissions it inherits.
    pub parent_role_id: Option<RoleId>,
}

/// Asks for a change: what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct RoleChange {
    /// Name for people.
    pub role_name: Option<String>,
    /// What it is for; `Some(None)` clears it.
    pub description: Option<Option<String>>,
    /// What it allows, as a whole.
    pub permissions: Option<Permissions>,
    /// The role whose permissions it inherits; `Some(None)` for none.
    pub parent_role_id: Option<Option<RoleId>>,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRecord {
    /// The role.
    pub role_id: RoleId,
    /// The organization that owns it; the System organization's are there for all.
    pub organization_id: OrganizationId,
    /// Stable name for programs.
    pub role_code: String,
    /// Name for people.
    pub role_name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it allows itself, without what it inherits.
    pub permissions: Permissions,
    /// The role whose permissions it inherits.
    pub parent_role_id: Option<RoleId>,
    /// One of the six that every installation has.
    pub is_system_role: bool,
    /// Rises with each change.
    pub revision: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A role with all that it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleDetail {
    /// The role.
    pub role: RoleRecord,
    /// What it allows with what it inherits.
    pub effective_permissions: Permissions,
}

/// Makes a role of the active organization.
///
/// # Errors
/// `Invalid`, naming the field; `Conflict` with code `role_code_taken` or `too_many_roles`;
/// `PolicyViolation` with code `permissions_beyond_rights`; `Forbidden` without a good step-up proof;
/// those of [`access::authorize`] and of the database.
pub async fn create(context: &OpContext, core: &Core, new: NewRole) -> Result<RoleDetail> {
    let target = Target::kind(context, Resource::Role);
    access::authorize(context, core, Action::Create, target).await?;
    let now = whole_milliseconds(core.clock.now());
    let role = RoleRecord {
        role_id: RoleId::generate(now, core.rng.as_ref()),
        organization_id: context.organization_id,
        role_code: checks::check_code(new.role_code)?,
        role_name: checks::check_name(&new.role_name)?,
        description: checks::check_description(new.description)?,
        permissions: new.permissions,
        parent_role_id: new.parent_role_id,
        is_system_role: false,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let row = event(context, core, CoreEvent::RoleCreated, &role);
    let creation = Arc::new((role, row, context.clone()));
    let scope = Scope::Organization(context.organization_id);
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("roles::create", scope, |connection| {
            let creation = Arc::clone(&creation);
            Box::pin(async move {
                let (role, row, context) = creation.as_ref();
                roles::lock(connection, role.organization_id).await?;
                refuse_too_many(connection, role.organization_id).await?;
                if roles::code_is_taken(connection, role).await? {
                    return Err(refused(checks::code_taken()));
                }
                let effective = judge(connection, role, &context.permissions, 0).await?;
                let right = (Action::Create, Resource::Role);
                step_up::require(connection, context, right, role.created_at).await?;
                roles::insert(connection, role).await?;
                audit_log::insert(connection, row).await?;
                Ok(effective)
            })
        })
        .await;
    let refused = audit::of_nothing(&creation.1);
    let effective_permissions = audit::refusal(context, core, &refused, outcome).await?;
    Ok(RoleDetail {
        role: creation.0.clone(),
        effective_permissions,
    })
}

/// The roles that the organization may use, newest first: its own, then those of the System
/// organization.
///
/// # Errors
/// Those of [`access::authorize`] and of the database.
pub async fn list(context: &OpContext, core: &Core, page: PageRequest) -> Result<Page<RoleRecord>> {
    let target = Target::kind(context, Resource::Role);
    access::authorize(context, core, Action::List, target).await?;
    let organization_id = context.organization_id;
    let mut transaction = core
        .pool
        .begin(Scope::Organization(organization_id))
        .await?;
    let part = (page.after, page.rows_to_read());
    let rows = roles::list(&mut transaction, organization_id, part)
        .await
        .map_err(|error| core.pool.statement_error(error))?;
    Ok(page.page(rows, |role| role.role_id.as_uuid()))
}

/// One role that the organization may use, with all that it gives.
///
/// # Errors
/// `NotFound` for unknown and foreign ids alike; those of [`access::authorize`] and of the database.
pub async fn load(context: &OpContext, core: &Core, role_id: RoleId) -> Result<RoleDetail> {
    let target = Target::kind(context, Resource::Role);
    access::authorize(context, core, Action::Read, target).await?;
    let organization_id = context.organization_id;
    let mut transaction = core
        .pool
        .begin(Scope::Organization(organization_id))
        .await?;
    let lineage = roles::list_lineage(&mut transaction, role_id)
        .await
        .map_err(|error| core.pool.statement_error(error))?;
    let effective_permissions = effective(&lineage, organization_id);
    let role = lineage.into_iter().next().ok_or_else(not_found)?;
    Ok(RoleDetail {
        role,
        effective_permissions,
    })
}

/// Changes a role of the active organization; whoever holds it has the new permissions at once. What
/// changes nothing is not written; what gives no more than before takes no step-up.
///
/// # Errors
/// As [`create`]; `Conflict` with code `system_role` for one of the six, `revision_changed` when it
/// was changed meanwhile; `Forbidden` with code `shared_role` for others of the System organization;
/// `NotFound` for unknown and foreign ids alike.
pub async fn update(
    context: &OpContext,
    core: &Core,
    (role_id, revision): (RoleId, i64),
    change: RoleChange,
) -> Result<RoleDetail> {
    let present = load_own(context, core, (role_id, Action::Update)).await?;
    let wanted = Arc::new((checks::changed(&present, change)?, context.clone()));
    let (now, rng) = (core.clock.now(), Arc::clone(&core.rng));
    let scope = Scope::System("the heirs of a shared role may be of any organization");
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("roles::update", scope, |connection| {
            let (wanted, rng) = (Arc::clone(&wanted), Arc::clone(&rng));
            Box::pin(async move {
                let (wanted, context) = wanted.as_ref();
                roles::lock(connection, wanted.organization_id).await?;
                let stored = find_stored(connection, wanted).await?;
                check_revision(stored.revision, revision)?;
                let given = refuse_stored(connection, &stored, &context.permissions).await?;
                let below = roles::count_levels_below(connection, role_id).await?;
                let effective_permissions =
                    judge(connection, wanted, &context.permissions, below).await?;
                let mut role = wanted.clone();
                role.updated_at = stored.updated_at;
                if role == stored {
                    return Ok(RoleDetail {
                        role,
                        effective_permissions,
                    });
                }
                if effective_permissions.beyond(&given) != Permissions::none() {
                    let right = (Action::Update, Resource::Role);
                    step_up::require(connection, context, right, now).await?;
                }
                role.revision = stored.revision + 1;
                role.updated_at = roles::update(connection, &role).await?;
                let details = json!({ "before": described(&stored), "after": described(&role) });
                let row = event_at(context, (now, rng.as_ref()), CoreEvent::RoleUpdated, &role)
                    .with_details(details);
                audit_log::insert(connection, &row).await?;
                Ok(RoleDetail {
                    role,
                    effective_permissions,
                })
            })
        })
        .await;
    let row = event(context, core, CoreEvent::RoleUpdated, &wanted.0);
    let changed = audit::refusal(context, core, &row, outcome).await?;
    core.authentication_cache.evict_all();
    Ok(changed)
}

/// Removes a role that nobody holds or will hold, and none inherits from.
///
/// # Errors
/// `Conflict` with code `role_in_use`; those of [`update`].
pub async fn delete(
    context: &OpContext,
    core: &Core,
    (role_id, revision): (RoleId, i64),
) -> Result<()> {
    let present = load_own(context, core, (role_id, Action::Delete)).await?;
    let row = event(context, core, CoreEvent::RoleDeleted, &present);
    let deletion = Arc::new((present, row, context.permissions.clone()));
    let now = core.clock.now();
    let scope = Scope::System("a shared role may be held and inherited in any organization");
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("roles::delete", scope, |connection| {
            let deletion = Arc::clone(&deletion);
            Box::pin(async move {
                let (role, row, permissions) = deletion.as_ref();
                roles::lock(connection, role.organization_id).await?;
                let stored = find_stored(connection, role).await?;
                check_revision(stored.revision, revision)?;
                refuse_stored(connection, &stored, permissions).await?;
                let held = role_assignments::count_open(connection, role_id, now).await?;
                let has_heirs = roles::count_levels_below(connection, role_id).await? > 0;
                if held > 0 || has_heirs {
                    return Err(refused(in_use(held)));
                }
                let named = (role.organization_id, role_id);
                roles::set_deleted(connection, named, Some(now)).await?;
                audit_log::insert(connection, row).await?;
                Ok(())
            })
        })
        .await;
    audit::refusal(context, core, &deletion.1, outcome).await
}

/// Takes a removal back.
///
/// # Errors
/// `NotFound` unless the organization removed this role; those of [`create`].
pub async fn restore(context: &OpContext, core: &Core, role_id: RoleId) -> Result<RoleDetail> {
    let target = Target::kind(context, Resource::Role);
    access::authorize(context, core, Action::Create, target).await?;
    let organization_id = context.organization_id;
    let mut transaction = core
        .pool
        .begin(Scope::Organization(organization_id))
        .await?;
    let role = roles::find_deleted(&mut transaction, organization_id, role_id)
        .await
        .map_err(|error| core.pool.statement_error(error))?
        .ok_or_else(not_found)?;
    drop(transaction);
    let row = event(context, core, CoreEvent::RoleRestored, &role);
    let restoration = Arc::new((role, row, context.clone()));
    let now = core.clock.now();
    let scope = Scope::Organization(organization_id);
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("roles::restore", scope, |connection| {
            let restoration = Arc::clone(&restoration);
            Box::pin(async move {
                let (role, row, context) = restoration.as_ref();
                roles::lock(connection, role.organization_id).await?;
                refuse_too_many(connection, role.organization_id).await?;
                let held = &context.permissions;
                let effective_permissions = judge(connection, role, held, 0).await?;
                let right = (Action::Create, Resource::Role);
                step_up::require(connection, context, right, now).await?;
                let named = (role.organization_id, role_id);
                if !roles::set_deleted(connection, named, None).await? {
                    return Err(refused(not_found()));
                }
                audit_log::insert(connection, row).await?;
                let role = find_stored(connection, role).await?;
                Ok(RoleDetail {
                    role,
                    effective_permissions,
                })
            })
        })
        .await;
    audit::refusal(context, core, &restoration.1, outcome).await
}

/// A role that the active organization may write.
async fn load_own(
    context: &OpContext,
    core: &Core,
    (role_id, action): (RoleId, Action),
) -> Result<RoleRecord> {
    let target = Target::kind(context, Resource::Role);
    access::authorize(context, core, action, target).await?;
    let organization_id = context.organization_id;
    let mut transaction = core
        .pool
        .begin(Scope::Organization(organization_id))
        .await?;
    let role = roles::find(&mut transaction, organization_id, role_id)
        .await
        .map_err(|error| core.pool.statement_error(error))?
        .ok_or_else(not_found)?;
    drop(transaction);
    let event_code = match action {
        Action::Delete => CoreEvent::RoleDeleted,
        _ => CoreEvent::RoleUpdated,
    };
    let row = event(context, core, event_code, &role);
    audit::refusal(context, core, &row, checks::writable(role, organization_id)).await
}

async fn refuse_too_many(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
) -> std::result::Result<(), Abort<CoreError>> {
    if roles::count(connection, organization_id).await? >= ROLES_PER_ORGANIZATION_MAX {
        return Err(refused(too_many()));
    }
    Ok(())
}

/// The role as it is now, under the lock.
async fn find_stored(
    connection: &mut PgConnection,
    role: &RoleRecord,
) -> std::result::Result<RoleRecord, Abort<CoreError>> {
    roles::find(connection, role.organization_id, role.role_id)
        .await?
        .ok_or_else(|| refused(not_found()))
}

/// Whether the role may be as it is wanted, under the lock of its organization: its parent is there,
/// below no cycle and not too deep, and whoever writes it holds all that it gives. Returns what it gives.
async fn judge(
    connection: &mut PgConnection,
    role: &RoleRecord,
    held: &Permissions,
    levels_below: i32,
) -> std::result::Result<Permissions, Abort<CoreError>> {
    let mut lineage = Vec::new();
    if let Some(parent_role_id) = role.parent_role_id {
        if role.organization_id != SYSTEM_ORGANIZATION {
            // The parent may be one of the System organization.
            roles::lock_shared(connection, SYSTEM_ORGANIZATION).await?;
        }
        let parent = roles::find(connection, role.organization_id, parent_role_id).await?;
        if parent.is_none() {
            return Err(refused(checks::unknown_parent()));
        }
        lineage = roles::list_lineage(connection, parent_role_id).await?;
    }
    if lineage.iter().any(|above| above.role_id == role.role_id) {
        return Err(refused(checks::cycle()));
    }
    let levels = lineage.len() + 1 + usize::try_from(levels_below).unwrap_or(usize::MAX / 2);
    if levels > ROLE_LEVELS_MAX {
        return Err(refused(checks::too_deep()));
    }
    lineage.insert(0, role.clone());
    let effective = effective(&lineage, role.organization_id);
    refuse_beyond_rights(&effective, held, "permissions").map_err(refused)?;
    Ok(effective)
}

/// Refuses to touch a role that gives more than the actor holds: whoever empties it takes that away from
/// others. Returns what it gives.
async fn refuse_stored(
    connection: &mut PgConnection,
    stored: &RoleRecord,
    held: &Permissions,
) -> std::result::Result<Permissions, Abort<CoreError>> {
    let lineage = roles::list_lineage(connection, stored.role_id).await?;
    let given = effective(&lineage, stored.organization_id);
    refuse_beyond_rights(&given, held, "permissions").map_err(refused)?;
    Ok(given)
}

/// What roles give together in an organization.
pub(crate) fn effective(lineage: &[RoleRecord], organization_id: OrganizationId) -> Permissions {
    let mut together = Permissions::none();
    for role in lineage {
        together.extend(&role.permissions);
    }
    together.counting_in(organization_id)
}

fn check_revision(stored: i64, read: i64) -> std::result::Result<(), Abort<CoreError>> {
    if stored == read {
        return Ok(());
    }
    Err(refused(revision_changed("role", stored, read)))
}

/// A refusal inside a transaction.
fn refused(error: CoreError) -> Abort<CoreError> {
    Abort::Caller(error)
}

fn not_found() -> CoreError {
    Fault::not_found(access::noun(Resource::Role)).into()
}

fn too_many() -> CoreError {
    let message = format!(
        "An organization has at most {ROLES_PER_ORGANIZATION_MAX} roles. Delete one that nobody needs."
    );
    Fault::new(ErrorKind::Conflict, "too_many_roles", message).into()
}

fn in_use(held: i64) -> CoreError {
    let message = if held > 0 {
        format!(
            "The role is held or will be: {held} assignments have not ended. Withdraw them first."
        )
    } else {
        "Other roles inherit from this one. Give them another parent first.".to_owned()
    };
    Fault::new(ErrorKind::Conflict, "role_in_use", message).into()
}

fn event(context: &OpContext, core: &Core, event: CoreEvent, role: &RoleRecord) -> AuditRow {
    event_at(context, (core.clock.now(), core.rng.as_ref()), event, role)
}

fn event_at(
    context: &OpContext,
    (now, rng): (DateTime<Utc>, &dyn clm_domain::clock::Rng),
    event: CoreEvent,
    role: &RoleRecord,
) -> AuditRow {
    let resource_id = Some(role.role_id.as_uuid());
    let row = AuditRow::success(event, &context.cause(), resource_id, now, rng)
        .with_details(described(role));
    audit::with_origin(context, row)
}

fn described(role: &RoleRecord) -> serde_json::Value {
    json!({
        "role_code": role.role_code,
        "role_name": role.role_name,
        "permissions": role.permissions,
        "parent_role_id": role.parent_role_id,
    })
}

#[cfg(test)]
mod tests;
