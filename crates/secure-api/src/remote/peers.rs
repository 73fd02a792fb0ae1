//! How many connections each peer has: one is what a core uses, and none may keep the others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use clm_domain::ids::TransportPeerId;

/// Most connections of one peer: the one in use, those that end, those of commands beside the server.
const CONNECTIONS_MAX: usize = 16;

/// Connections by peer.
#[derive(Clone, Default)]
pub(super) struct Peers(Arc<Mutex<HashMap<TransportPeerId, usize>>>);

/// One connection; ends when dropped.
pub(super) struct Place {
    peers: Peers,
    id: TransportPeerId,
}

impl Peers {
    /// A place for one more connection; none when the peer has too many.
    pub(super) fn begin(&self, id: TransportPeerId) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(id).or_default();
        if *count >= CONNECTIONS_MAX {
            return None;
        }
        *count += 1;
        let peers = self.clone();
        Some(Place { peers, id })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.id) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_peer_has_so_many_places_and_leaves_those_of_others() {
        let peers = Peers::default();
        let [one, other] = [1, 2].map(|number| TransportPeerId::from_uuid(Uuid::from_u128(number)));
        let mut places: Vec<_> = (0..CONNECTIONS_MAX).map(|_| peers.begin(one)).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(peers.begin(one).is_none());
        assert!(peers.begin(other).is_some());
        places.pop();
        assert!(peers.begin(one).is_some(), "one has ended");
        drop(places);
        assert!(peers.0.lock().unwrap().is_empty());
    }
}
