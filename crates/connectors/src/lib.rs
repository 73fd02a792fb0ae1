//! The outside world: where the platform sends to. Later also where it deploys to, and whom it asks.
//!
//! Knows no SQL, and nothing of the acts behind a message. Start with [`notify`].

pub mod notify;
