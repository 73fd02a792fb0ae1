//! What whole-application tests share: the program itself, started as its users start it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot be set up fails where it stands"
)]

pub mod apart;
pub mod authenticator;
pub mod databases;
pub mod openssl;
pub mod program;
pub mod replicas;
pub mod rest;
pub mod soak;
pub mod step_up;
pub mod tenancy;
pub mod tenant;

pub use apart::Apart;
pub use program::Program;
pub use soak::Soak;
