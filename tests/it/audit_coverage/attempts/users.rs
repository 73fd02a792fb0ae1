//! The cases about users. Each has a user of its own.

use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::databases::Person;
use clm_tests::rest::{Call, Credential, bearer};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Attempt, Concerned, UNKNOWN, World, by_key, fresh, known, person};

const USERS: &str = "/api/v1/users";
const USER: &str = "/api/v1/users/{user_id}";
const RESTORE: &str = "/api/v1/users/{user_id}/restore";

/// Whether these cases are about the operation.
pub(super) fn is_about(path: &str) -> bool {
    path == USERS || path.starts_with(USER)
}

/// What makes the operation succeed.
pub(super) async fn good(world: &World, attempt: Attempt) -> Attempt {
    let path = attempt.path.clone();
    if path == USERS {
        let body = json!({ "username": fresh("user") });
        return attempt.with(body, Concerned::InAnswer("/user/id"));
    }
    let user_id = make(world, json!({ "username": fresh("user") })).await;
    if path == RESTORE {
        delete(world, user_id).await;
    }
    let method = attempt.method;
    let mut attempt = attempt
        .on(path.replace("{user_id}", &user_id.to_string()))
        .about(known(user_id));
    attempt.body = match (method, path.rsplit('/').next()) {
        ("PATCH", _) => {
            attempt.headers = vec![("if-match", "\"1\"".to_owned())];
            Some(json!({ "display_name": "Audited" }))
        }
        (_, Some("status")) => Some(json!({ "status": "suspended", "reason": "audited" })),
        (_, Some("password")) => Some(json!({})),
        _ => None,
    };
    attempt
}

/// The cases of these operations alone.
pub(super) async fn special(world: &World, mut attempt: Attempt, case: &str) -> Attempt {
    let concerned = attempt.concerned;
    match case {
        "success with a password" => attempt
            .but("password", "tangerine-9-orbits-quietly".into())
            .about(concerned),
        "success of a service" => attempt.but("user_type", "service".into()).about(concerned),
        "service with a password" => attempt
            .but("user_type", "service".into())
            .but("password", "tangerine-9-orbits-quietly".into()),
        "another home" => attempt.but("home_organization_id", UNKNOWN.into()),
        "too short" => attempt.but("password", "short".into()),
        "name of another" => taken_name(world, attempt).await,
        "beyond the quota" => beyond_the_quota(world, attempt).await,
        "without a change" => attempt.with(json!({}), concerned),
        "without If-Match" => {
            attempt.headers.clear();
            attempt
        }
        "changed meanwhile" => {
            attempt.headers = vec![("if-match", "\"7\"".to_owned())];
            attempt
        }
        "set already" => attempt.but("status", "active".into()),
        "without reason" => attempt.but("reason", " ".into()),
        "oneself" => oneself(world, attempt).await,
        "last administrator" => last_administrator(world, attempt).await,
        "beyond the own rights" => beyond_the_own_rights(world, attempt).await,
        "of a service" => {
            let service = json!({ "username": fresh("service"), "user_type": "service" });
            let user_id = make(world, service).await;
            about(attempt, user_id)
        }
        "deleted already" => {
            let _ = world.rest.send(attempt.call()).await.expect(204);
            attempt
        }
        "not deleted" => {
            let user_id = make(world, json!({ "username": fresh("user") })).await;
            about(attempt, user_id)
        }
        _ => panic!("how does the case '{case}' come about?"),
    }
}

async fn make(world: &World, body: Value) -> Uuid {
    make_by(world, &world.tenant.key(), body).await
}

async fn make_by(world: &World, credential: &Credential, body: Value) -> Uuid {
    let call = Call::new("POST", USERS).by(credential).body(body);
    world.rest.send(call).await.expect(201).id("/user/id")
}

async fn delete(world: &World, user_id: Uuid) {
    let call = Call::new("DELETE", &format!("{USERS}/{user_id}")).by(&world.tenant.key());
    let _ = world.rest.send(call).await.expect(204);
}

/// The same on another user.
fn about(attempt: Attempt, user_id: Uuid) -> Attempt {
    let present = match attempt.concerned {
        Concerned::Known(id) => id.to_string(),
        Concerned::Nothing | Concerned::InAnswer(_) => panic!("the case is about a user"),
    };
    let path = attempt.path.replace(&present, &user_id.to_string());
    attempt.on(path).about(known(user_id))
}

async fn taken_name(world: &World, attempt: Attempt) -> Attempt {
    let name = fresh("taken");
    let concerned = attempt.concerned;
    if attempt.path.ends_with("/restore") {
        let deleted = make(world, json!({ "username": name })).await;
        delete(world, deleted).await;
        let _ = make(world, json!({ "username": name })).await;
        return about(attempt, deleted);
    }
    let _ = make(world, json!({ "username": name })).await;
    let is_new = attempt.path == USERS;
    let attempt = attempt.but("username", name.into());
    match is_new {
        true => attempt,
        false => attempt.about(concerned),
    }
}

const FULL: &str = "UPDATE organizations SET max_users = 1 WHERE id = $1";

async fn beyond_the_quota(world: &World, attempt: Attempt) -> Attempt {
    let (organization_id, name) = (
        world.superuser.insert_organization(&fresh("full")).await,
        fresh("person"),
    );
    let rights = Permissions::all();
    let administrator = world
        .superuser
        .insert_person(organization_id, &name, &rights)
        .await;
    let credential = bearer(&administrator.secret);
    let who = by_key(&administrator, organization_id);
    if attempt.path == USERS {
        world.superuser.update(FULL, organization_id).await;
        return attempt.by(credential, who).about(Concerned::Nothing);
    }
    let user_id = make_by(world, &credential, json!({ "username": fresh("user") })).await;
    let deletion = Call::new("DELETE", &format!("{USERS}/{user_id}")).by(&credential);
    let _ = world.rest.send(deletion).await.expect(204);
    world.superuser.update(FULL, organization_id).await;
    about(attempt, user_id).by(credential, who)
}

async fn oneself(world: &World, attempt: Attempt) -> Attempt {
    let somebody = person(world, &Permissions::all()).await;
    let who = by_key(&somebody, world.tenant.organization_id);
    about(attempt, somebody.user_id).by(bearer(&somebody.secret), who)
}

/// Somebody who may do all of it to users, and nothing else.
async fn helpdesk(world: &World, organization_id: Uuid) -> Person {
    let rights = [Action::Update, Action::Delete].map(|action| (Resource::User, action));
    let (name, rights) = (fresh("helpdesk"), rights.into_iter().collect());
    world
        .superuser
        .insert_person(organization_id, &name, &rights)
        .await
}

async fn beyond_the_own_rights(world: &World, attempt: Attempt) -> Attempt {
    let organization_id = world.tenant.organization_id;
    let helper = helpdesk(world, organization_id).await;
    let rights = [(Resource::Certificate, Action::Read)]
        .into_iter()
        .collect();
    let target = person(world, &rights).await;
    let is_update = attempt.method == "PATCH";
    let attempt = about(attempt, target.user_id);
    let attempt = attempt.by(bearer(&helper.secret), by_key(&helper, organization_id));
    match is_update {
        true => {
            let email = json!({ "email": "helper@audited.example" });
            attempt.with(email, known(target.user_id))
        }
        false => attempt,
    }
}

const ADMINISTER: &str = "INSERT INTO user_roles (organization_id, user_id, role_id)
    SELECT home_organization_id, id, '00000000-0000-0000-0001-000000000001' FROM users WHERE id = $1";

/// In an organization of their own: somebody who holds everything by another role, and the only
/// administrator.
async fn last_administrator(world: &World, attempt: Attempt) -> Attempt {
    let organization_id = world.superuser.insert_organization(&fresh("one")).await;
    let rights: Permissions = Permissions::all();
    let (actor, name) = (fresh("actor"), fresh("administrator"));
    let actor = world
        .superuser
        .insert_person(organization_id, &actor, &rights)
        .await;
    let nothing = Permissions::none();
    let administrator = world
        .superuser
        .insert_person(organization_id, &name, &nothing)
        .await;
    world
        .superuser
        .update(ADMINISTER, administrator.user_id)
        .await;
    let who = by_key(&actor, organization_id);
    about(attempt, administrator.user_id).by(bearer(&actor.secret), who)
}
