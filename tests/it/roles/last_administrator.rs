//! An organization keeps its last administrator, whoever asks at once for what.

use clm_domain::ids::system_roles;
use clm_tests::databases::Person;
use clm_tests::rest::{Answer, Call, bearer};
use serde_json::json;
use uuid::Uuid;

use super::{ASSIGNMENTS, World};

/// A new organization whose people hold `SYSTEM_ADMIN`, with their assignments.
async fn organization(world: &World, slug: &str, names: &[&str]) -> Vec<(Person, Uuid)> {
    let organization_id = world.superuser.insert_organization(slug).await;
    let mut people = Vec::new();
    for name in names {
        let nothing = clm_domain::permission::Permissions::none();
        let person = world
            .superuser
            .insert_person(organization_id, name, &nothing)
            .await;
        let assignment: Uuid = sqlx::query_scalar(
            "INSERT INTO user_roles (organization_id, user_id, role_id) VALUES ($1, $2, $3)
             RETURNING id",
        )
        .bind(organization_id)
        .bind(person.user_id)
        .bind(system_roles::SYSTEM_ADMIN.as_uuid())
        .fetch_one(&world.superuser.core)
        .await
        .unwrap();
        people.push((person, assignment));
    }
    people
}

async fn withdraw(world: &World, by: &Person, assignment: Uuid) -> Answer {
    let path = format!("{ASSIGNMENTS}/{assignment}");
    let call = Call::new("DELETE", &path).by(&bearer(&by.secret));
    world.rest.send(call).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_demote_each_other_leave_one() {
    let world = World::start().await;
    for round in 0..10 {
        let slug = format!("pair-{round}");
        let people = organization(&world, &slug, &["one", "other"]).await;
        let [(one, ones), (other, others)] = people.as_slice() else {
            panic!("there are two");
        };
        let answers = tokio::join!(
            withdraw(&world, one, *others),
            withdraw(&world, other, *ones)
        );
        let mut statuses = [answers.0.status, answers.1.status];
        statuses.sort_unstable();
        // The one who came later has no right any more, or is the last.
        assert_eq!(statuses[0], 204, "{answers:?}");
        assert!([403, 409, 422].contains(&statuses[1]), "{answers:?}");
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM user_roles ur JOIN organizations o ON o.id = ur.organization_id
             WHERE o.slug = $1 AND ur.role_id = $2 AND ur.valid_until IS NULL",
        )
        .bind(&slug)
        .bind(system_roles::SYSTEM_ADMIN.as_uuid())
        .fetch_one(&world.superuser.core)
        .await
        .unwrap();
        assert_eq!(left, 1);
    }
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_one_gets_no_end_either() {
    let world = World::start().await;
    let people = organization(&world, "lone", &["one"]).await;
    let (one, assignment) = &people[0];
    let refused = withdraw(&world, one, *assignment).await.expect(409);
    assert_eq!(refused.code(), "last_administrator");
    let end = json!({ "valid_until": "2999-01-01T00:00:00Z" });
    let path = format!("{ASSIGNMENTS}/{assignment}");
    let call = Call::new("PATCH", &path).by(&bearer(&one.secret)).body(end);
    let refused = world.rest.send(call.header("if-match", "\"1\"")).await;
    assert_eq!(refused.expect(409).code(), "last_administrator");
    // Somebody who cannot act is no administrator, nor is one whose time is limited.
    for (name, change) in [
        (
            "suspended",
            "UPDATE users SET status = 'suspended' WHERE id = $1",
        ),
        (
            "service",
            "UPDATE users SET user_type = 'service', password_hash = NULL WHERE id = $1",
        ),
        (
            "gone",
            "UPDATE user_organizations SET status = 'suspended' WHERE user_id = $1",
        ),
        (
            "brief",
            "UPDATE user_roles SET valid_until = now() + interval '1 day' WHERE user_id = $1
            AND role_id = '00000000-0000-0000-0001-000000000001'",
        ),
    ] {
        let other = world
            .superuser
            .insert_person(
                world.superuser.organization("lone").await,
                name,
                &clm_domain::permission::Permissions::none(),
            )
            .await;
        let grant = json!({ "user_id": other.user_id, "role_id": system_roles::SYSTEM_ADMIN });
        let call = Call::new("POST", ASSIGNMENTS)
            .by(&bearer(&one.secret))
            .body(grant);
        world.rest.send(call).await.expect(201);
        world.superuser.update(change, other.user_id).await;
        let refused = withdraw(&world, one, *assignment).await.expect(409);
        assert_eq!(refused.code(), "last_administrator", "{name}");
    }
    let second = world
        .superuser
        .insert_person(
            world.superuser.organization("lone").await,
            "second",
            &clm_domain::permission::Permissions::none(),
        )
        .await;
    let grant = json!({ "user_id": second.user_id, "role_id": system_roles::SYSTEM_ADMIN });
    let call = Call::new("POST", ASSIGNMENTS)
        .by(&bearer(&one.secret))
        .body(grant);
    world.rest.send(call).await.expect(201);
    withdraw(&world, one, *assignment).await.expect(204);
    drop(world.program);
}
