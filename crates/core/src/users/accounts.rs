//! Users as those see them who govern them: listing, making and changing them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_database::{DatabaseError, Scope};
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::error::Fault;
use clm_domain::ids::{OrganizationId, SYSTEM_ORGANIZATION, UserId};
use clm_domain::permission::{Action, Resource};
use clm_domain::states::{UserStatus, UserType};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{USERNAME_INDEX, authority, check_email, check_username, normalized, username_taken};
use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::{CoreError, Result, revision_changed};
use crate::mail::orders::MailOrders;
use crate::page::{Page, PageRequest};
use crate::store::{accounts, audit_log};
use crate::texts::check_line;
use crate::{Core, audit, email_verifications, organizations};

/// Longest name shown to others, in characters.
const DISPLAY_NAME_CHARACTERS_MAX: usize = 200;

/// A user, without anything that proves to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// The user.
    pub user_id: UserId,
    /// The organization that governs the account.
    pub home_organization_id: OrganizationId,
    /// The name to sign in with.
    pub username: String,
    /// Address for messages.
    pub email: Option<String>,
    /// When the user proved to read what is sent to the address.
    pub email_verified_at: Option<DateTime<Utc>>,
    /// Name shown to others.
    pub display_name: Option<String>,
    /// Who is behind it.
    pub user_type: UserType,
    /// Only an active user can act.
    pub status: UserStatus,
    /// Whether a sign-in allows nothing but a new password.
    pub must_change_password: bool,
    /// Until when no password counts, after several wrong ones.
    pub locked_until: Option<DateTime<Utc>>,
    /// When the password was last set.
    pub password_changed_at: Option<DateTime<Utc>>,
    /// When the last sign-in succeeded.
    pub last_sign_in_at: Option<DateTime<Utc>>,
    /// Rises with each change.
    pub revision: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// Which users a list shows.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Of this status only.
    pub status: Option<UserStatus>,
    /// The one of this name only, in the form that is compared.
    pub username_normalized: Option<String>,
}

impl UserFilter {
    /// A filter by status and name, as they were asked for.
    ///
    /// # Errors
    /// `Invalid`, naming `username`, for what can be nobody's name.
    pub fn new(status: Option<UserStatus>, username: Option<&str>) -> Result<Self> {
        username.map(check_username).transpose()?;
        Ok(Self {
            status,
            username_normalized: username.map(normalized),
        })
    }
}

/// What of a user is to change.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// Another name to sign in with.
    pub username: Option<String>,
    /// Another address, or none.
    pub email: Option<Option<String>>,
    /// Another name shown to others, or none.
    pub display_name: Option<Option<String>>,
}

/// Why a transaction on users came to nothing.
pub(super) enum Failure {
    Refused(CoreError),
    Database(DatabaseError),
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl From<Failure> for CoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Database(error) if error.is_duplicate_of(USERNAME_INDEX) => username_taken(),
            Failure::Database(error) => error.into(),
        }
    }
}

/// Gives up a transaction with a refusal.
pub(super) fn refused(error: CoreError) -> Abort<Failure> {
    Abort::Caller(Failure::Refused(error))
}

/// A refusal of another kind of transaction as one of these.
pub(super) fn as_failure(abort: Abort<CoreError>) -> Abort<Failure> {
    match abort {
        Abort::Caller(error) => refused(error),
        Abort::Statement(error) => Abort::Statement(error),
    }
}

/// Live users of the own organization, or of the home named by somebody in the System organization,
/// newest first.
///
/// # Errors
/// `NotFound` for a home that is not the caller's to see; those of [`access::authorize`] and of the
/// database.
pub async fn list(
    context: &OpContext,
    core: &Core,
    (home, filter): (Option<OrganizationId>, UserFilter),
    page: PageRequest,
) -> Result<Page<UserRecord>> {
    let target = Target::kind(context, Resource::User);
    access::authorize(context, core, Action::List, target).await?;
    let home = visible_home(context, core, home).await?;
    record_look(context, core, (home, None)).await?;
    let mut transaction = core.pool.begin(Scope::Organization(home)).await?;
    let part = (page.after, page.rows_to_read());
    let rows = accounts::list(&mut transaction, home, &filter, part)
        .await
        .map_err(|error| core.pool.statement_error(error))?;
    Ok(page.page(rows, |user| user.user_id.as_uuid()))
}

/// One live user.
///
/// # Errors
/// `NotFound` for unknown and foreign ids alike; those of [`access::authorize`] and of the database.
pub async fn load(context: &OpContext, core: &Core, user_id: UserId) -> Result<UserRecord> {
    let user = authority::find_live(context, core, Action::Read, user_id).await?;
    record_look(context, core, (user.home_organization_id, Some(user_id))).await?;
    Ok(user)
}

/// Looking across organizations is audited where the right to it is held.
async fn record_look(
    context: &OpContext,
    core: &Core,
    (home, user_id): (OrganizationId, Option<UserId>),
) -> Result<()> {
    if !authority::is_across(context, home) {
        return Ok(());
    }
    let (event, resource_id) = (CoreEvent::UserSeenAcross, user_id.map(Uuid::from));
    let (now, rng) = (core.clock.now(), core.rng.as_ref());
    let row = AuditRow::success(event, &context.cause(), resource_id, now, rng)
        .with_details(json!({ "home_organization_id": home }));
    audit::record(context, core, row).await
}

/// The home that is asked about: the caller's own, or any for those in the System organization.
pub(super) async fn visible_home(
    context: &OpContext,
    core: &Core,
    asked: Option<OrganizationId>,
) -> Result<OrganizationId> {
    match asked {
        None => Ok(context.organization_id),
        Some(home) if home == context.organization_id => Ok(home),
        Some(home) if context.organization_id == SYSTEM_ORGANIZATION => {
            Ok(organizations::load(core, home).await?.organization_id)
        }
        Some(_) => Err(Fault::not_found(access::noun(Resource::Organization)).into()),
    }
}

pub(super) fn check_display_name(name: &str) -> Result<String> {
    let refusal = ("display_name_invalid", "display_name");
    check_line(name, DISPLAY_NAME_CHARACTERS_MAX, refusal)
}

/// Changes names and addresses of a user that has this revision. The sign-in name and the address,
/// by which one can become the user, take all rights that the user has.
///
/// # Errors
/// `Invalid`, naming the field; `Conflict` with code `revision_changed` or `username_taken`;
/// `PolicyViolation` with code `permissions_beyond_rights`; `NotFound`; those of
/// [`access::authorize`] and of the database.
pub async fn update(
    context: &OpContext,
    core: &Core,
    (user_id, revision): (UserId, i64),
    change: UserChange,
) -> Result<UserRecord> {
    let user = authority::find_live(context, core, Action::Update, user_id).await?;
    let change = checked(change)?;
    let named = (user.home_organization_id, Some(user_id.as_uuid()));
    let row = authority::event(context, core, CoreEvent::UserUpdated, named);
    let changing = Arc::new(Changing {
        user_id,
        revision,
        row: authority::with_more(row, json!({ "changed": fields(&change) })),
        change,
        actor: authority::Actor::of(context),
        orders: MailOrders::of(context, core, core.clock.now()),
        now: core.clock.now(),
    });
    let changed = core
        .pool
        .transact::<_, Failure, _>("users::update", authority::scope(), |connection| {
            let changing = Arc::clone(&changing);
            Box::pin(async move { change_locked(connection, &changing).await })
        })
        .await
        .map_err(CoreError::from);
    let changed = audit::refusal(context, core, &changing.row, changed).await?;
    core.authentication_cache.evict(user_id);
    Ok(changed)
}

/// One change of names and addresses.
struct Changing {
    user_id: UserId,
    revision: i64,
    change: UserChange,
    actor: authority::Actor,
    orders: Option<MailOrders>,
    now: DateTime<Utc>,
    row: AuditRow,
}

async fn change_locked(
    connection: &mut PgConnection,
    changing: &Changing,
) -> std::result::Result<UserRecord, Abort<Failure>> {
    let present = lock_live(connection, changing.user_id).await?;
    if present.revision != changing.revision {
        let read = changing.revision;
        return Err(refused(revision_changed("user", present.revision, read)));
    }
    let UserChange {
        username,
        email,
        display_name,
    } = changing.change.clone();
    let user = UserRecord {
        username: username.unwrap_or_else(|| present.username.clone()),
        email: email.unwrap_or_else(|| present.email.clone()),
        display_name: display_name.unwrap_or_else(|| present.display_name.clone()),
        ..present.clone()
    };
    if user == present {
        return Ok(present);
    }
    if (&user.username, &user.email) != (&present.username, &present.email) {
        let outranked = changing
            .actor
            .outranked_by(connection, &present, changing.now);
        outranked.await.map_err(as_failure)?;
    }
    let has_other_address = user.email != present.email;
    let user = UserRecord {
        revision: present.revision + 1,
        // As a trigger does.
        email_verified_at: present.email_verified_at.filter(|_| !has_other_address),
        ..user
    };
    let email = user.email.as_deref().map(normalized);
    let compared = (normalized(&user.username), email);
    accounts::update(connection, &user, (&compared.0, compared.1.as_deref())).await?;
    if has_other_address {
        let orders = changing.orders.as_ref();
        email_verifications::tell_former_address(connection, orders, &present).await?;
        email_verifications::order_after_change(connection, orders, &user).await?;
    }
    audit_log::insert(connection, &changing.row).await?;
    Ok(user)
}

/// The live user, whom nobody else changes until the end of the transaction.
pub(super) async fn lock_live(
    connection: &mut PgConnection,
    user_id: UserId,
) -> std::result::Result<UserRecord, Abort<Failure>> {
    accounts::lock(connection, user_id)
        .await?
        .filter(|user| user.deleted_at.is_none())
        .ok_or_else(|| refused(authority::not_found()))
}

fn checked(change: UserChange) -> Result<UserChange> {
    let username = change.username.map(|name| {
        check_username(&name)?;
        Ok::<_, CoreError>(name.trim().to_owned())
    });
    let email = change.email.map(|email| match email {
        Some(email) => check_email(&email).map(Some),
        None => Ok(None),
    });
    let display_name = change.display_name.map(|name| match name {
        Some(name) => check_display_name(&name).map(Some),
        None => Ok(None),
    });
    Ok(UserChange {
        username: username.transpose()?,
        email: email.transpose()?,
        display_name: display_name.transpose()?,
    })
}

/// The fields that a change names.
fn fields(change: &UserChange) -> Vec<&'static str> {
    let named = [
        ("username", change.username.is_some()),
        ("email", change.email.is_some()),
        ("display_name", change.display_name.is_some()),
    ];
    let named = named.into_iter().filter(|(_, is_named)| *is_named);
    named.map(|(field, _)| field).collect()
}

#[cfg(test)]
mod tests;
