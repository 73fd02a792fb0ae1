//! `cargo xtask ci`: the phases of `make check` and `make test`, alike here and in CI.
//!
//! Stops at the first phase that fails. The tests come last, so that their runner's summary stands
//! near the end.

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{derived, environment, process, sqlx_prepare, tidy};

/// Makes the certificate linter that the tests ask; prints where its programs are.
const LINT_TOOLS: &str = "scripts/ensure-lint-tools.sh";

/// Tells the tests where those programs are.
const LINT_TOOLS_VARIABLE: &str = "CLM_TEST_PKILINT_BIN";

/// What `make check` runs: everything but the tests.
///
/// # Errors
/// When a phase fails.
pub(crate) fn check(root: &Path) -> Result<()> {
    report(|phases| check_phases(root, phases))
}

/// What `make test` runs: the checks, and all tests.
///
/// # Errors
/// When a phase fails.
pub(crate) fn test(root: &Path) -> Result<()> {
    report(|phases| {
        check_phases(root, phases)?;
        test_phases(root, phases)
    })
}

fn check_phases(root: &Path, phases: &mut Phases) -> Result<()> {
    let cargo = |arguments: &[&str]| process::run(&mut process::cargo(root, arguments));
    phases.run("fmt", || cargo(&["fmt", "--all", "--check"]))?;
    phases.run("clippy", || {
        let arguments = ["clippy", "--workspace", "--all-targets", "--locked"];
        cargo(&[&arguments[..], &["--", "--deny", "warnings"]].concat())
    })?;
    phases.run("tidy", || tidy::run(root))?;
    phases.run("derived", || derived::run(root, true))?;
    if process::works(&mut process::cargo(root, &["deny", "--version"])) {
        phases.run("deny", || {
            // It looks at packages of other platforms too, which no build has downloaded.
            cargo(&["fetch", "--quiet", "--locked"])?;
            cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"])
        })?;
    } else {
        println!("cargo-deny is not installed: tidy has looked for banned packages");
    }
    Ok(())
}

fn test_phases(root: &Path, phases: &mut Phases) -> Result<()> {
    phases.run("sqlx-prepare", || sqlx_prepare::run(root, true))?;
    let mut lint_tools = None;
    phases.run("lint tools", || {
        lint_tools = find_lint_tools(root);
        Ok(())
    })?;
    let tested = |arguments: &[&str]| {
        let mut command = process::cargo(root, arguments);
        if let Some(directory) = &lint_tools {
            command.env(LINT_TOOLS_VARIABLE, directory);
        }
        process::run(&mut command)
    };
    phases.run("doc tests", || {
        tested(&["test", "--workspace", "--locked", "--doc"])
    })?;
    phases.run("tests", || {
        if process::works(&mut process::cargo(root, &["nextest", "--version"])) {
            tested(&[
                "nextest",
                "run",
                "--workspace",
                "--locked",
                "--no-fail-fast",
            ])
        } else {
            let arguments = ["test", "--workspace", "--locked", "--no-fail-fast"];
            tested(&[&arguments[..], &["--lib", "--bins", "--tests"]].concat())
        }
    })
}

/// Where the linter's programs are. Without them the tests that need them fail and say why; those
/// who do not need them go on.
fn find_lint_tools(root: &Path) -> Option<String> {
    let given = environment::variable(LINT_TOOLS_VARIABLE);
    if let Some(given) = given.and_then(|given| given.into_string().ok()) {
        return Some(given);
    }
    match process::capture(Command::new(root.join(LINT_TOOLS)).current_dir(root)) {
        Ok(printed) => Some(printed.trim().to_owned()),
        Err(error) => {
            eprintln!("warning: {error:#}");
            None
        }
    }
}

/// Names and durations of what ran.
#[derive(Default)]
struct Phases {
    done: Vec<(&'static str, Duration)>,
}

impl Phases {
    fn run(&mut self, name: &'static str, phase: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("== {name}");
        let start = Instant::now();
        let outcome = phase();
        self.done.push((name, start.elapsed()));
        outcome.with_context(|| format!("{name} failed"))
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, duration) in &self.done {
            writeln!(f, "{name:<14} {:>7.1} s", duration.as_secs_f64())?;
        }
        let total: Duration = self.done.iter().map(|(_, duration)| *duration).sum();
        write!(f, "{:<14} {:>7.1} s", "total", total.as_secs_f64())
    }
}

fn report(work: impl FnOnce(&mut Phases) -> Result<()>) -> Result<()> {
    let mut phases = Phases::default();
    let outcome = work(&mut phases);
    println!("{phases}");
    outcome
}
