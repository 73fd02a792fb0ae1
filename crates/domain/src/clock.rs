//! Time and randomness as values that are passed in, so that tests decide both.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Where the current time comes from.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> DateTime<Utc>;
}

/// Where unpredictable bytes come from. The production implementation is a CSPRNG.
pub trait Rng: Send + Sync {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// `N` random bytes.
pub fn random_bytes<const N: usize>(rng: &dyn Rng) -> [u8; N] {
    let mut bytes = [0_u8; N];
    rng.fill(&mut bytes);
    bytes
}

/// A UUID version 7 (RFC 9562 §5.7): millisecond timestamp, then random bits.
pub fn uuid_v7(now: DateTime<Utc>, rng: &dyn Rng) -> Uuid {
    let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    let random: [u8; 10] = random_bytes(rng);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// `time` cut to whole milliseconds, the resolution of a UUIDv7.
///
/// Audit rows carry this value, because the database ties their timestamp to their id.
pub fn whole_milliseconds(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(time.timestamp_millis()).unwrap_or(time)
}
