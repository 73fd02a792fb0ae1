//! Limits with units. Each bounds something that comes from outside.

/// Largest PKCS#10 request in DER, in bytes. A request with 1,000 names stays well below.
pub const CSR_DER_BYTES_MAX: usize = 64 * 1024;
/// Most subject alternative names in one certificate.
pub const SUBJECT_ALTERNATIVE_NAMES_MAX: usize = 1_000;
/// Longest subject in DER, in bytes.
pub const SUBJECT_DER_BYTES_MAX: usize = 8 * 1024;
/// Largest certificate that we parse, in bytes of DER.
pub const CERTIFICATE_DER_BYTES_MAX: usize = 256 * 1024;
/// Largest REST request body, in bytes.
pub const REQUEST_BODY_BYTES_MAX: usize = 256 * 1024;
/// Most rows on one page of a list.
pub const PAGE_SIZE_MAX: u32 = 1_000;
/// Rows on one page when the caller names no number.
pub const PAGE_SIZE_DEFAULT: u32 = 100;
/// Longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// How long an idempotency key is remembered, in hours.
pub const IDEMPOTENCY_RETENTION_HOURS: i64 = 24;
/// Longest password that is hashed, in bytes: hashing time must not follow the caller's wish.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Shortest password, in characters.
pub const PASSWORD_CHARACTERS_MIN: usize = 12;
/// Most events that one pull of the outbox returns.
pub const EVENT_BATCH_MAX: u32 = 500;
/// Longest reason that a person gives for an act, in characters.
pub const REASON_CHARACTERS_MAX: usize = 1_000;
/// Longest time between two scheduled rotations of a key, in days.
pub const ROTATION_SCHEDULE_DAYS_MAX: u32 = 3_650;
/// Highest throttle of a rotation, in secrets a second; more than any installation reaches.
pub const ROTATION_ITEMS_PER_SECOND_MAX: u32 = 1_000_000;
/// Most tags on a certificate.
pub const TAGS_MAX: usize = 50;
/// Longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 128;
/// Fewest shares that open a split master key: with one, nobody would need another.
pub const MASTER_KEY_THRESHOLD_MIN: u8 = 2;
/// Most shares of a split master key.
pub const MASTER_KEY_SHARES_MAX: u8 = 16;
/// How long shares of a master key are kept while others are waited for, in minutes.
pub const UNSEAL_MINUTES_MAX: i64 = 15;
/// Longest secret that is sealed for the core, in bytes.
pub const SECRET_BYTES_MAX: usize = 16 * 1_024;
/// Longest message that is signed for a webhook, in bytes.
pub const WEBHOOK_BODY_BYTES_MAX: usize = 256 * 1_024;
/// Longest name of an account in the address of a second factor, in characters.
pub const TOTP_LABEL_CHARACTERS_MAX: usize = 200;
/// Most data keys that a rotation of the master key may leave behind because they do not open.
pub const GIVEN_UP_KEYS_MAX: usize = 1_000;
