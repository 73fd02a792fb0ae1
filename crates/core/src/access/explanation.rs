//! Why somebody may do something or not: the decision of [`super::authorize`], with the assignments
//! and roles behind it.

use chrono::{DateTime, Utc};
use clm_database::Scope;
use clm_domain::actor::Actor;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::ids::{OrganizationId, RoleAssignmentId, RoleId, SYSTEM_ORGANIZATION, UserId};
use clm_domain::permission::{Action, Permissions, Resource};
use clm_domain::states::{OrganizationStatus, UserStatus};

use serde_json::json;

use super::{Denial, Target, authorize, decide, require_identity, unknown_reference, word};
use crate::authentication::admit;
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::store::role_assignments::{self, Given, Standing};
use crate::store::users::Holder;
use crate::{Core, audit};

/// Most grants in one answer.
const GRANTS_MAX: usize = 100;

/// Asks whether somebody may do something in the active organization.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// A member of the organization; absent: whoever asks, with the credential of the request.
    pub user_id: Option<UserId>,
    /// What is to be done.
    pub action: Action,
    /// To which kind of object.
    pub resource: Resource,
    /// At which moment; absent: now.
    pub at: Option<DateTime<Utc>>,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Whether it is allowed.
    pub allowed: bool,
    /// What decided, for programs.
    pub code: &'static str,
    /// What decided, for people.
    pub explanation: String,
    /// Who was asked about; absent for the operator of the machine.
    pub user_id: Option<UserId>,
    /// That user's name.
    pub username: Option<String>,
    /// Where.
    pub organization_id: OrganizationId,
    /// For which moment.
    pub at: DateTime<Utc>,
    /// The assignments whose roles give the permission: those that count at that moment, then the newest
    /// of the others, at most 100 in all.
    pub grants: Vec<Grant>,
}

/// An assignment whose role, or one above it, gives the permission.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The assignment.
    pub role_assignment_id: RoleAssignmentId,
    /// Where the role is held.
    pub organization_id: OrganizationId,
    /// The role that was assigned.
    pub assigned_role_id: RoleId,
    /// Its stable name.
    pub assigned_role_code: String,
    /// The role in which the rule stands: that one, or one that it inherits from.
    pub role_id: RoleId,
    /// Its stable name.
    pub role_code: String,
    /// First moment of validity.
    pub valid_from: DateTime<Utc>,
    /// First moment after validity.
    pub valid_until: Option<DateTime<Utc>>,
    /// Whether the assignment counts at the moment in question.
    pub state: GrantState,
}

/// How an assignment stands to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantState {
    /// It begins later.
    Pending,
    /// It counts.
    Current,
    /// It had ended.
    Ended,
}

/// Answers a question about access. Everybody may ask about oneself; about others needs the right to
/// read role assignments.
///
/// # Errors
/// `NotFound` for who is no member; those of [`authorize`] and of the
/// database.
pub async fn explain(context: &OpContext, core: &Core, question: Question) -> Result<Explanation> {
    require_identity(context)?;
    let oneself = context.actor.user_id();
    let is_about_another = question.user_id.is_some() && question.user_id != oneself;
    if is_about_another {
        let target = Target::kind(context, Resource::RoleAssignment);
        authorize(context, core, Action::Read, target).await?;
    }
    let at = question.at.unwrap_or_else(|| core.clock.now());
    let explanation = match question.user_id.or(oneself) {
        Some(user_id) => about_user(context, core, (user_id, question, at)).await?,
        None => about_operator(context, question, at),
    };
    record(context, core, (question, &explanation)).await?;
    Ok(explanation)
}

/// Whose rights somebody looked into belongs into the log.
async fn record(
    context: &OpContext,
    core: &Core,
    (question, explanation): (Question, &Explanation),
) -> Result<()> {
    let (now, rng) = (core.clock.now(), core.rng.as_ref());
    let user_id = explanation.user_id.map(uuid::Uuid::from);
    let row = AuditRow::success(
        CoreEvent::AccessExplained,
        &context.cause(),
        user_id,
        now,
        rng,
    )
    .with_details(json!({
        "action": word(&question.action),
        "resource": word(&question.resource),
        "at": explanation.at,
        "allowed": explanation.allowed,
        "code": explanation.code,
    }));
    audit::record(context, core, row).await
}

async fn about_user(
    context: &OpContext,
    core: &Core,
    (user_id, question, at): (UserId, Question, DateTime<Utc>),
) -> Result<Explanation> {
    let is_about_another = context.actor.user_id() != Some(user_id);
    let facts = gather(context, core, (user_id, question, at)).await?;
    if is_about_another && facts.here.is_none() {
        return Err(unknown_reference("user_id", "user"));
    }
    let now_by_oneself = !is_about_another && question.at.is_none();
    let source = source_of(context, question.resource);
    let is_hidden = is_about_another && source != context.organization_id;
    let explained = judge(context, now_by_oneself, (user_id, question, at), facts);
    Ok(match is_hidden {
        true => without_source(explained),
        false => explained,
    })
}

/// What is told elsewhere about a right that is held in the System organization: whether, not why.
fn without_source(explained: Explanation) -> Explanation {
    let (code, explanation) = if explained.allowed {
        let text = "Allowed, by what is held in the System organization.";
        ("granted", text)
    } else {
        let text = "Not allowed, by what is held in the System organization.";
        ("permission_missing", text)
    };
    Explanation {
        code,
        explanation: explanation.to_owned(),
        grants: Vec::new(),
        ..explained
    }
}

/// What is stored about a user's rights.
struct Facts {
    /// In the active organization.
    here: Option<Standing>,
    /// Where the roles count: for the installation, the System organization.
    source: Option<Standing>,
    given: Vec<Given>,
}

/// Where roles must be held to give the permission.
fn source_of(context: &OpContext, resource: Resource) -> OrganizationId {
    if resource.is_of_installation() {
        return SYSTEM_ORGANIZATION;
    }
    context.organization_id
}

async fn gather(
    context: &OpContext,
    core: &Core,
    (user_id, question, at): (UserId, Question, DateTime<Utc>),
) -> Result<Facts> {
    let organization_id = context.organization_id;
    let source = source_of(context, question.resource);
    let scope =
        Scope::System("a guest's status belongs to the home, and rights to the installation");
    core.pool
        .transact::<_, CoreError, _>("explanation::gather", scope, move |connection| {
            Box::pin(async move {
                let here =
                    role_assignments::find_standing(connection, organization_id, user_id).await?;
                let there = role_assignments::find_standing(connection, source, user_id).await?;
                let named = (source, user_id);
                Ok(Facts {
                    here,
                    source: there,
                    given: role_assignments::list_given(connection, named, at).await?,
                })
            })
        })
        .await
}

fn judge(
    context: &OpContext,
    now_by_oneself: bool,
    (user_id, question, at): (UserId, Question, DateTime<Utc>),
    facts: Facts,
) -> Explanation {
    let Question {
        action, resource, ..
    } = question;
    let of_roles = of_roles(&facts.given, at);
    let decision = if now_by_oneself {
        decide(context, action, &target(context, resource))
    } else {
        decide_for(context, (user_id, question), &facts, &of_roles)
    };
    let cause = match decision {
        Ok(()) => Cause::Granted,
        Err(_) => why_not(&facts, of_roles.allows(resource, action)),
    };
    Explanation {
        allowed: decision.is_ok(),
        code: cause.code(),
        explanation: cause.sentence(action, resource),
        user_id: Some(user_id),
        username: facts.here.map(|standing| standing.username),
        organization_id: context.organization_id,
        at,
        grants: facts
            .given
            .into_iter()
            .filter(|one| one.permissions.allows(resource, action))
            .take(GRANTS_MAX)
            .map(|one| grant(one, at))
            .collect(),
    }
}

/// What all roles give that count at a moment.
fn of_roles(given: &[Given], at: DateTime<Utc>) -> Permissions {
    let mut together = Permissions::none();
    for one in given {
        if state((one.valid_from, one.valid_until), at) == GrantState::Current {
            together.extend(&one.permissions);
        }
    }
    together
}

/// The decision for somebody else, or for another moment: as if that user came with a session.
fn decide_for(
    context: &OpContext,
    (user_id, question): (UserId, Question),
    facts: &Facts,
    of_roles: &Permissions,
) -> std::result::Result<(), Denial> {
    let (Some(here), Some(source)) = (&facts.here, &facts.source) else {
        return Err(Denial::Missing);
    };
    let holder = Holder {
        user_id,
        username: here.username.clone(),
        user_status: here.user_status,
        must_change_password: false,
        organization_id: context.organization_id,
        organization_status: here.organization_status,
        membership_active: here.is_active_member && source.is_active_member,
        permissions: of_roles.clone(),
        rights_change_at: None,
    };
    let asked = OpContext {
        actor: Actor::User {
            user_id,
            session_id: uuid::Uuid::nil().into(),
        },
        permissions: admit(&holder).ok_or(Denial::Missing)?,
        owed: None,
        ..context.clone()
    };
    decide(&asked, question.action, &target(&asked, question.resource))
}

fn target(context: &OpContext, resource: Resource) -> Target {
    if resource.is_of_installation() {
        return Target::installation(resource);
    }
    Target::kind(context, resource)
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Granted,
    NotAMember,
    UserNotActive,
    MembershipSuspended,
    OrganizationInactive,
    OrganizationSuspended,
    PermissionMissing,
    ScopesMissing,
}

/// Why a decision was no, in the order in which a person would mend it.
fn why_not(facts: &Facts, roles_give_it: bool) -> Cause {
    let (Some(here), Some(source)) = (&facts.here, &facts.source) else {
        return Cause::NotAMember;
    };
    if here.user_status != UserStatus::Active {
        return Cause::UserNotActive;
    }
    if !here.is_active_member || !source.is_active_member {
        return Cause::MembershipSuspended;
    }
    match here.organization_status {
        OrganizationStatus::Inactive => Cause::OrganizationInactive,
        _ if !roles_give_it => Cause::PermissionMissing,
        OrganizationStatus::Suspended => Cause::OrganizationSuspended,
        OrganizationStatus::Active => Cause::ScopesMissing,
    }
}

impl Cause {
    const fn code(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::NotAMember => "not_a_member",
            Self::UserNotActive => "user_not_active",
            Self::MembershipSuspended => "membership_suspended",
            Self::OrganizationInactive => "organization_inactive",
            Self::OrganizationSuspended => "organization_suspended",
            Self::PermissionMissing => "permission_missing",
            Self::ScopesMissing => "scopes_missing",
        }
    }

    fn sentence(self, action: Action, resource: Resource) -> String {
        let rule = format!("'{}' on '{}'", word(&action), word(&resource));
        match self {
            Self::Granted => format!("Allowed: a role that counts gives {rule}."),
            Self::NotAMember => {
                "The user is no member where the role would have to be held.".into()
            }
            Self::UserNotActive => "The user's account is not active.".into(),
            Self::MembershipSuspended => "The membership is suspended.".into(),
            Self::OrganizationInactive => "The organization is inactive.".into(),
            Self::OrganizationSuspended => {
                "The organization is suspended: it can be read, and nothing else.".into()
            }
            Self::PermissionMissing => format!("No role that counts gives {rule}."),
            Self::ScopesMissing => {
                format!("A role gives {rule}, but the API key is narrowed to less.")
            }
        }
    }
}

fn grant(given: Given, at: DateTime<Utc>) -> Grant {
    Grant {
        role_assignment_id: given.role_assignment_id,
        organization_id: given.organization_id,
        assigned_role_id: given.assigned_role_id,
        assigned_role_code: given.assigned_role_code,
        role_id: given.role_id,
        role_code: given.role_code,
        valid_from: given.valid_from,
        valid_until: given.valid_until,
        state: state((given.valid_from, given.valid_until), at),
    }
}

fn state(
    (valid_from, valid_until): (DateTime<Utc>, Option<DateTime<Utc>>),
    at: DateTime<Utc>,
) -> GrantState {
    if at < valid_from {
        GrantState::Pending
    } else if valid_until.is_none_or(|until| at < until) {
        GrantState::Current
    } else {
        GrantState::Ended
    }
}

/// The operator of the machine acts by no role.
fn about_operator(context: &OpContext, question: Question, at: DateTime<Utc>) -> Explanation {
    let Question {
        action, resource, ..
    } = question;
    let allowed = decide(context, action, &target(context, resource)).is_ok();
    let (code, explanation) = if allowed {
        (
            "local_operator",
            "The operator of the machine may do everything.",
        )
    } else {
        let text = "The organization is suspended: it can be read, and nothing else.";
        ("organization_suspended", text)
    };
    Explanation {
        allowed,
        code,
        explanation: explanation.to_owned(),
        user_id: None,
        username: None,
        organization_id: context.organization_id,
        at,
        grants: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
