//! Repository chores, run as `cargo xtask <chore>`: conventions kept as tests (`tidy`), files made
//! from code (`derived`, `sqlx-prepare`) and the phases of `make check` and `make test` (`ci`).
//!
//! Needs nothing but cargo, the standard library and, for `sqlx-prepare`, PostgreSQL's programs. It
//! never changes a file that a person writes. Start with [`tidy`].
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore talks to the person or the CI job that started it"
)]

mod ci;
mod derived;
mod environment;
mod private_postgres;
mod process;
mod rust_text;
mod sql_text;
mod sqlx_prepare;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <chore>

  tidy                    checks the conventions of this repository
  derived [--check]       writes the files that are made from code; --check: fails if they differ
  sqlx-prepare [--check]  writes what the checked queries need to compile without a database
                          (starts a private PostgreSQL, or uses CLM_PREPARE_CORE_URL and
                          CLM_PREPARE_SECURE_URL); --check: fails if it differs
  ci [check|test]         the phases of `make check` or `make test` (the default), with seconds";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    let root = environment::workspace_root()?;
    match arguments {
        ["tidy"] => tidy::run(&root),
        ["derived"] => derived::run(&root, false),
        ["derived", "--check"] => derived::run(&root, true),
        ["sqlx-prepare"] => sqlx_prepare::run(&root, false),
        ["sqlx-prepare", "--check"] => sqlx_prepare::run(&root, true),
        ["ci", "check"] => ci::check(&root),
        ["ci"] | ["ci", "test"] => ci::test(&root),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        [] => bail!("no chore given\n\n{USAGE}"),
        unknown => bail!("unknown chore `{}`\n\n{USAGE}", unknown.join(" ")),
    }
}
