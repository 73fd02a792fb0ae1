//! Where SQL may stand: in the `store` of the core and of the Secure Service, in the crate
//! `database`, and in tests and benchmarks. A query in a store begins with its name, such as
//! `-- certificates::insert`, so that it can be found in `pg_stat_statements`.

#[cfg(test)]
mod tests;

use super::{Finding, SourceFile};
use crate::rust_text::{Literal, RustText, is_identifier_byte, line_at};

/// Ways to write a query.
const CALLS: [&str; 7] = [
    "sqlx::query",
    "query!(",
    "query_as!(",
    "query_scalar!(",
    "query_unchecked!(",
    "sqlx::raw_sql",
    "QueryBuilder",
];

/// Where a store is.
const STORES: [&str; 2] = ["crates/core/src/store", "crates/secure/src/store"];

/// Where else SQL may stand.
const PLACES: [&str; 4] = [
    "crates/database/",
    "crates/test-support/",
    "tests/",
    "benches/",
];

/// How a statement begins, and a word that it then contains as well.
const STATEMENTS: [(&str, &str); 6] = [
    ("SELECT", ""),
    ("INSERT", "INTO"),
    ("UPDATE", "SET"),
    ("DELETE", "FROM"),
    ("MERGE", "INTO"),
    ("WITH", "AS"),
];

/// Checks one file.
pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    if !file.is_rust() || file.is_test() || is_place(file) {
        return Vec::new();
    }
    let source = RustText::read(&file.text);
    if is_store(file) {
        check_names(file, &source)
    } else {
        check_absence(file, &source)
    }
}

fn is_place(file: &SourceFile) -> bool {
    PLACES.iter().any(|place| file.path.starts_with(place))
}

fn is_store(file: &SourceFile) -> bool {
    STORES.iter().any(|store| {
        let rest = file.path.strip_prefix(store);
        rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    })
}

fn check_absence(file: &SourceFile, source: &RustText) -> Vec<Finding> {
    let code = &source.code;
    let found = CALLS.iter().filter_map(|call| code.find(call)).min();
    let finding = found.map(|at| {
        let advice = "move the query into a `store` (SQL of clm_core_db: crates/core/src/store, \
                      of clm_secure_db: crates/secure/src/store)";
        Finding::error(&file.path, line_at(code, at), "sql-place", advice)
    });
    finding.into_iter().collect()
}

/// Every call that is given its text in place, and every literal that is a whole statement, must
/// begin with a name.
fn check_names(file: &SourceFile, source: &RustText) -> Vec<Finding> {
    let called = calls(&source.code).into_iter().filter_map(|(open, close)| {
        source
            .strings
            .iter()
            .find(|literal| open < literal.start && literal.start < close)
    });
    let statements = source
        .strings
        .iter()
        .filter(|literal| is_statement(&literal.text));
    let mut unnamed: Vec<&Literal> = called
        .chain(statements)
        .filter(|literal| !is_named(&literal.text))
        .collect();
    unnamed.sort_by_key(|literal| literal.start);
    unnamed.dedup_by_key(|literal| literal.start);
    let advice = "begin the query with its name, such as `-- certificates::insert`, on a line of \
                  its own";
    let finding = |literal: &Literal| {
        Finding::error(
            &file.path,
            line_at(&file.text, literal.start),
            "sql-name",
            advice,
        )
    };
    unnamed.into_iter().map(finding).collect()
}

/// Where the parentheses of each query macro or function open and close.
fn calls(code: &str) -> Vec<(usize, usize)> {
    let mut calls = Vec::new();
    for (at, _) in code.match_indices("query") {
        let rest = code.get(at..).unwrap_or_default();
        let name = rest
            .bytes()
            .take_while(|byte| is_identifier_byte(*byte))
            .count();
        let before = code.get(..at).unwrap_or_default();
        let qualified = before.ends_with("sqlx::");
        let after = rest.get(name..).unwrap_or_default();
        let is_macro = after.starts_with("!(");
        // `sqlx::query_as::<_, Row>(…)` names its types between name and parenthesis.
        if is_macro || (qualified && after.starts_with(['(', ':'])) {
            let open = at + rest.find('(').unwrap_or(rest.len());
            calls.push((open, closing(code, open)));
        }
    }
    calls
}

fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_i32;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

fn is_statement(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let first = words.next();
    let fits = STATEMENTS
        .iter()
        .find(|(keyword, _)| first == Some(*keyword));
    fits.is_some_and(|(_, follows)| {
        (follows.is_empty() && words.clone().count() > 0) || words.any(|word| word == *follows)
    })
}

/// Whether text begins with `-- aggregate::verb` and goes on in the next line.
fn is_named(text: &str) -> bool {
    let Some((first, rest)) = text.trim_start().split_once('\n') else {
        return false;
    };
    let parts = first
        .strip_prefix("-- ")
        .map(str::trim)
        .and_then(|name| name.split_once("::"));
    let is_word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || is_digit_or_underscore(byte))
    };
    parts.is_some_and(|(aggregate, verb)| is_word(aggregate) && is_word(verb))
        && !rest.trim().is_empty()
}

fn is_digit_or_underscore(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'_'
}
