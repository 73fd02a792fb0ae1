//! Nobody takes away, or gives back, what they do not hold; nobody prolongs the own role.

use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::databases::Person;
use clm_tests::rest::{Answer, Call, bearer};
use serde_json::{Value, json};

use super::{ASSIGNMENTS, LIST, ROLES, World};

async fn clerk(world: &World, name: &str, rules: &[(Resource, Action)]) -> Person {
    let rights: Permissions = rules.iter().copied().collect();
    world
        .superuser
        .insert_person(world.organization_id, name, &rights)
        .await
}

async fn by(world: &World, person: &Person, call: Call) -> Answer {
    world.rest.send(call.by(&bearer(&person.secret))).await
}

fn patch(path: &str, body: Value) -> Call {
    Call::new("PATCH", path)
        .header("if-match", "\"1\"")
        .body(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_above_oneself_is_not_emptied() {
    let world = World::start().await;
    let rules = [
        (Resource::Role, Action::Update),
        (Resource::Role, Action::Delete),
    ];
    let clerk = clerk(&world, "clerk", &rules).await;
    let exporter = world
        .role("EXPORTER", &[(Resource::PrivateKey, Action::Export)], None)
        .await;
    let path = format!("{ROLES}/{exporter}");
    for call in [
        patch(&path, json!({ "permissions": {} })),
        patch(&path, json!({ "role_name": "Mine" })),
        Call::new("DELETE", &path).header("if-match", "\"1\""),
    ] {
        let refused = by(&world, &clerk, call).await.expect(422);
        assert_eq!(refused.code(), "permissions_beyond_rights");
    }
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_above_oneself_is_neither_suspended_nor_admitted() {
    let world = World::start().await;
    let clerk = clerk(&world, "clerk", &[(Resource::Membership, Action::Update)]).await;
    let above = [LIST].into_iter().collect();
    let above = world
        .superuser
        .insert_person(world.organization_id, "above", &above)
        .await;
    let below = world.person("below").await;
    for (status, person, expected) in [
        ("suspended", &above, 422),
        ("active", &above, 422),
        ("suspended", &below, 200),
        ("active", &below, 200),
    ] {
        let path = format!("/api/v1/members/{}/status", person.user_id);
        let body = json!({ "status": status, "reason": "a test" });
        let call = Call::new("PUT", &path).body(body);
        let answer = by(&world, &clerk, call).await.expect(expected);
        if expected == 422 {
            assert_eq!(answer.code(), "permissions_beyond_rights");
        }
    }
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_prolongs_the_own_role() {
    let world = World::start().await;
    let rules = [(Resource::RoleAssignment, Action::Update), LIST];
    let clerk = clerk(&world, "clerk", &rules).await;
    let reader = world.role("READER", &[LIST], None).await;
    let body = json!({
        "user_id": clerk.user_id, "role_id": reader, "valid_until": "2990-01-01T00:00:00Z",
    });
    let id = world.post(ASSIGNMENTS, body).await.expect(201).id("/id");
    let path = format!("{ASSIGNMENTS}/{id}");
    for until in [json!("2991-01-01T00:00:00Z"), Value::Null] {
        let call = patch(&path, json!({ "valid_until": until }));
        let refused = by(&world, &clerk, call).await.expect(422);
        assert_eq!(refused.code(), "own_assignment");
    }
    let shorter = patch(&path, json!({ "valid_until": "2989-01-01T00:00:00Z" }));
    by(&world, &clerk, shorter).await.expect(200);
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_is_refused() {
    let world = World::start().await;
    let reader = world.role("READER", &[LIST], None).await;
    let person = world.person("ada").await;
    let body = json!({
        "user_id": person.user_id, "role_id": reader,
        "valid_from": "2990-01-01T00:00:00.0000001Z", "valid_until": "2990-01-01T00:00:00.0000009Z",
    });
    let refused = world.post(ASSIGNMENTS, body).await.expect(422);
    assert_eq!(refused.code(), "valid_until_not_after");
    let list = Call::new("GET", "/api/v1/users?username=%00").by(&world.key());
    let refused = world.rest.send(list).await.expect(422);
    assert_eq!(refused.code(), "username_invalid");
    drop(world.program);
}
