//! What one process does, and what it must not have been given.
//!
//! Two processes keep keys apart from the network only as long as the one that faces it holds nothing
//! of the other: neither the credential of `clm_secure_db`, nor a master key.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::bail;

use crate::transport_files;

use super::{ADMINISTRATORS, CREDENTIALS, KEYS, Settings};

/// What one process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Core and Secure Service in one process.
    All,
    /// The Secure Service, for cores elsewhere.
    Secure,
    /// The Core Service, with a Secure Service elsewhere.
    Core,
}

/// Settings that hold, or lead to, what belongs to the Secure Service alone.
const SECURE_ONLY: [&str; 5] = [
    "CLM_SECURE_DATABASE_URL",
    "CLM_MASTER_KEY_FILE",
    "CLM_MASTER_KEY_PROVIDER",
    KEYS[0],
    KEYS[1],
];
/// The same for the Core Service.
const CORE_ONLY: [&str; 3] = [
    "CLM_CORE_DATABASE_URL",
    "CLM_BOOTSTRAP_PASSWORD",
    "CLM_SMTP_URL",
];
/// What the names of systemd credentials that hold a master key begin with.
const KEY_CREDENTIAL: &str = "clm-master-key";

impl Role {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Secure => "secure",
            Self::Core => "core",
        }
    }

    /// Refuses what the role lacks, and what belongs to the other one.
    pub(super) fn check(self, settings: &Settings) -> anyhow::Result<()> {
        match self {
            Self::All => settings.check_both_databases(),
            Self::Secure => {
                self.refuse_administrators(settings)?;
                self.refuse(settings, &CORE_ONLY)?;
                self.demand(settings, "CLM_SECURE_DATABASE_URL")
            }
            Self::Core => {
                self.refuse_administrators(settings)?;
                self.refuse(settings, &SECURE_ONLY)?;
                if let Some(directory) = settings.text(CREDENTIALS) {
                    refuse_key_credentials(Path::new(directory))?;
                }
                self.demand(settings, "CLM_CORE_DATABASE_URL")
            }
        }
    }

    /// Who administers a server of databases may read both, where there is one server for both.
    fn refuse_administrators(self, settings: &Settings) -> anyhow::Result<()> {
        let set = |name: &&&str| settings.text(name).is_some();
        match ADMINISTRATORS.iter().find(set) {
            None => Ok(()),
            Some(name) => bail!(
                "role '{self}' does not start with {name}, the URL of an administrator, which is for \
                 commands and not for a server: remove it from this one's environment"
            ),
        }
    }

    fn refuse(self, settings: &Settings, foreign: &[&str]) -> anyhow::Result<()> {
        match foreign.iter().find(|name| settings.text(name).is_some()) {
            None => Ok(()),
            Some(name) => bail!(
                "role '{self}' does not start with {name}, which belongs to the other process: \
                 remove it from this one's environment and clm.toml"
            ),
        }
    }

    fn demand(self, settings: &Settings, name: &str) -> anyhow::Result<()> {
        if settings.text(name).is_some() {
            return Ok(());
        }
        bail!(
            "role '{self}' needs {name}: a process of its own has a PostgreSQL server that you \
             administer (clm db init --database {self})"
        )
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::All, Self::Secure, Self::Core]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("'{text}' must be 'all', 'secure' or 'core'"))
    }
}

fn refuse_key_credentials(directory: &Path) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    match names.find(|name| name.starts_with(KEY_CREDENTIAL)) {
        None => Ok(()),
        Some(name) => bail!(
            "role 'core' does not start with the credential '{name}', which is a master key: remove \
             it from this unit"
        ),
    }
}

/// Refuses a role whose data directory holds what the other side keeps there.
pub(crate) fn refuse_foreign_files(role: Role, directory: &Path) -> anyhow::Result<()> {
    let foreign: &[&str] = match role {
        Role::All => &[],
        Role::Secure => &[transport_files::CORE],
        Role::Core => &[transport_files::SERVER, "postgresql"],
    };
    match foreign.iter().find(|name| directory.join(name).exists()) {
        None => Ok(()),
        Some(name) => bail!(
            "role '{role}' does not start with {}, which belongs to the other process: move it to that \
             one's host, or name another CLM_DATA_DIR",
            directory.join(name).display()
        ),
    }
}

/// Refuses a core that has files of master keys.
pub(crate) fn refuse_key_files(directory: &Path, names: &[String]) -> anyhow::Result<()> {
    match names.first() {
        None => Ok(()),
        Some(name) => bail!(
            "role 'core' does not start with the master key {}: the host of the Secure Service is \
             where it belongs; move it there, or name another CLM_DATA_DIR",
            directory.join(name).display()
        ),
    }
}

#[cfg(test)]
mod tests;
