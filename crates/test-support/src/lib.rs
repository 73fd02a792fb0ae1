//! What tests share: a private PostgreSQL with both databases, a clock that stands still, and
//! randomness from a seed. Never a normal dependency.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot be set up fails where it stands"
)]

pub mod cluster;
pub mod environment;

pub use cluster::TestCluster;
pub use environment::{ManualClock, SeededRng};
