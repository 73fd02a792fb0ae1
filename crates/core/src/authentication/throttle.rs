//! Holds up sign-ins from addresses that keep failing, whatever names they try.
//!
//! In the memory of this process, so that a refusal costs neither a hash nor a query. Of IPv6 an
//! address here is the first 64 bits: whoever has one has all others behind them. What comes by the
//! local socket has no address and is not held up.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clm_domain::error::{ErrorKind, Fault};
use clm_domain::networks::caller_network;
use tokio::time::Instant;

use crate::error::{CoreError, Result};

/// So many failed sign-ins from one address are free: several people may be behind it.
const FAILURES_FREE: u32 = 20;
/// So many are forgiven for a sign-in that succeeds.
const FAILURES_FORGIVEN: u32 = 5;
/// The first pause; each further failure doubles it.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);
/// An address that has not failed for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);
/// Most addresses; whoever failed longest ago is forgotten for one more.
const ADDRESSES_MAX: usize = 10_000;

/// Failed sign-ins by address.
#[derive(Default)]
pub struct SignInThrottle {
    addresses: Mutex<HashMap<IpAddr, Failures>>,
}

struct Failures {
    count: u32,
    last: Instant,
    held_up_until: Instant,
}

impl SignInThrottle {
    /// Lets a sign-in from an address pass, or says when to come back.
    ///
    /// # Errors
    /// `RateLimited` with code `too_many_failed_sign_ins`.
    pub(crate) fn admit(&self, network: Option<IpAddr>) -> Result<()> {
        let Some(network) = network else {
            return Ok(());
        };
        let now = Instant::now();
        let addresses = self.addresses();
        let held_up = addresses
            .get(&network)
            .map(|failures| failures.held_up_until)
            .filter(|until| *until > now);
        match held_up {
            None => Ok(()),
            Some(until) => {
                metrics::counter!("clm_sign_ins_held_up_total").increment(1);
                Err(held_up_for(until - now))
            }
        }
    }

    /// Counts a sign-in that failed.
    pub(crate) fn failed(&self, network: Option<IpAddr>) {
        let Some(network) = network else {
            return;
        };
        let now = Instant::now();
        let mut addresses = self.addresses();
        if addresses.len() >= ADDRESSES_MAX && !addresses.contains_key(&network) {
            make_room(&mut addresses, now);
        }
        let failures = addresses.entry(network).or_insert(Failures {
            count: 0,
            last: now,
            held_up_until: now,
        });
        if now.duration_since(failures.last) > FORGOTTEN_AFTER {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        failures.held_up_until = now + pause_after(failures.count);
    }

    /// Forgives some failures from an address, after a sign-in that succeeded: not all, or whoever has
    /// one account could guess at others without an end.
    pub(crate) fn succeeded(&self, network: Option<IpAddr>) {
        let Some(network) = network else {
            return;
        };
        let mut addresses = self.addresses();
        let Some(failures) = addresses.get_mut(&network) else {
            return;
        };
        failures.count = failures.count.saturating_sub(FAILURES_FORGIVEN);
        failures.held_up_until = Instant::now();
        if failures.count == 0 {
            addresses.remove(&network);
        }
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, Failures>> {
        // No code in here panics halfway through a change.
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what is old, or else whoever failed longest ago.
fn make_room(addresses: &mut HashMap<IpAddr, Failures>, now: Instant) {
    addresses.retain(|_, failures| now.duration_since(failures.last) <= FORGOTTEN_AFTER);
    if addresses.len() < ADDRESSES_MAX {
        return;
    }
    let oldest = addresses.iter().min_by_key(|(_, failures)| failures.last);
    if let Some(oldest) = oldest.map(|(network, _)| *network) {
        addresses.remove(&oldest);
    }
}

/// How long an address is held up after so many failures.
fn pause_after(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(FAILURES_FREE + 1) else {
        return Duration::ZERO;
    };
    let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
    PAUSE_FIRST.saturating_mul(factor).min(PAUSE_MAX)
}

fn held_up_for(rest: Duration) -> CoreError {
    let message = "Too many sign-ins from your address have failed. Wait, then try again.";
    let mut fault = Fault::new(ErrorKind::RateLimited, "too_many_failed_sign_ins", message);
    let seconds = rest.as_secs().saturating_add(1);
    fault.retry_after_seconds = u32::try_from(seconds).ok();
    fault.into()
}

/// The network that a sign-in counts for; none without an address.
pub(crate) fn network_of(address: Option<&str>) -> Option<IpAddr> {
    address?.parse().ok().map(caller_network)
}

#[cfg(test)]
mod tests;
