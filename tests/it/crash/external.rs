//! Two PostgreSQL servers that the operator administers, and the core's stopped right after the
//! Secure Service committed: the client is told to try again, and the certificate exists once.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::chown;
use std::process::Stdio;
use std::time::{Duration, Instant};

use clm_api_types::api_keys::ApiKeyCreate;
use clm_api_types::certificate_authorities::CertificateAuthorityCreate;
use clm_api_types::client::{Client as ApiClient, ClientOptions, Credential};
use clm_api_types::sessions::SessionCreate;
use clm_database::pool::Database;
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_test_support::{TestCluster, cluster};
use clm_tests::Program;
use clm_tests::program::{free_address, signal_process};
use serde_json::json;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::clients::{Answer, Client, csrs};
use super::ledger::Ledger;
use super::wait_until_reconciled;
use clm_tests::databases::{Superuser, admin_url};

/// How long a condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct horse battery staple";

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
        this.prepare_databases();
        this.program.serve();
        this
    }

    /// `clm db init`, whose file has the settings of the server.
    fn prepare_databases(&mut self) {
        let directory = self.program.directory.path().join("settings");
        fs::create_dir(&directory).unwrap();
        if let Some(account) = cluster::account() {
            chown(&directory, Some(account.uid), Some(account.gid)).unwrap();
        }
        let file = directory.join("databases.env");
        self.clm(&["db", "init", "--out", file.to_str().unwrap()], "");
        let text = fs::read_to_string(&file).unwrap();
        let settings = text.lines().map(|line| line.split_once('=').unwrap());
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.program.environment.extend(settings);
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
        let arguments = [
            "user",
            "create-admin",
            "--username",
            "admin",
            "--password-stdin",
        ];
        self.clm(&arguments, &format!("{PASSWORD}\n"));
        let options = ClientOptions::default();
        let connect =
            |credential| ApiClient::over_network(&self.url, credential, &options).unwrap();
        let sign_in = SessionCreate {
            username: "admin".to_owned(),
            password: PASSWORD.to_owned(),
            organization: None,
        };
        let (_, credential) = connect(Credential::None).sign_in(&sign_in).await.unwrap();
        let admin = connect(credential);
        // The parent ends later, however long it takes until the child begins.
        let authority = |name: &str, parent_id, validity_days| CertificateAuthorityCreate {
            name: name.to_owned(),
            subject: format!("CN={name}"),
            parent_id,
            key_algorithm: KeyAlgorithm::EcdsaP256,
            signature_algorithm: None,
            validity_days,
            path_length_max: None,
            limits: None,
        };
        let root = authority("Root", None, 730);
        let root = admin
            .create_certificate_authority(&root, "root")
            .await
            .unwrap();
        let issuing = authority("Issuing", Some(root.id), 365);
        admin
            .create_certificate_authority(&issuing, "issuing")
            .await
            .unwrap();
        let key = ApiKeyCreate {
            name: "test".to_owned(),
            scopes: None,
            expires_at: None,
        };
        let key = admin.create_api_key(&key).await.unwrap();
        Client::new(self.url.clone(), key.secret)
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
