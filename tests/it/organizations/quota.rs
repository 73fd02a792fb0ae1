//! The quota of live certificates: exact, however many ask at once.

use clm_test_support::cluster;
use clm_tests::program::free_address;
use clm_tests::rest::{Answer, Call, Rest, bearer, operator_of};
use clm_tests::tenant::{self, Object};
use clm_tests::{Apart, Program};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{World, fields};

const REQUESTS: &str = "/api/v1/certificate-requests";
/// How many ask at once.
const CLIENTS: usize = 64;

/// An organization that has issued one certificate, with a quota.
struct Limited {
    world: World,
    tenant: tenant::Tenant,
}

impl Limited {
    async fn start(most: i64) -> Self {
        let world = World::start().await;
        let tenant = tenant::Tenant::fill(&world.program, "default").await;
        let this = Self { world, tenant };
        this.set(json!(most)).await;
        this
    }

    async fn set(&self, most: Value) {
        let id = self.tenant.organization_id;
        let revision: i64 = sqlx::query_scalar("SELECT revision FROM organizations WHERE id = $1")
            .bind(id)
            .fetch_one(&self.world.superuser.core)
            .await
            .unwrap();
        let body = json!({ "max_certificates": most });
        let changed = self.world.patch(&self.world.governor, id, revision, body);
        changed.await.expect(200);
    }

    fn call(&self, name: &str) -> Call {
        let body = json!({
            "key_algorithm": "ecdsa-p256",
            "certificate_authority_id": self.tenant.object(Object::CertificateAuthority),
            "subject_alternative_names": [format!("DNS:{name}.example")],
        });
        Call::new("POST", REQUESTS)
            .by(&self.tenant.key())
            .body(body)
    }

    async fn ask(&self, name: &str) -> Answer {
        self.world.rest.send(self.call(name)).await
    }

    /// Many ask at once. Returns how many got a certificate; all others were refused for the quota.
    async fn rush(&self, clients: usize) -> usize {
        let tasks: Vec<_> = (0..clients)
            .map(|client| {
                let (rest, call) = (self.world.rest.clone(), self.call(&format!("c{client}")));
                tokio::spawn(async move { rest.send(call).await })
            })
            .collect();
        let mut issued = 0;
        for task in tasks {
            let answer = task.await.unwrap();
            match answer.status {
                201 => issued += 1,
                _ => is_exceeded(&answer),
            }
        }
        issued
    }

    async fn live(&self) -> i64 {
        let path = format!("{}/{}", super::ORGANIZATIONS, self.tenant.organization_id);
        let shown = self.world.get(&self.tenant.key(), &path).await.expect(200);
        shown.body["certificate_count"].as_i64().unwrap()
    }

    /// Asks until there is a place again, which may take as long as a full quota is remembered.
    async fn ask_until_issued(&self, name: &str) {
        let begun = std::time::Instant::now();
        loop {
            let answer = self.ask(name).await;
            if answer.status == 201 {
                return;
            }
            is_exceeded(&answer);
            let waited = begun.elapsed();
            assert!(waited < clm_tests::databases::PATIENCE, "{answer:?}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

fn is_exceeded(answer: &Answer) {
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_eq!(answer.code(), "certificate_quota_exceeded", "{answer:?}");
}

async fn execute(limited: &Limited, statement: &'static str) -> u64 {
    let done = sqlx::query(statement)
        .bind(limited.tenant.organization_id)
        .execute(&limited.world.superuser.core)
        .await;
    done.unwrap().rows_affected()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_stop_at_the_quota() {
    let limited = Limited::start(41).await;
    assert_eq!(limited.live().await, 1, "authorities do not count");
    assert_eq!(limited.rush(CLIENTS).await, 40);
    assert_eq!(limited.live().await, 41);
    is_exceeded(&limited.ask("one-more").await);
    let refused = "SELECT count(*) FROM audit_log WHERE organization_id = $1
        AND event_code = 'certificate_request.refused' AND reason = 'certificate_quota_exceeded'";
    let refused: i64 = sqlx::query_scalar(refused)
        .bind(limited.tenant.organization_id)
        .fetch_one(&limited.world.superuser.core)
        .await
        .unwrap();
    assert_eq!(refused, 25, "each refusal is audited");
    // A quota that is raised holds at once, and not a place further.
    limited.set(json!(44)).await;
    assert_eq!(limited.rush(CLIENTS).await, 3);
    let revoke = "UPDATE certificate_metadata SET status = 'revoked' WHERE id = (
        SELECT id FROM certificate_metadata WHERE organization_id = $1
            AND certificate_type = 'server' LIMIT 1)";
    assert_eq!(execute(&limited, revoke).await, 1);
    limited.ask_until_issued("instead").await;
    is_exceeded(&limited.ask("no-more").await);
    limited.set(Value::Null).await;
    assert_eq!(limited.rush(8).await, 8);
    // Lowered below what there is: nothing is taken away, and nothing comes.
    limited.set(json!(10)).await;
    is_exceeded(&limited.ask("too-late").await);
    assert_eq!(limited.live().await, 52);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_issued_is_given_again() {
    let limited = Limited::start(2).await;
    let call = || limited.call("kept").header("idempotency-key", "kept");
    let first = limited.world.rest.send(call()).await.expect(201);
    is_exceeded(&limited.ask("another").await);
    let again = limited.world.rest.send(call()).await.expect(201);
    assert_eq!(again.id("/certificate/id"), first.id("/certificate/id"));
    assert_eq!(limited.live().await, 2);
}

/// What the request got no certificate for is there for another.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_takes_no_place() {
    let limited = Limited::start(2).await;
    let suspended = suspended_authority(&limited).await;
    for _ in 0..3 {
        let body = json!({
            "key_algorithm": "ecdsa-p256", "certificate_authority_id": suspended,
            "subject_alternative_names": ["DNS:refused.example"],
        });
        let call = Call::new("POST", REQUESTS).by(&limited.tenant.key());
        let refused = limited.world.rest.send(call.body(body)).await;
        assert_eq!(refused.expect(409).code(), "issuer_not_active");
    }
    let malformed = json!({ "csr": "none" });
    let malformed = Call::new("POST", REQUESTS)
        .by(&limited.tenant.key())
        .body(malformed);
    let malformed = limited.world.rest.send(malformed).await.expect(422);
    assert_eq!(fields(&malformed), ["csr"]);
    limited.ask("wanted").await.expect(201);
    is_exceeded(&limited.ask("beyond").await);
}

/// An authority that the Secure Service does not let sign.
async fn suspended_authority(limited: &Limited) -> Uuid {
    let (path, key) = ("/api/v1/certificate-authorities", limited.tenant.key());
    let id = limited.tenant.object(Object::CertificateAuthority);
    let present = limited.world.get(&key, &format!("{path}/{id}")).await;
    let body = json!({
        "name": "Suspended", "subject": "CN=Suspended", "key_algorithm": "ecdsa-p256",
        "parent_id": present.expect(200).body["parent_id"], "validity_days": 365,
        "path_length_max": 0,
    });
    let call = Call::new("POST", path).by(&operator_of("default"));
    let operator = Rest::of_operator(&limited.world.program);
    let made = operator.send(call.body(body)).await.expect(201);
    let suspend = "UPDATE issuers SET status = 'suspended' WHERE id = $1";
    let id = made.id("/id");
    let done = sqlx::query(suspend)
        .bind(id)
        .execute(&limited.world.superuser.secure);
    assert_eq!(done.await.unwrap().rows_affected(), 1);
    id
}

/// Places that another process holds count until its lease ends; organizations without a quota lease
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn leases_of_others_count_until_they_end() {
    let limited = Limited::start(6).await;
    let lease = "INSERT INTO certificate_quota_leases (organization_id, outstanding, expires_at)
        VALUES ($1, 5, now() + interval '1 hour')";
    execute(&limited, lease).await;
    is_exceeded(&limited.ask("held").await);
    let end = "UPDATE certificate_quota_leases SET expires_at = now() - interval '1 second'
        WHERE organization_id = $1 AND outstanding = 5";
    assert_eq!(execute(&limited, end).await, 1);
    limited.ask_until_issued("free").await;
    assert_eq!(limited.rush(16).await, 4);
    let other = "SELECT count(*) FROM certificate_quota_leases WHERE organization_id <> $1";
    let other: i64 = sqlx::query_scalar(other)
        .bind(limited.tenant.organization_id)
        .fetch_one(&limited.world.superuser.core)
        .await
        .unwrap();
    assert_eq!(other, 0, "organizations without a quota lease nothing");
    let organization_id: Uuid =
        sqlx::query_scalar("SELECT organization_id FROM certificate_quotas")
            .fetch_one(&limited.world.superuser.core)
            .await
            .unwrap();
    assert_eq!(organization_id, limited.tenant.organization_id);
}

/// Two processes on one database give out the places of one quota.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_a_quota() {
    let apart = Apart::start().await;
    let key = bearer(&apart.furnish().await);
    let second = second_core(&apart);
    let superuser = apart.databases();
    let limit = "UPDATE organizations SET max_certificates = 24, revision = revision + 1
        WHERE slug = 'default'";
    let done = sqlx::query(limit).execute(&superuser.core).await;
    assert_eq!(done.unwrap().rows_affected(), 1);
    let addresses = [apart.url.clone(), second.1.clone()];
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let rest = Rest::at(addresses[client % 2].clone());
            let body = json!({
                "key_algorithm": "ecdsa-p256",
                "subject_alternative_names": [format!("DNS:c{client}.example")],
            });
            let call = Call::new("POST", REQUESTS).by(&key).body(body);
            tokio::spawn(async move { rest.send(call).await })
        })
        .collect();
    let mut issued = 0;
    for task in tasks {
        let answer = task.await.unwrap();
        match answer.status {
            201 => issued += 1,
            _ => is_exceeded(&answer),
        }
    }
    assert_eq!(issued, 24);
}

/// Another core beside the first one, on the same database and Secure Service, and where it answers.
fn second_core(apart: &Apart) -> (Program, String) {
    let mut core = cluster::account().map_or_else(Program::prepare, Program::prepare_as);
    let address = free_address();
    core.environment.clone_from(&apart.core.environment);
    core.environment
        .retain(|(name, _)| name != "CLM_HTTP_LISTEN");
    let listen = ("CLM_HTTP_LISTEN".to_owned(), address.clone());
    core.environment.push(listen);
    let accepted = core.cli_with_settings(&["pair", "accept"], &apart.token("core-2"));
    assert!(accepted.status.success(), "{accepted:?}");
    core.serve();
    (core, format!("http://{address}"))
}
