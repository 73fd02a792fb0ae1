//! Tests of `users::guesses`.

use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::states::UserStatus;

use super::*;
use crate::test_values::at;

fn user(number: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number))
}

fn state() -> PasswordState {
    PasswordState {
        username: "ada".to_owned(),
        email: None,
        home_organization_id: SYSTEM_ORGANIZATION,
        user_status: UserStatus::Active,
        password_hash: None,
        password_set_at: at(0),
        failed_sign_in_count: 9,
        locked_until: Some(at(900)),
    }
}

fn guess(known: Option<KnownAddress>) -> Guess {
    Guess {
        user_id: user(1),
        address_sha256: None,
        known,
    }
}

#[test]
fn two_users_of_one_address_have_nothing_in_common() {
    let [one, other] = ["192.0.2.1", "2001:db8::1"].map(|text| network_of(Some(text)).unwrap());

    assert_eq!(hash(user(1), one), hash(user(1), one));
    assert_ne!(hash(user(1), one), hash(user(2), one));
    assert_ne!(hash(user(1), one), hash(user(1), other));
}

#[test]
fn a_known_address_has_failures_of_its_own() {
    let known = KnownAddress {
        id: Uuid::nil(),
        failed_sign_in_count: 2,
        locked_until: None,
    };
    let judged = guess(Some(known)).judged_by(state());
    assert_eq!(judged.failed_sign_in_count, 2);
    assert_eq!(judged.locked_until, None);

    let judged = guess(None).judged_by(state());
    assert_eq!(judged.failed_sign_in_count, 9);
    assert_eq!(judged.locked_until, Some(at(900)));
}
