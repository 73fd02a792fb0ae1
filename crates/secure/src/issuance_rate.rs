//! The issuance rate of each issuer: a sliding window of one minute, kept in memory.
//!
//! With several processes each keeps its own window, so the effective bound is the limit times
//! their number. A restart empties the windows.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::IssuerId;

/// The length of the window, in seconds.
const WINDOW_SECONDS: i64 = 60;

/// When each issuer issued within the last minute.
#[derive(Default)]
pub(crate) struct IssuanceRates {
    windows: Mutex<HashMap<IssuerId, VecDeque<DateTime<Utc>>>>,
}

impl IssuanceRates {
    /// Takes one of the issuances that `limit` allows per minute. An attempt that fails later has
    /// used it up.
    ///
    /// # Errors
    /// [`ErrorKind::RateLimited`] with the number of seconds to wait.
    pub(crate) fn take(
        &self,
        issuer_id: IssuerId,
        limit: Option<u32>,
        now: DateTime<Utc>,
    ) -> Result<(), Fault> {
        let Some(limit) = limit else { return Ok(()) };
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(issuer_id).or_default();
        let begin = now - TimeDelta::seconds(WINDOW_SECONDS);
        while window.front().is_some_and(|issued_at| *issued_at <= begin) {
            window.pop_front();
        }
        if u32::try_from(window.len()).is_ok_and(|issued| issued < limit) {
            window.push_back(now);
            return Ok(());
        }
        let wait = window
            .front()
            .map_or(WINDOW_SECONDS, |oldest| (*oldest - begin).num_seconds() + 1);
        let mut fault = Fault::new(
            ErrorKind::RateLimited,
            "issuer_rate_exceeded",
            format!(
                "This issuer signs at most {limit} certificates in a minute. Try again in {wait} \
                 seconds."
            ),
        );
        fault.retry_after_seconds = u32::try_from(wait).ok();
        Err(fault)
    }
}

#[cfg(test)]
mod tests;
