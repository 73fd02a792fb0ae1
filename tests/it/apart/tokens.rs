//! Tokens as an operator handles them: each pairs one core, once, in time, with the service that made
//! it. Whatever is refused leaves the host of the core as it was.

use std::fs;
use std::process::Output;

use clm_test_support::cluster;
use clm_tests::{Apart, Program};

/// The host of a further core, which needs no database to take a token.
fn host() -> Program {
    let mut program = cluster::account().map_or_else(Program::prepare, Program::prepare_as);
    program
        .environment
        .push(("CLM_ROLE".to_owned(), "core".to_owned()));
    program
}

fn accept(host: &Program, token: &str) -> Output {
    host.cli_with_settings(&["pair", "accept"], token)
}

/// What the pairing left behind, if anything.
fn kept(host: &Program) -> Option<Vec<u8>> {
    fs::read(host.data_directory().join("transport-core.json")).ok()
}

/// Exit code 1, a message with all of `named` and without the secret of the token, and no pairing.
fn assert_refused(host: &Program, output: &Output, (token, named): (&str, &str)) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(named), "{named}: {said}");
    let secret = token.trim().rsplit(':').next().unwrap();
    assert!(secret.is_empty() || !said.contains(secret), "{said}");
    assert_eq!(kept(host), None);
}

/// The results of pairing in the log of the Secure Service, in order of the alphabet.
async fn audited(apart: &Apart) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT coalesce(details ->> 'code', result::text) AS outcome FROM secure_audit_log
         WHERE event_code = 'transport_peer.paired' ORDER BY outcome",
    )
    .fetch_all(&apart.databases().secure)
    .await
    .unwrap()
}

/// The token with one hexadecimal digit changed, `from_end` digits before its end.
fn changed(token: &str, from_end: usize) -> String {
    let mut text = token.trim().as_bytes().to_vec();
    let index = text.len() - from_end;
    text[index] = if text[index] == b'0' { b'1' } else { b'0' };
    String::from_utf8(text).unwrap()
}

async fn serving() -> Apart {
    let mut apart = Apart::prepare().await;
    apart.secure.serve();
    apart
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_pairs_no_second_host() {
    let apart = serving().await;
    let token = apart.token("core-1");
    let first = accept(&apart.core, &token);
    assert!(first.status.success(), "{first:?}");
    assert!(kept(&apart.core).is_some());
    let second = host();
    assert_refused(
        &second,
        &accept(&second, &token),
        (&token, "was used already"),
    );
    assert_eq!(audited(&apart).await, ["success", "token_used"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_with_its_time_and_with_its_name() {
    let apart = serving().await;
    let made = apart.on_secure(&["pair", "create", "core-1", "--valid-minutes", "1"], "");
    assert!(made.status.success(), "{made:?}");
    let late = String::from_utf8(made.stdout).unwrap();
    let moved = sqlx::query(
        "UPDATE transport_peers SET created_at = created_at - interval '1 hour',
            token_expires_at = token_expires_at - interval '1 hour' WHERE name = 'core-1'",
    );
    let moved = moved.execute(&apart.databases().secure).await.unwrap();
    assert_eq!(moved.rows_affected(), 1);
    assert_refused(
        &apart.core,
        &accept(&apart.core, &late),
        (&late, "has expired"),
    );

    let revoked = apart.token("core-2");
    let done = apart.on_secure(&["pair", "revoke", "core-2"], "");
    assert!(done.status.success(), "{done:?}");
    let refused = accept(&apart.core, &revoked);
    assert_refused(&apart.core, &refused, (&revoked, "was revoked"));
    assert_eq!(audited(&apart).await, ["token_expired", "token_revoked"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_five_hosts_with_one_token_one_is_paired() {
    let apart = serving().await;
    let token = apart.token("core-1");
    let hosts: Vec<Program> = (0..5).map(|_| host()).collect();
    let outcomes: Vec<Output> = std::thread::scope(|scope| {
        let started: Vec<_> = hosts
            .iter()
            .map(|host| scope.spawn(|| accept(host, &token)))
            .collect();
        started.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let mut paired = 0;
    for (host, outcome) in hosts.iter().zip(&outcomes) {
        if outcome.status.success() {
            assert!(kept(host).is_some());
            paired += 1;
        } else {
            assert_refused(host, outcome, (&token, "was used already"));
        }
    }
    assert_eq!(paired, 1, "{outcomes:?}");
    let expected = [
        "success",
        "token_used",
        "token_used",
        "token_used",
        "token_used",
    ];
    assert_eq!(audited(&apart).await, expected);
}

/// One digit of the secret, one digit of the authority; the token itself is still good after both.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_one_wrong_digit_pairs_nobody() {
    let apart = serving().await;
    let token = apart.token("core-1");
    let secret = changed(&token, 1);
    let refused = accept(&apart.core, &secret);
    assert_refused(
        &apart.core,
        &refused,
        (&secret, "not one of this Secure Service"),
    );
    assert_eq!(audited(&apart).await, ["token_unknown"]);
    // The secret does not leave this host for a service that is not the one of the token.
    let authority = changed(&token, 64 + 1 + 1);
    let refused = accept(&apart.core, &authority);
    assert_refused(&apart.core, &refused, (&authority, "cannot be reached"));
    assert_eq!(audited(&apart).await, ["token_unknown"]);
    let accepted = accept(&apart.core, &token);
    assert!(accepted.status.success(), "{accepted:?}");
}

/// A service of the same kind with another authority, to which a token was led astray.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_leads_to_a_foreign_service_is_not_told_it() {
    let (apart, foreign) = (serving().await, serving().await);
    let token = apart.token("core-1");
    let astray = token.replace(&apart.address, &foreign.address);
    assert_ne!(astray, token);
    let refused = accept(&apart.core, &astray);
    assert_refused(&apart.core, &refused, (&astray, "cannot be reached"));
    assert_eq!(audited(&foreign).await, [] as [String; 0]);
    let accepted = accept(&apart.core, &token);
    assert!(accepted.status.success(), "{accepted:?}");
}

#[test]
fn text_that_is_no_token_is_refused_before_anything_is_made() {
    let digits = "0".repeat(64);
    let (long, prefix) = ("x".repeat(5_000), "no pairing token of a version");
    for (text, named) in [
        (String::new(), prefix),
        ("hello".to_owned(), prefix),
        (
            format!("clm-pair-2:127.0.0.1:9443:{digits}:{digits}"),
            prefix,
        ),
        (format!("clm-pair-1:127.0.0.1:9443:{digits}"), "is damaged"),
        (
            format!("clm-pair-1:127.0.0.1:9443:{digits}:{}", &digits[1..]),
            "is damaged",
        ),
        (
            format!("clm-pair-1:127.0.0.1:{digits}:{digits}"),
            "is damaged",
        ),
        (
            format!("clm-pair-1:127.0.0.1:0:{digits}:{digits}"),
            "is damaged",
        ),
        (long, "too long to be a token"),
    ] {
        let host = host();
        let refused = accept(&host, &text);
        assert_refused(&host, &refused, (&text, named));
        let made = fs::read_dir(host.data_directory()).into_iter().flatten();
        assert_eq!(made.count(), 0, "{text}");
    }
}

/// A core that runs, and one that was paired before, keep what they have; the token stays good.
#[tokio::test(flavor = "multi_thread")]
async fn a_pairing_is_not_replaced_by_accident() {
    let mut apart = Apart::start().await;
    let before = kept(&apart.core).unwrap();
    let token = apart.token("core-2");
    let assert_kept = |output: &Output, named: &str, apart: &Apart| {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(named), "{named}: {said}");
        assert_eq!(kept(&apart.core).unwrap(), before);
    };
    for arguments in [&["pair", "accept"][..], &["pair", "accept", "--replace"]] {
        let refused = apart.on_core(arguments, &token);
        assert_kept(&refused, "serves from this data directory already", &apart);
    }
    assert!(apart.core.stop("TERM"));
    let refused = apart.on_core(&["pair", "accept"], &token);
    assert_kept(&refused, "paired already", &apart);
    assert_eq!(audited(&apart).await, ["success"]);

    let replaced = apart.on_core(&["pair", "accept", "--replace"], &token);
    assert!(replaced.status.success(), "{replaced:?}");
    assert_ne!(kept(&apart.core).unwrap(), before);
    assert_eq!(audited(&apart).await, ["success", "success"]);
    apart.core.serve();
}
