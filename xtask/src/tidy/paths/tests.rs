//! Live paths and links pass, dead ones are found.

use super::check;
use crate::tidy::SourceFile;

const EXISTING: [&str; 4] = [
    "docs/adr",
    "docs/adr/0001.md",
    "db/roles_core.sql",
    "README.md",
];

const NOTHING: [usize; 0] = [];

fn dead(path: &str, text: &str) -> Vec<usize> {
    let file = SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let exists = |path: &str| EXISTING.contains(&path.trim_end_matches('/'));
    check(&file, &exists)
        .iter()
        .map(|finding| finding.line)
        .collect()
}

#[test]
fn paths_in_backticks_exist() {
    assert_eq!(
        dead(
            "a.md",
            "See `db/roles_core.sql`, `docs/adr/` and `docs/adr/0001.md:3`.\n"
        ),
        NOTHING
    );
    assert_eq!(
        dead("a.md", "Fine.\nSee `db/roles.sql` and `crates/gone`.\n"),
        [2, 2]
    );
}

#[test]
fn patterns_prose_and_blocks_are_left_alone() {
    assert_eq!(
        dead(
            "a.md",
            "`migrations/*/NNN_a.sql` `crates/<folder>` docs/none `a/b`\n"
        ),
        NOTHING
    );
    assert_eq!(dead("a.md", "```bash\nls `db/none`\n```\n`db/none`\n"), [4]);
    assert_eq!(dead("a.rs", "//! `db/none`\n"), NOTHING);
}

#[test]
fn links_lead_somewhere() {
    let good = "[a](../../README.md) [b](0001.md#context) [c](https://example.test) [d](#below)\n";
    assert_eq!(dead("docs/adr/0002.md", good), NOTHING);
    assert_eq!(
        dead("docs/adr/0002.md", "[a](README.md)\n[b](../../../x.md)\n"),
        [1, 2]
    );
    assert_eq!(dead("docs/adr/0002.md", "[a](/README.md)\n"), NOTHING);
}
