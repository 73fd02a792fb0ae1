//! What is refused before anything is done.

use clm_tests::rest::Call;
use serde_json::{Value, json};

use super::{PASSWORD, USERS, World, path};

pub(super) async fn bad_input_names_the_field(world: &World) {
    let long = "x".repeat(400);
    let with = |field: &str, value: Value| {
        let mut body = json!({ "username": "input" });
        body[field] = value;
        body
    };
    let cases = [
        (with("username", "".into()), "username"),
        (with("username", "a\0b".into()), "username"),
        (with("username", long.clone().into()), "username"),
        (with("email", "nobody".into()), "email"),
        (with("email", format!("{long}@example.com").into()), "email"),
        (with("display_name", "".into()), "display_name"),
        (with("display_name", "two\nlines".into()), "display_name"),
        (with("display_name", long.into()), "display_name"),
        (with("password", "short".into()), "password"),
        (with("password", "x".repeat(2_000).into()), "password"),
        (
            json!({ "username": "input-input-input", "password": "INPUT-input-input" }),
            "password",
        ),
        (
            json!({ "username": "input", "user_type": "service", "password": PASSWORD }),
            "password",
        ),
    ];
    for (body, field) in cases {
        let answer = world.make(&world.administrator, body.clone()).await;
        let answer = answer.expect(422);
        assert_eq!(answer.body["errors"][0]["field"], field, "{body}");
    }
    let unknown = with(
        "home_organization_id",
        "01890a5d-ac96-774b-bcce-b302099a8057".into(),
    );
    let unknown = world.make(&world.administrator, unknown).await.expect(404);
    assert_eq!(unknown.body["errors"][0]["field"], "home_organization_id");
    for body in [
        json!({ "username": 7 }),
        json!({ "username": "input", "user_type": "robot" }),
        json!({ "username": "input", "role": "SYSTEM_ADMIN" }),
        json!({ "username": "input", "must_change_password": false }),
        json!({}),
    ] {
        let answer = world.make(&world.administrator, body.clone()).await;
        assert_eq!(answer.expect(400).code(), "malformed_json", "{body}");
    }
    let listed = format!("{USERS}?username=input");
    let listed = world.call(&world.administrator, "GET", &listed, Value::Null);
    assert!(listed.await.body["items"].as_array().unwrap().is_empty());
    bad_changes_name_the_field(world).await;
}

async fn bad_changes_name_the_field(world: &World) {
    let body = json!({ "username": "input", "user_type": "service" });
    let made = world.make(&world.administrator, body).await.expect(201);
    let path = path(made.id("/user/id"));
    for (body, field) in [
        (json!({ "username": " " }), "username"),
        (json!({ "email": "@" }), "email"),
        (json!({ "display_name": "\t" }), "display_name"),
    ] {
        let call = Call::new("PATCH", &path).by(&world.administrator);
        let answer = world
            .rest
            .send(call.header("if-match", "\"1\"").body(body))
            .await
            .expect(422);
        assert_eq!(answer.body["errors"][0]["field"], field);
    }
    let status = format!("{path}/status");
    for (body, status_code) in [
        (json!({ "status": "gone", "reason": "r" }), 400),
        (json!({ "status": "locked" }), 400),
        (json!({ "status": "locked", "reason": "" }), 422),
        (
            json!({ "status": "locked", "reason": "x".repeat(1_001) }),
            422,
        ),
        (json!({ "status": "locked", "reason": "a\0" }), 422),
    ] {
        let answer = world.call(&world.administrator, "PUT", &status, body).await;
        answer.expect(status_code);
    }
    let found = world.call(&world.administrator, "GET", &path, Value::Null);
    assert_eq!(found.await.expect(200).body["revision"], 1);
}
