//! The remembered session: `credentials.json` in the user's configuration directory, mode 0600.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

/// What `clm login` remembers.
#[derive(Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// The server.
    pub(crate) url: String,
    /// The session's token.
    pub(crate) token: String,
    /// The session's CSRF token.
    pub(crate) csrf_token: String,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the CLI reads its environment here and nowhere else"
)]
fn path() -> anyhow::Result<PathBuf> {
    let base = match (std::env::var("XDG_CONFIG_HOME"), std::env::var("HOME")) {
        (Ok(config), _) if !config.is_empty() => PathBuf::from(config),
        (_, Ok(home)) if !home.is_empty() => PathBuf::from(home).join(".config"),
        _ => bail!("neither XDG_CONFIG_HOME nor HOME is set: there is no place for the session"),
    };
    Ok(base.join("clm").join("credentials.json"))
}

/// The remembered session, unless others could read or write it.
pub(crate) fn load() -> anyhow::Result<Option<Remembered>> {
    let path = path()?;
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let mode = fs::metadata(&path)
        .with_context(|| format!("reading {}", path.display()))?
        .mode();
    if mode & 0o077 != 0 {
        bail!(
            "{} can be read by others: chmod 600, then 'clm login' again",
            path.display()
        );
    }
    let remembered = serde_json::from_slice(&bytes)
        .with_context(|| format!("reading {}: sign in again", path.display()))?;
    Ok(Some(remembered))
}

/// Remembers a session.
pub(crate) fn save(remembered: &Remembered) -> anyhow::Result<()> {
    let path = path()?;
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("making {}", directory.display()))?;
    }
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&fresh);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| file.write_all(&serde_json::to_vec(remembered)?))
        .and_then(|()| fs::rename(&fresh, &path))
        .with_context(|| format!("writing {}", path.display()))
}

/// Forgets the session.
pub(crate) fn forget() -> anyhow::Result<()> {
    let path = path()?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}
