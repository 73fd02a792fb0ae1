//! Uses the program so that secrets of every kind pass through it.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clm_api_types::client::{Client, ClientOptions, Credential as Credentials};
use clm_api_types::sessions::SessionCreate;
use clm_domain::secret::SecretString;
use clm_tests::Program;
use clm_tests::databases::PATIENCE;
use clm_tests::openssl;
use clm_tests::rest::{
    Answer, Call, Credential, NOBODY, Rest, bearer, goes_on, signed_in, with_new_token,
};
use serde_json::{Value, json};

use super::keys;
use crate::support::authenticator::Authenticator;

/// Something to look for.
#[derive(Clone, Debug)]
pub(super) struct Plant {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// What was planted.
#[derive(Default)]
pub(super) struct Planted {
    pub(super) secrets: Vec<Plant>,
    /// What is no secret and must be found.
    pub(super) controls: Vec<Plant>,
}

impl Planted {
    pub(super) fn secret(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.secrets.push(Plant {
            name: name.into(),
            bytes: bytes.into(),
        });
    }

    fn control(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.controls.push(Plant {
            name: name.to_owned(),
            bytes: bytes.into(),
        });
    }
}

/// A text that is nowhere by chance.
fn text(what: &str) -> String {
    let digest = clm_pki::key::spki_sha256(what.as_bytes());
    let random = URL_SAFE_NO_PAD.encode(&digest[..15]);
    format!("{random}-{what}").replace(['-', '_', ' '], "x")
}

pub(super) async fn plant(program: &Program, rest: &Rest, first_password: String) -> Planted {
    let mut planted = Planted::default();
    planted.secret("the bootstrap password", first_password.as_str());
    let session = sessions(rest, &mut planted, &first_password).await;
    let key = api_keys(rest, &mut planted, (&session, &first_password)).await;
    over_https(program, &planted, &first_password).await;
    mistakes(rest, &mut planted, &key).await;
    certificates(program, rest, &mut planted, &key).await;
    for algorithm in ["rsa-2048", "ecdsa-p256", "ecdsa-p384", "ed25519"] {
        made_keys(rest, &mut planted, (&key, algorithm)).await;
    }
    let session = factors(rest, &mut planted, &session).await;
    change_password(rest, &mut planted, &session, &first_password).await;
    forgotten(program, &first_password).await;
    planted
}

/// A second factor, and the proof that a code of it gives. The session that goes on with it.
async fn factors(rest: &Rest, planted: &mut Planted, session: &Credential) -> Credential {
    let enrol = Call::new("POST", "/api/v1/users/me/totp").by(session);
    let enrolled = rest.send(enrol).await.expect(201);
    let uri = enrolled.body["uri"].as_str().expect("an address");
    let device = Authenticator::read(uri);
    planted.secret("the secret of a second factor", device.secret());
    let shared = uri.split("secret=").nth(1).expect("a secret");
    planted.secret(
        "the secret of a second factor, typed",
        &shared.as_bytes()[..32],
    );
    let now = chrono::DateTime::parse_from_rfc3339(
        enrolled.body["expires_at"].as_str().expect("a moment"),
    );
    // It waits ten minutes for its first code.
    let now = now.expect("a moment").timestamp() - 600;
    let code = json!({ "code": device.code_at(now) });
    let activated = post(rest, session, "/api/v1/users/me/totp/activate", code)
        .await
        .expect(200);
    let codes = activated.body["backup_codes"].as_array().expect("codes");
    for code in codes.iter().filter_map(Value::as_str) {
        planted.secret("a backup code", code);
        planted.secret(
            "a backup code, as it is hashed",
            code.to_uppercase().replace('-', ""),
        );
    }
    let renewed = goes_on(&activated);
    planted.secret("the token of a renewed session", renewed.token.as_str());
    planted.secret(
        "the CSRF token of a renewed session",
        renewed.csrf_token.as_str(),
    );
    let session = &renewed.credential();
    let limits = json!({
        "certificate_authority": false, "end_entities": true, "extended_key_usage": [],
        "key_algorithms": ["ecdsa-p256"], "validity_seconds_max": 86_400,
        "names": { "directory_names": false, "registered_ids": false },
        "issuances_per_minute_max": null,
    });
    let request = json!({
        "operation": "change_issuer_limits", "revision": 1, "limits": limits, "reason": "planted",
        "certificate_authority_id": "01890a5d-ac96-774b-bcce-b302099a8057",
    });
    let body = json!({ "code": device.code_at(now + 30), "request": request });
    let proved = post(rest, session, "/api/v1/step-up", body)
        .await
        .expect(201);
    let proof = proved.body["proof"].as_str().expect("a proof").to_owned();
    planted.secret("a step-up proof", proof.trim_start_matches("clmsu_"));
    let path = "/api/v1/certificate-authorities/01890a5d-ac96-774b-bcce-b302099a8057/limits";
    let put = Call::new("PUT", path)
        .by(session)
        .header("if-match", "\"1\"");
    let put = put.header("clm-step-up", &proof);
    let put = put.body(json!({ "limits": limits, "reason": "planted" }));
    rest.send(put).await.expect(404);
    renewed.credential()
}

/// Waits until `bootstrap.json` no longer holds the password that was changed.
async fn forgotten(program: &Program, password: &str) {
    let begun = Instant::now();
    let path = program.data_directory().join("bootstrap.json");
    while std::fs::read_to_string(&path)
        .expect("the file stays")
        .contains(password)
    {
        assert!(
            begun.elapsed() < PATIENCE,
            "bootstrap.json keeps the password"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn post(rest: &Rest, credential: &Credential, path: &str, body: Value) -> Answer {
    rest.send(Call::new("POST", path).by(credential).body(body))
        .await
}

fn sign_in(username: &str, password: &str) -> Value {
    json!({ "username": username, "password": password, "organization": "default" })
}

/// Signs in well and badly.
async fn sessions(rest: &Rest, planted: &mut Planted, password: &str) -> Credential {
    let (wrong, typed) = (text("a wrong password"), text("a password typed as a name"));
    let path = "/api/v1/sessions";
    post(rest, &NOBODY, path, sign_in("admin", &wrong))
        .await
        .expect(401);
    post(rest, &NOBODY, path, sign_in(&typed, &typed))
        .await
        .expect(401);
    let key = text("the key of a sign-in");
    let call = Call::new("POST", path).header("idempotency-key", &key);
    let made = signed_in(
        &rest
            .send(call.body(sign_in("admin", password)))
            .await
            .expect(201),
    );
    planted.secret("a wrong password", wrong);
    planted.secret("a password typed as a name", typed);
    planted.secret("the idempotency key of a sign-in", key);
    for (name, token) in [
        ("a session token", &made.token),
        ("a CSRF token", &made.csrf_token),
    ] {
        planted.secret(name, token.as_str());
        let bytes = URL_SAFE_NO_PAD.decode(token).expect("a token is Base64");
        planted.secret(format!("the bytes of {name}"), bytes);
    }
    made.credential()
}

/// A key that names all rights, so that it exports keys; and the proof that making it took.
async fn api_keys(
    rest: &Rest,
    planted: &mut Planted,
    (session, password): (&Credential, &str),
) -> Credential {
    let key = text("the key of an API key");
    let who = Call::new("GET", "/api/v1/whoami").by(session);
    let who = rest.send(who).await.expect(200);
    let call = Call::new("POST", "/api/v1/api-keys")
        .by(session)
        .header("idempotency-key", &key)
        .body(json!({ "name": "planted", "scopes": who.body["permissions"] }));
    let given = json!({ "password": password });
    let proved = rest.ask_proof(&call, &given).await.expect(201);
    let proof = proved.body["proof"].as_str().expect("a proof").to_owned();
    planted.secret(
        "a step-up proof of the core",
        proof.trim_start_matches("clmsu_"),
    );
    let made = rest.send(call.header("clm-step-up", &proof)).await;
    let made = made.expect(201);
    let secret = made.body["secret"]
        .as_str()
        .expect("a new key is shown")
        .to_owned();
    planted.secret("the idempotency key of an API key", key);
    planted.secret("an API key", secret.as_str());
    bearer(&secret)
}

/// The same credentials over TLS and HTTP/2, whose layers have logs of their own.
async fn over_https(program: &Program, planted: &Planted, password: &str) {
    let root = std::fs::read(program.bootstrap_text("ca_certificate")).expect("the root is there");
    let options = ClientOptions {
        root_certificates_pem: Some(root),
    };
    let url = program.bootstrap_text("https_url");
    let client =
        |credential| Client::over_network(&url, credential, &options).expect("a client is made");
    let secret = |name: &str| {
        let plant = planted
            .secrets
            .iter()
            .find(|plant| plant.name == name)
            .expect("it is planted");
        String::from_utf8(plant.bytes.clone()).expect("it is text")
    };
    let key = client(Credentials::ApiKey(secret("an API key")));
    key.who_am_i().await.expect("the key is good");
    let session = Credentials::Session {
        token: secret("a session token"),
        csrf_token: secret("a CSRF token"),
    };
    client(session)
        .who_am_i()
        .await
        .expect("the session is good");
    let sign_in = SessionCreate {
        username: "admin".to_owned(),
        password: password.to_owned(),
        organization: None,
    };
    client(Credentials::None)
        .sign_in(&sign_in)
        .await
        .expect("the password is good");
}

/// Secrets where they do not belong.
async fn mistakes(rest: &Rest, planted: &mut Planted, key: &Credential) {
    let (bad, query, field) = (
        text("a bad key"),
        text("in a query"),
        text("in another field"),
    );
    let who = |query: &str| Call::new("GET", &format!("/api/v1/whoami{query}"));
    rest.send(who("").by(&bearer(&bad))).await.expect(401);
    rest.send(who(&format!("?access_token={query}")).by(key))
        .await
        .expect(200);
    let requests = "/api/v1/certificate-requests";
    post(rest, key, requests, json!({ "validity_seconds": field }))
        .await
        .expect(400);
    post(rest, key, requests, json!({ &field: field }))
        .await
        .expect(400);
    post(rest, key, requests, json!({ "csr": field }))
        .await
        .expect(422);
    planted.secret("a bad API key", bad);
    planted.secret("a token in a query", query);
    planted.secret("a secret in another field", field);
}

/// A certificate whose names and fingerprint must be found.
async fn certificates(program: &Program, rest: &Rest, planted: &mut Planted, key: &Credential) {
    let host = "to-be-found-by-the-search.example";
    let path = "/api/v1/certificate-requests";
    let csr = openssl::csr(program.directory.path(), host);
    let issued = post(rest, key, path, json!({ "csr": csr }))
        .await
        .expect(201);
    let fingerprint = issued.body["certificate"]["fingerprint_sha256"].as_str();
    let fingerprint = hex::decode(fingerprint.expect("there is one")).expect("it is hexadecimal");
    planted.control("the subject", host);
    planted.control("the fingerprint", fingerprint);
    planted.control("the path", path);
}

/// A key that the platform makes, and that leaves it once.
async fn made_keys(rest: &Rest, planted: &mut Planted, (key, algorithm): (&Credential, &str)) {
    let request = json!({
        "key_algorithm": algorithm,
        "subject_alternative_names": [format!("DNS:{algorithm}.example")],
    });
    let idempotency_key = text(&format!("the key of a request with {algorithm}"));
    let call = Call::new("POST", "/api/v1/certificate-requests").by(key);
    let call = call
        .header("idempotency-key", &idempotency_key)
        .body(request);
    let id = rest.send(call).await.expect(201).id("/certificate/id");
    let passphrase = text(&format!("a passphrase for {algorithm}"));
    let path = format!("/api/v1/certificates/{id}/private-key-export");
    let exported = post(rest, key, &path, json!({ "passphrase": passphrase }))
        .await
        .expect(200);
    let pem = exported.body["encrypted_private_key_pem"]
        .as_str()
        .expect("a key leaves");
    let secret = SecretString::new(passphrase.clone());
    let pkcs8 = clm_pki::pkcs8::decrypt(pem.as_bytes(), &secret).expect("the passphrase opens it");
    keys::private_parts(
        pkcs8.expose(),
        &format!("the exported {algorithm} key"),
        planted,
    );
    planted.secret(
        format!("the passphrase of an export of {algorithm}"),
        passphrase,
    );
    planted.secret(
        format!("the idempotency key of {algorithm}"),
        idempotency_key,
    );
}

async fn change_password(rest: &Rest, planted: &mut Planted, session: &Credential, old: &str) {
    let new = text("the new password");
    let path = "/api/v1/users/me/password";
    let body = json!({ "current_password": old, "new_password": new });
    let changed = post(rest, session, path, body).await.expect(204);
    planted.secret("the new password", new);
    for (name, value) in with_new_token(session, &changed) {
        if name == "cookie" {
            let token = value.split_once('=').expect("it has a name").1;
            planted.secret("the token after a new password", token);
        }
    }
}
