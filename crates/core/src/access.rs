//! The one authorization function. Every use case asks it, for every id that a request refers to.
//! No feature, flag or environment variable turns it off.

pub mod explanation;

use clm_domain::actor::Actor;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, SYSTEM_ORGANIZATION, UserId};
use clm_domain::permission::{Action, Resource};
use serde_json::json;
use uuid::Uuid;

use crate::context::{OpContext, Owed};
use crate::error::{CoreError, Result};
use crate::{Core, audit};

/// What an act concerns.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The kind of object.
    pub resource: Resource,
    /// The organization that owns it; the actor's own for lists and new objects.
    pub organization_id: OrganizationId,
    /// The object, where it exists.
    pub id: Option<Uuid>,
    /// Whose it is, for objects that belong to one person: sessions and API keys.
    pub owner: Option<UserId>,
}

impl Target {
    /// All objects of a kind in the actor's organization: lists, and objects not yet made.
    pub const fn kind(context: &OpContext, resource: Resource) -> Self {
        Self {
            resource,
            organization_id: context.organization_id,
            id: None,
            owner: None,
        }
    }

    /// What there is one of in the whole installation.
    pub const fn installation(resource: Resource) -> Self {
        Self {
            resource,
            organization_id: SYSTEM_ORGANIZATION,
            id: None,
            owner: None,
        }
    }

    /// One object.
    pub const fn object(resource: Resource, organization_id: OrganizationId, id: Uuid) -> Self {
        Self {
            resource,
            organization_id,
            id: Some(id),
            owner: None,
        }
    }

    /// The same object, belonging to one person.
    #[must_use]
    pub const fn owned_by(mut self, owner: UserId) -> Self {
        self.owner = Some(owner);
        self
    }
}

/// Why an act is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denial {
    /// Nobody is authenticated.
    Unauthenticated,
    /// The object is another organization's: it must look as if it did not exist.
    Foreign,
    /// The right is missing.
    Missing,
    /// The session owes something first.
    Owes(Owed),
    /// The right is held, but not in the System organization.
    Elsewhere,
}

impl Denial {
    /// What the audit log says of a refusal.
    const fn code(self) -> &'static str {
        match self {
            Self::Owes(owed) => owed.code(),
            Self::Elsewhere => SYSTEM_ORGANIZATION_ONLY,
            Self::Missing | Self::Unauthenticated | Self::Foreign => PERMISSION_MISSING,
        }
    }
}

/// The code of [`Denial::Missing`].
const PERMISSION_MISSING: &str = "permission_missing";
/// The code of [`Denial::Elsewhere`].
const SYSTEM_ORGANIZATION_ONLY: &str = "system_organization_only";

/// Allows `action` on `target`, or says no: unknown caller `Unauthenticated`, right missing
/// `Forbidden` (and audited), another organization's object `NotFound`.
///
/// # Errors
/// As above; `Upstream` when the refusal cannot be recorded.
pub async fn authorize(
    context: &OpContext,
    core: &Core,
    action: Action,
    target: Target,
) -> Result<()> {
    match decide(context, action, &target) {
        Ok(()) => Ok(()),
        Err(Denial::Unauthenticated) => Err(unauthenticated()),
        Err(Denial::Foreign) => Err(Fault::not_found(noun(target.resource)).into()),
        Err(denial) => {
            record_denial(context, core, action, &target, denial.code()).await?;
            Err(forbidden(denial, action, target.resource))
        }
    }
}

/// Allows `action` on objects of any organization, which is a right of the System organization.
///
/// # Errors
/// As [`authorize`]; `Forbidden` with code `system_organization_only` (and audited) for whoever acts
/// elsewhere.
pub async fn authorize_across(
    context: &OpContext,
    core: &Core,
    action: Action,
    resource: Resource,
) -> Result<()> {
    let target = Target::kind(context, resource);
    authorize(context, core, action, target).await?;
    if acts_from_system(context) {
        return Ok(());
    }
    record_denial(context, core, action, &target, SYSTEM_ORGANIZATION_ONLY).await?;
    Err(forbidden(Denial::Elsewhere, action, resource))
}

/// Whether the actor acts from the System organization, whose rights reach into all others.
pub(crate) fn acts_from_system(context: &OpContext) -> bool {
    context.organization_id == SYSTEM_ORGANIZATION || context.actor == Actor::System
}

/// Whether the actor holds a right in the active organization, where the answer depends on it and
/// nothing is refused.
pub(crate) fn holds(context: &OpContext, action: Action, resource: Resource) -> bool {
    decide(context, action, &Target::kind(context, resource)).is_ok()
}

/// Allows what anybody may do about oneself, whatever rights there are.
///
/// # Errors
/// `Unauthenticated` for nobody; `Forbidden` while the session owes something.
pub(crate) fn require_identity(context: &OpContext) -> Result<()> {
    if context.actor == Actor::Anonymous {
        return Err(unauthenticated());
    }
    context.owed.map_or(Ok(()), |owed| Err(owes(owed)))
}

/// The refusal of everything else while a session owes something.
pub(crate) fn owes(owed: Owed) -> CoreError {
    Fault::new(ErrorKind::Forbidden, owed.code(), owed.message()).into()
}

/// Who has the session of the request: what concerns oneself is not done by a program with a key.
///
/// # Errors
/// `Unauthenticated` for nobody; `Forbidden` while the session owes something; `Invalid` with
/// code `no_session`.
pub(crate) fn signed_in(context: &OpContext) -> Result<UserId> {
    require_identity(context)?;
    match context.actor {
        Actor::User { user_id, .. } => Ok(user_id),
        Actor::ApiKey { .. } | Actor::LocalOperator { .. } | Actor::Anonymous | Actor::System => {
            let message = "This is done with a session. Sign in first: 'clm login'.";
            Err(Fault::new(ErrorKind::Invalid, "no_session", message).into())
        }
    }
}

/// The decision itself: a pure function of actor, rights and target.
fn decide(context: &OpContext, action: Action, target: &Target) -> std::result::Result<(), Denial> {
    // The permissions of a context have of it only what its holder may do in the system organization.
    let is_own =
        target.organization_id == context.organization_id || target.resource.is_of_installation();
    if !is_own {
        return Err(Denial::Foreign);
    }
    match &context.actor {
        Actor::System => return Ok(()),
        Actor::Anonymous => return Err(Denial::Unauthenticated),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::LocalOperator { .. } => {}
    }
    if let Some(owed) = context.owed {
        return Err(Denial::Owes(owed));
    }
    if !context.permissions.allows(target.resource, action) {
        return Err(Denial::Missing);
    }
    match target.owner {
        Some(owner) if context.actor.user_id() != Some(owner) && !acts_for_others(context) => {
            Err(Denial::Foreign)
        }
        _ => Ok(()),
    }
}

/// Whose sessions and API keys lists show: the actor's own, or everybody's (`None`).
pub(crate) fn visible_owner(context: &OpContext) -> Option<UserId> {
    if acts_for_others(context) {
        return None;
    }
    // Whoever is no user owns nothing.
    Some(
        context
            .actor
            .user_id()
            .unwrap_or(UserId::from_uuid(Uuid::nil())),
    )
}

/// Whether the sessions and API keys of others are the actor's business: that of those who
/// administer users, or the machine.
fn acts_for_others(context: &OpContext) -> bool {
    matches!(context.actor, Actor::System | Actor::LocalOperator { .. })
        || context
            .permissions
            .allows(Resource::User, Action::Administer)
        || context.permissions.allows(Resource::User, Action::Update)
}

/// The error for a caller whose credential is absent or bad: one text for every cause.
pub fn unauthenticated() -> CoreError {
    Fault::new(
        ErrorKind::Unauthenticated,
        "unauthenticated",
        "Sign in, or send a valid API key as 'Authorization: Bearer …'.",
    )
    .into()
}

/// The refusal of an id in a body that names nothing the caller may see: as one in a path, with the
/// field.
pub(crate) fn unknown_reference(field: &str, noun: &str) -> CoreError {
    let fault = Fault::not_found(noun);
    let message = fault.message.clone();
    fault.with_violation(field, message).into()
}

fn forbidden(denial: Denial, action: Action, resource: Resource) -> CoreError {
    if let Denial::Owes(owed) = denial {
        return owes(owed);
    }
    if denial == Denial::Elsewhere {
        let message = "This is done from the System organization only.";
        return Fault::new(ErrorKind::Forbidden, SYSTEM_ORGANIZATION_ONLY, message).into();
    }
    let message = format!(
        "You need the permission '{}' on '{}' for this.",
        word(&action),
        word(&resource)
    );
    Fault::new(ErrorKind::Forbidden, PERMISSION_MISSING, message).into()
}

async fn record_denial(
    context: &OpContext,
    core: &Core,
    action: Action,
    target: &Target,
    code: &'static str,
) -> Result<()> {
    let mut cause = context.cause();
    if target.resource.is_of_installation() {
        cause.organization_id = target.organization_id;
    }
    let row = AuditRow::success(
        CoreEvent::AccessDenied,
        &cause,
        target.id,
        core.clock.now(),
        core.rng.as_ref(),
    )
    .refused(code)
    .with_details(json!({ "action": word(&action), "resource": word(&target.resource) }));
    audit::record(context, core, row).await
}

/// The stored word of a resource or action.
pub(crate) fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// What an object of the kind is called in messages; the same text for unknown and foreign ids.
pub const fn noun(resource: Resource) -> &'static str {
    match resource {
        Resource::Certificate => "certificate",
        Resource::CertificateRequest => "certificate request",
        Resource::CertificateAuthority => "certificate authority",
        Resource::PrivateKey => "private key",
        Resource::EncryptionKey => "encryption key",
        Resource::MasterKey => "master key",
        Resource::Seal => "seal",
        Resource::ApiKey => "API key",
        Resource::Session => "session",
        Resource::User => "user",
        Resource::Role => "role",
        Resource::RoleAssignment => "role assignment",
        Resource::Organization => "organization",
        Resource::Membership => "member",
        Resource::Policy => "policy",
        Resource::Workflow => "workflow",
        Resource::Notification => "notification",
        Resource::Audit => "audit event",
        Resource::System => "installation",
    }
}
