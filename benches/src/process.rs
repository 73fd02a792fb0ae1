//! Programs that are measured: each ends with this one, whatever happens.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::memory::descendants;

/// How long a program may take to end in order.
const END_WITHIN: Duration = Duration::from_secs(40);
/// How often it is looked whether it has.
const POLL: Duration = Duration::from_millis(10);

/// A running program. Dropping it ends it, in order when it can.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    /// Starts a program without standard input, in a process group of its own: a Ctrl-C at the
    /// terminal comes to us alone, and we tell it once.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn spawn(name: &'static str, mut command: Command) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name} ({})", command.get_program().display()))?;
        Ok(Self { name, child })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Tells it to end and waits for that.
    ///
    /// # Errors
    /// When it does not; it is killed then.
    pub(crate) async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + END_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            tokio::time::sleep(POLL).await;
        }
        self.kill();
        bail!(
            "{} did not end within {} s and was killed",
            self.name,
            END_WITHIN.as_secs()
        )
    }

    fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }

    /// Ends it and its children, which would otherwise outlive it.
    fn kill(&mut self) {
        let children = descendants(self.pid());
        self.signal(Signal::KILL);
        for child in children {
            // PostgreSQL ends at once, and takes its own children along.
            send(child, Signal::QUIT);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        self.signal(Signal::TERM);
        let deadline = Instant::now() + END_WITHIN;
        while Instant::now() < deadline {
            if self.ended().is_some() {
                return;
            }
            std::thread::sleep(POLL);
        }
        self.kill();
    }
}

/// Sends a signal; a process that is gone already needs none.
fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
