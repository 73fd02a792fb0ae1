//! Places that are given to many: so many in all, and so many to each, so that nobody takes those of the
//! others.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Places under way, by who has them.
pub struct Places<K> {
    taken: Arc<Mutex<HashMap<K, usize>>>,
    each_max: usize,
    all_max: usize,
}

/// One place; given back when dropped.
pub struct Place<K: Eq + Hash> {
    taken: Arc<Mutex<HashMap<K, usize>>>,
    holder: K,
}

impl<K: Clone + Eq + Hash> Places<K> {
    /// As many as `each_max` for each and `all_max` together.
    pub fn new(each_max: usize, all_max: usize) -> Self {
        Self {
            taken: Arc::default(),
            each_max,
            all_max,
        }
    }

    /// One more place; none when there are too many.
    pub fn take(&self, holder: K) -> Option<Place<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&holder).copied().unwrap_or_default();
        if own >= self.each_max || taken.values().sum::<usize>() >= self.all_max {
            return None;
        }
        taken.insert(holder.clone(), own + 1);
        let taken = Arc::clone(&self.taken);
        Some(Place { taken, holder })
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.holder) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                taken.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_places_of_others() {
        let places = Places::new(16, 20);
        let mut of_one: Vec<_> = (0..16).map(|_| places.take(1)).collect();
        assert!(of_one.iter().all(Option::is_some));
        assert!(places.take(1).is_none());
        let of_other: Vec<_> = (0..5).map(|_| places.take(2)).collect();
        assert_eq!(of_other.iter().flatten().count(), 4, "twenty in all");
        of_one.pop();
        assert!(places.take(1).is_some(), "one was given back");
        drop((of_one, of_other));
        assert!(places.taken.lock().unwrap().is_empty());
    }
}
