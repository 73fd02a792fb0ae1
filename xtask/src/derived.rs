//! `cargo xtask derived`: files that are made from code and committed, so that a reviewer sees what
//! a change does to them. `--check` fails when a file differs from what the code says.
//!
//! To add a file, add a line to [`DERIVED`]. What the checked queries need has a chore of its own,
//! since it needs a database: [`crate::sqlx_prepare`].

#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// A file made from code.
struct Derived {
    /// What it is, for messages.
    name: &'static str,
    /// The arguments with which the program prints it.
    arguments: &'static [&'static str],
    /// Where it is kept, relative to the root.
    output: &'static str,
}

const DERIVED: &[Derived] = &[Derived {
    name: "OpenAPI document",
    arguments: &["openapi"],
    output: "docs/api/openapi.json",
}];

/// Writes all derived files, or checks them.
///
/// # Errors
/// When a file cannot be made or written; with `check`, when one differs from the committed one.
pub(crate) fn run(root: &Path, check: bool) -> Result<()> {
    process::build_program(root)?;
    let mut stale = Vec::new();
    for derived in DERIVED {
        let made = make(root, derived).with_context(|| derived.name)?;
        let path = root.join(derived.output);
        let kept = fs::read_to_string(&path).unwrap_or_default();
        match first_difference(&kept, &made) {
            None => println!("{}: {} is up to date", derived.name, derived.output),
            Some(line) if check => {
                println!(
                    "{}:{line}: derived: run `cargo xtask derived`",
                    derived.output
                );
                stale.push(derived.output);
            }
            Some(_) => {
                write(&path, &made)?;
                println!("{}: wrote {}", derived.name, derived.output);
            }
        }
    }
    if !stale.is_empty() {
        bail!("not up to date: {}", stale.join(", "));
    }
    Ok(())
}

fn make(root: &Path, derived: &Derived) -> Result<String> {
    let mut program = Command::new(process::program(root));
    let printed = process::capture(program.args(derived.arguments).current_dir(root))?;
    if printed.trim().is_empty() {
        bail!("`clm {}` printed nothing", derived.arguments.join(" "));
    }
    if derived.output.ends_with(".json") {
        serde_json::from_str::<serde_json::Value>(&printed)
            .with_context(|| format!("`clm {}` printed no JSON", derived.arguments.join(" ")))?;
    }
    Ok(format!("{}\n", printed.trim_end()))
}

/// The number of the first line that differs.
fn first_difference(kept: &str, made: &str) -> Option<usize> {
    if kept == made {
        return None;
    }
    let alike = kept
        .lines()
        .zip(made.lines())
        .take_while(|(a, b)| a == b)
        .count();
    Some(alike + 1)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(failed)?;
    }
    fs::write(path, text).with_context(failed)
}
