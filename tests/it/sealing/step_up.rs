//! Proofs for acts of the Secure Service when the core lies about them: a proof for other arguments,
//! another organization, command, person or session is none.

use clm_domain::actor::Actor;
use clm_domain::error::Fault;
use clm_domain::ids::{CertificateId, OrganizationId};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::secret::SecretString;
use clm_pki::name::from_rfc4514;
use clm_secure_api::command::{CreateCertificateAuthority, ExportPrivateKey, StepUp, StepUpToken};
use clm_secure_api::step_up::request_hash;
use uuid::Uuid;

use super::factors::Device;
use super::{api_key, person};
use crate::key_rotation::bench::Bench;

impl Bench {
    /// A proof of Ann for a command with this hash.
    async fn proof_for(
        &self,
        (home, device): (OrganizationId, &Device),
        request_sha256: [u8; 32],
    ) -> StepUpToken {
        self.next_step();
        let command = StepUp {
            code: SecretString::new(device.code(self)),
            request_sha256,
        };
        let proved = self.client.step_up(self.by(home, person(1, 1)), command);
        StepUpToken(proved.await.unwrap().proof)
    }

    async fn make(
        &self,
        (organization, actor): (OrganizationId, Actor),
        wish: CreateCertificateAuthority,
    ) -> Result<(), Fault> {
        let context = self.by(organization, actor);
        let made = self.client.create_certificate_authority(context, wish);
        made.await.map(drop).map_err(|error| error.0)
    }

    async fn export(
        &self,
        (organization, actor): (OrganizationId, Actor),
        certificate_id: CertificateId,
        proof: Option<StepUpToken>,
    ) -> Result<(), Fault> {
        let command = ExportPrivateKey {
            certificate_id,
            passphrase: SecretString::new("a passphrase that is long enough".to_owned()),
            proof,
        };
        let context = self.by(organization, actor);
        let exported = self.client.export_private_key(context, command);
        exported.await.map(drop).map_err(|error| error.0)
    }
}

/// A root that signs no more than the organization's own authority.
async fn wish(
    bench: &Bench,
    organization: OrganizationId,
    name: &str,
) -> CreateCertificateAuthority {
    CreateCertificateAuthority {
        name: name.to_owned(),
        subject_der: from_rfc4514(&format!("CN={name}")).unwrap(),
        parent_issuer_id: None,
        key_algorithm: KeyAlgorithm::EcdsaP256,
        signature_algorithm: KeyAlgorithm::EcdsaP256.default_signature(),
        validity_seconds: 900 * 86_400,
        path_length_max: None,
        limits: bench.authority(organization).await.limits,
        organization_ids: Vec::new(),
        proof: None,
    }
}

fn refused(outcome: Result<(), Fault>, code: &str) {
    assert_eq!(outcome.unwrap_err().code, code);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_what_was_proved() {
    let bench = Bench::start().await;
    let (organization, other) = (bench.organization(0).await, bench.organization(0).await);
    let device = bench.device(organization, 1).await;
    let (ann, bob) = (person(1, 1), person(2, 1));
    let wanted = wish(&bench, organization, "Wanted").await;
    for actor in [ann.clone(), bob.clone(), api_key(1), Actor::System] {
        refused(
            bench.make((organization, actor), wanted.clone()).await,
            "step_up_required",
        );
    }

    let name = CreateCertificateAuthority::NAME;
    let proof = bench
        .proof_for(
            (organization, &device),
            request_hash(organization, name, &wanted.proved()).unwrap(),
        )
        .await;
    let with = |wish: &CreateCertificateAuthority| CreateCertificateAuthority {
        proof: Some(proof.clone()),
        ..wish.clone()
    };
    let mut wider = with(&wanted);
    wider.limits.validity_seconds_max += 1;
    let mut shared = with(&wanted);
    shared.organization_ids = vec![other];
    for lie in [
        wider,
        shared,
        with(&wish(&bench, organization, "Else").await),
    ] {
        refused(
            bench.make((organization, ann.clone()), lie).await,
            "step_up_invalid",
        );
    }
    refused(
        bench.make((other, ann.clone()), with(&wanted)).await,
        "step_up_invalid",
    );
    for somebody in [bob, person(1, 2)] {
        let made = bench.make((organization, somebody), with(&wanted)).await;
        refused(made, "step_up_invalid");
    }
    bench
        .make((organization, ann.clone()), with(&wanted))
        .await
        .unwrap();
    // A repetition finds what was made; anything else finds the proof used.
    bench
        .make((organization, ann.clone()), with(&wanted))
        .await
        .unwrap();
    let again = with(&wish(&bench, organization, "Again").await);
    refused(
        bench.make((organization, ann), again).await,
        "step_up_invalid",
    );
    assert_eq!(
        bench
            .audited("certificate_authority.created", "failure")
            .await,
        11
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_leaves_for_what_was_proved() {
    let bench = Bench::start().await;
    let organization = bench.organization(0).await;
    let device = bench.device(organization, 1).await;
    let ann = || (organization, person(1, 1));
    bench.issue(organization).await.unwrap();
    bench.issue(organization).await.unwrap();
    let certificates: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM certificates WHERE organization_id = $1 AND certificate_type = 'server'
         AND private_key_id IS NOT NULL ORDER BY id",
    )
    .bind(organization.as_uuid())
    .fetch_all(&bench.admin)
    .await
    .unwrap();
    let [one, other] = [certificates[0], certificates[1]].map(CertificateId::from_uuid);
    refused(bench.export(ann(), one, None).await, "step_up_required");
    let system = (organization, Actor::System);
    refused(bench.export(system, one, None).await, "step_up_required");

    let about = request_hash(organization, ExportPrivateKey::NAME, &one).unwrap();
    let home = (organization, &device);
    // A proof for another command about the same thing is none.
    let wrong = request_hash(organization, "open_secret", &one).unwrap();
    let wrong = bench.proof_for(home, wrong).await;
    refused(
        bench.export(ann(), one, Some(wrong)).await,
        "step_up_invalid",
    );
    let proof = bench.proof_for(home, about).await;
    let with = || Some(proof.clone());
    refused(bench.export(ann(), other, with()).await, "step_up_invalid");
    let session = (organization, person(1, 2));
    refused(bench.export(session, one, with()).await, "step_up_invalid");
    bench.export(ann(), one, with()).await.unwrap();
    refused(bench.export(ann(), one, with()).await, "step_up_invalid");
    assert_eq!(bench.audited("private_key.exported", "success").await, 1);

    // Of two who come with a proof at once, one has the key.
    let proof = bench.proof_for(home, about).await;
    let with = || Some(proof.clone());
    let (first, second) = tokio::join!(
        bench.export(ann(), one, with()),
        bench.export(ann(), one, with())
    );
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    // A proof ends with its time, and with the factor.
    let proof = bench.proof_for(home, about).await;
    bench.clock.advance(chrono::TimeDelta::minutes(5));
    refused(
        bench.export(ann(), one, Some(proof)).await,
        "step_up_invalid",
    );
    let proof = bench.proof_for(home, about).await;
    let reset = bench.reset(organization, Actor::LocalOperator { uid: 0 });
    reset.await.unwrap();
    refused(
        bench.export(ann(), one, Some(proof)).await,
        "step_up_invalid",
    );
    // Which API keys may export is for the core to say; the event tells of them.
    bench
        .export((organization, api_key(1)), one, None)
        .await
        .unwrap();
    let by: Vec<String> = sqlx::query_scalar(
        "SELECT details ->> 'step_up' FROM secure_audit_log
         WHERE event_code = 'private_key.exported' AND result = 'success' ORDER BY id",
    )
    .fetch_all(&bench.admin)
    .await
    .unwrap();
    assert_eq!(by, ["code", "code", "api_key"]);
}
