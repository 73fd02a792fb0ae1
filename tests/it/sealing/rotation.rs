//! Secrets when data keys are rotated, compromised, destroyed and erased.

use clm_domain::ids::OrganizationId;
use clm_domain::states::{EncryptionKeyStatus, KeyRotationStatus, KeyRotationType, SecretPurpose};
use clm_secure_api::command::{EraseOrganizationKeys, ListExposedSecrets};
use clm_secure_api::reply::KeyRotation;
use uuid::Uuid;

use crate::key_rotation::bench::Bench;

/// More than one batch of private keys and secrets together.
const KEYS: i64 = 300;
const SECRETS: u128 = 400;

async fn sealed_under(bench: &Bench, key: Uuid) -> i64 {
    let count =
        sqlx::query_scalar("SELECT count(*) FROM sealed_secrets WHERE encryption_key_id = $1");
    count.bind(key).fetch_one(&bench.admin).await.unwrap()
}

/// Half of them sort before the private keys, whose ids begin with the time, half after.
async fn fill(bench: &Bench, organization: OrganizationId) {
    for id in 1..=SECRETS {
        let id = if id % 2 == 0 { id } else { u128::MAX - id };
        let place = (id, SecretPurpose::Connector);
        bench
            .seal(organization, place, &id.to_be_bytes())
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_move_with_private_keys() {
    let bench = Bench::start().await;
    let organization = bench.organization(KEYS).await;
    fill(&bench, organization).await;
    let old = bench.active(organization).await.encryption_key_id;
    let rotation = bench
        .complete(organization, KeyRotationType::Emergency)
        .await;
    assert_eq!(
        rotation.status,
        KeyRotationStatus::Completed,
        "{rotation:?}"
    );
    let all = KEYS + 1 + i64::try_from(SECRETS).unwrap();
    assert_eq!((rotation.items_total, rotation.items_processed), (all, all));
    assert_eq!(sealed_under(&bench, old.as_uuid()).await, 0);
    bench.check_sealed(organization, KEYS + 1).await;
    for id in [2, 400, u128::MAX - 1, u128::MAX - 399] {
        assert_eq!(
            bench.open(organization, id).await.unwrap(),
            id.to_be_bytes()
        );
    }
}

/// One that is damaged stays, is named, and keeps its key from being destroyed.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_open_keeps_its_key() {
    let bench = Bench::start().await;
    let organization = bench.organization(KEYS).await;
    fill(&bench, organization).await;
    let all = KEYS + 1 + i64::try_from(SECRETS).unwrap();
    let old = bench.active(organization).await.encryption_key_id;
    bench
        .execute(
            "UPDATE sealed_secrets SET encrypted_secret = set_bit(encrypted_secret, 3,
                1 - get_bit(encrypted_secret, 3))
             WHERE id = '00000000-0000-0000-0000-000000000002'",
        )
        .await;
    let rotation = bench
        .complete(organization, KeyRotationType::Compromise)
        .await;
    assert_eq!(rotation.status, KeyRotationStatus::Failed, "{rotation:?}");
    assert_eq!(
        (rotation.items_processed, rotation.items_failed),
        (all - 1, 1)
    );
    let message = rotation.error_message.clone().unwrap();
    assert!(
        message.contains(&Uuid::from_u128(2).to_string()),
        "{message}"
    );
    assert_eq!(exposed(&bench, organization, &rotation).await, SECRETS);
    let later = bench.complete(organization, KeyRotationType::Manual).await;
    assert_eq!(exposed(&bench, organization, &later).await, 0);
    assert_eq!(exposed(&bench, organization, &rotation).await, SECRETS);
    bench.clock.advance(chrono::TimeDelta::days(2));
    bench.secure().maintain_keys().await.unwrap();
    let kept = bench.key(organization, old).await;
    assert_eq!(
        kept.status,
        EncryptionKeyStatus::Retired,
        "a secret needs it"
    );
    bench
        .execute("DELETE FROM sealed_secrets WHERE id = '00000000-0000-0000-0000-000000000002'")
        .await;
    bench.secure().maintain_keys().await.unwrap();
    let gone = bench.key(organization, old).await;
    assert_eq!(gone.status, EncryptionKeyStatus::Destroyed);
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_an_organization_ends_its_secrets() {
    let bench = Bench::start().await;
    let (erased, other) = (bench.organization(0).await, bench.organization(0).await);
    bench
        .seal(erased, (1, SecretPurpose::Connector), b"one")
        .await
        .unwrap();
    bench
        .seal(other, (2, SecretPurpose::Connector), b"two")
        .await
        .unwrap();
    let command = EraseOrganizationKeys {
        reason: "a test".to_owned(),
    };
    bench
        .client
        .erase_organization_keys(bench.context(erased), command)
        .await
        .unwrap();
    let refused = bench.open(erased, 1).await.unwrap_err();
    assert_eq!(refused.code, "encryption_key_unavailable");
    assert_eq!(bench.open(other, 2).await.unwrap(), b"two");
}

/// How many secrets a compromise exposed, page by page, each once.
async fn exposed(bench: &Bench, organization: OrganizationId, rotation: &KeyRotation) -> u128 {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let command = ListExposedSecrets {
            key_rotation_id: rotation.key_rotation_id,
            after,
            limit: 150,
        };
        let context = bench.context(organization);
        let page = bench.client.list_exposed_secrets(context, command);
        let page = page.await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.sealed_secret_id);
        assert!(
            page.iter()
                .all(|one| one.purpose == SecretPurpose::Connector)
        );
        ids.extend(page.iter().map(|one| one.sealed_secret_id));
    }
    let found = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), found);
    u128::try_from(found).unwrap()
}
