//! Makes the table of migrations from the files in `migrations/`, so that a new file is part of the
//! program without anybody listing it, and a misnamed or missing one stops the build.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Name of the constant, folder of the migrations, roles file.
const DATABASES: [(&str, &str, &str); 2] = [
    ("CORE", "clm_core_db", "roles_core.sql"),
    ("SECURE", "clm_secure_db", "roles_secure.sql"),
];

/// A catalogue that expects nothing: for the moment before the first snapshot of a new database.
const EMPTY_CATALOGUE: &str = "\"{}\"";

fn main() -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    let mut code = String::new();
    for (constant, folder, roles) in DATABASES {
        let migrations = workspace.join("migrations").join(folder);
        let roles = workspace.join("db").join(roles);
        watch(&migrations);
        watch(&roles);
        write_database(&mut code, constant, &migrations, &roles)?;
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo tells a build script its place this way"
    )]
    let out = std::env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?;
    fs::write(Path::new(&out).join("migrations.rs"), code)?;
    Ok(())
}

fn watch(path: &Path) {
    println!("cargo:rerun-if-changed={}", path.display());
}

fn write_database(code: &mut String, constant: &str, folder: &Path, roles: &Path) -> Result<()> {
    writeln!(
        code,
        "pub(super) const {constant}: Embedded = Embedded {{\n    migrations: &["
    )?;
    for (index, path) in numbered_files(folder)?.iter().enumerate() {
        let version = index + 1;
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        if !name.starts_with(&format!("{version:03}_")) {
            return Err(format!(
                "{} is not migration {version:03}: numbers have no gap and no duplicate",
                path.display()
            )
            .into());
        }
        let rollback = folder.join("rollback").join(format!("{name}.sql"));
        if !rollback.is_file() {
            return Err(format!("{} has no {}", path.display(), rollback.display()).into());
        }
        writeln!(
            code,
            "        Migration {{ version: {version}, name: {name:?}, sql: {}, rollback_sql: {} }},",
            include(path),
            include(&rollback)
        )?;
    }
    let catalogue = folder.join("catalogue.json");
    let catalogue = if catalogue.is_file() {
        include(&catalogue)
    } else {
        EMPTY_CATALOGUE.to_owned()
    };
    let seed = folder.join("seed_rows.sql");
    let seed = if seed.is_file() {
        format!("Some({})", include(&seed))
    } else {
        "None".to_owned()
    };
    writeln!(code, "    ],\n    roles_sql: {},", include(roles))?;
    writeln!(
        code,
        "    seed_rows_sql: {seed},\n    catalogue: {catalogue},\n}};"
    )?;
    Ok(())
}

/// `NNN_description.sql` in the order of their numbers.
fn numbered_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_sql = path.extension().is_some_and(|extension| extension == "sql");
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if is_sql && name.starts_with(|first: char| first.is_ascii_digit()) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn include(path: &Path) -> String {
    format!("include_str!({:?})", path.display().to_string())
}
