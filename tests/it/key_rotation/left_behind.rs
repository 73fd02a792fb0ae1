//! What earlier versions of a data key have sealed and still keep: a later rotation takes it along, a
//! compromise counts it as exposed, and what does not open is nobody's failure twice.

use chrono::TimeDelta;
use clm_domain::ids::{EncryptionKeyId, OrganizationId};
use clm_domain::states::{EncryptionKeyStatus, KeyRotationStatus, KeyRotationType};
use clm_secure_api::command::CancelKeyRotation;
use futures::future::join_all;

use super::bench::Bench;
use super::damage::{FLIP, exposed};

/// How often a data key may seal where that shall be too little for a rotation.
const SEALS_MAX: i64 = 100;
/// Keys of certificates that two such keys have sealed.
const ISSUED: usize = 150;

async fn under(bench: &Bench, id: EncryptionKeyId) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM private_keys WHERE encryption_key_id = $1")
        .bind(id.as_uuid())
        .fetch_one(&bench.admin)
        .await
        .unwrap()
}

/// An organization whose first data key was used up. Those keys of it that seal no more, oldest first.
async fn used_up(bench: &Bench) -> (OrganizationId, Vec<EncryptionKeyId>) {
    let organization = bench.organization(0).await;
    for _ in 0..ISSUED / 50 {
        let issued = join_all((0..50).map(|_| bench.issue(organization))).await;
        assert!(issued.iter().all(Result::is_ok));
    }
    let active = bench.active(organization).await.encryption_key_id;
    let mut keys: Vec<_> = bench.keys(organization).await;
    keys.sort_by_key(|key| key.key_version);
    let earlier = keys.iter().map(|key| key.encryption_key_id);
    let earlier: Vec<_> = earlier.filter(|id| *id != active).collect();
    assert!(!earlier.is_empty());
    assert!(under(bench, earlier[0]).await > 0);
    (organization, earlier)
}

/// Two hundred seals are too many for one key of a hundred: its successor takes over, and everything
/// leaves the keys from before.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_takes_along_what_earlier_keys_sealed() {
    let bench = Bench::with_seals_max(SEALS_MAX).await;
    let (organization, mut left) = used_up(&bench).await;
    left.push(bench.active(organization).await.encryption_key_id);
    let ended = bench.complete(organization, KeyRotationType::Manual).await;
    assert_eq!(ended.status, KeyRotationStatus::Completed, "{ended:?}");
    let items = ISSUED as i64 + 1;
    assert_eq!((ended.items_total, ended.items_processed), (items, items));
    for id in &left {
        assert_eq!(under(&bench, *id).await, 0);
    }
    let active = bench.active(organization).await.encryption_key_id;
    assert_eq!(
        ended.new_encryption_key_id,
        Some(active),
        "the last one of them"
    );
    let live = bench.check_sealed(organization, items).await;
    assert_eq!(live.len(), 2, "two keys of a hundred seals");
    bench.seals_are_counted(organization).await;

    bench.clock.advance(TimeDelta::days(2));
    bench.secure().maintain_keys().await.unwrap();
    for id in left {
        let key = bench.key(organization, id).await;
        assert_eq!(
            key.status,
            EncryptionKeyStatus::Destroyed,
            "nothing needs it"
        );
    }
    bench.check_sealed(organization, items).await;
}

/// The same, cancelled after the first key of the rotation was used up.
#[tokio::test(flavor = "multi_thread")]
async fn what_took_several_keys_goes_back_from_all_of_them() {
    let bench = Bench::with_seals_max(10_000).await;
    let organization = bench.organization(400).await;
    let old = bench.active(organization).await.encryption_key_id;
    let rotation = bench.rotate_throttled(organization, 100).await;
    // The first new key has no seals left after some batches.
    let few = "UPDATE encryption_keys SET seal_count_max = 200
        WHERE organization_id = $1 AND status = 'active'";
    let done = sqlx::query(few).bind(organization.as_uuid());
    assert_eq!(done.execute(&bench.admin).await.unwrap().rows_affected(), 1);
    for _ in 0..6 {
        bench.clock.advance(TimeDelta::seconds(1));
        bench.secure().rotate_keys().await.unwrap();
    }
    let moved = bench.rotation(organization, &rotation).await;
    assert_eq!(moved.status, KeyRotationStatus::InProgress, "{moved:?}");
    assert_ne!(moved.new_encryption_key_id, rotation.new_encryption_key_id);
    assert!(moved.items_processed > 200, "{moved:?}");
    let command = CancelKeyRotation {
        key_rotation_id: rotation.key_rotation_id,
    };
    let context = bench.context(organization);
    bench
        .client
        .cancel_key_rotation(context, command)
        .await
        .unwrap();
    bench.finish().await;
    let ended = bench.rotation(organization, &rotation).await;
    assert_eq!(ended.status, KeyRotationStatus::RolledBack, "{ended:?}");
    assert_eq!(ended.items_rolled_back, ended.items_processed);
    assert_eq!(bench.check_sealed(organization, 401).await, [old.as_uuid()]);
}

/// A private key that did not open fails one rotation, not the next one; put right, it moves.
#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_open_fails_once_and_moves_when_it_opens() {
    let bench = Bench::start().await;
    let organization = bench.organization(10).await;
    let first = bench.active(organization).await.encryption_key_id;
    let damaged = bench.plant(organization, first, 1).await[0];
    let flip = || sqlx::query(FLIP).bind(damaged).execute(&bench.admin);
    flip().await.unwrap();
    let failed = bench.complete(organization, KeyRotationType::Manual).await;
    assert_eq!(failed.status, KeyRotationStatus::Failed, "{failed:?}");
    let again = bench.complete(organization, KeyRotationType::Manual).await;
    assert_eq!(again.status, KeyRotationStatus::Completed, "{again:?}");
    assert_eq!(under(&bench, first).await, 1);
    flip().await.unwrap();
    let last = bench.complete(organization, KeyRotationType::Manual).await;
    assert_eq!(last.status, KeyRotationStatus::Completed, "{last:?}");
    let active = bench.active(organization).await.encryption_key_id;
    assert_eq!(
        bench.check_sealed(organization, 12).await,
        [active.as_uuid()]
    );
}

/// A compromise is one of all that the organization had sealed.
#[tokio::test(flavor = "multi_thread")]
async fn a_compromise_exposes_what_earlier_keys_sealed() {
    let bench = Bench::with_seals_max(SEALS_MAX).await;
    let (organization, mut left) = used_up(&bench).await;
    left.push(bench.active(organization).await.encryption_key_id);
    let ended = bench
        .complete(organization, KeyRotationType::Compromise)
        .await;
    assert_eq!(ended.status, KeyRotationStatus::Completed, "{ended:?}");
    let found = exposed(&bench, organization, &ended).await;
    assert_eq!(found.len(), ISSUED + 1);
    for id in left {
        let key = bench.key(organization, id).await;
        assert_eq!(key.status, EncryptionKeyStatus::Revoked);
    }
    bench.check_sealed(organization, ISSUED as i64 + 1).await;
}
