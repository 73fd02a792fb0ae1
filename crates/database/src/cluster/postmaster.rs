//! The server process: started in a process group of its own, watched, stopped, reaped.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, Signal};

use super::account::RunAs;
use super::directories::Log;
use super::error::{ClusterError, failed_to};
use super::predecessor::{FAST_SHUTDOWN, IMMEDIATE_SHUTDOWN, send, until};
use super::{Binaries, configuration};

/// A running server, our child.
///
/// Dropping it tells the server to stop (without waiting), so that an error on the way does not
/// leave one behind.
#[derive(Debug)]
pub(super) struct Postmaster {
    child: Option<Child>,
    pid: u32,
}

impl Postmaster {
    /// Starts the server on a data directory whose configuration is written.
    pub(super) fn spawn(
        binaries: &Binaries,
        data_directory: &Path,
        run_as: &RunAs,
        log: &Log,
    ) -> Result<Self, ClusterError> {
        let program = binaries.postgres();
        let inherited = inherited_descriptors();
        let mut command = match closing_shell(&inherited) {
            None => run_as.command(&program),
            Some((shell, script)) => {
                let mut command = run_as.command(Path::new(shell));
                command.args(["-c", &script, "sh"]).arg(&program);
                command
            }
        };
        let config_file = data_directory.join(configuration::FILE_NAME);
        command.arg("-D").arg(data_directory);
        command
            .arg("-c")
            .arg(format!("config_file={}", config_file.display()));
        command.stdout(log.handle()?).stderr(log.handle()?);
        // Ctrl-C in a terminal reaches `clm`, which stops the server in order.
        command.process_group(0);
        let child = spawn(&mut command, &program, run_as)?;
        Ok(Self {
            pid: child.id(),
            child: Some(child),
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, if it has; an ended one is reaped by asking.
    pub(super) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok().flatten()
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Stops it in order (SIGINT: clients are disconnected, a checkpoint is written), and at once
    /// (SIGQUIT) if that takes too long. It may have ended already.
    pub(super) async fn stop(&mut self) -> Result<(), ClusterError> {
        let mut waited = 0;
        for (signal, name, patience) in [
            (Signal::INT, "SIGINT", FAST_SHUTDOWN),
            (Signal::QUIT, "SIGQUIT", IMMEDIATE_SHUTDOWN),
        ] {
            if self.signal(signal, name)? && until(patience, || Ok(!self.is_running())).await? {
                return Ok(());
            }
            if !self.is_running() {
                return Ok(());
            }
            waited += patience.as_secs();
            tracing::warn!(
                postgresql.pid = self.pid,
                "the private PostgreSQL did not stop within {} s of {name}",
                patience.as_secs()
            );
        }
        Err(ClusterError::DoesNotStop {
            pid: self.pid,
            seconds: waited,
        })
    }

    /// Kills it without any chance to tidy up, and reaps it.
    pub(super) async fn kill(&mut self) -> Result<(), ClusterError> {
        self.signal(Signal::KILL, "SIGKILL")?;
        match until(IMMEDIATE_SHUTDOWN, || Ok(!self.is_running())).await? {
            true => Ok(()),
            false => Err(ClusterError::DoesNotStop {
                pid: self.pid,
                seconds: IMMEDIATE_SHUTDOWN.as_secs(),
            }),
        }
    }

    /// Sends a signal if it still runs: a child that has not been reaped keeps its process ID.
    fn signal(&mut self, signal: Signal, name: &'static str) -> Result<bool, ClusterError> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|_| self.is_running()) else {
            return Ok(false);
        };
        send(pid, signal, name)?;
        Ok(true)
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        if !self.is_running() {
            return;
        }
        if let Err(error) = self.signal(Signal::INT, "SIGINT") {
            tracing::warn!(%error, "the private PostgreSQL was left running");
        }
        let Some(mut child) = self.child.take() else {
            return;
        };
        // Nobody else would reap it.
        let reaper = std::thread::Builder::new().name("postgres-reaper".to_owned());
        if let Err(error) = reaper.spawn(move || child.wait()) {
            tracing::debug!(%error, "the private PostgreSQL stays a zombie until this process ends");
        }
    }
}

/// Starts a program, or says which one could not be started as whom.
pub(super) fn spawn(
    command: &mut Command,
    program: &Path,
    run_as: &RunAs,
) -> Result<Child, ClusterError> {
    command.spawn().map_err(|source| ClusterError::Spawn {
        program: program.to_owned(),
        account: run_as.account.name.clone(),
        source,
    })
}

/// The descriptors that a child would inherit, besides the standard ones.
///
/// Ours are all closed on exec; these come from whoever started us, such as the lock of `flock` or
/// the job server of `make`. The server outlives us, and would hold them.
fn inherited_descriptors() -> Vec<u32> {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    let inherited = |descriptor: &u32| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).ok();
        let flags = info.as_deref().and_then(|info| {
            let line = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
            u32::from_str_radix(line.trim(), 8).ok()
        });
        flags.is_some_and(|flags| flags & CLOSE_ON_EXEC == 0)
    };
    let mut descriptors: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .filter(inherited)
        .collect();
    descriptors.sort_unstable();
    descriptors
}

/// A shell and its script that closes these descriptors and becomes the program in its arguments:
/// safe Rust has no way to do it between fork and exec.
fn closing_shell(descriptors: &[u32]) -> Option<(&'static str, String)> {
    const BASH: &str = "/bin/bash";
    let last = descriptors.last()?;
    // Other shells read only one digit before a redirection.
    let any_number = *last <= 9 || File::open(BASH).is_ok();
    let shell = if *last > 9 && any_number {
        BASH
    } else {
        "/bin/sh"
    };
    if !any_number {
        tracing::warn!("the private PostgreSQL inherits open files of clm: /bin/bash is missing");
    }
    let closing: String = descriptors
        .iter()
        .filter(|descriptor| any_number || **descriptor <= 9)
        .map(|descriptor| format!(" {descriptor}>&-"))
        .collect();
    let close = if closing.is_empty() {
        String::new()
    } else {
        format!("exec{closing}; ")
    };
    Some((shell, format!("{close}exec \"$@\"")))
}

/// Makes sure that what was renamed in a directory survives a power failure.
pub(super) fn sync_directory(path: &Path) -> Result<(), ClusterError> {
    let directory = File::open(path).map_err(failed_to("open", path))?;
    directory
        .sync_all()
        .map_err(failed_to("write to disk", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inherited_descriptors_are_closed_before_the_server_starts() {
        assert_eq!(closing_shell(&[]), None);
        let (shell, script) = closing_shell(&[3, 7]).unwrap();
        assert_eq!(
            (shell, script.as_str()),
            ("/bin/sh", "exec 3>&- 7>&-; exec \"$@\"")
        );
        let open = File::open("/dev/null").unwrap();
        assert!(!inherited_descriptors().contains(&descriptor(&open)));
        rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).unwrap();
        assert!(inherited_descriptors().contains(&descriptor(&open)));
    }

    fn descriptor(file: &File) -> u32 {
        use std::os::fd::AsRawFd;
        u32::try_from(file.as_raw_fd()).unwrap()
    }
}
