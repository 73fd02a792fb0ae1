//! No credential, and bad ones of every kind.

use std::time::{Duration, Instant};

use clm_domain::permission::Permissions;
use clm_tests::databases::{PATIENCE, api_key};
use clm_tests::rest::{Call, Credential, NOBODY, bearer, cookie};
use serde_json::json;
use uuid::Uuid;

use super::operations::{Needs, OPERATIONS, Operation};
use super::{Watch, World};

/// What makes a good API key bad, in `clm_core_db`.
const SPOILS_A_KEY: &[(&str, &str)] = &[
    (
        "expired",
        "UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = $1",
    ),
    (
        "revoked",
        "UPDATE api_keys SET revoked_at = now() WHERE id = $1",
    ),
    (
        "deleted",
        "UPDATE api_keys SET deleted_at = now() WHERE id = $1",
    ),
];
/// What makes a good session bad.
const SPOILS_A_SESSION: &[(&str, &str)] = &[
    (
        "expired",
        "UPDATE sessions SET expires_at = now() - interval '1 second' WHERE id = $1",
    ),
    (
        "idle",
        "UPDATE sessions SET idle_expires_at = now() - interval '1 second' WHERE id = $1",
    ),
    (
        "ended",
        "UPDATE sessions SET ended_at = now() WHERE id = $1",
    ),
];
/// What makes all credentials of a user bad.
const SPOILS_A_USER: &[(&str, &str)] = &[
    (
        "inactive user",
        "UPDATE users SET status = 'inactive' WHERE id = $1",
    ),
    (
        "locked user",
        "UPDATE users SET status = 'locked' WHERE id = $1",
    ),
    (
        "suspended user",
        "UPDATE users SET status = 'suspended' WHERE id = $1",
    ),
    (
        "deleted user",
        "UPDATE users SET deleted_at = now() WHERE id = $1",
    ),
    (
        "suspended member",
        "UPDATE user_organizations SET status = 'suspended' WHERE user_id = $1",
    ),
    (
        "former member",
        "UPDATE user_organizations SET deleted_at = now() WHERE user_id = $1",
    ),
];

/// Every operation that is not public answers each of them with the same 401, which says nothing
/// about what is wrong.
pub(super) async fn bad_ones_are_all_the_same(world: &World) {
    let mut bad = malformed(world);
    bad.extend(spoiled(world).await);
    let watch = Watch::begin(world).await;
    let mut expected = None;
    for operation in OPERATIONS.iter().filter(|one| one.needs != Needs::Nothing) {
        for (what, credential) in &bad {
            let what = format!("{} with {what}", operation.name());
            let call = operation.call(&world.own).by(credential);
            let answer = watch.refused(&what, call, 401).await;
            assert_eq!(answer.code(), "unauthenticated", "{what}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer", "{what}");
            let body = answer.without_request_id();
            assert_eq!(*expected.get_or_insert(body.clone()), body, "{what}");
        }
        let what = format!("{} with an id and a body that are none", operation.name());
        let call = operation.call_on(&world.own, "none").body(json!("none"));
        watch.refused(&what, call, 401).await;
    }
    assert_eq!(
        watch.events().await,
        0,
        "who is unknown writes no audit log"
    );
}

/// What cannot be a credential, or never was one.
fn malformed(world: &World) -> Vec<(String, Credential)> {
    let secret = world.own.administrator.secret.as_str();
    let token = world.own.session.token.as_str();
    let csrf = world.own.session.csrf_token.as_str();
    let unknown_key = api_key(&format!("{:0>43}", "neverGivenOut"));
    let mut wrong_checksum = secret.to_owned();
    let last = if wrong_checksum.pop() == Some('0') {
        '1'
    } else {
        '0'
    };
    wrong_checksum.push(last);
    let authorization = |value: &str| vec![("authorization", value.to_owned())];
    let cookies = |value: &str| vec![("cookie", value.to_owned())];
    let name = clm_api_types::SESSION_COOKIE;
    let found = [
        ("no credential", NOBODY),
        ("a random bearer", bearer("J8sH2kqPz0")),
        ("an empty bearer", authorization("Bearer ")),
        ("a bearer without secret", authorization("Bearer")),
        ("two bearers in one", bearer(&format!("{secret} {secret}"))),
        ("an unknown key", bearer(&unknown_key)),
        ("a key with a wrong checksum", bearer(&wrong_checksum)),
        ("a key without its end", bearer(&secret[..52])),
        ("a key with more behind it", bearer(&format!("{secret}0"))),
        ("a key in capitals", bearer(&secret.to_uppercase())),
        ("an endless bearer", bearer(&"x".repeat(4_000))),
        ("a bearer that is not ASCII", bearer("schlüssel")),
        ("a good key without scheme", authorization(secret)),
        (
            "a good key under another scheme",
            authorization(&format!("Basic {secret}")),
        ),
        ("a good key as a cookie", cookie(secret)),
        ("a session token as a bearer", bearer(token)),
        ("a CSRF token as a cookie", cookie(csrf)),
        ("a random cookie", cookie("J8sH2kqPz0")),
        (
            "an unknown session",
            cookie("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ),
        ("an empty cookie", cookie("")),
        ("an endless cookie", cookie(&"x".repeat(4_000))),
        (
            "a cookie of another name",
            cookies(&format!("clm_session={token}")),
        ),
        (
            "two cookies",
            cookies(&format!("{name}={token}; {name}={token}")),
        ),
        ("a bad bearer beside a good cookie", {
            let mut both = world.own.session.credential();
            both.extend(bearer(&unknown_key));
            both
        }),
        (
            "the header of the local operator",
            vec![("x-clm-organization", "default".to_owned())],
        ),
    ];
    found
        .into_iter()
        .map(|(what, credential)| (what.to_owned(), credential))
        .collect()
}

/// Credentials that were good, and no longer are.
async fn spoiled(world: &World) -> Vec<(String, Credential)> {
    let mut found = Vec::new();
    for (what, statement) in SPOILS_A_KEY {
        let (id, credential) = made_key(world).await;
        found.push((format!("a key that is {what}"), credential, *statement, id));
    }
    for (what, statement) in SPOILS_A_SESSION {
        let session = sign_in(world, &world.own.administrator.username).await;
        let id = session.session_id;
        found.push((
            format!("a session that is {what}"),
            session.credential(),
            *statement,
            id,
        ));
    }
    for (index, (what, statement)) in SPOILS_A_USER.iter().enumerate() {
        let (organization_id, rights) = (world.own.organization_id, Permissions::all());
        let username = format!("spoiled-{index}");
        let person = world
            .superuser
            .insert_person(organization_id, &username, &rights)
            .await;
        let session = sign_in(world, &username).await;
        let credentials = [
            ("a key", bearer(&person.secret)),
            ("a session", session.credential()),
        ];
        for (kind, credential) in credentials {
            found.push((
                format!("{kind} of a {what}"),
                credential,
                *statement,
                person.user_id,
            ));
        }
    }
    for (what, credential, _, _) in &found {
        assert_eq!(status(world, credential).await, 200, "before it is {what}");
    }
    for (_, _, statement, id) in &found {
        world.superuser.update(statement, *id).await;
    }
    for (what, credential, _, _) in &found {
        until(world, credential, 401, what).await;
    }
    found
        .into_iter()
        .map(|(what, credential, _, _)| (what, credential))
        .collect()
}

async fn made_key(world: &World) -> (Uuid, Credential) {
    let call = Call::new("POST", "/api/v1/api-keys").by(&world.own.key());
    let made = world
        .rest
        .send(call.body(json!({ "name": "soon bad" })))
        .await
        .expect(201);
    (
        made.id("/api_key/id"),
        bearer(made.body["secret"].as_str().expect("a key has a secret")),
    )
}

pub(super) async fn sign_in(world: &World, username: &str) -> clm_tests::rest::SignedIn {
    world
        .rest
        .sign_in(username, &world.own.password, &world.own.slug)
        .await
}

async fn status(world: &World, credential: &Credential) -> u16 {
    world
        .rest
        .send(Call::new("GET", "/api/v1/whoami").by(credential))
        .await
        .status
}

/// Waits for the status: credentials are trusted for a second without asking again.
pub(super) async fn until(world: &World, credential: &Credential, wanted: u16, what: &str) {
    let begun = Instant::now();
    while status(world, credential).await != wanted {
        assert!(
            begun.elapsed() < PATIENCE,
            "{what} is not answered with {wanted}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// So many links that are none may come from one address before it is held up.
const LINKS_FREE: usize = 20;

/// Signing in works with any credential beside it, and is still refused without the password. Links that
/// come by mail are judged by themselves alone.
pub(super) async fn what_is_public_takes_no_notice_of_them(world: &World) {
    let public: Vec<_> = OPERATIONS
        .iter()
        .filter(|one| one.needs == Needs::Nothing)
        .collect();
    let paths: Vec<&str> = public.iter().map(|operation| operation.path).collect();
    let expected = [
        "/api/v1/sessions",
        "/api/v1/password-resets",
        "/api/v1/password-resets/confirm",
        "/api/v1/email-verifications/confirm",
    ];
    assert_eq!(paths, expected, "nothing else is public");
    links_take_no_notice(world, &public[1..]).await;
    for (what, credential) in malformed(world) {
        let answer = world
            .rest
            .send(public[0].call(&world.own).by(&credential))
            .await;
        assert_eq!(answer.status, 201, "{what}: {}", answer.text);
    }
    let watch = Watch::begin(world).await;
    let body = json!({ "username": "nobody", "password": "wrong", "organization": "default" });
    let call = Call::new("POST", "/api/v1/sessions")
        .by(&world.own.key())
        .body(body);
    let unknown = watch.refused("an unknown name", call, 401).await;
    assert_eq!(unknown.code(), "sign_in_failed");
    let mut body = json!({ "username": "admin", "password": "wrong" });
    body["organization"] = "default".into();
    let call = Call::new("POST", "/api/v1/sessions").body(body);
    let wrong = world.rest.send(call).await.expect(401);
    assert_eq!(wrong.without_request_id(), unknown.without_request_id());
}

/// Here no mail can be sent, and no link works.
async fn links_take_no_notice(world: &World, operations: &[&Operation]) {
    let mut credentials = vec![("a good key".to_owned(), world.own.key())];
    credentials.extend(malformed(world));
    credentials.truncate(LINKS_FREE / 2 / operations.len());
    let watch = Watch::begin(world).await;
    for operation in operations {
        let (status, code) = match operation.path {
            "/api/v1/password-resets" => (409, "mail_not_configured"),
            _ => (422, "link_invalid"),
        };
        for (what, credential) in &credentials {
            let what = format!("{} with {what}", operation.name());
            let call = operation.call(&world.own).by(credential);
            let answer = watch.refused(&what, call, status).await;
            assert_eq!(answer.code(), code, "{what}");
        }
    }
}

/// A change with a session's cookie alone may come from a page of another site.
pub(super) async fn sessions_prove_where_a_change_comes_from(world: &World) {
    let session = &world.own.session;
    let foreign = sign_in(world, &world.own.administrator.username).await;
    let with = |token: &str| {
        let mut credential = cookie(&session.token);
        credential.push((clm_api_types::CSRF_HEADER, token.to_owned()));
        credential
    };
    let unproven = [
        ("no CSRF token", cookie(&session.token)),
        ("an empty CSRF token", with("")),
        ("a random CSRF token", with("J8sH2kqPz0")),
        ("the session's token as CSRF token", with(&session.token)),
        (
            "the CSRF token of another session",
            with(&foreign.csrf_token),
        ),
    ];
    let watch = Watch::begin(world).await;
    for operation in OPERATIONS.iter().filter(|one| one.needs != Needs::Nothing) {
        for (what, credential) in &unproven {
            let what = format!("{} with {what}", operation.name());
            let call = operation.call(&world.own).by(credential);
            if operation.is_mutating() {
                let answer = watch.refused(&what, call, 403).await;
                assert_eq!(answer.code(), "csrf_token_invalid", "{what}");
            } else {
                world.rest.send(call).await.expect(200);
            }
        }
    }
    let call = Call::new("POST", "/api/v1/api-keys").by(&session.credential());
    let call = call.body(json!({ "name": "by session" }));
    let made = world.rest.send_proved(call, &world.own.password).await;
    made.expect(201);
}

/// What is revoked by REST stops with the answer, not when a cache forgets it.
pub(super) async fn what_was_revoked_stops_at_once(world: &World) {
    let (id, key) = made_key(world).await;
    assert_eq!(status(world, &key).await, 200);
    let revoke = Call::new("DELETE", &format!("/api/v1/api-keys/{id}"));
    world
        .rest
        .send(revoke.by(&world.own.key()))
        .await
        .expect(204);
    assert_eq!(status(world, &key).await, 401, "a revoked key");

    let session = sign_in(world, &world.own.administrator.username).await;
    assert_eq!(status(world, &session.credential()).await, 200);
    let end = Call::new("DELETE", "/api/v1/sessions/current").by(&session.credential());
    world.rest.send(end).await.expect(204);
    assert_eq!(
        status(world, &session.credential()).await,
        401,
        "an ended session"
    );

    let session = sign_in(world, &world.own.administrator.username).await;
    assert_eq!(status(world, &session.credential()).await, 200);
    let end = Call::new(
        "DELETE",
        &format!("/api/v1/sessions/{}", session.session_id),
    );
    world.rest.send(end.by(&world.own.key())).await.expect(204);
    assert_eq!(
        status(world, &session.credential()).await,
        401,
        "a session that another ended"
    );
}
