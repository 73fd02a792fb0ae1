//! First passwords that an administrator sets for somebody else.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::clock::whole_milliseconds;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::UserId;
use clm_domain::permission::Action;
use clm_domain::secret::SecretString;
use clm_domain::states::UserType;
use serde_json::json;
use sqlx::PgConnection;

use super::accounts::{Failure, UserRecord, as_failure, generated_password, lock_live};
use super::authority::{self, Actor};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::store::{accounts, audit_log, sessions};
use crate::{Core, audit, password};

/// A password that somebody else set.
struct Setting {
    user_id: UserId,
    password_hash: String,
    actor: Actor,
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
        password::check_policy(password, &user.username, "password")?;
    }
    let generated = match password {
        Some(_) => None,
        None => Some(generated_password(core.rng.as_ref())),
    };
    let Some(chosen) = password.as_ref().or(generated.as_ref()) else {
        return Err(CoreError::internal(&"there is no password"));
    };
    let setting = Arc::new(Setting {
        user_id,
        password_hash: core.passwords.hash(chosen, core.rng.as_ref()).await?,
        actor: Actor::of(context),
        now: whole_milliseconds(core.clock.now()),
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
    accounts::update_first_password(connection, &user, &setting.password_hash).await?;
    let spared = (0, None);
    let ended = sessions::end_of_user(connection, user.user_id, setting.now, spared).await?;
    let details = json!({ "sessions_ended": ended });
    let row = authority::with_more(setting.row.clone(), details);
    audit_log::insert(connection, &row).await?;
    Ok(())
}
