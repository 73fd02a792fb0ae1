//! Finds PostgreSQL's server programs on this machine.
//!
//! Nothing is downloaded: what the operator's system keeps up to date is used.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::account::child_command;
use super::error::ClusterError;

/// The oldest major version that is supported.
pub const MAJOR_VERSION_MIN: u32 = 12;

/// Where distributions keep the programs of every installed version:
/// the parent, the prefix of the version's directory.
const INSTALLATIONS: [(&str, &str); 2] = [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")];

/// The version of a PostgreSQL server, ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    /// The major version, such as 15: data directories of different ones are incompatible.
    pub major: u32,
    /// The minor version; 0 for development versions.
    pub minor: u32,
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl ServerVersion {
    /// Reads the answer of `postgres --version`, such as
    /// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` or `postgres (PostgreSQL) 19beta1`.
    fn parse(answer: &str) -> Option<Self> {
        let (_, version) = answer.split_once("(PostgreSQL) ")?;
        let mut numbers = version.split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let released = version
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .starts_with('.');
        let minor = numbers
            .next()
            .filter(|_| released)
            .and_then(|minor| minor.parse().ok());
        Some(Self {
            major,
            minor: minor.unwrap_or(0),
        })
    }
}

/// The directory of the server programs, and their version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// Holds `postgres` and `initdb`.
    pub directory: PathBuf,
    /// The version that `postgres --version` told.
    pub version: ServerVersion,
}

impl Binaries {
    /// The server.
    #[must_use]
    pub fn postgres(&self) -> PathBuf {
        self.directory.join("postgres")
    }

    /// The program that creates a cluster.
    #[must_use]
    pub fn initdb(&self) -> PathBuf {
        self.directory.join("initdb")
    }

    fn examine(directory: &Path) -> Result<Self, String> {
        for program in ["postgres", "initdb"] {
            if !directory.join(program).is_file() {
                return Err(format!("no `{program}` there"));
            }
        }
        let output = child_command(&directory.join("postgres"), None)
            .arg("--version")
            .output()
            .map_err(|error| format!("`postgres` cannot be run: {error}"))?;
        let answer = String::from_utf8_lossy(&output.stdout);
        let version = ServerVersion::parse(&answer).ok_or_else(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            format!(
                "`postgres --version` says {:?}",
                format!("{answer}{complaint}").trim()
            )
        })?;
        if version.major < MAJOR_VERSION_MIN {
            return Err(format!("version {version} is too old"));
        }
        Ok(Self {
            directory: directory.to_owned(),
            version,
        })
    }
}

/// Finds the server programs to make a new cluster with: in `pg_bin` alone when it is given, else
/// the newest of `/usr/lib/postgresql/*/bin` and `/usr/pgsql-*/bin`, else those that
/// `pg_config --bindir` names, else those in the `PATH`.
///
/// # Errors
/// [`ClusterError::BinariesMissing`], which lists every place looked at.
pub fn find_binaries(pg_bin: Option<&Path>) -> Result<Binaries, ClusterError> {
    find_matching(pg_bin, |_| true)
}

/// Finds the programs for an existing cluster of this major version; those of other versions in
/// `pg_bin` do not keep it from looking among the installed ones.
pub(super) fn find_binaries_for(
    major: u32,
    data_directory: &Path,
    pg_bin: Option<&Path>,
) -> Result<Binaries, ClusterError> {
    let preferred = find_binaries(pg_bin)?;
    if preferred.version.major == major {
        return Ok(preferred);
    }
    find_matching(None, |version| version.major == major).map_err(|_| {
        ClusterError::OtherMajorVersion {
            data_directory: data_directory.to_owned(),
            cluster_major: major,
            found: preferred.version,
        }
    })
}

fn find_matching(
    pg_bin: Option<&Path>,
    fits: impl Fn(ServerVersion) -> bool,
) -> Result<Binaries, ClusterError> {
    let mut looked_at = Vec::new();
    let mut examine = |directory: &Path| match Binaries::examine(directory) {
        Ok(binaries) if fits(binaries.version) => Some(binaries),
        Ok(binaries) => {
            looked_at.push(format!(
                "{} (version {})",
                directory.display(),
                binaries.version
            ));
            None
        }
        Err(reason) => {
            looked_at.push(format!("{} ({reason})", directory.display()));
            None
        }
    };
    if let Some(directory) = pg_bin {
        if let Some(binaries) = examine(directory) {
            return Ok(binaries);
        }
        return Err(missing(&looked_at));
    }
    let installed = installed_directories();
    if let Some(newest) = installed
        .iter()
        .filter_map(|directory| examine(directory))
        .max_by_key(|binaries| binaries.version)
    {
        return Ok(newest);
    }
    let named = [named_by_pg_config(), named_by_path()];
    if let Some(binaries) = named
        .iter()
        .flatten()
        .find_map(|directory| examine(directory))
    {
        return Ok(binaries);
    }
    if installed.is_empty() {
        looked_at.push("/usr/lib/postgresql/*/bin, /usr/pgsql-*/bin (none there)".to_owned());
    }
    for (way, directory) in ["pg_config --bindir", "the PATH"].iter().zip(&named) {
        if directory.is_none() {
            looked_at.push(format!("{way} (nothing)"));
        }
    }
    Err(missing(&looked_at))
}

fn missing(looked_at: &[String]) -> ClusterError {
    ClusterError::BinariesMissing {
        minimum: MAJOR_VERSION_MIN,
        looked_at: looked_at.join("; "),
    }
}

fn installed_directories() -> Vec<PathBuf> {
    let mut directories = Vec::new();
    for (parent, prefix) in INSTALLATIONS {
        let Ok(entries) = fs::read_dir(parent) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix));
            let is_version =
                version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()));
            let directory = entry.path().join("bin");
            if is_version && directory.join("postgres").is_file() {
                directories.push(directory);
            }
        }
    }
    directories
}

fn named_by_pg_config() -> Option<PathBuf> {
    first_line(Command::new("pg_config").arg("--bindir"))
}

/// Asks the shell, which searches our `PATH`; follows links such as `/usr/bin/postgres`.
fn named_by_path() -> Option<PathBuf> {
    let program = first_line(Command::new("/bin/sh").args(["-c", "command -v postgres"]))?;
    Some(program.canonicalize().ok()?.parent()?.to_owned())
}

fn first_line(command: &mut Command) -> Option<PathBuf> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines()
        .next()
        .filter(|line| line.starts_with('/'))
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_every_kind_of_answer() {
        let parse = |answer| ServerVersion::parse(answer).map(|version| version.to_string());
        let debian = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n";
        assert_eq!(parse(debian).as_deref(), Some("15.14"));
        assert_eq!(
            parse("postgres (PostgreSQL) 9.6.24").as_deref(),
            Some("9.6")
        );
        assert_eq!(
            parse("postgres (PostgreSQL) 19beta1").as_deref(),
            Some("19.0")
        );
        assert_eq!(
            parse("postgres (PostgreSQL) 19devel").as_deref(),
            Some("19.0")
        );
        assert_eq!(parse("not PostgreSQL"), None);
    }

    #[test]
    fn a_given_directory_is_the_only_one_looked_at() {
        let error = find_binaries(Some(Path::new("/nonexistent/bin")))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/nonexistent/bin (no `postgres` there)"),
            "{error}"
        );
        assert!(error.contains("apt-get install postgresql"), "{error}");
        assert!(!error.contains("/usr/lib"), "{error}");
    }
}
