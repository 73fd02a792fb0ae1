//! A rotation that ends at each of its steps leaves the old key in force, or the new one, and nothing
//! between.

use std::time::Duration;

use clm_domain::states::KeyRotationType;
use clm_domain::states::MasterKeyProviderKind as Kind;
use clm_test_support::SeededRng;

use super::bench::Bench;

/// Longest wait for a rotation.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where the database refuses, in the order in which a rotation comes by.
const STEPS: [(&str, &str); 5] = [
    ("UPDATE", "encryption_keys"),
    ("INSERT", "encryption_keys"),
    ("INSERT", "master_key_shares"),
    ("INSERT", "key_rotation_history"),
    ("INSERT", "secure_audit_log"),
];

async fn break_step(bench: &Bench, (act, table): (&str, &str)) {
    let text = format!(
        "CREATE OR REPLACE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN RAISE EXCEPTION ''broken''; END';
         CREATE TRIGGER trg_broken BEFORE {act} ON {table} FOR EACH ROW EXECUTE FUNCTION broken()"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(text))
        .execute(&bench.admin)
        .await
        .unwrap();
}

async fn mend(bench: &Bench, (_, table): (&str, &str)) {
    let text = format!("DROP TRIGGER trg_broken ON {table}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(text))
        .execute(&bench.admin)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_fails_anywhere_changes_nothing() {
    let mut bench = Bench::start().await;
    let organization = bench.organization().await;
    bench.issue(organization).await;
    for step in STEPS {
        for provider in [Kind::File, Kind::Shamir] {
            if (provider, step.1) == (Kind::File, "master_key_shares") {
                continue;
            }
            let set = match provider {
                Kind::Shamir => Some(bench.make_shares(2, 3).await.unwrap().0),
                _ => None,
            };
            break_step(&bench, step).await;
            let to = (provider, set);
            let failed = bench.try_rotate(&bench.client, to, KeyRotationType::Manual);
            failed.await.expect_err("the database refuses");
            mend(&bench, step).await;
            bench.everything_opens().await;
            bench.restart().await;
            bench.issue(organization).await;
            bench.everything_opens().await;
            assert_eq!(bench.master_key().await.key_version, 1, "{step:?}");
            assert_eq!(bench.rotations().await, 0, "{step:?}");
        }
    }
    // Files were made before the commit that did not come; none of them is in the way, renamed or gone.
    bench.rotate(Kind::File, KeyRotationType::Manual).await;
    bench.restart().await;
    bench.everything_opens().await;
    let names = std::fs::read_dir(bench.file("")).unwrap();
    let made = names.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("master.key.2-")
    });
    assert_eq!(made.count(), 4, "beside the one with the usual name");
    assert!(bench.file("master.key.2").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_before_the_commit_leaves_a_file_and_nothing_else() {
    let mut bench = Bench::start().await;
    let organization = bench.organization().await;
    bench.issue(organization).await;
    // What such a process leaves: a whole file, or a part of one.
    let path = bench.file("master.key.2");
    clm_secure::FileMasterKey::create(&path, &SeededRng::new(5)).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in [whole.len(), 40, 0] {
        std::fs::write(&path, &whole[..length]).unwrap();
        bench.restart().await;
        bench.issue(organization).await;
        bench.everything_opens().await;
    }
    bench.rotate(Kind::File, KeyRotationType::Manual).await;
    bench.restart().await;
    let place = bench.master_key().await.place;
    let usual = path.display().to_string();
    assert!(place.starts_with(&format!("{usual}-")), "{place}");
    assert_eq!(std::fs::read(&path).unwrap(), b"", "left alone");
    bench.everything_opens().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_after_the_commit_is_followed_by_one_with_the_new_key() {
    let mut bench = Bench::start().await;
    let organization = bench.organization().await;
    bench.issue(organization).await;
    let shares = {
        // It commits, and dies before anybody hears of it.
        let (set, shares) = bench.make_shares(2, 2).await.unwrap();
        let to = (Kind::Shamir, Some(set));
        let _ = bench
            .try_rotate(&bench.client, to, KeyRotationType::Manual)
            .await;
        shares
    };
    bench.restart().await;
    assert!(bench.secure().is_sealed());
    for share in &shares {
        bench.unseal(share).await.unwrap();
    }
    bench.issue(organization).await;
    bench.everything_opens().await;
}

/// Whoever asked goes away at any moment, also between the commit and the answer: no process is left with
/// a key that is not in force, none is sealed that had made the split key itself, and a start finds the
/// key.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_to_wait_for_the_answer() {
    let mut bench = Bench::start().await;
    let organization = bench.organization().await;
    bench.issue(organization).await;
    let (mut moment, mut broken_off, mut after_commit) = (Duration::ZERO, 0, 0);
    let mut shares = Vec::new();
    // Each waits a little longer, until some got their answer.
    for round in 0.. {
        assert!(moment < PATIENCE, "nothing is done in time");
        moment += Duration::from_millis(1);
        let before = bench.rotations().await;
        let set = match round % 2 {
            0 => None,
            _ => Some(bench.make_shares(2, 2).await.unwrap()),
        };
        let to = match &set {
            None => (Kind::File, None),
            Some((set, _)) => (Kind::Shamir, Some(*set)),
        };
        let rotating = bench.try_rotate(&bench.client, to, KeyRotationType::Manual);
        let outcome = tokio::time::timeout(moment, rotating).await;
        let answered = outcome.is_ok();
        outcome.map_or(Ok(()), |rotated| rotated.map(drop)).unwrap();
        // A server may still be at the commit that nobody waits for.
        let done = bench.settled_rotations().await > before;
        assert!(done || !answered);
        if let (true, Some((_, texts))) = (done, set) {
            shares = texts;
        } else if done {
            shares.clear();
        }
        broken_off += u32::from(!answered);
        after_commit += u32::from(done && !answered);
        bench.issue(organization).await;
        bench.secure().watch_over_master_key().await.unwrap();
        assert!(!bench.secure().is_sealed(), "round {round}");
        bench.everything_opens().await;
        if answered && round > 8 {
            break;
        }
    }
    bench.restart().await;
    for share in &shares {
        bench.unseal(share).await.unwrap();
    }
    bench.everything_opens().await;
    assert!(
        broken_off > 3,
        "{broken_off} were broken off, {after_commit} after the commit"
    );
}
