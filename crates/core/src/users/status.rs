//! Whether a user can act: status, deletion and what ends with them, and the lock after wrong
//! passwords. What ends, ends in the transaction of the act.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::clock::whole_milliseconds;
use clm_domain::ids::UserId;
use clm_domain::permission::Action;
use clm_domain::states::UserStatus;
use serde_json::json;
use sqlx::PgConnection;

use super::accounts::{Failure, UserRecord, as_failure, lock_live, refused};
use super::authority::{self, Actor};
use super::creation::take_place;
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::last_administrator::Watch;
use crate::store::{
    accounts, api_keys, audit_log, known_sign_in_addresses, members, role_assignments, sessions,
    users,
};
use crate::texts::check_reason;
use crate::{Core, audit};

/// One act on a user, as its transaction needs it.
struct Act {
    user_id: UserId,
    actor: Actor,
    now: DateTime<Utc>,
    row: AuditRow,
}

impl Act {
    fn new(context: &OpContext, core: &Core, event: CoreEvent, user: &UserRecord) -> Self {
        let named = (user.home_organization_id, Some(user.user_id.as_uuid()));
        Self {
            user_id: user.user_id,
            actor: Actor::of(context),
            now: whole_milliseconds(core.clock.now()),
            row: authority::event(context, core, event, named),
        }
    }

    fn with_details(mut self, details: serde_json::Value) -> Self {
        self.row = authority::with_more(self.row, details);
        self
    }

    /// Waits for its turn among the acts that take rights away, and locks the user.
    async fn begin(
        &self,
        connection: &mut PgConnection,
    ) -> std::result::Result<(Watch, UserRecord), Abort<Failure>> {
        let watch = Watch::begin(connection, self.user_id, self.now).await?;
        let user = lock_live(connection, self.user_id).await?;
        let outranked = self.actor.outranked_by(connection, &user, self.now);
        outranked.await.map_err(as_failure)?;
        Ok((watch, user))
    }

    /// Writes the event with what ended, and refuses the act where it took the last administrator.
    async fn end(
        &self,
        connection: &mut PgConnection,
        watch: Watch,
        ended: serde_json::Value,
    ) -> std::result::Result<(), Abort<Failure>> {
        let row = authority::with_more(self.row.clone(), ended);
        audit_log::insert(connection, &row).await?;
        watch.end(connection).await.map_err(as_failure)
    }
}

/// Sets the status of a user. Unless it is active, every session ends and no API key works any more.
///
/// # Errors
/// `Invalid`, naming `reason`; `Conflict` with code `own_account` or `last_administrator`;
/// `PolicyViolation` with code `permissions_beyond_rights`; `NotFound`; those of
/// [`crate::access::authorize`] and of the database.
pub async fn set_status(
    context: &OpContext,
    core: &Core,
    user_id: UserId,
    (status, reason): (UserStatus, String),
) -> Result<UserRecord> {
    let user = authority::find_live(context, core, Action::Update, user_id).await?;
    let reason = check_reason(&reason)?;
    let details = json!({ "from": user.status, "to": status, "stated_reason": reason });
    let act = Act::new(context, core, CoreEvent::UserStatusChanged, &user).with_details(details);
    let instead = "Somebody else changes its status.";
    let allowed = authority::refuse_oneself(context, &user, instead);
    audit::refusal(context, core, &act.row, allowed).await?;
    let act = Arc::new(act);
    let set = core
        .pool
        .transact::<_, Failure, _>("users::set_status", authority::scope(), |connection| {
            let act = Arc::clone(&act);
            Box::pin(async move { set_locked(connection, &act, status).await })
        })
        .await
        .map_err(CoreError::from);
    let set = audit::refusal(context, core, &act.row, set).await?;
    core.authentication_cache.evict(user_id);
    Ok(set)
}

async fn set_locked(
    connection: &mut PgConnection,
    act: &Act,
    status: UserStatus,
) -> std::result::Result<UserRecord, Abort<Failure>> {
    let (watch, user) = act.begin(connection).await?;
    if user.status == status {
        return Ok(user);
    }
    let user = UserRecord {
        status,
        revision: user.revision + 1,
        ..user
    };
    accounts::update_status(connection, &user).await?;
    let ended = match status {
        UserStatus::Active => 0,
        _ => sessions::end_of_user(connection, act.user_id, act.now, (0, None)).await?,
    };
    let ended = json!({ "sessions_ended": ended });
    act.end(connection, watch, ended).await?;
    Ok(user)
}

/// Deletes a user: sessions, API keys, role assignments and memberships end. The row stays, so that
/// whatever names the user still means somebody.
///
/// # Errors
/// `Conflict` with code `own_account` or `last_administrator`; `PolicyViolation` with code
/// `permissions_beyond_rights`; `NotFound`; those of [`crate::access::authorize`] and of the
/// database.
pub async fn delete(context: &OpContext, core: &Core, user_id: UserId) -> Result<()> {
    let user = authority::find_live(context, core, Action::Delete, user_id).await?;
    let act = Act::new(context, core, CoreEvent::UserDeleted, &user)
        .with_details(json!({ "username": user.username }));
    let allowed = authority::refuse_oneself(context, &user, "Somebody else deletes it.");
    audit::refusal(context, core, &act.row, allowed).await?;
    let act = Arc::new(act);
    let deleted = core
        .pool
        .transact::<_, Failure, _>("users::delete", authority::scope(), |connection| {
            let act = Arc::clone(&act);
            Box::pin(async move { delete_locked(connection, &act).await })
        })
        .await
        .map_err(CoreError::from);
    audit::refusal(context, core, &act.row, deleted).await?;
    core.authentication_cache.evict(user_id);
    Ok(())
}

async fn delete_locked(
    connection: &mut PgConnection,
    act: &Act,
) -> std::result::Result<(), Abort<Failure>> {
    let (watch, user) = act.begin(connection).await?;
    let (user_id, now) = (act.user_id, act.now);
    let user = UserRecord {
        deleted_at: Some(now),
        revision: user.revision + 1,
        ..user
    };
    accounts::update_deleted(connection, &user).await?;
    // First: what is granted or made at this moment keeps the membership, and is seen after it.
    let everywhere = (None, user_id);
    let memberships = members::end(connection, everywhere, now).await?;
    let assignments = role_assignments::end_of_user(connection, everywhere, now).await?;
    let api_keys = api_keys::revoke_of_user(connection, everywhere, now).await?;
    let ended = json!({
        "sessions_ended": sessions::end_of_user(connection, user_id, now, (0, None)).await?,
        "api_keys_revoked": api_keys,
        "role_assignments_ended": assignments,
        "memberships_ended": memberships,
    });
    act.end(connection, watch, ended).await
}

/// Brings a deleted user back, as a member of the home organization without roles and API keys.
/// Bringing back one who is there changes nothing.
///
/// # Errors
/// `Conflict` with code `username_taken`; `PolicyViolation` with code `user_quota_exceeded`;
/// `NotFound`; those of [`crate::access::authorize`] and of the database.
pub async fn restore(context: &OpContext, core: &Core, user_id: UserId) -> Result<UserRecord> {
    let user = authority::find(context, core, Action::Update, user_id).await?;
    let act = Act::new(context, core, CoreEvent::UserRestored, &user)
        .with_details(json!({ "username": user.username }));
    let act = Arc::new(act);
    let restored = core
        .pool
        .transact::<_, Failure, _>("users::restore", authority::scope(), |connection| {
            let act = Arc::clone(&act);
            Box::pin(async move { restore_locked(connection, &act).await })
        })
        .await
        .map_err(CoreError::from);
    audit::refusal(context, core, &act.row, restored).await
}

async fn restore_locked(
    connection: &mut PgConnection,
    act: &Act,
) -> std::result::Result<UserRecord, Abort<Failure>> {
    let user = accounts::lock(connection, act.user_id).await?;
    let user = user.ok_or_else(|| refused(authority::not_found()))?;
    if user.deleted_at.is_none() {
        return Ok(user);
    }
    take_place(connection, user.home_organization_id).await?;
    let user = UserRecord {
        deleted_at: None,
        revision: user.revision + 1,
        ..user
    };
    accounts::update_deleted(connection, &user).await?;
    accounts::restore_membership(connection, &user, act.now).await?;
    audit_log::insert(connection, &act.row).await?;
    Ok(user)
}

/// Forgets the wrong passwords of a user, from wherever they came, and the locks that they caused.
///
/// # Errors
/// `PolicyViolation` with code `permissions_beyond_rights`; `NotFound`; those of [`crate::access::authorize`] and of the database.
pub async fn unlock(context: &OpContext, core: &Core, user_id: UserId) -> Result<UserRecord> {
    let user = authority::find_live(context, core, Action::Update, user_id).await?;
    let act = Arc::new(Act::new(context, core, CoreEvent::UserUnlocked, &user));
    let unlocked = core
        .pool
        .transact::<_, Failure, _>("users::unlock", authority::scope(), |connection| {
            let act = Arc::clone(&act);
            Box::pin(async move {
                let user = lock_live(connection, act.user_id).await?;
                let outranked = act.actor.outranked_by(connection, &user, act.now);
                outranked.await.map_err(as_failure)?;
                users::update_failed_sign_in(connection, act.user_id, 0, None).await?;
                known_sign_in_addresses::forget_failures(connection, act.user_id).await?;
                audit_log::insert(connection, &act.row).await?;
                Ok(UserRecord {
                    locked_until: None,
                    ..user
                })
            })
        })
        .await
        .map_err(CoreError::from);
    audit::refusal(context, core, &act.row, unlocked).await
}
