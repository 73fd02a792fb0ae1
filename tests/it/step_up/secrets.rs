//! What a person gives for a proof: the password without a second factor, a code with one.

use clm_api_types::client::{Client, ClientOptions, Credential as Session};
use clm_tests::rest::{Answer, Call, Credential, bearer};
use clm_tests::step_up::{BackupCodes, enrol};
use serde_json::{Value, json};

use super::{World, refused, text};

const AUTHORITIES: &str = "/api/v1/certificate-authorities";

impl World {
    async fn give(&self, call: &Call, given: Value) -> Answer {
        self.rest.ask_proof(call, &given).await
    }

    /// The chief puts a second factor into force: the session, which goes on, and its codes.
    async fn with_factor(&self) -> (Credential, std::sync::Arc<BackupCodes>) {
        let session = Session::Session {
            token: self.session.token.clone(),
            csrf_token: self.session.csrf_token.clone(),
        };
        let url = self.program.bootstrap_text("url");
        let client = Client::over_network(&url, session, &ClientOptions::default()).unwrap();
        let (session, codes) = enrol(&client).await;
        let Session::Session { token, csrf_token } = session else {
            panic!("there is a session");
        };
        let mut by = clm_tests::rest::cookie(&token);
        by.push((clm_api_types::CSRF_HEADER, csrf_token));
        (by, codes)
    }

    /// A proof for what the Secure Service does.
    async fn prove(&self, call: &Call, code: &str, request: Value) -> Answer {
        let given = json!({ "code": code });
        self.rest.ask_proof_of(call, &given, request).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_are_counted_and_lock() {
    let world = World::start().await;
    let grant = world.grant();
    let wrong = json!({ "password": "not the password" });
    for attempt in 1..=5 {
        let refused = world.give(&grant, wrong.clone()).await;
        assert_eq!(refused.status, 422, "{attempt}: {refused:?}");
        assert_eq!(refused.code(), "current_password_wrong");
        assert_eq!(refused.body["errors"][0]["field"], "password");
    }
    // From then on not even the right one, here or at a sign-in.
    let right = json!({ "password": world.password });
    let locked = world.give(&grant, right.clone()).await.expect(429);
    assert_eq!(locked.code(), "too_many_wrong_passwords");
    assert!(locked.headers.contains_key("retry-after"));
    let recorded: Vec<String> = sqlx::query_scalar(
        "SELECT reason FROM audit_log WHERE event_code = 'step_up.proved' AND result = 'failure'
         ORDER BY id",
    )
    .fetch_all(&world.superuser.core)
    .await
    .unwrap();
    let mut expected = vec!["wrong_password"; 5];
    expected.push("locked");
    assert_eq!(recorded, expected);
    let over = "UPDATE users SET locked_until = now() WHERE id = $1";
    world.superuser.update(over, world.chief.user_id).await;
    // A right one forgives the wrong ones before it.
    let proof = text(&world.give(&grant, right).await.expect(201), "proof");
    let failures =
        sqlx::query_scalar::<_, i32>("SELECT failed_sign_in_count FROM users WHERE id = $1");
    let failures = failures.bind(world.chief.user_id);
    assert_eq!(failures.fetch_one(&world.superuser.core).await.unwrap(), 0);
    world.send_with(&grant, &proof).await.expect(201);
    let stored = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM step_up_proofs");
    assert_eq!(stored.fetch_one(&world.superuser.core).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_is_one_thing() {
    let world = World::start().await;
    let grant = world.grant();
    for given in [
        json!({}),
        json!({ "code": "123456", "password": world.password }),
    ] {
        let refused = world.give(&grant, given).await.expect(422);
        assert_eq!(refused.code(), "code_or_password");
    }
    let given = json!({ "password": world.password });
    let hash = "a".repeat(64);
    for (field, method, path, hash) in [
        ("request.method", "post", "/api/v1/roles", hash.as_str()),
        ("request.path", "POST", "api/v1/roles", hash.as_str()),
        ("request.path", "POST", "/api/v1/roles?x=1", hash.as_str()),
        ("request.body_sha256", "POST", "/api/v1/roles", "abc"),
        (
            "request.body_sha256",
            "POST",
            "/api/v1/roles",
            &"A".repeat(64),
        ),
    ] {
        let request = json!({
            "operation": "request", "method": method, "path": path, "body_sha256": hash,
        });
        let refused = world
            .rest
            .ask_proof_of(&grant, &given, request)
            .await
            .expect(422);
        assert_eq!(refused.body["errors"][0]["field"], field, "{refused:?}");
    }
    let by_key = Call::new("POST", "/api/v1/roles").by(&bearer(&world.chief.secret));
    assert_eq!(
        world.give(&by_key, given).await.expect(422).code(),
        "no_session"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_second_factor_a_code_is_needed() {
    let world = World::start().await;
    let (by, codes) = world.with_factor().await;
    let body = json!({ "user_id": world.nobody, "role_id": world.role_id });
    let grant = Call::new("POST", super::ASSIGNMENTS).by(&by).body(body);
    let password = json!({ "password": world.password });
    refused(
        &world.give(&grant, password).await,
        "second_factor_required",
    );
    let unknown = json!({ "code": "aaaa-bbbb-cccc-dddd" });
    assert_eq!(
        world.give(&grant, unknown).await.expect(422).code(),
        "totp_code_invalid"
    );
    let code = codes.next();
    let proof = world
        .give(&grant, json!({ "code": code }))
        .await
        .expect(201);
    let again = world.give(&grant, json!({ "code": code })).await;
    assert!(
        !(200..300).contains(&again.status),
        "a code is good once: {again:?}"
    );
    world
        .send_with(&grant, &text(&proof, "proof"))
        .await
        .expect(201);
    assert_eq!(world.roles_of(world.nobody).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_takes_a_code_of_a_second_factor() {
    let world = World::start().await;
    let wish = |name: &str| {
        json!({
            "name": name, "subject": format!("CN={name}"), "key_algorithm": "ecdsa-p256",
            "validity_days": 30,
        })
    };
    let make = |by: &Credential, name: &str| Call::new("POST", AUTHORITIES).by(by).body(wish(name));
    let request = |name: &str| json!({ "operation": "create_certificate_authority", "certificate_authority": wish(name) });
    // Without a second factor there is no way but to enrol one.
    let told = world.rest.send(make(&world.by(), "One")).await;
    refused(&told, "step_up_required");
    assert!(told.text.contains("clm totp enrol"), "{told:?}");
    let password = json!({ "password": world.password });
    let asked = make(&world.by(), "One");
    let asked = world
        .rest
        .ask_proof_of(&asked, &password, request("One"))
        .await;
    refused(&asked, "step_up_required");
    assert!(asked.text.contains("clm totp enrol"), "{asked:?}");
    let key = bearer(&world.chief.secret);
    refused(
        &world.rest.send(make(&key, "One")).await,
        "step_up_required",
    );

    let (by, codes) = world.with_factor().await;
    let one = make(&by, "One");
    let proof = world.prove(&one, &codes.next(), request("One")).await;
    let proof = text(&proof.expect(201), "proof");
    refused(
        &world.send_with(&make(&by, "Two"), &proof).await,
        "step_up_invalid",
    );
    // A proof of the HTTP request is none for the Secure Service.
    let of_request = world.give(&one, json!({ "code": codes.next() })).await;
    let of_request = text(&of_request.expect(201), "proof");
    refused(&world.send_with(&one, &of_request).await, "step_up_invalid");
    let made = world.send_with(&one, &proof).await.expect(201);
    assert_eq!(made.body["name"], "One");
    refused(
        &world.send_with(&make(&by, "Three"), &proof).await,
        "step_up_invalid",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_leaves_with_a_code_or_by_a_key_that_names_it() {
    let world = World::start().await;
    let request = json!({
        "key_algorithm": "ecdsa-p256", "subject_alternative_names": ["DNS:kept.example"],
    });
    let call = Call::new("POST", "/api/v1/certificate-requests").by(&world.by());
    let issued = world.rest.send(call.body(request)).await.expect(201);
    let id = issued.id("/certificate/id");
    let path = format!("/api/v1/certificates/{id}/private-key-export");
    let body = json!({ "passphrase": "long enough for this" });
    let export = |by: &Credential| Call::new("POST", &path).by(by).body(body.clone());
    refused(
        &world.rest.send(export(&world.by())).await,
        "step_up_required",
    );
    let unscoped = world
        .superuser
        .insert_api_key(world.organization_id, world.chief.user_id, None);
    let unscoped = world.rest.send(export(&bearer(&unscoped.await.1))).await;
    refused(&unscoped, "step_up_required");
    assert!(unscoped.text.contains("private_key:export"), "{unscoped:?}");
    world
        .rest
        .send(export(&bearer(&world.chief.secret)))
        .await
        .expect(200);

    let (by, codes) = world.with_factor().await;
    let asked = json!({ "operation": "export_private_key", "certificate_id": id });
    let proof = world.prove(&export(&by), &codes.next(), asked).await;
    let proof = text(&proof.expect(201), "proof");
    world.send_with(&export(&by), &proof).await.expect(200);
    refused(
        &world.send_with(&export(&by), &proof).await,
        "step_up_invalid",
    );
}
