//! New passwords: one's own, and first ones that an administrator sets for somebody else.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_domain::actor::Actor;
use clm_domain::audit::{AuditRow, Cause, CoreEvent};
use clm_domain::clock::{uuid_v7, whole_milliseconds};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, SessionId, UserId};
use clm_domain::permission::Action;
use clm_domain::secret::SecretString;
use clm_domain::states::UserType;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::accounts::{Failure, UserRecord, as_failure, lock_live};
use super::authority;
use super::creation::generated_password;
use super::own_password::OwnPassword;
use crate::authentication::credential::{self, CredentialHash};
use crate::context::{OpContext, Owed};
use crate::error::{CoreError, Result};
use crate::mail::orders::{MailOrders, tell_of_new_password};
use crate::store::users::{self, PasswordState};
use crate::store::{accounts, audit_log, password_history, sessions};
use crate::{Core, access, audit, organizations, password};

/// So many former passwords must not come again.
pub(crate) const FORMER_PASSWORDS_MAX: i64 = 10;

/// Changes the actor's own password and ends every other session of the user. Allowed even while
/// nothing else is. The session that asks goes on with a new token, which is returned: whoever had the old
/// one is out as well.
///
/// # Errors
/// `Invalid`, naming `current_password` or `new_password`, which may have been in use before;
/// `RateLimited` while the user is locked after wrong passwords; those of the database.
pub async fn change_own_password(
    context: &OpContext,
    core: &Core,
    current: SecretString,
    new: SecretString,
) -> Result<Option<SecretString>> {
    let user_id = acting_user(context)?;
    let (state, former) = load_password_state(core, user_id).await?;
    let owner = (
        state.username.as_str(),
        state.email.as_deref(),
        state.home_organization_id,
    );
    check_new(core, &new, owner, "new_password").await?;
    if new.expose() == current.expose() {
        let message = "The new password is the present one. Choose another.";
        return Err(Fault::invalid("password_unchanged", "new_password", message).into());
    }
    let now = core.clock.now();
    let given = (&current, "current_password");
    let current = OwnPassword::compare(core, (user_id, &state), given, now).await?;
    let mut is_reused = false;
    let mut new_hash = String::new();
    if current.matched() {
        for hash in &former {
            is_reused |= core.passwords.verify(&new, hash).await?;
        }
        new_hash = core.passwords.hash(&new, core.rng.as_ref()).await?;
    }
    let cause = Cause {
        organization_id: state.home_organization_id,
        ..context.cause()
    };
    let resource_id = Some(user_id.as_uuid());
    let event = CoreEvent::PasswordChanged;
    let row = AuditRow::success(event, &cause, resource_id, now, core.rng.as_ref());
    let renewed = context
        .actor
        .session_id()
        .map(|session_id| (session_id, credential::new_token(core.rng.as_ref())));
    let change = Arc::new(PasswordChange {
        user_id,
        current,
        is_reused,
        new_hash,
        history_id: uuid_v7(now, core.rng.as_ref()),
        session: renewed.as_ref().map(|(session_id, token)| {
            let token_sha256 = credential::hash(token.expose());
            (*session_id, token_sha256)
        }),
        orders: MailOrders::of(context, core, now),
        now,
        audit: audit::with_origin(context, row),
    });
    core.pool
        .transact::<_, CoreError, _>(
            "users::change_own_password",
            authority::scope(),
            |connection| {
                let change = Arc::clone(&change);
                Box::pin(async move { Ok(decide(connection, &change).await?) })
            },
        )
        .await??;
    core.authentication_cache.evict(user_id);
    // Nobody listens in an installation without bootstrap.json; that is no fault.
    let _ = core.password_changes.send(user_id);
    Ok(renewed.map(|(_, token)| token))
}

/// Refuses a new password that is too short or too easy to guess for somebody who knows the user.
///
/// # Errors
/// `Invalid`, naming `field`; those of [`password::PasswordHasher`] and of the database.
pub(crate) async fn check_new(
    core: &Core,
    password: &SecretString,
    (username, email, home): (&str, Option<&str>, OrganizationId),
    field: &'static str,
) -> Result<()> {
    password::check_policy(password, username, field)?;
    let organization = organizations::load(core, home).await?;
    let texts = [
        username,
        email.unwrap_or_default(),
        &organization.name,
        &organization.slug,
    ];
    let words = password::own_words(&texts);
    core.passwords.judge(password, words, field).await
}

/// Keeps the present password of a user whose row is locked as a former one.
pub(crate) async fn remember(
    connection: &mut PgConnection,
    user_id: UserId,
    (history_id, now): (Uuid, DateTime<Utc>),
) -> sqlx::Result<()> {
    password_history::remember(connection, user_id, (history_id, now)).await?;
    password_history::forget_older(connection, user_id, FORMER_PASSWORDS_MAX).await
}

/// One change of a password, verified or not.
struct PasswordChange {
    user_id: UserId,
    current: OwnPassword,
    /// Whether the new one is a former one.
    is_reused: bool,
    new_hash: String,
    history_id: Uuid,
    /// The session that asks, and the hash of its new token.
    session: Option<(SessionId, CredentialHash)>,
    orders: Option<MailOrders>,
    now: DateTime<Utc>,
    audit: AuditRow,
}

/// Decides under the lock of the user's row, as a sign-in does. The inner error is the refusal,
/// which has been recorded.
async fn decide(
    connection: &mut PgConnection,
    change: &PasswordChange,
) -> sqlx::Result<Result<()>> {
    let PasswordChange { user_id, now, .. } = *change;
    if let Err(refused) = change.current.judge(connection, &change.audit).await? {
        return Ok(Err(refused));
    }
    if change.is_reused {
        let row = change.audit.clone().refused("password_reused");
        audit_log::insert(connection, &row).await?;
        return Ok(Err(reused()));
    }
    remember(connection, user_id, (change.history_id, now)).await?;
    users::update_password(connection, user_id, now, &change.new_hash).await?;
    let spared = (0, change.session.map(|(session_id, _)| session_id));
    let ended = sessions::end_of_user(connection, user_id, now, spared).await?;
    if let Some((session_id, token_sha256)) = &change.session {
        sessions::replace_token(connection, *session_id, token_sha256).await?;
    }
    tell_of_new_password(connection, change.orders.as_ref(), user_id).await?;
    let row = change
        .audit
        .clone()
        .with_details(json!({ "sessions_ended": ended }));
    audit_log::insert(connection, &row).await?;
    Ok(Ok(()))
}

/// The refusal of a password that was in use before.
pub(crate) fn reused() -> CoreError {
    let message = format!(
        "This was the password before. Choose one that is not among the last {FORMER_PASSWORDS_MAX}."
    );
    Fault::invalid("password_reused", "new_password", message).into()
}

/// The user who acts, for what only users have.
fn acting_user(context: &OpContext) -> Result<UserId> {
    if context.actor == Actor::Anonymous {
        return Err(access::unauthenticated());
    }
    if context.owed == Some(Owed::SecondFactor) {
        return Err(access::owes(Owed::SecondFactor));
    }
    context.actor.user_id().ok_or_else(|| {
        let message =
            "Only users have a password, and you act as none. Sign in first: 'clm login'.";
        Fault::new(ErrorKind::Invalid, "no_user", message).into()
    })
}

/// The password of the user, and the former ones.
///
/// # Errors
/// `Unauthenticated` for a user who is gone; those of the database.
pub(crate) async fn load_password_state(
    core: &Core,
    user_id: UserId,
) -> Result<(PasswordState, Vec<String>)> {
    core.pool
        .transact::<_, CoreError, _>(
            "users::load_password_state",
            authority::scope(),
            move |connection| {
                Box::pin(async move {
                    let Some(state) = users::lock_password_state(connection, user_id).await? else {
                        return Ok(None);
                    };
                    let former =
                        password_history::list(connection, user_id, FORMER_PASSWORDS_MAX).await?;
                    Ok(Some((state, former)))
                })
            },
        )
        .await?
        .ok_or_else(access::unauthenticated)
}

/// A password that somebody else set.
struct Setting {
    user_id: UserId,
    password_hash: String,
    history_id: Uuid,
    actor: authority::Actor,
    orders: Option<MailOrders>,
    now: DateTime<Utc>,
    row: AuditRow,
}

/// Gives a user a new first password, which must be changed at the next sign-in, and ends every
/// session. Returns the password when it was generated: it is shown once.
///
/// # Errors
/// `Invalid`, naming `password`; `Conflict` with code `own_account` or `service_account`;
/// `PolicyViolation` with code `permissions_beyond_rights`; `NotFound`; those of
/// [`crate::access::authorize`] and of the database.
pub async fn set_first_password(
    context: &OpContext,
    core: &Core,
    user_id: UserId,
    password: Option<SecretString>,
) -> Result<Option<SecretString>> {
    let user = authority::find_live(context, core, Action::Update, user_id).await?;
    let named = (user.home_organization_id, Some(user_id.as_uuid()));
    let row = authority::event(context, core, CoreEvent::UserPasswordSet, named);
    audit::refusal(context, core, &row, refuse(context, &user)).await?;
    if let Some(password) = &password {
        let owner = (
            user.username.as_str(),
            user.email.as_deref(),
            user.home_organization_id,
        );
        check_new(core, password, owner, "password").await?;
    }
    let generated = match password {
        Some(_) => None,
        None => Some(generated_password(core.rng.as_ref())),
    };
    let Some(chosen) = password.as_ref().or(generated.as_ref()) else {
        return Err(CoreError::internal(&"there is no password"));
    };
    let now = whole_milliseconds(core.clock.now());
    let setting = Arc::new(Setting {
        user_id,
        password_hash: core.passwords.hash(chosen, core.rng.as_ref()).await?,
        history_id: uuid_v7(now, core.rng.as_ref()),
        actor: authority::Actor::of(context),
        orders: MailOrders::of(context, core, now),
        now,
        row,
    });
    let set = core
        .pool
        .transact::<_, Failure, _>(
            "users::set_first_password",
            authority::scope(),
            |connection| {
                let setting = Arc::clone(&setting);
                Box::pin(async move { set_locked(connection, &setting).await })
            },
        )
        .await
        .map_err(CoreError::from);
    audit::refusal(context, core, &setting.row, set).await?;
    core.authentication_cache.evict(user_id);
    // Nobody listens in an installation without bootstrap.json; that is no fault.
    let _ = core.password_changes.send(user_id);
    Ok(generated)
}

/// Whether the account can be given a password by the caller at all.
fn refuse(context: &OpContext, user: &UserRecord) -> Result<()> {
    let instead = "Change your own password: POST /api/v1/users/me/password.";
    authority::refuse_oneself(context, user, instead)?;
    if user.user_type == UserType::Person {
        return Ok(());
    }
    let message = "A service has no password: it acts with API keys.";
    Err(Fault::new(ErrorKind::Conflict, "service_account", message).into())
}

async fn set_locked(
    connection: &mut PgConnection,
    setting: &Setting,
) -> std::result::Result<(), Abort<Failure>> {
    let user = lock_live(connection, setting.user_id).await?;
    let outranked = setting.actor.outranked_by(connection, &user, setting.now);
    outranked.await.map_err(as_failure)?;
    let user = UserRecord {
        password_changed_at: Some(setting.now),
        revision: user.revision + 1,
        ..user
    };
    remember(connection, user.user_id, (setting.history_id, setting.now)).await?;
    accounts::update_first_password(connection, &user, &setting.password_hash).await?;
    let spared = (0, None);
    let ended = sessions::end_of_user(connection, user.user_id, setting.now, spared).await?;
    tell_of_new_password(connection, setting.orders.as_ref(), user.user_id).await?;
    let details = json!({ "sessions_ended": ended });
    let row = authority::with_more(setting.row.clone(), details);
    audit_log::insert(connection, &row).await?;
    Ok(())
}
