//! Which new passwords are taken, and how long they last.

use clm_tests::rest::{Answer, Credential, signed_in, with_new_token};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{PASSWORD, USERS, World, path};

const OWN: &str = "/api/v1/users/me/password";

/// A user of this name whose password is [`PASSWORD`].
async fn make(world: &World, username: &str) -> Uuid {
    let body = json!({ "username": username, "password": PASSWORD });
    let made = world.make(&world.administrator, body).await;
    made.expect(201).id("/user/id")
}

async fn session(world: &World, username: &str, password: &str) -> Credential {
    let answer = world.sign_in(username, password).await.expect(201);
    signed_in(&answer).credential()
}

async fn change(world: &World, by: &Credential, current: &str, new: &str) -> Answer {
    let body = json!({ "current_password": current, "new_password": new });
    world.call(by, "POST", OWN, body).await
}

/// Length is not all: neither what everybody uses nor what everybody knows of the user.
pub(super) async fn common_ones_are_refused(world: &World) {
    let id = make(world, "margaret-hamilton").await;
    let by = session(world, "margaret-hamilton", PASSWORD).await;
    for weak in [
        "password1234",
        "qwertyuiopas",
        "margarethamilton",
        "hamilton-default",
    ] {
        let refused = change(world, &by, PASSWORD, weak).await.expect(422);
        assert_eq!(refused.code(), "password_too_common", "{weak}");
        assert_eq!(refused.body["errors"][0]["field"], "new_password");
        let body = json!({ "username": "margaret-hamilton-2", "password": weak });
        let refused = world.make(&world.administrator, body).await.expect(422);
        assert_eq!(refused.body["errors"][0]["field"], "password", "{weak}");
        let set = format!("{}/password", path(id));
        let set = world.call(
            &world.administrator,
            "POST",
            &set,
            json!({ "password": weak }),
        );
        assert_eq!(
            set.await.expect(422).code(),
            "password_too_common",
            "{weak}"
        );
    }
    change(world, &by, PASSWORD, "lunar module lands softly")
        .await
        .expect(204);
}

fn numbered(number: usize) -> String {
    format!("{number} marmalade sextants drift")
}

pub(super) async fn former_ones_do_not_come_again(world: &World) {
    let id = make(world, "former").await;
    let mut by = session(world, "former", PASSWORD).await;
    let mut current = PASSWORD.to_owned();
    for number in 1..=11 {
        let new = numbered(number);
        let changed = change(world, &by, &current, &new).await.expect(204);
        by = with_new_token(&by, &changed);
        current = new;
    }
    // Ten were replaced after the first one, which is forgotten.
    for number in [1, 5, 10] {
        let refused = change(world, &by, &current, &numbered(number)).await;
        assert_eq!(refused.expect(422).code(), "password_reused", "{number}");
    }
    let unchanged = change(world, &by, &current, &current).await;
    assert_eq!(unchanged.expect(422).code(), "password_unchanged");
    // Only whoever knows the present one hears about the former ones.
    let guess = change(world, &by, "not the present one", &numbered(5)).await;
    assert_eq!(guess.expect(422).code(), "current_password_wrong");
    change(world, &by, &current, PASSWORD).await.expect(204);

    // One that somebody else sets makes the own one a former one.
    let set = format!("{}/password", path(id));
    let set = world.call(&world.administrator, "POST", &set, json!({}));
    let first = set.await.expect(200).body["password"].clone();
    let first = first.as_str().unwrap();
    let by = session(world, "former", first).await;
    let refused = change(world, &by, first, PASSWORD).await;
    assert_eq!(refused.expect(422).code(), "password_reused");
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM password_history WHERE user_id = $1")
        .bind(id)
        .fetch_one(&world.superuser.core)
        .await
        .unwrap();
    assert_eq!(kept, 10);
}

const LIMIT: &str = "UPDATE organizations
    SET settings = settings || '{\"password_days_max\": 30}' WHERE id = $1";
const NO_LIMIT: &str = "UPDATE organizations
    SET settings = settings - 'password_days_max' WHERE id = $1";
const AGE: &str = "UPDATE users SET password_changed_at = now() - interval '31 days' WHERE id = $1";

pub(super) async fn old_ones_must_be_changed(world: &World) {
    let id = make(world, "methuselah").await;
    let by = session(world, "methuselah", PASSWORD).await;
    let current = "nine hundred and sixty nine";
    change(world, &by, PASSWORD, current).await.expect(204);
    let needs_change = |by: Credential| async move {
        let list = world.call(&by, "GET", USERS, Value::Null).await;
        list.expect(403).code() == "password_change_required"
    };
    world.superuser.update(AGE, id).await;
    let without_limit = session(world, "methuselah", current).await;
    assert!(!needs_change(without_limit).await);
    world.superuser.update(LIMIT, world.organization_id).await;
    let bound = session(world, "methuselah", current).await;
    assert!(needs_change(bound.clone()).await);
    let new = "a younger one, for a while";
    let changed = change(world, &bound, current, new).await.expect(204);
    let bound = with_new_token(&bound, &changed);
    assert!(!needs_change(bound).await);
    assert!(!needs_change(session(world, "methuselah", new).await).await);
    world
        .superuser
        .update(NO_LIMIT, world.organization_id)
        .await;
}
