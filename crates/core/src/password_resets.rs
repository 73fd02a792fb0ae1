//! A new password for whoever has forgotten the old one, by a link that goes to a verified address.
//!
//! Asking tells nothing: whoever is meant, or nobody, the answer is the same and takes the same time.
//! Nothing that was typed as a name is stored: it may be a password in the wrong field.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::{DatabaseError, Scope};
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::clock::uuid_v7;
use clm_domain::ids::{SYSTEM_ORGANIZATION, UserId};
use clm_domain::secret::SecretString;
use clm_domain::states::{MailPurpose, OneTimeLinkPurpose};
use serde_json::json;
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use crate::authentication::credential::{self, CredentialHash};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::mail::orders::{MailOrders, tell_of_new_password};
use crate::mail::{self, link_invalid};
use crate::store::one_time_links::{self, FoundLink};
use crate::store::users::{self as user_rows, PasswordState};
use crate::store::{audit_log, known_sign_in_addresses, mail_accounts, password_history, sessions};
use crate::users::{self, passwords};
use crate::{Core, audit};

/// An answer to whoever asks comes after so long, so that it does not tell by its time what was done.
const ANSWER_AFTER: std::time::Duration = std::time::Duration::from_millis(250);

const SCOPE: Scope =
    Scope::System("who has forgotten the password is found before the organization is known");

/// Asks for a link by which a user chooses a new password.
#[derive(Clone, Debug)]
pub struct PasswordResetRequest {
    /// The user's name, or verified address.
    pub username: String,
    /// The slug of the user's home organization; needed only where the name exists in several.
    pub organization: Option<String>,
}

/// Orders a link for the user who is meant, if there is one to whom it may go. `context` is that of
/// [`crate::authentication::anonymous`].
///
/// # Errors
/// `Conflict` with code `mail_not_configured`; `RateLimited` with code `too_many_links`; those of the
/// database.
pub async fn request(context: &OpContext, core: &Core, asked: PasswordResetRequest) -> Result<()> {
    let now = core.clock.now();
    let orders = MailOrders::of(context, core, now).ok_or_else(mail::not_configured)?;
    mail::admit(context, core)?;
    mail::count(context, core);
    let begun = Instant::now();
    let ordered = order(context, core, &asked, orders).await;
    tokio::time::sleep_until(begun + ANSWER_AFTER).await;
    ordered
}

async fn order(
    context: &OpContext,
    core: &Core,
    asked: &PasswordResetRequest,
    orders: MailOrders,
) -> Result<()> {
    let user_id = find(core, asked).await?;
    let event = CoreEvent::PasswordResetRequested;
    let row = event_of(context, core, event, user_id);
    let ordering = Arc::new((user_id, orders, row));
    core.pool
        .transact::<_, DatabaseError, _>("password_resets::request", SCOPE, |connection| {
            let ordering = Arc::clone(&ordering);
            Box::pin(async move {
                let (user_id, orders, row) = ordering.as_ref();
                Ok(order_locked(connection, (*user_id, orders), row.clone()).await?)
            })
        })
        .await?;
    Ok(())
}

/// Whom the name means; nobody without a query for what can be nobody's name.
async fn find(core: &Core, asked: &PasswordResetRequest) -> Result<Option<UserId>> {
    let organization = asked.organization.as_deref().map(str::trim);
    let possible = users::check_username(&asked.username).is_ok()
        && organization.is_none_or(crate::organizations::is_slug);
    if !possible {
        return Ok(None);
    }
    let name = users::normalized(&asked.username);
    let mut transaction = core.pool.begin(SCOPE).await?;
    let found = mail_accounts::find_named(&mut transaction, &name, organization).await;
    Ok(found.map_err(|error| core.pool.statement_error(error))?)
}

/// Orders the mail, or writes why not; either is known to nobody but who reads the audit log.
async fn order_locked(
    connection: &mut PgConnection,
    (user_id, orders): (Option<UserId>, &MailOrders),
    mut row: AuditRow,
) -> sqlx::Result<()> {
    let account = match user_id {
        Some(user_id) => mail_accounts::lock(connection, user_id).await?,
        None => None,
    };
    let Some(account) = account else {
        row.resource_id = None;
        return audit_log::insert(connection, &row.refused("unknown_user")).await;
    };
    row.organization_id = account.home_organization_id;
    if let Some(reason) = account.reset_refusal() {
        return audit_log::insert(connection, &row.refused(reason)).await;
    }
    let purpose = MailPurpose::PasswordReset;
    if orders
        .are_too_many(connection, purpose, account.user_id)
        .await?
    {
        return audit_log::insert(connection, &row.refused("too_many_mails")).await;
    }
    orders.order_for(connection, purpose, &account).await?;
    audit_log::insert(connection, &row).await
}

/// The event of an act on a user whom nobody has proved to be yet.
fn event_of(
    context: &OpContext,
    core: &Core,
    event: CoreEvent,
    user_id: Option<UserId>,
) -> AuditRow {
    let resource_id = user_id.map(Uuid::from);
    let (now, rng) = (core.clock.now(), core.rng.as_ref());
    let row = AuditRow::success(event, &context.cause(), resource_id, now, rng);
    audit::with_origin(context, row)
}

/// Sets the password that a user chose by a link. All sessions of the user end and no lock is left;
/// a second factor stays, and so do API keys. `context` is that of [`crate::authentication::anonymous`].
///
/// # Errors
/// `Invalid` with code `link_invalid`, whatever is wrong with the link; `Invalid`, naming
/// `new_password`, which leaves the link good; `RateLimited` with code `too_many_links`; those of the
/// database.
pub async fn confirm(
    context: &OpContext,
    core: &Core,
    token: &SecretString,
    new: SecretString,
) -> Result<()> {
    mail::admit(context, core)?;
    let found = match credential::link_token_hash(token.expose().trim()) {
        Some(hash) => load(core, hash).await?.map(|loaded| (hash, loaded)),
        None => None,
    };
    let Some((hash, loaded)) = found else {
        return refuse(context, core, None).await;
    };
    let state = &loaded.state;
    let owner = (
        state.username.as_str(),
        state.email.as_deref(),
        state.home_organization_id,
    );
    passwords::check_new(core, &new, owner, "new_password").await?;
    let mut is_reused = false;
    for former in state.password_hash.iter().chain(&loaded.former) {
        is_reused |= core.passwords.verify(&new, former).await?;
    }
    let now = core.clock.now();
    let user_id = loaded.link.user_id;
    let event = CoreEvent::PasswordResetCompleted;
    let mut row = event_of(context, core, event, Some(user_id));
    row.organization_id = state.home_organization_id;
    let reset = Arc::new(Reset {
        token_sha256: hash,
        user_id,
        is_reused,
        new_hash: core.passwords.hash(&new, core.rng.as_ref()).await?,
        history_id: uuid_v7(now, core.rng.as_ref()),
        orders: MailOrders::of(context, core, now),
        now,
        row,
    });
    let decided = core
        .pool
        .transact::<_, CoreError, _>("password_resets::confirm", SCOPE, |connection| {
            let reset = Arc::clone(&reset);
            Box::pin(async move { Ok(decide(connection, &reset).await?) })
        })
        .await?;
    match decided {
        Decision::Done => {}
        Decision::Reused => return Err(passwords::reused()),
        Decision::NoLink => return refuse(context, core, Some(user_id)).await,
    }
    core.authentication_cache.evict(user_id);
    // Nobody listens in an installation without bootstrap.json; that is no fault.
    let _ = core.password_changes.send(user_id);
    Ok(())
}

/// Records and counts a link that does not work.
async fn refuse(context: &OpContext, core: &Core, user_id: Option<UserId>) -> Result<()> {
    mail::count(context, core);
    let row = event_of(context, core, CoreEvent::PasswordResetCompleted, user_id);
    debug_assert_eq!(row.organization_id, SYSTEM_ORGANIZATION);
    audit::record(context, core, row.refused("link_invalid")).await?;
    Err(link_invalid())
}

/// A link that works, with the passwords that must not come again.
struct Loaded {
    link: FoundLink,
    state: PasswordState,
    former: Vec<String>,
}

async fn load(core: &Core, hash: CredentialHash) -> Result<Option<Loaded>> {
    let now = core.clock.now();
    let loaded = core
        .pool
        .transact::<_, CoreError, _>("password_resets::load", SCOPE, |connection| {
            Box::pin(async move {
                let purpose = OneTimeLinkPurpose::ResetPassword;
                let link = one_time_links::find_working(connection, purpose, &hash, now).await?;
                let Some(link) = link else { return Ok(None) };
                let state = user_rows::lock_password_state(connection, link.user_id).await?;
                let Some(state) = state else { return Ok(None) };
                let most = passwords::FORMER_PASSWORDS_MAX;
                let former = password_history::list(connection, link.user_id, most).await?;
                Ok(Some(Loaded {
                    link,
                    state,
                    former,
                }))
            })
        })
        .await?;
    Ok(loaded)
}

/// A new password that was judged.
struct Reset {
    token_sha256: CredentialHash,
    user_id: UserId,
    /// Whether it is the present one or a former one.
    is_reused: bool,
    new_hash: String,
    history_id: Uuid,
    orders: Option<MailOrders>,
    now: DateTime<Utc>,
    row: AuditRow,
}

enum Decision {
    Done,
    Reused,
    NoLink,
}

/// Decides under the lock of the user's row: what the link is bound to may have changed meanwhile.
async fn decide(connection: &mut PgConnection, reset: &Reset) -> sqlx::Result<Decision> {
    let Reset { user_id, now, .. } = *reset;
    if mail_accounts::lock(connection, user_id).await?.is_none() {
        return Ok(Decision::NoLink);
    }
    let purpose = OneTimeLinkPurpose::ResetPassword;
    let hash = &reset.token_sha256;
    let Some(link) = one_time_links::find_working(connection, purpose, hash, now).await? else {
        return Ok(Decision::NoLink);
    };
    if reset.is_reused {
        let row = reset.row.clone().refused("password_reused");
        audit_log::insert(connection, &row).await?;
        return Ok(Decision::Reused);
    }
    if !one_time_links::use_up(connection, link.link_id, now).await? {
        return Ok(Decision::NoLink);
    }
    passwords::remember(connection, user_id, (reset.history_id, now)).await?;
    user_rows::update_password(connection, user_id, now, &reset.new_hash).await?;
    known_sign_in_addresses::forget_failures(connection, user_id).await?;
    let ended = sessions::end_of_user(connection, user_id, now, (0, None)).await?;
    tell_of_new_password(connection, reset.orders.as_ref(), user_id).await?;
    let details = json!({ "sessions_ended": ended });
    audit_log::insert(connection, &reset.row.clone().with_details(details)).await?;
    Ok(Decision::Done)
}
