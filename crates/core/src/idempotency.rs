//! Making a POST safe to repeat, for acts on the core database.
//!
//! A handler wraps its act; whether the request carries an idempotency key is decided in here:
//!
//! ```ignore
//! // An answer that may be given again word for word:
//! let answer = idempotency::run(&context, &core, async {
//!     let authority = certificate_authorities::create(&context, &core, new).await?;
//!     Answer::new(201, Some(authority.issuer_id.as_uuid()), &dto(authority))
//! }).await?;
//!
//! // An answer with a secret, which is shown once:
//! let created = idempotency::run_once(&context, &core, async {
//!     let created = api_keys::create(&context, &core, new).await?;
//!     Ok(Once { status: 201, resource_id: created.record.api_key_id.as_uuid(), answer: created })
//! }).await?;
//! ```
//!
//! Rules, for the same key of the same principal on the same route of one organization:
//! - The act succeeded: for a day, [`run`] gives the same answer and [`run_once`] is refused with
//!   `Conflict`, code `secret_already_shown`, naming what was made.
//! - It is under way: `Conflict`, code `idempotency_in_flight`. An attempt that went silent is taken
//!   over half a minute after its deadline.
//! - It failed: nothing is remembered, the request is carried out anew.
//! - The body is another: `Invalid`, code `idempotency_key_reused`.
//!
//! A crash between the act and the note about it lets a repetition act again. That is harmless for
//! the acts that come here: a session or API key that nobody ever saw, an authority that the Secure
//! Service knows by its name, an export, a password that is no longer the current one. Asking for
//! certificates does not come here: the Secure Service keeps those keys in the transaction of the
//! act.
//!
//! Bodies may hold passwords, whose plain SHA-256 would be a gift to whoever reads the table.
//! Therefore the body's hash is stored bound to the client's key, and of the key only a hash.

use std::future::Future;
use std::sync::Arc;

use chrono::Duration;
use clm_database::Scope;
use clm_domain::actor::Actor;
use clm_domain::clock::uuid_v7;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::limits::IDEMPOTENCY_RETENTION_HOURS;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::Core;
use crate::context::{Idempotency, OpContext};
use crate::error::{CoreError, Result};
use crate::store::idempotency_keys::{self, KeyScope, Reservation, StoredAnswer};

/// How long after its deadline an attempt counts as under way, in seconds.
const LOCK_MARGIN_SECONDS: i64 = 30;

/// An answer that may be given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What the act made or concerned.
    pub resource_id: Option<Uuid>,
    /// The body; null for none. Holds no secret.
    pub body: Value,
    /// Whether an earlier request with the same key was answered so.
    pub replayed: bool,
}

impl Answer {
    /// The first answer to a request.
    ///
    /// # Errors
    /// `Internal` when the body cannot be written as JSON.
    pub fn new(status: u16, resource_id: Option<Uuid>, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_value(body).map_err(|error| CoreError::internal(&error))?;
        Ok(Self {
            status,
            resource_id,
            body,
            replayed: false,
        })
    }
}

/// An answer that holds a secret and is given once.
#[derive(Clone, Debug)]
pub struct Once<T> {
    /// The HTTP status.
    pub status: u16,
    /// What the act made, or what the secret is of.
    pub resource_id: Uuid,
    /// The answer, which is not stored.
    pub answer: T,
}

/// Carries out `act`, or gives the answer that it gave before.
///
/// # Errors
/// Those of `act`; `Conflict` and `Invalid` as the module says; those of the database.
pub async fn run(
    context: &OpContext,
    core: &Core,
    act: impl Future<Output = Result<Answer>>,
) -> Result<Answer> {
    let Some(reservation) = reservation(context, core) else {
        return act.await;
    };
    if let Some(stored) = reserve(core, &reservation).await? {
        return replay(stored);
    }
    let outcome = act.await;
    let kept = outcome
        .as_ref()
        .ok()
        .map(|answer| (answer.status, answer.resource_id, Some(answer.body.clone())));
    settle(core, &reservation, kept).await;
    outcome
}

/// Carries out `act`, unless it was carried out before: its answer holds a secret and is not given
/// again.
///
/// # Errors
/// Those of `act`; `Conflict` and `Invalid` as the module says; those of the database.
pub async fn run_once<T>(
    context: &OpContext,
    core: &Core,
    act: impl Future<Output = Result<Once<T>>>,
) -> Result<T> {
    let Some(reservation) = reservation(context, core) else {
        return act.await.map(|once| once.answer);
    };
    if let Some(stored) = reserve(core, &reservation).await? {
        return Err(already_shown(stored.resource_id));
    }
    let outcome = act.await;
    let kept = outcome
        .as_ref()
        .ok()
        .map(|once| (once.status, Some(once.resource_id), None));
    settle(core, &reservation, kept).await;
    outcome.map(|once| once.answer)
}

/// The claim that the request's key makes; none without a key.
fn reservation(context: &OpContext, core: &Core) -> Option<Reservation> {
    let idempotency = context.request.idempotency.as_ref()?;
    let now = core.clock.now();
    Some(Reservation {
        id: uuid_v7(now, core.rng.as_ref()),
        scope: KeyScope {
            organization_id: context.organization_id,
            principal: principal(context),
            route: idempotency.route.clone(),
            key: hex::encode(stored_key(idempotency)),
        },
        request_sha256: bound_request(idempotency),
        now,
        locked_until: context.deadline.max(now) + Duration::seconds(LOCK_MARGIN_SECONDS),
        expires_at: now + Duration::hours(IDEMPOTENCY_RETENTION_HOURS),
    })
}

/// Whose key it is. Nobody in particular is told apart by address.
fn principal(context: &OpContext) -> String {
    let principal = context.actor.principal();
    if context.actor != Actor::Anonymous {
        return principal;
    }
    let address = context.request.ip_address.as_deref().unwrap_or_default();
    format!("{principal}:{}", hex::encode(Sha256::digest(address)))
}

/// What is stored of the client's key.
fn stored_key(idempotency: &Idempotency) -> [u8; 32] {
    Sha256::new()
        .chain_update("clm idempotency key\0")
        .chain_update(&idempotency.key)
        .finalize()
        .into()
}

/// What is stored of the body: its hash, bound to the client's key.
fn bound_request(idempotency: &Idempotency) -> [u8; 32] {
    Sha256::new()
        .chain_update("clm idempotent request\0")
        .chain_update(idempotency.request_sha256)
        .chain_update(&idempotency.key)
        .finalize()
        .into()
}

/// Claims the key. `Some` is the answer that was given before.
async fn reserve(core: &Core, reservation: &Reservation) -> Result<Option<StoredAnswer>> {
    let scope = Scope::Organization(reservation.scope.organization_id);
    let claim = Arc::new(reservation.clone());
    let found = core
        .pool
        .transact::<_, CoreError, _>("idempotency::reserve", scope, |connection| {
            let claim = Arc::clone(&claim);
            Box::pin(async move {
                if idempotency_keys::reserve(connection, &claim).await? {
                    return Ok(None);
                }
                Ok(idempotency_keys::find(connection, &claim.scope).await?)
            })
        })
        .await?;
    found.map(|stored| judge(stored, reservation)).transpose()
}

/// Whether what is known under the key answers the request.
fn judge(stored: StoredAnswer, reservation: &Reservation) -> Result<StoredAnswer> {
    if stored.request_sha256 != reservation.request_sha256 {
        let message = "This idempotency key came with another request body before. Use a new key \
                       for a new request.";
        let field = "idempotency-key";
        return Err(Fault::invalid("idempotency_key_reused", field, message).into());
    }
    if stored.response_status.is_none() {
        let message = "The first request with this idempotency key is still being carried out. \
                       Try again in a moment.";
        let mut fault = Fault::new(ErrorKind::Conflict, "idempotency_in_flight", message);
        fault.retry_after_seconds = Some(1);
        return Err(fault.into());
    }
    Ok(stored)
}

fn replay(stored: StoredAnswer) -> Result<Answer> {
    let status = stored
        .response_status
        .and_then(|status| u16::try_from(status).ok());
    match (status, stored.response_body) {
        (Some(status), Some(body)) => Ok(Answer {
            status,
            resource_id: stored.resource_id,
            body,
            replayed: true,
        }),
        _ => Err(already_shown(stored.resource_id)),
    }
}

fn already_shown(resource_id: Option<Uuid>) -> CoreError {
    let resource = resource_id
        .map(|id| format!(" of {id}"))
        .unwrap_or_default();
    let message = format!(
        "This request was carried out before, and the secret{resource} in its answer is shown \
         once. If it was lost, ask for another one with a new idempotency key."
    );
    Fault::new(ErrorKind::Conflict, "secret_already_shown", message).into()
}

/// Notes how the act ended: its answer, or that the key is free again. The act is over either way,
/// so a failure to note it is logged and costs a repetition no more than a second act.
async fn settle(
    core: &Core,
    reservation: &Reservation,
    kept: Option<(u16, Option<Uuid>, Option<Value>)>,
) {
    let scope = Scope::Organization(reservation.scope.organization_id);
    let id = reservation.id;
    let now = core.clock.now();
    let kept = Arc::new(kept);
    let settled = core
        .pool
        .transact::<_, CoreError, _>("idempotency::settle", scope, |connection| {
            let kept = Arc::clone(&kept);
            Box::pin(async move {
                match kept.as_ref() {
                    Some((status, resource_id, body)) => {
                        let outcome = (i32::from(*status), *resource_id);
                        idempotency_keys::complete(connection, id, outcome, body.as_ref()).await?;
                    }
                    None => idempotency_keys::release(connection, id, now).await?,
                }
                Ok(())
            })
        })
        .await;
    if let Err(error) = settled {
        tracing::warn!(error.detail = %error, "the answer to an idempotent request was not kept");
    }
}

#[cfg(test)]
mod tests;
