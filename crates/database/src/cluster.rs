//! The private cluster.
