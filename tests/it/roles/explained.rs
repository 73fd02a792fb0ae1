//! Decisions that explain themselves.

use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::databases::Person;
use clm_tests::rest::{Call, bearer};
use serde_json::{Value, json};

use super::{ASSIGNMENTS, LIST, World};

const EXPLAIN: &str = "/api/v1/access/explain";

async fn about(world: &World, person: &Person, action: &str, at: Option<&str>) -> Value {
    let body = json!({
        "user_id": person.user_id, "resource": "certificate", "action": action, "at": at,
    });
    world.post(EXPLAIN, body).await.expect(200).body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_names_assignment_and_role() {
    let world = World::start().await;
    let person = world.person("ada").await;
    let nothing = about(&world, &person, "list", None).await;
    assert_eq!(
        (&nothing["allowed"], &nothing["code"]),
        (&json!(false), &json!("permission_missing"))
    );
    assert_eq!(nothing["grants"], json!([]));

    let reader = world.role("READER", &[LIST], None).await;
    let heir = world.role("HEIR", &[], Some(reader)).await;
    let assignment = world.assign(person.user_id, heir).await;
    let given = about(&world, &person, "list", None).await;
    assert_eq!(
        (&given["allowed"], &given["code"]),
        (&json!(true), &json!("granted"))
    );
    let grant = &given["grants"][0];
    assert_eq!(grant["role_assignment_id"], assignment.to_string());
    assert_eq!(grant["assigned_role_code"], "HEIR");
    assert_eq!(grant["role_code"], "READER", "where the rule stands");
    assert_eq!(grant["rule"], "certificate:list");
    assert_eq!(grant["state"], "current");
    assert_eq!(
        about(&world, &person, "revoke", None).await["allowed"],
        false
    );

    // At other times it is another decision.
    let before = about(&world, &person, "list", Some("2001-01-01T00:00:00Z")).await;
    assert_eq!(
        (&before["allowed"], &before["grants"][0]["state"]),
        (&json!(false), &json!("pending"))
    );
    world
        .delete(&format!("{ASSIGNMENTS}/{assignment}"))
        .await
        .expect(204);
    let after = about(&world, &person, "list", None).await;
    assert_eq!(
        (&after["allowed"], &after["grants"][0]["state"]),
        (&json!(false), &json!("ended"))
    );

    // What counts comes before what does not.
    world.assign(person.user_id, heir).await;
    let again = about(&world, &person, "list", None).await;
    let states = [&again["grants"][0]["state"], &again["grants"][1]["state"]];
    assert_eq!(states, ["current", "ended"]);
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_what_the_act_gets() {
    let world = World::start().await;
    let reader = world.role("READER", &[LIST], None).await;
    let person = world.person("ada").await;
    world.assign(person.user_id, reader).await;
    for (change, code, status) in [
        (
            "UPDATE users SET status = 'active' WHERE id = $1",
            "granted",
            200,
        ),
        (
            "UPDATE users SET status = 'suspended' WHERE id = $1",
            "user_not_active",
            401,
        ),
        (
            "UPDATE users SET status = 'active' WHERE id = $1",
            "granted",
            200,
        ),
        (
            "UPDATE user_organizations SET status = 'suspended' WHERE user_id = $1",
            "membership_suspended",
            401,
        ),
    ] {
        world.superuser.update(change, person.user_id).await;
        let explained = about(&world, &person, "list", None).await;
        assert_eq!(explained["code"], code, "{change}");
        assert_eq!(explained["allowed"], status == 200);
        // What is cached is at most a second old.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        assert_eq!(world.lists_certificates(&person).await, status, "{change}");
    }
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_may_ask_about_oneself() {
    let world = World::start().await;
    let reader = world.role("READER", &[LIST], None).await;
    let person = world.person("ada").await;
    world.assign(person.user_id, reader).await;
    let question = json!({ "resource": "certificate", "action": "list" });
    let ask = |secret: &str, body: &Value| {
        Call::new("POST", EXPLAIN)
            .by(&bearer(secret))
            .body(body.clone())
    };
    let own = world
        .rest
        .send(ask(&person.secret, &question))
        .await
        .expect(200);
    assert_eq!(
        (&own.body["allowed"], &own.body["username"]),
        (&json!(true), &json!("ada"))
    );
    // A key that is narrowed to something else says so.
    let scopes: Permissions = [(Resource::ApiKey, Action::List)].into_iter().collect();
    let narrow =
        world
            .superuser
            .insert_api_key(world.organization_id, person.user_id, Some(&scopes));
    let (_, narrow) = narrow.await;
    let narrowed = world.rest.send(ask(&narrow, &question)).await.expect(200);
    assert_eq!(narrowed.body["code"], "scopes_missing");
    // About others, only who may read assignments; unknown and foreign people look the same.
    let mut other = question.clone();
    other["user_id"] = world.administrator.user_id.to_string().into();
    world
        .rest
        .send(ask(&person.secret, &other))
        .await
        .expect(403);
    let elsewhere = world.superuser.insert_organization("elsewhere").await;
    let nothing = Permissions::none();
    let foreign = world
        .superuser
        .insert_person(elsewhere, "foreign", &nothing)
        .await;
    let mut answers = Vec::new();
    for user_id in [
        foreign.user_id.to_string(),
        "01890a5d-ac96-774b-bcce-b302099a8057".into(),
    ] {
        other["user_id"] = user_id.into();
        let answer = world
            .rest
            .send(ask(&world.administrator.secret, &other))
            .await;
        answers.push(answer.expect(404).without_request_id());
    }
    assert_eq!(answers[0], answers[1]);
    drop(world.program);
}
