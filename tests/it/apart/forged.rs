//! Commands of a core that was taken over: they do not go beyond what the Secure Service itself permits,
//! and it records them.

use chrono::{TimeDelta, Timelike as _};
use clm_domain::actor::Actor;
use clm_domain::certificate_plan::{BasicConstraints, CertificatePlan, extended_key_usage};
use clm_domain::clock::Clock as _;
use clm_domain::general_name::GeneralName;
use clm_domain::ids::{
    CertificateId, CertificateRequestId, OrganizationId, SYSTEM_ORGANIZATION, UserId,
};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::secret::SecretString;
use clm_domain::states::CertificateType;
use clm_pki::name::from_rfc4514;
use clm_secure_api::command::IssuanceContext;
use clm_secure_api::command::{
    ChangeIssuerLimits, Command, ExportPrivateKey, IssueCertificate, IssuerLimitsChange, KeySource,
    ListCertificateAuthorities, ResetTotp, Unseal,
};
use clm_secure_api::remote::client::RemoteSecure;
use clm_secure_api::reply::{CertificateAuthority, Reply};
use clm_secure_api::{CallContext, Caller};
use clm_tests::Apart;
use sqlx::Row as _;

use super::peer::{Credential, Now, Random, ask, context};

/// A core with two authorities, and somebody with its certificate.
struct TakenOver {
    apart: Apart,
    peer: RemoteSecure,
    issuing: CertificateAuthority,
}

impl TakenOver {
    async fn start() -> Self {
        let apart = Apart::start().await;
        apart.furnish().await;
        let peer = Credential::of_core(&apart).client(&apart);
        let list = Command::ListCertificateAuthorities(ListCertificateAuthorities {
            after: None,
            limit: 10,
        });
        let organization = organization(&apart).await;
        let found = ask(&peer, context(organization), list).await.unwrap();
        let Reply::CertificateAuthorities(found) = found else {
            panic!("{found:?}");
        };
        let issuing = found.into_iter().find(|one| one.name == "Issuing");
        Self {
            apart,
            peer,
            issuing: issuing.unwrap(),
        }
    }

    fn context(&self) -> CallContext {
        context(self.issuing.organization_id)
    }

    /// A plan without a fault for a key that the service makes.
    fn plan(&self) -> CertificatePlan {
        let begin = Now.now().with_nanosecond(0).unwrap();
        let mut plan = CertificatePlan::end_entity(
            CertificateType::Server,
            from_rfc4514("CN=forged.example").unwrap(),
            Vec::new(),
            KeyAlgorithm::EcdsaP256,
            (begin, begin + TimeDelta::days(1)),
        );
        plan.key_usage.digital_signature = true;
        plan.extended_key_usage = vec![extended_key_usage::SERVER_AUTH.parse().unwrap()];
        plan.subject_alternative_names = vec![GeneralName::Dns("forged.example".to_owned())];
        plan
    }

    async fn issue(&self, plan: CertificatePlan) -> Result<Reply, String> {
        let command = IssueCertificate {
            certificate_request_id: CertificateRequestId::generate(Now.now(), &Random),
            certificate_id: CertificateId::generate(Now.now(), &Random),
            issuer_id: self.issuing.issuer_id,
            key_source: KeySource::Generate,
            plan,
            context: IssuanceContext::default(),
        };
        let command = Command::IssueCertificate(Box::new(command));
        ask(&self.peer, self.context(), command).await
    }

    async fn certificates(&self) -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM certificates");
        count
            .fetch_one(&self.apart.databases().secure)
            .await
            .unwrap()
    }

    /// How often the Secure Service recorded a refusal with this code.
    async fn recorded(&self, event: &str, code: &str) -> i64 {
        let rows = sqlx::query(
            "SELECT count(*) AS found FROM secure_audit_log
             WHERE event_code = $1 AND details ->> 'code' = $2 AND result <> 'success'",
        );
        let rows = rows.bind(event).bind(code);
        let row = rows.fetch_one(&self.apart.databases().secure).await;
        row.unwrap().get("found")
    }
}

async fn organization(apart: &Apart) -> OrganizationId {
    OrganizationId::from(apart.databases().organization("default").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_lies_issues_nothing_beyond_the_limits() {
    let taken = TakenOver::start().await;
    // The control: what it may do, it can.
    let issued = taken.issue(taken.plan()).await;
    assert!(matches!(issued, Ok(Reply::Issued(_))), "{issued:?}");
    let before = taken.certificates().await;

    let mut authority = taken.plan();
    authority.certificate_type = CertificateType::Intermediate;
    authority.basic_constraints = Some(BasicConstraints {
        certificate_authority: true,
        path_length_max: None,
    });
    authority.key_usage.key_cert_sign = true;
    authority.extended_key_usage = Vec::new();
    let mut purpose = taken.plan();
    purpose.extended_key_usage = vec!["1.3.6.1.5.5.7.3.9".parse().unwrap()];
    let mut any_purpose = taken.plan();
    any_purpose.extended_key_usage = vec!["2.5.29.37.0".parse().unwrap()];
    let mut long = taken.plan();
    long.not_after = long.not_before + TimeDelta::days(5_000);
    for (plan, code) in [
        (authority, "certificate_authority_not_issued"),
        (purpose, "issuer_limits_exceeded"),
        (any_purpose, "issuer_limits_exceeded"),
        (long, "issuer_limits_exceeded"),
    ] {
        assert_eq!(taken.issue(plan).await.unwrap_err(), code);
        assert!(
            taken.recorded("certificate.issuance_refused", code).await > 0,
            "{code}"
        );
    }
    assert_eq!(taken.certificates().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_lies_is_neither_somebody_else_nor_here() {
    let taken = TakenOver::start().await;
    let reset = || {
        Command::ResetTotp(ResetTotp {
            user_id: UserId::generate(Now.now(), &Random),
            reason: "mine".to_owned(),
        })
    };
    let here = Actor::LocalOperator { uid: 0 };
    let local = CallContext {
        actor: here.clone(),
        ..taken.context()
    };
    assert_eq!(
        ask(&taken.peer, local.clone(), reset()).await.unwrap_err(),
        "caller_mismatch"
    );
    for caller in [Caller::Bootstrap, Caller::Operator] {
        let other = CallContext {
            caller,
            organization_id: SYSTEM_ORGANIZATION,
            actor: here.clone(),
            ..taken.context()
        };
        let command = Command::Unseal(Unseal {
            share: SecretString::new("x".to_owned()),
        });
        let refused = ask(&taken.peer, other, command).await.unwrap_err();
        assert_eq!(refused, "caller_mismatch", "{caller:?}");
    }
    assert_eq!(
        taken.recorded("command.refused", "caller_mismatch").await,
        3
    );

    let mut limits = taken.issuing.limits.clone();
    limits.validity_seconds_max += 1;
    let widened = || {
        Command::ChangeIssuerLimits(Box::new(ChangeIssuerLimits {
            change: IssuerLimitsChange {
                issuer_id: taken.issuing.issuer_id,
                limits: limits.clone(),
                revision: taken.issuing.revision,
                reason: "mine".to_owned(),
            },
            proof: None,
        }))
    };
    let unproved = ask(&taken.peer, taken.context(), widened()).await;
    let unproved = unproved.unwrap_err();
    assert_ne!(unproved, "caller_mismatch", "it may give the command");
    let as_operator = ask(&taken.peer, local, widened()).await.unwrap_err();
    assert_eq!(as_operator, "caller_mismatch");

    let export = Command::ExportPrivateKey(ExportPrivateKey {
        certificate_id: taken.issuing.certificate_id,
        passphrase: SecretString::new("correct horse battery staple".to_owned()),
    });
    let exported = ask(&taken.peer, taken.context(), export).await;
    assert!(exported.is_err(), "the key of an authority");
}
