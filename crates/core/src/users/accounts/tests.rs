//! Tests of `users::accounts`.

use super::*;

#[test]
fn names_shown_to_others_are_bounded_and_printable() {
    assert_eq!(
        check_display_name(" Ada Lovelace ").unwrap(),
        "Ada Lovelace"
    );
    for name in ["", "  ", "a\nb", "a\0", &"x".repeat(201)] {
        let error = check_display_name(name).unwrap_err();
        assert_eq!(error.0.violations[0].field, "display_name", "{name}");
    }
}

#[test]
fn a_change_names_its_fields_and_only_those_are_checked() {
    let change = UserChange {
        email: Some(None),
        display_name: Some(Some(" Ada ".to_owned())),
        ..UserChange::default()
    };
    let change = checked(change).unwrap();

    assert_eq!(fields(&change), ["email", "display_name"]);
    assert_eq!(change.email, Some(None));
    assert_eq!(change.display_name, Some(Some("Ada".to_owned())));
    let bad = UserChange {
        username: Some("a\0".to_owned()),
        ..UserChange::default()
    };
    assert_eq!(checked(bad).unwrap_err().0.code, "username_invalid");
}
