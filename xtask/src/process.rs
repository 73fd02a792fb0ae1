//! Runs other programs: cargo, and PostgreSQL's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

use crate::environment;

/// Cargo, in the workspace's root, as if a person had started it: without what `cargo run` tells
/// this program about its own package, which could make a build script run again.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let program = environment::variable("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root).args(arguments);
    for name in environment::variable_names() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Builds the program with the same features as the tests, so that nothing is built twice.
///
/// # Errors
/// When it does not build.
pub(crate) fn build_program(root: &Path) -> Result<()> {
    run(&mut cargo(
        root,
        &["build", "--quiet", "--workspace", "--bins", "--locked"],
    ))
}

/// Where [`build_program`] leaves the program.
pub(crate) fn program(root: &Path) -> PathBuf {
    let target = environment::variable("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), |target| root.join(target));
    target.join("debug").join("clm")
}

/// Runs a command whose output people see.
///
/// # Errors
/// When it cannot be started or does not end well.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command
        .status()
        .with_context(|| format!("`{shown}` cannot be started"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs a command and returns what it printed.
///
/// # Errors
/// When it cannot be started or does not end well; then with what it complained of.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command
        .output()
        .with_context(|| format!("`{shown}` cannot be started"))?;
    if !output.status.success() {
        bail!(
            "`{shown}` failed ({}): {}",
            output.status,
            complaint(&output)
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed no UTF-8"))
}

/// Whether a program can be started at all with these arguments and ends well.
pub(crate) fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.trim().to_owned()
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy();
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy());
    std::iter::once(name)
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}
