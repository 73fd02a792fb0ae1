//! Health of the program.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether the program can serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether every check passed.
    pub ready: bool,
    /// Each check by name.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// Its name, such as `core_database`.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// What was found, and what to do where it did not pass.
    pub message: String,
}
