//! Two PostgreSQL servers that the operator administers, and the core's stopped right after the
//! Secure Service committed: the client is told to try again, and the certificate exists once.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use clm_database::pool::Database;
use clm_test_support::{TestCluster, cluster};
use clm_tests::Program;
use clm_tests::apart::{CREATE_ADMINISTRATOR, PASSWORD, furnish, prepare_databases};
use clm_tests::program::{free_address, signal_process};
use serde_json::json;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::clients::{Answer, Client, csrs};
use super::ledger::Ledger;
use super::wait_until_reconciled;
use clm_tests::databases::{Superuser, admin_url};

/// How long a condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program on two servers.
struct Installation {
    core: TestCluster,
    secure: TestCluster,
    program: Program,
    url: String,
    /// `--admin-url …` for `clm db` and `clm user`.
    administration: Vec<String>,
}

impl Installation {
    async fn start() -> Self {
        let (core, secure) = (TestCluster::start().await, TestCluster::start().await);
        // The sockets are the account's alone, so it must run the program too.
        let mut program = cluster::account().map_or_else(Program::prepare, Program::prepare_as);
        let address = free_address();
        program
            .environment
            .push(("CLM_HTTP_LISTEN".to_owned(), address.clone()));
        let administration = vec![
            "--admin-url".to_owned(),
            admin_url(&core),
            "--secure-admin-url".to_owned(),
            admin_url(&secure),
        ];
        let mut this = Self {
            core,
            secure,
            program,
            url: format!("http://{address}"),
            administration,
        };
        let administration: Vec<&str> = this.administration.iter().map(String::as_str).collect();
        prepare_databases(&mut this.program, &administration);
        this.program.serve();
        this
    }

    /// Runs a command of an administrator, with what it reads from standard input.
    fn clm(&self, arguments: &[&str], input: &str) {
        let mut command = self.program.command(arguments);
        command.args(&self.administration).stdin(Stdio::piped());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// The first administrator, two authorities, and an API key.
    async fn furnish(&self) -> Client {
        self.clm(&CREATE_ADMINISTRATOR, &format!("{PASSWORD}\n"));
        Client::new(self.url.clone(), furnish(&self.url).await)
    }

    fn databases(&self) -> Superuser {
        Superuser::connect(
            self.core.admin("clm_core_db"),
            self.secure.admin("clm_secure_db"),
        )
    }

    /// Asks for a certificate, and stops the core database between the Secure Service's commit and
    /// the projection. Returns the id that was committed.
    async fn stop_core_after_commit(&mut self, client: &Client, key: &str, csr: &str) -> String {
        let mut core = PgConnection::connect_with(&self.core.admin("clm_core_db"))
            .await
            .unwrap();
        sqlx::raw_sql("BEGIN; LOCK TABLE certificate_metadata IN ACCESS EXCLUSIVE MODE")
            .execute(&mut core)
            .await
            .unwrap();
        // This server is not durable: what was committed so far must outlive its stop.
        let mut other = PgConnection::connect_with(&self.core.admin("postgres"))
            .await
            .unwrap();
        sqlx::raw_sql("CHECKPOINT")
            .execute(&mut other)
            .await
            .unwrap();

        let asking = {
            let (client, key, csr) = (client.clone(), key.to_owned(), csr.to_owned());
            tokio::spawn(async move { client.ask(&key, &csr).await })
        };
        let committed = self.wait_for_certificate(Database::Secure, key).await;
        assert!(!asking.is_finished(), "answered before the projection");
        self.stop_core().await;
        match asking.await.unwrap() {
            Answer::TryAgain(problem) => {
                assert_eq!(problem.code, "core_database_unavailable", "{problem:?}");
            }
            other => panic!("{other:?}"),
        }
        // As long as it is away, everybody is told the same.
        let meanwhile = client.ask("meanwhile", csr).await;
        assert!(matches!(meanwhile, Answer::TryAgain(_)), "{meanwhile:?}");
        committed
    }

    /// SIGQUIT: what PostgreSQL calls an immediate shutdown.
    async fn stop_core(&mut self) {
        let cluster = self.core.cluster();
        signal_process("QUIT", cluster.postmaster_pid());
        let begun = Instant::now();
        while cluster.is_running() {
            assert!(
                begun.elapsed() < PATIENCE,
                "the core database does not stop"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn start_core(&mut self) {
        self.core.cluster().restart().await.unwrap();
    }

    /// Polls a database until the certificate with this label is committed; its id.
    async fn wait_for_certificate(&self, database: Database, label: &str) -> String {
        let databases = self.databases();
        let (pool, statement) = match database {
            Database::Secure => (
                &databases.secure,
                "SELECT id::text FROM certificates WHERE issuance_context -> 'tags' = $1",
            ),
            Database::Core => (
                &databases.core,
                "SELECT certificate_id::text FROM certificate_metadata WHERE to_jsonb(tags) = $1",
            ),
        };
        let begun = Instant::now();
        loop {
            let found = sqlx::query(statement)
                .bind(json!([label]))
                .fetch_optional(pool)
                .await;
            if let Some(row) = found.unwrap() {
                return row.get(0);
            }
            let log = self.program.read_log();
            assert!(
                begun.elapsed() < PATIENCE,
                "{label} does not appear in {database:?}: {log}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_database_that_stops_after_the_commit_delays_the_certificate_only() {
    let csr = csrs()[0].clone();
    let mut installation = Installation::start().await;
    let client = installation.furnish().await;
    client.insist("before", &csr).await;

    // Somebody tries again with the same key.
    let committed = installation
        .stop_core_after_commit(&client, "retried", &csr)
        .await;
    installation.start_core().await;
    let told = client.insist("retried", &csr).await;
    assert_eq!(told.id, committed, "the same certificate");

    // Nobody does: the relay delivers it.
    let committed = installation
        .stop_core_after_commit(&client, "left", &csr)
        .await;
    installation.start_core().await;
    let restarted = Instant::now();
    let projected = installation
        .wait_for_certificate(Database::Core, "left")
        .await;
    assert_eq!(projected, committed);
    let administration: Vec<&str> = installation
        .administration
        .iter()
        .map(String::as_str)
        .collect();
    wait_until_reconciled(&installation.program, &administration, restarted).await;

    let ledger = Ledger::read(&installation.databases()).await;
    for label in ["before", "retried", "left"] {
        let [secure, core] = ledger.find(label);
        assert!(
            secure.is_some() && secure == core,
            "{label}: {secure:?} {core:?}"
        );
    }
    let told = client.insist("left", &csr).await;
    assert_eq!(told.id, committed, "the key still returns it");
    client.insist("meanwhile", &csr).await;
    let ledger = Ledger::read(&installation.databases()).await;
    assert_eq!(ledger.len(), 4, "one certificate for each key");
    assert!(installation.program.stop("TERM"));
}
