//! Makes private keys. An RSA key takes a hundred times as long as its first signature, so these
//! are made on threads of their own, no more at once than the machine has processors, and a few can
//! be kept ready.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clm_domain::error::{ErrorKind, Fault};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_pki::key::PrivateKey;
use tokio::sync::{Mutex, Semaphore, mpsc};

use crate::error::Failure;

/// How long a request waits for its turn to make an RSA key.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// How long the maker of keys rests after a failure.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(10);
/// The algorithms of which keys are kept ready.
const MADE_AHEAD: [KeyAlgorithm; 2] = [KeyAlgorithm::Rsa2048, KeyAlgorithm::Rsa3072];

/// Makes private keys.
pub(crate) struct KeyFactory {
    turns: Arc<Semaphore>,
    ready: HashMap<KeyAlgorithm, Mutex<mpsc::Receiver<PrivateKey>>>,
}

impl KeyFactory {
    /// A factory that keeps about `keys_ahead` keys of each common RSA size ready; zero keeps none.
    /// The makers stop when the factory is dropped. Must be called within a Tokio runtime when
    /// `keys_ahead` is not zero.
    pub(crate) fn new(keys_ahead: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let turns = Arc::new(Semaphore::new(processors));
        // Of its own and alone, so that keys for later do not hold up a key for now.
        let turn_ahead = Arc::new(Semaphore::new(1));
        let mut ready = HashMap::new();
        if keys_ahead > 0 {
            for algorithm in MADE_AHEAD {
                let (sender, receiver) = mpsc::channel(keys_ahead);
                tokio::spawn(keep_ready(algorithm, Arc::clone(&turn_ahead), sender));
                ready.insert(algorithm, Mutex::new(receiver));
            }
        }
        Self { turns, ready }
    }

    /// A fresh key.
    ///
    /// # Errors
    /// `KeyUnavailable` when too many are being made; [`Failure::Internal`] when making one fails.
    pub(crate) async fn generate(&self, algorithm: KeyAlgorithm) -> Result<PrivateKey, Failure> {
        if !algorithm.is_rsa() {
            return PrivateKey::generate(algorithm)
                .map_err(|error| Failure::Internal(error.to_string()));
        }
        if let Some(ready) = self.ready.get(&algorithm)
            && let Ok(key) = ready.lock().await.try_recv()
        {
            return Ok(key);
        }
        match tokio::time::timeout(WAIT_MAX, make(algorithm, &self.turns)).await {
            Ok(made) => made,
            Err(_) => {
                let message = "Too many keys are being made at the moment. Try again, or ask for \
                    an ECDSA key, which takes no time.";
                Err(Fault::new(ErrorKind::KeyUnavailable, "key_generation_busy", message).into())
            }
        }
    }
}

/// Makes keys for as long as somebody takes them.
async fn keep_ready(
    algorithm: KeyAlgorithm,
    turns: Arc<Semaphore>,
    sender: mpsc::Sender<PrivateKey>,
) {
    loop {
        // Room first: otherwise one more key than asked for would lie around.
        let Ok(room) = sender.reserve().await else {
            return;
        };
        match make(algorithm, &turns).await {
            Ok(key) => room.send(key),
            Err(failure) => {
                tracing::error!(
                    key.algorithm = %algorithm, error = %failure,
                    "keys cannot be made ahead"
                );
                tokio::time::sleep(REST_AFTER_FAILURE).await;
            }
        }
    }
}

async fn make(algorithm: KeyAlgorithm, turns: &Arc<Semaphore>) -> Result<PrivateKey, Failure> {
    let internal = |error: &dyn std::error::Error| Failure::Internal(error.to_string());
    let turn = Arc::clone(turns)
        .acquire_owned()
        .await
        .map_err(|error| internal(&error))?;
    tokio::task::spawn_blocking(move || {
        // Held by the thread: it cannot be stopped when nobody waits for the key any more.
        let _turn = turn;
        PrivateKey::generate(algorithm)
    })
    .await
    .map_err(|error| internal(&error))?
    .map_err(|error| internal(&error))
}
