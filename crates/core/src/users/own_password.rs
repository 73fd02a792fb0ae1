//! Whether somebody who is signed in knows the own password: computed without a lock, because a hash is
//! dear, and judged and counted under the lock of the user's row, as at a sign-in.

use chrono::{DateTime, Utc};
use clm_domain::audit::AuditRow;
use clm_domain::error::Fault;
use clm_domain::ids::UserId;
use clm_domain::secret::SecretString;
use sqlx::PgConnection;

use super::{count_failure, is_locked, locked};
use crate::error::{CoreError, Result};
use crate::store::audit_log;
use crate::store::users::{self, PasswordState};
use crate::{Core, access};

/// A password that was compared and not yet judged.
pub(crate) struct OwnPassword {
    user_id: UserId,
    /// The hash that it matched.
    verified_hash: Option<String>,
    now: DateTime<Utc>,
    /// The field that it came in.
    field: &'static str,
}

impl OwnPassword {
    /// Compares a password with the one that is stored: one hash, and none for somebody who is locked.
    pub(crate) async fn compare(
        core: &Core,
        (user_id, state): (UserId, &PasswordState),
        (password, field): (&SecretString, &'static str),
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let verified_hash = match &state.password_hash {
            Some(hash) if !is_locked(state, now) => {
                let verified = core.passwords.verify(password, hash).await?;
                verified.then(|| hash.clone())
            }
            _ => None,
        };
        Ok(Self {
            user_id,
            verified_hash,
            now,
            field,
        })
    }

    /// Whether it matched.
    pub(crate) const fn matched(&self) -> bool {
        self.verified_hash.is_some()
    }

    /// Judges it under the lock of the user's row; a wrong one is counted. The inner error is the
    /// refusal, recorded as one of the act of `row`, and must be committed.
    pub(crate) async fn judge(
        &self,
        connection: &mut PgConnection,
        row: &AuditRow,
    ) -> sqlx::Result<Result<PasswordState>> {
        let Self { user_id, now, .. } = *self;
        let Some(state) = users::lock_password_state(connection, user_id).await? else {
            return Ok(Err(access::unauthenticated()));
        };
        if is_locked(&state, now) {
            audit_log::insert(connection, &row.clone().refused("locked")).await?;
            return Ok(Err(locked(&state, now)));
        }
        if self.verified_hash.is_none() || self.verified_hash != state.password_hash {
            count_failure(connection, user_id, &state, now).await?;
            audit_log::insert(connection, &row.clone().refused("wrong_password")).await?;
            return Ok(Err(self.wrong()));
        }
        Ok(Ok(state))
    }

    fn wrong(&self) -> CoreError {
        let message = "The current password is wrong.";
        Fault::invalid("current_password_wrong", self.field, message).into()
    }
}
