//! Hashing and checking passwords with Argon2id (RFC 9106), and the rule for new ones.
//!
//! Each hash costs memory and time on purpose, so only a few run at once, on threads of their own.
//! Never compare, log or store a password anywhere else.

mod strength;

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use clm_domain::clock::{Rng, random_bytes};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::limits::{PASSWORD_BYTES_MAX, PASSWORD_CHARACTERS_MIN};
use clm_domain::secret::SecretString;
use tokio::sync::Semaphore;

pub use strength::{check_strength, own_words};

use crate::error::{CoreError, Result};

/// Length of a salt, in bytes (RFC 9106 §3.1).
const SALT_BYTES: usize = 16;
/// Length of a hash, in bytes.
const HASH_BYTES: usize = Params::DEFAULT_OUTPUT_LEN;
/// How long a sign-in waits for its turn before the platform says that it is busy.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Most passwords that are checked or wait for it at once.
const QUEUE_PLACES_MAX: usize = 64;

/// How hard passwords are hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordHashing {
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
    /// Most hashes that are computed at the same time.
    pub concurrent_max: usize,
}

impl Default for PasswordHashing {
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1024,
            iterations: 2,
            parallelism: 1,
            concurrent_max: 2,
        }
    }
}

/// Hashes and checks passwords, a few at a time.
pub struct PasswordHasher {
    hashing: PasswordHashing,
    turns: Arc<Semaphore>,
    /// Those who wait for their turn, and those who have it.
    queue: Semaphore,
    unknown: String,
}

impl PasswordHasher {
    /// A hasher for new passwords; existing hashes are checked with the parameters that they name.
    pub fn new(hashing: PasswordHashing) -> Self {
        let turns = Arc::new(Semaphore::new(hashing.concurrent_max.max(1)));
        let unknown = hash_of_nothing(&hashing);
        Self {
            hashing,
            queue: Semaphore::new(QUEUE_PLACES_MAX),
            turns,
            unknown,
        }
    }

    /// The PHC string of a password. [`check_policy`] comes first.
    ///
    /// # Errors
    /// `RateLimited` when too many wait; `Internal` when the parameters are out of range.
    pub async fn hash(&self, password: &SecretString, rng: &dyn Rng) -> Result<String> {
        let salt: [u8; SALT_BYTES] = random_bytes(rng);
        let argon2 = self.argon2()?;
        self.work(password.clone(), move |password| {
            let hash: PasswordHash = argon2.hash_password_with_salt(password, &salt)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether `password` is the one behind the PHC string `phc`.
    ///
    /// # Errors
    /// `RateLimited` when too many wait; `Internal` when `phc` is not a hash that can be checked.
    pub async fn verify(&self, password: &SecretString, phc: &str) -> Result<bool> {
        match bounded(password) {
            Some(password) => self.compare(password, phc.to_owned()).await,
            // Nobody has such a password; the work stays the same as for one that somebody has.
            None => self.verify_unknown(password).await.map(|()| false),
        }
    }

    /// Does the work of [`Self::verify`] for a user that does not exist, so that nobody can tell
    /// from the time whether one does.
    ///
    /// # Errors
    /// Those of [`Self::verify`].
    pub async fn verify_unknown(&self, password: &SecretString) -> Result<()> {
        let password = bounded(password).unwrap_or_else(|| SecretString::new(String::new()));
        self.compare(password, self.unknown.clone())
            .await
            .map(|_| ())
    }

    async fn compare(&self, password: SecretString, phc: String) -> Result<bool> {
        self.work(password, move |password| {
            let hash = PasswordHash::new(&phc)?;
            match Argon2::default().verify_password(password, &hash) {
                Ok(()) => Ok(true),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// [`check_strength`], on the threads of the hasher: it may take some milliseconds. `words` are those
    /// of [`own_words`].
    ///
    /// # Errors
    /// `Invalid`, naming `field`; `RateLimited` when too many wait.
    pub async fn judge(
        &self,
        password: &SecretString,
        words: Vec<String>,
        field: &'static str,
    ) -> Result<()> {
        let judged = password.clone();
        self.work(password.clone(), move |_| {
            Ok(check_strength(&judged, &words, field))
        })
        .await?
    }

    /// Whether a hash was made with other parameters than new ones are.
    pub fn needs_rehash(&self, phc: &str) -> bool {
        let Ok(hash) = PasswordHash::new(phc) else {
            return true;
        };
        let Ok(params) = Params::try_from(&hash) else {
            return true;
        };
        hash.algorithm != Algorithm::Argon2id.ident()
            || hash.version != Some(Version::V0x13.into())
            || params.m_cost() != self.hashing.memory_kib
            || params.t_cost() != self.hashing.iterations
            || params.p_cost() != self.hashing.parallelism
    }

    fn argon2(&self) -> Result<Argon2<'static>> {
        let PasswordHashing {
            memory_kib,
            iterations,
            parallelism,
            ..
        } = self.hashing;
        let params = Params::new(memory_kib, iterations, parallelism, Some(HASH_BYTES))
            .map_err(|error| CoreError::internal(&error))?;
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }

    /// Runs `act` on a thread for blocking work once it is its turn. The turn ends with the work,
    /// not with the caller, who may have gone.
    async fn work<T, F>(&self, password: SecretString, act: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&[u8]) -> argon2::password_hash::Result<T> + Send + 'static,
    {
        // Beyond a short queue nobody waits: a flood must not hold everybody's memory.
        let _place = self.queue.try_acquire().map_err(|_| busy())?;
        let turn = tokio::time::timeout(WAIT_MAX, Arc::clone(&self.turns).acquire_owned())
            .await
            .map_err(|_| busy())?
            .map_err(|error| CoreError::internal(&error))?;
        tokio::task::spawn_blocking(move || {
            let outcome = act(password.expose().as_bytes());
            drop(turn);
            outcome
        })
        .await
        .map_err(|error| CoreError::internal(&error))?
        .map_err(|error| CoreError::internal(&error))
    }
}

/// The password, unless it is longer than any that is hashed.
fn bounded(password: &SecretString) -> Option<SecretString> {
    (password.expose().len() <= PASSWORD_BYTES_MAX).then(|| password.clone())
}

fn busy() -> CoreError {
    Fault::new(
        ErrorKind::RateLimited,
        "sign_in_busy",
        "Too many passwords are being checked at once. Try again in a moment.",
    )
    .into()
}

/// A PHC string that no password has: its hash is all zeros.
fn hash_of_nothing(hashing: &PasswordHashing) -> String {
    let PasswordHashing {
        memory_kib,
        iterations,
        parallelism,
        ..
    } = hashing;
    let salt = STANDARD_NO_PAD.encode([0_u8; SALT_BYTES]);
    let hash = STANDARD_NO_PAD.encode([0_u8; HASH_BYTES]);
    format!("$argon2id$v=19$m={memory_kib},t={iterations},p={parallelism}${salt}${hash}")
}

/// Refuses a new password that is too weak for the user; `field` is where it was written.
///
/// # Errors
/// `Invalid`, naming `field`.
pub fn check_policy(password: &SecretString, username: &str, field: &'static str) -> Result<()> {
    let text = password.expose();
    if text.chars().count() < PASSWORD_CHARACTERS_MIN {
        let message =
            format!("The password must have at least {PASSWORD_CHARACTERS_MIN} characters.");
        return Err(Fault::invalid("password_too_short", field, message).into());
    }
    if text.len() > PASSWORD_BYTES_MAX {
        let message = format!("The password must have at most {PASSWORD_BYTES_MAX} bytes.");
        return Err(Fault::invalid("password_too_long", field, message).into());
    }
    if text.trim().to_lowercase() == username.trim().to_lowercase() {
        let message = "The password must not be the user's name.";
        return Err(Fault::invalid("password_is_username", field, message).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
