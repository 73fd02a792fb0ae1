//! Invitations: a token, once, that makes whoever presents it a member.

use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::rest::{Answer, Call, Credential, bearer};
use serde_json::{Value, json};

use super::{INVITATIONS, MEMBERS, UNKNOWN, World, fields, ids};

const ACCEPT: &str = "/api/v1/invitations/accept";

async fn invite(world: &World, body: Value) -> (String, String) {
    let made = world.post(&world.own.key(), INVITATIONS, body).await;
    let made = made.expect(201);
    let text = |pointer: &str| {
        made.body
            .pointer(pointer)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    (text("/invitation/id"), text("/token"))
}

async fn accept(world: &World, by: &Credential, token: &str) -> Answer {
    world.post(by, ACCEPT, json!({ "token": token })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_makes_a_member_once() {
    let world = World::start().await;
    let (own, other) = (&world.own, &world.other);
    for (body, status, field) in [
        (json!({ "email": "nowhere" }), 422, "email"),
        (json!({ "email": "a\n@b.example" }), 422, "email"),
        (
            json!({ "email": "a@b.example", "role_id": UNKNOWN }),
            404,
            "role_id",
        ),
    ] {
        let refused = world.post(&own.key(), INVITATIONS, body).await;
        let refused = refused.expect(status);
        assert_eq!(fields(&refused), [field], "{refused:?}");
    }
    let foreign = world.superuser.role_of(other.administrator.user_id).await;
    let body = json!({ "email": "a@b.example", "role_id": foreign });
    let foreign = world.post(&own.key(), INVITATIONS, body).await.expect(404);
    assert_eq!(foreign.code(), "not_found");

    let role = world.superuser.role_of(own.administrator.user_id).await;
    let (id, token) = invite(
        &world,
        json!({ "email": "Guest@b.example", "role_id": role }),
    )
    .await;
    let session = world.sign_in(&other.administrator, other.slug).await;
    let session = session.credential();
    let joined = accept(&world, &session, &token).await.expect(200);
    assert_eq!(joined.body["organization_slug"], "own");
    let path = format!("{MEMBERS}/{}", other.administrator.user_id);
    let member = world.get(&own.key(), &path).await.expect(200);
    assert_eq!(member.body["roles"][0]["role_code"], "R_OWN_ADMIN");
    assert_eq!(world.events(own.id, "invitation.accepted").await, 1);
    let listed = world.get(&own.key(), INVITATIONS).await.expect(200);
    assert_eq!(ids(&listed, "id"), [id.as_str()]);
    assert!(!listed.text.contains(&token));
    assert_eq!(listed.body["items"][0]["email"], "Guest@b.example");
    assert!(listed.body["items"][0]["accepted_at"].is_string());
    let theirs = world.get(&other.key(), INVITATIONS).await.expect(200);
    assert_eq!(ids(&theirs, "id"), Vec::<&str>::new());
    let path = format!("{INVITATIONS}/{id}");
    let late = world.send(&own.key(), "DELETE", &path, Value::Null).await;
    assert_eq!(late.expect(409).code(), "invitation_accepted");
    let foreign = world.send(&other.key(), "DELETE", &path, Value::Null).await;
    foreign.expect(404);
    let (_, second) = invite(&world, json!({ "email": "b@b.example" })).await;
    let again = accept(&world, &session, &second).await.expect(409);
    assert_eq!(again.code(), "already_member");
}

/// Whatever is wrong with a token is told in the same words.
#[tokio::test(flavor = "multi_thread")]
async fn bad_tokens_are_all_the_same() {
    let world = World::start().await;
    let (own, other) = (&world.own, &world.other);
    let session = world.sign_in(&other.administrator, other.slug).await;
    let session = session.credential();
    let email = || json!({ "email": "a@b.example" });
    let (used_id, used) = invite(&world, email()).await;
    let (revoked_id, revoked) = invite(&world, email()).await;
    let (expired_id, expired) = invite(&world, email()).await;
    let use_up = "UPDATE invitations SET accepted_at = now(), accepted_by_user_id =
        (SELECT id FROM users WHERE username = 'admin') WHERE id = $1";
    world
        .superuser
        .update(use_up, used_id.parse().unwrap())
        .await;
    let path = format!("{INVITATIONS}/{revoked_id}");
    for _ in 0..2 {
        let done = world.send(&own.key(), "DELETE", &path, Value::Null).await;
        done.expect(204);
    }
    let age = "UPDATE invitations SET expires_at = now() WHERE id = $1";
    world
        .superuser
        .update(age, expired_id.parse().unwrap())
        .await;
    let powerless = demoted(&world, "powerless", false).await;
    let demoted = demoted(&world, "demoted", true).await;
    let unknown = "A".repeat(43);
    let mut expected = None;
    let ended = [&used, &revoked, &expired, &demoted, &powerless];
    for token in ended
        .into_iter()
        .map(String::as_str)
        .chain([unknown.as_str(), "", "none"])
    {
        let refused = accept(&world, &session, token).await.expect(404);
        let refused = refused.without_request_id();
        assert_eq!(*expected.get_or_insert(refused.clone()), refused, "{token}");
    }
    let key = accept(&world, &other.key(), &unknown).await.expect(422);
    assert_eq!(key.code(), "no_session");
    let members = world.get(&own.key(), MEMBERS).await.expect(200);
    assert!(
        !members
            .text
            .contains(&other.administrator.user_id.to_string())
    );
}

/// A token, perhaps with a role, of an inviter who has lost rights since, and could not invite any more.
async fn demoted(world: &World, name: &str, with_role: bool) -> String {
    let own = &world.own;
    let rights = super::within(&Permissions::all());
    let inviter = world.superuser.insert_person(own.id, name, &rights);
    let inviter = inviter.await;
    let role = world.superuser.role_of(own.administrator.user_id).await;
    let role = with_role.then_some(role);
    let body = json!({ "email": "a@b.example", "role_id": role });
    let made = world
        .post(&bearer(&inviter.secret), INVITATIONS, body)
        .await;
    let token = made.expect(201).body["token"].as_str().unwrap().to_owned();
    let demote = "UPDATE user_roles SET valid_from = now() - interval '2 hours',
        valid_until = now() - interval '1 hour' WHERE user_id = $1";
    world.superuser.update(demote, inviter.user_id).await;
    token
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_what_they_do_not_hold() {
    let world = World::start().await;
    let own = &world.own;
    let rights = |all: &[(Resource, Action)]| all.iter().copied().collect::<Permissions>();
    let invites = (Resource::Membership, Action::Create);
    let assigns = (Resource::RoleAssignment, Action::Create);
    let (one, both) = (rights(&[invites]), rights(&[invites, assigns]));
    let host = world.superuser.insert_person(own.id, "host", &one);
    let patron = world.superuser.insert_person(own.id, "patron", &both);
    let (host, patron) = (host.await, patron.await);
    let role = world.superuser.role_of(own.administrator.user_id).await;
    let body = json!({ "email": "a@b.example", "role_id": role });
    let missing = world
        .post(&bearer(&host.secret), INVITATIONS, body.clone())
        .await;
    assert_eq!(missing.expect(403).code(), "permission_missing");
    let beyond = world.post(&bearer(&patron.secret), INVITATIONS, body).await;
    let beyond = beyond.expect(422);
    assert_eq!(beyond.code(), "permissions_beyond_rights");
    assert_eq!(fields(&beyond), ["role_id"]);
    let system: uuid::Uuid =
        sqlx::query_scalar("SELECT id FROM roles WHERE role_code = 'SYSTEM_ADMIN'")
            .fetch_one(&world.superuser.core)
            .await
            .unwrap();
    let body = json!({ "email": "a@b.example", "role_id": system });
    let shared = world.post(&own.key(), INVITATIONS, body.clone()).await;
    shared.expect(201);
    let shared = world.post(&bearer(&patron.secret), INVITATIONS, body).await;
    assert_eq!(shared.expect(422).code(), "permissions_beyond_rights");
    let own_role = world.superuser.role_of(host.user_id).await;
    let body = json!({ "email": "a@b.example", "role_id": own_role });
    world
        .post(&bearer(&patron.secret), INVITATIONS, body)
        .await
        .expect(201);
    let without = json!({ "email": "a@b.example" });
    world
        .post(&bearer(&host.secret), INVITATIONS, without)
        .await
        .expect(201);
}

/// Many present one token at once: one of them becomes a member.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_works_once() {
    let world = World::start().await;
    let other = &world.other;
    let (_, token) = invite(&world, json!({ "email": "a@b.example" })).await;
    let mut calls = Vec::new();
    for index in 0..12 {
        let name = format!("person-{index}");
        let nothing = Permissions::none();
        let person = world.superuser.insert_person(other.id, &name, &nothing);
        let session = world.sign_in(&person.await, other.slug).await;
        let call = Call::new("POST", ACCEPT).by(&session.credential());
        calls.push(call.body(json!({ "token": token })));
    }
    let tasks: Vec<_> = calls
        .into_iter()
        .map(|call| {
            let rest = world.rest.clone();
            tokio::spawn(async move { rest.send(call).await.status })
        })
        .collect();
    let mut found = Vec::new();
    for task in tasks {
        found.push(task.await.unwrap());
    }
    found.sort_unstable();
    let mut expected = vec![404; 11];
    expected.insert(0, 200);
    assert_eq!(found, expected);
}
