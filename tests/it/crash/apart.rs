//! Core and Secure Service in two processes, killed and stopped one without the other: nobody hears
//! anything but a certificate, 'try again', or silence where the core itself is gone; nothing is lost and
//! nothing is made twice.

use std::time::{Duration, Instant};

use clm_tests::Apart;

use super::clients::{Asked, Client, Habit, Load, csrs};
use super::ledger::Ledger;

/// How long a condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the other side is away where that shall be noticed.
const AWAY: Duration = Duration::from_millis(500);

/// Everything that clients asked for has one certificate, in both databases, and no other one exists.
async fn check(apart: &Apart, asked: &[Asked]) {
    reconcile(apart);
    let ledger = Ledger::read(&apart.databases()).await;
    ledger.check(asked);
    assert!(asked.iter().all(|request| request.told.is_some()));
    assert_eq!(ledger.len(), asked.len(), "one certificate for each key");
}

/// Polls `clm db reconcile --check` on the core's host until it finds nothing.
fn reconcile(apart: &Apart) {
    let begun = Instant::now();
    loop {
        let found =
            tokio::task::block_in_place(|| apart.on_core(&["db", "reconcile", "--check"], ""));
        if found.status.success() && found.stdout.is_empty() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "not reconciled: {found:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secure_service_that_goes_away_delays_and_loses_nothing() {
    let mut apart = Apart::start().await;
    let client = Client::new(apart.url.clone(), apart.furnish().await);
    let csrs = csrs();
    let mut all = Vec::new();
    for (round, signal) in ["KILL", "TERM", "KILL"].into_iter().enumerate() {
        let load = Load::start(&client, &csrs, &format!("secure-{round}"), Habit::Insists);
        load.wait_for_answers(super::clients::CLIENTS).await;
        let refusals = load.refusals();
        match signal {
            "KILL" => apart.secure.kill(),
            _ => assert!(apart.secure.stop(signal), "{}", apart.secure.read_log()),
        }
        tokio::time::sleep(AWAY).await;
        apart.secure.serve();
        load.wait_for_answers(super::clients::CLIENTS).await;
        assert!(load.refusals() > refusals, "nobody was told to try again");
        all.extend(load.end().await);
        check(&apart, &all).await;
    }
    assert!(apart.core.stop("TERM"), "{}", apart.core.read_log());
    assert!(apart.secure.stop("TERM"), "{}", apart.secure.read_log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_goes_away_leaves_nothing_half_done() {
    let mut apart = Apart::start().await;
    let client = Client::new(apart.url.clone(), apart.furnish().await);
    let csrs = csrs();
    let mut all = Vec::new();
    for (round, signal) in ["KILL", "TERM", "KILL"].into_iter().enumerate() {
        let load = Load::start(&client, &csrs, &format!("core-{round}"), Habit::GoesOn);
        load.wait_for_answers(super::clients::CLIENTS).await;
        match signal {
            "KILL" => apart.core.kill(),
            _ => assert!(apart.core.stop(signal), "{}", apart.core.read_log()),
        }
        let mut asked = load.end().await;
        apart.core.serve();
        Ledger::read(&apart.databases()).await;
        client.insist_on_unanswered(&mut asked).await;
        all.extend(asked);
        check(&apart, &all).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_starts_and_serves_without_the_other_side() {
    let mut apart = Apart::start().await;
    let secret = apart.furnish().await;
    let client = Client::new(apart.url.clone(), secret);
    let csr = csrs()[0].clone();
    client.insist("before", &csr).await;
    apart.secure.kill();
    assert!(apart.core.stop("TERM"));
    apart.core.spawn();
    let ready = format!("{}/readyz", apart.url);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let begun = Instant::now();
    let told = loop {
        // Nobody listens at first.
        if let Ok(answer) = http.get(&ready).send().await {
            assert_eq!(answer.status(), 503);
            break answer.text().await.unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "{}", apart.core.read_log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(told.contains("cannot be reached"), "{told}");
    let away = client.ask("away", &csr).await;
    assert!(
        matches!(&away, super::clients::Answer::TryAgain(problem)
            if problem.code == "secure_service_unavailable"),
        "{away:?}"
    );
    apart.secure.serve();
    apart.core.wait_ready();
    let mut asked = Vec::new();
    for key in ["before", "away"] {
        client.insist(key, &csr).await;
        asked.push(key);
    }
    let ledger = Ledger::read(&apart.databases()).await;
    assert_eq!(ledger.len(), asked.len());
    for key in asked {
        let [secure, core] = ledger.find(key);
        assert!(secure.is_some() && secure == core, "{key}");
    }
}
