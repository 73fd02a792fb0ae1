//! `clm seal` has the last word: over a rotation that is under way, over one that nobody waited for, over
//! shares that were made and not used, and over a database that does not answer.

use std::time::{Duration, Instant};

use clm_domain::states::KeyRotationType;
use clm_domain::states::MasterKeyProviderKind as Kind;
use clm_secure_api::command::{ConfirmMasterKeyBackup, Seal};

use super::answers::begin;
use super::bench::Bench;
use super::hold::Hold;

/// Longest wait for the seal.
const PATIENCE: Duration = Duration::from_secs(5);

async fn until_sealed(bench: &Bench) {
    let begun = Instant::now();
    while !bench.secure().is_sealed() {
        assert!(begun.elapsed() < PATIENCE, "not sealed at once");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn seal(
    bench: &Bench,
) -> tokio::task::JoinHandle<Result<clm_secure_api::reply::SealStatus, clm_secure_api::SecureError>>
{
    let (client, context) = (bench.client.clone(), bench.context());
    tokio::spawn(async move { client.seal(context, Seal { force: true }).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_under_way_does_not_undo_it() {
    let bench = Bench::start().await;
    bench.organization().await;
    bench.split(2, 3).await;
    let (set, shares) = bench.make_shares(2, 2).await.unwrap();
    let hold = Hold::commits(&bench.admin, "key_rotation_history").await;
    let rotating = begin(&bench, Some(set));
    hold.wait_for(1).await;
    let sealing = seal(&bench);
    until_sealed(&bench).await;
    assert!(!rotating.is_finished());
    hold.release().await;
    rotating.await.unwrap().unwrap();
    let sealed = sealing.await.unwrap().unwrap();
    assert!(sealed.sealed && sealed.changed && bench.secure().is_sealed());
    bench.secure().watch_over_master_key().await.unwrap();
    assert!(bench.secure().is_sealed());
    for share in &shares {
        bench.unseal(share).await.unwrap();
    }
    bench.everything_opens().await;

    // To a file: then it is not said to be sealed.
    let hold = Hold::commits(&bench.admin, "key_rotation_history").await;
    let rotating = begin(&bench, None);
    hold.wait_for(1).await;
    let sealing = seal(&bench);
    until_sealed(&bench).await;
    hold.release().await;
    rotating.await.unwrap().unwrap();
    let refused = sealing.await.unwrap().unwrap_err();
    assert_eq!(refused.0.code, "master_key_not_split");
    bench.everything_opens().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_nobody_waited_for_does_not_undo_it_either() {
    let bench = Bench::start().await;
    bench.organization().await;
    bench.split(2, 3).await;
    let (set, shares) = bench.make_shares(2, 2).await.unwrap();
    let hold = Hold::commits(&bench.admin, "key_rotation_history").await;
    let rotating = begin(&bench, Some(set));
    hold.wait_for(1).await;
    rotating.abort();
    assert!(rotating.await.unwrap_err().is_cancelled());
    hold.release().await;
    assert_eq!(bench.settled_rotations().await, 2);
    assert!(bench.seal(true).await.unwrap().sealed);
    bench.secure().watch_over_master_key().await.unwrap();
    assert!(bench.secure().is_sealed(), "nobody has unsealed it");
    for share in &shares {
        bench.unseal(share).await.unwrap();
    }
    bench.everything_opens().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_prepared_key_stays_behind() {
    let bench = Bench::start().await;
    bench.organization().await;
    let shares = bench.split(2, 2).await;
    let (set, _) = bench.make_shares(2, 2).await.unwrap();
    bench.seal(true).await.unwrap();
    let refused = bench.make_shares(2, 2).await.unwrap_err();
    assert_eq!(refused.0.code, "sealed");
    for share in &shares {
        bench.unseal(share).await.unwrap();
    }
    let to = (Kind::Shamir, Some(set));
    let rotated = bench.try_rotate(&bench.client, to, KeyRotationType::Manual);
    assert_eq!(rotated.await.unwrap_err().0.code, "share_set_unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_does_not_keep_it_open() {
    let mut bench = Bench::start().await;
    bench.organization().await;
    bench.split(2, 2).await;
    bench.kill_database();
    let answer = bench.seal(true).await.unwrap_err();
    assert_eq!(answer.0.code, "sealed_unrecorded");
    assert!(!answer.0.message.contains("Nothing was done"), "{answer}");
    assert!(bench.secure().is_sealed());
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_that_nobody_has_tried_are_not_relied_on() {
    let bench = Bench::start().await;
    bench.organization().await;
    let shares = bench.split(2, 3).await;
    let refused = bench.seal(false).await.unwrap_err();
    assert_eq!(refused.0.code, "backup_unconfirmed");
    assert!(!bench.secure().is_sealed());
    bench.everything_opens().await;

    // Another process hears the proof; this one asks before it refuses.
    let second = bench.another().await.unwrap();
    let second = clm_secure_api::SecureClient::new(second as _);
    for share in &shares[..2] {
        let share = share.clone();
        let command = clm_secure_api::command::Unseal { share };
        second.unseal(bench.context(), command).await.unwrap();
    }
    let value = clm_secure::check_value_of_shares(&shares[..2]).unwrap();
    let command = ConfirmMasterKeyBackup {
        check_value: Some(value),
    };
    let confirmed = second.confirm_master_key_backup(bench.context(), command);
    confirmed.await.unwrap();
    assert!(bench.seal(false).await.unwrap().sealed);
    assert!(
        !bench.seal(false).await.unwrap().changed,
        "it is sealed already"
    );
    let events = bench.events().await;
    assert_eq!(
        events["seal.closed"], 3,
        "one of them a refusal: {events:?}"
    );
}
