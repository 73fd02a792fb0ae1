//! Keeps organizations from losing their last administrator.
//!
//! Every act that could take one away (an assignment, a status, a membership, a deletion) begins its
//! transaction, which is of the System scope, with [`Watch::begin`] and ends it with [`Watch::end`]:
//! such acts come one after the other, and one after which an organization has nobody left is rolled
//! back. An administrator here is a person who can act now and holds `SYSTEM_ADMIN` without an end, so
//! that the mere passing of time takes none away either.

use chrono::{DateTime, Utc};
use clm_database::transaction::Abort;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, UserId};
use sqlx::PgConnection;

use crate::error::CoreError;
use crate::store::administrators;

/// What a user administers before an act that may take rights away.
pub(crate) struct Watch {
    organizations: Vec<OrganizationId>,
    now: DateTime<Utc>,
}

impl Watch {
    /// Waits for the turn of this act, and remembers what `user_id` administers.
    ///
    /// # Errors
    /// Those of the statements.
    pub(crate) async fn begin(
        connection: &mut PgConnection,
        user_id: UserId,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Self> {
        administrators::lock(connection).await?;
        let organizations = administrators::list_administered(connection, user_id, now).await?;
        Ok(Self { organizations, now })
    }

    /// Refuses the act when an organization has no administrator any more.
    ///
    /// # Errors
    /// `Conflict` with code `last_administrator`; those of the statement.
    pub(crate) async fn end(self, connection: &mut PgConnection) -> Result<(), Abort<CoreError>> {
        let Self { organizations, now } = self;
        if administrators::any_is_orphaned(connection, &organizations, now).await? {
            return Err(Abort::Caller(last_administrator()));
        }
        Ok(())
    }
}

fn last_administrator() -> CoreError {
    let message = "An organization would be left without an administrator. Give SYSTEM_ADMIN to \
                   somebody else first, without an end.";
    Fault::new(ErrorKind::Conflict, "last_administrator", message).into()
}
