//! Good credentials of those who lack a right, and of those who have just that one.

use std::time::{Duration, Instant};

use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::databases::PATIENCE;
use clm_tests::rest::{Call, bearer, with_new_token};
use serde_json::json;

use super::credentials::sign_in;
use super::operations::{Needs, OPERATIONS, Operation};
use super::{Watch, World};

/// The operations that need a permission, each with it.
fn guarded() -> impl Iterator<Item = (&'static Operation, Resource, Action)> {
    OPERATIONS
        .iter()
        .filter_map(|operation| match operation.needs {
            Needs::Permission(resource, action) => Some((operation, resource, action)),
            Needs::Nothing | Needs::Credential | Needs::Session => None,
        })
}

fn all_but(resource: Resource, action: Action) -> Permissions {
    Permissions::all()
        .iter()
        .filter(|one| *one != (resource, action))
        .collect()
}

/// Whoever may do everything else may not do this: by role, by the scopes of the key, and when the
/// role has ended. Each refusal is audited, once.
pub(super) async fn a_missing_permission_is_named(world: &World) {
    let organization_id = world.own.organization_id;
    let administrator = world.own.administrator.user_id;
    let all = Permissions::all();
    let former = world
        .superuser
        .insert_person(organization_id, "former", &all)
        .await;
    let ends = "UPDATE user_roles SET valid_from = now() - interval '2 hours',
        valid_until = now() - interval '1 hour' WHERE user_id = $1";
    world.superuser.update(ends, former.user_id).await;
    let mut refused = Vec::new();
    for (index, (operation, resource, action)) in guarded().enumerate() {
        let rights = all_but(resource, action);
        let username = format!("without-{index}");
        let person = world
            .superuser
            .insert_person(organization_id, &username, &rights)
            .await;
        let scoped = world
            .superuser
            .insert_api_key(organization_id, administrator, Some(&rights));
        let (_, scoped) = scoped.await;
        let session = sign_in(world, &username).await;
        refused.push((operation, "a role without it", bearer(&person.secret)));
        refused.push((operation, "a session without it", session.credential()));
        refused.push((operation, "a key whose scopes lack it", bearer(&scoped)));
        refused.push((operation, "a role that has ended", bearer(&former.secret)));
    }
    let watch = Watch::begin(world).await;
    for (operation, what, credential) in &refused {
        let what = format!("{} with {what}", operation.name());
        let call = operation.call(&world.own).by(credential);
        let answer = watch.refused(&what, call, 403).await;
        assert_eq!(answer.code(), "permission_missing", "{what}");
    }
    assert_eq!(
        watch.events().await,
        refused.len() as i64,
        "each refusal is audited once"
    );
}

/// No operation needs more than the list says.
pub(super) async fn the_permission_alone_suffices(world: &World) {
    for (index, (operation, resource, action)) in guarded().enumerate() {
        let rights: Permissions = [(resource, action)].into_iter().collect();
        let username = format!("only-{index}");
        let organization_id = world.own.organization_id;
        let person = world
            .superuser
            .insert_person(organization_id, &username, &rights)
            .await;
        let answer = world
            .rest
            .send(operation.call(&world.own).by(&bearer(&person.secret)))
            .await;
        // Sessions and API keys are the administrator's, which is another matter.
        let owned = matches!(resource, Resource::Session | Resource::ApiKey);
        let expected = if owned && operation.object.is_some() {
            404..405
        } else if operation.proved || operation.governing {
            403..404
        } else if operation.conflicts {
            409..410
        } else {
            200..300
        };
        assert!(
            expected.contains(&answer.status),
            "{}: {answer:?}",
            operation.name()
        );
        if operation.proved {
            assert_eq!(answer.code(), "step_up_required", "{}", operation.name());
        }
        if operation.governing {
            let name = operation.name();
            assert_eq!(answer.code(), "system_organization_only", "{name}");
        }
    }
}

/// Whoever has no right at all still is somebody.
pub(super) async fn without_any_there_is_oneself(world: &World) {
    let organization_id = world.own.organization_id;
    let nothing = Permissions::none();
    let person = world
        .superuser
        .insert_person(organization_id, "nothing", &nothing)
        .await;
    let key = bearer(&person.secret);
    let mut session = sign_in(world, "nothing").await.credential();
    let other_session = sign_in(world, "nothing").await;
    for operation in OPERATIONS {
        let call = || operation.call(&world.own);
        match operation.needs {
            Needs::Nothing => {}
            Needs::Permission(..) => {
                let refused = world.rest.send(call().by(&key)).await.expect(403);
                assert_eq!(refused.code(), "permission_missing", "{}", operation.name());
            }
            Needs::Credential if operation.is_mutating() => {
                let answer = world.rest.send(call().by(&session)).await;
                assert!(
                    (200..300).contains(&answer.status),
                    "{}: {answer:?}",
                    operation.name()
                );
                if answer.headers.contains_key("set-cookie") {
                    session = with_new_token(&session, &answer);
                }
            }
            Needs::Credential => {
                world.rest.send(call().by(&session)).await.expect(200);
                world.rest.send(call().by(&key)).await.expect(200);
            }
            Needs::Session => {
                let refused = world.rest.send(call().by(&key)).await.expect(422);
                assert_eq!(refused.code(), "no_session", "{}", operation.name());
            }
        }
    }
    let who = Call::new("GET", "/api/v1/whoami");
    let ended = world
        .rest
        .send(who.clone().by(&other_session.credential()))
        .await;
    assert_eq!(ended.status, 401, "a new password ends the other sessions");
    world.rest.send(who.by(&session)).await.expect(200);
    let leave = Call::new("DELETE", "/api/v1/sessions/current").by(&session);
    world.rest.send(leave).await.expect(204);
}

/// What a session may do while it owes something, beside saying who it is and leaving.
const OWED: [(&str, &str, &[&str]); 3] = [
    (
        "UPDATE sessions SET second_factor = 'owed' WHERE user_id = $1",
        "second_factor_required",
        &[PASS],
    ),
    (
        "UPDATE users SET must_change_password = true WHERE id = $1",
        "password_change_required",
        &[PASS, PASSWORD],
    ),
    (
        "UPDATE organizations SET settings = settings || jsonb_build_object(
            'second_factor_roles', jsonb_build_array('R_OWES_2'))
         WHERE id = (SELECT home_organization_id FROM users WHERE id = $1)",
        "second_factor_enrolment_required",
        &[
            PASS,
            PASSWORD,
            "GET /api/v1/users/me/totp",
            "POST /api/v1/users/me/totp",
            "POST /api/v1/users/me/totp/activate",
        ],
    ),
];
const PASS: &str = "POST /api/v1/sessions/current/second-factor";
const PASSWORD: &str = "POST /api/v1/users/me/password";
const ALWAYS: [&str; 2] = ["GET /api/v1/whoami", "DELETE /api/v1/sessions/current"];

/// What a session owes comes before everything else.
pub(super) async fn what_is_owed_comes_first(world: &World) {
    for (index, (state, code, allowed)) in OWED.into_iter().enumerate() {
        let username = format!("owes-{index}");
        let rights = Permissions::all();
        let organization_id = world.own.organization_id;
        let person = world
            .superuser
            .insert_person(organization_id, &username, &rights);
        let person = person.await;
        let session = sign_in(world, &username).await.credential();
        world.superuser.update(state, person.user_id).await;
        let begun = Instant::now();
        let list = || Call::new("GET", "/api/v1/certificates").by(&session);
        while world.rest.send(list()).await.code() != code {
            assert!(begun.elapsed() < PATIENCE, "{code}: nothing is owed");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let watch = Watch::begin(world).await;
        for operation in OPERATIONS {
            let name = operation.name();
            let is_open = operation.needs == Needs::Nothing || ALWAYS.contains(&name.as_str());
            if is_open || allowed.contains(&name.as_str()) {
                continue;
            }
            let call = operation.call(&world.own).by(&session);
            let answer = watch.refused(&name, call, 403).await;
            assert_eq!(answer.code(), code, "{name}");
        }
        let who = Call::new("GET", "/api/v1/whoami").by(&session);
        world.rest.send(who).await.expect(200);
    }
    let settings = "UPDATE organizations SET settings = settings - 'second_factor_roles'
        WHERE id = $1";
    let home = world.own.organization_id;
    world.superuser.update(settings, home).await;
}

/// A new password is the way out, for a session with a new token.
pub(super) async fn a_new_password_is_the_way_out(world: &World) {
    let session = sign_in(world, "owes-1").await.credential();
    let list = |session| Call::new("GET", "/api/v1/sessions").by(session);
    world.rest.send(list(&session)).await.expect(403);
    let body = json!({
        "current_password": world.own.password, "new_password": "the newcomer's very own",
    });
    let change = Call::new("POST", "/api/v1/users/me/password")
        .by(&session)
        .body(body);
    let changed = world.rest.send(change).await.expect(204);
    // The old token is good for nothing any more.
    world.rest.send(list(&session)).await.expect(401);
    let session = with_new_token(&session, &changed);
    world.rest.send(list(&session)).await.expect(200);
}
