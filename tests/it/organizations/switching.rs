//! The one organization in which a session is active.

use clm_tests::rest::bearer;
use serde_json::json;

use super::{SWITCH, UNKNOWN, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_elsewhere_with_new_secrets() {
    let world = World::start().await;
    let (own, other) = (&world.own, &world.other);
    let person = &own.administrator;
    world
        .superuser
        .insert_member(other.id, person.user_id)
        .await;
    let before = world.sign_in(person, own.slug).await;
    assert_eq!(world.status(&before.credential()).await, 200);
    let after = world.switch(&before, &other.id.to_string()).await;
    assert_eq!(after.session_id, before.session_id);
    assert_ne!(after.token, before.token);
    assert_ne!(after.csrf_token, before.csrf_token);
    let old = world.status(&before.credential()).await;
    assert_eq!(old, 401, "the old token stops at once");
    let who = world.get(&after.credential(), "/api/v1/whoami").await;
    let who = who.expect(200);
    assert_eq!(who.id("/organization_id"), other.id);
    assert_eq!(who.body["permissions"], json!({}), "no role is held there");
    // The old proof goes with the old token.
    let mut mixed = clm_tests::rest::cookie(&after.token);
    mixed.push((clm_api_types::CSRF_HEADER, before.csrf_token.clone()));
    let mixed = world.post(&mixed, "/api/v1/api-keys", json!({})).await;
    assert_eq!(mixed.expect(403).code(), "csrf_token_invalid");

    let elsewhere = |organization: &str| json!({ "organization": organization });
    let mut expected = None;
    for organization in ["system", "default", "nowhere", "", UNKNOWN, "No Slug"] {
        let body = elsewhere(organization);
        let refused = world.send(&after.credential(), "PUT", SWITCH, body).await;
        let refused = refused.expect(404).without_request_id();
        assert_eq!(*expected.get_or_insert(refused.clone()), refused);
    }
    world.set_status(own.id, "inactive").await.expect(200);
    let body = elsewhere(own.slug);
    let closed = world.send(&after.credential(), "PUT", SWITCH, body).await;
    closed.expect(404);
    world.set_status(own.id, "suspended").await.expect(200);
    let back = world.switch(&after, own.slug).await;
    assert_eq!(world.status(&back.credential()).await, 200);
    let key = world
        .send(&other.key(), "PUT", SWITCH, elsewhere(other.slug))
        .await;
    assert_eq!(key.expect(422).code(), "no_session");
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_begin_in_the_primary_organization() {
    let world = World::start().await;
    let (own, other) = (&world.own, &world.other);
    let person = &own.administrator;
    world
        .superuser
        .insert_member(other.id, person.user_id)
        .await;
    let session = world.sign_in(person, own.slug).await.credential();
    let path = "/api/v1/users/me/primary-organization";
    for organization in ["system", "nowhere", UNKNOWN] {
        let body = json!({ "organization": organization });
        let refused = world.send(&session, "PUT", path, body).await.expect(404);
        assert_eq!(refused.code(), "not_found");
    }
    let body = json!({ "organization": other.slug });
    world.send(&session, "PUT", path, body).await.expect(204);
    let begun = world.sign_in(person, own.slug).await;
    let who = world.get(&begun.credential(), "/api/v1/whoami").await;
    assert_eq!(who.expect(200).id("/organization_id"), other.id);
    let body = json!({ "organization": own.slug });
    world.send(&session, "PUT", path, body).await.expect(204);
    let begun = world.sign_in(person, own.slug).await;
    let who = world.get(&begun.credential(), "/api/v1/whoami").await;
    assert_eq!(who.expect(200).id("/organization_id"), own.id);
    let body = json!({ "organization": "own" });
    let key = world.send(&bearer(&person.secret), "PUT", path, body).await;
    assert_eq!(key.expect(422).code(), "no_session");
}
