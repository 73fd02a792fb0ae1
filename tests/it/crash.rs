//! Faults at the worst moment: nothing that a client was told is lost, nothing is done twice, and
//! both databases agree again by themselves.

mod apart;
mod clients;
mod external;
mod ledger;
mod rotation;
mod start;

use std::fs;
use std::time::{Duration, Instant};

use clm_domain::clock::random_bytes;
use clm_test_support::SeededRng;
use clm_tests::program::{is_postgres, signal_process};
use clm_tests::{Program, Soak};

use self::clients::{Asked, Client, Habit, Load, csrs};
use self::ledger::Ledger;
use clm_tests::databases::Superuser;

/// How long after readiness both databases may take to agree.
const RECONCILED_WITHIN: Duration = Duration::from_secs(60);
/// How long the program may take to start its database again.
const DATABASE_WITHIN: Duration = Duration::from_secs(60);
/// The load goes on for at most so many milliseconds before the fault.
const FAULT_WITHIN_MS: u32 = 2_000;

/// The moment of each fault, from the seed.
struct Moments(SeededRng);

impl Moments {
    /// Waits until some client was served, and then for a random time.
    async fn wait(&self, load: &Load) {
        load.wait_for_answers(1).await;
        let random = u32::from_le_bytes(random_bytes(&self.0)) % FAULT_WITHIN_MS;
        tokio::time::sleep(Duration::from_millis(random.into())).await;
    }
}

/// Polls `clm db reconcile --check` until it finds nothing; how much it found at first.
async fn wait_until_reconciled(program: &Program, arguments: &[&str], ready: Instant) -> usize {
    let arguments = [&["db", "reconcile", "--check"], arguments].concat();
    let mut at_first = None;
    loop {
        let output = tokio::task::block_in_place(|| program.cli(&arguments));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.code() == Some(0) && said.is_empty() {
            return at_first.unwrap_or(0);
        }
        at_first.get_or_insert(said.lines().count());
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            ready.elapsed() < RECONCILED_WITHIN,
            "not reconciled: {}\n{said}\n{complaint}",
            output.status
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Checks everything that clients asked for so far, all of it answered by now.
async fn check_all(program: &Program, asked: &[Asked]) {
    let ledger = Ledger::read(&Superuser::of(program)).await;
    ledger.check(asked);
    assert!(asked.iter().all(|request| request.told.is_some()));
    assert_eq!(ledger.len(), asked.len(), "one certificate for each key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_keeps_every_promise() {
    let soak = Soak::announce();
    let moments = Moments(SeededRng::new(soak.seed));
    let csrs = csrs();
    let mut program = Program::start();
    let secret = program.api_key().await;
    let mut all: Vec<Asked> = Vec::new();
    for round in 0..soak.rounds {
        let client = Client::new(program.bootstrap_text("url"), secret.clone());
        let load = Load::start(&client, &csrs, &format!("kill-{round}"), Habit::GoesOn);
        moments.wait(&load).await;
        program.kill();
        let mut asked = load.end().await;
        let received = asked
            .iter()
            .filter(|request| request.told.is_some())
            .count();
        let unanswered = asked.len() - received;
        assert!(
            received > 0 && unanswered > 0,
            "{received} received, {unanswered} unanswered"
        );

        program.serve();
        let ready = Instant::now();
        let ledger = Ledger::read(&Superuser::of(&program)).await;
        ledger.check(&asked);
        let differences = wait_until_reconciled(&program, &[], ready).await;
        let reconciled = ready.elapsed();
        // Some were committed before anybody was told.
        let committed = ledger.len() - all.len() - received;

        let client = Client::new(program.bootstrap_text("url"), secret.clone());
        client.insist_on_unanswered(&mut asked).await;
        if let Some(told) = asked.first().and_then(|request| request.told.clone()) {
            let again = client.insist(&asked[0].key, asked[0].csr()).await;
            assert_eq!(
                again, told,
                "a key returns what it returned before the kill"
            );
        }
        all.extend(asked);
        check_all(&program, &all).await;
        println!(
            "round {round}: {received} received, {unanswered} unanswered of which {committed} \
             committed; {differences} differences, none after {reconciled:?}"
        );
    }
    wait_until_reconciled(&program, &[], Instant::now()).await;
    assert!(program.stop("TERM"), "{}", program.read_log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_database_is_started_again() {
    let soak = Soak::announce();
    let moments = Moments(SeededRng::new(soak.seed));
    let csrs = csrs();
    let mut program = Program::start();
    let client = Client::new(program.bootstrap_text("url"), program.api_key().await);
    let mut all = Vec::new();
    for round in 0..soak.rounds.div_ceil(3) {
        let load = Load::start(&client, &csrs, &format!("database-{round}"), Habit::Insists);
        moments.wait(&load).await;
        let killed = program.postmaster_pid().expect("the database runs");
        let refusals = load.refusals();
        signal_process("KILL", killed);
        let restarted = wait_for_database(&program, killed).await;
        // Every client is served again, by the same program.
        load.wait_for_answers(clients::CLIENTS).await;
        assert!(load.refusals() > refusals, "nobody was told to try again");
        println!("round {round}: {} refusals", load.refusals() - refusals);
        all.extend(load.end().await);
        assert!(!is_postgres(killed) && is_postgres(restarted));
        wait_until_reconciled(&program, &[], Instant::now()).await;
        check_all(&program, &all).await;
    }

    // What cannot be started again ends the program, with the reason.
    let control = program
        .state_directory()
        .join("postgresql/global/pg_control");
    let aside = control.with_extension("aside");
    let killed = program.postmaster_pid().expect("the database runs");
    fs::rename(&control, &aside).unwrap();
    signal_process("KILL", killed);
    let status = program.wait_for_end();
    let log = program.read_log();
    assert_eq!(status.code(), Some(1), "{log}");
    let last = log
        .lines()
        .rfind(|line| line.starts_with("clm: "))
        .unwrap_or_default();
    assert!(
        last.contains("the private PostgreSQL ended by itself and could not be started again"),
        "{log}"
    );
    assert!(
        !program.postmaster_pid().is_some_and(is_postgres),
        "a database is left"
    );
    fs::rename(&aside, &control).unwrap();
    program.serve();
    check_all(&program, &all).await;
    assert!(program.stop("INT"));
}

/// Waits until the database has another process that takes connections.
async fn wait_for_database(program: &Program, killed: u32) -> u32 {
    let begun = Instant::now();
    loop {
        let found = program
            .postmaster_pid()
            .filter(|pid| *pid != killed && is_postgres(*pid));
        if let Some(pid) = found {
            return pid;
        }
        assert!(begun.elapsed() < DATABASE_WITHIN, "{}", program.read_log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
