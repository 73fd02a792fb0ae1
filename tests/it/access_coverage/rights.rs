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
    let session = sign_in(world, "nothing").await;
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
                let answer = world.rest.send(call().by(&session.credential())).await;
                assert!(
                    (200..300).contains(&answer.status),
                    "{}: {answer:?}",
                    operation.name()
                );
            }
            Needs::Credential => {
                world
                    .rest
                    .send(call().by(&session.credential()))
                    .await
                    .expect(200);
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
    world
        .rest
        .send(who.by(&session.credential()))
        .await
        .expect(200);
    let leave = Call::new("DELETE", "/api/v1/sessions/current").by(&session.credential());
    world.rest.send(leave).await.expect(204);
}

/// A session whose password must be changed can do that, and say who it is, and leave.
pub(super) async fn a_password_that_must_be_changed_comes_first(world: &World) {
    let organization_id = world.own.organization_id;
    let rights = Permissions::all();
    let person = world
        .superuser
        .insert_person(organization_id, "newcomer", &rights)
        .await;
    let session = sign_in(world, "newcomer").await.credential();
    let must = "UPDATE users SET must_change_password = true WHERE id = $1";
    world.superuser.update(must, person.user_id).await;
    let begun = Instant::now();
    let list = || Call::new("GET", "/api/v1/certificates").by(&session);
    while world.rest.send(list()).await.code() != "password_change_required" {
        assert!(
            begun.elapsed() < PATIENCE,
            "the password need not be changed"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let watch = Watch::begin(world).await;
    for (operation, ..) in guarded() {
        let call = operation.call(&world.own).by(&session);
        let answer = watch.refused(&operation.name(), call, 403).await;
        assert_eq!(
            answer.code(),
            "password_change_required",
            "{}",
            operation.name()
        );
    }
    world
        .rest
        .send(Call::new("GET", "/api/v1/whoami").by(&session))
        .await
        .expect(200);
    let body = json!({
        "current_password": world.own.password, "new_password": "the newcomer's very own",
    });
    let change = Call::new("POST", "/api/v1/users/me/password")
        .by(&session)
        .body(body);
    let changed = world.rest.send(change).await.expect(204);
    // The old token is good for nothing any more.
    world.rest.send(list()).await.expect(401);
    let session = with_new_token(&session, &changed);
    let list = Call::new("GET", "/api/v1/sessions").by(&session);
    world.rest.send(list).await.expect(200);
}
