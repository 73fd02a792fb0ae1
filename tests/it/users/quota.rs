//! How many users an organization may have.

use clm_domain::permission::Permissions;
use clm_tests::rest::bearer;
use futures::future::join_all;
use serde_json::{Value, json};

use super::{World, path};

/// Requests at once.
const CONCURRENT: usize = 64;
/// Places: one is the administrator's.
const PLACES: i64 = 11;

pub(super) async fn sixty_four_at_once_fill_it_exactly(world: &World) {
    let organization_id = world.superuser.insert_organization("crowded").await;
    let all = Permissions::all();
    let administrator = world
        .superuser
        .insert_person(organization_id, "crowd-administrator", &all)
        .await;
    let by = bearer(&administrator.secret);
    let limit = "UPDATE organizations SET max_users = 11 WHERE id = $1";
    world.superuser.update(limit, organization_id).await;
    let calls = (0..CONCURRENT).map(|number| {
        // Some with a password to hash, so that they do not come in one pace.
        let user_type = if number % 8 == 0 { "person" } else { "service" };
        let body = json!({ "username": format!("crowd-{number}"), "user_type": user_type });
        world.make(&by, body)
    });
    let answers = join_all(calls).await;
    let made: Vec<_> = answers.iter().filter(|one| one.status == 201).collect();
    assert_eq!(made.len() as i64, PLACES - 1);
    for answer in answers.iter().filter(|one| one.status != 201) {
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(answer.code(), "user_quota_exceeded");
    }
    let live: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM users WHERE home_organization_id = $1 AND deleted_at IS NULL",
    )
    .bind(organization_id)
    .fetch_one(&world.superuser.core)
    .await
    .unwrap();
    assert_eq!(live, PLACES);

    // A place that became free is taken once, by whoever comes first.
    let leaver = made[0].id("/user/id");
    let leaver = path(leaver);
    let left = world.call(&by, "DELETE", &leaver, Value::Null);
    left.await.expect(204);
    let restore = format!("{leaver}/restore");
    let back = (0..8).map(|_| world.call(&by, "POST", &restore, Value::Null));
    let come = (0..8).map(|number| {
        let body = json!({ "username": format!("late-{number}"), "user_type": "service" });
        world.make(&by, body)
    });
    let (back, come) = tokio::join!(join_all(back), join_all(come));
    let restored = back.iter().any(|one| one.status == 200);
    let made = come.iter().filter(|one| one.status == 201).count();
    assert_eq!(usize::from(restored) + made, 1, "{back:?} {come:?}");
}
