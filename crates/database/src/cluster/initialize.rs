//! Creates a cluster, all of it or nothing: `initdb` works in a workshop, the directory
//! `.<name>.clm-initdb` beside the data directory, and the result gets its name when it is complete.
//!
//! A workshop says that it is one by a marker file. What stands in its place without that is never
//! touched, and no process in it is signalled.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};

use super::account::RunAs;
use super::directories::{discard_workshop, is_workshop, make_workshop};
use super::error::{ClusterError, failed_to, last_lines};
use super::postmaster::sync_directory;
use super::{ADMIN_ROLE, Binaries, Durability, predecessor};

/// The locale of new clusters: sorts by code point, knows the classes of all characters.
const LOCALE: &str = "C.UTF-8";
/// Where the system has no such locale: knows the classes of ASCII only.
const LOCALE_FALLBACK: &str = "C";

/// Makes the cluster in `data_directory` (resolved; missing or empty).
pub(super) async fn initialize(
    data_directory: &Path,
    binaries: &Binaries,
    run_as: &RunAs,
    durability: Durability,
) -> Result<(), ClusterError> {
    let workshop = workshop(data_directory);
    let unfinished = unfinished(&workshop);
    if is_workshop(&workshop, run_as)? && unfinished.exists() {
        predecessor::end_orphans(&unfinished).await?;
    }
    let mut result = run(&workshop, binaries, run_as, durability, LOCALE).await?;
    if !result.status.success() && complaint(&result).contains("locale") {
        tracing::warn!("this system has no locale {LOCALE}: creating the database with C");
        result = run(&workshop, binaries, run_as, durability, LOCALE_FALLBACK).await?;
    }
    if !result.status.success() {
        let error = failure(binaries, result.status, &complaint(&result));
        discard_workshop(&workshop, run_as)?;
        return Err(error);
    }
    fs::rename(&unfinished, data_directory).map_err(failed_to(
        "move the new database into place (where it is a mount point, name a directory in it) as",
        data_directory,
    ))?;
    discard_workshop(&workshop, run_as)?;
    match (durability, data_directory.parent()) {
        (Durability::Full, Some(parent)) => sync_directory(parent),
        _ => Ok(()),
    }
}

/// Where a cluster is made.
pub(super) fn workshop(data_directory: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(data_directory.file_name().unwrap_or_default());
    name.push(".clm-initdb");
    data_directory.with_file_name(name)
}

/// Where in its workshop a cluster is until it is complete.
pub(super) fn unfinished(workshop: &Path) -> PathBuf {
    workshop.join("data")
}

async fn run(
    workshop: &Path,
    binaries: &Binaries,
    run_as: &RunAs,
    durability: Durability,
    locale: &str,
) -> Result<Output, ClusterError> {
    discard_workshop(workshop, run_as)?;
    let directory = &unfinished(workshop);
    make_workshop(workshop, directory, run_as)?;
    let program = binaries.initdb();
    let mut command = run_as.command(&program);
    command
        .arg("-D")
        .arg(directory)
        .args([
            "-U",
            ADMIN_ROLE,
            "-E",
            "UTF8",
            "--locale",
            locale,
            "--data-checksums",
        ])
        .args(["--auth-local=peer", "--auth-host=reject"])
        // So that one left by a killed `clm` can be found.
        .current_dir(directory);
    if matches!(durability, Durability::TestOnly) {
        command.arg("--no-sync");
    }
    let mut command = tokio::process::Command::from(command);
    let output = command.kill_on_drop(true).output().await;
    output.map_err(|source| ClusterError::Spawn {
        program,
        account: run_as.account.name.clone(),
        source,
    })
}

fn complaint(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    // The greeting on stdout names the locale, too: only a complaint about it counts.
    match stderr.trim().is_empty() {
        true => stdout.into_owned(),
        false => stderr.into_owned(),
    }
}

fn failure(binaries: &Binaries, status: ExitStatus, output: &str) -> ClusterError {
    ClusterError::Initdb {
        program: binaries.initdb(),
        status: status.to_string(),
        output: last_lines(output),
    }
}
