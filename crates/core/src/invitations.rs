//! Invitations: how users of other organizations become members of the active one.
//!
//! Whoever invites names an address, and perhaps a role that gives nothing beyond the own rights. The
//! token goes to the address by mail, or where none can be sent stands in the answer, once; whoever signs
//! in anywhere and presents it becomes a member. Whether
//! the inviter still could give the role is asked again at that moment.

mod acceptance;

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use clm_database::Scope;
use clm_database::transaction::Abort;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::clock::whole_milliseconds;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{InvitationId, OrganizationId, RoleId, UserId};
use clm_domain::permission::{Action, Resource};
use clm_domain::secret::SecretString;
use clm_domain::states::MailPurpose;
use serde_json::json;

use crate::access::{self, Target};
use crate::authentication::credential;
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::mail::orders::{Addressee, MailOrders};
use crate::page::{Page, PageRequest};
use crate::role_assignments::check_gift;
use crate::store::{audit_log, invitations};
use crate::{Core, audit, step_up, users};

pub use acceptance::{Joined, accept};

/// How long an invitation can be accepted, in days.
const VALID_DAYS: i64 = 7;
/// Most invitations of one organization that can still be accepted.
const OPEN_MAX: i64 = 1_000;

/// Asks for an invitation.
#[derive(Clone, Debug)]
pub struct NewInvitation {
    /// The address of whoever is invited.
    pub email: String,
    /// A role that the new member shall have, without an end.
    pub role_id: Option<RoleId>,
}

/// An invitation that was just made.
#[derive(Clone, Debug)]
pub struct CreatedInvitation {
    /// Its description.
    pub record: InvitationRecord,
    /// What accepts it, shown once; absent where it goes by mail.
    pub token: Option<SecretString>,
}

/// An invitation without its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationRecord {
    /// The invitation.
    pub invitation_id: InvitationId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The address of whoever is invited.
    pub email: String,
    /// The role that the new member shall have.
    pub role_id: Option<RoleId>,
    /// Who invited; absent for the operator of the machine.
    pub invited_by_user_id: Option<UserId>,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
    /// When it was accepted.
    pub accepted_at: Option<DateTime<Utc>>,
    /// Who accepted it.
    pub accepted_by_user_id: Option<UserId>,
    /// When it was taken back.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Invites somebody into the active organization.
///
/// # Errors
/// `Invalid`, naming `email`; `NotFound` for a role that is not visible; `PolicyViolation`
/// with code `permissions_beyond_rights` for a role that gives more than the actor has; `Conflict` with
/// code `too_many_invitations`; `Forbidden` for one with a role without a good step-up proof; those of [`access::authorize`] and of the database.
pub async fn create(
    context: &OpContext,
    core: &Core,
    new: NewInvitation,
) -> Result<CreatedInvitation> {
    let target = Target::kind(context, Resource::Membership);
    access::authorize(context, core, Action::Create, target).await?;
    if new.role_id.is_some() {
        let target = Target::kind(context, Resource::RoleAssignment);
        access::authorize(context, core, Action::Create, target).await?;
    }
    let email = users::check_email(&new.email)?;
    let now = whole_milliseconds(core.clock.now());
    let orders = MailOrders::of(context, core, now);
    let token = match orders {
        Some(_) => None,
        None => Some(credential::new_token(core.rng.as_ref())),
    };
    let record = InvitationRecord {
        invitation_id: InvitationId::generate(now, core.rng.as_ref()),
        organization_id: context.organization_id,
        email,
        role_id: new.role_id,
        invited_by_user_id: context.actor.user_id(),
        expires_at: now + Duration::days(VALID_DAYS),
        accepted_at: None,
        accepted_by_user_id: None,
        revoked_at: None,
        created_at: now,
    };
    let row = event(context, core, CoreEvent::InvitationCreated, &record);
    let creation = Arc::new(Creation {
        token_sha256: token.as_ref().map(|token| credential::hash(token.expose())),
        orders,
        email_normalized: users::normalized(&record.email),
        context: context.clone(),
        audit: row,
        record,
    });
    let scope = Scope::Organization(context.organization_id);
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("invitations::create", scope, |connection| {
            let creation = Arc::clone(&creation);
            Box::pin(async move { insert(connection, &creation).await })
        })
        .await;
    let mut row = creation.audit.clone();
    row.resource_id = None;
    audit::refusal(context, core, &row, outcome).await?;
    Ok(CreatedInvitation {
        record: creation.record.clone(),
        token,
    })
}

/// All of a new invitation.
struct Creation {
    record: InvitationRecord,
    email_normalized: String,
    /// Absent where a mail brings the token.
    token_sha256: Option<credential::CredentialHash>,
    orders: Option<MailOrders>,
    context: OpContext,
    audit: AuditRow,
}

async fn insert(
    connection: &mut sqlx::PgConnection,
    creation: &Creation,
) -> std::result::Result<(), Abort<CoreError>> {
    let record = &creation.record;
    let organization_id = record.organization_id;
    if let Some(role_id) = record.role_id {
        check_gift(
            connection,
            (organization_id, role_id),
            &creation.context.permissions,
        )
        .await?;
    }
    invitations::lock(connection, organization_id).await?;
    let open = invitations::count_open(connection, organization_id, record.created_at).await?;
    if open >= OPEN_MAX {
        return Err(Abort::Caller(too_many()));
    }
    if record.role_id.is_some() {
        let right = (Action::Create, Resource::RoleAssignment);
        step_up::require(connection, &creation.context, right, record.created_at).await?;
    }
    let token_sha256 = creation.token_sha256.as_ref();
    let secrets = (creation.email_normalized.as_str(), token_sha256);
    invitations::insert(connection, record, secrets).await?;
    if let Some(orders) = &creation.orders {
        let invited = Addressee::Invited {
            invitation_id: record.invitation_id,
            email: &record.email,
        };
        let purpose = MailPurpose::Invitation;
        orders
            .order(connection, purpose, organization_id, &invited)
            .await?;
    }
    Ok(audit_log::insert(connection, &creation.audit).await?)
}

fn too_many() -> CoreError {
    let message = format!(
        "The organization has {OPEN_MAX} invitations that nobody has accepted yet. Take some of them \
         back first."
    );
    Fault::new(ErrorKind::Conflict, "too_many_invitations", message).into()
}

/// The invitations of the active organization, newest first; those that are over too.
///
/// # Errors
/// Those of [`access::authorize`] and of the database.
pub async fn list(
    context: &OpContext,
    core: &Core,
    page: PageRequest,
) -> Result<Page<InvitationRecord>> {
    let target = Target::kind(context, Resource::Membership);
    access::authorize(context, core, Action::List, target).await?;
    let organization_id = context.organization_id;
    let mut transaction = core
        .pool
        .begin(Scope::Organization(organization_id))
        .await?;
    let part = (page.after, page.rows_to_read());
    let rows = invitations::list(&mut transaction, organization_id, part)
        .await
        .map_err(|error| core.pool.statement_error(error))?;
    Ok(page.page(rows, |invitation| invitation.invitation_id.as_uuid()))
}

/// Takes an invitation of the active organization back. Doing so again changes nothing.
///
/// # Errors
/// `Conflict` with code `invitation_accepted` when it is too late; `NotFound` for unknown and foreign
/// ids alike; those of [`access::authorize`] and of the database.
pub async fn revoke(context: &OpContext, core: &Core, invitation_id: InvitationId) -> Result<()> {
    let target = Target::kind(context, Resource::Membership);
    access::authorize(context, core, Action::Delete, target).await?;
    let organization_id = context.organization_id;
    let mut transaction = core
        .pool
        .begin(Scope::Organization(organization_id))
        .await?;
    let record = invitations::find(&mut transaction, organization_id, invitation_id)
        .await
        .map_err(|error| core.pool.statement_error(error))?
        .ok_or_else(not_found)?;
    drop(transaction);
    let now = core.clock.now();
    let row = Arc::new(event(context, core, CoreEvent::InvitationRevoked, &record));
    let scope = Scope::Organization(organization_id);
    let outcome = core
        .pool
        .transact::<_, CoreError, _>("invitations::revoke", scope, |connection| {
            let row = Arc::clone(&row);
            Box::pin(async move {
                let named = (organization_id, invitation_id);
                if invitations::revoke(connection, named, now).await? {
                    return Ok(audit_log::insert(connection, &row).await?);
                }
                let found = invitations::find(connection, organization_id, invitation_id).await?;
                match found {
                    Some(found) if found.accepted_at.is_some() => Err(Abort::Caller(accepted())),
                    _ => Ok(()),
                }
            })
        })
        .await;
    audit::refusal(context, core, &row, outcome).await
}

fn event(
    context: &OpContext,
    core: &Core,
    what: CoreEvent,
    invitation: &InvitationRecord,
) -> AuditRow {
    let resource_id = Some(invitation.invitation_id.as_uuid());
    let (now, rng) = (core.clock.now(), core.rng.as_ref());
    let row =
        AuditRow::success(what, &context.cause(), resource_id, now, rng).with_details(json!({
            "email": invitation.email, "role_id": invitation.role_id,
            "expires_at": invitation.expires_at,
        }));
    audit::with_origin(context, row)
}

fn accepted() -> CoreError {
    let message = "The invitation was accepted. Remove the member instead.";
    Fault::new(ErrorKind::Conflict, "invitation_accepted", message).into()
}

fn not_found() -> CoreError {
    Fault::not_found("invitation").into()
}
