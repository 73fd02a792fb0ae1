//! A first start that is ended at random moments, until one is let through: everything exists once.

use std::time::{Duration, Instant};

use clm_domain::clock::random_bytes;
use clm_test_support::SeededRng;
use clm_tests::databases::Superuser;
use clm_tests::program::{is_postgres, signal_process};
use clm_tests::{Program, Soak};
use sqlx::PgPool;

use super::wait_until_reconciled;

/// A first start takes about so many milliseconds.
const START_MS: u32 = 2_500;
/// How long a database that was told to stop may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a first start makes, each counted by a query.
const MADE_ONCE: [(&str, i64); 5] = [
    (
        "SELECT count(*) FROM organizations WHERE slug = 'default'",
        1,
    ),
    ("SELECT count(*) FROM users WHERE username = 'admin'", 1),
    // The administrator's: at home, and in the System organization for what belongs to the installation.
    ("SELECT count(*) FROM user_roles", 2),
    (
        "SELECT count(*) FROM audit_log WHERE event_code = 'organization.created'",
        1,
    ),
    (
        "SELECT count(*) FROM audit_log WHERE event_code = 'user.created'",
        1,
    ),
];

/// After so long the program listens for signals for certain.
const LISTENING_MS: u32 = 200;

/// The same in `clm_secure_db`.
const MADE_ONCE_IN_SECURE: [(&str, i64); 3] = [
    ("SELECT count(*) FROM issuers", 2),
    (
        "SELECT count(*) FROM encryption_keys WHERE key_type = 'master'",
        1,
    ),
    (
        "SELECT count(*) FROM secure_audit_log WHERE event_code = 'certificate_authority.created'",
        2,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_first_start_is_taken_up_again() {
    let soak = Soak::announce();
    let rng = SeededRng::new(soak.seed);
    let mut program = Program::prepare();
    for round in 0..soak.rounds * 2 {
        let random = u32::from_le_bytes(random_bytes(&rng));
        let (moment, in_order) = (random / 2 % START_MS, random % 2 == 0);
        program.spawn();
        tokio::time::sleep(Duration::from_millis(moment.into())).await;
        println!("round {round}: ended after {moment} ms, in order: {in_order}");
        if !in_order {
            program.kill();
            continue;
        }
        signal_process("TERM", program.pid());
        let status = program.wait_for_end();
        if status.code().is_none() && moment < LISTENING_MS {
            // It did not listen for signals yet, and has touched nothing: neither what it would
            // have begun nor what the round before left.
            continue;
        }
        assert!(status.code().is_some(), "it ends by itself: {status}");
        wait_until_no_database(&program).await;
    }
    program.serve();
    let ready = Instant::now();
    // With the password that the file shows.
    program.sign_in().await.who_am_i().await.unwrap();
    let databases = Superuser::of(&program);
    check(&databases.core, &MADE_ONCE).await;
    check(&databases.secure, &MADE_ONCE_IN_SECURE).await;
    wait_until_reconciled(&program, &[], ready).await;
    let verified = program.cli(&["db", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    assert!(program.stop("TERM"), "{}", program.read_log());
}

async fn wait_until_no_database(program: &Program) {
    let begun = Instant::now();
    while program.postmaster_pid().is_some_and(is_postgres) {
        assert!(
            begun.elapsed() < PATIENCE,
            "a database is left: {}",
            program.read_log()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn check(pool: &PgPool, counts: &[(&'static str, i64)]) {
    for (statement, expected) in counts {
        let found: i64 = sqlx::query_scalar(*statement)
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(found, *expected, "{statement}");
    }
}
