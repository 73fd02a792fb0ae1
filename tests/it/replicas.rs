//! Two programs over the same databases: what ends by one of them ends at the other within a second.

use std::time::{Duration, Instant};

use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::databases::{Person, Superuser};
use clm_tests::replicas::Replicas;
use clm_tests::rest::{Call, Credential, Rest, bearer};
use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::support::authenticator::Authenticator;

/// How long an answer may still be what it was.
const SECOND: Duration = Duration::from_secs(1);
/// The same when a notification was lost.
const WITHOUT_NOTIFICATION: Duration = Duration::from_secs(5);

struct World {
    replicas: Replicas,
    one: Rest,
    other: Rest,
    superuser: Superuser,
    organization_id: Uuid,
}

impl World {
    async fn start() -> Self {
        let replicas = Replicas::start(2).await;
        let superuser = replicas.databases();
        Self {
            one: replicas.rest(0),
            other: replicas.rest(1),
            organization_id: superuser.organization("default").await,
            superuser,
            replicas,
        }
    }

    fn admin(&self) -> Credential {
        bearer(&self.replicas.api_key)
    }

    async fn reader(&self, name: &str) -> Person {
        let rights = [(Resource::Certificate, Action::List)]
            .into_iter()
            .collect();
        self.superuser
            .insert_person(self.organization_id, name, &rights)
            .await
    }

    /// Sends a change to the first program.
    async fn change(&self, method: &'static str, path: &str, status: u16) {
        let call = Call::new(method, path).by(&self.admin());
        self.one.send(call).await.expect(status);
    }
}

/// The status of the credential's attempt to list certificates.
async fn list(rest: &Rest, credential: &Credential) -> u16 {
    let call = Call::new("GET", "/api/v1/certificates").by(credential);
    rest.send(call).await.status
}

/// Waits, calling all the time, until the answer is `status`; fails when that takes longer than `limit`.
async fn becomes(rest: &Rest, credential: &Credential, status: u16, limit: Duration) {
    let begun = Instant::now();
    loop {
        let asked = begun.elapsed();
        let found = list(rest, credential).await;
        if found == status {
            return;
        }
        assert!(asked < limit, "still {found} after {asked:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// So that both programs remember it, for longer than they would without keeping track.
async fn warm_up(world: &World, credential: &Credential) {
    for _ in 0..15 {
        assert_eq!(list(&world.one, credential).await, 200);
        assert_eq!(list(&world.other, credential).await, 200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn assignment_of(world: &World, person: &Person) -> Uuid {
    sqlx::query_scalar("SELECT id FROM user_roles WHERE user_id = $1")
        .bind(person.user_id)
        .fetch_one(&world.superuser.core)
        .await
        .unwrap()
}

/// Ends the connections that wait for notifications.
async fn cut_listeners(world: &World) -> i64 {
    sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE query LIKE 'LISTEN%' AND datname = 'clm_core_db'",
    )
    .fetch_one(&world.superuser.core)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_at_one_ends_at_the_other() {
    let world = World::start().await;
    // An assignment.
    let person = world.reader("assigned").await;
    let key = bearer(&person.secret);
    warm_up(&world, &key).await;
    let assignment = assignment_of(&world, &person).await;
    let path = format!("/api/v1/role-assignments/{assignment}");
    world.change("DELETE", &path, 204).await;
    becomes(&world.one, &key, 403, Duration::ZERO).await;
    becomes(&world.other, &key, 403, SECOND).await;
    // A key.
    let person = world.reader("keyed").await;
    let key = bearer(&person.secret);
    warm_up(&world, &key).await;
    let path = format!("/api/v1/api-keys/{}", person.api_key_id);
    world.change("DELETE", &path, 204).await;
    becomes(&world.one, &key, 401, Duration::ZERO).await;
    becomes(&world.other, &key, 401, SECOND).await;
    // A session.
    let session = world.replicas.sign_in(1).await;
    warm_up(&world, &session.credential()).await;
    let path = format!("/api/v1/sessions/{}", session.session_id);
    world.change("DELETE", &path, 204).await;
    becomes(&world.one, &session.credential(), 401, Duration::ZERO).await;
    becomes(&world.other, &session.credential(), 401, SECOND).await;
    // A role, for all who hold it.
    let person = world.reader("holder").await;
    let key = bearer(&person.secret);
    warm_up(&world, &key).await;
    let role = "UPDATE roles SET permissions = '{}'
        WHERE id = (SELECT role_id FROM user_roles WHERE user_id = $1)";
    world.superuser.update(role, person.user_id).await;
    becomes(&world.one, &key, 403, SECOND).await;
    becomes(&world.other, &key, 403, SECOND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_notifications_cost_little_time() {
    let world = World::start().await;
    for round in 0..3 {
        let person = world.reader(&format!("person-{round}")).await;
        let key = bearer(&person.secret);
        warm_up(&world, &key).await;
        assert!(cut_listeners(&world).await >= 1, "nobody listened");
        let path = format!("/api/v1/api-keys/{}", person.api_key_id);
        world.change("DELETE", &path, 204).await;
        becomes(&world.other, &key, 401, WITHOUT_NOTIFICATION).await;
        // They listen again.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_took_long_is_not_missed() {
    let world = World::start().await;
    let person = world.reader("slow").await;
    let key = bearer(&person.secret);
    warm_up(&world, &key).await;
    let mut transaction = world.superuser.core.begin().await.unwrap();
    sqlx::query("UPDATE api_keys SET revoked_at = now() WHERE id = $1")
        .bind(person.api_key_id)
        .execute(&mut *transaction)
        .await
        .unwrap();
    // Meanwhile others change, and everybody has looked past this one.
    for round in 0..5 {
        let other = world.reader(&format!("other-{round}")).await;
        let path = format!("/api/v1/api-keys/{}", other.api_key_id);
        world.change("DELETE", &path, 204).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(list(&world.other, &key).await, 200);
    }
    transaction.commit().await.unwrap();
    becomes(&world.other, &key, 401, SECOND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_of_a_key_sum_exactly() {
    const REQUESTS: usize = 10_000;
    const CLIENTS: usize = 16;
    let mut world = World::start().await;
    let person = world.reader("busy").await;
    let key = bearer(&person.secret);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let rest = world.replicas.rest(client % 2);
        let key = key.clone();
        clients.spawn(async move {
            for _ in 0..REQUESTS / CLIENTS {
                let call = Call::new("GET", "/api/v1/whoami").by(&key);
                rest.send(call).await.expect(200);
            }
        });
    }
    clients.join_all().await;
    // Half of them by the interval, the last ones by the stop.
    world.replicas.stop(0);
    world.replicas.stop(1);
    let (count, used): (i64, bool) =
        sqlx::query_as("SELECT usage_count, last_used_at IS NOT NULL FROM api_keys WHERE id = $1")
            .bind(person.api_key_id)
            .fetch_one(&world.superuser.core)
            .await
            .unwrap();
    assert_eq!((count, used), (REQUESTS as i64, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_come_come_to_both() {
    let world = World::start().await;
    let nothing = Permissions::none();
    let person = world
        .superuser
        .insert_person(world.organization_id, "late", &nothing)
        .await;
    let key = bearer(&person.secret);
    assert_eq!(list(&world.other, &key).await, 403);
    let role = json!({
        "role_code": "READER", "role_name": "Reader", "permissions": { "certificate": ["list"] },
    });
    let role = Call::new("POST", "/api/v1/roles")
        .by(&world.admin())
        .body(role);
    let role_id = world.one.send(role).await.expect(201).id("/id");
    let grant = json!({ "user_id": person.user_id, "role_id": role_id });
    let grant = Call::new("POST", "/api/v1/role-assignments")
        .by(&world.admin())
        .body(grant);
    world.one.send(grant).await.expect(201);
    becomes(&world.other, &key, 200, SECOND).await;
}

/// Of all who come with one code, to either program, one gets in.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_of_a_second_factor_works_once() {
    let world = World::start().await;
    let session = world.replicas.sign_in(0).await.credential();
    let enrol = Call::new("POST", "/api/v1/users/me/totp").by(&session);
    let enrolled = world.one.send(enrol).await.expect(201);
    let device = Authenticator::read(enrolled.body["uri"].as_str().unwrap());
    let now: i64 = sqlx::query_scalar("SELECT floor(extract(epoch FROM now()))::bigint")
        .fetch_one(&world.superuser.core)
        .await
        .unwrap();
    let activate = Call::new("POST", "/api/v1/users/me/totp/activate")
        .by(&session)
        .body(json!({ "code": device.code_at(now) }));
    let activated = world.other.send(activate).await.expect(200);
    let codes = activated.body["backup_codes"].as_array().unwrap().clone();
    for code in [json!(device.code_at(now + 30)), codes[0].clone()] {
        let mut owing = Vec::new();
        for number in 0..10 {
            owing.push(world.replicas.sign_in(number % 2).await.credential());
        }
        let attempts = owing.iter().enumerate().map(|(number, session)| {
            let rest = if number % 2 == 0 {
                &world.other
            } else {
                &world.one
            };
            let pass = Call::new("POST", "/api/v1/sessions/current/second-factor");
            rest.send(pass.by(session).body(json!({ "code": code })))
        });
        let answers = join_all(attempts).await;
        let passed = answers.iter().filter(|answer| answer.status == 200);
        assert_eq!(passed.count(), 1);
        for refused in answers.iter().filter(|answer| answer.status != 200) {
            assert!(
                ["totp_code_used", "totp_code_invalid"].contains(&refused.code()),
                "{refused:?}"
            );
        }
        let open = owing.iter().map(|session| list(&world.one, session));
        let open = join_all(open).await;
        // The one that passed has new secrets; the others owe the code as before.
        assert_eq!(open.iter().filter(|status| **status == 403).count(), 9);
    }
}
