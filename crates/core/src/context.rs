//! Who does what, for whom, in which request: the first argument of every use case.

use chrono::{DateTime, Utc};
use clm_domain::actor::Actor;
use clm_domain::audit::Cause;
use clm_domain::ids::{OrganizationId, RequestId};
use clm_domain::networks::Networks;
use clm_domain::permission::Permissions;
use clm_domain::secret::SecretString;
use clm_secure_api::{CallContext, Caller};
use sha2::{Digest, Sha256};

use crate::Core;

/// Where a request came from and how long it may take, before anyone is authenticated.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    /// The id of the request, in logs and both audit logs.
    pub request_id: RequestId,
    /// The peer's address.
    pub ip_address: Option<String>,
    /// The peer's user agent, cut to 200 characters.
    pub user_agent: Option<String>,
    /// The idempotency key of the request, with what it is bound to.
    pub idempotency: Option<Idempotency>,
    /// What was asked for; absent where nobody asked by HTTP, or only to read.
    pub http: Option<HttpRequest>,
    /// The step-up proof that came with the request.
    pub step_up_proof: Option<SecretString>,
}

/// An HTTP request, as a step-up proof is bound to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method, such as `POST`.
    pub method: String,
    /// The path with its ids, such as `/api/v1/role-assignments`.
    pub path: String,
    /// SHA-256 of the body.
    pub body_sha256: [u8; 32],
}

/// An idempotency key as it came.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The client's key.
    pub key: String,
    /// The operation, such as `POST /api/v1/api-keys`.
    pub route: String,
    /// SHA-256 of the request body.
    pub request_sha256: [u8; 32],
}

/// What a session owes: before it is given, nothing else is allowed. In the order in which it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// A code of the user's second factor.
    SecondFactor,
    /// A new password.
    PasswordChange,
    /// A second factor, which the organization or a role wants.
    SecondFactorEnrolment,
}

impl Owed {
    /// Its name, as answers say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SecondFactor => "second_factor",
            Self::PasswordChange => "password_change",
            Self::SecondFactorEnrolment => "second_factor_enrolment",
        }
    }

    /// The code of the refusal of everything else.
    pub const fn code(self) -> &'static str {
        match self {
            Self::SecondFactor => "second_factor_required",
            Self::PasswordChange => "password_change_required",
            Self::SecondFactorEnrolment => "second_factor_enrolment_required",
        }
    }

    /// What to do first.
    pub const fn message(self) -> &'static str {
        match self {
            Self::SecondFactor => {
                "Give a code of your second factor first: POST /api/v1/sessions/current/second-factor."
            }
            Self::PasswordChange => "Change your password first: POST /api/v1/users/me/password.",
            Self::SecondFactorEnrolment => {
                "A second factor is required here. Enrol one first (clm totp enrol, or POST \
                 /api/v1/users/me/totp); if you have one, sign in again with it."
            }
        }
    }
}

/// Who does what, for whom, in which request.
#[derive(Clone, Debug)]
pub struct OpContext {
    /// Who.
    pub actor: Actor,
    /// The name of the user behind the actor, for people.
    pub username: Option<String>,
    /// For which organization.
    pub organization_id: OrganizationId,
    /// What the actor may do there.
    pub permissions: Permissions,
    /// What the session owes; absent: everything is allowed that the permissions allow.
    pub owed: Option<Owed>,
    /// When the credential ends, where it does: what is made with it must not outlive it.
    pub credential_ends_at: Option<DateTime<Utc>>,
    /// From where alone the credential may be used, where it is bound to that: so is what is made with it.
    pub credential_networks: Option<Networks>,
    /// What an API key is narrowed to; absent for one with all rights of its owner, and for others.
    pub credential_scopes: Option<Permissions>,
    /// Where the request came from.
    pub request: RequestInfo,
    /// After this moment nobody waits for the answer.
    pub deadline: DateTime<Utc>,
}

impl OpContext {
    /// The context of the platform's own acts (bootstrap, relay, reconciler) for an organization.
    pub fn system(core: &Core, organization_id: OrganizationId) -> Self {
        let now = core.clock.now();
        Self {
            actor: Actor::System,
            username: None,
            organization_id,
            permissions: Permissions::none(),
            owed: None,
            credential_ends_at: None,
            credential_networks: None,
            credential_scopes: None,
            request: RequestInfo {
                request_id: RequestId::generate(now, core.rng.as_ref()),
                ip_address: None,
                user_agent: None,
                idempotency: None,
                http: None,
                step_up_proof: None,
            },
            deadline: now + core.settings.request_timeout,
        }
    }

    /// What audit rows record about the cause.
    pub fn cause(&self) -> Cause<'_> {
        Cause {
            actor: &self.actor,
            organization_id: self.organization_id,
            request_id: self.request.request_id,
        }
    }

    /// The context of a command to the Secure Service on behalf of this request.
    pub fn call(&self) -> CallContext {
        CallContext {
            caller: Caller::Core,
            actor: self.actor.clone(),
            organization_id: self.organization_id,
            request_id: self.request.request_id,
            idempotency_key: self.idempotency_key(),
            deadline: self.deadline,
        }
    }

    /// The idempotency key as the Secure Service knows it: hashed together with principal and
    /// route, so that keys of different principals never meet.
    pub fn idempotency_key(&self) -> Option<clm_secure_api::IdempotencyKey> {
        self.request.idempotency.as_ref().map(|idempotency| {
            let mut hash = Sha256::new();
            for part in [
                &self.actor.principal(),
                &idempotency.route,
                &idempotency.key,
            ] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part.as_bytes());
            }
            clm_secure_api::IdempotencyKey {
                key_sha256: hash.finalize().into(),
                request_sha256: idempotency.request_sha256,
            }
        })
    }
}
