//! Who may see every organization: the files that use the System scope are listed, each with the
//! reason, so that a new one is a decision that a reviewer sees.

#[cfg(test)]
mod tests;

use super::{Finding, SourceFile};
use crate::rust_text::{RustText, line_at};

/// The list: one file a line, then why it needs to see all organizations.
pub(super) const ALLOW_LIST: &str = "xtask/tidy-system-scopes.txt";

const RULE: &str = "system-scope";

const USE: &str = "Scope::System(";

/// Checks all files against the list.
pub(super) fn check(files: &[SourceFile], allow_list: &str) -> Vec<Finding> {
    let (entries, mut findings) = read_list(allow_list);
    let mut used = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.is_rust() && !file.is_test())
    {
        let code = RustText::read(&file.text).code;
        let Some(at) = code.find(USE) else { continue };
        if entries.iter().any(|entry| entry.path == file.path) {
            used.push(file.path.as_str());
        } else {
            let advice = format!(
                "it sees every organization: use an organization's scope, or add the file with \
                 its reason to {ALLOW_LIST}"
            );
            findings.push(Finding::error(&file.path, line_at(&code, at), RULE, advice));
        }
    }
    for entry in entries.iter().filter(|entry| !used.contains(&entry.path)) {
        let advice = format!(
            "`{}` does not use the System scope: remove the line",
            entry.path
        );
        findings.push(Finding::error(ALLOW_LIST, entry.line, RULE, advice));
    }
    findings
}

struct Entry<'a> {
    path: &'a str,
    line: usize,
}

fn read_list(text: &str) -> (Vec<Entry<'_>>, Vec<Finding>) {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut findings = Vec::new();
    for (line, content) in (1..).zip(text.lines().map(str::trim)) {
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let (path, reason) = content
            .split_once(char::is_whitespace)
            .unwrap_or((content, ""));
        if reason.trim().is_empty() {
            let advice = format!("say after `{path}` why it needs to see every organization");
            findings.push(Finding::error(ALLOW_LIST, line, RULE, advice));
        }
        if entries.iter().any(|entry| entry.path == path) {
            let advice = format!("`{path}` is listed twice: put both reasons on one line");
            findings.push(Finding::error(ALLOW_LIST, line, RULE, advice));
        } else {
            entries.push(Entry { path, line });
        }
    }
    (entries, findings)
}
