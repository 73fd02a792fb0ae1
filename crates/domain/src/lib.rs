//! The vocabulary of the platform: typed identifiers, names, states, reasons, error kinds and
//! plain data such as [`certificate_plan::CertificatePlan`].
//!
//! Nothing here performs IO, reads a clock, or knows SQL or HTTP. Time and randomness are passed
//! in through [`clock::Clock`] and [`clock::Rng`]. Start with [`ids`] and [`certificate_plan`].

pub mod actor;
pub mod audit;
pub mod certificate_plan;
pub mod clock;
pub mod error;
pub mod general_name;
pub mod ids;
pub mod issuer_limits;
pub mod key_algorithm;
pub mod limits;
pub mod networks;
pub mod oid;
pub mod permission;
pub mod secret;
pub mod states;
