//! Shares that fit, and all others: each of those is refused by name, and spoils nothing.

use chrono::TimeDelta;
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::secret::SecretString;
use clm_domain::states::KeyRotationType;
use clm_domain::states::MasterKeyProviderKind as Kind;
use clm_secure_api::command::{
    CheckHealth, ListCertificateStates, ListEncryptionKeys, LoadSealStatus, PullEvents, ResetUnseal,
};
use clm_secure_api::reply::SealStatus;

use super::bench::Bench;

async fn status(bench: &Bench) -> SealStatus {
    let found = bench
        .client
        .load_seal_status(bench.context(), LoadSealStatus {});
    found.await.unwrap()
}

async fn refused(bench: &Bench, share: &SecretString) -> String {
    let before = status(bench).await;
    let refused = bench.unseal(share).await.unwrap_err();
    let after = status(bench).await;
    assert_eq!(before, after, "{refused}");
    assert!(after.sealed);
    let secret = share.expose().lines().nth(4).unwrap_or("no such line");
    assert!(!refused.0.message.contains(secret), "{refused}");
    refused.0.code.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_shares_of_the_set_in_force_count_and_each_once() {
    let mut bench = Bench::start().await;
    let organization = bench.organization().await;
    bench.issue(organization).await;
    let old = bench.split(2, 3).await;
    // The same key is never split twice: another set is another key.
    let shares = bench.split(3, 4).await;
    let (_, never_used) = bench.make_shares(3, 4).await.unwrap();
    bench.restart().await;

    let sealed = status(&bench).await;
    assert_eq!(
        (sealed.sealed, sealed.threshold, sealed.shares),
        (true, Some(3), Some(4))
    );
    assert_eq!(refused(&bench, &old[0]).await, "share_of_another_set");
    assert_eq!(
        refused(&bench, &never_used[1]).await,
        "share_of_another_set"
    );
    let first = bench.unseal(&shares[0]).await.unwrap();
    assert_eq!((first.sealed, first.given, first.changed), (true, 1, true));

    // What is wrong in between changes nothing.
    for (wrong, code) in [
        (old[1].clone(), "share_of_another_set"),
        (never_used[0].clone(), "share_of_another_set"),
        (relabelled(&never_used[1], &shares[1]), "share_foreign"),
        (damaged(&shares[1]), "share_damaged"),
        (SecretString::new(String::new()), "share_malformed"),
        (SecretString::new("x".repeat(5_000)), "share_malformed"),
        (SecretString::new("a".repeat(64)), "share_malformed"),
    ] {
        assert_eq!(refused(&bench, &wrong).await, code);
    }
    let again = bench.unseal(&shares[0]).await.unwrap();
    assert_eq!((again.given, again.changed, again.sealed), (1, false, true));
    let second = bench.unseal(&shares[3]).await.unwrap();
    assert_eq!((second.given, second.sealed), (2, true), "one too few");
    let open = bench.unseal(&shares[1]).await.unwrap();
    assert!(!open.sealed && open.given == 0 && open.changed);
    bench.everything_opens().await;
    let late = bench.unseal(&shares[2]).await.unwrap_err();
    assert_eq!(late.0.code, "not_sealed");

    let events = bench.events().await;
    assert_eq!(events["unseal.share_accepted"], 2, "{events:?}");
    assert_eq!(events["unseal.completed"], 1);
    assert_eq!(events["unseal.refused"], 10, "{events:?}");
}

/// The content of one share under the name of another, with the right checksum.
fn relabelled(content: &SecretString, name: &SecretString) -> SecretString {
    let digits = content.expose().lines().nth(4).unwrap();
    let mut lines: Vec<&str> = name.expose().lines().take(4).collect();
    lines.push(digits);
    let body = lines.join("\n") + "\n";
    let checksum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
    let checksum: String = checksum
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    SecretString::new(format!("{body}sha256 {checksum}\n"))
}

fn damaged(share: &SecretString) -> SecretString {
    let lines: Vec<String> = share.expose().lines().map(str::to_owned).collect();
    let mut changed = lines.clone();
    let digits = lines[4].clone();
    let first = if digits.starts_with('0') { '1' } else { '0' };
    changed[4].replace_range(0..1, &first.to_string());
    SecretString::new(changed.join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_that_wait_too_long_or_are_reset_are_forgotten() {
    let mut bench = Bench::start().await;
    bench.organization().await;
    let shares = bench.split(2, 2).await;
    bench.restart().await;
    assert_eq!(bench.unseal(&shares[0]).await.unwrap().given, 1);
    let reset = bench
        .client
        .reset_unseal(bench.context(), ResetUnseal {})
        .await
        .unwrap();
    assert_eq!((reset.given, reset.sealed, reset.changed), (0, true, true));

    assert_eq!(bench.unseal(&shares[0]).await.unwrap().given, 1);
    bench.clock.advance(TimeDelta::seconds(15 * 60 - 1));
    assert_eq!(status(&bench).await.given, 1);
    bench.clock.advance(TimeDelta::seconds(1));
    let second = bench.unseal(&shares[1]).await.unwrap();
    assert_eq!(
        (second.given, second.sealed),
        (1, true),
        "the first was forgotten"
    );
    bench.clock.advance(TimeDelta::minutes(15));
    bench.secure().watch_over_master_key().await.unwrap();
    assert_eq!(status(&bench).await.given, 0);

    bench.unseal(&shares[0]).await.unwrap();
    assert!(!bench.unseal(&shares[1]).await.unwrap().sealed);
    bench.everything_opens().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_comes_into_force_in_time_or_never() {
    let bench = Bench::start().await;
    bench.organization().await;
    for (threshold, count) in [(1, 1), (1, 3), (3, 2), (2, 17), (0, 0)] {
        let refused = bench.make_shares(threshold, count).await.unwrap_err();
        assert_eq!(refused.0.code, "shares_out_of_range");
        assert_eq!(refused.0.violations[0].field, "shares");
    }
    let (stale, _) = bench.make_shares(2, 3).await.unwrap();
    let (fresh, _) = bench.make_shares(2, 3).await.unwrap();
    let to = async |provider, set| {
        let rotated = bench.try_rotate(&bench.client, (provider, set), KeyRotationType::Manual);
        rotated.await.map(drop).map_err(|error| error.0.code)
    };
    let code = |code: &'static str| Err(code.into());
    assert_eq!(
        to(Kind::Shamir, Some(stale)).await,
        code("share_set_unknown")
    );
    assert_eq!(to(Kind::Shamir, None).await, code("share_set_invalid"));
    assert_eq!(to(Kind::File, Some(fresh)).await, code("share_set_invalid"));
    assert_eq!(to(Kind::Environment, None).await, code("master_key_absent"));
    bench.clock.advance(TimeDelta::minutes(15));
    assert_eq!(
        to(Kind::Shamir, Some(fresh)).await,
        code("share_set_unknown")
    );
    assert_eq!(
        bench.master_key().await.key_version,
        1,
        "nothing has changed"
    );
    assert_eq!(bench.rotations().await, 0);
    bench.everything_opens().await;

    let (set, _) = bench.make_shares(2, 3).await.unwrap();
    assert_eq!(to(Kind::Shamir, Some(set)).await, Ok(()));
    assert_eq!(to(Kind::Shamir, Some(set)).await, Ok(()), "the same answer");
    assert_eq!(bench.rotations().await, 1, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_service_says_so_and_opens_nothing() {
    let bench = Bench::start().await;
    let organization = bench.organization().await;
    bench.issue(organization).await;
    let not_split = bench.seal(false).await.unwrap_err();
    assert_eq!(not_split.0.code, "master_key_not_split");
    let shares = bench.split(2, 3).await;
    let sealed = bench.seal(true).await.unwrap();
    assert!(sealed.sealed && sealed.changed);

    // Not even with what was opened before.
    let refused = bench
        .try_issue(&bench.client, organization)
        .await
        .unwrap_err();
    assert_eq!(refused.0.code, "sealed");
    assert_eq!(refused.0.retry_after_seconds, Some(30));
    assert!(refused.0.message.contains("2 more of its 3"), "{refused}");
    let refused = bench.organization_by(&bench.client).await.unwrap_err();
    assert_eq!(refused.0.code, "sealed");
    let list = ListEncryptionKeys {
        after: None,
        limit: 10,
    };
    let refused = bench
        .client
        .list_encryption_keys(bench.context(), list)
        .await;
    assert_eq!(refused.unwrap_err().0.code, "sealed");
    let refused = bench
        .client
        .pull_events(bench.context(), PullEvents { limit: 10 })
        .await;
    assert_eq!(refused.unwrap_err().0.code, "sealed");
    let to = (Kind::File, None);
    let refused = bench
        .try_rotate(&bench.client, to, KeyRotationType::Manual)
        .await;
    assert_eq!(refused.unwrap_err().0.code, "sealed");

    what_needs_no_key_is_answered(&bench).await;
    bench.unseal(&shares[0]).await.unwrap();
    bench.unseal(&shares[2]).await.unwrap();
    bench.issue(organization).await;
    bench.everything_opens().await;
    let health = bench
        .client
        .check_health(bench.context(), CheckHealth {})
        .await
        .unwrap();
    assert!(health.master_key && !health.seal.sealed);
}

async fn what_needs_no_key_is_answered(bench: &Bench) {
    let health = bench
        .client
        .check_health(bench.context(), CheckHealth {})
        .await
        .unwrap();
    assert!(health.database && !health.master_key && health.seal.sealed);
    assert_eq!(
        (
            health.master_key_provider.as_str(),
            health.master_key_version
        ),
        ("shamir", 2)
    );
    let states = ListCertificateStates {
        after: None,
        limit: 10,
    };
    let states = bench
        .client
        .list_certificate_states(bench.context_of(SYSTEM_ORGANIZATION), states);
    assert_eq!(states.await.unwrap().len(), 2);
    assert_eq!(bench.master_key().await.threshold, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_of_the_shares_cannot_be_exchanged() {
    let mut bench = Bench::start().await;
    bench.organization().await;
    let shares = bench.split(2, 2).await;
    // Somebody with the database replaces the hash of a share by that of another one.
    let (_, foreign) = bench.make_shares(2, 2).await.unwrap();
    let forged = relabelled(&foreign[1], &shares[1]);
    let hash = commitment_of(&forged);
    sqlx::query("UPDATE master_key_shares SET share_sha256 = $1 WHERE share_index = 2")
        .bind(hash)
        .execute(&bench.admin)
        .await
        .unwrap();
    bench.restart().await;
    bench.unseal(&shares[0]).await.unwrap();
    let refused = bench.unseal(&forged).await.unwrap_err();
    assert_eq!(refused.0.code, "shares_do_not_fit");
    assert!(bench.secure().is_sealed());
    assert_eq!(status(&bench).await.given, 0);
}

/// The stored hash of a share, from its text and the documented format alone.
fn commitment_of(share: &SecretString) -> Vec<u8> {
    let lines: Vec<&str> = share.expose().lines().collect();
    let id = |line: &str| uuid::Uuid::parse_str(line.split_once(' ').unwrap().1).unwrap();
    let number = |part: usize| {
        lines[3]
            .split([' ', ','])
            .nth(part)
            .unwrap()
            .parse::<u8>()
            .unwrap()
    };
    let mut bytes = b"clm master key share, version 1".to_vec();
    bytes.extend_from_slice(id(lines[1]).as_bytes());
    bytes.extend_from_slice(id(lines[2]).as_bytes());
    // share 2 of 3, any 2 open
    bytes.extend_from_slice(&[number(6), number(3), number(1)]);
    let digits = lines[4].as_bytes().chunks(2);
    bytes.extend(
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()),
    );
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes)
        .as_ref()
        .to_vec()
}
