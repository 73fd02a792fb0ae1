//! A token introduces one core, once, in time, to the service that made it.

use std::fs;
use std::process::Output;

use clm_domain::audit::SecureEvent;
use clm_domain::states::AuditResult;
use clm_test_support::cluster;
use clm_tests::databases::Log;
use clm_tests::{Apart, Program};
use sqlx::Row as _;

const CORE_FILE: &str = "transport-core.json";

/// The host of another core.
fn another_core(apart: &Apart) -> Program {
    let mut program = cluster::account().map_or_else(Program::prepare, Program::prepare_as);
    program.environment.clone_from(&apart.core.environment);
    program
}

fn accept(core: &Program, token: &str) -> Output {
    core.cli_with_settings(&["pair", "accept"], token)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What somebody hears whose token is refused; nothing is kept.
fn refusal(core: &Program, token: &str) -> String {
    let refused = accept(core, token);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(!core.data_directory().join(CORE_FILE).exists());
    said(&refused)
}

/// The codes with which tokens were refused, as the Secure Service recorded them.
async fn recorded(apart: &Apart) -> Vec<String> {
    let rows = sqlx::query(
        "SELECT details ->> 'code' AS code FROM secure_audit_log
         WHERE event_code = $1 AND result <> 'success' ORDER BY event_timestamp, id",
    )
    .bind(SecureEvent::TransportPeerPaired.code())
    .fetch_all(&apart.databases().secure)
    .await
    .unwrap();
    rows.iter().map(|row| row.get("code")).collect()
}

/// The same text with another digit in the part that is so far from the end.
fn with_another_digit(token: &str, part_from_end: usize) -> String {
    let mut parts: Vec<String> = token.trim().split(':').map(str::to_owned).collect();
    let index = parts.len() - 1 - part_from_end;
    let digit = if parts[index].starts_with('0') {
        "1"
    } else {
        "0"
    };
    parts[index].replace_range(0..1, digit);
    parts.join(":")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_refused_when_it_was_used_or_has_expired_or_is_another_one() {
    let mut apart = Apart::prepare().await;
    apart.secure.serve();
    let token = apart.token("core-1");
    let other = another_core(&apart);
    assert!(refusal(&other, "clm-pair-1:x").contains("damaged"));
    assert!(refusal(&other, "").contains("no pairing token"));
    assert!(refusal(&other, &"x".repeat(10_000)).contains("too long"));

    // The certificate of the service is not from the authority that this token names.
    let misled = refusal(&other, &with_another_digit(&token, 1));
    assert!(misled.contains("cannot be reached"), "{misled}");
    let unknown = refusal(&other, &with_another_digit(&token, 0));
    assert!(
        unknown.contains("is not one of this Secure Service"),
        "{unknown}"
    );

    assert!(accept(&apart.core, &token).status.success());
    let used = refusal(&other, &token);
    assert!(used.contains("was used already"), "{used}");

    let late = apart.token("core-2");
    sqlx::query("UPDATE transport_peers SET token_expires_at = created_at + interval '1 millisecond' WHERE name = 'core-2'")
        .execute(&apart.databases().secure)
        .await
        .unwrap();
    let expired = refusal(&other, &late);
    assert!(expired.contains("has expired"), "{expired}");

    let revoked = apart.token("core-3");
    assert!(
        apart
            .on_secure(&["pair", "revoke", "core-3"], "")
            .status
            .success()
    );
    let refused = refusal(&other, &revoked);
    assert!(refused.contains("was revoked"), "{refused}");
    let codes = [
        "token_unknown",
        "token_used",
        "token_expired",
        "token_revoked",
    ];
    assert_eq!(recorded(&apart).await, codes);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hosts_with_one_token_are_one_core() {
    let mut apart = Apart::prepare().await;
    apart.secure.serve();
    let token = apart.token("core-1");
    let hosts: Vec<Program> = (0..5).map(|_| another_core(&apart)).collect();
    let outputs: Vec<Output> = std::thread::scope(|scope| {
        let running: Vec<_> = hosts
            .iter()
            .map(|host| scope.spawn(|| accept(host, &token)))
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let mut winners = 0;
    for (host, output) in hosts.iter().zip(&outputs) {
        let paired = output.status.success();
        assert_eq!(host.data_directory().join(CORE_FILE).exists(), paired);
        assert!(
            paired || said(output).contains("was used already"),
            "{output:?}"
        );
        winners += usize::from(paired);
    }
    assert_eq!(winners, 1);
    let log = apart.databases().audit_log(Log::Secure).await;
    let paired = log.iter().filter(|(row, _)| {
        row.event_code == SecureEvent::TransportPeerPaired.code()
            && row.result == AuditResult::Success
    });
    assert_eq!(paired.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paired_core_is_paired_anew_only_when_that_is_meant() {
    let mut apart = Apart::start().await;
    let file = apart.core.data_directory().join(CORE_FILE);
    let before = fs::read(&file).unwrap();
    let token = apart.token("core-2");
    let running = accept(&apart.core, &token);
    assert!(
        said(&running).contains("serves from this data directory"),
        "{running:?}"
    );
    assert!(apart.core.stop("TERM"));
    let unmeant = accept(&apart.core, &token);
    assert!(said(&unmeant).contains("--replace"), "{unmeant:?}");
    assert_eq!(fs::read(&file).unwrap(), before);
    let meant = apart.on_core(&["pair", "accept", "--replace"], &token);
    assert!(meant.status.success(), "{meant:?}");
    assert_ne!(fs::read(&file).unwrap(), before);
    assert!(
        apart
            .on_secure(&["pair", "revoke", "core-1"], "")
            .status
            .success()
    );
    apart.core.serve();
    apart.furnish().await;
}
