//! Secrets that are sealed for the core, second factors, and what takes one: the Secure Service on a
//! database of its own, with a clock that the test moves.

mod backup_codes;
mod command_line;
mod factors;
mod limits;
mod rotation;
mod step_up;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use clm_domain::actor::Actor;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{ApiKeyId, OrganizationId, SealedSecretId, SessionId, UserId};
use clm_domain::secret::{SecretBytes, SecretString};
use clm_domain::states::SecretPurpose;
use clm_secure_api::CallContext;
use clm_secure_api::command::{DestroySecret, OpenSecret, SealSecret, SignWebhook, StepUp};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::key_rotation::bench::Bench;

/// Who acts, in which session.
fn person(user: u128, session: u128) -> Actor {
    Actor::User {
        user_id: UserId::from_uuid(Uuid::from_u128(user)),
        session_id: SessionId::from_uuid(Uuid::from_u128(session)),
    }
}

fn api_key(user: u128) -> Actor {
    Actor::ApiKey {
        api_key_id: ApiKeyId::from_uuid(Uuid::from_u128(77)),
        user_id: UserId::from_uuid(Uuid::from_u128(user)),
    }
}

impl Bench {
    fn by(&self, organization_id: OrganizationId, actor: Actor) -> CallContext {
        CallContext {
            actor,
            ..self.context(organization_id)
        }
    }

    async fn seal(
        &self,
        organization_id: OrganizationId,
        (id, purpose): (u128, SecretPurpose),
        plaintext: &[u8],
    ) -> Result<SealedSecretId, Fault> {
        let command = SealSecret {
            sealed_secret_id: SealedSecretId::from_uuid(Uuid::from_u128(id)),
            purpose,
            owner_id: Uuid::from_u128(5),
            plaintext: SecretBytes::new(plaintext.to_vec()),
        };
        let sealed = self
            .client
            .seal_secret(self.context(organization_id), command);
        sealed.await.map_err(|error| error.0)
    }

    async fn open(&self, organization_id: OrganizationId, id: u128) -> Result<Vec<u8>, Fault> {
        let command = OpenSecret {
            sealed_secret_id: SealedSecretId::from_uuid(Uuid::from_u128(id)),
            reason: "a test".to_owned(),
        };
        let opened = self
            .client
            .open_secret(self.context(organization_id), command);
        let opened = opened.await.map_err(|error| error.0)?;
        Ok(opened.secret.expose().to_vec())
    }

    async fn sign(&self, organization_id: OrganizationId, id: u128) -> Result<String, Fault> {
        let command = SignWebhook {
            sealed_secret_id: SealedSecretId::from_uuid(Uuid::from_u128(id)),
            message_id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            timestamp: 1_614_265_330,
            body: br#"{"test": 2432232314}"#.to_vec(),
        };
        let signed = self
            .client
            .sign_webhook(self.context(organization_id), command);
        signed.await.map_err(|error| error.0)
    }

    /// Events of a kind with this result.
    async fn audited(&self, event: &str, result: &str) -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM secure_audit_log WHERE event_code = $1 AND result = $2",
        )
        .bind(event)
        .bind(result)
        .fetch_one(&self.admin)
        .await
        .unwrap()
    }

    async fn execute(&self, statement: &'static str) {
        let done = sqlx::query(statement).execute(&self.admin).await.unwrap();
        assert!(done.rows_affected() > 0, "no row: {statement}");
    }
}

/// What is sealed is there for its purpose and for no other, and once destroyed for none.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_serves_its_purpose_alone() {
    let bench = Bench::start().await;
    let (ours, theirs) = (bench.organization(0).await, bench.organization(0).await);
    let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let (webhook, connector) = ((1, SecretPurpose::Webhook), (2, SecretPurpose::Connector));
    bench.seal(ours, webhook, &secret).await.unwrap();
    bench
        .seal(ours, connector, b"a password elsewhere")
        .await
        .unwrap();

    // The example of the Standard Webhooks specification.
    let signature = bench.sign(ours, 1).await.unwrap();
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_eq!(bench.open(ours, 2).await.unwrap(), b"a password elsewhere");
    for refused in [
        bench.open(ours, 1).await.unwrap_err(),
        bench.sign(ours, 2).await.unwrap_err(),
    ] {
        assert_eq!(refused.code, "sealed_secret_purpose");
        assert_eq!(refused.kind, ErrorKind::PolicyViolation);
    }
    assert_eq!(bench.open(theirs, 2).await.unwrap_err().code, "not_found");
    assert_eq!(bench.sign(theirs, 1).await.unwrap_err().code, "not_found");
    assert_eq!(bench.audited("secret.opened", "success").await, 1);
    assert_eq!(bench.audited("secret.opened", "failure").await, 2);
    assert_eq!(bench.audited("webhook.signed", "failure").await, 2);
}

/// A repetition is none; another secret, or another organization, does not get the id.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_that_of_one_secret() {
    let bench = Bench::start().await;
    let (ours, theirs) = (bench.organization(0).await, bench.organization(0).await);
    let (webhook, connector) = ((1, SecretPurpose::Webhook), (2, SecretPurpose::Connector));
    bench.seal(ours, webhook, b"signs").await.unwrap();
    bench
        .seal(ours, connector, b"a password elsewhere")
        .await
        .unwrap();
    bench
        .seal(ours, connector, b"a password elsewhere")
        .await
        .unwrap();
    for (organization, (id, purpose), content) in [
        (
            ours,
            (2, SecretPurpose::Connector),
            b"another password....".as_slice(),
        ),
        (ours, (2, SecretPurpose::Webhook), b"a password elsewhere"),
        (
            theirs,
            (2, SecretPurpose::Connector),
            b"a password elsewhere",
        ),
    ] {
        let refused = bench.seal(organization, (id, purpose), content).await;
        assert_eq!(refused.unwrap_err().code, "sealed_secret_exists");
    }
    assert_eq!(bench.audited("secret.sealed", "success").await, 2);

    for (purpose, content, code) in [
        (SecretPurpose::Totp, vec![1; 20], "sealed_secret_purpose"),
        (SecretPurpose::Connector, Vec::new(), "secret_length"),
        (
            SecretPurpose::Connector,
            vec![1; 16 * 1_024 + 1],
            "secret_length",
        ),
    ] {
        let refused = bench.seal(ours, (3, purpose), &content).await.unwrap_err();
        assert_eq!(refused.code, code);
    }
    bench
        .seal(ours, (3, SecretPurpose::Connector), &vec![1; 16 * 1_024])
        .await
        .unwrap();

    for expected in [1, 1] {
        let command = DestroySecret {
            sealed_secret_id: SealedSecretId::from_uuid(Uuid::from_u128(2)),
        };
        bench
            .client
            .destroy_secret(bench.context(ours), command)
            .await
            .unwrap();
        assert_eq!(bench.audited("secret.destroyed", "success").await, expected);
    }
    assert_eq!(bench.open(ours, 2).await.unwrap_err().code, "not_found");
    let left: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sealed_secrets WHERE deleted_at IS NOT NULL
         AND encrypted_secret IS NOT NULL",
    )
    .fetch_one(&bench.admin)
    .await
    .unwrap();
    assert_eq!(left, 0);
}

/// A value that was moved or changed does not open; the log names its row.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_opens_only_where_it_was_sealed() {
    let bench = Bench::start().await;
    let organization = bench.organization(0).await;
    for id in 1..=4 {
        let place = (id, SecretPurpose::Connector);
        bench
            .seal(organization, place, b"the same for all")
            .await
            .unwrap();
    }
    bench
        .seal(organization, (5, SecretPurpose::Webhook), b"signs")
        .await
        .unwrap();
    let moved = "UPDATE sealed_secrets t SET encrypted_secret = s.encrypted_secret,
            encryption_iv = s.encryption_iv, encryption_auth_tag = s.encryption_auth_tag
        FROM sealed_secrets s
        WHERE t.id = '00000000-0000-0000-0000-000000000001'
            AND s.id = '00000000-0000-0000-0000-000000000002'";
    let flipped = "UPDATE sealed_secrets SET encrypted_secret = set_bit(encrypted_secret, 3,
            1 - get_bit(encrypted_secret, 3))
        WHERE id = '00000000-0000-0000-0000-000000000003'";
    let nonce = "UPDATE sealed_secrets SET encryption_iv = set_bit(encryption_iv, 0,
            1 - get_bit(encryption_iv, 0))
        WHERE id = '00000000-0000-0000-0000-000000000004'";
    // A secret that only signs must not be opened by calling it a connector's.
    let renamed = "UPDATE sealed_secrets SET purpose = 'connector'
        WHERE id = '00000000-0000-0000-0000-000000000005'";
    for statement in [moved, flipped, nonce, renamed] {
        bench.execute(statement).await;
    }
    for id in [1, 3, 4, 5] {
        let refused = bench.open(organization, id).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::KeyUnavailable, "{id}");
        let named: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM secure_audit_log WHERE event_code = 'secret.opened'
             AND result = 'failure' AND reason LIKE '%sealed_secrets.encrypted_secret of row '
                || $1 || '%'",
        )
        .bind(Uuid::from_u128(id).to_string())
        .fetch_one(&bench.admin)
        .await
        .unwrap();
        assert_eq!(named, 1, "{id}");
    }
    assert_eq!(
        bench.open(organization, 2).await.unwrap(),
        b"the same for all"
    );
}

/// So many secrets a minute, for each organization.
#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_secrets_are_opened_in_a_minute() {
    let bench = Bench::start().await;
    let (busy, quiet) = (bench.organization(0).await, bench.organization(0).await);
    bench
        .seal(busy, (1, SecretPurpose::Connector), b"one")
        .await
        .unwrap();
    bench
        .seal(quiet, (2, SecretPurpose::Connector), b"two")
        .await
        .unwrap();
    for _ in 0..60 {
        bench.open(busy, 1).await.unwrap();
    }
    let refused = bench.open(busy, 1).await.unwrap_err();
    assert_eq!(
        (refused.kind, refused.code.as_ref()),
        (ErrorKind::RateLimited, "open_rate_exceeded")
    );
    assert!(refused.retry_after_seconds.is_some());
    bench.open(quiet, 2).await.unwrap();
    bench.clock.advance(TimeDelta::seconds(61));
    bench.open(busy, 1).await.unwrap();
    assert_eq!(bench.audited("secret.opened", "success").await, 62);
}

/// Whatever is sealed is in no table in a form that anybody can read, nor is a proof.
#[tokio::test(flavor = "multi_thread")]
async fn no_table_holds_a_secret() {
    let bench = Bench::start().await;
    let organization = bench.organization(0).await;
    let device = bench.device(organization, 1).await;
    bench
        .seal(
            organization,
            (1, SecretPurpose::Webhook),
            b"planted: signs messages",
        )
        .await
        .unwrap();
    bench
        .seal(
            organization,
            (2, SecretPurpose::Connector),
            b"planted: signs in",
        )
        .await
        .unwrap();
    bench.sign(organization, 1).await.unwrap();
    bench.open(organization, 2).await.unwrap();
    let command = StepUp {
        code: SecretString::new(device.code(&bench)),
        request_sha256: [9; 32],
    };
    let context = bench.by(organization, person(1, 1));
    let proof = bench.client.step_up(context, command).await.unwrap();
    let proof = proof.proof.expose().to_owned();
    let random = proof.trim_start_matches("clmsu_").to_owned();
    let texts = ["planted: ", proof.as_str(), random.as_str()].map(str::to_owned);
    let bytes = [device.secret(), b"planted: ".as_slice(), proof.as_bytes()].map(hex::encode);

    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')",
    )
    .fetch_all(&bench.admin)
    .await
    .unwrap();
    let mut seen = 0;
    for table in tables {
        let statement = format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t");
        let content: String = sqlx::query_scalar(AssertSqlSafe(statement))
            .fetch_one(&bench.admin)
            .await
            .unwrap();
        seen += content.len();
        for planted in texts.iter().chain(&bytes) {
            assert!(!content.contains(planted), "{planted} is in {table}");
        }
    }
    assert!(seen > 1_000, "the tables were looked at");
}
