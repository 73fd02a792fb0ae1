//! How much memory processes use, as the kernel tells.

#[cfg(test)]
mod tests;

use std::fs;
use std::time::Duration;

use tokio::task::JoinHandle;

/// How often memory under load is looked at.
const WATCH_EVERY: Duration = Duration::from_millis(200);

/// Bytes in a mebibyte, in the kernel's KiB.
const KIB_PER_MIB: f64 = 1_024.0;

/// Resident memory of a process in MiB (`VmRSS`), shared pages included.
pub(crate) fn resident_mib(pid: u32) -> Option<f64> {
    mib_of(&format!("/proc/{pid}/status"), "VmRSS")
}

/// Memory of all processes below `pid` in MiB: of PostgreSQL, whose processes share their buffers.
/// Shared pages count in proportion (`Pss`), so that the sum holds each of them once. `None` when
/// the kernel does not tell us.
pub(crate) fn descendants_mib(pid: u32) -> Option<f64> {
    let each: Vec<f64> = descendants(pid)
        .into_iter()
        .filter_map(|child| mib_of(&format!("/proc/{child}/smaps_rollup"), "Pss"))
        .collect();
    (!each.is_empty()).then(|| each.iter().sum())
}

/// The processes below `pid`.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let parents = parents();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(child, _)| *child),
        );
        next += 1;
    }
    found.split_off(1)
}

/// Every process with its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parse_parent(&stat)?))
        })
        .collect()
}

/// The fourth field of proc_pid_stat(5). The second is a name in parentheses, which may hold both
/// spaces and parentheses.
fn parse_parent(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn mib_of(path: &str, field: &str) -> Option<f64> {
    parse_field_kib(&fs::read_to_string(path).ok()?, field).map(|kib| kib / KIB_PER_MIB)
}

/// Reads a line such as `VmRSS: 1234 kB`.
fn parse_field_kib(text: &str, field: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?
        .split_ascii_whitespace()
        .next()?
        .parse()
        .ok()
}

/// Watches a process and keeps the most resident memory that was seen. Dropping it ends the watch.
#[derive(Debug)]
pub(crate) struct Watch {
    task: JoinHandle<()>,
    peak: tokio::sync::watch::Receiver<f64>,
}

impl Watch {
    /// Begins to watch.
    pub(crate) fn begin(pid: u32) -> Self {
        let (sender, peak) = tokio::sync::watch::channel(0.0);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(WATCH_EVERY);
            loop {
                ticks.tick().await;
                if let Some(mib) = resident_mib(pid) {
                    sender.send_if_modified(|peak| {
                        let more = mib > *peak;
                        *peak = peak.max(mib);
                        more
                    });
                }
            }
        });
        Self { task, peak }
    }

    /// The most so far, in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        *self.peak.borrow()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
