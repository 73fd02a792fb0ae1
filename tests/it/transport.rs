//! The gate of the Secure Service for programs in other processes, on a real database: its
//! authority, tokens, certificates, and their end. How that looks through TLS is in `connection`.

mod authority;
pub(crate) mod bench;
mod connection;
mod peers;
mod tokens;
