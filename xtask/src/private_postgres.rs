//! A throw-away PostgreSQL for chores: a directory of its own, a Unix socket in it, no durability,
//! gone when dropped. Not for tests (they have `clm-test-support`) nor for anybody's data.
//!
//! PostgreSQL refuses to run as root; root starts it as the account `postgres`, else `nobody`.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{environment, process};

/// Where distributions keep the programs of each installed version.
const INSTALLATIONS: [(&str, &str); 2] = [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")];

/// Accounts that may run the server for root, in order of preference.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// How long the server may take to answer.
const READY_SECONDS_MAX: u64 = 60;

/// A running server.
pub(crate) struct PrivatePostgres {
    programs: PathBuf,
    directory: PathBuf,
    account: Option<Account>,
    server: Option<Child>,
}

#[derive(Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

impl PrivatePostgres {
    /// Makes a cluster and starts its server.
    ///
    /// # Errors
    /// When PostgreSQL is missing or does not start.
    pub(crate) fn start() -> Result<Self> {
        let programs = find_programs()?;
        let account = account()?;
        let directory = make_directory(account)?;
        // From here on dropping it clears up.
        let mut postgres = Self {
            programs,
            directory,
            account,
            server: None,
        };
        postgres.initialize()?;
        postgres.launch()?;
        Ok(postgres)
    }

    /// The address of one of its databases, for the superuser.
    pub(crate) fn url(&self, database: &str) -> String {
        format!(
            "postgres://clm@localhost/{database}?host={}",
            self.directory.display()
        )
    }

    /// Runs an SQL statement in a database.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn execute(&self, database: &str, statement: &str) -> Result<()> {
        let mut psql = self.psql(database);
        process::capture(psql.arg("-c").arg(statement))?;
        Ok(())
    }

    /// Applies an SQL file to a database, stopping at the first error.
    ///
    /// # Errors
    /// When a statement fails.
    pub(crate) fn apply(&self, database: &str, file: &Path) -> Result<()> {
        let mut psql = self.psql(database);
        process::capture(psql.arg("-f").arg(file))?;
        Ok(())
    }

    fn initialize(&self) -> Result<()> {
        let mut initdb = self.command("initdb");
        initdb.args(["--username", "clm", "--auth", "trust", "--encoding", "UTF8"]);
        initdb
            .args(["--locale", "C", "--no-sync", "--pgdata"])
            .arg(self.data());
        process::capture(&mut initdb)?;
        Ok(())
    }

    fn launch(&mut self) -> Result<()> {
        let log = File::create(self.log()).context("the server's log cannot be written")?;
        let mut server = self.command("postgres");
        server
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(&self.directory);
        for setting in ["listen_addresses=", "fsync=off", "synchronous_commit=off"] {
            server.args(["-c", setting]);
        }
        server
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.server = Some(server.spawn().context("postgres cannot be started")?);
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        let server_ended = |server: &mut Option<Child>| {
            server
                .as_mut()
                .is_some_and(|server| matches!(server.try_wait(), Ok(Some(_))))
        };
        while !process::works(self.psql("postgres").args(["-c", "SELECT 1"])) {
            let late = start.elapsed() > Duration::from_secs(READY_SECONDS_MAX);
            if late || server_ended(&mut self.server) {
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                bail!("PostgreSQL did not start:\n{}", log.trim());
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn psql(&self, database: &str) -> Command {
        let beside = self.programs.join("psql");
        let mut psql = if beside.is_file() {
            Command::new(beside)
        } else {
            Command::new("psql")
        };
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d"])
            .arg(self.url(database));
        psql.env_remove("PGOPTIONS")
            .env_remove("PGSERVICE")
            .stdin(Stdio::null());
        psql
    }

    /// One of the server's programs, run as the server's account.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .current_dir("/")
            .env_remove("PGDATA")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let mut stop = self.command("pg_ctl");
            stop.args(["stop", "--silent", "--mode", "immediate", "-D"])
                .arg(self.data());
            if !process::works(&mut stop) {
                // Its children notice that it is gone and end too.
                let _ = server.kill();
            }
            let _ = server.wait();
        }
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!(
                "warning: {} cannot be removed: {error}",
                self.directory.display()
            );
        }
    }
}

/// `CLM_PG_BIN` alone when it is set, else the newest installed version, else what `pg_config`
/// names, else the `PATH`.
fn find_programs() -> Result<PathBuf> {
    let holds_server = |directory: &PathBuf| {
        directory.join("initdb").is_file() && directory.join("postgres").is_file()
    };
    if let Some(given) = environment::variable("CLM_PG_BIN").map(PathBuf::from) {
        if holds_server(&given) {
            return Ok(given);
        }
        bail!(
            "CLM_PG_BIN names {}, which does not hold postgres and initdb",
            given.display()
        );
    }
    let mut installed = installed_versions();
    installed.sort_by_key(|(version, _)| *version);
    let newest_first = installed.into_iter().rev().map(|(_, directory)| directory);
    let named = process::capture(Command::new("pg_config").arg("--bindir"));
    let named = named.ok().map(|printed| PathBuf::from(printed.trim()));
    let path = environment::variable("PATH").unwrap_or_default();
    newest_first
        .chain(named)
        .chain(std::env::split_paths(&path))
        .find(holds_server)
        .context("no PostgreSQL server found: run scripts/ensure-tools.sh, or set CLM_PG_BIN")
}

fn installed_versions() -> Vec<(u32, PathBuf)> {
    let mut found = Vec::new();
    for (parent, prefix) in INSTALLATIONS {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix));
            let major = version.and_then(|version| version.split('.').next());
            if let Some(major) = major.and_then(|major| major.parse().ok()) {
                found.push((major, entry.path().join("bin")));
            }
        }
    }
    found
}

/// The account that must run the server, when we may not ourselves.
fn account() -> Result<Option<Account>> {
    let id = |arguments: &[&str]| -> Result<u32> {
        let printed = process::capture(Command::new("id").args(arguments))?;
        printed.trim().parse().context("`id` printed no number")
    };
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    for name in ACCOUNTS {
        if let (Ok(uid), Ok(gid)) = (id(&["-u", name]), id(&["-g", name])) {
            return Ok(Some(Account { uid, gid }));
        }
    }
    bail!("PostgreSQL refuses to run as root, and there is no account `postgres` or `nobody`")
}

/// A new directory that only the server's account (and root) may enter. Its path is short, because
/// that of a socket must fit into 107 bytes.
fn make_directory(account: Option<Account>) -> Result<PathBuf> {
    let name = format!("clm-chore-{}", std::process::id());
    let directory = std::env::temp_dir().join(OsStr::new(&name));
    let failed = || format!("{} cannot be made", directory.display());
    DirBuilder::new()
        .mode(0o700)
        .create(&directory)
        .with_context(failed)?;
    if let Some(account) = account {
        chown(&directory, Some(account.uid), Some(account.gid)).with_context(failed)?;
    }
    Ok(directory)
}
