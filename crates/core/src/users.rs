//! Users: the first administrator, the own password, and who one is. What others do with accounts is
//! in the modules below: start with [`accounts`].

mod accounts;
mod authority;
mod creation;
pub(crate) mod guesses;
pub(crate) mod own_password;
pub(crate) mod passwords;
mod status;

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use clm_database::{DatabaseError, Scope};
use clm_domain::actor::Actor;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::clock::uuid_v7;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{ApiKeyId, OrganizationId, SYSTEM_ORGANIZATION, UserId, system_roles};
use clm_domain::organization_settings::OrganizationSettings;
use clm_domain::permission::Permissions;
use clm_domain::secret::SecretString;
use clm_domain::states::UserType;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

pub use accounts::{UserChange, UserFilter, UserRecord, list, load, update};
pub use creation::{CreatedUser, NewUser, create};
pub use passwords::{change_own_password, set_first_password};
pub use status::{delete, restore, set_status, unlock};

use crate::context::{OpContext, Owed};
use crate::error::{CoreError, Result};
use crate::role_assignments::RoleAssignmentRecord;
use crate::store::users::{self, NewPerson, PasswordState};
use crate::store::{audit_log, members, role_assignments};
use crate::{Core, access, organizations};

/// Longest name of a user, in characters.
const USERNAME_CHARACTERS_MAX: usize = 256;
/// Longest e-mail address, in characters (RFC 5321 §4.5.3.1: 64, `@`, 255).
const EMAIL_CHARACTERS_MAX: usize = 320;
/// So many wrong passwords are free.
const FAILURES_FREE: i32 = 4;
/// The first lock, in seconds; each further failure doubles it.
const LOCK_SECONDS_FIRST: i64 = 30;
/// The longest lock, in seconds.
const LOCK_SECONDS_MAX: i64 = 15 * 60;
/// The unique index on names within a home organization.
const USERNAME_INDEX: &str = "ux_users_home_organization_id_username_normalized";

/// Asks for the first administrator.
#[derive(Clone, Debug)]
pub struct NewAdministrator {
    /// The name to sign in with.
    pub username: String,
    /// The password.
    pub password: SecretString,
    /// The home organization, in which the role is held; it is held in the system organization as well.
    pub organization_id: OrganizationId,
    /// Address for messages.
    pub email: Option<String>,
}

/// Makes the first administrator: a person with `SYSTEM_ADMIN` at home, and in the system organization
/// for what belongs to the installation. For bootstrap and
/// `clm user create-admin` only; never reachable over a network.
///
/// # Errors
/// `Conflict` once anybody holds `SYSTEM_ADMIN` (`administrator_exists`) or the name is taken
/// (`username_taken`); `Invalid`, naming the field; those of the database.
pub async fn create_administrator(core: &Core, new: NewAdministrator) -> Result<UserId> {
    check_username(&new.username)?;
    let email = new.email.as_deref().map(check_email).transpose()?;
    let owner = (new.username.as_str(), email.as_deref(), new.organization_id);
    passwords::check_new(core, &new.password, owner, "password").await?;
    let password_hash = core
        .passwords
        .hash(&new.password, core.rng.as_ref())
        .await?;
    let now = core.clock.now();
    let user_id = UserId::generate(now, core.rng.as_ref());
    let context = OpContext::system(core, new.organization_id);
    let username = new.username.trim().to_owned();
    let assignment = |organization_id| {
        let named = (organization_id, user_id, system_roles::SYSTEM_ADMIN);
        RoleAssignmentRecord::from_now_on(named, None, (now, core.rng.as_ref()))
    };
    let is_guest = new.organization_id != SYSTEM_ORGANIZATION;
    let creation = Arc::new(Creation {
        membership_id: uuid_v7(now, core.rng.as_ref()),
        assignment: assignment(new.organization_id),
        of_installation: is_guest.then(|| {
            let membership_id = uuid_v7(now, core.rng.as_ref());
            (membership_id, assignment(SYSTEM_ORGANIZATION))
        }),
        audit: AuditRow::success(
            CoreEvent::UserCreated,
            &context.cause(),
            Some(user_id.as_uuid()),
            now,
            core.rng.as_ref(),
        )
        .with_details(json!({ "username": &username, "role": "SYSTEM_ADMIN" })),
        person: NewPerson {
            user_id,
            home_organization_id: new.organization_id,
            username_normalized: normalized(&username),
            username,
            email_normalized: email.as_deref().map(normalized),
            email,
            display_name: None,
            user_type: UserType::Person,
            password_hash: Some(password_hash),
            must_change_password: false,
            created_at: now,
        },
    });
    let scope = Scope::System("the first administrator is the first of all organizations");
    let created = core
        .pool
        .transact::<_, DatabaseError, _>("users::create_administrator", scope, |connection| {
            let creation = Arc::clone(&creation);
            Box::pin(async move { Ok(insert_first(connection, &creation).await?) })
        })
        .await;
    match created {
        Ok(true) => Ok(user_id),
        Ok(false) => Err(administrator_exists()),
        Err(error) if error.is_duplicate_of(USERNAME_INDEX) => Err(username_taken()),
        Err(error) => Err(error.into()),
    }
}

/// Refuses when there is an administrator already, before anything is made for another one.
///
/// # Errors
/// `Conflict` (`administrator_exists`); those of the database.
pub async fn refuse_second_administrator(core: &Core) -> Result<()> {
    let now = core.clock.now();
    let scope = Scope::System("the first administrator is the first of all organizations");
    let held = core
        .pool
        .transact::<_, DatabaseError, _>(
            "users::refuse_second_administrator",
            scope,
            |connection| {
                Box::pin(async move {
                    Ok(users::role_is_held(connection, system_roles::SYSTEM_ADMIN, now).await?)
                })
            },
        )
        .await?;
    if held {
        return Err(administrator_exists());
    }
    Ok(())
}

/// All rows of a new administrator.
struct Creation {
    person: NewPerson,
    membership_id: Uuid,
    assignment: RoleAssignmentRecord,
    /// Membership and role in the system organization, when that is not the home.
    of_installation: Option<(Uuid, RoleAssignmentRecord)>,
    audit: AuditRow,
}

/// Inserts the administrator unless there is one. Returns whether it did.
async fn insert_first(connection: &mut PgConnection, creation: &Creation) -> sqlx::Result<bool> {
    users::lock_first_administrator(connection).await?;
    let (assignment, now) = (&creation.assignment, creation.person.created_at);
    if users::role_is_held(connection, assignment.role_id, now).await? {
        return Ok(false);
    }
    users::insert_person(connection, &creation.person, creation.membership_id).await?;
    role_assignments::insert(connection, assignment).await?;
    if let Some((membership_id, assignment)) = &creation.of_installation {
        let named = (assignment.organization_id, assignment.user_id);
        members::insert(connection, *membership_id, named, now).await?;
        role_assignments::insert(connection, assignment).await?;
    }
    audit_log::insert(connection, &creation.audit).await?;
    Ok(true)
}

fn administrator_exists() -> CoreError {
    let message = "There is a system administrator already. Further users are made by that one.";
    Fault::new(ErrorKind::Conflict, "administrator_exists", message).into()
}

fn username_taken() -> CoreError {
    let message = "The organization has a user of this name.";
    Fault::new(ErrorKind::Conflict, "username_taken", message)
        .with_violation("username", message)
        .into()
}

/// The user of a name, as the bootstrap of an installation needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownUser {
    /// The user.
    pub user_id: UserId,
    /// Whether the password is no longer the first one.
    pub password_changed: bool,
}

/// Finds a user by name and home organization, for the platform itself.
///
/// # Errors
/// Those of the database.
pub async fn find_by_name(
    core: &Core,
    username: &str,
    organization_id: OrganizationId,
) -> Result<Option<KnownUser>> {
    let mut transaction = core
        .pool
        .begin(Scope::Organization(organization_id))
        .await?;
    let normalized = normalized(username);
    let found = users::find_known(&mut transaction, organization_id, &normalized)
        .await
        .map_err(|error| core.pool.statement_error(error))?;
    Ok(found)
}

/// Demands a new password of a user whose row is locked, where the present one is older than the home
/// organization, whose settings these are, allows. Returns whether it is.
pub(crate) async fn expire_password(
    connection: &mut PgConnection,
    (user_id, state): (UserId, &PasswordState),
    settings: &OrganizationSettings,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let expired = is_expired(settings, state.password_set_at, now);
    if expired {
        users::update_must_change_password(connection, user_id).await?;
    }
    Ok(expired)
}

/// Whether a password set at `set_at` is too old.
fn is_expired(settings: &OrganizationSettings, set_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    let days = settings.password_days_max;
    days.is_some_and(|days| now - set_at >= Duration::days(days.into()))
}

/// Counts a wrong password under the lock of the user's row, and locks the user after several.
pub(crate) async fn count_failure(
    connection: &mut PgConnection,
    user_id: UserId,
    state: &PasswordState,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let count = state.failed_sign_in_count.saturating_add(1);
    users::update_failed_sign_in(connection, user_id, count, locked_until(count, now)).await
}

/// Whether no password of the user counts at the moment.
pub(crate) fn is_locked(state: &PasswordState, now: DateTime<Utc>) -> bool {
    state.locked_until.is_some_and(|until| until > now)
}

/// Until when a user is locked after so many wrong passwords in a row.
fn locked_until(failures: i32, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let doublings = u32::try_from(failures - FAILURES_FREE - 1).ok()?;
    let seconds = 2_i64
        .checked_pow(doublings)
        .and_then(|factor| factor.checked_mul(LOCK_SECONDS_FIRST))
        .map_or(LOCK_SECONDS_MAX, |seconds| seconds.min(LOCK_SECONDS_MAX));
    Some(now + Duration::seconds(seconds))
}

fn locked(state: &PasswordState, now: DateTime<Utc>) -> CoreError {
    let message = "Too many wrong passwords. Wait some minutes, then try again.";
    let mut fault = Fault::new(ErrorKind::RateLimited, "too_many_wrong_passwords", message);
    fault.retry_after_seconds = state
        .locked_until
        .and_then(|until| u32::try_from((until - now).num_seconds().saturating_add(1)).ok());
    fault.into()
}

/// Who the caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhoAmI {
    /// The kind of actor, as in audit events.
    pub actor_type: &'static str,
    /// The user behind the credential.
    pub user_id: Option<UserId>,
    /// The user's name.
    pub username: Option<String>,
    /// The API key, where one is used.
    pub api_key_id: Option<ApiKeyId>,
    /// The organization that the caller acts for.
    pub organization_id: OrganizationId,
    /// Its name.
    pub organization_name: String,
    /// What the caller may do there.
    pub permissions: Permissions,
    /// What the session owes before anything else is allowed.
    pub owed: Option<Owed>,
}

/// Who the caller is. Everybody who is anybody may ask.
///
/// # Errors
/// `Unauthenticated` for nobody; those of the database.
pub async fn who_am_i(context: &OpContext, core: &Core) -> Result<WhoAmI> {
    if context.actor == Actor::Anonymous {
        return Err(access::unauthenticated());
    }
    let organization = organizations::load(core, context.organization_id).await?;
    let api_key_id = match &context.actor {
        Actor::ApiKey { api_key_id, .. } => Some(*api_key_id),
        _ => None,
    };
    Ok(WhoAmI {
        actor_type: context.actor.kind(),
        user_id: context.actor.user_id(),
        username: context.username.clone(),
        api_key_id,
        organization_id: context.organization_id,
        organization_name: organization.name,
        permissions: context.permissions.clone(),
        owed: context.owed,
    })
}

/// Whether a text can be the name of a user.
pub(crate) fn check_username(username: &str) -> Result<()> {
    let name = username.trim();
    let fits = (1..=USERNAME_CHARACTERS_MAX).contains(&name.chars().count())
        && normalized(name).chars().count() <= USERNAME_CHARACTERS_MAX;
    if fits && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let message =
        format!("Use 1 to {USERNAME_CHARACTERS_MAX} characters, none of them a control character.");
    Err(Fault::invalid("username_invalid", "username", message).into())
}

/// The form of a name or address that is compared: lower case, without white space around it.
pub(crate) fn normalized(name: &str) -> String {
    name.trim().to_lowercase()
}

pub(crate) fn check_email(email: &str) -> Result<String> {
    let address = email.trim();
    let parts = address.rsplit_once('@').filter(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains(char::is_whitespace)
    });
    let fits = normalized(address).chars().count() <= EMAIL_CHARACTERS_MAX
        && address.chars().count() <= EMAIL_CHARACTERS_MAX;
    if parts.is_some() && fits && !address.chars().any(char::is_control) {
        return Ok(address.to_owned());
    }
    let message = "This is no e-mail address.";
    Err(Fault::invalid("email_invalid", "email", message).into())
}

#[cfg(test)]
mod tests;
