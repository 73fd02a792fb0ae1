//! Core and Secure Service in processes of their own, each on its own database, as on two hosts.

mod operator;
mod pairing;
