//! The only request and response types of REST v1, and the typed client behind feature `client`.
//!
//! Times are RFC 3339 in UTC, identifiers are UUIDs, binary values are lower-case hexadecimal or
//! PEM. Fields that a request does not know are refused. Knows no SQL.

pub mod access;
pub mod api_keys;
pub mod certificate_authorities;
pub mod certificate_requests;
pub mod certificates;
#[cfg(feature = "client")]
pub mod client;
pub mod encryption_keys;
pub mod health;
pub mod key_rotations;
pub mod master_key;
pub mod members;
pub mod organizations;
pub mod page;
pub mod password_resets;
pub mod patch;
pub mod problem;
pub mod role_assignments;
pub mod roles;
pub mod second_factor;
pub mod sessions;
pub mod users;

/// The path prefix of REST v1.
pub const BASE_PATH: &str = "/api/v1";
/// The name of the session cookie. The `__Host-` prefix makes browsers refuse it from anywhere but
/// this very host, over TLS or loopback.
pub const SESSION_COOKIE: &str = "__Host-clm_session";
/// The header that carries the CSRF token of a session.
pub const CSRF_HEADER: &str = "x-csrf-token";
/// The header of the idempotency key.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";
/// The header with a step-up proof.
pub const STEP_UP_HEADER: &str = "clm-step-up";
/// The header with the id of the request, also in logs and audit events.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// The header by which the local operator names the organization to act for (only on `clm.sock`).
pub const ORGANIZATION_HEADER: &str = "x-clm-organization";
