//! SQL stands in stores only and is named there.

use super::check;
use crate::tidy::SourceFile;

fn rules_at(path: &str, text: &str) -> Vec<(&'static str, usize)> {
    let file = SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    check(&file)
        .iter()
        .map(|finding| (finding.rule, finding.line))
        .collect()
}

fn in_store(text: &str) -> Vec<(&'static str, usize)> {
    rules_at("crates/core/src/store/certificates.rs", text)
}

#[test]
fn queries_stand_in_stores_only() {
    let text = "fn a() {\n    sqlx::query!(\"-- a::b\n        SELECT 1\")\n}\n";
    assert_eq!(
        rules_at("crates/core/src/certificates.rs", text),
        [("sql-place", 2)]
    );
    assert_eq!(
        rules_at("crates/core/src/storeroom.rs", text),
        [("sql-place", 2)]
    );
    assert_eq!(
        rules_at("crates/secure/src/store/certificates.rs", text),
        []
    );
    assert_eq!(rules_at("crates/secure/src/store.rs", text), []);
    assert_eq!(rules_at("crates/database/src/pool.rs", text), []);
    assert_eq!(rules_at("crates/core/src/certificates/tests.rs", text), []);
    assert_eq!(rules_at("tests/it/main.rs", text), []);
    assert_eq!(
        rules_at("crates/api/src/a.rs", "// sqlx::query is not for here\n"),
        []
    );
}

#[test]
fn macros_are_named_whatever_stands_before_the_text() {
    let good =
        "let a = sqlx::query_as!(\n    Row,\n    r#\"-- a::b\n    SELECT 1\"#,\n    x,\n);\n";
    assert_eq!(in_store(good), []);
    let bad = "let a = query_as!(\n    Row,\n    r#\"SELECT 1\"#,\n    f(\"-- a::b\n\"),\n);\n";
    assert_eq!(in_store(bad), [("sql-name", 3)]);
    assert_eq!(
        in_store("sqlx::query::<Postgres>(\"-- no name\nSELECT 1\")"),
        [("sql-name", 1)]
    );
    assert_eq!(
        in_store("sqlx::query_scalar!(\"-- a::b\")"),
        [("sql-name", 1)]
    );
}

#[test]
fn statements_in_constants_are_named_too() {
    assert_eq!(
        in_store("const A: &str = \"-- a::b\nSELECT 1\";\nsqlx::query(A);\n"),
        []
    );
    assert_eq!(
        in_store("const A: &str = \"\n  INSERT INTO a VALUES (1)\";\n"),
        [("sql-name", 1)]
    );
    assert_eq!(in_store("const A: &str = \"UPDATE touched no row\";\n"), []);
    assert_eq!(
        in_store("query_builder.push(\" AND a = \");\nlet b = \"SELECT\";\n"),
        []
    );
}
