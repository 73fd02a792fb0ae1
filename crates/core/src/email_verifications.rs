//! Whether a user reads what is sent to the address: by a link that goes there.

use std::sync::Arc;

use clm_database::Scope;
use clm_database::transaction::Abort;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::UserId;
use clm_domain::secret::SecretString;
use clm_domain::states::{MailPurpose, OneTimeLinkPurpose, UserType};
use sqlx::PgConnection;

use crate::authentication::credential::{self, CredentialHash};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::mail::orders::{Addressee, MailOrders};
use crate::mail::{self, link_invalid};
use crate::store::{audit_log, mail_accounts, one_time_links};
use crate::users::UserRecord;
use crate::{Core, access, audit};

const SCOPE: Scope = Scope::System(
    "an address belongs to the home organization, the session may be active in another",
);

/// Orders a link to the address of the user of the session.
///
/// # Errors
/// `Conflict` with code `mail_not_configured`, `no_email` or `email_verified`; `RateLimited` with code
/// `too_many_mails`; `Invalid` with code `no_session`; those of the database.
pub async fn request(context: &OpContext, core: &Core) -> Result<()> {
    let user_id = access::signed_in(context)?;
    let now = core.clock.now();
    let orders = MailOrders::of(context, core, now).ok_or_else(mail::not_configured)?;
    let row = event_of(
        context,
        core,
        CoreEvent::EmailVerificationRequested,
        user_id,
    );
    let ordering = Arc::new((user_id, orders, row));
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("email_verifications::request", SCOPE, |connection| {
            let ordering = Arc::clone(&ordering);
            Box::pin(async move {
                let (user_id, orders, row) = ordering.as_ref();
                order_locked(connection, (*user_id, orders), row.clone()).await
            })
        })
        .await;
    audit::refusal(context, core, &ordering.2, outcome).await
}

async fn order_locked(
    connection: &mut PgConnection,
    (user_id, orders): (UserId, &MailOrders),
    mut row: AuditRow,
) -> std::result::Result<(), Abort<CoreError>> {
    let refused = |kind, code, message: &str| -> Abort<CoreError> {
        Abort::Caller(Fault::new(kind, code, message).into())
    };
    let account = mail_accounts::lock(connection, user_id).await?;
    let account = account.ok_or_else(|| Abort::Caller(access::unauthenticated()))?;
    if account.email.is_none() {
        let message =
            "There is no address to verify. Somebody who governs your account gives you one.";
        return Err(refused(ErrorKind::Conflict, "no_email", message));
    }
    if account.email_verified_at.is_some() {
        let message = "Your address is verified already.";
        return Err(refused(ErrorKind::Conflict, "email_verified", message));
    }
    let purpose = MailPurpose::EmailVerification;
    if orders.are_too_many(connection, purpose, user_id).await? {
        let message = "Such a mail was sent a moment ago, or several times today. Look for it, or \
            try again later.";
        let mut fault = Fault::new(ErrorKind::RateLimited, "too_many_mails", message);
        fault.retry_after_seconds = Some(60);
        return Err(Abort::Caller(fault.into()));
    }
    orders.order_for(connection, purpose, &account).await?;
    row.organization_id = account.home_organization_id;
    Ok(audit_log::insert(connection, &row).await?)
}

/// Tells a person at the former address, if that was verified, that there is another one.
///
/// # Errors
/// Those of the statements.
pub(crate) async fn tell_former_address(
    connection: &mut PgConnection,
    orders: Option<&MailOrders>,
    former: &UserRecord,
) -> sqlx::Result<()> {
    let verified = former.email.as_deref();
    let verified = verified.filter(|_| former.email_verified_at.is_some());
    let (Some(orders), Some(email)) = (orders, verified) else {
        return Ok(());
    };
    let addressee = Addressee::User {
        user_id: former.user_id,
        username: &former.username,
        email,
    };
    let home = former.home_organization_id;
    let purpose = MailPurpose::EmailChanged;
    orders.order(connection, purpose, home, &addressee).await
}

/// Orders a link to the address that a user has from now on, where that is a person. In the transaction
/// that gave it.
///
/// # Errors
/// Those of the statements.
pub(crate) async fn order_after_change(
    connection: &mut PgConnection,
    orders: Option<&MailOrders>,
    user: &UserRecord,
) -> sqlx::Result<()> {
    let (Some(orders), Some(email)) = (orders, user.email.as_deref()) else {
        return Ok(());
    };
    if user.user_type != UserType::Person {
        return Ok(());
    }
    let addressee = Addressee::User {
        user_id: user.user_id,
        username: &user.username,
        email,
    };
    let home = user.home_organization_id;
    let purpose = MailPurpose::EmailVerification;
    orders.order(connection, purpose, home, &addressee).await
}

/// Marks the address as verified to which the link with this token went. `context` is that of
/// [`crate::authentication::anonymous`].
///
/// # Errors
/// `Invalid` with code `link_invalid`, whatever is wrong with the link; `RateLimited` with code
/// `too_many_links`; those of the database.
pub async fn confirm(context: &OpContext, core: &Core, token: &SecretString) -> Result<()> {
    mail::admit(context, core)?;
    let row = AuditRow::success(
        CoreEvent::EmailVerified,
        &context.cause(),
        None,
        core.clock.now(),
        core.rng.as_ref(),
    );
    let row = audit::with_origin(context, row);
    let verified = match credential::link_token_hash(token.expose().trim()) {
        Some(hash) => verify(core, hash, row.clone()).await?,
        None => false,
    };
    if verified {
        return Ok(());
    }
    mail::count(context, core);
    audit::record(context, core, row.refused("link_invalid")).await?;
    Err(link_invalid())
}

async fn verify(core: &Core, hash: CredentialHash, row: AuditRow) -> Result<bool> {
    let now = core.clock.now();
    let row = Arc::new(row);
    core.pool
        .transact::<_, CoreError, _>("email_verifications::confirm", SCOPE, |connection| {
            let row = Arc::clone(&row);
            Box::pin(async move {
                let purpose = OneTimeLinkPurpose::VerifyEmail;
                let found = one_time_links::find_working(connection, purpose, &hash, now).await?;
                let Some(found) = found else { return Ok(false) };
                // What the link is bound to may have changed before the row was locked.
                mail_accounts::lock(connection, found.user_id).await?;
                let found = one_time_links::find_working(connection, purpose, &hash, now).await?;
                let Some(found) = found else { return Ok(false) };
                if !one_time_links::use_up(connection, found.link_id, now).await? {
                    return Ok(false);
                }
                mail_accounts::update_verified(connection, found.user_id, now).await?;
                let row = AuditRow {
                    organization_id: found.organization_id,
                    resource_id: Some(found.user_id.as_uuid()),
                    ..row.as_ref().clone()
                };
                audit_log::insert(connection, &row).await?;
                Ok(true)
            })
        })
        .await
}

fn event_of(context: &OpContext, core: &Core, event: CoreEvent, user_id: UserId) -> AuditRow {
    let (now, rng) = (core.clock.now(), core.rng.as_ref());
    let row = AuditRow::success(event, &context.cause(), Some(user_id.as_uuid()), now, rng);
    audit::with_origin(context, row)
}
