//! Form of source files: a module says what it is for, stays short, holds no unfinished work, and
//! names its types after what they are.

#[cfg(test)]
mod tests;

use super::{Finding, SourceFile};
use crate::rust_text::{RustText, is_identifier_byte, line_at};

/// Above this a file is asked to be split.
const LINES_WANTED_MAX: usize = 400;
/// Above this a file must be split.
const LINES_MAX: usize = 800;

/// Code that may not stand in the repository, and what to do instead. Written in two parts so that
/// searches for unfinished work do not end here.
const BANNED_CODE: [(&str, &str, &str); 4] = [
    (
        "allow-attribute",
        concat!("#[", "allow("),
        "mend the cause, or use #[expect(…, reason)]",
    ),
    (
        "allow-attribute",
        concat!("#![", "allow("),
        "mend the cause, or use #![expect(…, reason)]",
    ),
    (
        "unfinished",
        concat!("todo", "!("),
        "finish it, or leave it out",
    ),
    (
        "unfinished",
        concat!("unimplemented", "!("),
        "finish it, or leave it out",
    ),
];

/// Words that mark unfinished work, in comments too.
const UNFINISHED_WORDS: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];

/// Keywords that a new type's name follows.
const TYPE_KEYWORDS: [&str; 5] = ["struct", "enum", "trait", "type", "union"];

/// Endings that say nothing about what a type is.
const EMPTY_SUFFIXES: [&str; 6] = ["Manager", "Managers", "Helper", "Helpers", "Util", "Utils"];

/// Checks one file.
pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    if file.is_generated() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if file.is_rust() {
        let source = RustText::read(&file.text);
        findings.extend(check_module_doc(file));
        findings.extend(check_length(file));
        findings.extend(check_banned_code(file, &source));
        findings.extend(check_type_names(file, &source));
    }
    if !file.path.ends_with(".md") {
        findings.extend(check_unfinished_words(file));
    }
    findings
}

fn check_module_doc(file: &SourceFile) -> Option<Finding> {
    let first = file
        .text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("");
    let exempt = file.is_fixture() || file.path.contains("tests/it/");
    if exempt || first.trim_start().starts_with("//!") {
        return None;
    }
    let advice = "begin the file with `//!`: what it is for, what it must never do, where to start";
    Some(Finding::error(&file.path, 1, "module-doc", advice))
}

fn check_length(file: &SourceFile) -> Option<Finding> {
    let lines = file.text.lines().count();
    if file.is_test() || lines <= LINES_WANTED_MAX {
        return None;
    }
    let advice = |most| format!("{lines} lines; split it by what it is about (at most {most})");
    if lines > LINES_MAX {
        return Some(Finding::error(
            &file.path,
            lines,
            "file-length",
            advice(LINES_MAX),
        ));
    }
    Some(Finding::warning(
        &file.path,
        lines,
        "file-length",
        advice(LINES_WANTED_MAX),
    ))
}

fn check_banned_code(file: &SourceFile, source: &RustText) -> Vec<Finding> {
    let code = &source.code;
    let mut findings = Vec::new();
    for (rule, banned, advice) in BANNED_CODE {
        for (at, _) in code.match_indices(banned) {
            if !follows_identifier(code, at) {
                findings.push(Finding::error(&file.path, line_at(code, at), rule, advice));
            }
        }
    }
    findings
}

fn check_unfinished_words(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for word in UNFINISHED_WORDS {
        for (at, _) in file.text.match_indices(word) {
            if !follows_identifier(&file.text, at) && !leads_identifier(&file.text, at + word.len())
            {
                let line = line_at(&file.text, at);
                let advice = format!("`{word}` marks unfinished work: finish it, or file an issue");
                findings.push(Finding::error(&file.path, line, "unfinished", advice));
            }
        }
    }
    findings
}

fn check_type_names(file: &SourceFile, source: &RustText) -> Vec<Finding> {
    let code = &source.code;
    let mut findings = Vec::new();
    let mut declares = false;
    let mut at = 0;
    for word in code.split(|next: char| !next.is_ascii_alphanumeric() && next != '_') {
        let suffix = EMPTY_SUFFIXES
            .iter()
            .find(|suffix| word.ends_with(**suffix));
        if let (true, Some(suffix)) = (declares, suffix) {
            let advice = format!("`{word}`: name it after what it is or does, not `{suffix}`");
            findings.push(Finding::error(
                &file.path,
                line_at(code, at),
                "empty-name",
                advice,
            ));
        }
        declares = TYPE_KEYWORDS.contains(&word) || (declares && word.is_empty());
        // Every character that separates words here is taken with its own length.
        let separator = code
            .get(at + word.len()..)
            .and_then(|rest| rest.chars().next());
        at += word.len() + separator.map_or(0, char::len_utf8);
    }
    findings
}

fn follows_identifier(text: &str, at: usize) -> bool {
    let before = at
        .checked_sub(1)
        .and_then(|before| text.as_bytes().get(before));
    before.is_some_and(|byte| is_identifier_byte(*byte))
}

fn leads_identifier(text: &str, after: usize) -> bool {
    text.as_bytes()
        .get(after)
        .is_some_and(|byte| is_identifier_byte(*byte))
}
