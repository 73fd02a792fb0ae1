//! Which crate may depend on which. A crate exists to hold a rule that the compiler can keep; an
//! edge too many takes that rule away.
//!
//! Crates that do not exist yet have their edges here already. A new crate or edge needs an ADR and
//! a line here.

#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;

const RULE: &str = "crate-edge";

/// Packages of crates are called `clm-<folder>`; this is the `clm-`.
const PREFIX: &str = "clm-";

/// May be used by the tests of every crate.
const TEST_SUPPORT: &str = "clm-test-support";

/// Package, and the packages of this workspace that it may depend on.
const ALLOWED: [(&str, &[&str]); 17] = [
    ("clm-domain", &[]),
    ("clm-pki", &["clm-domain"]),
    ("clm-database", &["clm-domain"]),
    ("clm-egress", &["clm-domain"]),
    ("clm-secure-api", &["clm-domain"]),
    ("clm-api-types", &["clm-domain"]),
    ("clm-connectors", &["clm-domain", "clm-egress"]),
    (
        "clm-secure",
        &[
            "clm-domain",
            "clm-pki",
            "clm-database",
            "clm-egress",
            "clm-secure-api",
        ],
    ),
    (
        "clm-core",
        &[
            "clm-domain",
            "clm-pki",
            "clm-database",
            "clm-secure-api",
            "clm-connectors",
        ],
    ),
    ("clm-api", &["clm-domain", "clm-api-types", "clm-core"]),
    ("clm-protocols", &["clm-domain", "clm-pki", "clm-core"]),
    (
        "clm-server",
        &[
            "clm-domain",
            "clm-database",
            "clm-secure-api",
            "clm-secure",
            "clm-core",
            "clm-api",
            "clm-protocols",
        ],
    ),
    ("clm-cli", &["clm-domain", "clm-api-types", "clm-server"]),
    (TEST_SUPPORT, &["clm-domain", "clm-pki", "clm-database"]),
    (
        "clm-tests",
        &[
            "clm-server",
            "clm-api-types",
            "clm-cli",
            TEST_SUPPORT,
            "clm-database",
            "clm-domain",
            "clm-pki",
            "clm-secure-api",
            "clm-core",
            "clm-secure",
        ],
    ),
    (
        "clm-benches",
        &[
            "clm-api-types",
            "clm-server",
            "clm-pki",
            "clm-domain",
            "clm-database",
            // What it measures by itself: decisions about access.
            "clm-core",
            "clm-secure-api",
            TEST_SUPPORT,
        ],
    ),
    ("xtask", &["clm-api", "clm-server"]),
];

/// Checks the output of `cargo metadata --no-deps`. `read` returns the shown path and the text of a
/// manifest.
///
/// # Errors
/// When the metadata is not what cargo prints, or a manifest cannot be read.
pub(super) fn check(
    metadata: &Value,
    read: impl Fn(&Path) -> Result<(String, String)>,
) -> Result<Vec<Finding>> {
    let packages = metadata.get("packages").and_then(Value::as_array);
    let mut findings = Vec::new();
    for package in packages.context("cargo's metadata has no packages")? {
        let manifest = Path::new(text(package, "manifest_path")?);
        let (path, manifest_text) =
            read(manifest).with_context(|| format!("{} cannot be read", manifest.display()))?;
        let manifest = Manifest {
            path: &path,
            text: &manifest_text,
        };
        findings.extend(check_package(package, &manifest)?);
    }
    Ok(findings)
}

struct Manifest<'a> {
    path: &'a str,
    text: &'a str,
}

impl Manifest<'_> {
    fn finding(&self, name: &str, advice: String) -> Finding {
        let line = self.text.lines().position(|line| {
            line.trim_start()
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '.', '=']))
        });
        Finding::error(self.path, line.unwrap_or(0) + 1, RULE, advice)
    }
}

fn check_package(package: &Value, manifest: &Manifest<'_>) -> Result<Vec<Finding>> {
    let name = text(package, "name")?;
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
        let advice = format!("`{name}` is unknown: add it and its edges to the table of this rule");
        return Ok(vec![manifest.finding("name", advice)]);
    };
    let mut findings = Vec::new();
    let folder = Path::new(manifest.path).parent().and_then(Path::file_name);
    let expected = name.strip_prefix(PREFIX).unwrap_or(name);
    if folder.is_some_and(|folder| folder != expected) {
        let advice = format!("the crate `{name}` belongs into a folder named `{expected}`");
        findings.push(manifest.finding("name", advice));
    }
    let dependencies = package.get("dependencies").and_then(Value::as_array);
    for dependency in dependencies.context("cargo's metadata has no dependencies")? {
        let dependency_name = text(dependency, "name")?;
        let is_ours = dependency.get("path").is_some_and(Value::is_string);
        let for_tests = dependency.get("kind").and_then(Value::as_str) == Some("dev");
        let fits = allowed.contains(&dependency_name)
            || (for_tests && (dependency_name == TEST_SUPPORT || dependency_name == name));
        if is_ours && !fits {
            findings
                .push(manifest.finding(dependency_name, advice(name, dependency_name, allowed)));
        }
    }
    Ok(findings)
}

fn advice(name: &str, dependency: &str, allowed: &[&str]) -> String {
    if dependency == TEST_SUPPORT {
        return format!("`{name}` may use `{dependency}` under [dev-dependencies] only");
    }
    let list = if allowed.is_empty() {
        "none".to_owned()
    } else {
        allowed.join(", ")
    };
    format!("`{name}` may not depend on `{dependency}` (allowed: {list})")
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    let found = value.get(field).and_then(Value::as_str);
    found.with_context(|| format!("cargo's metadata lacks `{field}`"))
}
