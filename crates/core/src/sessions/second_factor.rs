//! The second step of signing in: a code of the user's second factor.

use std::sync::Arc;

use clm_database::Scope;
use clm_database::transaction::Abort;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::clock::uuid_v7;
use clm_domain::error::ErrorKind;
use clm_domain::secret::SecretString;
use clm_secure_api::command::VerifyTotp;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::renewal::Renewal;
use super::{NewSession, SESSIONS_PER_USER_MAX, SessionRecord};
use crate::authentication::throttle::network_of;
use crate::context::{OpContext, Owed};
use crate::error::{CoreError, Result};
use crate::second_factor::{self, Person};
use crate::store::{audit_log, sessions, users};
use crate::users::guesses::Guess;
use crate::{Core, access};

/// Gives a code for the session of the request, which goes on with new secrets; the old ones stop working.
/// A session that owes none may give one too: where an organization requires it.
///
/// # Errors
/// `Invalid` for a wrong code, and with code `no_session` without a session; `Conflict` for a code that was
/// used, and when no second factor is in force; `RateLimited` after too many wrong ones; those of the
/// database and of the Secure Service.
pub async fn pass(context: &OpContext, core: &Core, code: SecretString) -> Result<NewSession> {
    let every = [
        Owed::SecondFactor,
        Owed::PasswordChange,
        Owed::SecondFactorEnrolment,
    ];
    let person = second_factor::person(context, core, &every).await?;
    let network = network_of(context.request.ip_address.as_deref());
    core.sign_in_throttle.admit(network)?;
    let event = CoreEvent::SecondFactorPassed;
    let command = VerifyTotp {
        user_id: person.user_id,
        code,
    };
    let verified = core.secure.verify_totp(person.call(context), command).await;
    match &verified {
        Ok(_) => core.sign_in_throttle.succeeded(network),
        Err(error) if error.0.kind == ErrorKind::Invalid => core.sign_in_throttle.failed(network),
        Err(_) => {}
    }
    let session_id = Some(person.session_id.as_uuid());
    let row = person.row(context, core, (event, session_id));
    second_factor::unless_refused(context, core, &row, verified).await?;
    let renewal = Renewal::new(context, core, person.session_id);
    let passing = Arc::new(Passing {
        known_address_id: uuid_v7(renewal.now, core.rng.as_ref()),
        address: context.request.ip_address.clone(),
        person,
        renewal,
        row,
    });
    let scope = Scope::System("a session gets its second factor in the user's home organization");
    let session = core
        .pool
        .transact::<_, CoreError, _>("sessions::pass", scope, |connection| {
            let passing = Arc::clone(&passing);
            Box::pin(async move { passing.carry_out(connection).await })
        })
        .await?;
    let passing = Arc::into_inner(passing).ok_or_else(access::unauthenticated)?;
    passing.renewal.finish(core, session).await
}

/// A session whose code was right.
struct Passing {
    person: Person,
    renewal: Renewal,
    address: Option<String>,
    /// For the address, if it becomes known.
    known_address_id: Uuid,
    row: AuditRow,
}

impl Passing {
    async fn carry_out(
        &self,
        connection: &mut PgConnection,
    ) -> std::result::Result<SessionRecord, Abort<CoreError>> {
        let (user_id, now) = (self.person.user_id, self.renewal.now);
        let state = users::lock_password_state(connection, user_id).await?;
        let state = state.ok_or_else(|| Abort::Caller(access::unauthenticated()))?;
        let guess = Guess::find(connection, user_id, self.address.as_deref(), now).await?;
        let state = guess.judged_by(state);
        guess
            .succeeded(connection, &state, (self.known_address_id, now))
            .await?;
        let session = self.renewal.carry_out(connection).await?;
        let spared = (SESSIONS_PER_USER_MAX, Some(self.person.session_id));
        let ended = sessions::end_of_user(connection, user_id, now, spared).await?;
        let details = json!({ "user_id": user_id, "sessions_ended": ended });
        let row = self.row.clone().with_details(details);
        audit_log::insert(connection, &row).await?;
        Ok(session)
    }
}
