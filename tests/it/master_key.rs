//! The master key: replaced, moved between providers, split between custodians and put together again.
//! The Secure Service runs on a database of its own, with a clock that the test moves; `program` has the
//! whole program.

mod answers;
mod bench;
mod custodians;
mod damaged;
mod hold;
mod interrupted;
mod processes;
mod program;
mod sealing;
mod transport;

use chrono::TimeDelta;
use clm_domain::states::MasterKeyProviderKind as Kind;
use clm_domain::states::{EncryptionKeyStatus, KeyRotationStatus, KeyRotationType};
use clm_secure_api::command::ConfirmMasterKeyBackup;

use bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn every_key_opens_wherever_the_master_key_goes() {
    let mut bench = Bench::start().await;
    let organization = bench.organization().await;
    let other = bench.organization().await;
    bench.issue(organization).await;
    bench.issue(other).await;
    let before = bench.everything_opens().await;

    // From the file to custodians.
    let shares = bench.split(2, 3).await;
    bench.everything_opens().await;
    bench.restart().await;
    assert!(bench.secure().is_sealed());
    bench.unseal(&shares[2]).await.unwrap();
    let open = bench.unseal(&shares[0]).await.unwrap();
    assert!(!open.sealed);
    bench.issue(organization).await;
    bench.everything_opens().await;

    // To a new file, beside the old one.
    let rotation = bench.rotate(Kind::File, KeyRotationType::Manual).await;
    assert_eq!(rotation.status, KeyRotationStatus::Completed);
    assert_eq!((rotation.items_processed, rotation.items_total), (2, 2));
    assert_eq!(rotation.reason.as_deref(), Some("a test"));
    bench.everything_opens().await;
    bench.restart().await;
    assert!(bench.file("master.key").exists(), "never deleted");
    assert_eq!(
        bench.master_key().await.place,
        bench.file("master.key.3").display().to_string()
    );
    bench.issue(other).await;
    bench.everything_opens().await;

    // To the environment, from where the next start takes it under its own name.
    bench.sources.environment[1] = Some("c".repeat(64).into());
    bench.restart().await;
    bench
        .rotate(Kind::Environment, KeyRotationType::Manual)
        .await;
    bench.restart().await;
    bench.sources.environment = [Some("c".repeat(64).into()), None];
    bench.restart().await;
    let third = bench.organization().await;
    bench.issue(third).await;
    let after = bench.everything_opens().await;
    assert_eq!((before, after), (2, 5));

    let key = bench.master_key().await;
    assert_eq!(
        (key.key_version, key.provider, key.data_keys),
        (4, Kind::Environment, 3)
    );
    let events = bench.events().await;
    assert_eq!(events["master_key.rotated"], 3);
    assert_eq!(events["master_key.shares_made"], 1);
    assert_eq!(
        (events["unseal.share_accepted"], events["unseal.completed"]),
        (1, 1)
    );
    assert!(!events.contains_key("unseal.refused"));
    let providers: Vec<String> = bench.providers_of_data_keys().await;
    assert_eq!(providers, ["environment"; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_left_retires_or_is_revoked_and_ends() {
    let mut bench = Bench::start().await;
    bench.organization().await;
    bench.rotate(Kind::File, KeyRotationType::Emergency).await;
    bench.rotate(Kind::File, KeyRotationType::Compromise).await;
    let statuses = async |bench: &Bench| bench.master_statuses().await;
    assert_eq!(
        statuses(&bench).await,
        [
            EncryptionKeyStatus::Retired,
            EncryptionKeyStatus::Revoked,
            EncryptionKeyStatus::Active
        ]
    );
    bench.clock.advance(TimeDelta::hours(23));
    bench.secure().maintain_keys().await.unwrap();
    assert_eq!(statuses(&bench).await[0], EncryptionKeyStatus::Retired);
    bench.clock.advance(TimeDelta::hours(2));
    for _ in 0..2 {
        bench.secure().maintain_keys().await.unwrap();
    }
    assert_eq!(
        statuses(&bench).await,
        [
            EncryptionKeyStatus::Destroyed,
            EncryptionKeyStatus::Destroyed,
            EncryptionKeyStatus::Active
        ]
    );
    assert_eq!(bench.events().await["encryption_key.destroyed"], 2);
    bench.restart().await;
    bench.everything_opens().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_believed_when_it_is_one() {
    let mut bench = Bench::start().await;
    let confirm = async |bench: &Bench, check_value| {
        let command = ConfirmMasterKeyBackup { check_value };
        let context = bench.context();
        bench
            .client
            .confirm_master_key_backup(context, command)
            .await
    };
    assert_eq!(bench.master_key().await.backup_confirmed_at, None);
    for wrong in [None, Some([7; 32])] {
        let refused = confirm(&bench, wrong).await.unwrap_err();
        assert_eq!(refused.0.code, "not_a_copy");
    }
    let copy = bench.file("copy");
    std::fs::copy(bench.file("master.key"), &copy).unwrap();
    let value = clm_secure::check_value_of_copy(&copy).unwrap();
    let confirmed = confirm(&bench, Some(value)).await.unwrap();
    assert!(confirmed.backup_confirmed_at.is_some());

    // The next key needs a copy of its own.
    let shares = bench.split(2, 3).await;
    assert_eq!(bench.master_key().await.backup_confirmed_at, None);
    let refused = confirm(&bench, Some(value)).await.unwrap_err();
    assert_eq!(refused.0.code, "not_a_copy");
    let value = clm_secure::check_value_of_shares(&shares[1..]).unwrap();
    for proof in [Some(value), None] {
        let confirmed = confirm(&bench, proof).await.unwrap();
        assert!(confirmed.backup_confirmed_at.is_some());
    }
    let events = bench.events().await;
    assert_eq!(
        events["master_key.backup_confirmed"], 6,
        "three of them refusals"
    );
    bench.restart().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_another_key_is_refused_and_says_what_to_do() {
    let mut bench = Bench::start().await;
    bench.organization().await;
    bench.rotate(Kind::File, KeyRotationType::Manual).await;
    let (first, second) = (bench.file("master.key"), bench.file("master.key.2"));
    let aside = bench.file("aside");
    std::fs::rename(&second, &aside).unwrap();
    let says = |text: &str, words: &[&str]| {
        for word in words {
            assert!(text.contains(word), "{text} does not say {word}");
        }
    };
    let refused = bench.try_restart().await.unwrap_err();
    says(
        &refused,
        &[
            "is not the one that sealed",
            second.to_str().unwrap(),
            "version 2",
            "'file'",
            "put it back",
        ],
    );
    std::fs::remove_file(&first).unwrap();
    let refused = bench.try_restart().await.unwrap_err();
    says(
        &refused,
        &["lost", "version 2", second.to_str().unwrap(), "put it back"],
    );
    assert!(!first.exists() && !second.exists(), "no new one was made");
    std::fs::write(&second, "no key").unwrap();
    let refused = bench.try_restart().await.unwrap_err();
    says(&refused, &["cannot be read", "master.key.2"]);
    std::fs::rename(&aside, &second).unwrap();
    bench.restart().await;
    bench.everything_opens().await;
    // A data key that was changed in the database is noticed as well.
    bench.damage_a_data_key().await;
    let refused = bench.try_restart().await.unwrap_err();
    says(&refused, &["does not open a stored key", "encryption_keys"]);
}
