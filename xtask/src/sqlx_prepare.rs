//! `cargo xtask sqlx-prepare`: writes what the checked queries of the core and of the Secure
//! Service need to compile without a database (`.sqlx` in each crate), by compiling them once
//! against databases that the migrations have just made.
//!
//! The queries of a crate's own tests are not prepared: they are run, so they need no checking at
//! compile time.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::private_postgres::PrivatePostgres;
use crate::{environment, process};

/// An organization for statements that are only planned.
const ANY_ORGANIZATION: &str = "00000000-0000-0000-0000-000000000001";

/// A crate with checked queries, and its database.
struct Prepared {
    package: &'static str,
    folder: &'static str,
    database: &'static str,
    roles: &'static str,
    /// The variable that the query macros read (`sqlx.toml` of the crate).
    url_variable: &'static str,
    /// Names an existing, migrated database to use instead of a private one.
    given_variable: &'static str,
}

const PREPARED: [Prepared; 2] = [
    Prepared {
        package: "clm-core",
        folder: "crates/core",
        database: "clm_core_db",
        roles: "db/roles_core.sql",
        url_variable: "CORE_DATABASE_URL",
        given_variable: "CLM_PREPARE_CORE_URL",
    },
    Prepared {
        package: "clm-secure",
        folder: "crates/secure",
        database: "clm_secure_db",
        roles: "db/roles_secure.sql",
        url_variable: "SECURE_DATABASE_URL",
        given_variable: "CLM_PREPARE_SECURE_URL",
    },
];

/// Query data: name of the file, and its text.
type QueryData = BTreeMap<String, String>;

/// Prepares both crates, or checks what is kept. A crate that fails does not keep the other from
/// being prepared.
///
/// # Errors
/// When a database, a migration or a query fails; with `check`, when what is kept differs.
pub(crate) fn run(root: &Path, check: bool) -> Result<()> {
    let mut postgres = None;
    let mut failed = Vec::new();
    for prepared in &PREPARED {
        if let Err(error) = prepare(root, prepared, check, &mut postgres) {
            eprintln!("error: {}: {error:#}", prepared.package);
            failed.push(prepared.package);
        }
    }
    if !failed.is_empty() {
        bail!("query data of {} is not up to date", failed.join(" and "));
    }
    Ok(())
}

fn prepare(
    root: &Path,
    prepared: &Prepared,
    check: bool,
    postgres: &mut Option<PrivatePostgres>,
) -> Result<()> {
    let url = match environment::variable(prepared.given_variable) {
        Some(given) => given
            .to_str()
            .context("the given URL is not UTF-8")?
            .to_owned(),
        None => make_database(root, prepared, postgres)?,
    };
    let made = compile(root, prepared, &url)?;
    let directory = root.join(prepared.folder).join(".sqlx");
    let kept = read(&directory)?;
    let changes = changes(&kept, &made);
    for change in &changes {
        println!("{}/.sqlx/{change}", prepared.folder);
    }
    println!(
        "{}: {} queries, {} changes",
        prepared.package,
        made.len(),
        changes.len()
    );
    if !check {
        return write(&directory, &kept, &made);
    }
    if !changes.is_empty() {
        bail!("run `cargo xtask sqlx-prepare`");
    }
    Ok(())
}

/// Makes a database in the private server, which is started for the first one.
fn make_database(
    root: &Path,
    prepared: &Prepared,
    postgres: &mut Option<PrivatePostgres>,
) -> Result<String> {
    let postgres = match postgres {
        Some(running) => running,
        none => none.insert(PrivatePostgres::start()?),
    };
    let database = prepared.database;
    postgres.execute("postgres", &format!("CREATE DATABASE {database}"))?;
    let files = migrations(&root.join("migrations").join(database))?;
    for file in files.iter().chain([&root.join(prepared.roles)]) {
        postgres
            .apply(database, file)
            .with_context(|| file.display().to_string())?;
    }
    // The views are bound by row security, which the planner asks for the organization.
    let any = format!("ALTER DATABASE {database} SET app.current_org_id = '{ANY_ORGANIZATION}'");
    postgres.execute("postgres", &any)?;
    Ok(postgres.url(database))
}

/// The migrations of a database in order: `NNN_description.sql`.
fn migrations(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = || format!("{} cannot be read", directory.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(|first: char| first.is_ascii_digit()) && name.ends_with(".sql") {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// Compiles a crate against the database and returns the query data that this made.
fn compile(root: &Path, prepared: &Prepared, url: &str) -> Result<QueryData> {
    let fresh = root.join("target/sqlx-prepare").join(prepared.database);
    let failed = || format!("{} cannot be made", fresh.display());
    match fs::remove_dir_all(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(failed);
        }
        _ => fs::create_dir_all(&fresh).with_context(failed)?,
    }
    touch(&root.join(prepared.folder).join("src/lib.rs"), &fresh)?;
    let arguments = ["check", "--quiet", "--package", prepared.package];
    let mut cargo = process::cargo(root, &arguments);
    cargo
        .env(prepared.url_variable, url)
        .env("SQLX_OFFLINE", "false");
    process::run(cargo.env("SQLX_OFFLINE_DIR", &fresh))?;
    read(&fresh)
}

/// Makes cargo see a source as changed, so that it runs the query macros again.
fn touch(source: &Path, directory: &Path) -> Result<()> {
    let failed = || format!("{} cannot be touched", source.display());
    // A new file tells the file system's own idea of the present time.
    let clock = directory.join("now");
    let now = File::create(&clock).and_then(|file| file.metadata()?.modified());
    fs::remove_file(&clock).with_context(failed)?;
    let file = File::options()
        .append(true)
        .open(source)
        .with_context(failed)?;
    file.set_modified(now.with_context(failed)?)
        .with_context(failed)
}

fn read(directory: &Path) -> Result<QueryData> {
    let mut data = QueryData::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(data),
        entries => entries,
    };
    let failed = || format!("{} cannot be read", directory.display());
    for entry in entries.with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        data.insert(name, fs::read_to_string(entry.path()).with_context(failed)?);
    }
    Ok(data)
}

/// What would change in the directory, as `name: what`.
fn changes(kept: &QueryData, made: &QueryData) -> Vec<String> {
    let mut changes = Vec::new();
    for (name, text) in made {
        match kept.get(name) {
            None => changes.push(format!("{name}: missing ({})", query_name(text))),
            Some(kept) if kept != text => {
                changes.push(format!("{name}: stale ({})", query_name(text)));
            }
            Some(_) => {}
        }
    }
    for (name, text) in kept.iter().filter(|(name, _)| !made.contains_key(*name)) {
        changes.push(format!("{name}: no query needs it ({})", query_name(text)));
    }
    changes
}

/// The first line of the query, which is its name.
fn query_name(data: &str) -> String {
    let data: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
    let query = data
        .get("query")
        .and_then(serde_json::Value::as_str)
        .unwrap_or("unreadable");
    query
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("-- ")
        .to_owned()
}

fn write(directory: &Path, kept: &QueryData, made: &QueryData) -> Result<()> {
    let failed = || format!("{} cannot be written", directory.display());
    if !made.is_empty() {
        fs::create_dir_all(directory).with_context(failed)?;
    }
    for (name, text) in made
        .iter()
        .filter(|(name, text)| kept.get(*name) != Some(*text))
    {
        fs::write(directory.join(name), text).with_context(failed)?;
    }
    for name in kept.keys().filter(|name| !made.contains_key(*name)) {
        fs::remove_file(directory.join(name)).with_context(failed)?;
    }
    Ok(())
}
