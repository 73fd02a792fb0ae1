//! Who may govern whom: the home organization, or the System organization, and nobody those who hold
//! more than oneself. Every act on a user begins with [`find`] and asks [`Actor::outranked_by`]
//! in its transaction.

use chrono::{DateTime, Utc};
use clm_database::Scope;
use clm_database::transaction::Abort;
use clm_domain::actor;
use clm_domain::audit::{AuditRow, Cause, CoreEvent};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, SYSTEM_ORGANIZATION, UserId};
use clm_domain::permission::{Action, Permissions, Resource};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::accounts::UserRecord;
use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::store::{accounts, authority};
use crate::{Core, audit};

/// Most permissions that a refusal names.
const NAMED_MAX: usize = 5;

/// The scope of acts on users: what ends with a user may be in any organization.
pub(super) fn scope() -> Scope {
    Scope::System("a user's sessions, API keys and rights may be in any organization")
}

/// Whether the caller acts in the System organization on a user of another home.
pub(super) fn is_across(context: &OpContext, home_organization_id: OrganizationId) -> bool {
    context.organization_id == SYSTEM_ORGANIZATION && home_organization_id != SYSTEM_ORGANIZATION
}

/// The user, once it is sure that the caller may do this: a user of the own organization, or of any
/// for those who act in the System organization. Deleted ones too.
///
/// # Errors
/// `NotFound` for unknown and foreign ids alike; those of [`access::authorize`] and of the database.
pub(super) async fn find(
    context: &OpContext,
    core: &Core,
    action: Action,
    user_id: UserId,
) -> Result<UserRecord> {
    let target = Target::kind(context, Resource::User);
    access::authorize(context, core, action, target).await?;
    let scope = match context.organization_id {
        SYSTEM_ORGANIZATION => scope(),
        organization_id => Scope::Organization(organization_id),
    };
    let mut transaction = core.pool.begin(scope).await?;
    let user = accounts::find(&mut transaction, user_id)
        .await
        .map_err(|error| core.pool.statement_error(error))?
        .ok_or_else(not_found)?;
    drop(transaction);
    // What a right in the System organization reaches is every home.
    let owner = match context.organization_id {
        SYSTEM_ORGANIZATION => SYSTEM_ORGANIZATION,
        _ => user.home_organization_id,
    };
    let target = Target::object(Resource::User, owner, user_id.as_uuid());
    access::authorize(context, core, action, target).await?;
    Ok(user)
}

/// The same, for live users alone.
///
/// # Errors
/// Those of [`find`].
pub(super) async fn find_live(
    context: &OpContext,
    core: &Core,
    action: Action,
    user_id: UserId,
) -> Result<UserRecord> {
    let user = find(context, core, action, user_id).await?;
    match user.deleted_at {
        None => Ok(user),
        Some(_) => Err(not_found()),
    }
}

/// No such user, whatever the reason.
pub(super) fn not_found() -> CoreError {
    Fault::not_found(access::noun(Resource::User)).into()
}

/// Refuses what one does to oneself by other means.
///
/// # Errors
/// `Conflict` with code `own_account`.
pub(super) fn refuse_oneself(context: &OpContext, user: &UserRecord, instead: &str) -> Result<()> {
    if context.actor.user_id() != Some(user.user_id) {
        return Ok(());
    }
    let message = format!("This is your own account. {instead}");
    Err(Fault::new(ErrorKind::Conflict, "own_account", message).into())
}

/// The event of an act on a user, in the log of the home organization; of one from the System
/// organization it says so.
pub(super) fn event(
    context: &OpContext,
    core: &Core,
    event: CoreEvent,
    (home_organization_id, user_id): (OrganizationId, Option<Uuid>),
) -> AuditRow {
    let cause = Cause {
        organization_id: home_organization_id,
        ..context.cause()
    };
    let (now, rng) = (core.clock.now(), core.rng.as_ref());
    let row = AuditRow::success(event, &cause, user_id, now, rng);
    let across = match is_across(context, home_organization_id) {
        true => json!({ "across": true, "actor_organization_id": context.organization_id }),
        false => json!({}),
    };
    audit::with_origin(context, row.with_details(across))
}

/// Adds details to those that an event has.
pub(super) fn with_more(row: AuditRow, more: Value) -> AuditRow {
    let mut details = row.details.clone();
    if let (Some(details), Value::Object(more)) = (details.as_object_mut(), more) {
        details.extend(more);
    }
    row.with_details(details)
}

/// What the actor may do, apart from the request: a transaction outlives the borrow of one.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    user_id: Option<UserId>,
    organization_id: OrganizationId,
    permissions: Permissions,
    /// Whether there is a person whose rights in the System organization count here too. An API key
    /// has the rights of one organization.
    is_person: bool,
    /// The machine itself, which nobody outranks.
    is_machine: bool,
}

impl Actor {
    pub(super) fn of(context: &OpContext) -> Self {
        use actor::Actor::{LocalOperator, System, User};
        Self {
            user_id: context.actor.user_id(),
            organization_id: context.organization_id,
            permissions: context.permissions.clone(),
            is_person: matches!(context.actor, User { .. }),
            is_machine: matches!(context.actor, LocalOperator { .. } | System),
        }
    }

    /// Refuses when the user holds, or will hold, what the actor does not: at home, and in the System
    /// organization, which reaches everywhere. Otherwise whoever may set passwords could become
    /// an administrator.
    ///
    /// # Errors
    /// `PolicyViolation` with code `permissions_beyond_rights`; those of the statements.
    pub(super) async fn outranked_by(
        &self,
        connection: &mut PgConnection,
        user: &UserRecord,
        now: DateTime<Utc>,
    ) -> std::result::Result<(), Abort<CoreError>> {
        if self.is_machine || self.user_id == Some(user.user_id) {
            return Ok(());
        }
        let (user_id, home) = (user.user_id, user.home_organization_id);
        let at_home = authority::find_held_or_to_come(connection, user_id, home, now).await?;
        let mut beyond = at_home.counting_in(home).beyond(&self.permissions);
        if home != SYSTEM_ORGANIZATION {
            let in_system =
                authority::find_held_or_to_come(connection, user_id, SYSTEM_ORGANIZATION, now)
                    .await?;
            if in_system != Permissions::none() {
                let own = self.in_system(connection, now).await?;
                beyond.extend(&in_system.beyond(&own));
            }
        }
        if beyond == Permissions::none() {
            return Ok(());
        }
        Err(Abort::Caller(beyond_rights(&beyond)))
    }

    /// What the actor holds in the System organization.
    async fn in_system(
        &self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Permissions> {
        match self.user_id {
            Some(user_id) if self.is_person && self.organization_id != SYSTEM_ORGANIZATION => {
                authority::find_held(connection, user_id, SYSTEM_ORGANIZATION, now).await
            }
            _ if self.organization_id == SYSTEM_ORGANIZATION => Ok(self.permissions.clone()),
            _ => Ok(self
                .permissions
                .iter()
                .filter(|(resource, _)| resource.is_of_installation())
                .collect()),
        }
    }
}

fn beyond_rights(beyond: &Permissions) -> CoreError {
    let some: Permissions = beyond.iter().take(NAMED_MAX).collect();
    let message = format!(
        "This user may do, or will be allowed to do, {} things that you may not, so that you cannot \
         act on the account; among them: {}",
        beyond.iter().count(),
        json!(some)
    );
    Fault::new(
        ErrorKind::PolicyViolation,
        "permissions_beyond_rights",
        message,
    )
    .into()
}
