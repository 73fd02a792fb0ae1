//! Comments, strings and bodies are told from statements.

use super::SqlText;

fn statements(source: &str) -> Vec<String> {
    SqlText::read(source)
        .statements()
        .into_iter()
        .map(|(_, text)| text.to_owned())
        .collect()
}

#[test]
fn comments_and_strings_hold_no_statements() {
    let source = "-- a;\n/* b; /* c; */ */ SELECT 'd;e', 'it''s;', E'f\\';', \"g\" ;\nCOMMIT;\n";
    assert_eq!(
        statements(source),
        [
            "SELECT '   ', '  ''  ', E'    ', \"g\"".to_owned(),
            "COMMIT".to_owned()
        ]
    );
}

#[test]
fn dollar_quoted_bodies_are_one_literal() {
    let source = "DO $b$ BEGIN x := $$y;$$; END; $b$; SELECT $1;";
    assert_eq!(
        statements(source),
        [format!("DO $b${}$b$", " ".repeat(25)), "SELECT $1".into()]
    );
    assert!(
        SqlText::read(source)
            .without_comments
            .contains("x := $$y;$$")
    );
}

#[test]
fn statements_tell_where_they_begin() {
    let source = "\n  BEGIN;\n COMMIT";
    let starts: Vec<usize> = SqlText::read(source)
        .statements()
        .iter()
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(starts, [3, 11]);
}
