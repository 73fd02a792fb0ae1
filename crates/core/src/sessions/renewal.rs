//! A session that goes on with new secrets because its user gave a second factor: whoever had the old ones
//! gains nothing by it.

use chrono::{DateTime, TimeDelta, Utc};
use clm_database::transaction::Abort;
use clm_domain::clock::whole_milliseconds;
use clm_domain::ids::{OrganizationId, SessionId, UserId};
use clm_domain::secret::SecretString;
use sqlx::PgConnection;

use super::{NewSession, SessionRecord, lifetimes, settings_of};
use crate::authentication::{self, credential};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::store::sessions::{self, RenewedSession};
use crate::{Core, access};

/// What a session gets.
pub(crate) struct Renewal {
    organization_id: OrganizationId,
    session_id: SessionId,
    token: SecretString,
    csrf_token: SecretString,
    lifetime: TimeDelta,
    idle: TimeDelta,
    pub(crate) now: DateTime<Utc>,
}

impl Renewal {
    /// New secrets for the session of the request.
    pub(crate) fn new(context: &OpContext, core: &Core, session_id: SessionId) -> Self {
        let duration = |time| TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
        Self {
            organization_id: context.organization_id,
            session_id,
            token: credential::new_token(core.rng.as_ref()),
            csrf_token: credential::new_token(core.rng.as_ref()),
            lifetime: duration(core.settings.session_lifetime),
            idle: duration(core.settings.session_idle_timeout),
            now: whole_milliseconds(core.clock.now()),
        }
    }

    /// Gives the session its new secrets and the life of one whose second factor was passed, counted from
    /// when it began (system scope).
    ///
    /// # Errors
    /// `Unauthenticated` when it ended meanwhile; those of the database.
    pub(crate) async fn carry_out(
        &self,
        connection: &mut PgConnection,
    ) -> std::result::Result<SessionRecord, Abort<CoreError>> {
        let over = || Abort::Caller(access::unauthenticated());
        let (now, session_id) = (self.now, self.session_id);
        let present = sessions::find(connection, self.organization_id, session_id, now).await?;
        let present = present.ok_or_else(over)?;
        let settings = settings_of(connection, self.organization_id).await?;
        let end = lifetimes::end(present.created_at, &settings);
        let expires_at = lifetimes::earlier(present.created_at + self.lifetime, end);
        if expires_at <= now {
            return Err(over());
        }
        let idle = lifetimes::earlier(now + self.idle, lifetimes::idle_end(now, &settings));
        let renewed = RenewedSession {
            session_id,
            organization_id: self.organization_id,
            token_sha256: credential::hash(self.token.expose()),
            csrf_sha256: credential::hash(self.csrf_token.expose()),
            now,
            idle_expires_at: idle.min(expires_at),
            expires_at,
            passed_second_factor: true,
        };
        if !sessions::renew(connection, &renewed).await? {
            return Err(over());
        }
        Ok(SessionRecord {
            session_id,
            user_id: UserId::from_uuid(present.user_id),
            organization_id: self.organization_id,
            created_at: present.created_at,
            last_seen_at: now,
            idle_expires_at: renewed.idle_expires_at,
            expires_at,
            ip_address: present.ip_address,
            user_agent: present.user_agent,
            is_current: true,
        })
    }

    /// The session as its user gets it, after the transaction.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn finish(self, core: &Core, session: SessionRecord) -> Result<NewSession> {
        core.authentication_cache.evict(session.user_id);
        Ok(NewSession {
            owed: authentication::owed_by(core, &self.token).await?,
            session,
            token: self.token,
            csrf_token: self.csrf_token,
        })
    }
}
