//! Step-up: a person has just given a code of the second factor, or the password where there is none,
//! for exactly one act.
//!
//! [`give`] makes a proof of that. For acts that the core alone decides it is about one HTTP request
//! (method, path, body), in one session and organization, and the act uses it up in its own transaction
//! ([`require`]). For acts of the Secure Service it is about the command: that service gives the proof,
//! and judges it when it comes back; here it only passes through.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use clm_database::Scope;
use clm_database::transaction::Abort;
use clm_domain::actor::Actor;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::clock::{random_bytes, whole_milliseconds};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{CertificateId, SessionId, UserId};
use clm_domain::permission::{Action, Resource};
use clm_domain::secret::SecretString;
use clm_secure_api::command::{
    ChangeIssuerLimits, CreateCertificateAuthority, ExportPrivateKey, IssuerLimitsChange, StepUp,
    StepUpToken, VerifyTotp,
};
pub use clm_secure_api::reply::StepUpProof;
use clm_secure_api::step_up::request_hash;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::certificate_authorities::{self, NewCertificateAuthority};
use crate::context::{HttpRequest, OpContext};
use crate::error::{CoreError, Result};
use crate::second_factor::{Person, person};
use crate::store::audit_log;
use crate::store::step_up_proofs::{self, Proof};
use crate::store::users::{self, PasswordState};
use crate::users::own_password::OwnPassword;
use crate::users::passwords::load_password_state;
use crate::{Core, access, audit};

/// How long a proof may be used, in minutes.
const PROOF_MINUTES: i64 = 5;
/// What a proof begins with, so that one that leaked is recognized.
const PROOF_PREFIX: &str = "clmsu_";
/// The first bytes under the hash of a request: what it is for, and the version of its form.
const REQUEST_DOMAIN: &[u8] = b"clm-step-up-request-v1";
/// Longest method that a proof is given for, in bytes.
const METHOD_BYTES_MAX: usize = 10;
/// Longest path that a proof is given for, in bytes.
const PATH_BYTES_MAX: usize = 500;

/// What a person gives.
#[derive(Debug)]
pub enum Given {
    /// A code of the second factor.
    Code(SecretString),
    /// The own password, for whoever has no second factor in force.
    Password(SecretString),
}

/// What a proof is for.
#[derive(Debug)]
pub enum For {
    /// One HTTP request, whose act the core alone decides.
    Request(HttpRequest),
    /// A command of the Secure Service, which judges the proof itself.
    Command(Box<Command>),
}

/// The commands of the Secure Service that take a proof, without it.
#[derive(Debug)]
pub enum Command {
    /// Changing what an issuer may sign.
    ChangeIssuerLimits(IssuerLimitsChange),
    /// Making a certificate authority.
    CreateCertificateAuthority(NewCertificateAuthority),
    /// Letting the private key of a certificate leave.
    ExportPrivateKey(CertificateId),
}

/// Makes a proof for one act, in the session and the active organization of the person.
///
/// # Errors
/// `Invalid`, naming the field, for a wrong code or password; `RateLimited` after too many; `Forbidden`
/// with code `second_factor_required` for a password where a code is needed, `step_up_required` where
/// only a second factor serves; `Invalid` with code `no_session` for API keys.
pub async fn give(
    context: &OpContext,
    core: &Core,
    (given, wanted): (Given, For),
) -> Result<(UserId, StepUpProof)> {
    let person = person(context, core, &[]).await?;
    let user_id = person.user_id;
    let proof = match wanted {
        For::Request(request) => {
            let asked = (given, check_request(request)?);
            give_for_request(context, core, &person, asked).await
        }
        For::Command(command) => {
            let asked = (given, command.hash(context)?);
            give_for_command(context, core, &person, asked).await
        }
    };
    Ok((user_id, proof?))
}

async fn give_for_request(
    context: &OpContext,
    core: &Core,
    person: &Person,
    (given, request): (Given, HttpRequest),
) -> Result<StepUpProof> {
    match given {
        Given::Code(code) => {
            let user_id = person.user_id;
            let command = VerifyTotp { user_id, code };
            let verified = core.secure.verify_totp(person.call(context), command).await;
            let verified = verified.map_err(CoreError::from).map(drop);
            person.refusal(context, core, verified).await?;
            let new = NewProof::of(context, core, (person, &request), "code");
            new.give(core, None).await
        }
        Given::Password(password) => {
            let may = refuse_password(context, core, person).await;
            person.refusal(context, core, may).await?;
            let new = NewProof::of(context, core, (person, &request), "password");
            let (state, _) = load_password_state(core, person.user_id).await?;
            let of_whom = (person.user_id, &state);
            let own = OwnPassword::compare(core, of_whom, (&password, "password"), new.now);
            new.give(core, Some(own.await?)).await
        }
    }
}

/// The Secure Service judges the code and keeps the proof.
async fn give_for_command(
    context: &OpContext,
    core: &Core,
    person: &Person,
    (given, request_sha256): (Given, [u8; 32]),
) -> Result<StepUpProof> {
    let code = match given {
        Given::Code(code) => code,
        Given::Password(_) => {
            let may = refuse_password(context, core, person).await;
            let refused = may.and_then(|()| Err(factor_needed()));
            return person.refusal(context, core, refused).await;
        }
    };
    let command = StepUp {
        code,
        request_sha256,
    };
    let proved = core.secure.step_up(person.call(context), command).await;
    let event = CoreEvent::SteppedUp;
    person.record(context, core, event, proved).await
}

impl Command {
    /// What the Secure Service compares: a hash over the command as it will be received.
    fn hash(&self, context: &OpContext) -> Result<[u8; 32]> {
        let organization_id = context.organization_id;
        let hash = match self {
            Self::ChangeIssuerLimits(change) => {
                request_hash(organization_id, ChangeIssuerLimits::NAME, change)
            }
            Self::CreateCertificateAuthority(new) => {
                let command = certificate_authorities::command_of(new.clone())?;
                let name = CreateCertificateAuthority::NAME;
                request_hash(organization_id, name, &command.proved())
            }
            Self::ExportPrivateKey(certificate_id) => {
                request_hash(organization_id, ExportPrivateKey::NAME, certificate_id)
            }
        };
        hash.map_err(|error| CoreError::internal(&error))
    }
}

/// Refuses a password of somebody who has a second factor in force: whoever learned the password would
/// else need no more.
async fn refuse_password(context: &OpContext, core: &Core, person: &Person) -> Result<()> {
    if !person.has_second_factor(context, core).await? {
        return Ok(());
    }
    let message = "You have a second factor: give a code of it, instead of the password.";
    let kind = ErrorKind::Forbidden;
    Err(Fault::new(kind, "second_factor_required", message).into())
}

/// What a proof for one HTTP request is about.
fn request_sha256(request: &HttpRequest) -> [u8; 32] {
    let mut hash = Sha256::new().chain_update(REQUEST_DOMAIN);
    for part in [&request.method, &request.path] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.chain_update(request.body_sha256).finalize().into()
}

/// What is stored of a proof.
fn proof_sha256(proof: &SecretString) -> [u8; 32] {
    Sha256::digest(proof.expose()).into()
}

fn check_request(request: HttpRequest) -> Result<HttpRequest> {
    let method_fits = (1..=METHOD_BYTES_MAX).contains(&request.method.len())
        && request.method.bytes().all(|byte| byte.is_ascii_uppercase());
    if !method_fits {
        let message = "The method is one of HTTP in capital letters, such as POST.";
        return Err(Fault::invalid("method_invalid", "request.method", message).into());
    }
    let path_fits = request.path.starts_with('/')
        && request.path.len() <= PATH_BYTES_MAX
        && request.path.bytes().all(|byte| byte.is_ascii_graphic())
        && !request.path.contains(['?', '#']);
    if !path_fits {
        let message = format!(
            "The path is that of the request, such as /api/v1/role-assignments, without a query, at \
             most {PATH_BYTES_MAX} bytes."
        );
        return Err(Fault::invalid("path_invalid", "request.path", message).into());
    }
    Ok(request)
}

/// A proof that is about to be given out, with its event.
struct NewProof {
    proof: SecretString,
    stored: Proof,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    audit: AuditRow,
}

impl NewProof {
    fn of(
        context: &OpContext,
        core: &Core,
        (person, request): (&Person, &HttpRequest),
        by: &str,
    ) -> Self {
        let now = whole_milliseconds(core.clock.now());
        let random: [u8; 32] = random_bytes(core.rng.as_ref());
        let proof = SecretString::new(format!("{PROOF_PREFIX}{}", hex::encode(random)));
        let stored = Proof {
            proof_sha256: proof_sha256(&proof),
            organization_id: context.organization_id,
            user_id: person.user_id,
            session_id: person.session_id,
            request_sha256: request_sha256(request),
        };
        let details = json!({
            "by": by,
            "method": request.method,
            "path": request.path,
            "organization_id": context.organization_id,
            "request_sha256": hex::encode(stored.request_sha256),
            "proof_sha256": hex::encode(stored.proof_sha256),
        });
        Self {
            audit: person.stepped_up(context, core).with_details(details),
            expires_at: now + TimeDelta::minutes(PROOF_MINUTES),
            proof,
            stored,
            now,
        }
    }

    /// Records the proof, in the transaction that finds the password right where one was given.
    async fn give(self, core: &Core, password: Option<OwnPassword>) -> Result<StepUpProof> {
        let giving = Arc::new((self, password));
        let scope = Scope::System("whoever acts as a guest has credentials and events at home");
        core.pool
            .transact::<_, CoreError, _>("step_up::give", scope, |connection| {
                let giving = Arc::clone(&giving);
                Box::pin(async move {
                    let (new, password) = giving.as_ref();
                    if let Some(password) = password {
                        match password.judge(connection, &new.audit).await? {
                            Ok(state) => forget_failures(connection, new, &state).await?,
                            // What was counted stays.
                            Err(refused) => return Ok(Err(refused)),
                        }
                    }
                    let times = (new.now, new.expires_at);
                    step_up_proofs::insert(connection, &new.stored, times).await?;
                    audit_log::insert(connection, &new.audit).await?;
                    Ok(Ok(()))
                })
            })
            .await??;
        Ok(StepUpProof {
            proof: giving.0.proof.clone(),
            expires_at: giving.0.expires_at,
        })
    }
}

/// A right password forgives the wrong ones before it, as a sign-in does.
async fn forget_failures(
    connection: &mut PgConnection,
    new: &NewProof,
    state: &PasswordState,
) -> sqlx::Result<()> {
    if state.failed_sign_in_count == 0 {
        return Ok(());
    }
    users::update_failed_sign_in(connection, new.stored.user_id, 0, None).await
}

/// Demands that whoever acts has just stepped up for this very request, and uses the proof up: last in
/// the transaction of the act, so that a refusal for another reason leaves it good and nobody is asked
/// for a code in vain.
///
/// The operator of the machine and the platform itself need none. An API key acts when its scopes name
/// the right: making it so took a proof.
///
/// # Errors
/// `Forbidden` with code `step_up_required` or `step_up_invalid`; those of the database.
pub(crate) async fn require(
    connection: &mut PgConnection,
    context: &OpContext,
    right: (Action, Resource),
    now: DateTime<Utc>,
) -> std::result::Result<(), Abort<CoreError>> {
    let Some(proof) = needed(context, right).map_err(Abort::Caller)? else {
        return Ok(());
    };
    if step_up_proofs::use_up(connection, &proof, now).await? {
        return Ok(());
    }
    Err(Abort::Caller(invalid()))
}

/// The proof that the request must have brought; `None` for whoever needs none.
fn needed(context: &OpContext, right: (Action, Resource)) -> Result<Option<Proof>> {
    match context.actor {
        Actor::LocalOperator { .. } | Actor::System => Ok(None),
        Actor::Anonymous => Err(access::unauthenticated()),
        Actor::ApiKey { .. } => require_of_key(context, right).map(|()| None),
        Actor::User {
            user_id,
            session_id,
        } => brought(context, (user_id, session_id)).map(Some),
    }
}

/// Demands of an API key that its scopes name the right. Says nothing about others.
///
/// # Errors
/// `Forbidden` with code `step_up_required`.
pub(crate) fn require_of_key(
    context: &OpContext,
    (action, resource): (Action, Resource),
) -> Result<()> {
    let is_key = matches!(context.actor, Actor::ApiKey { .. });
    let is_named = context.credential_scopes.as_ref();
    if !is_key || is_named.is_some_and(|scopes| scopes.allows(resource, action)) {
        return Ok(());
    }
    let right = format!("{}:{}", access::word(&resource), access::word(&action));
    let message = format!(
        "This API key has all rights of its owner, and does not do this: use one whose scopes name \
         '{right}' (clm api-key create … --scope {right}), or sign in as a person (clm login) and give \
         a code or the password."
    );
    Err(Fault::new(ErrorKind::Forbidden, "step_up_required", message).into())
}

fn brought(context: &OpContext, (user_id, session_id): (UserId, SessionId)) -> Result<Proof> {
    let request = &context.request;
    let (Some(proof), Some(http)) = (&request.step_up_proof, &request.http) else {
        return Err(required());
    };
    Ok(Proof {
        proof_sha256: proof_sha256(proof),
        organization_id: context.organization_id,
        user_id,
        session_id,
        request_sha256: request_sha256(http),
    })
}

/// Demands that a person brings a proof for a command of the Secure Service, which judges it: nobody
/// need ask that service to hear that it wants one. Says nothing about others.
///
/// # Errors
/// `Forbidden` with code `step_up_required`.
pub(crate) fn expect_proof(context: &OpContext) -> Result<Option<StepUpToken>> {
    let proof = context.request.step_up_proof.clone();
    match (&context.actor, proof) {
        (Actor::User { .. }, None) => Err(factor_needed()),
        (_, proof) => Ok(proof.map(StepUpToken)),
    }
}

fn required() -> CoreError {
    let message = "This takes a code of your second factor, or your password if you have none, for \
        exactly this request: POST /api/v1/step-up, then send it again with the proof in the header \
        CLM-Step-Up. 'clm' asks on the terminal, or takes --totp CODE.";
    Fault::new(ErrorKind::Forbidden, "step_up_required", message).into()
}

fn factor_needed() -> CoreError {
    let message = "This takes a code of your second factor, for exactly this: enrol one if you have \
        none (clm totp enrol, clm totp activate), and give a code of it (--totp CODE).";
    Fault::new(ErrorKind::Forbidden, "step_up_required", message).into()
}

fn invalid() -> CoreError {
    let message = "The step-up proof is not good for this: it was used, has expired, or was given \
        for another request or somebody else. Give a new code or the password for this request.";
    Fault::new(ErrorKind::Forbidden, "step_up_invalid", message).into()
}

impl Person {
    /// The event of stepping up.
    fn stepped_up(&self, context: &OpContext, core: &Core) -> AuditRow {
        let about = (CoreEvent::SteppedUp, Some(self.user_id.as_uuid()));
        self.row(context, core, about)
    }

    /// Records that no proof was given, and why.
    async fn refusal<T>(&self, context: &OpContext, core: &Core, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome {
            let row = self.stepped_up(context, core).refused(error.0.code.clone());
            audit::record(context, core, row).await?;
        }
        outcome
    }
}

#[cfg(test)]
mod tests;
