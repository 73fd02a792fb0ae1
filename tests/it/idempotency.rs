//! One idempotency key, one act: repeated at once, later, with another body, by somebody else.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clm_api_types::certificate_requests::CertificateRequestCreate;
use clm_api_types::client::Client;
use clm_tests::Program;
use clm_tests::databases::{Log, Superuser};
use clm_tests::rest::Answer;
use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{
    CERTIFICATE_AUTHORITIES, CERTIFICATE_REQUESTS, Requester, check_audit_hashes, fields, problem,
};

/// Requests at once.
const CONCURRENT: usize = 50;
/// How long answers that ask for patience may go on.
const PATIENCE: Duration = Duration::from_secs(60);
/// The path of making API keys.
const API_KEYS: &str = "/api/v1/api-keys";

/// Rows of an issuance in `clm_secure_db`, of the projection in `clm_core_db`, and of the event in
/// either log.
const ISSUED: [&str; 3] = [
    "SELECT count(*) FROM certificates",
    "SELECT count(*) FROM certificate_requests",
    "SELECT count(*) FROM private_keys",
];
const PROJECTED: &str = "SELECT count(*) FROM certificate_metadata";

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_act() {
    let program = Program::start();
    let databases = Superuser::of(&program);
    let requester = Requester::of(&program).await;
    fifty_at_once(&requester, &databases).await;
    two_bodies_at_once(&requester, &databases).await;
    another_principal(&program, &requester, &databases).await;
    after_a_refusal(&requester, &databases).await;
    secrets_are_shown_once(&requester, &databases).await;
    authorities_are_made_once(&Requester::operator(&program), &databases).await;
    keys_that_are_none(&requester, &databases).await;
    databases.settle().await;
    check_audit_hashes(&databases).await;
}

/// Fifty requests with one key: one certificate, and every answer is about it.
async fn fifty_at_once(requester: &Requester, databases: &Superuser) {
    let csr = clm_tests::openssl::csr(std::path::Path::new("/"), "once.example");
    let wishes = [
        ("with-a-csr", json!({ "csr": csr }), [1, 1, 0]),
        ("with-a-key-of-ours", own_key("once.example"), [1, 1, 1]),
    ];
    for (what, body, rows) in wishes {
        let before = issued(databases).await;
        let calls = (0..CONCURRENT).map(|_| until_settled(requester, &body, what));
        let answers = join_all(calls).await;
        let certificates: BTreeSet<&str> = answers
            .iter()
            .map(|answer| text(answer, "/certificate/id"))
            .collect();
        assert_eq!(certificates.len(), 1, "{what}: {certificates:?}");
        // The serial number shows that it is one certificate indeed, the request that it is one.
        for pointer in ["/certificate/certificate_pem", "/id"] {
            let different: BTreeSet<&str> =
                answers.iter().map(|answer| text(answer, pointer)).collect();
            assert_eq!(different.len(), 1, "{what}: {pointer}");
        }
        let after = issued(databases).await;
        let made = [0, 1, 2].map(|index| after[index] - before[index]);
        assert_eq!(made, rows, "{what}: certificates, requests, keys");
        assert_eq!(after[3] - before[3], 1, "{what}: projections");
        issued_once(databases, certificates.first().unwrap()).await;

        let again = requester.post_once(CERTIFICATE_REQUESTS, &body, what).await;
        assert_eq!(
            (again.status, &again.body),
            (201, &answers[0].body),
            "{what}: later"
        );
        let mut other = body.clone();
        other["tags"] = json!(["other"]);
        let answer = requester
            .post_once(CERTIFICATE_REQUESTS, &other, what)
            .await;
        is_reused(&answer);
        assert_eq!(
            issued(databases).await,
            after,
            "{what}: a repetition stored something"
        );
    }
}

/// Two bodies under one key, each twenty-five times at once: one of them wins.
async fn two_bodies_at_once(requester: &Requester, databases: &Superuser) {
    let before = issued(databases).await;
    let bodies = [own_key("first.example"), own_key("second.example")];
    let calls =
        (0..CONCURRENT).map(|number| until_settled(requester, &bodies[number % 2], "two-bodies"));
    let answers = join_all(calls).await;
    let (won, lost): (Vec<Answer>, Vec<Answer>) =
        answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((won.len(), lost.len()), (CONCURRENT / 2, CONCURRENT / 2));
    let ids: BTreeSet<&str> = won
        .iter()
        .map(|answer| text(answer, "/certificate/id"))
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    lost.iter().for_each(is_reused);
    assert_eq!(issued(databases).await[0], before[0] + 1);
}

/// The same key and body by another API key, a session, and the operator of the machine.
async fn another_principal(program: &Program, requester: &Requester, databases: &Superuser) {
    let before = issued(databases).await;
    let request = CertificateRequestCreate {
        key_algorithm: Some(clm_domain::key_algorithm::KeyAlgorithm::EcdsaP256),
        subject: Some("CN=shared.example".to_owned()),
        ..CertificateRequestCreate::default()
    };
    let body = serde_json::to_value(&request).unwrap();
    let mut ids = BTreeSet::new();
    for requester in [requester, &Requester::of(program).await] {
        let answer = requester
            .post_once(CERTIFICATE_REQUESTS, &body, "shared")
            .await;
        ids.insert(text(&answer, "/certificate/id").to_owned());
    }
    let socket = program.data_directory().join("clm.sock");
    let operator = Client::over_socket(&socket, Some("default".to_owned())).unwrap();
    for client in [program.sign_in().await, operator] {
        for _ in 0..2 {
            let created = client
                .request_certificate(&request, "shared")
                .await
                .unwrap();
            ids.insert(created.certificate.certificate.id.to_string());
        }
    }
    assert_eq!(ids.len(), 4, "each principal has a certificate of its own");
    assert_eq!(issued(databases).await[0], before[0] + 4);
}

/// A refused request leaves its key free.
async fn after_a_refusal(requester: &Requester, databases: &Superuser) {
    let before = issued(databases).await;
    for _ in 0..2 {
        let bad = json!({ "csr": "nonsense" });
        let answer = requester
            .post_once(CERTIFICATE_REQUESTS, &bad, "refused")
            .await;
        assert_eq!(problem(&answer).code, "csr_malformed");
    }
    assert_eq!(issued(databases).await, before);
    let body = own_key("refused.example");
    let answer = requester
        .post_once(CERTIFICATE_REQUESTS, &body, "refused")
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// Answers with a secret are given once; the repetition makes nothing.
async fn secrets_are_shown_once(requester: &Requester, databases: &Superuser) {
    let made = requester
        .post(CERTIFICATE_REQUESTS, &own_key("exported.example"))
        .await;
    let export = format!(
        "/api/v1/certificates/{}/private-key-export",
        text(&made, "/certificate/id")
    );
    let name = json!({ "name": "once" });
    let passphrase = json!({ "passphrase": "a passphrase of a test" });
    let exports = "SELECT coalesce(sum(export_count), 0)::bigint FROM private_keys";
    let keys = "SELECT count(*) FROM api_keys";
    let acts = [
        (API_KEYS, name, "/secret", (&databases.core, keys)),
        (
            export.as_str(),
            passphrase,
            "/encrypted_private_key_pem",
            (&databases.secure, exports),
        ),
    ];
    for (path, mut body, secret, (pool, statement)) in acts {
        let first = requester.post_once(path, &body, "secret").await;
        assert!((200..=201).contains(&first.status), "{first:?}");
        let count = count(pool, statement).await;
        let secret = text(&first, secret);
        for _ in 0..2 {
            let again = requester.post_once(path, &body, "secret").await;
            let found = problem(&again);
            assert_eq!(
                (found.status, found.code.as_str()),
                (409, "secret_already_shown")
            );
            assert!(!again.text.contains(secret));
        }
        let field = body.as_object().unwrap().keys().next().unwrap().clone();
        body[field] = json!("another text of a test");
        is_reused(&requester.post_once(path, &body, "secret").await);
        assert_eq!(
            self::count(pool, statement).await,
            count,
            "{path}: acted again"
        );
    }
}

/// A repetition gets the answer of the first request, word for word.
async fn authorities_are_made_once(requester: &Requester, databases: &Superuser) {
    let statement = "SELECT count(*) FROM issuers";
    let before = count(&databases.secure, statement).await;
    let mut body = json!({
        "name": "Once", "subject": "CN=Once", "key_algorithm": "ecdsa-p256", "validity_days": 30,
    });
    let first = requester
        .post_once(CERTIFICATE_AUTHORITIES, &body, "authority")
        .await;
    assert_eq!(first.status, 201, "{first:?}");
    let again = requester
        .post_once(CERTIFICATE_AUTHORITIES, &body, "authority")
        .await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    body["subject"] = json!("CN=Twice");
    is_reused(
        &requester
            .post_once(CERTIFICATE_AUTHORITIES, &body, "authority")
            .await,
    );
    assert_eq!(count(&databases.secure, statement).await, before + 1);
}

/// Keys that no program should send are refused by name, and nothing is done.
async fn keys_that_are_none(requester: &Requester, databases: &Superuser) {
    let before = issued(databases).await;
    let long = "x".repeat(256);
    for key in ["", "\"\"", "a b", "a\tb", "schlüssel", long.as_str()] {
        for path in [CERTIFICATE_REQUESTS, API_KEYS, CERTIFICATE_AUTHORITIES] {
            let answer = requester
                .post_once(path, &own_key("none.example"), key)
                .await;
            let problem = problem(&answer);
            assert_eq!(
                (problem.status, problem.code.as_str()),
                (422, "idempotency_key_invalid")
            );
            assert_eq!(fields(&problem), ["idempotency-key"], "{key:?}");
        }
    }
    assert_eq!(issued(databases).await, before);
    let longest = "x".repeat(255);
    let body = own_key("longest.example");
    let answer = requester
        .post_once(CERTIFICATE_REQUESTS, &body, &longest)
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// Repeats a request while the answer says that trying again may help.
async fn until_settled(requester: &Requester, body: &Value, key: &str) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = requester.post_once(CERTIFICATE_REQUESTS, body, key).await;
        let in_flight = answer.status == 409 && answer.code() == "idempotency_in_flight";
        if !in_flight && answer.status != 503 {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The key came with another body before.
fn is_reused(answer: &Answer) {
    let problem = problem(answer);
    assert_eq!(
        (problem.status, problem.code.as_str()),
        (422, "idempotency_key_reused")
    );
    assert_eq!(fields(&problem), ["idempotency-key"]);
}

/// One event about the certificate in each log.
async fn issued_once(databases: &Superuser, certificate_id: &str) {
    let id = Some(certificate_id.parse().unwrap());
    for log in [Log::Core, Log::Secure] {
        let events = databases.audit_log(log).await;
        let about = events.iter().filter(|(row, _)| row.resource_id == id);
        let codes: Vec<&str> = about.map(|(row, _)| row.event_code.as_str()).collect();
        assert_eq!(codes, ["certificate.issued"], "{}", log.table());
    }
}

fn own_key(host: &str) -> Value {
    json!({ "key_algorithm": "ecdsa-p256", "subject_alternative_names": [format!("DNS:{host}")] })
}

/// Certificates, requests, keys, and projections, once no event is under way.
async fn issued(databases: &Superuser) -> [i64; 4] {
    databases.settle().await;
    let mut counts = [0; 4];
    for (count, statement) in counts.iter_mut().zip(ISSUED) {
        *count = self::count(&databases.secure, statement).await;
    }
    counts[3] = count(&databases.core, PROJECTED).await;
    counts
}

async fn count(pool: &PgPool, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(pool).await.unwrap()
}

fn text<'a>(answer: &'a Answer, pointer: &str) -> &'a str {
    let found = answer.body.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no {pointer} in {answer:?}"))
}
