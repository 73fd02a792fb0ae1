//! Who has the file of a core gives commands as that core, and no others: what it claims beyond its
//! certificate is refused, what goes beyond limits too, and both are recorded.

use chrono::{SubsecRound as _, TimeDelta};
use clm_domain::actor::Actor;
use clm_domain::certificate_plan::{BasicConstraints, CertificatePlan, extended_key_usage};
use clm_domain::clock::Clock as _;
use clm_domain::error::ErrorKind;
use clm_domain::general_name::GeneralName;
use clm_domain::ids::{CertificateId, CertificateRequestId, OrganizationId, SYSTEM_ORGANIZATION};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::secret::SecretString;
use clm_domain::states::CertificateType;
use clm_pki::name::from_rfc4514;
use clm_secure_api::command::{
    ChangeIssuerLimits, CheckHealth, CreateCertificateAuthority, ExportPrivateKey, IssuanceContext,
    IssueCertificate, IssuerLimitsChange, KeySource, ListCertificateAuthorities, ResetTotp,
};
use clm_secure_api::reply::CertificateAuthority;
use clm_secure_api::{Caller, SecureClient};
use clm_tests::Apart;
use sqlx::PgPool;
use uuid::Uuid;

use super::visitor::{Stolen, context};
use crate::remote_transport::Now;

/// A paired core with authorities, and somebody who has its file.
struct Thief {
    /// What it was stolen from, which must go on running.
    _apart: Apart,
    core: Stolen,
    client: SecureClient,
    secure: PgPool,
    organization: OrganizationId,
}

impl Thief {
    async fn start() -> Self {
        let apart = Apart::start().await;
        apart.furnish().await;
        let core = Stolen::from(&apart.core);
        let secure = apart.databases().secure;
        let organization: Uuid =
            sqlx::query_scalar("SELECT organization_id FROM issuers WHERE name = 'Issuing'")
                .fetch_one(&secure)
                .await
                .unwrap();
        Self {
            client: SecureClient::new(std::sync::Arc::new(core.client())),
            _apart: apart,
            core,
            secure,
            organization: organization.into(),
        }
    }

    fn context(&self) -> clm_secure_api::CallContext {
        context(self.organization, Actor::System)
    }

    async fn issuing(&self) -> CertificateAuthority {
        let command = ListCertificateAuthorities {
            after: None,
            limit: 10,
        };
        let listed = self
            .client
            .list_certificate_authorities(self.context(), command);
        let mut found = listed.await.unwrap();
        found.retain(|one| one.name == "Issuing");
        found.remove(0)
    }

    async fn count(&self, statement: &'static str) -> i64 {
        sqlx::query_scalar(statement)
            .fetch_one(&self.secure)
            .await
            .unwrap()
    }

    async fn failures(&self, event: &str) -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM secure_audit_log WHERE event_code = $1 AND result = 'failure'",
        )
        .bind(event)
        .fetch_one(&self.secure)
        .await
        .unwrap()
    }
}

fn change(authority: &CertificateAuthority) -> IssuerLimitsChange {
    let mut limits = authority.limits.clone();
    limits.certificate_authority = true;
    IssuerLimitsChange {
        issuer_id: authority.issuer_id,
        limits,
        revision: authority.revision,
        reason: "a thief".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_claimed_beyond_the_certificate_is_refused_and_recorded() {
    let thief = Thief::start().await;
    let authority = thief.issuing().await;
    let mut bootstrap = context(SYSTEM_ORGANIZATION, Actor::System);
    bootstrap.caller = Caller::Bootstrap;
    let refused = thief.client.check_health(bootstrap, CheckHealth {}).await;
    assert_eq!(refused.unwrap_err().0.code, "caller_mismatch");

    let operator = || context(thief.organization, Actor::LocalOperator { uid: 0 });
    let reset = ResetTotp {
        user_id: Uuid::from_u128(2).into(),
        reason: "a thief".to_owned(),
    };
    let refused = thief.client.reset_totp(operator(), reset).await;
    assert_eq!(refused.unwrap_err().0.code, "caller_mismatch");
    let command = ChangeIssuerLimits {
        change: change(&authority),
        proof: None,
    };
    let refused = thief.client.change_issuer_limits(operator(), command).await;
    assert_eq!(refused.unwrap_err().0.code, "caller_mismatch");

    let recorded: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT details ->> 'command', details ->> 'peer', details ->> 'claimed_caller'
         FROM secure_audit_log WHERE event_code = 'command.refused' AND result = 'failure'
         ORDER BY event_timestamp, id",
    )
    .fetch_all(&thief.secure)
    .await
    .unwrap();
    let row = |command: &str, caller: &str| {
        let texts = [command, "core-1", caller].map(str::to_owned);
        <(String, String, String)>::from(texts)
    };
    let expected = [
        row("check_health", "bootstrap"),
        row("reset_totp", "core"),
        row("change_issuer_limits", "core"),
    ];
    assert_eq!(recorded, expected);
    assert_eq!(thief.issuing().await.limits, authority.limits);
    assert!(thief.core.is_served().await);
}

/// Without a proof nobody widens limits, not as the platform and not as a person.
#[tokio::test(flavor = "multi_thread")]
async fn limits_do_not_change_without_a_proof() {
    let thief = Thief::start().await;
    let authority = thief.issuing().await;
    let person = Actor::User {
        user_id: Uuid::from_u128(1).into(),
        session_id: Uuid::from_u128(1).into(),
    };
    for actor in [Actor::System, person] {
        let command = ChangeIssuerLimits {
            change: change(&authority),
            proof: None,
        };
        let by = context(thief.organization, actor);
        let refused = thief.client.change_issuer_limits(by, command).await;
        assert_eq!(refused.unwrap_err().0.code, "step_up_required");
    }
    assert_eq!(thief.failures("issuer_limits.changed").await, 2);
    assert_eq!(thief.issuing().await.limits, authority.limits);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_an_authority_does_not_leave() {
    let thief = Thief::start().await;
    let authority = thief.issuing().await;
    let id = Uuid::from_u128(1);
    // Which API keys may export, is for the core to say.
    let key = Actor::ApiKey {
        api_key_id: id.into(),
        user_id: id.into(),
    };
    let by = context(thief.organization, key);
    let refused = thief.client.export_private_key(by, export(&authority));
    let refused = refused.await.map(drop).unwrap_err().0;
    assert_eq!(refused.code, "private_key_not_exportable", "{refused:?}");
    assert_eq!(thief.failures("private_key.exported").await, 1);
    assert!(thief.core.is_served().await);
}

fn export(authority: &CertificateAuthority) -> ExportPrivateKey {
    ExportPrivateKey {
        certificate_id: authority.certificate_id,
        passphrase: SecretString::new(clm_tests::apart::PASSWORD.to_owned()),
        proof: None,
    }
}

/// An authority for `inside.example` alone, as somebody left it.
async fn narrow(thief: &Thief) -> CertificateAuthority {
    let mut limits = thief.issuing().await.limits;
    limits.names.dns_domains = Some(vec!["inside.example".to_owned()]);
    limits.extended_key_usage = vec![extended_key_usage::SERVER_AUTH.parse().unwrap()];
    limits.validity_seconds_max = 30 * 86_400;
    let limits = serde_json::to_value(&limits).unwrap();
    let narrowed = sqlx::query("UPDATE issuers SET limits = $1 WHERE name = 'Issuing'");
    let narrowed = narrowed.bind(limits).execute(&thief.secure).await.unwrap();
    assert_eq!(narrowed.rows_affected(), 1);
    thief.issuing().await
}

/// What makes another authority, below the one that issues.
fn another(authority: &CertificateAuthority) -> CreateCertificateAuthority {
    CreateCertificateAuthority {
        name: "Another".to_owned(),
        subject_der: from_rfc4514("CN=Another").unwrap(),
        parent_issuer_id: authority.parent_issuer_id,
        key_algorithm: KeyAlgorithm::EcdsaP256,
        signature_algorithm: KeyAlgorithm::EcdsaP256.default_signature(),
        validity_seconds: 30 * 86_400,
        path_length_max: None,
        limits: authority.limits.clone(),
        organization_ids: Vec::new(),
        proof: None,
    }
}

/// Without a proof nobody makes an authority or exports a key: not as the platform, as a person, or as the
/// operator of another machine, and an authority not with an API key either.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_sensitive_is_done_without_a_proof() {
    let thief = Thief::start().await;
    let authority = thief.issuing().await;
    let id = Uuid::from_u128(1);
    let person = Actor::User {
        user_id: id.into(),
        session_id: id.into(),
    };
    let key = Actor::ApiKey {
        api_key_id: id.into(),
        user_id: id.into(),
    };
    let operator = Actor::LocalOperator { uid: 0 };
    for (actor, code) in [
        (Actor::System, "step_up_required"),
        (person.clone(), "step_up_required"),
        (key, "step_up_required"),
        (operator.clone(), "caller_mismatch"),
    ] {
        let by = context(thief.organization, actor);
        let made = thief
            .client
            .create_certificate_authority(by, another(&authority));
        assert_eq!(made.await.unwrap_err().0.code, code);
    }
    for (actor, code) in [
        (Actor::System, "step_up_required"),
        (person, "step_up_required"),
        (operator, "caller_mismatch"),
    ] {
        let by = context(thief.organization, actor);
        let exported = thief.client.export_private_key(by, export(&authority));
        assert_eq!(exported.await.map(drop).unwrap_err().0.code, code);
    }
    assert_eq!(thief.failures("certificate_authority.created").await, 3);
    assert_eq!(thief.failures("private_key.exported").await, 2);
    let made = thief.count("SELECT count(*) FROM issuers WHERE name = 'Another'");
    assert_eq!(made.await, 0);
}

/// A certificate that the narrow authority may sign.
fn plan() -> CertificatePlan {
    let begin = Now.now().trunc_subsecs(0);
    let mut plan = CertificatePlan::end_entity(
        CertificateType::Server,
        from_rfc4514("CN=www.inside.example").unwrap(),
        Vec::new(),
        KeyAlgorithm::EcdsaP256,
        (begin, begin + TimeDelta::days(20)),
    );
    plan.key_usage.digital_signature = true;
    plan.extended_key_usage = vec![extended_key_usage::SERVER_AUTH.parse().unwrap()];
    plan.subject_alternative_names = vec![GeneralName::Dns("www.inside.example".to_owned())];
    plan
}

fn issue(
    authority: &CertificateAuthority,
    plan: CertificatePlan,
    number: u128,
) -> IssueCertificate {
    IssueCertificate {
        certificate_request_id: CertificateRequestId::from_uuid(Uuid::from_u128(number)),
        certificate_id: CertificateId::from_uuid(Uuid::from_u128(number)),
        issuer_id: authority.issuer_id,
        key_source: KeySource::Generate,
        plan,
        context: IssuanceContext::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_beyond_the_limits_is_signed() {
    let thief = Thief::start().await;
    let authority = narrow(&thief).await;
    let mut forged = vec![plan(); 5];
    forged[0].basic_constraints = Some(BasicConstraints {
        certificate_authority: true,
        path_length_max: None,
    });
    forged[1].extended_key_usage = vec![extended_key_usage::CLIENT_AUTH.parse().unwrap()];
    let outside = GeneralName::Dns("www.outside.example".to_owned());
    forged[2].subject_alternative_names.push(outside);
    forged[3].not_after += TimeDelta::days(20);
    forged[4].key_usage.key_cert_sign = true;

    let (certificates, keys) = (
        "SELECT count(*) FROM certificates",
        "SELECT count(*) FROM private_keys",
    );
    let before = (thief.count(certificates).await, thief.count(keys).await);
    for (number, plan) in (100..).zip(&forged) {
        let command = issue(&authority, plan.clone(), number);
        let refused = thief.client.issue_certificate(thief.context(), command);
        let refused = refused.await.map(drop).unwrap_err().0;
        assert_eq!(
            refused.kind,
            ErrorKind::PolicyViolation,
            "{number}: {refused:?}"
        );
    }
    assert_eq!(thief.failures("certificate.issuance_refused").await, 5);
    let after = (thief.count(certificates).await, thief.count(keys).await);
    assert_eq!(after, before);

    // The same without what was too much is signed.
    let command = issue(&authority, plan(), 200);
    let issued = thief.client.issue_certificate(thief.context(), command);
    issued.await.unwrap();
    assert_eq!(thief.count(certificates).await, before.0 + 1);
    assert!(thief.core.is_served().await);
}
