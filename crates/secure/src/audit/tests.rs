//! Tests of `audit`.

use serde_json::json;

use super::*;

#[test]
fn no_text_keeps_its_refusal_out_of_the_log() {
    assert_eq!(
        legible("a\0b\u{1b}[2J\nc", 100),
        "a\u{fffd}b\u{fffd}[2J\u{fffd}c"
    );
    let long = "\u{e4}".repeat(REASON_CHARACTERS_MAX + 1);
    assert_eq!(
        legible(&long, REASON_CHARACTERS_MAX).chars().count(),
        REASON_CHARACTERS_MAX
    );

    let details = json!({ "name": "x\0", "violations": ["dns\0: \u{7f}", long], "uid": 7 });
    let stored = storable(details);
    assert!(!stored.to_string().contains("\\u0000"), "{stored}");
    assert_eq!(stored["name"], "x\u{fffd}");
    assert_eq!(stored["violations"][0], "dns\u{fffd}: \u{fffd}");
    assert_eq!(
        stored["violations"][1]
            .as_str()
            .map(|text| text.chars().count()),
        Some(DETAIL_CHARACTERS_MAX)
    );
    assert_eq!(stored["uid"], 7);

    let stored = storable(json!({ "given_up": vec!["x"; DETAIL_ITEMS_MAX + 1] }));
    assert_eq!(
        stored["given_up"].as_array().map(Vec::len),
        Some(DETAIL_ITEMS_MAX)
    );
}

#[test]
fn failures_that_leave_the_database_alive_have_a_row() {
    let constraint = || "ux".to_owned();
    let code = |error: DatabaseError| code_of_failure(&Failure::Database(error));
    assert_eq!(
        code(DatabaseError::Duplicate {
            constraint: constraint()
        }),
        Some("already_exists")
    );
    assert_eq!(
        code(DatabaseError::ConstraintViolated {
            constraint: constraint()
        }),
        Some("constraint_violated")
    );
    assert_eq!(code(DatabaseError::NothingChanged { statement: "a" }), None);
    assert_eq!(code_of_failure(&Failure::Internal("a".to_owned())), None);
}
