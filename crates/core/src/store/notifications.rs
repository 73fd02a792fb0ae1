//! Rows of `notifications`: so far those of channel `email`, which are the queue of mails.

use chrono::{DateTime, Utc};
use clm_domain::ids::{InvitationId, NotificationId, OrganizationId, UserId};
use clm_domain::states::MailPurpose;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::parse_stored;

/// A mail that is ordered.
pub(crate) struct NewEmail<'a> {
    pub(crate) notification_id: NotificationId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) purpose: MailPurpose,
    pub(crate) user_id: Option<UserId>,
    pub(crate) recipient: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) body: &'a str,
    pub(crate) payload: Value,
    pub(crate) created_at: DateTime<Utc>,
}

/// Orders a mail of an organization in scope, due at once.
pub(crate) async fn insert_email(
    connection: &mut PgConnection,
    email: &NewEmail<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- notifications::insert_email
        INSERT INTO notifications (
            id, organization_id, notification_type, channel, recipient_user_id, recipient, subject,
            body, payload, next_attempt_at, created_at, updated_at)
        VALUES ($1, $2, $3, 'email', $4, $5, $6, $7, $8, $9, $9, $9)",
        email.notification_id.as_uuid(),
        email.organization_id.as_uuid(),
        email.purpose.as_str(),
        email.user_id.map(Uuid::from),
        email.recipient,
        email.subject,
        email.body,
        email.payload,
        email.created_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The name of an organization in scope.
pub(crate) async fn find_organization_name(
    connection: &mut PgConnection,
    organization_id: OrganizationId,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "-- notifications::find_organization_name
        SELECT name FROM organizations WHERE id = $1",
        organization_id.as_uuid(),
    )
    .fetch_optional(connection)
    .await
}

/// How many mails of one purpose were ordered for a user since the first moment, and since the second,
/// earlier one (system scope).
pub(crate) async fn count_emails(
    connection: &mut PgConnection,
    (user_id, purpose): (UserId, MailPurpose),
    (later, earlier): (DateTime<Utc>, DateTime<Utc>),
) -> sqlx::Result<(i64, i64)> {
    let row = sqlx::query!(
        r#"-- notifications::count_emails
        SELECT count(*) FILTER (WHERE created_at > $3) AS "lately!", count(*) AS "all!"
        FROM notifications
        WHERE recipient_user_id = $1 AND notification_type = $2 AND created_at > $4"#,
        user_id.as_uuid(),
        purpose.as_str(),
        later,
        earlier,
    )
    .fetch_one(connection)
    .await?;
    Ok((row.lately, row.all))
}

/// A mail that whoever claimed it may deliver until the lease ends.
#[derive(Clone, Debug)]
pub(crate) struct ClaimedEmail {
    pub(crate) notification_id: NotificationId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) purpose: MailPurpose,
    pub(crate) user_id: Option<UserId>,
    pub(crate) invitation_id: Option<InvitationId>,
    pub(crate) recipient: String,
    pub(crate) subject: String,
    pub(crate) body: String,
    /// Which delivery this is, from one on. Of two that take each other for dead one has a higher number.
    pub(crate) attempt: i32,
}

/// Claims mails that are due, or whose sender went silent (system scope).
pub(crate) async fn claim_emails(
    connection: &mut PgConnection,
    (now, lease_until): (DateTime<Utc>, DateTime<Utc>),
    limit: i64,
) -> sqlx::Result<Vec<ClaimedEmail>> {
    let rows = sqlx::query!(
        r#"-- notifications::claim_emails
        UPDATE notifications
        SET status = 'sending', attempts = attempts + 1, next_attempt_at = $2
        WHERE id IN (
            SELECT id FROM notifications
            WHERE status IN ('pending', 'sending') AND deleted_at IS NULL AND next_attempt_at <= $1
                AND channel = 'email'
            ORDER BY next_attempt_at, id
            LIMIT $3
            FOR UPDATE SKIP LOCKED)
        RETURNING id, organization_id, notification_type, recipient_user_id,
            (payload ->> 'invitation_id')::uuid AS invitation_id,
            coalesce(recipient, '') AS "recipient!", subject, body, attempts"#,
        now,
        lease_until,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let claimed = rows.into_iter().map(|row| {
        Ok(ClaimedEmail {
            notification_id: NotificationId::from_uuid(row.id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            purpose: parse_stored(&row.notification_type)?,
            user_id: row.recipient_user_id.map(UserId::from_uuid),
            invitation_id: row.invitation_id.map(InvitationId::from_uuid),
            recipient: row.recipient,
            subject: row.subject,
            body: row.body,
            attempt: row.attempts,
        })
    });
    claimed.collect()
}

/// Whether a delivery still has its mail, which nobody else takes until the end of the transaction
/// (system scope).
pub(crate) async fn lock_claimed(
    connection: &mut PgConnection,
    (notification_id, attempt): (NotificationId, i32),
) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "-- notifications::lock_claimed
        SELECT id FROM notifications WHERE id = $1 AND status = 'sending' AND attempts = $2
        FOR NO KEY UPDATE",
        notification_id.as_uuid(),
        attempt,
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

/// What a delivery came to.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// `sent`, `failed`, `cancelled`, or `pending` for another attempt.
    pub(crate) status: &'static str,
    pub(crate) error: Option<String>,
    /// When the next attempt is due; for those that are over, now.
    pub(crate) next_attempt_at: DateTime<Utc>,
    pub(crate) sent_at: Option<DateTime<Utc>>,
}

/// Ends a delivery (system scope). Returns whether it still had its mail: a later one may have taken it.
pub(crate) async fn end_delivery(
    connection: &mut PgConnection,
    (notification_id, attempt): (NotificationId, i32),
    outcome: &Outcome,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- notifications::end_delivery
        UPDATE notifications
        SET status = $3, last_error = $4, next_attempt_at = $5, sent_at = $6
        WHERE id = $1 AND status = 'sending' AND attempts = $2",
        notification_id.as_uuid(),
        attempt,
        outcome.status,
        outcome.error,
        outcome.next_attempt_at,
        outcome.sent_at,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
