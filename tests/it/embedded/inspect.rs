//! Looking at processes, files and the private server.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use clm_database::pool::Database;
use clm_test_support::cluster;
use clm_tests::Program;
use clm_tests::program::is_postgres;
use sqlx::{Connection as _, PgConnection, Row as _};

/// The account that a program started as root runs as.
const ACCOUNT: &str = "clm";

/// Files that hold a secret or lead to one.
const PRIVATE_FILES: [&str; 4] = ["bootstrap.json", "master.key", "clm.sock", "postgresql.log"];

/// Settings of the private server, and what they must be.
const SETTINGS: [(&str, &str); 8] = [
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    ("data_checksums", "on"),
    ("listen_addresses", ""),
    ("password_encryption", "scram-sha-256"),
    ("unix_socket_permissions", "0700"),
    ("log_statement", "none"),
];

/// Whether we are root.
pub(super) fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A PostgreSQL server and its helpers.
pub(super) fn family_of(server: u32) -> Vec<u32> {
    let helpers = processes().filter(|pid| parent_of(*pid) == Some(server));
    helpers.chain([server]).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(1)?.parse().ok()
}

/// Those of these processes that still run.
pub(super) fn running(family: &[u32]) -> Vec<u32> {
    family
        .iter()
        .copied()
        .filter(|pid| is_postgres(*pid))
        .collect()
}

/// The PostgreSQL servers of an installation, by their command line.
pub(super) fn servers_of(program: &Program) -> Vec<u32> {
    let directory = program
        .state_directory()
        .canonicalize()
        .unwrap()
        .join("postgresql");
    let found: Vec<u32> = processes().filter(|pid| serves(*pid, &directory)).collect();
    // A helper that was just forked still has the command line of its server.
    let helper = |pid: &u32| parent_of(*pid).is_some_and(|parent| found.contains(&parent));
    found.iter().copied().filter(|pid| !helper(pid)).collect()
}

/// Whether a process is a PostgreSQL server of this directory.
fn serves(pid: u32, directory: &Path) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0);
    let program = words.next().unwrap_or_default();
    let directory = directory.as_os_str().as_encoded_bytes();
    program.ends_with(b"/postgres") && words.any(|word| word == directory)
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The user IDs (real, effective, saved, of files) of a process.
fn user_ids(pid: u32) -> Option<Vec<u32>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().map(|id| id.parse().ok()).collect()
}

/// Checks who runs the program and its database: never root.
pub(super) fn check_owners(program: &Program) {
    let own = fs::metadata("/proc/self").unwrap().uid();
    let expected = if own == 0 {
        clm_database::cluster::Account::find(ACCOUNT)
            .unwrap()
            .unwrap()
            .uid
    } else {
        own
    };
    check_owners_are(program, expected);
}

/// Checks that the program, whose account is not root, cannot be dumped, or read by others with its
/// account, and that no thread of it can gain privileges.
pub(super) fn check_hardened(program: &Program) {
    let process = PathBuf::from(format!("/proc/{}", program.pid()));
    let limits = fs::read_to_string(process.join("limits")).unwrap();
    let core = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"))
        .unwrap();
    let core: Vec<_> = core.split_whitespace().collect();
    assert_eq!(core, ["0", "0", "bytes"]);
    // The kernel gives these files to root when the process is not dumpable.
    assert_eq!(fs::metadata(process.join("mem")).unwrap().uid(), 0);
    let mut threads = 0;
    for thread in fs::read_dir(process.join("task")).unwrap().flatten() {
        // A thread can end at any moment.
        let Ok(status) = fs::read_to_string(thread.path().join("status")) else {
            continue;
        };
        assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
        threads += 1;
    }
    assert!(threads > 1, "the runtime has threads of its own");
}

/// Checks that this user runs the program and every process of its database.
pub(super) fn check_owners_are(program: &Program, uid: u32) {
    assert_ne!(uid, 0);
    let server = program.postmaster_pid().unwrap();
    assert_eq!(servers_of(program), [server], "one database");
    let group = family_of(server);
    assert!(group.len() > 3, "a server and its helpers: {group:?}");
    assert_eq!(user_ids(program.pid()), Some(vec![uid; 4]));
    // A backend can end at any moment.
    for ids in group.into_iter().filter_map(user_ids) {
        assert_eq!(ids, [uid; 4]);
    }
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    let groups = status
        .lines()
        .find_map(|line| line.strip_prefix("Groups:"))
        .unwrap();
    if is_root() {
        assert!(
            !groups.split_whitespace().any(|group| group == "0"),
            "groups: {groups}"
        );
    }
}

/// Checks that files with secrets, and directories, are their owner's alone.
pub(super) fn check_files(program: &Program) {
    let data = program.data_directory();
    for name in PRIVATE_FILES {
        let directory = if name == "postgresql.log" {
            program.state_directory()
        } else {
            data.clone()
        };
        check_mode(&directory.join(name), 0o600);
    }
    let directories = [
        data,
        program.state_directory(),
        program.state_directory().join("postgresql"),
        program.run_directory().unwrap(),
        program.run_directory().unwrap().join("pg"),
    ];
    for directory in directories {
        check_mode(&directory, 0o700);
    }
}

fn check_mode(path: &Path, mode: u32) {
    let found = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(
        found.permissions().mode() & 0o7777,
        mode,
        "{}",
        path.display()
    );
}

/// Checks that commits outlive a power failure, and that only the socket leads to the server, with a
/// password for everybody but its own administrator.
pub(super) async fn check_durability(program: &Program) {
    let mut admin = PgConnection::connect_with(&program.admin("postgres"))
        .await
        .unwrap();
    for (name, value) in SETTINGS {
        let found: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(name)
            .fetch_one(&mut admin)
            .await
            .unwrap();
        assert_eq!(found, value, "{name}");
    }
    let rules = "SELECT type, user_name::text AS users, auth_method, error FROM pg_hba_file_rules";
    let rules = sqlx::query(rules).fetch_all(&mut admin).await.unwrap();
    assert!(!rules.is_empty());
    for rule in rules {
        let users: String = rule.get("users");
        let method: String = rule.get("auth_method");
        assert_eq!(rule.get::<Option<String>, _>("error"), None);
        assert_eq!(rule.get::<String, _>("type"), "local", "{users}");
        let expected: &[&str] = match users.as_str() {
            "{clm_admin}" => &["peer"],
            _ => &["scram-sha-256", "reject"],
        };
        assert!(expected.contains(&method.as_str()), "{users}: {method}");
    }
    for database in [Database::Core, Database::Secure] {
        check_password_needed(program, &mut admin, database).await;
    }
    assert_eq!(
        tcp_listeners_of(&family_of(program.postmaster_pid().unwrap())),
        0
    );
}

async fn check_password_needed(program: &Program, admin: &mut PgConnection, database: Database) {
    let user = database.user();
    let verifier = "SELECT rolpassword FROM pg_authid WHERE rolname = $1";
    let verifier: String = sqlx::query_scalar(verifier)
        .bind(user)
        .fetch_one(admin)
        .await
        .unwrap();
    assert!(verifier.starts_with("SCRAM-SHA-256$"), "{user}");
    let options = program.admin(database.name()).username(user);
    for options in [options.clone(), options.password("wrong")] {
        let refused = PgConnection::connect_with(&options).await;
        assert!(refused.is_err(), "{user} came in without its password");
    }
}

/// How many TCP sockets these processes listen on. As the same user, or as root.
fn tcp_listeners_of(group: &[u32]) -> usize {
    let mut listening = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text =
            fs::read_to_string(format!("/proc/{}/net/{table}", group[0])).unwrap_or_default();
        let inodes = text.lines().skip(1).filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            (fields[3] == "0A").then(|| format!("socket:[{}]", fields[9]))
        });
        listening.extend(inodes);
    }
    let held = group.iter().flat_map(|pid| {
        fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
    });
    held.flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|link| {
            listening
                .iter()
                .any(|socket| link.as_os_str() == socket.as_str())
        })
        .count()
}

/// The account that an ordinary user of this machine has, when we are root.
pub(super) fn ordinary_account() -> Option<clm_database::cluster::Account> {
    cluster::account()
}
