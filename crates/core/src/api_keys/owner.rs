//! For whom a key is made: whoever asks, or a service account.

use clm_database::Scope;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, SYSTEM_ORGANIZATION, UserId};
use clm_domain::permission::{Action, Permissions, Resource};

use crate::Core;
use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::roles::refuse_beyond_rights;
use crate::store::{api_keys, authority};

/// The owner of a new key.
///
/// # Errors
/// `Invalid` for actors that are no user; `NotFound` for what is no service account of the
/// organization; `PolicyViolation` with code `permissions_beyond_rights`; those of
/// [`access::authorize`] and of the database.
pub(super) async fn of_new_key(
    context: &OpContext,
    core: &Core,
    asked: Option<UserId>,
) -> Result<UserId> {
    match asked {
        Some(user_id) if Some(user_id) != context.actor.user_id() => {
            check_service_account(context, core, user_id).await?;
            Ok(user_id)
        }
        _ => context.actor.user_id().ok_or_else(no_user),
    }
}

/// Whether the actor may have a key of the service account.
///
/// # Errors
/// As [`of_new_key`].
pub(super) async fn check_service_account(
    context: &OpContext,
    core: &Core,
    user_id: UserId,
) -> Result<()> {
    let target = Target::kind(context, Resource::User);
    access::authorize(context, core, Action::Update, target).await?;
    let organization_id = context.organization_id;
    let found = find(core, organization_id, user_id).await?;
    let held = found.ok_or_else(|| access::unknown_reference("user_id", "service account"))?;
    refuse_beyond_rights(&held, &context.permissions, "user_id")
}

/// What a service account of the organization may do there, and will by assignments that were made;
/// `None` for what is none.
async fn find(
    core: &Core,
    organization_id: OrganizationId,
    user_id: UserId,
) -> Result<Option<Permissions>> {
    let now = core.clock.now();
    let scope = Scope::System("rights to the installation are held in the System organization");
    core.pool
        .transact::<_, CoreError, _>("api_keys::owner::find", scope, move |connection| {
            Box::pin(async move {
                let is_one = api_keys::is_service_account(connection, organization_id, user_id);
                if !is_one.await? {
                    return Ok(None);
                }
                let own =
                    authority::find_held_or_to_come(connection, user_id, organization_id, now)
                        .await?;
                if organization_id == SYSTEM_ORGANIZATION {
                    return Ok(Some(own));
                }
                let system =
                    authority::find_held_or_to_come(connection, user_id, SYSTEM_ORGANIZATION, now)
                        .await?;
                Ok(Some(own.with_installation(&system)))
            })
        })
        .await
}

fn no_user() -> CoreError {
    let message = "An API key acts for a user, and you act as none. Sign in as the user whom the \
                   key shall act for, then make it: 'clm login', 'clm api-key create'; or name a \
                   service account.";
    Fault::new(ErrorKind::Invalid, "no_user", message).into()
}
