//! The second step of a sign-in.

use chrono::DateTime;
use clm_tests::rest::{Call, NOBODY, bearer, signed_in};
use serde_json::{Value, json};

use super::{PASS, TOTP, World};

pub(super) async fn nothing_else_is_allowed_before_the_code(world: &World) {
    let ann = world.holder("ann").await;
    let answer = world.sign_in("ann").await.expect(201);
    assert_eq!(answer.body["owes"], "second_factor");
    let session = &answer.body["session"];
    let moment = |name: &str| DateTime::parse_from_rfc3339(session[name].as_str().unwrap());
    let life = moment("expires_at").unwrap() - moment("created_at").unwrap();
    assert_eq!(life.num_minutes(), 10);
    let owing = signed_in(&answer).credential();
    for (method, path, body) in [
        ("GET", "/api/v1/certificates", Value::Null),
        ("GET", "/api/v1/sessions", Value::Null),
        ("GET", "/api/v1/organizations", Value::Null),
        ("GET", TOTP, Value::Null),
        ("POST", TOTP, Value::Null),
        ("POST", "/api/v1/api-keys", json!({ "name": "way round" })),
        (
            "POST",
            "/api/v1/users/me/password",
            json!({ "current_password": world.password, "new_password": "quite another one 77" }),
        ),
        (
            "PUT",
            "/api/v1/sessions/current/organization",
            json!({ "organization": "default" }),
        ),
        (
            "POST",
            "/api/v1/users/me/totp/remove",
            json!({ "code": ann.next_code() }),
        ),
        (
            "POST",
            "/api/v1/users/me/totp/backup-codes",
            json!({ "code": ann.next_code() }),
        ),
    ] {
        let refused = world.call(&owing, method, path, body).await.expect(403);
        assert_eq!(refused.code(), "second_factor_required", "{method} {path}");
    }
    assert_eq!(world.owes(&owing).await, "second_factor");
    let passed = world.pass(&owing, &ann.next_code()).await.expect(200);
    assert_eq!(passed.body["owes"], Value::Null);
    let session = signed_in(&passed).credential();
    world.list(&session).await.expect(200);
    assert_eq!(world.owes(&session).await, Value::Null);
    let life = DateTime::parse_from_rfc3339(passed.body["session"]["expires_at"].as_str().unwrap());
    assert!(life.unwrap().timestamp() - world.now().await > 3_600);
    // A code, and that one alone, was used.
    let again = world.session("ann").await.credential();
    let used = world.pass(&again, &ann.next_code()).await.expect(409);
    assert_eq!(used.code(), "totp_code_used");
    // One may leave without giving it.
    let leave = world.call(&again, "DELETE", "/api/v1/sessions/current", Value::Null);
    leave.await.expect(204);
}

pub(super) async fn the_old_secrets_stop_working(world: &World) {
    let ben = world.holder("ben").await;
    let owing = world.session("ben").await;
    let passed = world.pass(&owing.credential(), &ben.next_code()).await;
    let passed = signed_in(&passed.expect(200));
    assert_eq!(passed.session_id, owing.session_id);
    assert_ne!(passed.token, owing.token);
    assert_ne!(passed.csrf_token, owing.csrf_token);
    world.list(&owing.credential()).await.expect(401);
    world.list(&passed.credential()).await.expect(200);
    // Nor does one without the CSRF token do, or none at all.
    let call = Call::new("POST", PASS).body(json!({ "code": "123456" }));
    world.rest.send(call.clone()).await.expect(401);
    let key = bearer(&ben.person.secret);
    let refused = world.rest.send(call.by(&key)).await.expect(422);
    assert_eq!(refused.code(), "no_session");
}

pub(super) async fn a_backup_code_will_do(world: &World) {
    let cal = world.holder("cal").await;
    let owing = world.session("cal").await.credential();
    let passed = world.pass(&owing, &cal.backup_codes[3]).await.expect(200);
    let session = signed_in(&passed).credential();
    let left = world.call(&session, "GET", TOTP, Value::Null).await;
    assert_eq!(
        left.expect(200).body,
        json!({ "is_active": true, "backup_codes_left": 9 })
    );
    let owing = world.session("cal").await.credential();
    let refused = world.pass(&owing, &cal.backup_codes[3]).await.expect(422);
    assert_eq!(refused.code(), "totp_code_invalid");
    let renew = json!({ "code": cal.backup_codes[4] });
    let renewed = world
        .call(
            &session,
            "POST",
            "/api/v1/users/me/totp/backup-codes",
            renew,
        )
        .await
        .expect(201);
    let refused = world.pass(&owing, &cal.backup_codes[5]).await.expect(422);
    assert_eq!(refused.code(), "totp_code_invalid", "the old ones are gone");
    let code = renewed.body["backup_codes"][0].as_str().unwrap().to_owned();
    world.pass(&owing, &code).await.expect(200);
}

pub(super) async fn wrong_codes_lock_the_device_and_not_its_owner(world: &World) {
    let dan = world.holder("dan").await;
    let owing = world.session("dan").await.credential();
    let wrong = dan.device.wrong_at(world.now().await);
    for _ in 0..4 {
        let refused = world.pass(&owing, &wrong).await.expect(422);
        assert_eq!(refused.code(), "totp_code_invalid");
    }
    for code in [wrong.as_str(), &dan.next_code()] {
        let refused = world.pass(&owing, code).await.expect(429);
        assert_eq!(refused.code(), "totp_locked");
        assert!(refused.headers.contains_key("retry-after"));
    }
    for malformed in ["", "12345", "1234567", "abcdef"] {
        let refused = world.pass(&owing, malformed).await.expect(422);
        assert_eq!(refused.code(), "totp_code_malformed");
    }
    world.pass(&owing, &dan.backup_codes[0]).await.expect(200);
}

pub(super) async fn whoever_knows_the_password_alone_pushes_nobody_out(world: &World) {
    let eve = world.holder("eve").await;
    world.list(&eve.session).await.expect(200);
    // As many as one may have, made behind the program: that many sign-ins would take their time.
    sqlx::query(
        "INSERT INTO sessions (
            id, user_id, organization_id, token_sha256, csrf_sha256, idle_expires_at, expires_at,
            second_factor)
         SELECT uuid_generate_v7(), $1, $2, sha256(convert_to('t' || n, 'UTF8')),
            sha256(convert_to('c' || n, 'UTF8')), now() + interval '1 hour',
            now() + interval '1 hour', 'owed'
         FROM generate_series(1, 120) AS n",
    )
    .bind(eve.person.user_id)
    .bind(world.organization_id)
    .execute(&world.superuser.core)
    .await
    .unwrap();
    world.sign_in("eve").await.expect(201);
    world.list(&eve.session).await.expect(200);
}

pub(super) async fn other_sessions_end_when_it_comes_into_force(world: &World) {
    let person = world.person("fay").await;
    let (one, other) = (world.session("fay").await, world.session("fay").await);
    let fay = world.enrol(person, &one.credential()).await;
    world.list(&one.credential()).await.expect(401);
    world.list(&other.credential()).await.expect(401);
    world.list(&fay.session).await.expect(200);
    // An API key is no session.
    world.list(&bearer(&fay.person.secret)).await.expect(200);
    // Without it, a sign-in is one step again.
    let code = json!({ "code": fay.next_code() });
    let removed = world.call(&fay.session, "POST", "/api/v1/users/me/totp/remove", code);
    removed.await.expect(204);
    let answer = world.sign_in("fay").await.expect(201);
    assert_eq!(answer.body["owes"], Value::Null);
    let refused = world.pass(&signed_in(&answer).credential(), "123456").await;
    assert_eq!(refused.expect(409).code(), "totp_not_active");
    let refused = world.pass(&NOBODY, "123456").await.expect(401);
    assert_eq!(refused.code(), "unauthenticated");
}

pub(super) async fn the_operator_ends_the_sessions_of_a_lost_device(world: &World) {
    let gus = world.holder("gus").await;
    let owing = world.session("gus").await.credential();
    let reset = world.program.cli(&[
        "user",
        "reset-totp",
        "--username",
        "gus",
        "--home-organization",
        "default",
        "--reason",
        "lost the phone",
    ]);
    assert!(reset.status.success(), "{reset:?}");
    let begun = std::time::Instant::now();
    while world.list(&gus.session).await.status != 401 {
        assert!(begun.elapsed().as_secs() < 1, "it takes a second at most");
    }
    world.pass(&owing, &gus.backup_codes[0]).await.expect(401);
    let answer = world.sign_in("gus").await.expect(201);
    assert_eq!(answer.body["owes"], Value::Null);
}
