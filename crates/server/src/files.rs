//! Files that are replaced as a whole: a reader, or a crash, never meets half of one.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use clm_domain::clock::Rng as _;

use crate::environment::SystemRng;

/// Writes a file, or puts it into the place of the one that is there.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut suffix = [0_u8; 4];
    SystemRng.fill(&mut suffix);
    let fresh = path.with_extension(format!("{}.new", hex::encode(suffix)));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&fresh)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written.with_context(|| format!("writing {}", path.display()))
}

/// Removes what a process that was killed while it wrote one of these files left behind.
pub(crate) fn sweep(directory: &Path, names: &[&str]) -> anyhow::Result<()> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    for entry in entries.flatten() {
        let found = entry.file_name();
        let found = found.to_string_lossy();
        let is_ours = names.iter().any(|name| {
            let stem = name.rsplit_once('.').map_or(*name, |(stem, _)| stem);
            found
                .strip_prefix(stem)
                .is_some_and(|rest| rest.starts_with('.'))
        });
        if is_ours && found.ends_with(".new") {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}
