//! Limits of issuers change with a proof that a person gave a code for exactly that change, and only
//! within what is above and below.

use chrono::TimeDelta;
use clm_domain::actor::Actor;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{IssuerId, OrganizationId, SYSTEM_ORGANIZATION};
use clm_domain::issuer_limits::IssuerLimits;
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::secret::SecretString;
use clm_pki::name::from_rfc4514;
use clm_secure_api::command::{
    ChangeIssuerLimits, CreateCertificateAuthority, IssuerLimitsChange, ListCertificateAuthorities,
    StepUp, StepUpToken,
};
use clm_secure_api::reply::CertificateAuthority;
use clm_secure_api::step_up::request_hash;
use clm_secure_api::{CallContext, Caller};
use futures::future::join_all;

use super::factors::Device;
use super::{api_key, person};
use crate::key_rotation::bench::Bench;

impl Bench {
    pub(super) async fn authority(&self, organization: OrganizationId) -> CertificateAuthority {
        let command = ListCertificateAuthorities {
            after: None,
            limit: 1,
        };
        let context = self.context(organization);
        let mut found = self
            .client
            .list_certificate_authorities(context, command)
            .await
            .unwrap();
        found.remove(0)
    }

    async fn below(
        &self,
        organization: OrganizationId,
        (parent, limits): (Option<IssuerId>, &IssuerLimits),
        name: &str,
    ) -> CertificateAuthority {
        let command = CreateCertificateAuthority {
            name: name.to_owned(),
            subject_der: from_rfc4514(&format!("CN={name}")).unwrap(),
            parent_issuer_id: parent,
            key_algorithm: KeyAlgorithm::EcdsaP256,
            signature_algorithm: KeyAlgorithm::EcdsaP256.default_signature(),
            validity_seconds: 80 * 86_400,
            path_length_max: None,
            limits: limits.clone(),
            organization_ids: Vec::new(),
            proof: None,
        };
        let context = bootstrap(self.context(organization));
        self.client
            .create_certificate_authority(context, command)
            .await
            .unwrap()
    }

    /// A code of the device becomes a proof for this change.
    async fn prove(
        &self,
        (home, actor): (OrganizationId, Actor),
        code: String,
        (organization, change): (OrganizationId, &IssuerLimitsChange),
    ) -> Result<String, Fault> {
        let command = StepUp {
            code: SecretString::new(code),
            request_sha256: request_hash(organization, ChangeIssuerLimits::NAME, change).unwrap(),
        };
        let proved = self.client.step_up(self.by(home, actor), command).await;
        proved
            .map(|proved| proved.proof.expose().to_owned())
            .map_err(|error| error.0)
    }

    async fn change(
        &self,
        (organization, actor): (OrganizationId, Actor),
        change: &IssuerLimitsChange,
        proof: Option<&str>,
    ) -> Result<CertificateAuthority, Fault> {
        let proof = proof.map(|proof| StepUpToken(SecretString::new(proof.to_owned())));
        let command = ChangeIssuerLimits {
            change: change.clone(),
            proof,
        };
        let context = self.by(organization, actor);
        let changed = self.client.change_issuer_limits(context, command).await;
        changed.map_err(|error| error.0)
    }

    /// A code, a proof, and the change.
    async fn change_properly(
        &self,
        organization: OrganizationId,
        device: &Device,
        change: &IssuerLimitsChange,
    ) -> Result<CertificateAuthority, Fault> {
        self.next_step();
        let (ann, code) = (person(1, 1), device.code(self));
        let who = (organization, ann.clone());
        let proof = self.prove(who, code, (organization, change)).await?;
        self.change((organization, ann), change, Some(&proof)).await
    }

    async fn limits_changed(&self, result: &str) -> i64 {
        self.audited("issuer_limits.changed", result).await
    }
}

/// The bootstrap of an installation makes authorities without a code.
fn bootstrap(context: CallContext) -> CallContext {
    CallContext {
        caller: Caller::Bootstrap,
        ..context
    }
}

fn change(authority: &CertificateAuthority, days: u64) -> IssuerLimitsChange {
    let mut limits = authority.limits.clone();
    limits.validity_seconds_max = days * 86_400;
    IssuerLimitsChange {
        issuer_id: authority.issuer_id,
        limits,
        revision: authority.revision,
        reason: "a test".to_owned(),
    }
}

/// The next certificate is judged by the new limits: in the process that changed them at once, in
/// another within a second.
#[tokio::test(flavor = "multi_thread")]
async fn limits_change_with_a_proof_and_bind_at_once() {
    let bench = Bench::start().await;
    let organization = bench.organization(0).await;
    let another = clm_secure_api::SecureClient::new(bench.another().await as _);
    let device = bench.device(organization, 1).await;
    let authority = bench.authority(organization).await;
    bench.issue(organization).await.unwrap();
    bench.issue_by(&another, organization).await.unwrap();

    let mut change = change(&authority, 50);
    change.limits.extended_key_usage = vec!["1.3.6.1.5.5.7.3.2".parse().unwrap()];
    let changed = bench
        .change_properly(organization, &device, &change)
        .await
        .unwrap();
    assert_eq!(changed.limits, change.limits);
    assert_eq!(changed.revision, authority.revision + 1);
    let refused = bench.issue(organization).await.unwrap_err().0;
    assert_eq!(refused.kind, ErrorKind::PolicyViolation, "{refused:?}");
    bench.clock.advance(TimeDelta::milliseconds(1_001));
    let refused = bench.issue_by(&another, organization).await.unwrap_err().0;
    assert_eq!(refused.kind, ErrorKind::PolicyViolation, "{refused:?}");

    let details: serde_json::Value = sqlx::query_scalar(
        "SELECT details FROM secure_audit_log WHERE event_code = 'issuer_limits.changed'
         AND result = 'success' AND user_id = '00000000-0000-0000-0000-000000000001'",
    )
    .fetch_one(&bench.admin)
    .await
    .unwrap();
    assert_eq!(details["before"]["validity_seconds_max"], 100 * 86_400);
    assert_eq!(details["after"]["validity_seconds_max"], 50 * 86_400);
    assert_eq!(details["step_up"], "code");

    // A change of what was changed meanwhile.
    let refused = bench
        .change_properly(organization, &device, &change)
        .await
        .unwrap_err();
    assert_eq!(
        (refused.kind, refused.code.as_ref()),
        (ErrorKind::Conflict, "revision_changed")
    );
}

/// Whoever says less than a proof for exactly this changes nothing, and is audited.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_than_the_right_proof_changes_limits() {
    let bench = Bench::start().await;
    let (organization, other) = (bench.organization(0).await, bench.organization(0).await);
    let device = bench.device(organization, 1).await;
    let authority = bench.authority(organization).await;
    let ann = || (organization, person(1, 1));
    let wanted = change(&authority, 50);
    let of_wanted = (organization, &wanted);
    let good = bench
        .prove(ann(), device.code(&bench), of_wanted)
        .await
        .unwrap();
    let mut others = vec![wanted.clone(); 4];
    others[0].limits.validity_seconds_max += 1;
    others[1].reason = "another".to_owned();
    others[2].revision += 1;
    others[3].limits.certificate_authority = true;
    for other in &others {
        let refused = bench.change(ann(), other, Some(&good)).await.unwrap_err();
        assert_eq!(refused.code, "step_up_invalid");
        assert_eq!(refused.kind, ErrorKind::Forbidden);
    }
    let forged = format!("clmsu_{}", "00".repeat(32));
    for (who, proof, code) in [
        (ann(), None, "step_up_required"),
        (ann(), Some(forged.as_str()), "step_up_invalid"),
        (ann(), Some(""), "step_up_invalid"),
        // Another person, another session, another organization, no person at all.
        (
            (organization, person(2, 2)),
            Some(good.as_str()),
            "step_up_invalid",
        ),
        (
            (organization, person(1, 9)),
            Some(good.as_str()),
            "step_up_invalid",
        ),
        (
            (other, person(1, 1)),
            Some(good.as_str()),
            "step_up_invalid",
        ),
        (
            (organization, api_key(1)),
            Some(good.as_str()),
            "step_up_required",
        ),
        (
            (organization, Actor::System),
            Some(good.as_str()),
            "step_up_required",
        ),
    ] {
        let refused = bench.change(who, &wanted, proof).await.unwrap_err();
        assert_eq!(refused.code, code);
    }
    assert_eq!(bench.limits_changed("failure").await, 12);
    assert_eq!(bench.authority(organization).await.limits, authority.limits);

    // The proof itself is still good, for twenty at once: once.
    let at_once = join_all((0..20).map(|_| bench.change(ann(), &wanted, Some(&good)))).await;
    let accepted = at_once.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(accepted, 1);
    for refused in at_once.into_iter().filter_map(Result::err) {
        assert_eq!(refused.code, "step_up_invalid");
    }
}

/// A proof ends after five minutes, and with the factor that it came from; who has none gets none.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_ends_with_time_and_factor() {
    let bench = Bench::start().await;
    let organization = bench.organization(0).await;
    let (device, bobs) = (
        bench.device(organization, 1).await,
        bench.device(organization, 2).await,
    );
    let ann = || (organization, person(1, 1));
    let authority = bench.authority(organization).await;
    let wanted = change(&authority, 40);
    bench.next_step();
    let late = bench
        .prove(ann(), device.code(&bench), (organization, &wanted))
        .await
        .unwrap();
    bench.clock.advance(TimeDelta::minutes(5));
    let refused = bench.change(ann(), &wanted, Some(&late)).await.unwrap_err();
    assert_eq!(refused.code, "step_up_invalid");
    bench.secure().remove_expired_factors().await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM step_up_proofs")
        .fetch_one(&bench.admin)
        .await
        .unwrap();
    assert_eq!(left, 0);

    // A proof of a factor that was removed since, and one without a factor.
    let bob = || (organization, person(2, 2));
    let bobs_proof = bench
        .prove(bob(), bobs.code(&bench), (organization, &wanted))
        .await
        .unwrap();
    let reset = clm_secure_api::command::ResetTotp {
        user_id: uuid::Uuid::from_u128(2).into(),
        reason: "lost".to_owned(),
    };
    let operator = Actor::LocalOperator { uid: 0 };
    let context = bench.by(organization, operator.clone());
    bench.client.reset_totp(context, reset).await.unwrap();
    let refused = bench
        .change(bob(), &wanted, Some(&bobs_proof))
        .await
        .unwrap_err();
    assert_eq!(refused.code, "step_up_invalid");
    let refused = bench
        .prove(bob(), "123456".to_owned(), (organization, &wanted))
        .await;
    assert_eq!(refused.unwrap_err().code, "totp_not_active");
    let key = (organization, api_key(1));
    let refused = bench
        .prove(key, "123456".to_owned(), (organization, &wanted))
        .await;
    assert_eq!(refused.unwrap_err().code, "session_required");

    // The operator of the machine needs none, and is named.
    bench
        .change((organization, operator), &wanted, None)
        .await
        .unwrap();
    let named: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM secure_audit_log WHERE event_code = 'issuer_limits.changed'
         AND details ->> 'step_up' = 'local_operator'",
    )
    .fetch_one(&bench.admin)
    .await
    .unwrap();
    assert_eq!(named, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_stay_nested() {
    let bench = Bench::start().await;
    let (organization, other) = (bench.organization(0).await, bench.organization(0).await);
    let device = bench.device(organization, 1).await;
    let mut limits = bench.authority(organization).await.limits;
    limits.certificate_authority = true;
    let root = bench.below(organization, (None, &limits), "Top").await;
    let middle = bench
        .below(organization, (Some(root.issuer_id), &limits), "Middle")
        .await;
    limits.validity_seconds_max = 60 * 86_400;
    let low = bench
        .below(organization, (Some(middle.issuer_id), &limits), "Low")
        .await;

    let attempt = |change| {
        let (bench, device) = (&bench, &device);
        async move { bench.change_properly(organization, device, &change).await }
    };
    for (authority, days, named) in [
        (&middle, 101, "'Top' above"),
        (&low, 101, "'Middle' above"),
        (&middle, 59, "'Low'"),
        (&root, 59, "'Middle'"),
    ] {
        let refused = attempt(change(authority, days)).await.unwrap_err();
        assert_eq!(refused.code, "limits_not_nested", "{refused:?}");
        assert!(refused.message.contains(named), "{}", refused.message);
        assert_eq!(refused.violations[0].field, "limits.validity_seconds_max");
    }
    let mut nothing = change(&low, 10);
    nothing.limits.key_algorithms.clear();
    assert_eq!(attempt(nothing).await.unwrap_err().code, "limits_invalid");
    assert_eq!(
        attempt(change(&low, 0)).await.unwrap_err().code,
        "limits_invalid"
    );
    let mut silent = change(&low, 10);
    silent.reason.clear();
    assert_eq!(attempt(silent).await.unwrap_err().code, "reason_invalid");
    // From below upwards narrowing is possible, and from above downwards widening.
    attempt(change(&low, 30)).await.unwrap();
    let middle = attempt(change(&middle, 59)).await.unwrap();
    attempt(change(&root, 70)).await.unwrap();
    attempt(change(&middle, 70)).await.unwrap();

    // Nobody changes those of others, not even those that everybody may use.
    let foreign = bench.authority(other).await;
    assert_eq!(
        attempt(change(&foreign, 1)).await.unwrap_err().code,
        "not_found"
    );
    let command = CreateCertificateAuthority {
        name: "Shared".to_owned(),
        subject_der: from_rfc4514("CN=Shared").unwrap(),
        parent_issuer_id: None,
        key_algorithm: KeyAlgorithm::EcdsaP256,
        signature_algorithm: KeyAlgorithm::EcdsaP256.default_signature(),
        validity_seconds: 900 * 86_400,
        path_length_max: None,
        limits: foreign.limits.clone(),
        organization_ids: vec![organization],
        proof: None,
    };
    let context = bootstrap(bench.context(SYSTEM_ORGANIZATION));
    let shared = bench
        .client
        .create_certificate_authority(context, command)
        .await
        .unwrap();
    assert_eq!(
        attempt(change(&shared, 1)).await.unwrap_err().code,
        "not_found"
    );
    assert_eq!(bench.limits_changed("success").await, 4);
}
