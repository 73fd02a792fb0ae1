//! Time and randomness that a test decides.

use std::sync::Mutex;

use chrono::{DateTime, Duration, Utc};
use clm_domain::clock::{Clock, Rng};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock(Mutex<DateTime<Utc>>);

impl ManualClock {
    /// A clock that stands at `now`.
    pub const fn at(now: DateTime<Utc>) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves the clock.
    ///
    /// # Panics
    /// When another thread panicked while it held the clock.
    pub fn advance(&self, by: Duration) {
        *self
            .0
            .lock()
            .expect("no test panics while it holds the clock") += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self
            .0
            .lock()
            .expect("no test panics while it holds the clock")
    }
}

/// Bytes that follow from a seed.
#[derive(Debug)]
pub struct SeededRng(Mutex<ChaCha20Rng>);

impl SeededRng {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(ChaCha20Rng::seed_from_u64(seed)))
    }
}

impl Rng for SeededRng {
    fn fill(&self, buffer: &mut [u8]) {
        self.0
            .lock()
            .expect("no test panics while it holds the rng")
            .fill_bytes(buffer);
    }
}
