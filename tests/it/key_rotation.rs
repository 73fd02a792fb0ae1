//! Rotating data keys: the Secure Service on a database of its own, with a clock that the test moves
//! and private keys that the test has sealed itself. After each rotation every key is opened with
//! the master key and the documented format alone.

pub(crate) mod bench;
mod command_line;
mod damage;
mod left_behind;
mod lifecycle;
mod race;

use chrono::TimeDelta;
use clm_domain::states::{EncryptionKeyStatus, KeyRotationStatus, KeyRotationType};
use clm_secure_api::command::CancelKeyRotation;

use bench::{Bench, ITEMS};

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_moves_everything_and_ends() {
    let bench = Bench::start().await;
    let organization = bench.organization(ITEMS).await;
    let before = bench.active(organization).await;

    let rotation = bench.rotate(organization, KeyRotationType::Emergency).await;
    assert_eq!(rotation.status, KeyRotationStatus::InProgress);
    assert_eq!(rotation.items_total, ITEMS + 1, "the issuer's key too");
    assert_eq!(rotation.old_encryption_key_id, before.encryption_key_id);
    let new = bench.active(organization).await;
    assert_eq!(Some(new.encryption_key_id), rotation.new_encryption_key_id);
    assert_eq!(new.key_version, before.key_version + 1);
    let old = bench.key(organization, before.encryption_key_id).await;
    assert_eq!(old.status, EncryptionKeyStatus::Rotating);

    bench.work().await;
    let moved = bench.rotation(organization, &rotation).await;
    assert_eq!(moved.items_processed, ITEMS + 1);
    // Somebody may still take the old key for the active one.
    assert_eq!(moved.status, KeyRotationStatus::InProgress);
    bench.check_sealed(organization, ITEMS + 1).await;
    let straggler = bench.plant(organization, old.encryption_key_id, 1).await;

    bench.clock.advance(TimeDelta::seconds(61));
    bench.work().await;
    let ended = bench.rotation(organization, &rotation).await;
    assert_eq!(ended.status, KeyRotationStatus::Completed, "{ended:?}");
    assert_eq!(
        (ended.items_processed, ended.items_total),
        (ITEMS + 2, ITEMS + 2)
    );
    assert_eq!((ended.items_failed, ended.error_message), (0, None));
    assert!(ended.completed_at.is_some());
    let live = bench.check_sealed(organization, ITEMS + 2).await;
    assert_eq!(
        live,
        [new.encryption_key_id.as_uuid()],
        "exactly one live version"
    );
    assert_eq!(straggler.len(), 1);
    let old = bench.key(organization, old.encryption_key_id).await;
    assert_eq!(old.status, EncryptionKeyStatus::Retired);
    bench.issue(organization).await.unwrap();
    let events = bench.events(organization).await;
    assert_eq!(events["key_rotation.started"], 1);
    assert_eq!(events["key_rotation.ended"], 1);
    bench.seals_are_counted(organization).await;

    // A second one, on top of it.
    let second = bench.complete(organization, KeyRotationType::Manual).await;
    assert_eq!(second.items_processed, ITEMS + 3);
    let live = bench.check_sealed(organization, ITEMS + 3).await;
    assert_eq!(live.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_cancelled_half_way_moves_back() {
    let bench = Bench::start().await;
    let organization = bench.organization(ITEMS).await;
    let before = bench.active(organization).await;
    let rotation = bench.rotate_throttled(organization, 500).await;
    // One batch, then the throttle holds it.
    bench.secure().rotate_keys().await.unwrap();
    let half = bench.rotation(organization, &rotation).await;
    assert_eq!(half.items_processed, 500);
    bench.issue(organization).await.unwrap();
    assert_eq!(bench.check_sealed(organization, ITEMS + 2).await.len(), 2);

    let command = CancelKeyRotation {
        key_rotation_id: rotation.key_rotation_id,
    };
    for _ in 0..2 {
        let context = bench.context(organization);
        let cancelled = bench.client.cancel_key_rotation(context, command.clone());
        let cancelled = cancelled.await.unwrap();
        assert_eq!(cancelled.status, KeyRotationStatus::InProgress);
        assert!(cancelled.rollback_started_at.is_some());
    }
    let active = bench.active(organization).await;
    assert_eq!(active.encryption_key_id, before.encryption_key_id);
    bench.issue(organization).await.unwrap();
    bench.finish().await;

    let ended = bench.rotation(organization, &rotation).await;
    assert_eq!(ended.status, KeyRotationStatus::RolledBack, "{ended:?}");
    assert_eq!(ended.items_processed, 500);
    assert_eq!(ended.items_rolled_back, 501, "and the one that was new");
    let live = bench.check_sealed(organization, ITEMS + 3).await;
    assert_eq!(live, [before.encryption_key_id.as_uuid()]);
    let new = rotation.new_encryption_key_id.unwrap();
    let new = bench.key(organization, new).await;
    assert_eq!(new.status, EncryptionKeyStatus::Retired);

    let late = bench
        .client
        .cancel_key_rotation(bench.context(organization), command);
    assert_eq!(late.await.unwrap_err().0.code, "key_rotation_ended");
    assert_eq!(
        bench.events(organization).await["key_rotation.cancelled"],
        2
    );
    // Its name is not used twice.
    let again = bench
        .complete(organization, KeyRotationType::Emergency)
        .await;
    assert_eq!(again.status, KeyRotationStatus::Completed);
    assert_eq!(bench.active(organization).await.key_version, 3);
}
