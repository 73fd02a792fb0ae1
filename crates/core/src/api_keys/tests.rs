//! Tests of `api_keys`.

use clm_domain::ids::SessionId;
use uuid::Uuid;

use super::*;
use crate::test_values::{at, context};

fn rights(items: &[(Resource, Action)]) -> Permissions {
    items.iter().copied().collect()
}

const OWNER: UserId = UserId::from_uuid(Uuid::from_u128(1));

fn session() -> Actor {
    Actor::User {
        user_id: UserId::from_uuid(Uuid::from_u128(1)),
        session_id: SessionId::from_uuid(Uuid::from_u128(2)),
    }
}

fn key() -> Actor {
    Actor::ApiKey {
        user_id: UserId::from_uuid(Uuid::from_u128(1)),
        api_key_id: ApiKeyId::from_uuid(Uuid::from_u128(3)),
    }
}

#[test]
fn a_session_makes_keys_without_narrowing_them() {
    let context = context(session(), rights(&[(Resource::ApiKey, Action::Create)]));
    assert_eq!(scopes_within(&context, OWNER, None).unwrap(), None);
}

#[test]
fn a_key_made_with_a_key_has_no_more_than_that_one() {
    let narrow = rights(&[(Resource::ApiKey, Action::Create)]);
    let context = context(key(), narrow.clone());

    assert_eq!(scopes_within(&context, OWNER, None).unwrap(), Some(narrow));
}

#[test]
fn a_key_made_for_somebody_else_has_no_more_than_its_maker() {
    let rights = rights(&[(Resource::ApiKey, Action::Create)]);
    let context = context(session(), rights.clone());
    let other = UserId::from_uuid(Uuid::from_u128(5));

    assert_eq!(scopes_within(&context, other, None).unwrap(), Some(rights));
}

#[test]
fn scopes_within_the_own_rights_are_taken() {
    let context = context(session(), Permissions::all());
    let asked = rights(&[(Resource::Certificate, Action::Read)]);

    assert_eq!(
        scopes_within(&context, OWNER, Some(asked.clone())).unwrap(),
        Some(asked)
    );
}

#[test]
fn scopes_beyond_the_own_rights_are_named() {
    let context = context(session(), rights(&[(Resource::Certificate, Action::Read)]));
    let asked = rights(&[
        (Resource::Certificate, Action::Read),
        (Resource::User, Action::Administer),
    ]);

    let fault = scopes_within(&context, OWNER, Some(asked)).unwrap_err().0;

    assert_eq!(fault.kind, ErrorKind::PolicyViolation);
    assert_eq!(fault.violations[0].field, "scopes");
    assert!(
        fault.message.contains(r#"{"user":["administer"]}"#),
        "{}",
        fault.message
    );
}

#[test]
fn the_end_lies_in_the_future() {
    assert!(check_end(None, at(0)).is_ok());
    assert!(check_end(Some(at(1)), at(0)).is_ok());
    for past in [at(0), at(-1)] {
        let fault = check_end(Some(past), at(0)).unwrap_err().0;
        assert_eq!(fault.violations[0].field, "expires_at");
    }
}

#[test]
fn names_are_bounded_and_printable() {
    assert_eq!(check_name(" ci ").unwrap(), "ci");
    for name in ["", " ", "a\0b", &"x".repeat(101)] {
        assert_eq!(check_name(name).unwrap_err().0.violations[0].field, "name");
    }
}

#[test]
fn the_last_characters_are_the_last_four() {
    assert_eq!(last_characters("clm_0123456789"), "6789");
}
