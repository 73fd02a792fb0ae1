//! Secrets are planted where secrets go, and then looked for wherever the program and PostgreSQL
//! write: dumps of both databases, the write-ahead log and all other files of the server, the logs,
//! standard output, and the environment of PostgreSQL's processes.

mod apart;
mod keys;
mod master_keys;
mod plants;
mod search;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clm_test_support::cluster;
use clm_tests::Program;
use clm_tests::databases::Superuser;
use clm_tests::rest::Rest;

use plants::Planted;
use search::Search;

/// Files that hold a secret on purpose, readable by their owner alone.
const ON_PURPOSE: &[&str] = &["master.key", "master.key.3"];

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_written_anywhere() {
    let mut program = Program::prepare();
    let bootstrap_password = "Planted-bootstrap-0wXz7Kq2LbV9".to_owned();
    let settings = [
        ("CLM_BOOTSTRAP_PASSWORD", bootstrap_password.as_str()),
        ("CLM_LOG", "trace"),
    ];
    program.environment = settings
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    program.serve();
    assert_eq!(program.bootstrap_text("password"), bootstrap_password);

    let mut planted = plants::plant(&program, &Rest::of(&program), bootstrap_password).await;
    let superuser = Superuser::of(&program);
    superuser.settle().await;
    keys::open_all(&program, &superuser, &mut planted).await;
    master_keys::plant(&program, &mut planted);
    // A checkpoint gives up old parts of the write-ahead log.
    let mut places = files_below(&program.state_directory().join("postgresql").join("pg_wal"));
    flush(&superuser).await;
    places.extend(self::places(&program));
    let log = program.read_log();
    for part in ["sqlx::query", "h2::", "clm_api::"] {
        assert!(
            log.contains(part),
            "the log says less than it can: nothing of {part}"
        );
    }

    let search = Search::new(&planted.secrets);
    let control = Search::new(&planted.controls);
    for (place, bytes) in &places {
        let found = search.find(bytes);
        assert!(found.is_empty(), "{place} holds {found:?}");
    }
    the_search_finds_what_is_there(&planted, &control, &places);
    drop(program);
}

/// Tables and indexes are in their files now.
async fn flush(superuser: &Superuser) {
    let done = sqlx::query("CHECKPOINT").execute(&superuser.core).await;
    done.expect("the superuser may flush");
}

/// Everything that is looked through, by name.
fn places(program: &Program) -> Vec<(String, Vec<u8>)> {
    let mut places = vec![
        (
            "the dump of clm_core_db".to_owned(),
            dump(program, "clm_core_db"),
        ),
        (
            "the dump of clm_secure_db".to_owned(),
            dump(program, "clm_secure_db"),
        ),
    ];
    places.extend(files_below(&program.state_directory()));
    for path in [program.log(), program.directory.path().join("stdout")] {
        places.push((
            path.display().to_string(),
            std::fs::read(&path).expect("it was written"),
        ));
    }
    for part in [
        "pg_wal/",
        "base/",
        "postgresql.log",
        "bootstrap.json",
        "clm.log",
        "stdout",
    ] {
        assert!(
            places.iter().any(|(name, _)| name.contains(part)),
            "{part} is not looked through"
        );
    }
    places.extend(processes(program));
    places
}

/// What the superuser's `pg_dump` writes as text.
pub(crate) fn dump(program: &Program, database: &str) -> Vec<u8> {
    let socket = program.run_directory().expect("the server runs").join("pg");
    // Some distributions of the server come without it; then the machine's own has to do.
    let tool = cluster::pg_bin()
        .map(|bin| bin.join("pg_dump"))
        .filter(|tool| tool.exists())
        .unwrap_or_else(|| PathBuf::from("pg_dump"));
    let output = Command::new(tool)
        .arg("--host")
        .arg(socket)
        .args([
            "--username",
            clm_database::cluster::ADMIN_ROLE,
            "--dbname",
            database,
        ])
        .output()
        .expect("pg_dump is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// The contents of all files below a directory, by path, but for those that hold a secret on
/// purpose.
fn files_below(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for path in files(directory) {
        let name = path.file_name().unwrap_or_default();
        if ON_PURPOSE.contains(&name.to_str().unwrap_or_default()) {
            let mode = std::fs::metadata(&path)
                .expect("the file is there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o077, 0, "{} is open to others", path.display());
            continue;
        }
        // What PostgreSQL removes meanwhile holds nothing any more.
        if let Ok(bytes) = std::fs::read(&path) {
            found.push((path.display().to_string(), bytes));
        }
    }
    found
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

/// Arguments of the program, and arguments and environment of PostgreSQL's processes.
fn processes(program: &Program) -> Vec<(String, Vec<u8>)> {
    let postmaster = program.postmaster_pid().expect("the server runs");
    let children =
        std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
    let mut files = vec![format!("/proc/{}/cmdline", program.pid())];
    let pids = children.unwrap_or_default();
    for pid in pids
        .split_whitespace()
        .map(str::to_owned)
        .chain([postmaster.to_string()])
    {
        files.push(format!("/proc/{pid}/cmdline"));
        files.push(format!("/proc/{pid}/environ"));
    }
    let read = |path: String| std::fs::read(&path).ok().map(|bytes| (path, bytes));
    let found: Vec<_> = files.into_iter().filter_map(read).collect();
    assert!(
        found
            .iter()
            .any(|(name, bytes)| name.ends_with("environ") && !bytes.is_empty())
    );
    found
}

/// What is no secret is found in the same places in the same way, so that finding nothing means
/// something.
fn the_search_finds_what_is_there(
    planted: &Planted,
    control: &Search,
    places: &[(String, Vec<u8>)],
) {
    for (part, what, form) in [
        ("the dump of clm_core_db", "the subject", "as it is"),
        ("the dump of clm_core_db", "the fingerprint", "hexadecimal"),
        ("the dump of clm_secure_db", "the subject", "as it is"),
        (
            "the dump of clm_secure_db",
            "the fingerprint",
            "hexadecimal",
        ),
        ("pg_wal/", "the subject", "as it is"),
        ("pg_wal/", "the fingerprint", "as it is"),
        ("base/", "the fingerprint", "as it is"),
        ("clm.log", "the path", "as it is"),
    ] {
        let found = places
            .iter()
            .filter(|(name, _)| name.contains(part))
            .flat_map(|(_, bytes)| control.find(bytes))
            .any(|found| found == (what, form));
        assert!(found, "{what} {form} is not found in {part}");
    }
    // Every form of every secret, in the midst of something.
    for secret in &planted.secrets {
        let search = Search::new(std::slice::from_ref(secret));
        for (form, text) in search::forms_of(&secret.bytes) {
            let hay = [b"before ".as_slice(), &text, b" behind"].concat();
            let found = search.find(&hay);
            assert!(
                found.contains(&(secret.name.as_str(), form)),
                "{} {form}",
                secret.name
            );
        }
    }
}
