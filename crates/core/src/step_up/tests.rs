//! Tests of `step_up`: who needs a proof, and what it is bound to.

use clm_domain::ids::{ApiKeyId, SYSTEM_ORGANIZATION};
use clm_domain::permission::Permissions;
use uuid::Uuid;

use super::*;
use crate::test_values::context;

const GRANT: (Action, Resource) = (Action::Create, Resource::RoleAssignment);

fn user() -> (UserId, SessionId) {
    let uuid = Uuid::from_u128;
    (UserId::from_uuid(uuid(1)), SessionId::from_uuid(uuid(2)))
}

fn post(path: &str, body: &[u8]) -> HttpRequest {
    HttpRequest {
        method: "POST".to_owned(),
        path: path.to_owned(),
        body_sha256: Sha256::digest(body).into(),
    }
}

fn of_person() -> OpContext {
    let (user_id, session_id) = user();
    let actor = Actor::User {
        user_id,
        session_id,
    };
    context(actor, Permissions::all())
}

fn of_key(scopes: Option<Permissions>) -> OpContext {
    let actor = Actor::ApiKey {
        api_key_id: ApiKeyId::from_uuid(Uuid::from_u128(3)),
        user_id: user().0,
    };
    OpContext {
        credential_scopes: scopes,
        ..context(actor, Permissions::all())
    }
}

fn code(outcome: Result<Option<Proof>>) -> String {
    outcome.map(drop).unwrap_err().0.code.into_owned()
}

#[test]
fn the_machine_needs_no_proof_and_nobody_has_none() {
    for actor in [Actor::LocalOperator { uid: 0 }, Actor::System] {
        let context = context(actor, Permissions::none());
        assert!(needed(&context, GRANT).unwrap().is_none());
    }
    let nobody = context(Actor::Anonymous, Permissions::all());
    assert_eq!(code(needed(&nobody, GRANT)), "unauthenticated");
}

#[test]
fn a_key_acts_when_its_scopes_name_the_right() {
    let named: Permissions = [(Resource::RoleAssignment, Action::Create)]
        .into_iter()
        .collect();
    assert!(
        needed(&of_key(Some(named.clone())), GRANT)
            .unwrap()
            .is_none()
    );
    let other = (Action::Update, Resource::RoleAssignment);
    for (key, right) in [
        (of_key(None), GRANT),
        (of_key(Some(named)), other),
        (of_key(Some(Permissions::none())), GRANT),
    ] {
        assert_eq!(code(needed(&key, right)), "step_up_required");
    }
}

#[test]
fn a_person_brings_a_proof_for_the_request_that_is_made() {
    let mut context = of_person();
    context.request.http = Some(post("/api/v1/role-assignments", b"{}"));
    assert_eq!(code(needed(&context, GRANT)), "step_up_required");
    context.request.step_up_proof = Some(SecretString::new("clmsu_1".to_owned()));
    let proof = needed(&context, GRANT).unwrap().unwrap();
    assert_eq!((proof.user_id, proof.session_id), user());
    assert_eq!(proof.organization_id, SYSTEM_ORGANIZATION);
    let expected: [u8; 32] = Sha256::digest("clmsu_1").into();
    assert_eq!(proof.proof_sha256, expected);
    assert_eq!(
        proof.request_sha256,
        request_sha256(&post("/api/v1/role-assignments", b"{}"))
    );
    // Without a request there is nothing that could have been proved.
    context.request.http = None;
    assert_eq!(code(needed(&context, GRANT)), "step_up_required");
}

#[test]
fn a_request_is_told_from_every_other() {
    let one = post("/api/v1/role-assignments", b"{}");
    let others = [
        post("/api/v1/role-assignments/", b"{}"),
        post("/api/v1/role-assignments", b"{ }"),
        HttpRequest {
            method: "PATCH".to_owned(),
            ..one.clone()
        },
        // The same bytes, cut at another place.
        HttpRequest {
            method: "POST/api".to_owned(),
            path: "/v1/role-assignments".to_owned(),
            ..one.clone()
        },
    ];
    assert_eq!(request_sha256(&one), request_sha256(&one.clone()));
    for other in others {
        assert_ne!(request_sha256(&one), request_sha256(&other), "{other:?}");
    }
}

#[test]
fn what_is_no_request_is_named() {
    let long = format!("/{}", "x".repeat(PATH_BYTES_MAX));
    for (method, path, field) in [
        ("", "/api", "request.method"),
        ("post", "/api", "request.method"),
        ("POSTPOSTPOST", "/api", "request.method"),
        ("POST", "api", "request.path"),
        ("POST", "", "request.path"),
        ("POST", "/a b", "request.path"),
        ("POST", "/a?b", "request.path"),
        ("POST", long.as_str(), "request.path"),
    ] {
        let request = HttpRequest {
            method: method.to_owned(),
            path: path.to_owned(),
            body_sha256: [0; 32],
        };
        let refused = check_request(request).unwrap_err();
        assert_eq!(refused.0.violations[0].field, field, "{method} {path}");
    }
}
