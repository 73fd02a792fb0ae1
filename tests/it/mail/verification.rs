//! Addresses: verified by the link that goes there, and no longer once they change.

use serde_json::{Value, json};

use super::{NEW_PASSWORD, USERS, VERIFIED, VERIFY, World};
use clm_tests::rest::{Answer, Call, NOBODY};

async fn verify(world: &World, token: &str) -> Answer {
    let body = json!({ "token": token });
    world.call(&NOBODY, "POST", VERIFIED, body).await
}

async fn change(world: &World, user_id: uuid::Uuid, revision: i64, body: Value) -> Answer {
    let call = Call::new("PATCH", &format!("{USERS}/{user_id}"))
        .by(&world.administrator)
        .header("if-match", &format!("\"{revision}\""))
        .body(body);
    world.rest.send(call).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_verified_by_its_link_and_forgotten_with_each_change() {
    let world = World::start().await;
    // A name that would be headers, or a link, if anybody let it.
    let name = "eve <x@evil.example>, \"Bcc: y@evil.example\" {link}";
    let body = json!({
        "username": name, "email": "eve@people.example", "display_name": "Eve\u{202e}",
        "password": NEW_PASSWORD,
    });
    let made = world
        .call(&world.administrator, "POST", USERS, body)
        .await
        .expect(201);
    let user_id = made.id("/user/id");
    assert_eq!(made.body["user"]["email_verified"], false);
    let mail = world.smtp.wait_for("eve@people.example", 1).await;
    let token = mail.token("verify-email");
    assert_eq!(mail.header("To"), "eve@people.example");
    assert_eq!(mail.header("Subject"), "Confirm your e-mail address");
    let headers = mail.0["headers"].to_string();
    assert!(
        !headers.contains("evil") && !headers.contains("Bcc"),
        "{headers}"
    );
    assert_eq!(mail.0["to"], json!(["eve@people.example"]));

    let confirm = async |token: &str| verify(&world, token).await;
    confirm(&token).await.expect(204);
    assert_eq!(confirm(&token).await.expect(422).code(), "link_invalid");
    assert_eq!(confirm("garbage").await.expect(422).code(), "link_invalid");
    let path = format!("{USERS}/{user_id}");
    let load = || world.call(&world.administrator, "GET", &path, Value::Null);
    let found = load().await.expect(200);
    assert_eq!(found.body["email_verified"], true);
    let revision = found.body["revision"].as_i64().unwrap();

    // A change of anything else leaves it; of the address, even of its letter case, does not.
    let shown = json!({ "display_name": "Eve" });
    let changed = change(&world, user_id, revision, shown).await.expect(200);
    assert_eq!(changed.body["email_verified"], true);
    let other = json!({ "email": "EVE@people.example" });
    let changed = change(&world, user_id, revision + 1, other)
        .await
        .expect(200);
    assert_eq!(changed.body["email_verified"], false);
    assert_eq!(load().await.body["email_verified"], false);
    // The former address hears of it, and the new one gets a link.
    let notice = world.smtp.wait_for("eve@people.example", 2).await;
    assert_eq!(
        notice.header("Subject"),
        "The e-mail address of your account was changed"
    );
    let second = world
        .smtp
        .wait_for("EVE@people.example", 1)
        .await
        .token("verify-email");

    // Of an address that is not the user's any more no link works, and none is sent.
    let third = json!({ "email": "third@people.example" });
    change(&world, user_id, revision + 2, third)
        .await
        .expect(200);
    assert_eq!(confirm(&second).await.expect(422).code(), "link_invalid");
    let none = json!({ "email": null });
    change(&world, user_id, revision + 3, none)
        .await
        .expect(200);
    assert_eq!(load().await.body["email_verified"], false);
    assert_eq!(world.events("email_verification.completed", None).await, 1);
    assert!(
        world
            .events("email_verification.completed", Some("link_invalid"))
            .await
            >= 3
    );
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_asks_for_a_link_to_the_own_address() {
    let world = World::start().await;
    let (person, email) = world.person("asking").await;
    let first = world.program.bootstrap_text("password");
    let session = world
        .rest
        .sign_in("asking", &first, "default")
        .await
        .credential();
    let ask = || world.call(&session, "POST", VERIFY, Value::Null);
    assert_eq!(ask().await.expect(409).code(), "email_verified");
    let forget = "UPDATE users SET email_verified_at = NULL WHERE id = $1";
    world.superuser.update(forget, person.user_id).await;
    ask().await.expect(202);
    let refused = ask().await.expect(429);
    assert_eq!(refused.code(), "too_many_mails");
    let token = world.smtp.wait_for(&email, 1).await.token("verify-email");
    let verify = ["user", "verify-email", "--stdin"];
    let done = world.program.cli_with_input(&verify, &format!("{token}\n"));
    assert!(done.status.success(), "{done:?}");
    assert_eq!(ask().await.expect(409).code(), "email_verified");
    let none = "UPDATE users SET email = NULL, email_normalized = NULL WHERE id = $1";
    world.superuser.update(none, person.user_id).await;
    assert_eq!(ask().await.expect(409).code(), "no_email");
    let by_key = clm_tests::rest::bearer(&person.secret);
    let refused = world
        .call(&by_key, "POST", VERIFY, Value::Null)
        .await
        .expect(422);
    assert_eq!(refused.code(), "no_session");
    drop(world.program);
}
