//! Core and Secure Service in processes of their own, each on its own database, as on two hosts.

mod callers;
mod confined;
mod forged;
mod operator;
mod pairing;
mod renewal;
mod starts;
mod strangers;
mod tokens;
pub(crate) mod visitor;
