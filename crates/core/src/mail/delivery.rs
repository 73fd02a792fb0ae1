//! Delivering what was ordered: claim, make the token, store its hash, send, say what came of it.
//!
//! A claim is a lease. Whoever dies with one is followed by another when it ends, and whoever comes back
//! from the dead after that ends nothing. What makes a mail pointless is asked again just before it
//! leaves: an address that is no longer the user's gets no link.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use clm_connectors::notify::email::{Email, SEND_TIMEOUT, SendError};
use clm_database::{DatabaseError, Scope};
use clm_domain::ids::OneTimeLinkId;
use clm_domain::secret::SecretString;
use clm_domain::states::{MailPurpose, OneTimeLinkPurpose};
use sqlx::PgConnection;
use tokio::task::JoinSet;

use super::{MailSettings, letters};
use crate::Core;
use crate::authentication::credential::{self, CredentialHash};
use crate::error::{CoreError, Result};
use crate::store::notifications::{self, ClaimedEmail, Outcome};
use crate::store::one_time_links::{self, NewLink};
use crate::store::{invitations, mail_accounts};

/// Most mails that are sent at once.
const BATCH_MAX: i64 = 8;
/// How long a claim holds, in seconds; longer than a mail may take.
const LEASE_SECONDS: i64 = 120;
/// Most deliveries of one mail.
const ATTEMPTS_MAX: i32 = 14;
/// The first pause between two deliveries, in seconds; each further one is twice as long.
const PAUSE_SECONDS_FIRST: i64 = 5;
/// The longest pause, in seconds.
const PAUSE_SECONDS_MAX: i64 = 60 * 60;
/// How long a link works by which one chooses a new password.
const RESET_VALID: Duration = Duration::hours(1);
/// How long a link works by which one verifies an address.
const VERIFICATION_VALID: Duration = Duration::days(1);

const _: () = assert!(
    LEASE_SECONDS.cast_unsigned() > SEND_TIMEOUT.as_secs() + 30,
    "a claim must outlive a delivery"
);

const SCOPE: Scope = Scope::System("mails of all organizations leave by one queue");

/// Delivers some of the mails that are due. Returns how many; none where mail is not set up.
///
/// # Errors
/// Those of the database; the next round goes on.
pub async fn deliver(core: &Arc<Core>) -> Result<usize> {
    let Some(settings) = &core.settings.mail else {
        return Ok(0);
    };
    let now = core.clock.now();
    let lease = (now, now + Duration::seconds(LEASE_SECONDS));
    let claimed = core
        .pool
        .transact::<_, DatabaseError, _>("mail::claim", SCOPE, |connection| {
            Box::pin(
                async move { Ok(notifications::claim_emails(connection, lease, BATCH_MAX).await?) },
            )
        })
        .await?;
    let count = claimed.len();
    let mut deliveries = JoinSet::new();
    for email in claimed {
        let (core, settings) = (Arc::clone(core), settings.clone());
        deliveries.spawn(async move { deliver_one(&core, &settings, Arc::new(email)).await });
    }
    let mut outcome = Ok(count);
    while let Some(delivered) = deliveries.join_next().await {
        match delivered {
            Ok(Ok(())) => {}
            Ok(Err(error)) => outcome = Err(error),
            Err(error) => outcome = Err(CoreError::internal(&error)),
        }
    }
    outcome
}

/// What is left to do with a claimed mail.
enum Prepared {
    /// This text leaves.
    Send(SecretString),
    /// There is no use in it any more.
    Cancel(&'static str),
    /// A later delivery has it.
    Lost,
}

async fn deliver_one(core: &Core, settings: &MailSettings, email: Arc<ClaimedEmail>) -> Result<()> {
    let body = match prepare(core, settings, &email).await? {
        Prepared::Send(body) => body,
        Prepared::Cancel(reason) => {
            return end(
                core,
                &email,
                over("cancelled", Some(reason.to_owned()), core),
            )
            .await;
        }
        Prepared::Lost => return Ok(()),
    };
    // With the number of the delivery: two texts with different links are two messages.
    let id = format!("{}.{}", email.notification_id, email.attempt);
    let message = Email {
        id: &id,
        to: &email.recipient,
        subject: &email.subject,
        body: &body,
        date: core.clock.now().into(),
    };
    let outcome = match settings.mailer.send(&message).await {
        Ok(()) => over("sent", None, core),
        Err(SendError::Permanent(reason)) => over("failed", Some(reason), core),
        Err(SendError::Temporary(reason)) => again(&email, reason, core.clock.now()),
    };
    end(core, &email, outcome).await
}

fn over(status: &'static str, error: Option<String>, core: &Core) -> Outcome {
    let now = core.clock.now();
    Outcome {
        status,
        error,
        next_attempt_at: now,
        sent_at: (status == "sent").then_some(now),
    }
}

/// Another attempt, unless there were enough.
fn again(email: &ClaimedEmail, reason: String, now: DateTime<Utc>) -> Outcome {
    let status = match email.attempt < ATTEMPTS_MAX {
        true => "pending",
        false => "failed",
    };
    Outcome {
        status,
        error: Some(reason),
        next_attempt_at: now + pause_after(email.attempt),
        sent_at: None,
    }
}

/// How long to wait after so many deliveries.
fn pause_after(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or_default();
    let seconds = 2_i64
        .checked_pow(doublings)
        .and_then(|factor| factor.checked_mul(PAUSE_SECONDS_FIRST))
        .map_or(PAUSE_SECONDS_MAX, |seconds| seconds.min(PAUSE_SECONDS_MAX));
    Duration::seconds(seconds)
}

/// Says what came of a delivery.
async fn end(core: &Core, email: &ClaimedEmail, outcome: Outcome) -> Result<()> {
    metrics::counter!("clm_mails_total", "outcome" => outcome.status).increment(1);
    if let Some(reason) = &outcome.error {
        tracing::warn!(notification.id = %email.notification_id,
            notification.type = %email.purpose, notification.status = outcome.status,
            error.detail = %reason, "a mail was not delivered");
    }
    let named = (email.notification_id, email.attempt);
    let outcome = Arc::new(outcome);
    let ended = core
        .pool
        .transact::<_, DatabaseError, _>("mail::end", SCOPE, |connection| {
            let outcome = Arc::clone(&outcome);
            Box::pin(
                async move { Ok(notifications::end_delivery(connection, named, &outcome).await?) },
            )
        })
        .await?;
    if !ended {
        tracing::warn!(notification.id = %email.notification_id,
            "a mail took longer than its lease and may have been sent twice");
    }
    Ok(())
}

/// A token that leaves with a mail, and what is stored of it.
struct Leaving {
    email: Arc<ClaimedEmail>,
    link_id: OneTimeLinkId,
    token_sha256: CredentialHash,
    now: DateTime<Utc>,
}

/// Makes the token and stores its hash, if the mail is still of use.
async fn prepare(
    core: &Core,
    settings: &MailSettings,
    email: &Arc<ClaimedEmail>,
) -> Result<Prepared> {
    let now = core.clock.now();
    let token = credential::new_link_token(core.rng.as_ref());
    let leaving = Arc::new(Leaving {
        email: Arc::clone(email),
        link_id: OneTimeLinkId::generate(now, core.rng.as_ref()),
        token_sha256: credential::hash(token.expose()),
        now,
    });
    let refusal = core
        .pool
        .transact::<_, DatabaseError, _>("mail::prepare", SCOPE, |connection| {
            let leaving = Arc::clone(&leaving);
            Box::pin(async move { Ok(leave(connection, &leaving).await?) })
        })
        .await?;
    Ok(match refusal {
        Err(Gone::Lost) => Prepared::Lost,
        Err(Gone::Pointless(reason)) => Prepared::Cancel(reason),
        Ok(()) => Prepared::Send(text(settings, email, &token)),
    })
}

fn text(settings: &MailSettings, email: &ClaimedEmail, token: &SecretString) -> SecretString {
    let Some(page) = letters::page(email.purpose) else {
        return SecretString::new(email.body.clone());
    };
    let (url, token) = (&settings.public_url, token.expose());
    let link = SecretString::new(format!("{url}/account/{page}#token={token}"));
    SecretString::new(letters::with_link(&email.body, link.expose()))
}

/// Why a mail does not leave.
enum Gone {
    Lost,
    Pointless(&'static str),
}

async fn leave(
    connection: &mut PgConnection,
    leaving: &Leaving,
) -> sqlx::Result<std::result::Result<(), Gone>> {
    let email = &leaving.email;
    let named = (email.notification_id, email.attempt);
    if !notifications::lock_claimed(connection, named).await? {
        return Ok(Err(Gone::Lost));
    }
    if let Some(purpose) = letters::link_purpose(email.purpose) {
        return leave_with_link(connection, leaving, purpose).await;
    }
    if email.purpose != MailPurpose::Invitation {
        return Ok(Ok(()));
    }
    let Some(invitation_id) = email.invitation_id else {
        return Ok(Err(Gone::Pointless("it names no invitation")));
    };
    let named = (email.organization_id, invitation_id);
    let token = (&leaving.token_sha256, leaving.now);
    Ok(
        match invitations::replace_token(connection, named, token).await? {
            true => Ok(()),
            false => Err(Gone::Pointless("the invitation is over")),
        },
    )
}

async fn leave_with_link(
    connection: &mut PgConnection,
    leaving: &Leaving,
    purpose: OneTimeLinkPurpose,
) -> sqlx::Result<std::result::Result<(), Gone>> {
    let email = &leaving.email;
    let account = match email.user_id {
        Some(user_id) => mail_accounts::lock(connection, user_id).await?,
        None => None,
    };
    let Some(account) = account else {
        return Ok(Err(Gone::Pointless("the user is gone")));
    };
    if account.email.as_deref() != Some(email.recipient.as_str()) {
        return Ok(Err(Gone::Pointless("the user has another address")));
    }
    let (refusal, valid) = match purpose {
        OneTimeLinkPurpose::ResetPassword => (account.reset_refusal(), RESET_VALID),
        OneTimeLinkPurpose::VerifyEmail => (account.refusal(), VERIFICATION_VALID),
    };
    if let Some(reason) = refusal {
        return Ok(Err(Gone::Pointless(reason)));
    }
    if purpose == OneTimeLinkPurpose::VerifyEmail && account.email_verified_at.is_some() {
        return Ok(Err(Gone::Pointless("the address is verified")));
    }
    let link = NewLink {
        link_id: leaving.link_id,
        organization_id: account.home_organization_id,
        user_id: account.user_id,
        purpose,
        token_sha256: &leaving.token_sha256,
        email: &email.recipient,
        expires_at: leaving.now + valid,
        created_at: leaving.now,
    };
    one_time_links::replace(connection, &link).await?;
    Ok(Ok(()))
}

#[cfg(test)]
mod tests;
