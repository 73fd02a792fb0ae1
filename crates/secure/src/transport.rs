//! Who may call from another process, and with what: an authority of the service's own, the
//! programs that were paired with it, and the certificates of both sides.
//!
//! The authority is neither issuer nor certificate of the platform, so that no command names it;
//! its key is one of `private_keys`, so that rotation seals it anew with the others. Start with
//! [`TransportGate`], then [`pairing`].

mod authority;
mod gate;
mod identity;
mod judge;
pub mod pairing;

pub use gate::TransportGate;
pub use identity::ServerIdentity;
