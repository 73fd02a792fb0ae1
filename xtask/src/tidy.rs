//! `cargo xtask tidy`: the conventions of this repository, kept as tests.
//!
//! Each rule is a pure function over text that returns [`Finding`]s; only this module and
//! [`tree`] touch the file system. A finding says what to do. Start with the rule's own module:
//!
//! | module | rules |
//! | --- | --- |
//! | [`edges`] | which crate may depend on which |
//! | [`sources`] | module docs, file lengths, unfinished work, names |
//! | [`queries`] | where SQL may stand, and how a query begins |
//! | [`scopes`] | who may see every organization |
//! | [`paths`] | paths and links in documents |
//! | [`migrations`] | form of the migrations |
//! | [`lockfile`] | banned packages |

mod edges;
mod lockfile;
mod migrations;
mod paths;
mod queries;
mod scopes;
mod sources;
mod tree;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::process;
use tree::SourceFile;

/// Whether a finding fails the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
}

/// What a rule found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    advice: String,
    severity: Severity,
}

impl Finding {
    fn error(path: &str, line: usize, rule: &'static str, advice: impl Into<String>) -> Self {
        let severity = Severity::Error;
        Self {
            path: path.to_owned(),
            line,
            rule,
            advice: advice.into(),
            severity,
        }
    }

    fn warning(path: &str, line: usize, rule: &'static str, advice: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(path, line, rule, advice)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            rule,
            advice,
            severity,
        } = self;
        let mark = if *severity == Severity::Warning {
            " (warning)"
        } else {
            ""
        };
        write!(f, "{path}:{line}: {rule}{mark}: {advice}")
    }
}

/// Checks everything and prints the findings.
///
/// # Errors
/// When a rule is broken, or a file cannot be read.
pub(crate) fn run(root: &Path) -> Result<()> {
    let files = tree::load(root)?;
    let mut findings = check(root, &files)?;
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    for finding in &findings {
        println!("{finding}");
    }
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count();
    println!(
        "tidy: {} files, {errors} errors, {} warnings",
        files.len(),
        findings.len() - errors
    );
    if errors > 0 {
        bail!("tidy found {errors} errors");
    }
    Ok(())
}

fn check(root: &Path, files: &[SourceFile]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in files {
        findings.extend(sources::check(file));
        findings.extend(queries::check(file));
        findings.extend(paths::check(file, &|path| root.join(path).exists()));
    }
    findings.extend(migrations::check(files));
    findings.extend(scopes::check(files, &read(root, scopes::ALLOW_LIST)?));
    findings.extend(check_edges(root)?);
    findings.extend(lockfile::check(&read(root, "Cargo.lock")?, |name| {
        is_built(root, name)
    })?);
    Ok(findings)
}

fn check_edges(root: &Path) -> Result<Vec<Finding>> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1"];
    let metadata = process::capture(&mut process::cargo(root, &arguments))?;
    let metadata = serde_json::from_str(&metadata).context("`cargo metadata` printed no JSON")?;
    edges::check(&metadata, |manifest| {
        let path = manifest
            .strip_prefix(root)
            .unwrap_or(manifest)
            .to_string_lossy()
            .into_owned();
        Ok((path, fs::read_to_string(manifest)?))
    })
}

/// Whether any build of this workspace on this kind of machine contains the package: the lock file
/// also lists what an optional feature that nobody turns on would bring.
fn is_built(root: &Path, package: &str) -> Result<bool> {
    let arguments = [
        "tree",
        "--quiet",
        "--workspace",
        "--locked",
        "--edges",
        "all",
        "--invert",
    ];
    let mut command = process::cargo(root, &arguments);
    let printed = process::capture(command.arg(package))?;
    Ok(!printed.trim().is_empty())
}

fn read(root: &Path, path: &str) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("{path} cannot be read"))
}
