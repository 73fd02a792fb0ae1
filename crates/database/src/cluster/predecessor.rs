//! What an earlier run left behind: a running server, orphaned backends, lock files.
//!
//! A `clm` that was killed leaves its PostgreSQL running. A number in a lock file proves nothing:
//! process IDs are used again. So no process is signalled unless it is shown to be a PostgreSQL
//! server of this very data directory.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::account::{Account, child_command};
use super::error::{ClusterError, failed_to};

/// How the names of PostgreSQL's socket files begin; the socket number follows.
pub(super) const SOCKET_PREFIX: &str = ".s.PGSQL.";

/// How long a server may take to stop in order (it disconnects clients and writes a checkpoint).
pub(super) const FAST_SHUTDOWN: Duration = Duration::from_secs(30);
/// How long it may take to stop without a checkpoint; it kills its children after 5 s itself.
pub(super) const IMMEDIATE_SHUTDOWN: Duration = Duration::from_secs(10);
/// How long backends may take to notice that their server is gone.
const ORPHANS_NOTICE: Duration = Duration::from_millis(500);
/// How long orphaned backends may take to end when told to.
const ORPHANS_END: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

const SOCKET_NUMBER_FIRST: u16 = 5432;
const SOCKET_NUMBERS: u16 = 100;

/// What a process has to do with a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// It has ended.
    Gone,
    /// It runs, and this machine does not tell what it is.
    Unknown,
    /// It runs, and is something else: it must not be touched.
    Foreign,
    /// The server (the postmaster) of that directory.
    Server,
    /// A child of such a server.
    Backend,
}

/// Ends whatever runs on this data directory and removes its lock file.
pub(super) async fn clear(data_directory: &Path) -> Result<(), ClusterError> {
    let lock_file = data_directory.join("postmaster.pid");
    let lock = LockFile::read(&lock_file)?;
    if let Some(pid) = lock.as_ref().and_then(|lock| lock.pid)
        && identify(pid, data_directory, &lock_file)? == Identity::Server
    {
        stop_server(pid, data_directory, &lock_file).await?;
    }
    // One whose lock file is lost.
    for (pid, identity) in running_on(data_directory) {
        if identity == Identity::Server {
            stop_server(pid, data_directory, &lock_file).await?;
        }
    }
    end_orphans(data_directory).await?;
    // PostgreSQL itself would refuse to start when the number in it is in use again.
    remove(&lock_file)
}

async fn stop_server(pid: Pid, data: &Path, lock_file: &Path) -> Result<(), ClusterError> {
    tracing::warn!(
        postgresql.pid = number(pid),
        "stopping the private PostgreSQL that an earlier run left running"
    );
    let mut waited = Duration::ZERO;
    for (signal, name, patience) in [
        (Signal::INT, "SIGINT", FAST_SHUTDOWN),
        (Signal::QUIT, "SIGQUIT", IMMEDIATE_SHUTDOWN),
    ] {
        // Looked at again right before each signal.
        if identify(pid, data, lock_file)? != Identity::Server {
            return Ok(());
        }
        send(pid, signal, name)?;
        let gone = || Ok(identify(pid, data, lock_file)? != Identity::Server);
        if until(patience, gone).await? {
            return Ok(());
        }
        waited += patience;
    }
    Err(ClusterError::DoesNotStop {
        pid: number(pid),
        seconds: waited.as_secs(),
    })
}

/// Backends end by themselves when their server is gone, but not in the middle of a long query;
/// until then they keep the shared memory, and a new server refuses to start.
///
/// An interrupted `initdb` counts too: it works in the directory that it fills.
pub(super) async fn end_orphans(data_directory: &Path) -> Result<(), ClusterError> {
    let none_left = || Ok(running_on(data_directory).is_empty());
    if until(ORPHANS_NOTICE, none_left).await? {
        return Ok(());
    }
    for (signal, name) in [(Signal::QUIT, "SIGQUIT"), (Signal::KILL, "SIGKILL")] {
        for (pid, _) in running_on(data_directory) {
            tracing::warn!(
                postgresql.pid = number(pid),
                "ending a PostgreSQL process that an earlier run left behind"
            );
            send(pid, signal, name)?;
        }
        if until(ORPHANS_END, none_left).await? {
            return Ok(());
        }
    }
    match running_on(data_directory).first() {
        None => Ok(()),
        Some((pid, _)) => Err(ClusterError::DoesNotStop {
            pid: number(*pid),
            seconds: ORPHANS_END.as_secs() * 2,
        }),
    }
}

/// Waits until something is so, at most as long as patience lasts; says whether it came to be.
pub(super) async fn until(
    patience: Duration,
    mut so: impl FnMut() -> Result<bool, ClusterError>,
) -> Result<bool, ClusterError> {
    let deadline = Instant::now() + patience;
    loop {
        if so()? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Sends a signal, and wakes the process if it was suspended; one that is gone is fine.
pub(super) fn send(pid: Pid, signal: Signal, name: &'static str) -> Result<(), ClusterError> {
    for signal in [signal, Signal::CONT] {
        match rustix::process::kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                let source = error.into();
                return Err(ClusterError::Signal {
                    signal: name,
                    pid: number(pid),
                    source,
                });
            }
        }
    }
    Ok(())
}

/// The first socket number that no running server has in this directory: 5432 unless the
/// directory is shared. What dead servers left is removed.
pub(super) fn free_socket_number(directory: &Path) -> Result<u16, ClusterError> {
    for port in SOCKET_NUMBER_FIRST..SOCKET_NUMBER_FIRST + SOCKET_NUMBERS {
        let socket = directory.join(format!("{SOCKET_PREFIX}{port}"));
        let lock_file = directory.join(format!("{SOCKET_PREFIX}{port}.lock"));
        let Some(lock) = LockFile::read(&lock_file)? else {
            return Ok(port);
        };
        let identity = match (lock.pid, &lock.data_directory) {
            (Some(pid), Some(data)) => identify(pid, data, &lock_file)?,
            _ => Identity::Gone,
        };
        if identity != Identity::Server {
            remove(&socket)?;
            remove(&lock_file)?;
            return Ok(port);
        }
    }
    Err(ClusterError::NoFreeSocket {
        path: directory.to_owned(),
    })
}

/// Whether `postmaster.pid` says that this server takes connections.
pub(super) fn is_ready(data_directory: &Path, pid: u32) -> bool {
    const STATUS_LINE: usize = 7;
    let Ok(text) = fs::read_to_string(data_directory.join("postmaster.pid")) else {
        return false;
    };
    let mut lines = text.lines();
    let ours = lines
        .next()
        .is_some_and(|first| first.trim().parse() == Ok(pid));
    ours && lines
        .nth(STATUS_LINE - 1)
        .is_some_and(|status| status.trim() == "ready")
}

pub(super) fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

fn remove(path: &Path) -> Result<(), ClusterError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed_to("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// The first lines of `postmaster.pid` and of `.s.PGSQL.5432.lock`.
struct LockFile {
    pid: Option<Pid>,
    data_directory: Option<PathBuf>,
}

impl LockFile {
    fn read(path: &Path) -> Result<Option<Self>, ClusterError> {
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed_to("read", path)(error)),
        };
        let mut lines = text.lines();
        // Negative: a server in single-user mode.
        let pid = lines
            .next()
            .and_then(|line| line.trim().parse::<i32>().ok());
        let pid = pid.and_then(i32::checked_abs).and_then(Pid::from_raw);
        let data_directory = lines.next().map(PathBuf::from);
        Ok(Some(Self {
            pid,
            data_directory,
        }))
    }
}

/// Every process that is a PostgreSQL of this data directory, as far as we may see that.
fn running_on(data_directory: &Path) -> Vec<(Pid, Identity)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse::<i32>().ok()?))
        .filter_map(|pid| {
            let identity = identify_in_proc(pid, data_directory);
            matches!(identity, Identity::Server | Identity::Backend).then_some((pid, identity))
        })
        .collect()
}

/// Finds out what a process is, or fails where the machine does not tell.
fn identify(pid: Pid, data: &Path, lock_file: &Path) -> Result<Identity, ClusterError> {
    let identity = if Path::new("/proc/self/stat").exists() {
        identify_in_proc(pid, data)
    } else {
        match rustix::process::test_kill_process(pid) {
            Err(rustix::io::Errno::SRCH) => Identity::Gone,
            _ => Identity::Unknown,
        }
    };
    match identity {
        Identity::Unknown => Err(ClusterError::PredecessorUnverified {
            pid: number(pid),
            lock_file: lock_file.to_owned(),
        }),
        known => Ok(known),
    }
}

/// It is a PostgreSQL of this directory if the directory's owner runs it, its program is
/// `postgres`, and it works in that directory, as every process of a server does.
fn identify_in_proc(pid: Pid, data_directory: &Path) -> Identity {
    let process = PathBuf::from(format!("/proc/{}", number(pid)));
    let Ok(status) = fs::read_to_string(process.join("status")) else {
        return Identity::Gone;
    };
    let field = |name: &str, column: usize| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().nth(column)
    };
    // An ended process whose parent has not asked for its status yet counts as gone.
    if matches!(field("State:", 0), None | Some("Z" | "X")) {
        return Identity::Gone;
    }
    let effective_uid = field("Uid:", 1).and_then(|uid| uid.parse::<u32>().ok());
    let Ok(directory) = fs::metadata(data_directory) else {
        return Identity::Foreign;
    };
    if effective_uid != Some(directory.uid()) {
        return Identity::Foreign;
    }
    let links = links(&process, &directory);
    // Read after the links: without one it is ending, and has none of them any more.
    let command_line = fs::read(process.join("cmdline")).unwrap_or_default();
    if command_line.is_empty() {
        return Identity::Gone;
    }
    let Some([program, cwd]) = links else {
        return Identity::Unknown;
    };
    let works_there = fs::metadata(cwd)
        .is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == (directory.dev(), directory.ino()));
    if !works_there || !is_postgres(&program) {
        return Identity::Foreign;
    }
    // Backends show what they do: "postgres: checkpointer".
    if command_line.starts_with(b"postgres: ") {
        Identity::Backend
    } else {
        Identity::Server
    }
}

/// The program and the working directory of a process that `owner`'s owner runs.
fn links(process: &Path, owner: &fs::Metadata) -> Option<[PathBuf; 2]> {
    let [program, cwd] = ["exe", "cwd"].map(|link| process.join(link));
    if let (Ok(program), Ok(cwd)) = (program.read_link(), cwd.read_link()) {
        return Some([program, cwd]);
    }
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    // Root in a container may not look at these (no CAP_SYS_PTRACE), but their owner may.
    let account = Account {
        name: String::new(),
        uid: owner.uid(),
        gid: owner.gid(),
    };
    let mut readlink = child_command(Path::new("readlink"), Some(&account));
    let output = readlink.args([program, cwd]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut lines = text.lines().map(PathBuf::from);
    Some([lines.next()?, lines.next()?])
}

/// The program's file may have been replaced by an upgrade while it ran.
fn is_postgres(program: &Path) -> bool {
    let name = program
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    matches!(
        name.strip_suffix(" (deleted)").unwrap_or(name),
        "postgres" | "initdb"
    )
}
