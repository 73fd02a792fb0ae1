//! What can go wrong with the private PostgreSQL, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::binaries::ServerVersion;

/// Why the private PostgreSQL could not be prepared, started or stopped.
///
/// The messages are for the person who started `clm`: each says what was wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No usable server programs on this machine.
    #[error(
        "no usable PostgreSQL ({minimum} or newer, with `initdb` and `postgres`) was found; looked at: {looked_at}. \
         Install it (Debian, Ubuntu: apt-get install postgresql; Fedora, RHEL: dnf install postgresql-server; \
         macOS: brew install postgresql), or set CLM_PG_BIN to the directory that holds these programs"
    )]
    BinariesMissing {
        /// The oldest major version that is supported.
        minimum: u32,
        /// Every place looked at, with what was wrong there.
        looked_at: String,
    },
    /// The cluster on disk needs another major version than any that was found.
    #[error(
        "the database in {data_directory} was made by PostgreSQL {cluster_major}, and only PostgreSQL {found} was found. \
         Install the server programs of version {cluster_major} (Debian, Ubuntu: apt-get install postgresql-{cluster_major}; \
         or set CLM_PG_BIN to their directory), or upgrade the database with pg_upgrade"
    )]
    OtherMajorVersion {
        /// Where the cluster lives.
        data_directory: PathBuf,
        /// The major version in its `PG_VERSION`.
        cluster_major: u32,
        /// What is installed.
        found: ServerVersion,
    },
    /// Running as root without an account to run the server as.
    #[error(
        "PostgreSQL refuses to run as root, and no unprivileged account was given: \
         start as an ordinary user, or name an account for the database"
    )]
    RootNeedsAccount,
    /// The account to run the server as is root itself.
    #[error("PostgreSQL refuses to run as root: `{name}` has the user ID 0; name another account")]
    AccountIsRoot {
        /// The account's name.
        name: String,
    },
    /// A name that no system account can have.
    #[error(
        "`{name}` cannot be the name of a system account: use 1 to 31 of a-z, 0-9, _ and -, beginning with a letter or _"
    )]
    AccountName {
        /// The name that was asked for.
        name: String,
    },
    /// The system account could not be made.
    #[error(
        "the system account `{name}` does not exist and could not be made ({reason}). Make it as root: \
         useradd --system --no-create-home --shell /usr/sbin/nologin {name}"
    )]
    AccountNotMade {
        /// The account's name.
        name: String,
        /// What `useradd` said, or why it could not be run.
        reason: String,
    },
    /// A user ID without a name: neither `initdb` nor peer authentication can work.
    #[error(
        "the user ID {uid} has no name in the user database (/etc/passwd), which PostgreSQL needs: \
         add an entry for it, or run as a user that has one"
    )]
    UserWithoutName {
        /// The user ID.
        uid: u32,
    },
    /// A user name that cannot be written to `pg_ident.conf`.
    #[error(
        "the user name {name:?} cannot be used for PostgreSQL's peer authentication: \
         run as a user whose name has no control characters, does not begin with `/` and is at most 200 bytes long"
    )]
    UserName {
        /// The user's name.
        name: String,
    },
    /// Something that is not a directory is where a directory must be.
    #[error("{path} is not a directory: move it away, or choose another place")]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The data directory has files, but no cluster.
    #[error(
        "{path} has files in it but is no PostgreSQL cluster (there is no PG_VERSION): \
         empty it, or choose another directory"
    )]
    NotACluster {
        /// The directory.
        path: PathBuf,
    },
    /// The `PG_VERSION` of the cluster cannot be understood.
    #[error(
        "{path} holds {content:?}, which is no PostgreSQL version: restore the directory from a backup"
    )]
    BadVersionFile {
        /// The file.
        path: PathBuf,
        /// What it holds.
        content: String,
    },
    /// A directory belongs to someone else.
    #[error(
        "{path} belongs to {owner}, and the database would run as {expected}: \
         start as {owner}, change the owner (chown -R {expected} {path}), or choose another directory"
    )]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// Who owns it.
        owner: String,
        /// Who would have to own it.
        expected: String,
    },
    /// A directory on the way cannot be passed by the account.
    #[error(
        "the account `{account}` cannot reach {path}, because it may not pass {blocking}: \
         allow that (chmod o+x {blocking}), or choose a directory elsewhere, such as below /var/lib"
    )]
    NotPassable {
        /// The directory to reach.
        path: PathBuf,
        /// The first directory that the account may not pass.
        blocking: PathBuf,
        /// The account's name.
        account: String,
    },
    /// The path of the Unix socket is longer than the kernel takes.
    #[error(
        "the path of the database's socket, {path}, has {length} bytes; at most {limit} are possible: \
         choose a shorter socket directory"
    )]
    SocketPathTooLong {
        /// The path of the socket.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// The longest possible.
        limit: usize,
    },
    /// The path of the data directory is longer than PostgreSQL takes.
    #[error(
        "the path {path} has {length} bytes; PostgreSQL takes at most {limit}: choose a shorter one"
    )]
    DataPathTooLong {
        /// The path of the data directory.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// The longest possible.
        limit: usize,
    },
    /// A path that cannot be written into PostgreSQL's configuration.
    #[error("the path {path:?} {reason}: choose another directory")]
    UnusablePath {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The socket directory is shared with other things and would have to be closed for them.
    #[error(
        "{path} must be a private directory (mode 0700, owned by {expected}) but has other files in it, \
         so it was left as it is: give the database's socket a directory of its own"
    )]
    SocketDirectoryShared {
        /// The directory.
        path: PathBuf,
        /// Who would have to own it.
        expected: String,
    },
    /// Every socket number of the directory is taken by a running server.
    #[error(
        "too many PostgreSQL servers have their socket in {path}: choose another socket directory"
    )]
    NoFreeSocket {
        /// The directory.
        path: PathBuf,
    },
    /// The log file is not a plain file of our own.
    #[error(
        "{path} is not a plain file that belongs to {expected} alone: move it away, or choose another log file"
    )]
    LogFile {
        /// The file.
        path: PathBuf,
        /// Who would have to own it.
        expected: String,
    },
    /// `initdb` failed.
    #[error("the database could not be created: {program} failed ({status}):\n{output}")]
    Initdb {
        /// The program.
        program: PathBuf,
        /// Its exit status.
        status: String,
        /// The last lines that it printed.
        output: String,
    },
    /// A program could not be started.
    #[error(
        "{program} could not be started as {account} ({source}): check that this account may run it"
    )]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Who would have run it.
        account: String,
        /// Why.
        source: io::Error,
    },
    /// The server ended before it was ready.
    #[error(
        "PostgreSQL ended while starting ({status}); the last lines of {log_file}:\n{log_tail}"
    )]
    Exited {
        /// Its exit status.
        status: String,
        /// Its log.
        log_file: PathBuf,
        /// The last lines that this start wrote to the log.
        log_tail: String,
    },
    /// The server did not take a connection in time.
    #[error(
        "PostgreSQL was not ready within {seconds} seconds ({reason}); the last lines of {log_file}:\n{log_tail}"
    )]
    NotReady {
        /// How long it was waited for.
        seconds: u64,
        /// The last failure to connect.
        reason: String,
        /// Its log.
        log_file: PathBuf,
        /// The last lines that this start wrote to the log.
        log_tail: String,
    },
    /// The lock file names a running process, and this machine does not tell what it is.
    #[error(
        "{lock_file} says that process {pid} runs this database, and it could not be verified whether it does: \
         stop that server (pg_ctl stop), or remove the file if no PostgreSQL runs there"
    )]
    PredecessorUnverified {
        /// The process.
        pid: u32,
        /// The lock file.
        lock_file: PathBuf,
    },
    /// A server did not end when told to.
    #[error(
        "PostgreSQL (process {pid}) did not stop within {seconds} seconds: stop it by hand (kill -QUIT {pid})"
    )]
    DoesNotStop {
        /// The process.
        pid: u32,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A signal could not be sent.
    #[error(
        "the signal {signal} could not be sent to PostgreSQL (process {pid}): {source}; stop it by hand"
    )]
    Signal {
        /// The signal's name.
        signal: &'static str,
        /// The process.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// A file operation failed.
    #[error("could not {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Makes the closure for `map_err` that says what was tried with which path.
pub(super) fn failed_to<E: Into<io::Error>>(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> ClusterError {
    move |source| ClusterError::Io {
        action,
        path: path.to_owned(),
        source: source.into(),
    }
}

/// The last lines of what a program printed, indented for an error message.
pub(super) fn last_lines(text: &str) -> String {
    const LINES_MAX: usize = 15;
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    if lines.is_empty() {
        return "  (nothing)".to_owned();
    }
    let skipped = lines.len().saturating_sub(LINES_MAX);
    let tail: Vec<String> = lines
        .iter()
        .skip(skipped)
        .map(|line| format!("  {line}"))
        .collect();
    tail.join("\n")
}
