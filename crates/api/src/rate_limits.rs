//! How much one caller may ask for, and all together: a request over a limit is refused at once and
//! cheaply, before it costs a query. Each process counts by itself; the generic cell rate algorithm lets
//! a burst through that is ten times what goes on for long.
//!
//! Answers tell callers where they stand (`RateLimit-Policy` and `RateLimit`, draft-ietf-httpapi-
//! ratelimit-headers), and how long to wait (`Retry-After`). The local operator is not limited, nor are
//! the probes of health.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use clm_api_types::BASE_PATH;
use clm_core::OpContext;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::networks::caller_network;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::ApiState;
use crate::peer::Peer;
use crate::problem::ApiError;

/// A burst is so many times what one second allows.
const BURST_FACTOR: u32 = 10;
/// What a request with a bad credential costs its address: guessing must not be as cheap as working.
const FAILURE_COST: u32 = 5;
/// Most requests of REST that are under way in this process.
const IN_FLIGHT_MAX: usize = 2_048;
/// After so many checks, callers who have their whole burst again are forgotten.
const CHECKS_PER_CLEANING: u32 = 4_096;

/// What an operator allows, in requests per second; 0 for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitSettings {
    /// Each user, with all API keys together.
    pub per_principal: u32,
    /// Each address (an IPv4 address, or the /64 of an IPv6 address).
    pub per_address: u32,
}

impl Default for RateLimitSettings {
    fn default() -> Self {
        Self {
            per_principal: 1_000,
            per_address: 2_000,
        }
    }
}

/// The counters of one process.
pub struct RateLimits {
    principals: Option<Limiter<Uuid>>,
    addresses: Option<Limiter<IpAddr>>,
    in_flight: Semaphore,
}

impl RateLimits {
    /// Counters that have seen nobody yet.
    pub fn new(settings: RateLimitSettings) -> Self {
        Self {
            principals: Limiter::new("principal", settings.per_principal),
            addresses: Limiter::new("address", settings.per_address),
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
        }
    }
}

type Store<K> = DashMapStateStore<K>;

struct Limiter<K: Copy + Eq + std::hash::Hash> {
    name: &'static str,
    burst: u32,
    inner: RateLimiter<K, Store<K>, DefaultClock, StateInformationMiddleware>,
    checks: AtomicU32,
}

/// Where a caller stands.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// Of the policy.
    name: &'static str,
    /// Requests in a burst, which comes again in [`BURST_FACTOR`] seconds.
    burst: u32,
    /// What is left of it.
    remaining: u32,
    /// Seconds until the next request can pass, when this one did not.
    wait_seconds: Option<u32>,
}

impl<K: Copy + Eq + std::hash::Hash> Limiter<K> {
    fn new(name: &'static str, per_second: u32) -> Option<Self> {
        let per_second = NonZeroU32::new(per_second)?;
        let burst = per_second.saturating_mul(NonZeroU32::new(BURST_FACTOR)?);
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Some(Self {
            name,
            burst: burst.get(),
            inner: RateLimiter::keyed(quota).with_middleware(),
            checks: AtomicU32::new(0),
        })
    }

    /// Takes one request of the caller.
    fn check(&self, key: K) -> Standing {
        self.clean();
        let (remaining, wait_seconds) = match self.inner.check_key(&key) {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(refused) => {
                let wait = refused.wait_time_from(DefaultClock::default().now());
                let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
                (0, Some(seconds.saturating_add(1)))
            }
        };
        Standing {
            name: self.name,
            burst: self.burst,
            remaining,
            wait_seconds,
        }
    }

    /// Takes what a bad credential costs beside its request, or what is left.
    fn punish(&self, key: K) {
        for _ in 0..FAILURE_COST {
            if self.inner.check_key(&key).is_err() {
                return;
            }
        }
    }

    fn clean(&self) {
        let checks = self.checks.fetch_add(1, Ordering::Relaxed);
        if checks.is_multiple_of(CHECKS_PER_CLEANING) {
            self.inner.retain_recent();
        }
    }
}

/// Where the caller of a request stands, for its answer: whoever counts notes it.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Option<Standing>>>);

impl Seen {
    fn note(&self, standing: Standing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(standing);
    }

    fn standing(&self) -> Option<Standing> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets a request of REST through while its address may ask, and not too many are under way.
pub(crate) async fn limited(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Response {
    if !request.uri().path().starts_with(BASE_PATH) {
        return next.run(request).await;
    }
    let limits = Arc::clone(&state.rate_limits);
    let address = request.extensions().get::<Peer>().and_then(network);
    let seen = Seen::default();
    request.extensions_mut().insert(seen.clone());
    let by_address = limits.addresses.as_ref().zip(address);
    if let Some((limiter, address)) = by_address {
        let standing = limiter.check(address);
        if let Err(error) = pass(standing) {
            return with_standing(error.into_response(), Some(standing));
        }
    }
    let Ok(_place) = limits.in_flight.try_acquire() else {
        return overloaded().into_response();
    };
    let response = next.run(request).await;
    if let Some((limiter, address)) = by_address
        && response.status() == StatusCode::UNAUTHORIZED
    {
        limiter.punish(address);
    }
    with_standing(response, seen.standing())
}

/// Counts a request of somebody known.
///
/// # Errors
/// `RateLimited`.
pub(crate) fn count_principal(
    state: &ApiState,
    seen: Option<&Seen>,
    context: &OpContext,
) -> Result<(), ApiError> {
    // With all API keys together: another key is no other caller.
    let Some(user_id) = context.actor.user_id() else {
        return Ok(());
    };
    let Some(limiter) = &state.rate_limits.principals else {
        return Ok(());
    };
    let standing = limiter.check(user_id.as_uuid());
    if let Some(seen) = seen {
        seen.note(standing);
    }
    pass(standing)
}

fn pass(standing: Standing) -> Result<(), ApiError> {
    let Some(seconds) = standing.wait_seconds else {
        return Ok(());
    };
    let message = "Too many requests. Wait as long as Retry-After says, then go on more slowly.";
    let mut fault = Fault::new(ErrorKind::RateLimited, "rate_limited", message);
    fault.retry_after_seconds = Some(seconds);
    Err(fault.into())
}

fn overloaded() -> ApiError {
    let message = "The server has too much to do at the moment. Try again with the same \
                   idempotency key.";
    Fault::new(ErrorKind::Upstream, "overloaded", message).into()
}

/// The network that a request counts for; none for the local socket.
fn network(peer: &Peer) -> Option<IpAddr> {
    match peer {
        Peer::Network(address) => Some(caller_network(*address)),
        Peer::LocalOperator { .. } => None,
    }
}

fn with_standing(mut response: Response, standing: Option<Standing>) -> Response {
    let Some(standing) = standing else {
        return response;
    };
    let Standing {
        name,
        burst,
        remaining,
        ..
    } = standing;
    let wait = standing.wait_seconds.map(|wait| format!(";t={wait}"));
    let policy = format!("\"{name}\";q={burst};w={BURST_FACTOR}");
    let limit = format!("\"{name}\";r={remaining}{}", wait.unwrap_or_default());
    for (name, value) in [("ratelimit-policy", policy), ("ratelimit", limit)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests;
