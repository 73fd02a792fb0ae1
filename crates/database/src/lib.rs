//! PostgreSQL mechanics without a business table: pools, scopes, named and retried transactions,
//! group commit, the migration runner, the catalogue check, and the private cluster of the embedded
//! mode.
//!
//! Start with [`scope`]: every transaction belongs to an organization or says why it does not.

pub mod catalogue;
pub mod cluster;
pub mod error;
pub mod group_commit;
pub mod migrate;
pub mod pool;
pub mod roles;
pub mod scope;
pub mod transaction;

pub use error::DatabaseError;
pub use group_commit::GroupCommit;
pub use pool::{Pool, PoolOptions};
pub use scope::Scope;
