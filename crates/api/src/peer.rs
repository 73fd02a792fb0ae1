//! Who is at the other end of a connection. The listener inserts it into each request; a request
//! without one is treated as coming from nowhere and gets no trust.

use std::net::IpAddr;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A network address: the peer's own, or what a trusted proxy reports.
    Network(IpAddr),
    /// A process on this machine, through `clm.sock`, whose user the kernel vouches for and the
    /// listener has checked.
    LocalOperator {
        /// The operating-system user.
        uid: u32,
    },
}
