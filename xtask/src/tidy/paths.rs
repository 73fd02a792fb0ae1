//! Paths that documents name exist: those of this repository in backticks, and targets of links.

#[cfg(test)]
mod tests;

use super::{Finding, SourceFile};

const RULE: &str = "dead-path";

/// How a path of this repository begins.
const ROOTS: [&str; 9] = [
    "crates/",
    "docs/",
    "migrations/",
    "db/",
    "xtask/",
    "tests/",
    "benches/",
    "scripts/",
    "fuzz/",
];

/// Characters that make a word a pattern and not a path.
const PATTERN: [char; 8] = ['*', '<', '>', '{', '}', '…', '$', '?'];

/// Checks one document. `exists` is asked with paths relative to the repository's root.
pub(super) fn check(file: &SourceFile, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    if !file.path.ends_with(".md") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut fenced = false;
    for (number, line) in (1..).zip(file.text.lines()) {
        if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") {
            fenced = !fenced;
        } else if !fenced {
            let mut report = |advice: String| {
                findings.push(Finding::error(&file.path, number, RULE, advice));
            };
            for path in named_paths(line).filter(|path| !exists(path)) {
                report(format!(
                    "`{path}` does not exist: mend the path, or the document"
                ));
            }
            for target in link_targets(line) {
                if !resolve(&file.path, target).is_some_and(|path| exists(&path)) {
                    report(format!(
                        "the link to `{target}` leads nowhere: mend or remove it"
                    ));
                }
            }
        }
    }
    findings
}

/// Paths of this repository among the code spans of a line.
fn named_paths(line: &str) -> impl Iterator<Item = &str> {
    // Code spans are every second piece between backticks.
    line.split('`').skip(1).step_by(2).filter_map(|span| {
        let word = span.split_whitespace().next()?;
        let path = word
            .split(['#', ':'])
            .next()?
            .trim_end_matches(['.', ',', ';']);
        let is_path = ROOTS.iter().any(|root| path.starts_with(root));
        let is_pattern = path.contains(PATTERN) || path.contains("NNN");
        (is_path && !is_pattern).then_some(path)
    })
}

/// Targets of links to files: `[text](target)`.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', ' ', '#']).next()?;
        let elsewhere = target.contains(':') || target.is_empty();
        (!elsewhere).then_some(target)
    })
}

/// A link's target relative to the root; nothing when it leaves the repository.
fn resolve(document: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => document.split('/').collect(),
    };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
