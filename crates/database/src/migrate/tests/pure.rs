//! What needs no server: the texts of the files, and what follows from a history.

use chrono::DateTime;

use super::super::history::Recorded;
use super::super::plan::{backwards, check_for_serving, forwards, status};
use super::super::script::statements;
use super::*;

fn texts(script: &'static str) -> Vec<(usize, &'static str)> {
    statements(script)
        .into_iter()
        .map(|statement| (statement.line, statement.text))
        .collect()
}

#[test]
fn statements_end_at_semicolons_that_are_not_quoted() {
    assert_eq!(texts(""), []);
    assert_eq!(texts(" -- nothing;\n /* at; /* all; */ */ ;; "), []);
    assert_eq!(texts("a; b ;\n\nc"), [(1, "a"), (1, "b "), (3, "c")]);
    assert_eq!(texts("-- why\nselect 1; -- ;"), [(2, "select 1")]);
    assert_eq!(texts("a ';' b; c"), [(1, "a ';' b"), (1, "c")]);
    assert_eq!(texts("a 'it''s;' ; c"), [(1, "a 'it''s;' "), (1, "c")]);
    assert_eq!(
        texts(r"a E'\';' ; c '\'; d"),
        [(1, r"a E'\';' "), (1, r"c '\'"), (1, "d")]
    );
    assert_eq!(texts("a \"x;y\" ; c"), [(1, "a \"x;y\" "), (1, "c")]);
    assert_eq!(
        texts("do $$ a; $b$ ; $$; c"),
        [(1, "do $$ a; $b$ ; $$"), (1, "c")]
    );
    assert_eq!(
        texts("do $q$ a; $$ ; $q$; c"),
        [(1, "do $q$ a; $$ ; $q$"), (1, "c")]
    );
    assert_eq!(texts("f($1); a$b; c"), [(1, "f($1)"), (1, "a$b"), (1, "c")]);
    assert_eq!(
        texts("create rule (a; b); c"),
        [(1, "create rule (a; b)"), (1, "c")]
    );
    assert_eq!(
        texts("a /* ; /* ; */ ; */ b; c"),
        [(1, "a /* ; /* ; */ ; */ b"), (1, "c")]
    );
    assert_eq!(texts("ä 'ö;' é; ü"), [(1, "ä 'ö;' é"), (1, "ü")]);
    // What is not closed goes to the end; the server will complain.
    assert_eq!(texts("a 'b; c"), [(1, "a 'b; c")]);
    assert_eq!(texts("a $$b; c"), [(1, "a $$b; c")]);
    assert_eq!(texts("a /* b; c"), [(1, "a /* b; c")]);
    assert_eq!(texts("$"), [(1, "$")]);
    assert_eq!(texts("e'"), [(1, "e'")]);
}

#[test]
fn the_embedded_files_are_numbered_and_keep_the_rules() {
    for database in BOTH {
        let set = migrations(database);
        assert_eq!(set.database, database);
        for (migration, version) in set.migrations().iter().zip(1..) {
            assert_eq!(migration.version, version);
            for sql in [migration.sql, migration.rollback_sql] {
                let parts = texts(sql);
                assert!(parts.len() > 1, "{}", migration.name);
                // No command of psql, and no role of the application.
                assert!(sql.lines().all(|line| !line.trim_start().starts_with('\\')));
                let code: String = parts
                    .iter()
                    .map(|(_, text)| without_comments(text))
                    .collect();
                assert!(!code.contains("clm_core_user") && !code.contains("clm_secure_user"));
            }
        }
    }
}

fn without_comments(text: &str) -> String {
    let code = |line: &str| line.split("--").next().unwrap_or_default().to_owned();
    text.lines().map(code).collect()
}

fn row(version: i32, checksum: Option<[u8; 32]>) -> Recorded {
    Recorded {
        version,
        description: "test".to_owned(),
        checksum: checksum.map(Vec::from),
        min_program_version: PROGRAM_VERSION.to_owned(),
        applied_at: DateTime::UNIX_EPOCH,
        applied_by: "test".to_owned(),
        execution_time_ms: None,
    }
}

#[test]
fn what_is_to_do_follows_from_the_history() {
    let set = set_of(&["a;", "b;", "c;"]);
    let sums: Vec<[u8; 32]> = set.migrations().iter().map(Migration::checksum).collect();
    let versions = |migrations: &[&Migration]| -> Vec<i32> {
        migrations
            .iter()
            .map(|migration| migration.version)
            .collect()
    };

    let plan = forwards(&set, &[]).unwrap();
    assert_eq!(
        (versions(&plan.adopt), versions(&plan.apply)),
        (vec![], vec![1, 2, 3])
    );
    let history = [row(1, Some(sums[0])), row(2, None)];
    let plan = forwards(&set, &history).unwrap();
    assert_eq!(
        (versions(&plan.adopt), versions(&plan.apply)),
        (vec![2], vec![3])
    );
    let states: Vec<MigrationState> = status(&set, &history)
        .into_iter()
        .map(|line| line.state)
        .collect();
    use MigrationState::{Applied, AppliedByHand, Changed, Pending, Skipped, Unknown};
    assert_eq!(states, [Applied, AppliedByHand, Pending]);

    let history = [row(1, Some(sums[0])), row(2, Some([0; 32]))];
    assert!(matches!(
        forwards(&set, &history),
        Err(MigrateError::Changed { .. })
    ));
    assert!(matches!(
        backwards(&set, &history, 1, false),
        Err(MigrateError::Changed { .. })
    ));
    assert_eq!(
        versions(&backwards(&set, &history, 0, true).unwrap()),
        [2, 1]
    );
    assert_eq!(versions(&backwards(&set, &history, 1, true).unwrap()), [2]);
    assert_eq!(
        versions(&backwards(&set, &history, 3, true).unwrap()),
        [] as [i32; 0]
    );

    let history = [row(1, None), row(3, Some(sums[2])), row(7, Some([0; 32]))];
    let states: Vec<MigrationState> = status(&set, &history)
        .into_iter()
        .map(|line| line.state)
        .collect();
    assert_eq!(states, [AppliedByHand, Skipped, Applied, Unknown]);
    assert!(matches!(
        forwards(&set, &history),
        Err(MigrateError::Newer { found: 7, .. })
    ));
    assert!(matches!(
        forwards(&set, &history[..2]),
        Err(MigrateError::Gap {
            missing: 2,
            applied: 3,
            ..
        })
    ));
    let states: Vec<MigrationState> = status(&set, &[row(2, Some([9; 32]))])
        .into_iter()
        .map(|line| line.state)
        .collect();
    assert_eq!(states, [Skipped, Changed, Pending]);
}

#[test]
fn a_newer_schema_is_served_where_it_says_so() {
    let set = set_of(&["a;"]);
    let serve = |needs: &str| {
        let mut newer = row(2, None);
        newer.min_program_version = needs.to_owned();
        check_for_serving(&set, &[row(1, None), newer])
    };
    assert!(serve(PROGRAM_VERSION).is_ok());
    assert!(serve("0.0.1").is_ok() && serve("0.0").is_ok() && serve("0.0.1-rc.1").is_ok());
    for needs in ["999.0.0", "", "x", "1", "0.0.0.0", "-1.0.0"] {
        assert!(
            matches!(serve(needs), Err(MigrateError::Newer { .. })),
            "{needs}"
        );
    }
    assert!(matches!(
        check_for_serving(&set, &[]),
        Err(MigrateError::NotInitialized { .. })
    ));
}
