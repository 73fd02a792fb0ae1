//! All SQL of `clm_core_db`, one file per aggregate. Row types stay private to their file.

pub(crate) mod api_keys;
pub(crate) mod audit_log;
pub(crate) mod certificate_metadata;
pub(crate) mod idempotency_keys;
pub(crate) mod inbox;
pub(crate) mod maintenance;
pub(crate) mod organizations;
pub(crate) mod sessions;
pub(crate) mod users;
