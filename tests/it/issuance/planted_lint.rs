//! A plan within every limit whose certificate would break a standard: linting stops it before the
//! signature. The core never plans such a thing, so the plan is handed to the Secure Service itself.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use clm_database::pool::Database;
use clm_database::{Pool, PoolOptions};
use clm_domain::actor::Actor;
use clm_domain::certificate_plan::{CertificatePlan, CertificatePolicy, extended_key_usage};
use clm_domain::error::ErrorKind;
use clm_domain::general_name::GeneralName;
use clm_domain::ids::{
    CertificateId, CertificateRequestId, IssuerId, RequestId, SYSTEM_ORGANIZATION,
};
use clm_domain::issuer_limits::{IssuerLimits, NameLimits, judge};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::states::CertificateType;
use clm_pki::csr::build_request;
use clm_pki::key::PrivateKey;
use clm_pki::name::from_rfc4514;
use clm_secure::{DATA_KEY_SEALS_MAX, MasterKeySources, Secure, SecureOptions};
use clm_secure_api::command::{
    CreateCertificateAuthority, IssuanceContext, IssueCertificate, KeySource,
};
use clm_secure_api::{CallContext, Caller, SecureClient};
use clm_test_support::{ManualClock, SeededRng, TestCluster};
use sqlx::PgPool;
use uuid::Uuid;

/// A certificate policy that the issuer may sign.
const POLICY: &str = "1.2.3.4";
/// Rows that an issuance would leave.
const LEFT_BEHIND: &str = "SELECT (SELECT count(*) FROM certificates)
    + (SELECT count(*) FROM certificate_requests) + (SELECT count(*) FROM private_keys)
    + (SELECT count(*) FROM outbox)";
/// The refusals on record.
const REFUSALS: &str = "SELECT details ->> 'code', resource_id, request_id FROM secure_audit_log
    WHERE event_code = 'certificate.issuance_refused' AND result = 'failure' ORDER BY resource_id";

/// The Secure Service on a database of its own.
struct Bench {
    client: SecureClient,
    admin: PgPool,
    now: DateTime<Utc>,
    issuer_id: IssuerId,
    limits: IssuerLimits,
    rng: Arc<SeededRng>,
    _cluster: TestCluster,
}

/// A planted fault, and the lint that finds it.
type Fault = (fn(&mut CertificatePlan), &'static str);

const FAULTS: [Fault; 4] = [
    (
        |plan| {
            plan.certificate_policies = vec![CertificatePolicy {
                policy_id: POLICY.parse().unwrap(),
                cps_uris: Vec::new(),
                user_notice: Some("x".repeat(201)),
            }];
        },
        "e_rfc5280_explicit_text",
    ),
    (
        |plan| plan.crl_distribution_points = vec!["no address".to_owned()],
        "e_rfc5280_distribution_point_uri",
    ),
    (
        |plan| plan.authority_information_access.ocsp = vec!["ftp://ocsp.example/".to_owned()],
        "e_rfc5280_access_location_uri",
    ),
    (
        |plan| plan.key_usage.key_encipherment = true,
        "e_rfc8813_key_usage_fits_key",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_lint_error_stops_signing() {
    let bench = Bench::start().await;
    let before = bench.left_behind().await;
    let mut request_ids = Vec::new();
    for (number, (plant, lint)) in FAULTS.iter().enumerate() {
        for with_csr in [false, true] {
            let (mut plan, key_source) = bench.plan(with_csr);
            plant(&mut plan);
            assert!(
                judge(&plan, &bench.limits, &["planted.example"]).is_empty(),
                "{lint}: the limits object already"
            );
            let command = bench.command(plan, key_source);
            let request_id = command.certificate_request_id.as_uuid();
            let refused = bench
                .client
                .issue_certificate(bench.context(), command)
                .await;
            let fault = refused.expect_err(lint).0;
            assert_eq!(fault.kind, ErrorKind::PolicyViolation, "{number}: {fault}");
            assert_eq!(fault.code, "lint_failed", "{lint}: {fault}");
            let fields: Vec<&str> = fault
                .violations
                .iter()
                .map(|violation| violation.field.as_str())
                .collect();
            assert_eq!(fields, [*lint], "{fault}");
            request_ids.push(request_id);
        }
    }
    assert_eq!(
        bench.left_behind().await,
        before,
        "a refused certificate left a row"
    );
    let refusals: Vec<(String, Uuid, Uuid)> = sqlx::query_as(REFUSALS)
        .fetch_all(&bench.admin)
        .await
        .unwrap();
    request_ids.sort_unstable();
    let expected: Vec<(String, Uuid, Uuid)> = request_ids
        .iter()
        .map(|id| {
            (
                "lint_failed".to_owned(),
                *id,
                bench.context().request_id.as_uuid(),
            )
        })
        .collect();
    assert_eq!(refusals, expected, "one event for each refusal");

    // The same plan without a fault is signed: request, certificate, key and event.
    let (plan, key_source) = bench.plan(false);
    let command = bench.command(plan, key_source);
    bench
        .client
        .issue_certificate(bench.context(), command)
        .await
        .unwrap();
    assert_eq!(bench.left_behind().await, before + 4);
}

impl Bench {
    async fn start() -> Self {
        let cluster = TestCluster::start().await;
        let (connect, _) = cluster.init(Database::Secure).await;
        let admin = PgPool::connect_lazy_with(cluster.admin("clm_secure_db"));
        // The log has partitions for the present only, so the clock stands there.
        let now: DateTime<Utc> = sqlx::query_scalar("SELECT now()")
            .fetch_one(&admin)
            .await
            .unwrap();
        let rng = Arc::new(SeededRng::new(7));
        let secure = Secure::open(SecureOptions {
            pool: Pool::new(Database::Secure, connect, &PoolOptions::default()),
            master_key: MasterKeySources::file(cluster.directory().join("master.key")),
            clock: Arc::new(ManualClock::at(now)),
            rng: Arc::clone(&rng) as _,
            relay_delay: std::time::Duration::ZERO,
            rsa_keys_ahead: 0,
            data_key_seals_max: DATA_KEY_SEALS_MAX,
        });
        let client = SecureClient::new(Arc::new(secure.await.unwrap()));
        let limits = limits();
        let issuer_id = make_issuer(&client, &limits, now).await;
        Self {
            client,
            admin,
            now,
            issuer_id,
            limits,
            rng,
            _cluster: cluster,
        }
    }

    fn context(&self) -> CallContext {
        context(self.now)
    }

    async fn left_behind(&self) -> i64 {
        sqlx::query_scalar(LEFT_BEHIND)
            .fetch_one(&self.admin)
            .await
            .unwrap()
    }

    /// A plan without a fault, with a key made here or one that the requester holds.
    fn plan(&self, with_csr: bool) -> (CertificatePlan, KeySource) {
        let begin = self.now.with_nanosecond(0).unwrap();
        let names = vec![GeneralName::Dns("planted.example".to_owned())];
        let subject_der = from_rfc4514("CN=planted.example").unwrap();
        let (public_key, key_source) = if with_csr {
            let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
            let der = build_request(&subject_der, &names, &key).unwrap();
            let public_key = key.subject_public_key_info().to_vec();
            (public_key, KeySource::CertificationRequest { der })
        } else {
            (Vec::new(), KeySource::Generate)
        };
        let mut plan = CertificatePlan::end_entity(
            CertificateType::Server,
            subject_der,
            public_key,
            KeyAlgorithm::EcdsaP256,
            (begin, begin + TimeDelta::days(1)),
        );
        plan.key_usage.digital_signature = true;
        plan.extended_key_usage = vec![extended_key_usage::SERVER_AUTH.parse().unwrap()];
        plan.subject_alternative_names = names;
        (plan, key_source)
    }

    fn command(&self, plan: CertificatePlan, key_source: KeySource) -> IssueCertificate {
        let rng = self.rng.as_ref();
        IssueCertificate {
            certificate_request_id: CertificateRequestId::generate(self.now, rng),
            certificate_id: CertificateId::generate(self.now, rng),
            issuer_id: self.issuer_id,
            key_source,
            plan,
            context: IssuanceContext::default(),
        }
    }
}

fn context(now: DateTime<Utc>) -> CallContext {
    CallContext {
        caller: Caller::Core,
        actor: Actor::System,
        organization_id: SYSTEM_ORGANIZATION,
        request_id: RequestId::from_uuid(Uuid::from_u128(7)),
        idempotency_key: None,
        deadline: now + TimeDelta::minutes(1),
    }
}

/// Limits that allow end entities with any names.
fn limits() -> IssuerLimits {
    IssuerLimits {
        certificate_authority: false,
        end_entities: true,
        extended_key_usage: vec![extended_key_usage::SERVER_AUTH.parse().unwrap()],
        key_algorithms: KeyAlgorithm::ALL.to_vec(),
        validity_seconds_max: 100 * 86_400,
        names: NameLimits::default(),
        issuances_per_minute_max: None,
        certificate_policies: vec![POLICY.parse().unwrap()],
        other_extensions: Vec::new(),
    }
}

/// A self-signed authority that signs end entities itself.
async fn make_issuer(client: &SecureClient, limits: &IssuerLimits, now: DateTime<Utc>) -> IssuerId {
    let command = CreateCertificateAuthority {
        name: "Issuer".to_owned(),
        subject_der: from_rfc4514("CN=Issuer").unwrap(),
        parent_issuer_id: None,
        key_algorithm: KeyAlgorithm::EcdsaP256,
        signature_algorithm: KeyAlgorithm::EcdsaP256.default_signature(),
        validity_seconds: 1_000 * 86_400,
        path_length_max: None,
        limits: limits.clone(),
        organization_ids: Vec::new(),
        proof: None,
    };
    // The bootstrap of an installation makes authorities without a code.
    let bootstrap = CallContext {
        caller: Caller::Bootstrap,
        ..context(now)
    };
    let made = client
        .create_certificate_authority(bootstrap, command)
        .await;
    made.unwrap().issuer_id
}
