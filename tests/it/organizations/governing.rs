//! What is decided in the System organization, and what an organization decides about itself.

use chrono::{DateTime, Utc};
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::permission::Permissions;
use clm_tests::rest::{Call, bearer};
use serde_json::{Value, json};

use super::{ORGANIZATIONS, UNKNOWN, World, fields, ids};

#[tokio::test(flavor = "multi_thread")]
async fn organizations_are_made_and_seen_from_the_system_organization() {
    let world = World::start().await;
    let system = SYSTEM_ORGANIZATION.as_uuid();
    for (field, value, code) in [
        ("name", json!(""), "name_invalid"),
        ("name", json!("a\u{7}b"), "name_invalid"),
        ("slug", json!("Not A Slug"), "slug_invalid"),
        ("slug", json!(UNKNOWN), "slug_invalid"),
        ("max_users", json!(-1), "quota_out_of_range"),
        ("max_certificates", json!(-1), "quota_out_of_range"),
    ] {
        let mut body = json!({ "name": "New", "slug": "new" });
        body[field] = value;
        let refused = world.post(&world.governor, ORGANIZATIONS, body).await;
        let refused = refused.expect(422);
        assert_eq!((refused.code(), fields(&refused)), (code, vec![field]));
    }
    let body = json!({ "name": "New", "slug": "new", "max_users": 3, "max_certificates": 0 });
    let made = world
        .post(&world.governor, ORGANIZATIONS, body.clone())
        .await;
    let made = made.expect(201);
    assert_eq!(made.body["max_users"], 3);
    assert_eq!(made.body["max_certificates"], 0);
    let again = world
        .post(&world.governor, ORGANIZATIONS, body.clone())
        .await;
    assert_eq!(again.expect(409).code(), "slug_taken");
    let refused = world.post(&world.own.key(), ORGANIZATIONS, body).await;
    assert_eq!(refused.expect(403).code(), "system_organization_only");

    let all = world.get(&world.governor, ORGANIZATIONS).await.expect(200);
    let slugs = ids(&all, "slug");
    for slug in ["new", "own", "other", "default", "system"] {
        assert!(slugs.contains(&slug), "{slug}: {slugs:?}");
    }
    assert_eq!(world.events(system, "organization.listed_across").await, 1);
    let first = format!("{ORGANIZATIONS}?limit=1");
    let first = world.get(&world.governor, &first).await.expect(200);
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = format!("{ORGANIZATIONS}?limit=1&cursor={cursor}");
    let second = world.get(&world.governor, &second).await.expect(200);
    assert_ne!(first.body["items"][0], second.body["items"][0]);

    let path = format!("{ORGANIZATIONS}/{}", world.own.id);
    let seen = world.get(&world.governor, &path).await.expect(200);
    assert_eq!(seen.body["user_count"], 1);
    assert_eq!(seen.body["certificate_count"], 0);
    assert_eq!(seen.headers["etag"], "\"1\"");
    assert_eq!(world.events(system, "organization.read_across").await, 1);
    let own = world.get(&world.own.key(), &path).await.expect(200);
    assert_eq!(own.body, seen.body);
    assert_eq!(world.events(system, "organization.read_across").await, 1);
    let foreign = world.get(&world.other.key(), &path).await.expect(404);
    let unknown = format!("{ORGANIZATIONS}/{UNKNOWN}");
    let unknown = world.get(&world.other.key(), &unknown).await.expect(404);
    assert_eq!(foreign.without_request_id(), unknown.without_request_id());
}

#[tokio::test(flavor = "multi_thread")]
async fn members_see_what_they_belong_to() {
    let world = World::start().await;
    let (own, other) = (&world.own, &world.other);
    let system = SYSTEM_ORGANIZATION.as_uuid();
    let listed = world.get(&own.key(), ORGANIZATIONS).await.expect(200);
    assert_eq!(ids(&listed, "slug"), ["own"]);
    let guest = own.administrator.user_id;
    world.superuser.insert_member(other.id, guest).await;
    let session = world.sign_in(&own.administrator, own.slug).await;
    let listed = world.get(&session.credential(), ORGANIZATIONS).await;
    let listed = listed.expect(200);
    let mut slugs = ids(&listed, "slug");
    slugs.sort_unstable();
    assert_eq!(slugs, ["other", "own"]);
    for item in listed.body["items"].as_array().unwrap() {
        assert_eq!(item["is_current"], item["slug"] == "own", "{item}");
    }
    // Of a member one sees what lists show; the rest needs the right there.
    assert!(listed.body["items"][0].get("settings").is_none());
    let key = world.get(&own.key(), ORGANIZATIONS).await.expect(200);
    assert_eq!(ids(&key, "slug"), ["own"], "a key has one organization");
    // Without the right to it, the System organization shows no more than any other.
    let nothing = Permissions::none();
    let nobody = world.superuser.insert_person(system, "nobody", &nothing);
    let nobody = bearer(&nobody.await.secret);
    let listed = world.get(&nobody, ORGANIZATIONS).await.expect(200);
    assert_eq!(ids(&listed, "slug"), ["system"]);
    assert_eq!(world.events(system, "organization.listed_across").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_acts_at_once() {
    let world = World::start().await;
    let own = &world.own;
    let session = world.sign_in(&own.administrator, own.slug).await;
    let new_key = || json!({ "name": "key" });
    let made = world.post(&own.key(), "/api/v1/api-keys", new_key()).await;
    made.expect(201);
    let by_session = Call::new("POST", "/api/v1/api-keys").by(&session.credential());
    let made = world
        .rest
        .send_proved(by_session.body(new_key()), &world.password);
    made.await.expect(201);
    let suspended = world.set_status(own.id, "suspended").await.expect(200);
    assert_eq!(suspended.body["status"], "suspended");
    assert_eq!(suspended.body["revision"], 2);
    for credential in [own.key(), session.credential()] {
        let refused = world.post(&credential, "/api/v1/api-keys", new_key()).await;
        assert_eq!(refused.expect(403).code(), "permission_missing");
        world
            .get(&credential, "/api/v1/certificates")
            .await
            .expect(200);
    }
    world.set_status(own.id, "inactive").await.expect(200);
    assert_eq!(world.status(&own.key()).await, 401);
    assert_eq!(world.status(&session.credential()).await, 401);
    let again = world.set_status(own.id, "active").await.expect(200);
    assert_eq!(again.body["revision"], 4);
    assert_eq!(world.status(&own.key()).await, 200);
    let ended = world.status(&session.credential()).await;
    assert_eq!(ended, 401, "the sessions of a closed organization ended");
    let session = world.sign_in(&own.administrator, own.slug).await;
    assert_eq!(world.status(&session.credential()).await, 200);
    let other = world.status(&world.other.key()).await;
    assert_eq!(other, 200, "another organization is not concerned");

    let system = world.set_status(SYSTEM_ORGANIZATION.as_uuid(), "suspended");
    assert_eq!(system.await.expect(409).code(), "system_organization");
    let path = format!("{ORGANIZATIONS}/{}/status", own.id);
    for (body, field) in [
        (json!({ "status": "closed", "reason": "x" }), "status"),
        (json!({ "status": "inactive" }), "body"),
        (json!({ "status": "inactive", "reason": " " }), "reason"),
    ] {
        let refused = world.send(&world.governor, "PUT", &path, body).await;
        assert!((400..423).contains(&refused.status), "{refused:?}");
        assert_eq!(fields(&refused), [field], "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_decides_about_itself() {
    let world = World::start().await;
    let own = &world.own;
    let key = own.key();
    for (settings, status, field) in [
        (json!({ "colour": "blue" }), 400, "settings.colour"),
        (
            json!({ "session_idle_minutes": 0 }),
            422,
            "settings.session_idle_minutes",
        ),
        (
            json!({ "session_hours_max": 100_000 }),
            422,
            "settings.session_hours_max",
        ),
        (
            json!({ "api_key_days_max": "many" }),
            400,
            "settings.api_key_days_max",
        ),
    ] {
        let body = json!({ "settings": settings });
        let refused = world.patch(&key, own.id, 1, body).await.expect(status);
        assert_eq!(fields(&refused), [field], "{refused:?}");
    }
    for field in ["max_users", "max_certificates"] {
        for value in [json!(5), Value::Null] {
            let mut body = json!({});
            body[field] = value;
            let refused = world.patch(&key, own.id, 1, body).await.expect(403);
            assert_eq!(refused.code(), "system_organization_only");
        }
    }
    let stored = "UPDATE organizations SET settings = '{\"colour\": \"blue\"}' WHERE id = $1";
    world.superuser.update(stored, own.id).await;
    let settings = json!({
        "session_idle_minutes": 10, "session_hours_max": 1, "api_key_days_max": 7,
    });
    let body = json!({ "name": "Renamed", "settings": settings });
    let changed = world.patch(&key, own.id, 1, body.clone()).await.expect(200);
    assert_eq!(changed.body["name"], "Renamed");
    assert_eq!(changed.body["settings"]["session_hours_max"], 1);
    assert_eq!(changed.headers["etag"], "\"2\"");
    let stale = world.patch(&key, own.id, 1, body).await.expect(412);
    assert_eq!(stale.code(), "revision_changed");
    let colour: Option<String> =
        sqlx::query_scalar("SELECT settings ->> 'colour' FROM organizations WHERE id = $1")
            .bind(own.id)
            .fetch_one(&world.superuser.core)
            .await
            .unwrap();
    assert_eq!(
        colour.as_deref(),
        Some("blue"),
        "what another version wrote"
    );
    let without = Call::new("PATCH", &format!("{ORGANIZATIONS}/{}", own.id)).by(&key);
    let without = world.rest.send(without.body(json!({}))).await;
    assert_eq!(without.expect(428).code(), "if_match_required");

    sessions_are_as_short(&world).await;
    api_keys_end(&world).await;
}

async fn sessions_are_as_short(world: &World) {
    let own = &world.own;
    let session = world.sign_in(&own.administrator, own.slug).await;
    let listed = world.get(&session.credential(), "/api/v1/sessions").await;
    let listed = listed.expect(200);
    let time = |field: &str| -> DateTime<Utc> {
        let text = listed.body["items"][0][field].as_str().unwrap();
        text.parse().unwrap()
    };
    let (began, idle, end) = (
        time("created_at"),
        time("idle_expires_at"),
        time("expires_at"),
    );
    assert_eq!((idle - began).num_minutes(), 10);
    assert_eq!((end - began).num_minutes(), 60);
    // Each use moves the end of the pause as far as the organization allows, no further.
    let id = session.session_id;
    let earlier = "UPDATE sessions SET created_at = created_at - interval '5 minutes',
        last_seen_at = last_seen_at - interval '5 minutes',
        idle_expires_at = idle_expires_at - interval '5 minutes',
        expires_at = expires_at - interval '5 minutes' WHERE id = $1";
    world.superuser.update(earlier, id).await;
    let begun = std::time::Instant::now();
    loop {
        assert_eq!(world.status(&session.credential()).await, 200);
        let pause: f64 = sqlx::query_scalar(
            "SELECT extract(epoch FROM idle_expires_at - created_at)::float8 FROM sessions
             WHERE id = $1",
        )
        .bind(id)
        .fetch_one(&world.superuser.core)
        .await
        .unwrap();
        if pause >= 900.0 {
            assert!(pause < 960.0, "{pause}");
            break;
        }
        assert!(begun.elapsed() < clm_tests::databases::PATIENCE, "{pause}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

async fn api_keys_end(world: &World) {
    let (path, key) = ("/api/v1/api-keys", world.own.key());
    let made = world.post(&key, path, json!({ "name": "brief" })).await;
    let made = made.expect(201);
    let end: DateTime<Utc> = made.body["api_key"]["expires_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let now: DateTime<Utc> = made.body["api_key"]["created_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let days = |days: i64| now + chrono::Duration::days(days);
    assert_eq!(end, days(7));
    let late = json!({ "name": "long", "expires_at": days(9) });
    let refused = world.post(&key, path, late).await.expect(422);
    assert_eq!(refused.code(), "expires_at_too_late");
    assert_eq!(fields(&refused), ["expires_at"]);
    let soon = json!({ "name": "shorter", "expires_at": days(1) });
    world.post(&key, path, soon).await.expect(201);
}
