//! So many acts in any one minute: a sliding window for each key, kept in memory.
//!
//! With several processes each keeps its own window, so the effective bound is the limit times
//! their number. A restart empties the windows.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// The length of the window, in seconds.
const WINDOW_SECONDS: i64 = 60;

/// When the acts of the last minute were.
pub(crate) struct Rates<K> {
    windows: Mutex<HashMap<K, VecDeque<DateTime<Utc>>>>,
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self {
            windows: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash> Rates<K> {
    /// Takes one of the acts that `limit` allows per minute. An attempt that fails later has used it
    /// up. Otherwise after how many seconds there is another one.
    pub(crate) fn take(&self, key: K, limit: u32, now: DateTime<Utc>) -> Result<(), i64> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(key).or_default();
        let begin = now - TimeDelta::seconds(WINDOW_SECONDS);
        while window.front().is_some_and(|acted_at| *acted_at <= begin) {
            window.pop_front();
        }
        if u32::try_from(window.len()).is_ok_and(|acts| acts < limit) {
            window.push_back(now);
            return Ok(());
        }
        Err(window
            .front()
            .map_or(WINDOW_SECONDS, |oldest| (*oldest - begin).num_seconds() + 1))
    }
}
