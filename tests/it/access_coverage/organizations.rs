//! One organization and the objects of another; organizations that are suspended or inactive.

use std::time::{Duration, Instant};

use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::databases::PATIENCE;
use clm_tests::rest::{Call, Credential, bearer};
use clm_tests::tenant::Tenant;
use serde_json::json;

use super::credentials::until;
use super::operations::{Needs, OPERATIONS, Operation};
use super::{Watch, World};

/// An id that nobody has.
const UNKNOWN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// The answer about an object of another organization is, word for word, that about one which does
/// not exist; so is that about a colleague's session or API key for whoever administers no users.
pub(super) async fn objects_of_others_do_not_exist(world: &World) {
    let (own, other) = (&world.own, &world.other);
    let watch = Watch::begin(world).await;
    for operation in OPERATIONS {
        for (caller, owner) in [(own, other), (other, own)] {
            if let Some(object) = operation.object {
                let id = owner.object(object).to_string();
                let call = |id: &str| operation.call_on(caller, id).by(&caller.key());
                let calls = [call(UNKNOWN), call(&id), call("none")];
                looks_unknown(&watch, operation, &calls).await;
            }
            for (field, object) in operation.refers.into_iter().flatten() {
                let id = owner.object(object).to_string();
                let call = |id: &str| {
                    operation
                        .call_referring(caller, field, id)
                        .by(&caller.key())
                };
                looks_unknown(&watch, operation, &[call(UNKNOWN), call(&id)]).await;
            }
        }
    }
    for (resource, action) in [
        (Resource::Session, Action::Delete),
        (Resource::ApiKey, Action::Delete),
    ] {
        let rights: Permissions = [(resource, action)].into_iter().collect();
        let name = format!("colleague-{}", resource as u8);
        let colleague = world
            .superuser
            .insert_person(own.organization_id, &name, &rights)
            .await;
        let watch = Watch::begin(world).await;
        let needs = Needs::Permission(resource, action);
        let operation = OPERATIONS
            .iter()
            .find(|one| one.needs == needs)
            .expect("it is listed");
        let key = bearer(&colleague.secret);
        let unknown = operation.call_on(own, UNKNOWN).by(&key);
        let calls = [unknown, operation.call(own).by(&key)];
        looks_unknown(&watch, operation, &calls).await;
    }
}

async fn looks_unknown(watch: &Watch<'_>, operation: &Operation, calls: &[Call]) {
    let mut expected = None;
    for call in calls {
        let what = format!("{}: {call:?}", operation.name());
        let answer = watch.refused(&what, call.clone(), 404).await;
        let body = answer.without_request_id();
        assert_eq!(*expected.get_or_insert(body.clone()), body, "{what}");
    }
}

/// No list names anything of another organization, not even from a cursor of that one.
pub(super) async fn lists_show_nothing_of_others(world: &World) {
    for operation in OPERATIONS.iter().filter(|one| one.is_list()) {
        for (caller, owner) in [(&world.own, &world.other), (&world.other, &world.own)] {
            let own = world
                .rest
                .send(operation.call(caller).by(&caller.key()))
                .await
                .expect(200);
            let items = own.body["items"].as_array().expect("a list has items");
            assert!(!items.is_empty(), "{}: the own objects", operation.name());
            shows_nothing_of(owner, &own.text, &operation.name());

            let first = Call::new("GET", &format!("{}?limit=1", operation.path)).by(&owner.key());
            let first = world.rest.send(first).await.expect(200);
            let Some(cursor) = first.body["next_cursor"].as_str() else {
                continue;
            };
            let path = format!("{}?cursor={cursor}", operation.path);
            let rest = world
                .rest
                .send(Call::new("GET", &path).by(&caller.key()))
                .await
                .expect(200);
            shows_nothing_of(
                owner,
                &rest.text,
                &format!("{} from a cursor", operation.name()),
            );
        }
    }
}

fn shows_nothing_of(owner: &Tenant, text: &str, what: &str) {
    for id in owner.ids() {
        assert!(
            !text.contains(&id.to_string()),
            "{what} shows {id} of {}",
            owner.slug
        );
    }
}

/// The header of the local operator means nothing on the network.
pub(super) async fn one_cannot_choose_another_by_header(world: &World) {
    let (own, other) = (&world.own, &world.other);
    for wanted in [other.slug.clone(), other.organization_id.to_string()] {
        let call = Call::new("GET", "/api/v1/whoami").by(&own.key());
        let who = world
            .rest
            .send(call.header("x-clm-organization", &wanted))
            .await
            .expect(200);
        assert_eq!(who.id("/organization_id"), own.organization_id);
    }
}

/// Whether a suspended organization still allows it: what reads, what concerns oneself, and leaving.
fn is_harmless(operation: &Operation) -> bool {
    match operation.needs {
        Needs::Nothing | Needs::Credential | Needs::Session => true,
        Needs::Permission(resource, action) => {
            matches!(action, Action::Read | Action::List)
                || (resource, action) == (Resource::Session, Action::Delete)
        }
    }
}

pub(super) async fn a_suspended_one_can_only_be_read(world: &World) {
    let tenant = &world.other;
    set_status(world, "suspended").await;
    // The rights that the caches remember end with them.
    let begun = Instant::now();
    for credential in [tenant.key(), tenant.session.credential()] {
        while may_create(world, &credential).await {
            assert!(
                begun.elapsed() < PATIENCE,
                "the organization is not suspended"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let watch = Watch::begin(world).await;
    for (credential, is_session) in [(tenant.key(), false), (tenant.session.credential(), true)] {
        for operation in OPERATIONS {
            let call = operation.call(tenant).by(&credential);
            if !is_harmless(operation) {
                let answer = watch.refused(&operation.name(), call, 403).await;
                assert_eq!(answer.code(), "permission_missing", "{}", operation.name());
            } else if !operation.is_mutating() {
                let is_possible = is_session || operation.needs != Needs::Session;
                let expected = if is_possible { 200 } else { 422 };
                world.rest.send(call).await.expect(expected);
            }
        }
    }
    let further = world
        .rest
        .sign_in(&tenant.administrator.username, &tenant.password, "other");
    let further = further.await;
    let end = Call::new(
        "DELETE",
        &format!("/api/v1/sessions/{}", further.session_id),
    );
    world.rest.send(end.by(&tenant.key())).await.expect(204);
}

async fn may_create(world: &World, credential: &Credential) -> bool {
    // Without a name: nothing is made either way.
    let call = Call::new("POST", "/api/v1/api-keys")
        .by(credential)
        .body(json!({ "name": "" }));
    world.rest.send(call).await.status != 403
}

pub(super) async fn an_inactive_one_admits_nobody(world: &World) {
    let tenant = &world.other;
    set_status(world, "inactive").await;
    until(
        world,
        &tenant.key(),
        401,
        "a key of an inactive organization",
    )
    .await;
    until(
        world,
        &tenant.session.credential(),
        401,
        "a session of an inactive organization",
    )
    .await;
    let watch = Watch::begin(world).await;
    for credential in [tenant.key(), tenant.session.credential()] {
        for operation in OPERATIONS.iter().filter(|one| one.needs != Needs::Nothing) {
            let call = operation.call(tenant).by(&credential);
            let answer = watch.refused(&operation.name(), call, 401).await;
            assert_eq!(answer.code(), "unauthenticated", "{}", operation.name());
        }
    }
    for operation in OPERATIONS.iter().filter(|one| one.needs == Needs::Nothing) {
        let answer = watch
            .refused(&operation.name(), operation.call(tenant), 401)
            .await;
        assert_eq!(answer.code(), "sign_in_failed");
    }
    set_status(world, "active").await;
    until(
        world,
        &tenant.key(),
        200,
        "a key of an organization that is active again",
    )
    .await;
}

async fn set_status(world: &World, status: &'static str) {
    let statement = match status {
        "suspended" => "UPDATE organizations SET status = 'suspended' WHERE id = $1",
        "inactive" => "UPDATE organizations SET status = 'inactive' WHERE id = $1",
        _ => "UPDATE organizations SET status = 'active' WHERE id = $1",
    };
    world
        .superuser
        .update(statement, world.other.organization_id)
        .await;
}
