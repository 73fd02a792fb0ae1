//! The real clock and the real source of randomness.

use chrono::{DateTime, Utc};
use clm_domain::clock::{Clock, Rng};

/// The wall clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the program reads the clock"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// The operating system's CSPRNG.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, buffer: &mut [u8]) {
        if getrandom::fill(buffer).is_err() {
            // Without randomness no key, serial number or token may be made: there is no safe way
            // on, and no caller could do better.
            tracing::error!("the operating system gives no random bytes");
            std::process::abort();
        }
    }
}
