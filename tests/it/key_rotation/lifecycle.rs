//! How data keys end and follow each other without anybody asking: by use, by schedule, by age; and
//! how an organization is erased.

use chrono::TimeDelta;
use clm_domain::error::ErrorKind;
use clm_domain::ids::{OrganizationId, SYSTEM_ORGANIZATION};
use clm_domain::states::{EncryptionKeyStatus, KeyRotationStatus, KeyRotationType};
use clm_secure_api::command::{EraseOrganizationKeys, ListKeyRotations, SetKeyRotationSchedule};
use clm_secure_api::reply::KeyRotation;
use futures::future::join_all;

use super::bench::{Bench, ITEMS};

/// How often a data key may seal in the test of that limit.
const SEALS_MAX: i64 = 1_000;

/// A key that may seal a thousand times is replaced then: no request fails, and what it sealed
/// still opens.
#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_key_rolls_over() {
    let bench = Bench::with_seals_max(SEALS_MAX).await;
    let organization = bench.organization(0).await;
    let first = bench.active(organization).await;
    assert_eq!(first.seal_count_max, Some(SEALS_MAX));
    let wanted = usize::try_from(SEALS_MAX).unwrap() + 100;
    let mut issued = 0;
    while issued < wanted {
        let outcomes = join_all((0..50).map(|_| bench.issue(organization))).await;
        for outcome in outcomes {
            outcome.unwrap();
            issued += 1;
        }
    }
    let keys = bench.keys(organization).await;
    assert_eq!(keys.len(), 2, "{keys:?}");
    let old = bench.key(organization, first.encryption_key_id).await;
    assert_eq!(old.status, EncryptionKeyStatus::Retired);
    assert_eq!(old.seal_count, SEALS_MAX);
    let live = bench.check_sealed(organization, issued as i64 + 1).await;
    assert_eq!(live.len(), 2);
    let under_old: i64 =
        sqlx::query_scalar("SELECT count(*) FROM private_keys WHERE encryption_key_id = $1")
            .bind(first.encryption_key_id.as_uuid())
            .fetch_one(&bench.admin)
            .await
            .unwrap();
    assert!(under_old <= SEALS_MAX, "{under_old} seals");
    assert_eq!(
        bench.events(organization).await["encryption_key.rolled_over"],
        1
    );

    // In use for ever, it is never destroyed.
    bench.clock.advance(TimeDelta::days(2));
    bench.secure().maintain_keys().await.unwrap();
    let old = bench.key(organization, first.encryption_key_id).await;
    assert_eq!(old.status, EncryptionKeyStatus::Retired);
}

/// A schedule starts a rotation when it is due and not before, once, for successors too.
#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_comes_due() {
    let bench = Bench::start().await;
    let (organization, other) = (bench.organization(10).await, bench.organization(10).await);
    let schedule = |days| {
        let context = bench.context(organization);
        let command = SetKeyRotationSchedule { days };
        bench.client.set_key_rotation_schedule(context, command)
    };
    assert_eq!(
        schedule(Some(0)).await.unwrap_err().0.code,
        "schedule_out_of_range"
    );
    let key = schedule(Some(7)).await.unwrap();
    assert_eq!(key.rotation_schedule_days, Some(7));

    bench
        .clock
        .advance(TimeDelta::days(7) - TimeDelta::minutes(1));
    bench.secure().maintain_keys().await.unwrap();
    assert!(rotations(&bench, organization).await.is_empty());
    bench.clock.advance(TimeDelta::minutes(2));
    for _ in 0..3 {
        bench.secure().maintain_keys().await.unwrap();
    }
    let started = rotations(&bench, organization).await;
    assert_eq!(started.len(), 1);
    assert_eq!(started[0].rotation_type, KeyRotationType::Scheduled);
    assert_eq!(started[0].initiated_by_user_id, None);
    bench.finish().await;
    let ended = bench.rotation(organization, &started[0]).await;
    assert_eq!(ended.status, KeyRotationStatus::Completed);
    let actor: String = sqlx::query_scalar(
        "SELECT actor_type FROM secure_audit_log WHERE organization_id = $1
         AND event_code = 'key_rotation.started'",
    )
    .bind(organization.as_uuid())
    .fetch_one(&bench.admin)
    .await
    .unwrap();
    assert_eq!(actor, "system");

    let successor = bench.active(organization).await;
    assert_eq!(successor.rotation_schedule_days, Some(7));
    bench.clock.advance(TimeDelta::days(7));
    bench.secure().maintain_keys().await.unwrap();
    assert_eq!(rotations(&bench, organization).await.len(), 2);
    bench.finish().await;
    schedule(None).await.unwrap();
    bench.clock.advance(TimeDelta::days(30));
    bench.secure().maintain_keys().await.unwrap();
    assert_eq!(rotations(&bench, organization).await.len(), 2);
    assert!(rotations(&bench, other).await.is_empty());
}

/// A key that nothing needs any more is destroyed after a day, not before.
#[tokio::test(flavor = "multi_thread")]
async fn a_retired_key_is_destroyed_after_a_day() {
    let bench = Bench::start().await;
    let organization = bench.organization(10).await;
    let old = bench.active(organization).await.encryption_key_id;
    bench
        .complete(organization, KeyRotationType::Emergency)
        .await;
    bench.clock.advance(TimeDelta::hours(23));
    bench.secure().maintain_keys().await.unwrap();
    let key = bench.key(organization, old).await;
    assert_eq!(key.status, EncryptionKeyStatus::Retired);
    bench.clock.advance(TimeDelta::hours(2));
    let another = bench.another().await;
    let rounds = [bench.secure().maintain_keys(), another.maintain_keys()];
    for round in join_all(rounds).await {
        round.unwrap();
    }
    let key = bench.key(organization, old).await;
    assert_eq!(key.status, EncryptionKeyStatus::Destroyed);
    assert_eq!(
        bench.events(organization).await["encryption_key.destroyed"],
        1
    );
    let material: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT encrypted_key_material FROM encryption_keys WHERE id = $1")
            .bind(old.as_uuid())
            .fetch_one(&bench.admin)
            .await
            .unwrap();
    assert_eq!(material, None);
    bench.check_sealed(organization, 11).await;
    bench.issue(organization).await.unwrap();
}

/// Erasing an organization makes all that it sealed useless, at once; its neighbour reads on.
#[tokio::test(flavor = "multi_thread")]
async fn erasing_an_organization_leaves_the_others() {
    let bench = Bench::start().await;
    let (erased, other) = (
        bench.organization(ITEMS).await,
        bench.organization(ITEMS).await,
    );
    bench.issue(erased).await.unwrap();
    let rotation = bench.rotate_throttled(erased, 500).await;
    bench.secure().rotate_keys().await.unwrap();
    let command = |reason: &str| EraseOrganizationKeys {
        reason: reason.to_owned(),
    };
    let context = bench.context(erased);
    let unsaid = bench.client.erase_organization_keys(context, command(""));
    assert_eq!(unsaid.await.unwrap_err().0.kind, ErrorKind::Invalid);
    let context = bench.context(SYSTEM_ORGANIZATION);
    let shared = bench.client.erase_organization_keys(context, command("no"));
    assert_eq!(shared.await.unwrap_err().0.code, "system_organization");

    let context = bench.context(erased);
    let keys = bench
        .client
        .erase_organization_keys(context, command("left us"));
    assert_eq!(keys.await.unwrap(), 2);
    let refused = bench.issue(erased).await.unwrap_err().0;
    assert_eq!(refused.kind, ErrorKind::KeyUnavailable, "{refused}");
    assert!(
        bench.keys(erased).await.iter().all(|key| {
            key.status == EncryptionKeyStatus::Destroyed && key.destroyed_at.is_some()
        })
    );
    let left: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM encryption_keys
         WHERE organization_id = $1 AND encrypted_key_material IS NOT NULL",
    )
    .bind(erased.as_uuid())
    .fetch_one(&bench.admin)
    .await
    .unwrap();
    assert_eq!(left, 0);
    bench.finish().await;
    let rotation = bench.rotation(erased, &rotation).await;
    assert_eq!(rotation.status, KeyRotationStatus::Failed);

    bench.issue(other).await.unwrap();
    bench.check_sealed(other, ITEMS + 2).await;
    let ended = bench.complete(other, KeyRotationType::Emergency).await;
    assert_eq!(ended.status, KeyRotationStatus::Completed);
    bench.check_sealed(other, ITEMS + 2).await;
}

async fn rotations(bench: &Bench, organization: OrganizationId) -> Vec<KeyRotation> {
    let command = ListKeyRotations {
        after: None,
        limit: 100,
    };
    let context = bench.context(organization);
    bench
        .client
        .list_key_rotations(context, command)
        .await
        .unwrap()
}
