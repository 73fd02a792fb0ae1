//! Where an installation keeps its files.
//!
//! Usually everything lives in the data directory. A server that was started as root hands its
//! files to an account of their own; where that account cannot pass a parent directory (a clone
//! under /root), the files live in `/var/lib/clm/<hash>` and the data directory holds a pointer file
//! and links. Sockets live in a short directory of their own, because their paths have a limit of
//! 107 bytes.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clm_database::cluster::Account;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use crate::{privileges, transport_files};

/// The pointer file in a data directory whose files live elsewhere.
pub(crate) const POINTER_FILE: &str = "location";
/// The file of the first master key.
const MASTER_KEY: &str = "master.key";
/// Files that people and the CLI look for in the data directory.
const LINKED: &[&str] = &["bootstrap.json", "root-ca.pem", "master.key"];
/// What a data directory of ours holds; one of these marks it.
const MARKS: &[&str] = &[
    "clm.lock",
    POINTER_FILE,
    "postgresql",
    "master.key",
    "bootstrap.json",
    "clm.toml",
    "clm.sock",
    transport_files::CORE,
    transport_files::SERVER,
];
/// What a run directory of ours holds.
const RUN_MARKS: &[&str] = &["clm.sock", "pg"];
/// What a fresh file system holds.
const LOST_AND_FOUND: &str = "lost+found";

/// The places of one installation.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// As the operator named it.
    pub(crate) data_directory: PathBuf,
    /// Where the files really are; the data directory itself unless `POINTER_FILE` says otherwise.
    pub(crate) state_directory: PathBuf,
    /// Sockets; 0700.
    pub(crate) run_directory: PathBuf,
}

impl Layout {
    /// Makes the directories, and hands them to `account` when the server runs as root.
    pub(crate) fn prepare(
        data_directory: &Path,
        account: Option<&Account>,
    ) -> anyhow::Result<Self> {
        // A separator at the end would make a link look like the directory that it leads to.
        let data_directory: PathBuf = data_directory.components().collect();
        let directory = make_private_directory(&data_directory, account, MARKS)?;
        let data_directory = data_directory
            .canonicalize()
            .with_context(|| format!("resolving {}", data_directory.display()))?;
        let hash = short_hash(&data_directory);
        let state_directory = match account {
            Some(account) if !passable_for(&data_directory, account) => {
                let state = Path::new("/var/lib/clm").join(&hash);
                make_parent("/var/lib/clm")?;
                let directory = make_private_directory(&state, Some(account), MARKS)?;
                give(&directory, &state, account)?;
                point_to(&data_directory, &state)?;
                state
            }
            Some(account) => {
                give(&directory, &data_directory, account)?;
                data_directory.clone()
            }
            None => data_directory.clone(),
        };
        let run_directory = run_directory(&hash, account)?;
        let layout = Self {
            data_directory,
            state_directory,
            run_directory,
        };
        Ok(layout)
    }

    /// The place of a file.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.state_directory.join(name)
    }

    /// The names of all files of master keys: that of a later version has a number at its end.
    pub(crate) fn master_key_files(&self) -> Vec<String> {
        master_key_files(&self.state_directory)
    }

    /// All directories that the server writes to.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        [
            &self.data_directory,
            &self.state_directory,
            &self.run_directory,
        ]
        .map(PathBuf::clone)
        .to_vec()
    }

    /// The private PostgreSQL's files.
    pub(crate) fn cluster_directory(&self) -> PathBuf {
        self.file("postgresql")
    }

    /// The socket for programs on this machine.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run_directory.join("clm.sock")
    }

    /// Makes `clm.sock` in the data directory lead to the socket.
    ///
    /// Only for whoever holds the lock: another process may serve there.
    pub(crate) fn link_socket(&self) -> anyhow::Result<()> {
        replace_link(&self.socket(), &self.data_directory.join("clm.sock"))
    }
}

/// An installation that was started before, as programs beside the server find it.
pub(crate) struct Existing {
    /// Where the files really are.
    pub(crate) state_directory: PathBuf,
    /// Where the sockets are.
    pub(crate) run_directory: Option<PathBuf>,
}

impl Existing {
    /// Follows the pointer and the socket's link; makes nothing.
    ///
    /// # Errors
    /// When others could have written the data directory, or a place that it leads to.
    pub(crate) fn find(data_directory: &Path) -> anyhow::Result<Self> {
        if !data_directory.exists() {
            return Ok(Self {
                state_directory: data_directory.to_path_buf(),
                run_directory: None,
            });
        }
        refuse_if_others_can_write(data_directory)?;
        let state_directory = match fs::read_to_string(data_directory.join(POINTER_FILE)) {
            Ok(text) => PathBuf::from(text.trim_end()),
            Err(_) => data_directory.to_path_buf(),
        };
        refuse_if_others_can_write(&state_directory)?;
        let run_directory = fs::read_link(data_directory.join("clm.sock"))
            .ok()
            .and_then(|socket| socket.parent().map(Path::to_path_buf))
            // Gone after a restart of the machine.
            .filter(|run| run.exists());
        if let Some(run) = &run_directory {
            refuse_if_others_can_write(run)?;
        }
        Ok(Self {
            state_directory,
            run_directory,
        })
    }
}

/// The path of the local socket of an installation, short enough to connect to, when it is safe to.
///
/// # Errors
/// When nothing serves there, or others could have put something in its place.
pub fn find_socket(data_directory: &Path) -> anyhow::Result<PathBuf> {
    refuse_if_others_can_write(data_directory)?;
    let link = data_directory.join("clm.sock");
    let socket = fs::read_link(&link).with_context(|| {
        format!(
            "no server has started in {}: run 'clm serve' there",
            data_directory.display()
        )
    })?;
    if let Some(parent) = socket.parent() {
        refuse_if_others_can_write(parent)?;
    }
    Ok(socket)
}

/// The data directory of this machine and user: `CLM_DATA_DIR`; else `.clm` here, when it is ours;
/// else the platform's place for data.
///
/// # Errors
/// When no place can be found.
#[expect(
    clippy::disallowed_methods,
    reason = "configuration is read here and nowhere else"
)]
pub fn find_data_directory() -> anyhow::Result<PathBuf> {
    if let Ok(path) = std::env::var("CLM_DATA_DIR")
        && !path.is_empty()
    {
        return std::path::absolute(&path).with_context(|| format!("resolving {path}"));
    }
    let here = std::path::absolute(".clm").context("resolving the current directory")?;
    let is_directory = fs::symlink_metadata(&here).is_ok_and(|found| found.is_dir());
    if is_directory && refuse_if_others_can_write(&here).is_ok() {
        return Ok(here);
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/clm/data"));
    }
    if let Ok(path) = std::env::var("XDG_DATA_HOME")
        && !path.is_empty()
    {
        return Ok(PathBuf::from(path).join("clm"));
    }
    match std::env::var("HOME") {
        Ok(home) if !home.is_empty() => Ok(PathBuf::from(home).join(".local/share/clm")),
        _ => bail!("neither CLM_DATA_DIR nor HOME is set: say where the installation lives"),
    }
}

/// Refuses a file or folder that somebody else could have written. Root believes the account that
/// its server runs as, because the state and the sockets belong to it.
pub(crate) fn refuse_if_others_can_write(path: &Path) -> anyhow::Result<()> {
    let metadata = fs::metadata(path).with_context(|| format!("reading {}", path.display()))?;
    if !is_trusted_owner(metadata.uid()) || writable_for_others(&metadata) {
        bail!(
            "{} is not trusted, because others can write it: make it yours alone (chown, chmod go-w)",
            path.display()
        );
    }
    Ok(())
}

/// The text of a configuration file, or `None` when there is none. What it says is done with all
/// rights of this process, so that root believes nobody but root here, not even its own account.
///
/// # Errors
/// When somebody else could have written the file, or put it there.
pub(crate) fn read_configuration(path: &Path) -> anyhow::Result<Option<String>> {
    let reading = || format!("reading {}", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(reading),
    };
    let directory = path.parent().unwrap_or(Path::new("."));
    let directory = fs::metadata(directory).with_context(reading)?;
    let of_file = file.metadata().with_context(reading)?;
    let own = rustix::process::geteuid().as_raw();
    let safe = [&directory, &of_file].into_iter().all(|metadata| {
        (metadata.uid() == own || metadata.uid() == 0) && !writable_for_others(metadata)
    });
    if !safe {
        bail!(
            "{} is not read, because user {}, who owns it or its directory, is neither you nor \
             root, or others can write there: give its settings in the environment instead, for \
             example from a file in /etc, and remove it",
            path.display(),
            if of_file.uid() == own {
                directory.uid()
            } else {
                of_file.uid()
            }
        );
    }
    std::io::read_to_string(file)
        .map(Some)
        .with_context(reading)
}

/// Whether this process believes what `uid` wrote: its own user, root, and for root the account that
/// its server runs as.
pub(crate) fn is_trusted_owner(uid: u32) -> bool {
    let own = rustix::process::geteuid().as_raw();
    if uid == own || uid == 0 {
        return true;
    }
    let is_of = |name| matches!(Account::find(name), Ok(Some(account)) if account.uid == uid);
    own == 0 && privileges::ACCOUNT_NAMES.into_iter().any(is_of)
}

/// Refuses a file that could be another one under a second name, or that somebody else made.
pub(crate) fn refuse_foreign_file(file: &File, path: &Path) -> anyhow::Result<()> {
    let metadata = file
        .metadata()
        .with_context(|| format!("reading {}", path.display()))?;
    if !metadata.is_file() || metadata.nlink() != 1 || !is_trusted_owner(metadata.uid()) {
        bail!(
            "{} is no plain file of this installation's own, with one name: remove it",
            path.display()
        );
    }
    Ok(())
}

fn writable_for_others(metadata: &Metadata) -> bool {
    metadata.mode() & 0o022 != 0
}

/// Makes a directory of mode 0700, or tightens an existing one that is ours, or the account's since
/// an earlier start. One that holds something, but none of `marks`, is somebody's for another purpose
/// and stays as it is. Everything after the opening is done to what was opened.
fn make_private_directory(
    path: &Path,
    account: Option<&Account>,
    marks: &[&str],
) -> anyhow::Result<File> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => bail!(
            "{} is a symbolic link: name the directory itself in CLM_DATA_DIR, or remove the link",
            path.display()
        ),
        Ok(metadata) if !metadata.is_dir() => bail!(
            "{} is no directory: name another CLM_DATA_DIR",
            path.display()
        ),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .with_context(|| format!("making {}", path.display()))?;
        }
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    }
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::DIRECTORY | OFlags::NOFOLLOW).bits().cast_signed())
        .open(path)
        .with_context(|| format!("opening {}", path.display()))?;
    let owner = directory
        .metadata()
        .with_context(|| format!("reading {}", path.display()))?
        .uid();
    let own = rustix::process::geteuid().as_raw();
    if owner != own && Some(owner) != account.map(|account| account.uid) {
        bail!(
            "{} belongs to user {owner}, not to you: start as its owner, or name another \
             CLM_DATA_DIR",
            path.display()
        );
    }
    refuse_other_contents(&directory, path, marks)?;
    directory
        .set_permissions(fs::Permissions::from_mode(0o700))
        .with_context(|| format!("setting the mode of {}", path.display()))?;
    Ok(directory)
}

/// The names of the files in `directory` that hold master keys, or may.
pub(crate) fn master_key_files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name == MASTER_KEY || name.starts_with("master.key."))
        .collect();
    names.sort();
    names
}

/// Refuses a directory that holds something, but nothing of ours.
fn refuse_other_contents(directory: &File, path: &Path, marks: &[&str]) -> anyhow::Result<()> {
    let mut is_empty = true;
    let entries = rustix::fs::Dir::read_from(directory)
        .with_context(|| format!("reading {}", path.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", path.display()))?;
        let name = entry.file_name().to_bytes();
        if marks.iter().any(|mark| mark.as_bytes() == name) {
            return Ok(());
        }
        is_empty &= matches!(name, b"." | b"..") || name == LOST_AND_FOUND.as_bytes();
    }
    if !is_empty {
        bail!(
            "{} holds other files and nothing of clm: name a directory of its own in CLM_DATA_DIR",
            path.display()
        );
    }
    Ok(())
}

/// Hands a directory to the server's account.
fn give(directory: &File, path: &Path, account: &Account) -> anyhow::Result<()> {
    fchown(directory, Some(account.uid), Some(account.gid))
        .with_context(|| format!("giving {} to account {}", path.display(), account.name))
}

/// Makes a directory that everybody may pass and only root may write.
fn make_parent(path: &str) -> anyhow::Result<()> {
    fs::create_dir_all(path).with_context(|| format!("making {path}"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("setting the mode of {path}"))
}

/// Whether `account` can pass every parent of `path`.
fn passable_for(path: &Path, account: &Account) -> bool {
    path.ancestors().skip(1).all(|parent| {
        fs::metadata(parent).is_ok_and(|metadata| {
            let bit = if metadata.uid() == account.uid {
                0o100
            } else if metadata.gid() == account.gid {
                0o010
            } else {
                0o001
            };
            metadata.mode() & bit != 0
        })
    })
}

/// Leaves a pointer and links in a data directory whose files live in `state`.
fn point_to(data_directory: &Path, state: &Path) -> anyhow::Result<()> {
    let pointer = data_directory.join(POINTER_FILE);
    let text = format!("{}\n", state.display());
    if fs::read_to_string(&pointer).ok().as_deref() != Some(&text) {
        fs::write(&pointer, text).with_context(|| format!("writing {}", pointer.display()))?;
    }
    for name in LINKED {
        replace_link(&state.join(name), &data_directory.join(name))?;
    }
    Ok(())
}

/// Makes `link` a symbolic link to `target`, atomically; never replaces anything but a link.
fn replace_link(target: &Path, link: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(link) {
        Ok(found) if found.is_symlink() => {
            if fs::read_link(link).is_ok_and(|found| found == target) {
                return Ok(());
            }
        }
        Ok(_) => bail!("{} is in the way: move it elsewhere", link.display()),
        Err(_) => {}
    }
    let fresh = link.with_extension("new");
    let _ = fs::remove_file(&fresh);
    std::os::unix::fs::symlink(target, &fresh)
        .and_then(|()| fs::rename(&fresh, link))
        .with_context(|| format!("linking {} to {}", link.display(), target.display()))
}

/// A short private directory for sockets.
#[expect(
    clippy::disallowed_methods,
    reason = "configuration is read here and nowhere else"
)]
fn run_directory(hash: &str, account: Option<&Account>) -> anyhow::Result<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let path = if account.is_some() {
        make_parent("/run/clm")?;
        Path::new("/run/clm").join(hash)
    } else {
        match std::env::var("XDG_RUNTIME_DIR") {
            Ok(path) if !path.is_empty() && path.len() < 60 && Path::new(&path).is_dir() => {
                PathBuf::from(path).join(format!("clm-{hash}"))
            }
            _ => PathBuf::from(format!("/tmp/clm-{uid}-{hash}")),
        }
    };
    let directory = make_private_directory(&path, account, RUN_MARKS)?;
    if let Some(account) = account {
        give(&directory, &path, account)?;
    }
    Ok(path)
}

/// A name for a data directory that is short and its own.
fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    hex::encode(digest).chars().take(16).collect()
}

#[cfg(test)]
mod tests;
