//! Who may act on whose account.

use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::databases::{Log, Person};
use clm_tests::rest::{Answer, Call, Credential, bearer};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{PASSWORD, USERS, World, all_at_home, path};

fn rights_to_users() -> Permissions {
    [
        Action::Read,
        Action::List,
        Action::Create,
        Action::Update,
        Action::Delete,
    ]
    .map(|action| (Resource::User, action))
    .into_iter()
    .collect()
}

/// Everything by which one could become somebody else, or keep them out.
async fn attack(world: &World, by: &Credential, user_id: Uuid) -> Vec<(&'static str, Answer)> {
    let path = path(user_id);
    let (password, status) = (format!("{path}/password"), format!("{path}/status"));
    let change = |body: Value| {
        let call = Call::new("PATCH", &path).by(by);
        world.rest.send(call.header("if-match", "\"1\"").body(body))
    };
    let suspension = json!({ "status": "suspended", "reason": "attack" });
    vec![
        (
            "password",
            world
                .call(by, "POST", &password, json!({ "password": PASSWORD }))
                .await,
        ),
        ("status", world.call(by, "PUT", &status, suspension).await),
        (
            "e-mail",
            change(json!({ "email": "attacker@example.com" })).await,
        ),
        ("name", change(json!({ "username": "somebody-else" })).await),
        (
            "deletion",
            world.call(by, "DELETE", &path, Value::Null).await,
        ),
    ]
}

async fn is_beyond(world: &World, helper: &Person, user_id: Uuid) {
    for (what, answer) in attack(world, &bearer(&helper.secret), user_id).await {
        assert_eq!(answer.status, 422, "{what}: {answer:?}");
        assert_eq!(answer.code(), "permissions_beyond_rights", "{what}");
    }
}

/// Whoever may do everything to users, and nothing else, does not become an administrator that way.
pub(super) async fn a_helpdesk_cannot_take_over(world: &World) {
    let helper = world.person("helper", &rights_to_users()).await;
    let more: Permissions = [(Resource::Certificate, Action::Read)]
        .into_iter()
        .collect();
    let target = world.person("target", &more).await;
    is_beyond(world, &helper, target.user_id).await;
    let administrator = world.superuser.core.clone();
    let administrator: Uuid = sqlx::query_scalar("SELECT id FROM users WHERE username = 'admin'")
        .fetch_one(&administrator)
        .await
        .unwrap();
    is_beyond(world, &helper, administrator).await;
    // What is shown to others takes no rights over the person.
    let by = bearer(&helper.secret);
    let shown = Call::new("PATCH", &path(target.user_id)).by(&by);
    let shown = shown.header("if-match", "\"1\"");
    let shown = shown.body(json!({ "display_name": "Target" }));
    world.rest.send(shown).await.expect(200);
    // Whoever ends locks can go on guessing.
    let unlock = format!("{}/unlock", path(target.user_id));
    world
        .call(&by, "POST", &unlock, Value::Null)
        .await
        .expect(422);

    let less = world.person("less", &rights_to_users()).await;
    let set = format!("{}/password", path(less.user_id));
    world.call(&by, "POST", &set, json!({})).await.expect(200);
    // To oneself one does none of it; signing in with the own password does.
    for (what, answer) in attack(world, &by, helper.user_id).await {
        match what {
            "e-mail" => assert_eq!(answer.status, 200, "{what}: {answer:?}"),
            "name" => assert_eq!(answer.status, 412, "{what}: {answer:?}"),
            _ => assert_eq!(answer.code(), "own_account", "{what}"),
        }
    }
}

pub(super) async fn rights_that_are_to_come_count(world: &World) {
    let helper = world.person("early", &rights_to_users()).await;
    let target = world.person("promoted", &Permissions::none()).await;
    let promote = "INSERT INTO user_roles (organization_id, user_id, role_id, valid_from)
        SELECT home_organization_id, id, '00000000-0000-0000-0001-000000000002',
            now() + interval '30 days' FROM users WHERE id = $1";
    world.superuser.update(promote, target.user_id).await;
    is_beyond(world, &helper, target.user_id).await;
    let over = "UPDATE user_roles SET valid_from = now() - interval '2 days',
        valid_until = now() - interval '1 day' WHERE user_id = $1";
    world.superuser.update(over, target.user_id).await;
    let set = format!("{}/password", path(target.user_id));
    let by = bearer(&helper.secret);
    world.call(&by, "POST", &set, json!({})).await.expect(200);
}

/// Everything at home is not enough for somebody who also administers the platform.
pub(super) async fn rights_in_the_system_organization_count(world: &World) {
    let local = world.person("local", &all_at_home()).await;
    let target = world.person("global", &Permissions::none()).await;
    let invite = "WITH invited AS (
            INSERT INTO user_organizations (organization_id, user_id)
            VALUES ('00000000-0000-0000-0000-000000000001', $1)),
         role AS (
            INSERT INTO roles (organization_id, role_code, role_name, permissions)
            VALUES ('00000000-0000-0000-0000-000000000001', 'GLOBAL', 'Global',
                '{\"user\": [\"read\"]}') RETURNING id)
         INSERT INTO user_roles (organization_id, user_id, role_id)
         SELECT '00000000-0000-0000-0000-000000000001', $1, id FROM role";
    world.superuser.update(invite, target.user_id).await;
    is_beyond(world, &local, target.user_id).await;
}

pub(super) async fn the_last_administrator_stays(world: &World) {
    let machine = |arguments: &[&str]| {
        let all = [&["--organization", "default", "user"], arguments].concat();
        world.program.cli(&all)
    };
    let refused = machine(&["set-status", "admin", "inactive", "--reason", "test"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("without an administrator"), "{refused:?}");
    let refused = machine(&["delete", "admin"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(world.status_of(&world.administrator).await, 200);
}

/// From the System organization users of any home are seen and governed, which both sides can see in
/// their logs; from any other one only the own.
pub(super) async fn the_system_organization_governs_all_homes(world: &World) {
    let system = world.superuser.organization("system").await;
    let operator = world
        .superuser
        .insert_person(system, "operator", &rights_to_users())
        .await;
    let operator = bearer(&operator.secret);
    let other = world.superuser.insert_organization("elsewhere").await;
    let made = json!({ "username": "remote", "home_organization_id": other });
    let made = world.make(&operator, made).await.expect(201);
    let id = made.id("/user/id");
    assert_eq!(made.id("/user/home_organization_id"), other);
    audited_across(world, &made, (other, system)).await;

    let seen = world.call(&operator, "GET", &path(id), Value::Null).await;
    seen_across(world, &seen.expect(200), (other, system)).await;
    let listed = format!("{USERS}?home_organization_id={other}");
    let seen = world.call(&operator, "GET", &listed, Value::Null).await;
    assert_eq!(seen.body["items"].as_array().unwrap().len(), 1);
    seen_across(world, &seen, (other, system)).await;

    let body = json!({ "status": "suspended", "reason": "across" });
    let status = format!("{}/status", path(id));
    let set = world.call(&operator, "PUT", &status, body.clone()).await;
    audited_across(world, &set.expect(200), (other, system)).await;
    for by in [&world.administrator] {
        let foreign = world.call(by, "PUT", &status, body.clone()).await;
        foreign.expect(404);
        let foreign = world.call(by, "GET", &listed, Value::Null).await;
        let unknown = format!("{USERS}?home_organization_id={id}");
        let unknown = world.call(by, "GET", &unknown, Value::Null).await;
        assert_eq!(
            foreign.expect(404).without_request_id(),
            unknown.without_request_id()
        );
        let home = |home: Uuid| json!({ "username": "stray", "home_organization_id": home });
        let foreign = world.make(by, home(other)).await.expect(404);
        let unknown = world.make(by, home(id)).await.expect(404);
        assert_eq!(foreign.body["errors"][0]["field"], "home_organization_id");
        assert_eq!(foreign.without_request_id(), unknown.without_request_id());
    }
    // What is not held in the System organization does not reach there either.
    let target = world
        .superuser
        .insert_person(
            other,
            "rich",
            &[(Resource::Role, Action::Read)].into_iter().collect(),
        )
        .await;
    let set = format!("{}/password", path(target.user_id));
    let set = world.call(&operator, "POST", &set, json!({})).await;
    let set = set.expect(422);
    assert_eq!(set.code(), "permissions_beyond_rights");
    audited_across(world, &set, (other, system)).await;
}

async fn audited_across(world: &World, answer: &Answer, (home, actor): (Uuid, Uuid)) {
    let rows = world
        .superuser
        .audited(Log::Core, answer.request_id())
        .await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = &rows[0].0;
    assert_eq!(row.organization_id.as_uuid(), home, "{row:?}");
    assert_eq!(row.details["across"], true, "{row:?}");
    assert_eq!(
        row.details["actor_organization_id"],
        actor.to_string(),
        "{row:?}"
    );
}

async fn seen_across(world: &World, answer: &Answer, (home, actor): (Uuid, Uuid)) {
    let rows = world
        .superuser
        .audited(Log::Core, answer.request_id())
        .await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = &rows[0].0;
    assert_eq!(row.event_code, "user.seen_across");
    assert_eq!(row.organization_id.as_uuid(), actor, "{row:?}");
    assert_eq!(
        row.details["home_organization_id"],
        home.to_string(),
        "{row:?}"
    );
}
