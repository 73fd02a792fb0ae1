//! Form of the migrations: numbered without gaps, each with its way back, each one transaction that
//! bare psql and our own runner apply alike, and none that names an application role.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, SourceFile};
use crate::rust_text::{is_identifier_byte, line_at};
use crate::sql_text::SqlText;

/// Names that begin like our roles but are databases.
const DATABASES: [&str; 2] = ["clm_core_db", "clm_secure_db"];

/// How the names of our roles begin.
const ROLE_PREFIX: &str = "clm_";

/// Stands beside a database's migrations without being one: the query with which the program
/// compares the rows that they seed.
const SEED_ROWS: &str = "seed_rows.sql";

/// Checks all files below `migrations/`, and what `db/` shares with them.
pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut databases: BTreeMap<&str, Database<'_>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.ends_with(".sql")) {
        let sql = SqlText::read(&file.text);
        match file.path.split('/').collect::<Vec<_>>().as_slice() {
            ["migrations", _, SEED_ROWS] => findings.extend(check_meta_commands(file, &sql)),
            ["migrations", database, name] => {
                databases.entry(database).or_default().forward.insert(name);
                findings.extend(check_file(file, &sql));
            }
            ["migrations", database, "rollback", name] => {
                databases.entry(database).or_default().back.insert(name);
                findings.extend(check_file(file, &sql));
            }
            ["migrations", ..] => {
                let advice = "it belongs into migrations/<database>/ or its rollback/";
                findings.push(Finding::error(&file.path, 1, "migration-name", advice));
            }
            ["db", ..] => findings.extend(check_meta_commands(file, &sql)),
            _ => {}
        }
    }
    findings.extend(
        databases
            .iter()
            .flat_map(|(name, database)| database.check(name)),
    );
    findings
}

/// Names of the files of one database.
#[derive(Default)]
struct Database<'a> {
    forward: BTreeSet<&'a str>,
    back: BTreeSet<&'a str>,
}

impl Database<'_> {
    fn check(&self, database: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (expected, name) in (1_u32..).zip(&self.forward) {
            let path = format!("migrations/{database}/{name}");
            if number(name) != Some(expected) {
                let advice =
                    format!("name it `{expected:03}_description.sql`: numbers run without gaps");
                findings.push(Finding::error(&path, 1, "migration-name", advice));
            }
            if !self.back.contains(name) {
                let advice = format!("write its way back: migrations/{database}/rollback/{name}");
                findings.push(Finding::error(&path, 1, "migration-rollback", advice));
            }
        }
        for name in self.back.difference(&self.forward) {
            let path = format!("migrations/{database}/rollback/{name}");
            let advice = "there is no migration of this name to take back";
            findings.push(Finding::error(&path, 1, "migration-rollback", advice));
        }
        findings
    }
}

/// The number of `NNN_description.sql`, if that is what the name is.
fn number(name: &str) -> Option<u32> {
    let (number, description) = name.strip_suffix(".sql")?.split_once('_')?;
    let is_description = !description.is_empty()
        && description
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    (number.len() == 3 && is_description).then(|| number.parse().ok())?
}

fn check_file(file: &SourceFile, sql: &SqlText) -> Vec<Finding> {
    let mut findings = check_meta_commands(file, sql);
    findings.extend(check_transaction(file, sql));
    findings.extend(check_roles(file, sql));
    findings
}

fn check_meta_commands(file: &SourceFile, sql: &SqlText) -> Vec<Finding> {
    let advice = "psql's own commands are not SQL: the program's runner cannot apply them";
    let finding = |(at, _)| {
        Finding::error(
            &file.path,
            line_at(&sql.code, at),
            "migration-plain-sql",
            advice,
        )
    };
    sql.code.match_indices('\\').map(finding).collect()
}

/// Either everything between one BEGIN and one COMMIT, or one index built without a transaction.
fn check_transaction(file: &SourceFile, sql: &SqlText) -> Vec<Finding> {
    const RULE: &str = "migration-transaction";
    let statements: Vec<(usize, String)> = sql
        .statements()
        .into_iter()
        .map(|(at, text)| (at, text.split_whitespace().collect::<Vec<_>>().join(" ")))
        .map(|(at, text)| (at, text.to_ascii_uppercase()))
        .collect();
    let is_transaction = |text: &str| {
        matches!(
            text,
            "BEGIN" | "COMMIT" | "BEGIN TRANSACTION" | "START TRANSACTION"
        )
    };
    let concurrent = statements
        .iter()
        .find(|(_, text)| text.contains("INDEX CONCURRENTLY"));
    if let Some((at, _)) = concurrent {
        let drops = statements
            .iter()
            .any(|(_, text)| text.starts_with("DROP INDEX CONCURRENTLY"));
        let mixed = statements.iter().any(|(_, text)| is_transaction(text));
        if mixed || !drops {
            let line = line_at(&sql.code, *at);
            let advice = "a CONCURRENTLY index stands alone, without BEGIN, after a DROP INDEX \
                          CONCURRENTLY IF EXISTS of its namesake";
            return vec![Finding::error(&file.path, line, RULE, advice)];
        }
        return Vec::new();
    }
    let first = statements
        .first()
        .is_some_and(|(_, text)| text.starts_with("BEGIN"));
    let last = statements.last().is_some_and(|(_, text)| text == "COMMIT");
    let count = statements
        .iter()
        .filter(|(_, text)| is_transaction(text))
        .count();
    if first && last && count == 2 {
        return Vec::new();
    }
    let advice = "begin with BEGIN, end with COMMIT, and have neither in between: an error must \
                  take the whole file back";
    vec![Finding::error(&file.path, 1, RULE, advice)]
}

fn check_roles(file: &SourceFile, sql: &SqlText) -> Vec<Finding> {
    let text = &sql.without_comments;
    let mut findings = Vec::new();
    for (at, _) in text.match_indices(ROLE_PREFIX) {
        let before = at
            .checked_sub(1)
            .and_then(|before| text.as_bytes().get(before));
        let rest = text.get(at..).unwrap_or_default();
        let length = rest
            .bytes()
            .take_while(|byte| is_identifier_byte(*byte))
            .count();
        let name = rest.get(..length).unwrap_or_default();
        if !before.is_some_and(|byte| is_identifier_byte(*byte)) && !DATABASES.contains(&name) {
            let advice = format!(
                "`{name}` is a role: ownership, grants and policies of roles are \
                                  in db/roles_*.sql"
            );
            let line = line_at(text, at);
            findings.push(Finding::error(&file.path, line, "migration-role", advice));
        }
    }
    findings
}
