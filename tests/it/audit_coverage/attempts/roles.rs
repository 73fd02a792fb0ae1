//! The cases about roles and who holds them. Each has a role of its own.

use clm_domain::ids::{SYSTEM_ORGANIZATION, system_roles};
use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::rest::{Call, bearer};
use clm_tests::tenant::Object;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Attempt, Concerned, UNKNOWN, World, by_key, fresh, known, person};

const ROLES: &str = "/api/v1/roles";
const ROLE: &str = "/api/v1/roles/{role_id}";
const RESTORE: &str = "/api/v1/roles/{role_id}/restore";
const ASSIGNMENTS: &str = "/api/v1/role-assignments";
const ASSIGNMENT: &str = "/api/v1/role-assignments/{role_assignment_id}";
const EXPLAIN: &str = "/api/v1/access/explain";

/// Whether these cases are about the operation.
pub(super) fn is_about(path: &str) -> bool {
    [ROLES, ROLE, RESTORE, ASSIGNMENTS, ASSIGNMENT, EXPLAIN].contains(&path)
}

/// What makes the operation succeed.
pub(super) async fn good(world: &World, mut attempt: Attempt) -> Attempt {
    let if_match = || vec![("if-match", "\"1\"".to_owned())];
    match (attempt.method, attempt.path.clone().as_str()) {
        ("POST", ROLES) => attempt.with(new_role(&Permissions::none()), Concerned::InAnswer("/id")),
        ("PATCH", ROLE) => {
            let id = role(world, &Permissions::none()).await;
            attempt.headers = if_match();
            let body = json!({ "role_name": "Audited" });
            attempt.on(format!("{ROLES}/{id}")).with(body, known(id))
        }
        ("DELETE", ROLE) => {
            let id = role(world, &Permissions::none()).await;
            attempt.headers = if_match();
            attempt.on(format!("{ROLES}/{id}")).about(known(id))
        }
        ("POST", RESTORE) => {
            let id = deleted_role(world, &Permissions::none()).await;
            attempt.on(format!("{ROLES}/{id}/restore")).about(known(id))
        }
        ("POST", ASSIGNMENTS) => {
            let body = json!({
                "user_id": world.tenant.object(Object::User),
                "role_id": role(world, &Permissions::none()).await,
                "reason": "audited",
            });
            attempt.with(body, Concerned::InAnswer("/id"))
        }
        ("PATCH", _) => {
            let id = assignment(world, &Permissions::none()).await;
            attempt.headers = if_match();
            let body = json!({ "valid_until": "2999-01-01T00:00:00Z" });
            let attempt = attempt.on(format!("{ASSIGNMENTS}/{id}"));
            attempt.with(body, known(id))
        }
        ("DELETE", _) => {
            let id = assignment(world, &Permissions::none()).await;
            attempt.on(format!("{ASSIGNMENTS}/{id}")).about(known(id))
        }
        _ => {
            let body = json!({ "resource": "certificate", "action": "read" });
            attempt.with(body, known(world.tenant.administrator.user_id))
        }
    }
}

/// The cases of these operations alone.
pub(super) async fn special(world: &World, mut attempt: Attempt, case: &str) -> Attempt {
    let concerned = attempt.concerned;
    match case {
        "code taken" => attempt.but("role_code", "HELD".into()),
        "bad code" => attempt.but("role_code", "small".into()),
        "unknown parent" => attempt.but("parent_role_id", UNKNOWN.into()),
        "unknown user" => attempt.but("user_id", UNKNOWN.into()),
        "unknown role" => attempt.but("role_id", UNKNOWN.into()),
        "end before beginning" => attempt.but("valid_until", "2001-01-01T00:00:00Z".into()),
        "changed meanwhile" => {
            attempt.headers = vec![("if-match", "\"7\"".to_owned())];
            attempt
        }
        "without If-Match" => {
            attempt.headers.clear();
            attempt
        }
        "system role" | "shared role" => {
            let id = if case == "system role" {
                system_roles::USER.as_uuid()
            } else {
                shared_role(world).await
            };
            attempt.on(format!("{ROLES}/{id}")).about(known(id))
        }
        "cycle" => {
            let id = attempt.path.rsplit('/').next().unwrap().to_owned();
            attempt.but("parent_role_id", id.into()).about(concerned)
        }
        "held" => {
            let id = world.tenant.object(Object::Role);
            attempt.on(format!("{ROLES}/{id}")).about(known(id))
        }
        "not deleted" => {
            let id = role(world, &Permissions::none()).await;
            attempt.on(format!("{ROLES}/{id}/restore"))
        }
        "held already" => {
            world.rest.send(attempt.call()).await.expect(201);
            attempt.about(Concerned::Nothing)
        }
        "ended" => {
            let delete = Call::new("DELETE", &attempt.path).by(&world.tenant.key());
            world.rest.send(delete).await.expect(204);
            if attempt.method == "PATCH" {
                attempt.headers = vec![("if-match", "\"2\"".to_owned())];
            }
            attempt
        }
        "about another" => {
            let powerless = &world.powerless;
            let who = by_key(powerless, world.tenant.organization_id);
            let id = world.tenant.object(Object::User).to_string();
            let attempt = attempt.by(bearer(&powerless.secret), who);
            attempt.but("user_id", id.into())
        }
        "last administrator" => last_administrator(world, attempt).await,
        _ => beyond_rights(world, attempt).await,
    }
}

/// By somebody who may do this and nothing else, about a role that gives more.
async fn beyond_rights(world: &World, attempt: Attempt) -> Attempt {
    let (resource, action) = match (attempt.method, attempt.path.contains("assignments")) {
        ("POST", false) => (Resource::Role, Action::Create),
        (_, false) => (Resource::Role, Action::Update),
        ("POST", true) => (Resource::RoleAssignment, Action::Create),
        ("PATCH", true) => (Resource::RoleAssignment, Action::Update),
        (_, true) => (Resource::RoleAssignment, Action::Delete),
    };
    let somebody = person(world, &[(resource, action)].into_iter().collect()).await;
    let who = by_key(&somebody, world.tenant.organization_id);
    let more: Permissions = [(Resource::PrivateKey, Action::Export)]
        .into_iter()
        .collect();
    let attempt = attempt.by(bearer(&somebody.secret), who);
    match (attempt.method, attempt.path.clone()) {
        ("POST", path) if path.ends_with("/restore") => {
            let id = deleted_role(world, &more).await;
            attempt.on(format!("{ROLES}/{id}/restore")).about(known(id))
        }
        ("POST", path) if path == ASSIGNMENTS => {
            let id = role(world, &more).await.to_string();
            attempt.but("role_id", id.into())
        }
        (_, path) if path.starts_with(ASSIGNMENTS) => {
            let id = assignment(world, &more).await;
            attempt.on(format!("{ASSIGNMENTS}/{id}")).about(known(id))
        }
        _ => {
            let concerned = attempt.concerned;
            attempt
                .but("permissions", json!(more))
                .about(match concerned {
                    Concerned::InAnswer(_) => Concerned::Nothing,
                    known => known,
                })
        }
    }
}

/// About the only assignment of `SYSTEM_ADMIN` in a new organization.
async fn last_administrator(world: &World, mut attempt: Attempt) -> Attempt {
    let organization_id = world.superuser.insert_organization(&fresh("lone")).await;
    let rights = Permissions::all();
    let person = world
        .superuser
        .insert_person(organization_id, &fresh("person"), &rights)
        .await;
    let who = by_key(&person, organization_id);
    let key = bearer(&person.secret);
    let body = json!({ "user_id": person.user_id, "role_id": system_roles::SYSTEM_ADMIN });
    let grant = Call::new("POST", ASSIGNMENTS).by(&key).body(body);
    let id = world.rest.send(grant).await.expect(201).id("/id");
    if attempt.method == "PATCH" {
        attempt.headers = vec![("if-match", "\"1\"".to_owned())];
    }
    let attempt = attempt.by(key, who);
    attempt.on(format!("{ASSIGNMENTS}/{id}")).about(known(id))
}

fn new_role(permissions: &Permissions) -> Value {
    let code = fresh("R").replace('-', "_");
    json!({ "role_code": code, "role_name": "A role", "permissions": permissions })
}

/// A role of the tenant.
async fn role(world: &World, permissions: &Permissions) -> Uuid {
    let call = Call::new("POST", ROLES)
        .by(&world.tenant.key())
        .body(new_role(permissions));
    world.rest.send(call).await.expect(201).id("/id")
}

async fn deleted_role(world: &World, permissions: &Permissions) -> Uuid {
    let id = role(world, permissions).await;
    let delete = Call::new("DELETE", &format!("{ROLES}/{id}")).by(&world.tenant.key());
    let delete = delete.header("if-match", "\"1\"");
    world.rest.send(delete).await.expect(204);
    id
}

/// An assignment of a role of its own to somebody without any other.
async fn assignment(world: &World, permissions: &Permissions) -> Uuid {
    let body = json!({
        "user_id": world.tenant.object(Object::User), "role_id": role(world, permissions).await,
    });
    let call = Call::new("POST", ASSIGNMENTS)
        .by(&world.tenant.key())
        .body(body);
    world.rest.send(call).await.expect(201).id("/id")
}

/// A role of the System organization that is none of the six.
async fn shared_role(world: &World) -> Uuid {
    sqlx::query_scalar(
        "INSERT INTO roles (organization_id, role_code, role_name) VALUES ($1, $2, 'shared')
         RETURNING id",
    )
    .bind(SYSTEM_ORGANIZATION.as_uuid())
    .bind(fresh("SHARED").replace('-', "_"))
    .fetch_one(&world.superuser.core)
    .await
    .unwrap()
}
