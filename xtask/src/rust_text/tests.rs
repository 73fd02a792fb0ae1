//! Comments and literals are told from code.

use super::{RustText, line_at};

fn code(source: &str) -> String {
    RustText::read(source).code
}

fn strings(source: &str) -> Vec<String> {
    RustText::read(source)
        .strings
        .into_iter()
        .map(|literal| literal.text)
        .collect()
}

#[test]
fn comments_are_blanked_and_lines_kept() {
    assert_eq!(code("a // b\nc"), "a     \nc");
    assert_eq!(code("a /* b /* c */ d\n */ e"), "a               \n    e");
}

#[test]
fn strings_are_blanked_and_remembered() {
    assert_eq!(code(r#"f("a//b", 'c')"#), r#"f("    ", ' ')"#);
    assert_eq!(strings(r#"f("a\"b", b"c")"#), [r#"a\"b"#, "c"]);
}

#[test]
fn raw_strings_end_at_their_own_hashes() {
    let source = r###"f(r#"a "quoted" b"#, br"c\", r##"d"#e"##) + g"###;
    assert_eq!(strings(source), [r#"a "quoted" b"#, r"c\", r##"d"#e"##]);
    assert!(code(source).ends_with("+ g"));
}

#[test]
fn lifetimes_and_raw_identifiers_are_code() {
    assert_eq!(
        code("fn f<'a>(r#type: &'a str)"),
        "fn f<'a>(r#type: &'a str)"
    );
    assert_eq!(
        code(r"('\'', '\u{1F600}', 'é', b'x') x"),
        r"('  ', '         ', '  ', b' ') x"
    );
}

#[test]
fn offsets_count_alike_in_source_and_code() {
    let source = "// é\nlet a = \"b\";\n";
    let text = RustText::read(source);
    assert_eq!(text.code.len(), source.len());
    assert_eq!(
        text.strings
            .iter()
            .map(|s| line_at(source, s.start))
            .collect::<Vec<_>>(),
        [2]
    );
}

#[test]
fn what_is_not_closed_reaches_to_the_end() {
    for source in ["/* a", "\"a", "r#\"a\"", "'\\", "/"] {
        assert_eq!(code(source).len(), source.len(), "{source}");
    }
}
