//! Members: added from the System organization, suspended, removed, and leaving by themselves.

use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::rest::{Call, bearer};
use serde_json::json;
use uuid::Uuid;

use super::{MEMBERS, UNKNOWN, World, fields, ids};

#[tokio::test(flavor = "multi_thread")]
async fn a_member_comes_and_goes() {
    let world = World::start().await;
    let (own, other) = (&world.own, &world.other);
    let guest = &other.administrator;
    for (user, organization, field) in [
        (UNKNOWN.to_owned(), own.id.to_string(), "user"),
        ("nobody@other".to_owned(), own.id.to_string(), "user"),
        ("no name at all".to_owned(), own.id.to_string(), "user"),
        (
            guest.user_id.to_string(),
            UNKNOWN.to_owned(),
            "organization_id",
        ),
    ] {
        let body = json!({ "user": user, "organization_id": organization });
        let refused = world.post(&world.governor, MEMBERS, body).await.expect(404);
        assert_eq!(refused.code(), "not_found");
        assert_eq!(fields(&refused), [field]);
    }
    let body = json!({ "user": "Other-Admin@other", "organization_id": own.id });
    let tenant = world.post(&own.key(), MEMBERS, body.clone()).await;
    assert_eq!(tenant.expect(403).code(), "system_organization_only");
    let added = world.post(&world.governor, MEMBERS, body.clone()).await;
    let added = added.expect(201);
    assert_eq!(added.id("/user_id"), guest.user_id);
    assert_eq!(added.body["is_home"], false);
    let again = world.post(&world.governor, MEMBERS, body.clone()).await;
    assert_eq!(again.expect(409).code(), "already_member");

    let listed = world.get(&own.key(), MEMBERS).await.expect(200);
    let found = ids(&listed, "username");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.contains(&"other-admin") && found.contains(&"own-admin"));
    let theirs = world.get(&other.key(), MEMBERS).await.expect(200);
    assert_eq!(ids(&theirs, "username"), ["other-admin"]);
    assert_eq!(theirs.body["items"][0]["is_home"], true);
    let codes = &theirs.body["items"][0]["roles"][0]["role_code"];
    assert_eq!(codes, "R_OTHER_ADMIN");

    let everything = holdings(&world).await;
    removed_with_everything(&world, &everything).await;
    // A new membership begins with nothing.
    world.post(&world.governor, MEMBERS, body).await.expect(201);
    assert_eq!(world.status(&bearer(&everything.key)).await, 401);
    let path = format!("{MEMBERS}/{}", guest.user_id);
    let back = world.get(&own.key(), &path).await.expect(200);
    assert_eq!(back.body["roles"], json!([]));
}

/// What a guest has in an organization.
struct Holdings {
    key: String,
    session: clm_tests::rest::SignedIn,
}

/// Gives the guest a role, an API key, a session and a certificate in the organization.
async fn holdings(world: &World) -> Holdings {
    let (own, guest) = (&world.own, world.other.administrator.user_id);
    let role = world.superuser.role_of(own.administrator.user_id).await;
    sqlx::query("INSERT INTO user_roles (organization_id, user_id, role_id) VALUES ($1, $2, $3)")
        .bind(own.id)
        .bind(guest)
        .bind(role)
        .execute(&world.superuser.core)
        .await
        .unwrap();
    let made = world.superuser.insert_api_key(own.id, guest, None);
    let (_, key) = made.await;
    let session = world.sign_in(&world.other.administrator, "other").await;
    let session = world.switch(&session, "own").await;
    certificate(world, own.id, guest).await;
    let path = format!("{MEMBERS}/{guest}");
    let with_role = world.get(&bearer(&key), &path).await.expect(200);
    assert_eq!(with_role.body["roles"][0]["role_code"], "R_OWN_ADMIN");
    Holdings { key, session }
}

/// A certificate of the organization that the user answers for.
async fn certificate(world: &World, organization_id: Uuid, owner: Uuid) {
    sqlx::query(
        "INSERT INTO certificate_metadata (
            organization_id, certificate_id, certificate_type, status, serial_number, subject,
            fingerprint_sha256, spki_sha256, key_algorithm, not_before, not_after, owner_user_id,
            revision)
         VALUES ($1, uuid_generate_v4(), 'server', 'active', '01', 'CN=owned', sha256('a'),
            sha256('b'), 'ecdsa-p256', now(), now() + interval '1 day', $2, 1)",
    )
    .bind(organization_id)
    .bind(owner)
    .execute(&world.superuser.core)
    .await
    .unwrap();
}

async fn owners(world: &World, organization_id: Uuid) -> Vec<Uuid> {
    sqlx::query_scalar("SELECT owner_user_id FROM certificate_metadata WHERE organization_id = $1")
        .bind(organization_id)
        .fetch_all(&world.superuser.core)
        .await
        .unwrap()
}

async fn removed_with_everything(world: &World, held: &Holdings) {
    let (own, guest) = (&world.own, world.other.administrator.user_id);
    let path = format!("{MEMBERS}/{guest}");
    let key = own.key();
    let owns = world.send(&key, "DELETE", &path, json!(null)).await;
    assert_eq!(owns.expect(409).code(), "owns_objects");
    for successor in [UNKNOWN.to_owned(), guest.to_string()] {
        let path = format!("{path}?successor_user_id={successor}");
        let refused = world.send(&key, "DELETE", &path, json!(null)).await;
        let refused = refused.expect(404);
        assert_eq!(fields(&refused), ["successor_user_id"]);
    }
    let strange = format!("{path}?successor_user_id=nobody");
    let strange = world.send(&key, "DELETE", &strange, json!(null)).await;
    assert_eq!(strange.expect(400).code(), "malformed_query");
    let credentials = [bearer(&held.key), held.session.credential()];
    for credential in &credentials {
        assert_eq!(world.status(credential).await, 200);
    }
    let successor = own.administrator.user_id;
    let path = format!("{path}?successor_user_id={successor}");
    let removed = world.send(&key, "DELETE", &path, json!(null)).await;
    removed.expect(204);
    for credential in &credentials {
        assert_eq!(world.status(credential).await, 401);
    }
    assert_eq!(owners(world, own.id).await, [successor]);
    let (open, revision): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE valid_until IS NULL OR valid_until > now()), min(revision)
         FROM user_roles WHERE organization_id = $1 AND user_id = $2 AND deleted_at IS NULL",
    )
    .bind(own.id)
    .bind(guest)
    .fetch_one(&world.superuser.core)
    .await
    .unwrap();
    assert_eq!(open, 0, "the roles ended");
    assert_eq!(revision, 2, "and were changed by it");
    let at_home = world.status(&world.other.key()).await;
    assert_eq!(at_home, 200, "the home is not concerned");
    let again = world.send(&key, "DELETE", &path, json!(null)).await;
    again.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_member_may_not_act() {
    let world = World::start().await;
    let own = &world.own;
    let rights: Permissions = [(Resource::Certificate, Action::List)]
        .into_iter()
        .collect();
    let somebody = world.superuser.insert_person(own.id, "somebody", &rights);
    let somebody = somebody.await;
    let session = world.sign_in(&somebody, own.slug).await;
    let path = format!("{MEMBERS}/{}/status", somebody.user_id);
    let set = |status: &str| json!({ "status": status, "reason": "a test" });
    let suspended = world.send(&own.key(), "PUT", &path, set("suspended")).await;
    assert_eq!(suspended.expect(200).body["status"], "suspended");
    assert_eq!(world.status(&bearer(&somebody.secret)).await, 401);
    assert_eq!(world.status(&session.credential()).await, 401);
    let listed = world.get(&own.key(), MEMBERS).await.expect(200);
    assert_eq!(
        ids(&listed, "username").len(),
        2,
        "suspended ones are listed"
    );
    let active = world.send(&own.key(), "PUT", &path, set("active")).await;
    active.expect(200);
    assert_eq!(world.status(&bearer(&somebody.secret)).await, 200);
    let ended = world.status(&session.credential()).await;
    assert_eq!(ended, 401, "a session that ended stays so");

    let own_path = format!("{MEMBERS}/{}/status", own.administrator.user_id);
    let oneself = world
        .send(&own.key(), "PUT", &own_path, set("suspended"))
        .await;
    assert_eq!(oneself.expect(409).code(), "own_membership");
    let foreign = format!("{MEMBERS}/{}/status", world.other.administrator.user_id);
    let foreign = world
        .send(&own.key(), "PUT", &foreign, set("suspended"))
        .await;
    let unknown = format!("{MEMBERS}/{UNKNOWN}/status");
    let unknown = world
        .send(&own.key(), "PUT", &unknown, set("suspended"))
        .await;
    let (foreign, unknown) = (foreign.expect(404), unknown.expect(404));
    assert_eq!(foreign.without_request_id(), unknown.without_request_id());
    let home = format!("{MEMBERS}/{}", somebody.user_id);
    let home = world.send(&own.key(), "DELETE", &home, json!(null)).await;
    assert_eq!(home.expect(409).code(), "home_membership");
}

/// Two administrators suspend one another at once: one of them stays.
#[tokio::test(flavor = "multi_thread")]
async fn one_administrator_stays() {
    let world = World::start().await;
    let own = &world.own;
    let mut administrators = vec![own.administrator.clone()];
    let rights = super::within(&Permissions::all());
    let second = world.superuser.insert_person(own.id, "second", &rights);
    administrators.push(second.await);
    for person in &administrators {
        sqlx::query(
            "INSERT INTO user_roles (organization_id, user_id, role_id)
             SELECT $1, $2, id FROM roles WHERE role_code = 'SYSTEM_ADMIN'",
        )
        .bind(own.id)
        .bind(person.user_id)
        .execute(&world.superuser.core)
        .await
        .unwrap();
    }
    let suspend = |by: usize, whom: usize| {
        let path = format!("{MEMBERS}/{}/status", administrators[whom].user_id);
        let body = json!({ "status": "suspended", "reason": "a test" });
        let call = Call::new("PUT", &path).by(&bearer(&administrators[by].secret));
        world.rest.send(call.body(body))
    };
    let (one, two) = tokio::join!(suspend(0, 1), suspend(1, 0));
    let mut found = [one.status, two.status];
    found.sort_unstable();
    assert!(
        matches!(found, [200, 409] | [200, 401]),
        "{found:?}: {} {}",
        one.text,
        two.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_hands_over() {
    let world = World::start().await;
    let (own, other) = (&world.own, &world.other);
    let guest = own.administrator.user_id;
    let path = "/api/v1/members/me/leave";
    world.superuser.insert_member(other.id, guest).await;
    certificate(&world, other.id, guest).await;
    let at_home = world.sign_in(&own.administrator, own.slug).await;
    let refused = world.post(&at_home.credential(), path, json!({})).await;
    assert_eq!(refused.expect(409).code(), "home_membership");
    let key = world.post(&own.key(), path, json!({})).await.expect(422);
    assert_eq!(key.code(), "no_session");
    let session = world.switch(&at_home, other.slug).await;
    let session = session.credential();
    let owns = world.post(&session, path, json!({})).await.expect(409);
    assert_eq!(owns.code(), "owns_objects");
    let successor = |id: String| json!({ "successor_user_id": id });
    let unknown = world.post(&session, path, successor(UNKNOWN.into())).await;
    assert_eq!(fields(&unknown.expect(404)), ["successor_user_id"]);
    let heir = other.administrator.user_id;
    let left = world
        .post(&session, path, successor(heir.to_string()))
        .await;
    left.expect(204);
    assert_eq!(owners(&world, other.id).await, [heir]);
    assert_eq!(
        world.status(&session).await,
        401,
        "the session went with it"
    );
    assert_eq!(world.events(other.id, "member.left").await, 1);
    let again = world.sign_in(&own.administrator, own.slug).await;
    let body = json!({ "organization": other.slug });
    let gone = world
        .send(&again.credential(), "PUT", super::SWITCH, body)
        .await;
    gone.expect(404);
}
