//! Whole-application tests: the program is started as its users start it, and judged from outside.
//! One binary, one module per concern.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that meets something unexpected fails where it stands"
)]

mod access_coverage;
mod apart;
mod api_keys;
mod audit_coverage;
mod bad_input;
mod crash;
mod database_roles;
mod embedded;
mod idempotency;
mod issuance;
mod key_rotation;
mod mail;
mod master_key;
mod openapi_conformance;
mod organizations;
mod own_credentials;
mod rate_limits;
mod remote_transport;
mod replicas;
mod roles;
mod sealing;
mod second_factor;
mod secrets;
mod step_up;
mod support;
mod transport;
mod two_organizations;
mod users;
