//! Where the judges from outside are.

use std::path::{Path, PathBuf};

/// Where `scripts/ensure-lint-tools.sh` puts the programs of the judges, of which this one is asked.
///
/// # Panics
/// When it is not there: a judge that is missing never makes a test pass.
pub(crate) fn directory(program: &str) -> PathBuf {
    let environment = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin");
    let unavailable = std::fs::read_to_string(environment.join("../../venv-unavailable.txt"));
    assert!(
        environment.join(program).exists(),
        "{program} is not installed: run scripts/ensure-lint-tools.sh. {}",
        unavailable.unwrap_or_default()
    );
    environment
}
