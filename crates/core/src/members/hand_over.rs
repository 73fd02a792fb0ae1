//! Handing over what a member of an organization owns: the certificates that he or she answers for.
//!
//! What the inventory says is handed over. The Secure Service keeps who asked for a certificate; that
//! does not change.

use clm_database::transaction::Abort;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, UserId};
use sqlx::PgConnection;

use crate::access;
use crate::error::CoreError;
use crate::store::members;

/// Hands everything over in the transaction of whoever ends the membership (system scope). Returns how
/// many certificates that were.
///
/// # Errors
/// `NotFound` when the successor is no active member, or the same one;
/// `Conflict` with code `owns_objects` when there is something and no successor.
pub(crate) async fn hand_over(
    connection: &mut PgConnection,
    (organization_id, user_id): (OrganizationId, UserId),
    successor: Option<UserId>,
) -> Result<u64, Abort<CoreError>> {
    let named = (organization_id, user_id);
    let Some(successor) = successor else {
        let owned = members::count_owned(connection, named).await?;
        if owned > 0 {
            return Err(Abort::Caller(owns_objects(owned)));
        }
        return Ok(0);
    };
    let is_active = successor != user_id
        && members::lock_active(connection, organization_id, successor).await?;
    if !is_active {
        let error = access::unknown_reference("successor_user_id", "active member");
        return Err(Abort::Caller(error));
    }
    Ok(members::hand_over(connection, named, successor).await?)
}

fn owns_objects(count: i64) -> CoreError {
    let message = format!(
        "The member answers for {count} certificates. Name in successor_user_id who shall answer for \
         them."
    );
    Fault::new(ErrorKind::Conflict, "owns_objects", message).into()
}
