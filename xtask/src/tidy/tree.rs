//! Loads the files that the rules look at.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::environment;

/// Endings of the files that rules look at.
const ENDINGS: [&str; 3] = [".rs", ".sql", ".md"];

/// Directories that hold nothing a person wrote.
const SKIPPED: [&str; 3] = ["target", "node_modules", "dist"];

/// A file of the repository.
pub(super) struct SourceFile {
    /// Relative to the root, with slashes.
    pub(super) path: String,
    /// The whole of it.
    pub(super) text: String,
}

impl SourceFile {
    /// Whether it is Rust.
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is code that only tests run: below a directory `tests`, or in a `tests.rs`.
    pub(super) fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| part == "tests" || part == "tests.rs")
    }

    /// Whether it holds data of tests: anything below a directory `fixtures`.
    pub(super) fn is_fixture(&self) -> bool {
        self.path.split('/').any(|part| part == "fixtures")
    }

    /// Whether a program wrote it, by the customary mark at its top or the directory it is in.
    pub(super) fn is_generated(&self) -> bool {
        let mark = concat!("@", "generated");
        self.path.split('/').any(|part| part == "generated")
            || self.text.lines().take(5).any(|line| line.contains(mark))
    }
}

/// Loads every Rust, SQL and Markdown file, in order of their paths.
///
/// # Errors
/// When a directory or file cannot be read.
pub(super) fn load(root: &Path) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    load_directory(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn load_directory(root: &Path, within: &str, files: &mut Vec<SourceFile>) -> Result<()> {
    let directory = root.join(within);
    let failed = || format!("{} cannot be read", directory.display());
    for entry in fs::read_dir(&directory).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = if within.is_empty() {
            name.clone()
        } else {
            format!("{within}/{name}")
        };
        let kind = entry.file_type().with_context(failed)?;
        if kind.is_dir() {
            if !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) && !is_data(&path, root)
            {
                load_directory(root, &path, files)?;
            }
        } else if kind.is_file() && ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            let text = fs::read_to_string(root.join(&path))
                .with_context(|| format!("{path} cannot be read"))?;
            files.push(SourceFile { path, text });
        }
    }
    Ok(())
}

/// Whether somebody keeps the platform's data there.
fn is_data(path: &str, root: &Path) -> bool {
    environment::variable("CLM_DATA_DIR").is_some_and(|data| root.join(path) == Path::new(&data))
}
