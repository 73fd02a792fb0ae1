//! What the chores read from their surroundings: environment variables and the workspace's place.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The value of an environment variable, unless it is unset or empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the chores read their switches"
)]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Names of all variables that are set.
pub(crate) fn variable_names() -> Vec<OsString> {
    std::env::vars_os().map(|(name, _)| name).collect()
}

/// The nearest directory upwards that holds this workspace, so that chores run from anywhere in it.
pub(crate) fn workspace_root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("the current directory cannot be read")?;
    here.ancestors()
        .find(|directory| is_workspace(directory))
        .map(Path::to_owned)
        .with_context(|| format!("{} is not inside the clm workspace", here.display()))
}

fn is_workspace(directory: &Path) -> bool {
    directory.join("Cargo.lock").is_file() && directory.join("xtask/Cargo.toml").is_file()
}
