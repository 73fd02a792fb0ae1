//! The program as a process: `clm serve` in the embedded mode, and `clm …` against it.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clm_api_types::api_keys::ApiKeyCreate;
use clm_api_types::client::{Client, ClientOptions, Credential};
use clm_api_types::sessions::SessionCreate;
use clm_database::cluster::Account;
use clm_test_support::cluster;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use crate::step_up::Password;

/// How long a start may take on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// A running `clm serve` with its directory. Dropping it ends everything.
pub struct Program {
    child: Option<Child>,
    /// Holds the data directory and the logs.
    pub directory: TempDir,
    /// Further environment of the server.
    pub environment: Vec<(String, String)>,
    data_directory: PathBuf,
    executable: PathBuf,
    account: Option<Account>,
}

/// The program under test, built beside the tests.
///
/// # Panics
/// When it was not built: `make test` builds it.
pub fn executable() -> PathBuf {
    let own = std::env::current_exe().expect("a test has an executable");
    let path = own
        .ancestors()
        .nth(2)
        .expect("tests live in the target directory")
        .join("clm");
    assert!(
        path.exists(),
        "build the program first: cargo build -p clm-cli"
    );
    path
}

/// An address of this machine that was free a moment ago, and that nobody is likely to take before the
/// program does: the system gives ports of this range to no connection, and each process of tests begins
/// elsewhere in it.
///
/// # Panics
/// When no port is free.
pub fn free_address() -> String {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    const OF_PROCESS: u32 = 37;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(OF_PROCESS);
    (0..COUNT)
        .find_map(|_| {
            let next = begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
            let address = format!("127.0.0.1:{}", FIRST + next % COUNT);
            TcpListener::bind(&address).is_ok().then_some(address)
        })
        .expect("a port is free")
}

impl Program {
    /// Starts a new installation and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start() -> Self {
        let mut program = Self::prepare();
        program.serve();
        program
    }

    /// A directory with settings, and no server yet.
    pub fn prepare() -> Self {
        Self::prepare_at("data")
    }

    /// The same, run by `account` instead of root, from a copy of the program that it can read.
    ///
    /// # Panics
    /// When we are not root.
    pub fn prepare_as(account: Account) -> Self {
        let mut program = Self::prepare();
        let copy = program.directory.path().join("clm");
        std::fs::copy(&program.executable, &copy).expect("the program can be copied");
        std::fs::create_dir(&program.data_directory).expect("the directory is new");
        std::os::unix::fs::chown(
            &program.data_directory,
            Some(account.uid),
            Some(account.gid),
        )
        .expect("root gives directories away");
        program.executable = copy;
        program.account = Some(account);
        program
    }

    /// The same with a data directory of this name.
    pub fn prepare_at(name: &str) -> Self {
        let directory = cluster::directory();
        Self {
            child: None,
            data_directory: directory.path().join(name),
            directory,
            environment: Vec::new(),
            executable: executable(),
            account: None,
        }
    }

    /// `CLM_DATA_DIR`.
    pub fn data_directory(&self) -> PathBuf {
        self.data_directory.clone()
    }

    /// Where its files really are, which is elsewhere when the server's account cannot pass.
    pub fn state_directory(&self) -> PathBuf {
        match std::fs::read_to_string(self.data_directory.join("location")) {
            Ok(text) => PathBuf::from(text.trim_end()),
            Err(_) => self.data_directory(),
        }
    }

    /// Where its sockets are.
    pub fn run_directory(&self) -> Option<PathBuf> {
        let socket = std::fs::read_link(self.data_directory.join("clm.sock")).ok()?;
        socket.parent().map(Path::to_path_buf)
    }

    /// Where the server's log goes.
    pub fn log(&self) -> PathBuf {
        self.directory.path().join("clm.log")
    }

    /// Starts the server on this directory and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn serve(&mut self) {
        self.spawn();
        self.wait_ready();
    }

    /// Starts the server without waiting.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the log can be written");
        let ready = std::fs::File::create(self.directory.path().join("stdout"))
            .expect("standard output can be written");
        let mut command = self.command(&["serve"]);
        command
            .env("CLM_HTTP_LISTEN", free_address())
            .env("CLM_HTTPS_LISTEN", free_address())
            .env(
                "CLM_LOG",
                "info,clm_core=debug,clm_secure=debug,clm_api=debug,sqlx=warn",
            )
            .stdout(ready)
            .stderr(log);
        if let Some(pg_bin) = cluster::pg_bin() {
            command.env("CLM_PG_BIN", pg_bin);
        }
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        self.child = Some(command.spawn().expect("the program starts"));
    }

    /// `clm` with these arguments on the machine of the server, as whoever runs it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.executable);
        command
            .args(arguments)
            .env("CLM_DATA_DIR", self.data_directory())
            .env("HOME", self.directory.path())
            .env_remove("XDG_CONFIG_HOME")
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        if let Some(account) = &self.account {
            command
                .uid(account.uid)
                .gid(account.gid)
                .env_remove("XDG_RUNTIME_DIR");
        }
        command
    }

    /// Waits for the line `ready`.
    ///
    /// # Panics
    /// When the server ends, or takes too long.
    pub fn wait_ready(&mut self) {
        let begun = Instant::now();
        loop {
            let output = std::fs::read_to_string(self.directory.path().join("stdout"));
            if output.is_ok_and(|text| text.lines().any(|line| line == "ready")) {
                return;
            }
            if let Some(status) = self
                .child()
                .try_wait()
                .expect("the child can be waited for")
            {
                panic!("the server ended with {status}: {}", self.read_log());
            }
            assert!(
                begun.elapsed() < START_TIMEOUT,
                "not ready in time: {}",
                self.read_log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the server logged.
    pub fn read_log(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("the server was started")
    }

    /// The server's process.
    ///
    /// # Panics
    /// When it was not started.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server was started").id()
    }

    /// SIGKILL: nothing is finished or tidied.
    ///
    /// # Panics
    /// When it was not started.
    pub fn kill(&mut self) {
        let child = self.child();
        child.kill().expect("the server can be killed");
        child.wait().expect("a killed server ends");
        self.child = None;
    }

    /// Sends a signal such as `TERM` and waits for the end; returns whether it was a success.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(&mut self, signal: &str) -> bool {
        signal_process(signal, self.pid());
        self.wait_for_end().success()
    }

    /// Waits until the server ends.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self
                .child()
                .try_wait()
                .expect("the child can be waited for")
            {
                self.child = None;
                return status;
            }
            assert!(
                begun.elapsed() < STOP_TIMEOUT,
                "does not end: {}",
                self.read_log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `bootstrap.json`.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn bootstrap(&self) -> Value {
        let path = self.data_directory().join("bootstrap.json");
        let bytes = std::fs::read(path).expect("bootstrap.json exists");
        serde_json::from_slice(&bytes).expect("bootstrap.json is JSON")
    }

    /// A text of `bootstrap.json`.
    ///
    /// # Panics
    /// When it is absent.
    pub fn bootstrap_text(&self, name: &str) -> String {
        let file = self.bootstrap();
        file.get(name)
            .and_then(Value::as_str)
            .expect("bootstrap.json has the text")
            .to_owned()
    }

    /// Runs `clm` on the machine of the server.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .output()
            .expect("the program starts")
    }

    /// Runs `clm` on the machine of the server, with text on its standard input.
    ///
    /// # Panics
    /// When the process cannot be started or does not read.
    pub fn cli_with_input(&self, arguments: &[&str], input: &str) -> Output {
        with_input(self.command(arguments), input)
    }

    /// The same with the settings of the server.
    ///
    /// # Panics
    /// When the process cannot be started or does not read.
    pub fn cli_with_settings(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        let settings = self.environment.iter();
        command.envs(settings.map(|(name, value)| (name, value)));
        with_input(command, input)
    }

    /// Signs in as the first administrator.
    ///
    /// # Panics
    /// When that fails.
    pub async fn sign_in(&self) -> Client {
        let url = self.bootstrap_text("url");
        let options = ClientOptions::default();
        let anonymous =
            Client::over_network(&url, Credential::None, &options).expect("a client is made");
        let request = SessionCreate {
            username: self.bootstrap_text("username"),
            password: self.bootstrap_text("password"),
            organization: None,
        };
        let (_, credential) = anonymous
            .sign_in(&request)
            .await
            .expect("the administrator signs in");
        Client::over_network(&url, credential, &options).expect("a client is made")
    }

    /// An API key of the first administrator, which names all that this one may do: what is sensitive
    /// too.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn api_key(&self) -> String {
        let password = Password(self.bootstrap_text("password"));
        let session = self.sign_in().await.asking(Arc::new(password));
        let rights = session.who_am_i().await.expect("there is a session");
        let request = ApiKeyCreate {
            name: "test".to_owned(),
            scopes: Some(rights.permissions),
            expires_at: None,
            allowed_networks: None,
            user_id: None,
        };
        let made = session.create_api_key(&request).await;
        made.expect("an API key is made").secret
    }

    /// A client with an API key of the first administrator.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn client(&self) -> Client {
        let secret = self.api_key().await;
        let url = self.bootstrap_text("url");
        Client::over_network(&url, Credential::ApiKey(secret), &ClientOptions::default())
            .expect("a client is made")
    }

    /// The operator of the machine, who acts for an organization through the local socket.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn operator(&self, organization: &str) -> Client {
        let socket = self.data_directory().join("clm.sock");
        Client::over_socket(&socket, Some(organization.to_owned())).expect("a client is made")
    }

    /// How the superuser of the private server connects, for looking behind the program.
    ///
    /// # Panics
    /// When the server is not running.
    pub fn admin(&self, database: &str) -> PgConnectOptions {
        let run = self
            .run_directory()
            .expect("the server made its socket")
            .join("pg");
        PgConnectOptions::new_without_pgpass()
            .socket(run)
            .username(clm_database::cluster::ADMIN_ROLE)
            .database(database)
    }

    /// The private server's process, from its own file.
    pub fn postmaster_pid(&self) -> Option<u32> {
        let path = self.state_directory().join("postgresql/postmaster.pid");
        std::fs::read_to_string(path)
            .ok()?
            .lines()
            .next()?
            .trim()
            .parse()
            .ok()
    }
}

fn with_input(mut command: Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    std::io::Write::write_all(&mut stdin, input.as_bytes()).expect("the program reads");
    drop(stdin);
    child.wait_with_output().expect("the program ends")
}

impl Drop for Program {
    fn drop(&mut self) {
        let postmaster = self.postmaster_pid();
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(pid) = postmaster
            && is_postgres(pid)
        {
            signal_process("QUIT", pid);
            let begun = Instant::now();
            while is_postgres(pid) && begun.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        if let Some(run) = self.run_directory() {
            let _ = std::fs::remove_dir_all(run);
        }
        let state = self.state_directory();
        if state.starts_with("/var/lib/clm") {
            let _ = std::fs::remove_dir_all(state);
        }
    }
}

/// Sends a signal to a process.
///
/// # Panics
/// When `kill` cannot be run.
pub fn signal_process(signal: &str, pid: u32) {
    Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status()
        .expect("kill can be run");
}

/// Whether the process is a PostgreSQL server.
pub fn is_postgres(pid: u32) -> bool {
    std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline"))
        .is_ok_and(|line| line.windows(8).any(|part| part == b"postgres"))
}
