//! Each rule about migrations, with a good and a bad sample.

use super::check;
use crate::tidy::SourceFile;

const GOOD: &str = "-- First.\nBEGIN;\nCREATE TABLE a (b text);\nCOMMIT;\n";

fn rules(files: &[(&str, &str)]) -> Vec<(&'static str, String)> {
    let file = |(path, text): &(&str, &str)| SourceFile {
        path: format!("migrations/clm_core_db/{path}"),
        text: (*text).to_owned(),
    };
    let files: Vec<SourceFile> = files.iter().map(file).collect();
    let shorten = |path: &str| {
        path.trim_start_matches("migrations/clm_core_db/")
            .to_owned()
    };
    check(&files)
        .iter()
        .map(|found| (found.rule, shorten(&found.path)))
        .collect()
}

/// What one migration breaks, its way back being in order.
fn rules_of(text: &str) -> Vec<&'static str> {
    let found = rules(&[("001_a.sql", text), ("rollback/001_a.sql", GOOD)]);
    found.into_iter().map(|(rule, _)| rule).collect()
}

#[test]
fn numbers_run_without_gaps_and_every_file_has_its_way_back() {
    let pair = [("001_a.sql", GOOD), ("rollback/001_a.sql", GOOD)];
    assert_eq!(rules(&pair), []);
    let gap = [
        &pair[..],
        &[("003_c.sql", GOOD), ("rollback/003_c.sql", GOOD)],
    ]
    .concat();
    assert_eq!(rules(&gap), [("migration-name", "003_c.sql".to_owned())]);
    let twice = [
        &pair[..],
        &[("001_b.sql", GOOD), ("rollback/001_b.sql", GOOD)],
    ]
    .concat();
    assert_eq!(rules(&twice), [("migration-name", "001_b.sql".to_owned())]);
    assert_eq!(
        rules(&[("001_a.sql", GOOD)]),
        [("migration-rollback", "001_a.sql".to_owned())]
    );
    let orphan = [&pair[..], &[("rollback/002_b.sql", GOOD)]].concat();
    assert_eq!(
        rules(&orphan),
        [("migration-rollback", "rollback/002_b.sql".to_owned())]
    );
    let misnamed = [("1_A.sql", GOOD), ("rollback/1_A.sql", GOOD)];
    assert_eq!(rules(&misnamed), [("migration-name", "1_A.sql".to_owned())]);
}

#[test]
fn each_file_is_one_transaction() {
    assert_eq!(
        rules_of("CREATE TABLE a (b text);\n"),
        ["migration-transaction"]
    );
    assert_eq!(rules_of("BEGIN;\nSELECT 1;\n"), ["migration-transaction"]);
    assert_eq!(
        rules_of("BEGIN;\nCOMMIT;\nBEGIN;\nCOMMIT;\n"),
        ["migration-transaction"]
    );
    assert_eq!(
        rules_of("BEGIN;\nDO $$\nBEGIN\n  PERFORM 1;\nEND\n$$;\ncommit;\n"),
        [""; 0]
    );
}

#[test]
fn concurrent_indexes_stand_alone() {
    let create = "CREATE INDEX CONCURRENTLY a ON b (c);\n";
    let drop = "DROP INDEX CONCURRENTLY IF EXISTS a;\n";
    assert_eq!(rules_of(&format!("{drop}{create}")), [""; 0]);
    assert_eq!(rules_of(create), ["migration-transaction"]);
    assert_eq!(
        rules_of(&format!("BEGIN;\n{drop}{create}COMMIT;\n")),
        ["migration-transaction"]
    );
}

#[test]
fn no_role_is_named_outside_comments() {
    let with = |statement: &str| format!("-- clm_core_user\nBEGIN;\n{statement}\nCOMMIT;\n");
    assert_eq!(
        rules_of(&with("GRANT SELECT ON a TO clm_core_user;")),
        ["migration-role"]
    );
    assert_eq!(
        rules_of(&with("DO $$ BEGIN SET ROLE clm_auditor; END $$;")),
        ["migration-role"]
    );
    assert_eq!(
        rules_of(&with("COMMENT ON TABLE a IS 'points into clm_secure_db';")),
        [""; 0]
    );
}

#[test]
fn psql_commands_are_found_in_code_only() {
    assert_eq!(
        rules_of("BEGIN;\n\\i other.sql;\nCOMMIT;\n"),
        ["migration-plain-sql"]
    );
    assert_eq!(
        rules_of("BEGIN; -- \\i\nSELECT '\\d', $$\\d$$;\nCOMMIT;\n"),
        [""; 0]
    );
    let roles = SourceFile {
        path: "db/roles.sql".to_owned(),
        text: "\\set a b\n".to_owned(),
    };
    assert_eq!(check(&[roles]).len(), 1);
}

#[test]
fn stray_files_are_found() {
    assert_eq!(rules(&[("deeper/down/001_a.sql", GOOD)]).len(), 1);
    assert_eq!(
        rules(&[
            ("notes.sql", "BEGIN;\nCOMMIT;\n"),
            ("rollback/notes.sql", GOOD)
        ])
        .len(),
        1
    );
    assert_eq!(rules(&[("seed_rows.sql", "SELECT 1;\n")]), []);
}
