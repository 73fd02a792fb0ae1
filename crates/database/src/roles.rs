//! Database roles.
