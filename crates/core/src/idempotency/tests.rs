//! Tests of `idempotency`.

use clm_domain::ids::{SYSTEM_ORGANIZATION, SessionId, UserId};
use clm_domain::permission::Permissions;
use serde_json::json;

use super::*;
use crate::test_values::{at, context};

fn idempotency(key: &str, body: u8) -> Idempotency {
    Idempotency {
        key: key.to_owned(),
        route: "POST /api/v1/api-keys".to_owned(),
        request_sha256: [body; 32],
    }
}

fn claim(request_sha256: [u8; 32]) -> Reservation {
    Reservation {
        id: Uuid::from_u128(1),
        scope: KeyScope {
            organization_id: SYSTEM_ORGANIZATION,
            principal: "user:1".to_owned(),
            route: "POST /api/v1/api-keys".to_owned(),
            key: "00".to_owned(),
        },
        request_sha256,
        now: at(0),
        locked_until: at(60),
        expires_at: at(86_400),
    }
}

fn stored(request_sha256: [u8; 32], status: Option<i32>, body: Option<Value>) -> StoredAnswer {
    StoredAnswer {
        request_sha256: request_sha256.to_vec(),
        response_status: status,
        response_body: body,
        resource_id: Some(Uuid::from_u128(5)),
    }
}

#[test]
fn an_answer_is_given_again_word_for_word() {
    let found = judge(
        stored([1; 32], Some(201), Some(json!({"a": 1}))),
        &claim([1; 32]),
    )
    .unwrap();

    let answer = replay(found).unwrap();

    assert_eq!((answer.status, answer.replayed), (201, true));
    assert_eq!(answer.resource_id, Some(Uuid::from_u128(5)));
    assert_eq!(answer.body, json!({"a": 1}));
}

#[test]
fn an_answer_without_body_is_an_answer() {
    let answer = replay(stored([1; 32], Some(204), Some(Value::Null))).unwrap();
    assert_eq!((answer.status, answer.body), (204, Value::Null));
}

#[test]
fn another_body_is_refused_even_while_the_first_is_under_way() {
    for status in [None, Some(201)] {
        let fault = judge(stored([1; 32], status, None), &claim([2; 32]))
            .unwrap_err()
            .0;
        assert_eq!(
            (fault.kind, fault.code.as_ref()),
            (ErrorKind::Invalid, "idempotency_key_reused")
        );
    }
}

#[test]
fn a_request_under_way_is_told_so() {
    let fault = judge(stored([1; 32], None, None), &claim([1; 32]))
        .unwrap_err()
        .0;

    assert_eq!(
        (fault.kind, fault.code.as_ref()),
        (ErrorKind::Conflict, "idempotency_in_flight")
    );
    assert_eq!(fault.retry_after_seconds, Some(1));
}

#[test]
fn a_secret_is_not_shown_again_and_its_owner_is_named() {
    let fault = replay(stored([1; 32], Some(201), None)).unwrap_err().0;

    assert_eq!(
        (fault.kind, fault.code.as_ref()),
        (ErrorKind::Conflict, "secret_already_shown")
    );
    assert!(
        fault.message.contains(&Uuid::from_u128(5).to_string()),
        "{}",
        fault.message
    );
}

#[test]
fn neither_key_nor_body_hash_is_stored_as_it_came() {
    let given = idempotency("3f0c", 1);

    assert_ne!(bound_request(&given), given.request_sha256);
    assert_ne!(
        bound_request(&given),
        bound_request(&idempotency("3f0c", 2))
    );
    assert_ne!(
        bound_request(&given),
        bound_request(&idempotency("3f0d", 1))
    );
    assert_ne!(stored_key(&given), stored_key(&idempotency("3f0d", 1)));
    assert_eq!(stored_key(&given), stored_key(&idempotency("3f0c", 2)));
}

#[test]
fn nobody_in_particular_is_told_apart_by_address() {
    let from = |address: Option<&str>| {
        let mut context = context(Actor::Anonymous, Permissions::none());
        context.request.ip_address = address.map(str::to_owned);
        principal(&context)
    };

    assert!(from(Some("192.0.2.1")).starts_with("anonymous:"));
    assert_ne!(from(Some("192.0.2.1")), from(Some("192.0.2.2")));
    assert!(!from(Some("192.0.2.1")).contains("192.0.2.1"));
    assert_ne!(from(None), "anonymous");
}

#[test]
fn somebody_is_told_apart_by_name_wherever_the_request_comes_from() {
    let user_id = UserId::from_uuid(Uuid::from_u128(1));
    let session_id = SessionId::from_uuid(Uuid::from_u128(2));
    let mut context = context(
        Actor::User {
            user_id,
            session_id,
        },
        Permissions::none(),
    );
    let first = principal(&context);
    context.request.ip_address = Some("192.0.2.1".to_owned());

    assert_eq!(first, format!("user:{user_id}"));
    assert_eq!(principal(&context), first);
}
