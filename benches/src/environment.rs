//! The machine: its clock and randomness, and what a reader of the figures must know about it.

#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use clm_domain::clock::{Rng, whole_milliseconds};

/// Randomness of the operating system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineRng;

impl Rng for MachineRng {
    fn fill(&self, buffer: &mut [u8]) {
        if getrandom::fill(buffer).is_err() {
            // Unique rows need it; there is nothing to measure without.
            std::process::abort();
        }
    }
}

/// The current time, in the resolution that the databases get.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the harness reads the clock"
)]
pub(crate) fn now() -> DateTime<Utc> {
    whole_milliseconds(Utc::now())
}

/// How many processors there are for everything together.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The load average of the last minute.
pub(crate) fn load_average() -> Option<f64> {
    parse_load_average(&fs::read_to_string("/proc/loadavg").ok()?)
}

fn parse_load_average(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// The kind of the file system that holds `path`, such as `ext4`.
pub(crate) fn file_system(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    find_file_system(&fs::read_to_string("/proc/self/mounts").ok()?, &path)
}

/// The longest mount point above `path` holds it; of equal ones the last covers the others.
fn find_file_system(mounts: &str, path: &Path) -> Option<String> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            Some((fields.nth(1)?, fields.next()?))
        })
        .filter(|(mount_point, _)| path.starts_with(mount_point))
        .max_by_key(|(mount_point, _)| mount_point.len())
        .map(|(_, kind)| kind.to_owned())
}
