//! A bounded map with an optional age limit, for what would otherwise be read from the database on
//! every issuance.
//!
//! Values are cheap to clone (an `Arc`). What leaves the cache is dropped; secrets inside wipe
//! themselves.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// A bounded map. Shared by reference.
pub(crate) struct Cache<K, V> {
    entries: Mutex<HashMap<K, Entry<V>>>,
    entries_max: usize,
    age_max: Option<TimeDelta>,
}

struct Entry<V> {
    value: V,
    stored_at: DateTime<Utc>,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// An empty cache of at most `entries_max` values, each used for at most `age_max`.
    pub(crate) fn new(entries_max: usize, age_max: Option<TimeDelta>) -> Self {
        Self {
            entries: Mutex::new(HashMap::new()),
            entries_max,
            age_max,
        }
    }

    /// The value, unless it is absent or too old.
    pub(crate) fn find(&self, key: &K, now: DateTime<Utc>) -> Option<V> {
        let entries = self.lock();
        let entry = entries.get(key)?;
        self.is_fresh(entry, now).then(|| entry.value.clone())
    }

    /// Stores a value. A full cache first loses what is too old, else its oldest value.
    pub(crate) fn store(&self, key: K, value: V, now: DateTime<Utc>) {
        let mut entries = self.lock();
        if entries.len() >= self.entries_max && !entries.contains_key(&key) {
            entries.retain(|_, entry| self.is_fresh(entry, now));
        }
        if entries.len() >= self.entries_max && !entries.contains_key(&key) {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.stored_at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                entries.remove(&oldest);
            }
        }
        entries.insert(
            key,
            Entry {
                value,
                stored_at: now,
            },
        );
    }

    /// Forgets a value.
    pub(crate) fn forget(&self, key: &K) {
        self.lock().remove(key);
    }

    /// Forgets every value that `is_meant`.
    pub(crate) fn forget_where(&self, is_meant: impl Fn(&K, &V) -> bool) {
        self.lock()
            .retain(|key, entry| !is_meant(key, &entry.value));
    }

    fn is_fresh(&self, entry: &Entry<V>, now: DateTime<Utc>) -> bool {
        // A clock that was set back makes an entry look young for long: such an entry is stale as
        // well.
        self.age_max.is_none_or(|age_max| {
            let age = now - entry.stored_at;
            age >= TimeDelta::zero() && age <= age_max
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Entry<V>>> {
        // No code runs under the lock that could leave the map half changed.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
