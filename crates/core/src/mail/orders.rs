//! Ordering mails: in the transaction of the act that causes them, or not at all.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use clm_domain::clock::Rng;
use clm_domain::ids::{InvitationId, NotificationId, OrganizationId, UserId};
use clm_domain::states::MailPurpose;
use serde_json::json;
use sqlx::PgConnection;

use super::letters::{self, Circumstances};
use crate::Core;
use crate::context::OpContext;
use crate::store::mail_accounts::{self, MailAccount};
use crate::store::notifications::{self, NewEmail};

/// Most mails of one purpose that a user gets within a minute.
const PER_MINUTE_MAX: i64 = 1;
/// The same within a day.
const PER_DAY_MAX: i64 = 5;

/// Orders mails for one request; to be had only where mail is set up.
#[derive(Clone)]
pub(crate) struct MailOrders {
    rng: Arc<dyn Rng>,
    now: DateTime<Utc>,
    ip_address: Option<String>,
    public_url: String,
}

/// Tells a user at the verified address, if there is one, that the password is another one. In the
/// transaction that changed it; says nothing where mail is not set up.
///
/// # Errors
/// Those of the statements.
pub(crate) async fn tell_of_new_password(
    connection: &mut PgConnection,
    orders: Option<&MailOrders>,
    user_id: UserId,
) -> sqlx::Result<()> {
    let Some(orders) = orders else { return Ok(()) };
    let Some(account) = mail_accounts::lock(connection, user_id).await? else {
        return Ok(());
    };
    if account.refusal().is_some() || account.email_verified_at.is_none() {
        return Ok(());
    }
    let purpose = MailPurpose::PasswordChanged;
    orders.order_for(connection, purpose, &account).await
}

/// Whom a mail is for.
pub(crate) enum Addressee<'a> {
    /// A user, at an address that was the user's when it was ordered.
    User {
        /// The user.
        user_id: UserId,
        /// The name to sign in with.
        username: &'a str,
        /// The address.
        email: &'a str,
    },
    /// Whoever is invited.
    Invited {
        /// The invitation.
        invitation_id: InvitationId,
        /// The address.
        email: &'a str,
    },
}

impl MailOrders {
    /// For a request, if mail is set up.
    pub(crate) fn of(context: &OpContext, core: &Core, now: DateTime<Utc>) -> Option<Self> {
        let settings = core.settings.mail.as_ref()?;
        Some(Self {
            rng: Arc::clone(&core.rng),
            now,
            ip_address: context.request.ip_address.clone(),
            public_url: settings.public_url.clone(),
        })
    }

    /// Orders a mail in the name of an organization: the home of a user, or the one that invites. It is
    /// in the scope of the transaction.
    ///
    /// # Errors
    /// Those of the statements.
    pub(crate) async fn order(
        &self,
        connection: &mut PgConnection,
        purpose: MailPurpose,
        organization_id: OrganizationId,
        addressee: &Addressee<'_>,
    ) -> sqlx::Result<()> {
        let name = notifications::find_organization_name(connection, organization_id).await?;
        let (user_id, username, email, payload) = match addressee {
            Addressee::User {
                user_id,
                username,
                email,
            } => (Some(*user_id), Some(*username), *email, json!({})),
            Addressee::Invited {
                invitation_id,
                email,
            } => (
                None,
                None,
                *email,
                json!({ "invitation_id": invitation_id }),
            ),
        };
        let body = letters::body(
            purpose,
            &Circumstances {
                username,
                organization_name: name.as_deref().unwrap_or_default(),
                ip_address: self.ip_address.as_deref(),
                at: self.now,
                public_url: &self.public_url,
            },
        );
        let email = NewEmail {
            notification_id: NotificationId::generate(self.now, self.rng.as_ref()),
            organization_id,
            purpose,
            user_id,
            recipient: email,
            subject: letters::subject(purpose),
            body: &body,
            payload,
            created_at: self.now,
        };
        notifications::insert_email(connection, &email).await
    }

    /// Orders a mail to the address that a user has, if there is one.
    ///
    /// # Errors
    /// Those of the statements.
    pub(crate) async fn order_for(
        &self,
        connection: &mut PgConnection,
        purpose: MailPurpose,
        account: &MailAccount,
    ) -> sqlx::Result<()> {
        let Some(email) = account.email.as_deref() else {
            return Ok(());
        };
        let addressee = Addressee::User {
            user_id: account.user_id,
            username: &account.username,
            email,
        };
        let home = account.home_organization_id;
        self.order(connection, purpose, home, &addressee).await
    }

    /// Whether a user, whose row is locked, got as many mails of this purpose as one may get.
    ///
    /// # Errors
    /// Those of the statement.
    pub(crate) async fn are_too_many(
        &self,
        connection: &mut PgConnection,
        purpose: MailPurpose,
        user_id: UserId,
    ) -> sqlx::Result<bool> {
        let minute = self.now - Duration::minutes(1);
        let day = self.now - Duration::days(1);
        let of = (user_id, purpose);
        let (lately, today) = notifications::count_emails(connection, of, (minute, day)).await?;
        Ok(lately >= PER_MINUTE_MAX || today >= PER_DAY_MAX)
    }
}
