//! From the first password to the deletion.

use clm_tests::rest::{Call, Credential, bearer, signed_in, with_new_token};
use serde_json::{Value, json};

use super::{PASSWORD, USERS, World, all_at_home, path};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// `clm user …`, each command once, as the operator of the machine for the first organization.
pub(super) async fn on_the_command_line(world: &World) {
    let clm = |arguments: &[&str]| {
        let all = [&["--organization", "default", "user"], arguments].concat();
        world.program.cli(&all)
    };
    let shown = |arguments: &[&str]| -> Value {
        let done = clm(&[arguments, &["-o", "json"]].concat());
        assert!(done.status.success(), "{done:?}");
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let made = clm(&["create", "ada", "--email", "ada@example.com"]);
    assert!(made.status.success(), "{made:?}");
    // The password alone, so that it can be piped.
    let password = text(&made.stdout).trim().to_owned();
    assert!(!password.contains(char::is_whitespace), "{password}");
    world.sign_in("ada", &password).await.expect(201);

    let ada = shown(&["show", "ADA"]);
    assert_eq!(ada["email"], "ada@example.com");
    let id = ada["id"].as_str().unwrap();
    let changed = shown(&[
        "update",
        "ada",
        "--display-name",
        "Ada Lovelace",
        "--no-email",
    ]);
    assert_eq!(changed["display_name"], "Ada Lovelace");
    assert!(changed["email"].is_null(), "{changed}");
    let stopped = shown(&["set-status", id, "suspended", "--reason", "on leave"]);
    assert_eq!(stopped["status"], "suspended");
    let listed = clm(&["list", "--status", "suspended"]);
    assert!(text(&listed.stdout).contains("ada"), "{listed:?}");
    let again = shown(&["set-status", id, "active", "--reason", "back"]);
    assert_eq!(again["revision"], 4);
    let replaced = clm(&["set-password", "ada"]);
    let replaced = text(&replaced.stdout).trim().to_owned();
    assert_ne!(replaced, password);
    world.sign_in("ada", &password).await.expect(401);
    world.sign_in("ada", &replaced).await.expect(201);
    assert_eq!(shown(&["unlock", "ada"])["id"], id);
    let deleted = clm(&["delete", "ada"]);
    assert!(text(&deleted.stdout).contains(id), "{deleted:?}");
    let gone = clm(&["show", id]);
    assert_eq!(gone.status.code(), Some(4), "{gone:?}");
    assert_eq!(shown(&["restore", id])["username"], "ada");
    let unknown = clm(&["show", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    let nothing = clm(&["update", "ada"]);
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
}

/// Whatever somebody else chose must be changed before anything else is allowed.
pub(super) async fn a_first_password_is_for_the_first_sign_in(world: &World) {
    let body = json!({ "username": "grace" });
    let call = Call::new("POST", USERS)
        .by(&world.administrator)
        .header("idempotency-key", "grace")
        .body(body);
    let made = world.rest.send(call.clone()).await.expect(201);
    let first = made.body["password"].as_str().unwrap();
    let repeated = world.rest.send(call).await.expect(409);
    assert_eq!(repeated.code(), "secret_already_shown");
    let given = json!({ "username": "barbara", "password": PASSWORD });
    let given = world.make(&world.administrator, given).await.expect(201);
    assert!(given.body["password"].is_null(), "nobody is told twice");

    for (name, password) in [("grace", first), ("barbara", PASSWORD)] {
        let session = world.sign_in(name, password).await.expect(201);
        let session = signed_in(&session).credential();
        let list = |by: Credential| async move {
            let list = world.call(&by, "GET", "/api/v1/sessions", Value::Null);
            list.await.code().to_owned()
        };
        assert_eq!(list(session.clone()).await, "password_change_required");
        let own = format!("{name} chose this at last");
        let change = json!({ "current_password": password, "new_password": own });
        let changed = world.call(&session, "POST", "/api/v1/users/me/password", change);
        let changed = changed.await.expect(204);
        assert_eq!(list(session.clone()).await, "unauthenticated");
        // There is no role yet, so that there is nothing else to do.
        let session = with_new_token(&session, &changed);
        assert_eq!(list(session).await, "permission_missing");
    }
    let id = made.id("/user/id");
    let own = path(id);
    let found = world.call(&world.administrator, "GET", &own, Value::Null);
    let found = found.await.expect(200);
    assert_eq!(found.body["must_change_password"], false);

    // A further one by the administrator ends every session, and is for one sign-in again.
    let session = signed_in(&world.sign_in("grace", "grace chose this at last").await);
    let set = format!("{}/password", path(id));
    let set = world.call(&world.administrator, "POST", &set, json!({}));
    let set = set.await.expect(200);
    assert_eq!(world.status_of(&session.credential()).await, 401);
    let second = set.body["password"].as_str().unwrap();
    let session = signed_in(&world.sign_in("grace", second).await).credential();
    let list = world.call(&session, "GET", "/api/v1/sessions", Value::Null);
    assert_eq!(list.await.code(), "password_change_required");
}

/// Sessions end for good, API keys rest, at once.
pub(super) async fn what_is_not_active_stops_at_once(world: &World) {
    let person = world.person("stopped", &all_at_home()).await;
    let password = world.program.bootstrap_text("password");
    for status in ["suspended", "locked", "inactive"] {
        let session = signed_in(&world.sign_in("stopped", &password).await).credential();
        let key = bearer(&person.secret);
        assert_eq!(world.status_of(&session).await, 200);
        assert_eq!(world.status_of(&key).await, 200);
        set_status(world, &person.user_id.to_string(), status).await;
        assert_eq!(world.status_of(&session).await, 401, "{status}");
        assert_eq!(world.status_of(&key).await, 401, "{status}");
        world.sign_in("stopped", &password).await.expect(401);

        set_status(world, &person.user_id.to_string(), "active").await;
        assert_eq!(
            world.status_of(&session).await,
            401,
            "{status}: a session ends once"
        );
        assert_eq!(
            world.status_of(&key).await,
            200,
            "{status}: the key is good again"
        );
    }
}

async fn set_status(world: &World, id: &str, status: &str) {
    let body = json!({ "status": status, "reason": "the test says so" });
    let set = format!("{USERS}/{id}/status");
    let set = world.call(&world.administrator, "PUT", &set, body).await;
    assert_eq!(set.expect(200).body["status"], status);
}

pub(super) async fn names_and_addresses_change_by_revision(world: &World) {
    let body = json!({ "username": "Edsger", "email": "e@example.com", "password": PASSWORD });
    let made = world.make(&world.administrator, body).await.expect(201);
    let id = made.id("/user/id");
    let patch = |revision: &str, body: Value| {
        let call = Call::new("PATCH", &path(id)).by(&world.administrator);
        world
            .rest
            .send(call.header("if-match", revision).body(body))
    };
    let changed = patch("\"1\"", json!({ "username": "edsger.d", "email": null })).await;
    let changed = changed.expect(200);
    assert_eq!(changed.headers["etag"], "\"2\"");
    assert!(changed.body["email"].is_null());
    let stale = patch("\"1\"", json!({ "display_name": "E. W. D." })).await;
    assert_eq!(stale.expect(412).code(), "revision_changed");
    let unquoted = patch("2", json!({ "display_name": "E. W. D." })).await;
    assert_eq!(unquoted.expect(428).code(), "if_match_required");
    world.sign_in("edsger", PASSWORD).await.expect(401);
    world.sign_in("EDSGER.D", PASSWORD).await.expect(201);
    let taken = patch("\"2\"", json!({ "username": "ADMIN" })).await;
    assert_eq!(taken.expect(409).code(), "username_taken");
}

pub(super) async fn deleted_users_lose_everything_and_come_back_with_nothing(world: &World) {
    let person = world.person("leaver", &all_at_home()).await;
    let password = world.program.bootstrap_text("password");
    let session = signed_in(&world.sign_in("leaver", &password).await).credential();
    let path = path(person.user_id);
    let delete = || world.call(&world.administrator, "DELETE", &path, Value::Null);
    delete().await.expect(204);
    delete().await.expect(404);
    assert_eq!(world.status_of(&session).await, 401);
    assert_eq!(world.status_of(&bearer(&person.secret)).await, 401);
    world.sign_in("leaver", &password).await.expect(401);
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM user_roles
                 WHERE user_id = $1 AND deleted_at IS NULL
                     AND (valid_until IS NULL OR valid_until > now()))
              + (SELECT count(*) FROM user_organizations
                 WHERE user_id = $1 AND deleted_at IS NULL)
              + (SELECT count(*) FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL)
              + (SELECT count(*) FROM sessions WHERE user_id = $1 AND ended_at IS NULL)",
    )
    .bind(person.user_id)
    .fetch_one(&world.superuser.core)
    .await
    .unwrap();
    assert_eq!(left, 0);

    // The name is free, and keeps its former holder out until it is free again.
    let successor = json!({ "username": "leaver", "user_type": "service" });
    let successor = world
        .make(&world.administrator, successor)
        .await
        .expect(201);
    let restore = format!("{path}/restore");
    let restore = || world.call(&world.administrator, "POST", &restore, Value::Null);
    assert_eq!(restore().await.expect(409).code(), "username_taken");
    let successor = super::path(successor.id("/user/id"));
    let gone = world.call(&world.administrator, "DELETE", &successor, Value::Null);
    gone.await.expect(204);
    restore().await.expect(200);
    assert_eq!(world.status_of(&bearer(&person.secret)).await, 401);
    let session = signed_in(&world.sign_in("leaver", &password).await).credential();
    let list = world.call(&session, "GET", "/api/v1/certificates", Value::Null);
    assert_eq!(list.await.expect(403).code(), "permission_missing");
}

pub(super) async fn services_do_not_sign_in(world: &World) {
    let body = json!({ "username": "robot", "user_type": "service" });
    let made = world.make(&world.administrator, body).await.expect(201);
    assert!(made.body["password"].is_null());
    assert_eq!(made.body["user"]["must_change_password"], false);
    for password in ["", PASSWORD] {
        world.sign_in("robot", password).await.expect(401);
    }
    let set = format!("{}/password", path(made.id("/user/id")));
    let set = world.call(&world.administrator, "POST", &set, json!({}));
    assert_eq!(set.await.expect(409).code(), "service_account");
}

pub(super) async fn lists_are_filtered_and_paged(world: &World) {
    let list = |query: &str| {
        let path = format!("{USERS}?{query}");
        async move {
            world
                .call(&world.administrator, "GET", &path, Value::Null)
                .await
                .expect(200)
                .body
        }
    };
    let named = list("username=ROBOT").await;
    assert_eq!(named["items"].as_array().unwrap().len(), 1);
    assert_eq!(named["items"][0]["username"], "robot");
    assert!(
        list("username=robo").await["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert!(
        list("status=locked").await["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let all = list("").await["items"].as_array().unwrap().len();
    let (mut seen, mut query) = (0, "limit=2".to_owned());
    loop {
        let page = list(&query).await;
        seen += page["items"].as_array().unwrap().len();
        match page["next_cursor"].as_str() {
            Some(cursor) => query = format!("limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, all);
    let unknown = format!("{USERS}?status=gone");
    let unknown = world.call(&world.administrator, "GET", &unknown, Value::Null);
    unknown.await.expect(400);
}
