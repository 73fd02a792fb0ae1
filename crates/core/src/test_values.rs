//! Clock and randomness for unit tests: both only do what the test says.

use std::sync::atomic::{AtomicU8, Ordering};

use chrono::{DateTime, Utc};
use clm_domain::clock::Rng;

/// Fills each buffer with one byte, which counts up: predictable, and different every time.
#[derive(Default)]
pub(crate) struct CountingRng(AtomicU8);

impl Rng for CountingRng {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

/// So many seconds after a fixed moment.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}
