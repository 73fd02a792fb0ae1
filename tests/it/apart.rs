//! Core and Secure Service in processes of their own, each on its own database, as on two hosts.

mod forged;
mod operator;
mod pairing;
pub(crate) mod peer;
mod renewal;
mod starts;
mod strangers;
mod tokens;
