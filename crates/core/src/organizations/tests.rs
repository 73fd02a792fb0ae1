//! Tests of `organizations`.

use super::*;

#[test]
fn slugs_are_dns_labels() {
    let longest = "x".repeat(63);
    for slug in ["a", "0", "acme", "acme-2", "a--b", longest.as_str()] {
        assert!(is_slug(slug), "{slug}");
    }
    let too_long = "x".repeat(64);
    for slug in [
        "", "-", "-a", "a-", "Acme", "a_b", "a.b", "ä", "a b", "a\0", &too_long,
    ] {
        assert!(!is_slug(slug), "{slug}");
    }
}

#[test]
fn an_id_is_no_slug() {
    assert!(!is_slug("00000000-0000-0000-0000-000000000001"));
    assert!(!is_slug("00000000000000000000000000000001"));
}

#[test]
fn names_are_bounded_and_printable() {
    assert_eq!(check_name(" Example Ltd. ").unwrap(), "Example Ltd.");
    for name in ["", "  ", "a\0b", &"x".repeat(201)] {
        let error = check_name(name).unwrap_err();
        assert_eq!(error.0.violations[0].field, "name", "{name}");
    }
}
