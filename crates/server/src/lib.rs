//! Composition of the program: configuration, start and stop order, listeners, the embedded mode,
//! bootstrap, and background loops. Holds no business logic. Start with [`serve`].

pub mod admin;
mod background;
mod beginning;
mod bootstrap;
pub mod configuration;
mod confinement;
mod connection;
pub mod doctor;
mod embedded;
mod environment;
mod files;
mod hardening;
mod layout;
mod listeners;
mod lock;
pub mod pairing;
mod privileges;
mod secure_away;
pub mod serve;
mod services;
mod tls;
mod transport_files;
mod transport_server;

pub use bootstrap::BootstrapFile;
pub use clm_database::pool::Database;
pub use clm_secure::{check_value_of_copy, check_value_of_shares};
pub use configuration::{Configuration, Role};
pub use environment::{SystemClock, SystemRng};
pub use layout::{find_data_directory, find_socket};

/// PEM of a PKCS#10 request that came as DER.
pub fn csr_pem(der: &[u8]) -> String {
    bootstrap::pem("CERTIFICATE REQUEST", der)
}

/// The OpenAPI document of REST v1, as pretty JSON: what `docs/api/openapi.json` holds.
///
/// # Errors
/// Those of the serializer.
pub fn openapi_json() -> anyhow::Result<String> {
    Ok(clm_api::openapi().to_pretty_json()? + "\n")
}
