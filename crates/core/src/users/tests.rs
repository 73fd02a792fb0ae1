//! Tests of `users`.

use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::states::UserStatus;

use super::*;
use crate::test_values::at;

#[test]
fn the_first_wrong_passwords_are_free() {
    for failures in 0..=4 {
        assert_eq!(locked_until(failures, at(0)), None, "{failures}");
    }
}

#[test]
fn each_further_wrong_password_doubles_the_lock_up_to_a_quarter_of_an_hour() {
    let seconds = [5, 6, 7, 8, 9, 10, 11, 1_000, i32::MAX]
        .map(|failures| (locked_until(failures, at(0)).unwrap() - at(0)).num_seconds());

    assert_eq!(seconds, [30, 60, 120, 240, 480, 900, 900, 900, 900]);
}

#[test]
fn names_are_compared_in_lower_case_without_space_around() {
    assert_eq!(normalized("  Ada.Lovelace\t"), "ada.lovelace");
    assert_eq!(normalized("ÄRGER"), "ärger");
}

#[test]
fn names_are_bounded_and_printable() {
    let longest = "x".repeat(256);
    for name in [
        "ada",
        "ada lovelace",
        "ada@example.com",
        "ä",
        longest.as_str(),
    ] {
        assert!(check_username(name).is_ok(), "{name}");
    }
    let too_long = "x".repeat(257);
    // One character that becomes two in lower case.
    let too_long_in_lower_case = "İ".repeat(256);
    for name in [
        "",
        "   ",
        "a\0b",
        "a\nb",
        &too_long,
        &too_long_in_lower_case,
    ] {
        let error = check_username(name).unwrap_err();
        assert_eq!(error.0.violations[0].field, "username", "{name}");
    }
}

#[test]
fn addresses_have_two_parts() {
    assert_eq!(check_email(" ada@example.com ").unwrap(), "ada@example.com");
    let too_long = format!("{}@example.com", "x".repeat(320));
    for address in [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@exa mple.com",
        "a\0@b",
        &too_long,
    ] {
        let error = check_email(address).unwrap_err();
        assert_eq!(error.0.violations[0].field, "email", "{address}");
    }
}

#[test]
fn a_lock_says_when_to_come_back() {
    let state = PasswordState {
        username: "ada".to_owned(),
        email: None,
        home_organization_id: SYSTEM_ORGANIZATION,
        user_status: UserStatus::Active,
        password_hash: None,
        password_set_at: at(0),
        failed_sign_in_count: 5,
        locked_until: Some(at(30)),
    };

    assert!(is_locked(&state, at(29)));
    assert!(!is_locked(&state, at(30)));
    assert_eq!(locked(&state, at(0)).0.retry_after_seconds, Some(31));
}

#[test]
fn passwords_expire_where_the_setting_is_a_number_of_days() {
    let day = |days: i64| at(days * 24 * 60 * 60);
    let settings = |days| OrganizationSettings::from_stored(&json!({ "password_days_max": days }));
    let setting = settings(json!(90));

    assert!(!is_expired(&setting, day(0), day(89)));
    assert!(is_expired(&setting, day(0), day(90)));
    assert!(!is_expired(
        &OrganizationSettings::default(),
        day(0),
        day(10_000)
    ));
    for odd in [json!("90"), json!(-1), json!(1.5), json!(null), json!({})] {
        let setting = settings(odd.clone());
        assert!(!is_expired(&setting, day(0), day(10_000)), "{odd}");
    }
}
