//! Tests of `texts`.

use super::*;

const NAME: (&str, &str) = ("name_invalid", "name");

#[test]
fn a_line_is_trimmed_and_bounded_in_characters() {
    assert_eq!(check_line(" a b\u{e4} ", 4, NAME).unwrap(), "a b\u{e4}");
    for text in ["", " \t\n", "12345", "a\nb", "a\0b", "a\u{7f}b", "a\u{85}b"] {
        let error = check_line(text, 4, NAME).unwrap_err();
        assert_eq!(error.0.code, "name_invalid", "{text:?}");
        assert_eq!(error.0.violations[0].field, "name", "{text:?}");
    }
}

#[test]
fn a_reason_is_demanded() {
    assert_eq!(check_reason(" left ").unwrap(), "left");
    let longest = "x".repeat(REASON_CHARACTERS_MAX);
    assert_eq!(check_reason(&longest).unwrap(), longest);
    for text in ["", " ", "a\nb", &format!("{longest}x")] {
        let error = check_reason(text).unwrap_err();
        assert_eq!(error.0.code, "reason_invalid", "{text:?}");
        assert_eq!(error.0.violations[0].field, "reason", "{text:?}");
    }
}
