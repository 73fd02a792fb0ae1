//! Uses and list must match.

use super::{ALLOW_LIST, check};
use crate::tidy::SourceFile;

fn found(path: &str, text: &str, list: &str) -> Vec<(String, usize)> {
    let file = SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    check(&[file], list)
        .into_iter()
        .map(|finding| (finding.path, finding.line))
        .collect()
}

const USE: &str = "fn a() {\n    let scope = Scope::System(\"why\");\n}\n";

#[test]
fn listed_uses_pass_and_others_do_not() {
    let path = "crates/core/src/relay.rs";
    assert_eq!(
        found(
            path,
            USE,
            "# list\n\ncrates/core/src/relay.rs  delivers events\n"
        ),
        []
    );
    assert_eq!(found(path, USE, "# list\n"), [(path.to_owned(), 2)]);
    assert_eq!(found(path, "// Scope::System(\n", "# list\n"), []);
    assert_eq!(found("crates/core/src/relay/tests.rs", USE, ""), []);
}

#[test]
fn stale_entries_and_entries_without_a_reason_are_found() {
    let path = "crates/core/src/relay.rs";
    let list = "crates/core/src/relay.rs  delivers events\ncrates/core/src/gone.rs  once\n";
    assert_eq!(found(path, USE, list), [(ALLOW_LIST.to_owned(), 2)]);
    assert_eq!(
        found(path, USE, "crates/core/src/relay.rs\n"),
        [(ALLOW_LIST.to_owned(), 1)]
    );
    let twice = "crates/core/src/relay.rs a\ncrates/core/src/relay.rs b\n";
    assert_eq!(found(path, USE, twice), [(ALLOW_LIST.to_owned(), 2)]);
}
