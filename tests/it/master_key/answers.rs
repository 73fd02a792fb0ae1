//! What a rotation is answered with decides what becomes of its shares: it is never said that nothing
//! was done when that is not known, and whoever asks again hears how it is.

use clm_domain::states::KeyRotationType;
use clm_domain::states::MasterKeyProviderKind as Kind;
use clm_secure_api::SecureError;
use clm_secure_api::command::RotateMasterKey;
use clm_secure_api::reply::KeyRotation;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::bench::Bench;
use super::hold::Hold;

/// Begins a rotation to a set of shares, or to a file.
pub(super) fn begin(
    bench: &Bench,
    set: Option<Uuid>,
) -> JoinHandle<Result<KeyRotation, SecureError>> {
    let (client, context) = (bench.client.clone(), bench.context());
    let command = RotateMasterKey {
        provider: set.map_or(Kind::File, |_| Kind::Shamir),
        share_set_id: set,
        rotation_type: KeyRotationType::Manual,
        reason: None,
        give_up: Vec::new(),
    };
    tokio::spawn(async move { client.rotate_master_key(context, command).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_database_dies_at_the_commit_the_shares_are_to_be_kept() {
    let mut bench = Bench::start().await;
    bench.organization().await;
    let (set, _) = bench.make_shares(2, 3).await.unwrap();
    let hold = Hold::commits(&bench.admin, "key_rotation_history").await;
    let rotating = begin(&bench, Some(set));
    hold.wait_for(1).await;
    bench.kill_database();
    let answer = rotating.await.unwrap().unwrap_err();
    assert_eq!(answer.0.code, "outcome_unknown");
    assert!(answer.0.message.contains("Keep its shares"), "{answer}");
    assert!(!answer.0.message.contains("Nothing was done"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_only_the_connection_breaks_asking_again_settles_it() {
    let bench = Bench::start().await;
    bench.organization().await;
    let (set, _) = bench.make_shares(2, 3).await.unwrap();
    let hold = Hold::commits(&bench.admin, "key_rotation_history").await;
    let rotating = begin(&bench, Some(set));
    hold.wait_for(1).await;
    let broken = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted";
    sqlx::query(broken).execute(&bench.admin).await.unwrap();
    let answer = rotating.await.unwrap().unwrap_err();
    assert_eq!(answer.0.code, "outcome_unknown");
    hold.release().await;
    begin(&bench, Some(set)).await.unwrap().unwrap();
    bench.everything_opens().await;
    assert_eq!(bench.rotations().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_again_hears_that_the_set_is_in_force() {
    let bench = Bench::start().await;
    bench.organization().await;
    let (set, _) = bench.make_shares(2, 3).await.unwrap();
    let first = begin(&bench, Some(set)).await.unwrap().unwrap();
    let again = begin(&bench, Some(set)).await.unwrap().unwrap();
    assert_eq!(first.key_rotation_id, again.key_rotation_id);

    // It commits, and nobody has waited for that.
    let (lost, shares) = bench.make_shares(2, 3).await.unwrap();
    let hold = Hold::commits(&bench.admin, "key_rotation_history").await;
    let rotating = begin(&bench, Some(lost));
    hold.wait_for(1).await;
    rotating.abort();
    assert!(rotating.await.unwrap_err().is_cancelled());
    hold.release().await;
    assert_eq!(bench.settled_rotations().await, 2);
    for _ in 0..2 {
        let again = begin(&bench, Some(lost)).await.unwrap().unwrap();
        assert_ne!(first.key_rotation_id, again.key_rotation_id);
    }
    assert_eq!(bench.rotations().await, 2);
    assert_eq!(bench.events().await["master_key.rotated"], 2);
    bench.everything_opens().await;
    let value = clm_secure::check_value_of_shares(&shares[1..]).unwrap();
    let command = clm_secure_api::command::ConfirmMasterKeyBackup {
        check_value: Some(value),
    };
    let confirmed = bench
        .client
        .confirm_master_key_backup(bench.context(), command);
    confirmed.await.unwrap();

    // Not a word of destroying shares of a key that was in force.
    let replaced = begin(&bench, Some(set)).await.unwrap().unwrap_err();
    assert_eq!(replaced.0.code, "share_set_replaced");
    assert!(!replaced.0.message.contains("  "), "{replaced}");
    assert!(!replaced.0.message.contains("estroy"), "{replaced}");
}
