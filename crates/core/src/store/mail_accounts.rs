//! Rows of `users` as mail needs them, in the System scope.

use chrono::{DateTime, Utc};
use clm_domain::ids::{OrganizationId, UserId};
use clm_domain::states::{OrganizationStatus, UserStatus, UserType};
use sqlx::PgConnection;

use super::parse_stored;

/// Whether, and where, a user gets mail.
#[derive(Clone, Debug)]
pub(crate) struct MailAccount {
    pub(crate) user_id: UserId,
    pub(crate) home_organization_id: OrganizationId,
    pub(crate) home_status: OrganizationStatus,
    pub(crate) username: String,
    pub(crate) email: Option<String>,
    pub(crate) email_verified_at: Option<DateTime<Utc>>,
    pub(crate) user_type: UserType,
    pub(crate) status: UserStatus,
    pub(crate) has_password: bool,
}

/// Whom somebody means who has forgotten the password: the user of this name, else the one with this
/// verified address; of several, the one whose home organization is the oldest, as at a sign-in.
pub(crate) async fn find_named(
    connection: &mut PgConnection,
    name_normalized: &str,
    organization_slug: Option<&str>,
) -> sqlx::Result<Option<UserId>> {
    let found = sqlx::query_scalar!(
        r#"-- mail_accounts::find_named
        SELECT named.id AS "id!"
        FROM (
            SELECT u.id, u.home_organization_id, 0 AS precedence
            FROM users u
            WHERE u.username_normalized = $1 AND u.deleted_at IS NULL
            UNION ALL
            SELECT u.id, u.home_organization_id, 1
            FROM users u
            WHERE u.email_normalized = $1 AND u.deleted_at IS NULL
                AND u.email_verified_at IS NOT NULL) AS named
        JOIN organizations o ON o.id = named.home_organization_id AND o.deleted_at IS NULL
        WHERE $2::text IS NULL OR o.slug = $2
        ORDER BY named.precedence, o.created_at, o.id, named.id
        LIMIT 1"#,
        name_normalized,
        organization_slug,
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(UserId::from_uuid))
}

/// A live user, whom nobody else changes until the end of the transaction.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    user_id: UserId,
) -> sqlx::Result<Option<MailAccount>> {
    let row = sqlx::query!(
        r#"-- mail_accounts::lock
        SELECT u.id, u.home_organization_id, o.status AS home_status, u.username, u.email,
            u.email_verified_at, u.user_type, u.status,
            u.password_hash IS NOT NULL AS "has_password!"
        FROM users u
        JOIN organizations o ON o.id = u.home_organization_id AND o.deleted_at IS NULL
        WHERE u.id = $1 AND u.deleted_at IS NULL
        FOR NO KEY UPDATE OF u"#,
        user_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(MailAccount {
            user_id: UserId::from_uuid(row.id),
            home_organization_id: OrganizationId::from_uuid(row.home_organization_id),
            home_status: parse_stored(&row.home_status)?,
            username: row.username,
            email: row.email,
            email_verified_at: row.email_verified_at,
            user_type: parse_stored(&row.user_type)?,
            status: parse_stored(&row.status)?,
            has_password: row.has_password,
        })
    })
    .transpose()
}

/// Marks the address of a user whose row is locked as verified.
pub(crate) async fn update_verified(
    connection: &mut PgConnection,
    user_id: UserId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- mail_accounts::update_verified
        UPDATE users SET email_verified_at = $2, revision = revision + 1 WHERE id = $1",
        user_id.as_uuid(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl MailAccount {
    /// Why the user gets no mail at all, if so.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        if self.user_type != UserType::Person {
            return Some("service_account");
        }
        if self.status != UserStatus::Active {
            return Some("user_not_active");
        }
        if self.home_status == OrganizationStatus::Inactive {
            return Some("organization_inactive");
        }
        None
    }

    /// Why the user gets no link for a new password, if so.
    pub(crate) fn reset_refusal(&self) -> Option<&'static str> {
        if let Some(reason) = self.refusal() {
            return Some(reason);
        }
        if self.email.is_none() || self.email_verified_at.is_none() {
            return Some("email_not_verified");
        }
        if !self.has_password {
            return Some("no_password");
        }
        None
    }
}
