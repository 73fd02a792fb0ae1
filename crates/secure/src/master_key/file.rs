//! A master key in a file: 256 random bits in hexadecimal between a header and a checksum line.
//!
//! The file is the one secret that the platform keeps in plaintext. Only its owner may read it; a
//! copy belongs in a safe, because without it nothing sealed opens again. Never overwritten, never
//! repaired.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clm_domain::clock::Rng;
use clm_domain::secret::SecretString;
use clm_domain::states::MasterKeyProviderKind;
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use super::software::SoftwareMasterKey;
use super::text::{self, TextFault};

/// A file of another size is refused before it is read whole.
pub(super) const FILE_BYTES_MAX: u64 = 1024;

/// Master keys in files.
pub struct FileMasterKey;

/// The file cannot be used as a master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyFileError {
    /// There is already a file; it is never overwritten.
    #[error("{} exists already; a master key is never overwritten", .0.display())]
    Exists(PathBuf),
    /// There is no file.
    #[error("{} does not exist; put the master key of this installation back there", .0.display())]
    Missing(PathBuf),
    /// It is a link, a folder or a device.
    #[error("{} is not a regular file", .0.display())]
    NotRegular(PathBuf),
    /// Others may read or write it.
    #[error("{} has mode {mode:o}; only its owner may have access: chmod 600", .path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to user {owner}, this program runs as user {user}", .path.display())]
    WrongOwner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// It is no master key file of a known version.
    #[error("{} is not a master key file: {reason}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, without content.
        reason: &'static str,
    },
    /// It was cut short or changed.
    #[error("{} is damaged: the checksum does not fit the key", .0.display())]
    Damaged(PathBuf),
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl FileMasterKey {
    /// Makes a key and writes it to a new file with mode 0600. File and folder are on disk when
    /// this returns.
    ///
    /// # Errors
    /// [`MasterKeyFileError::Exists`] and [`MasterKeyFileError::Io`]; then no file is left behind
    /// that was not there.
    pub fn create(path: &Path, rng: &dyn Rng) -> Result<SoftwareMasterKey, MasterKeyFileError> {
        let key = SoftwareMasterKey::generate(MasterKeyProviderKind::File, rng);
        Self::store(path, &key)?;
        Ok(key)
    }

    /// Writes a key to a new file, as [`Self::create`] does.
    pub(super) fn store(path: &Path, key: &SoftwareMasterKey) -> Result<(), MasterKeyFileError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let descriptor =
            rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|error| {
                if error == rustix::io::Errno::EXIST {
                    MasterKeyFileError::Exists(path.to_owned())
                } else {
                    failed("create", path)(error.into())
                }
            })?;
        if let Err(error) =
            write_durably(File::from(descriptor), path, &text::render(key.material()))
        {
            // The key was never used; a half-written file would only stand in the way.
            let _ = std::fs::remove_file(path);
            return Err(failed("write", path)(error));
        }
        Ok(())
    }

    /// Reads the key from its file.
    ///
    /// # Errors
    /// [`MasterKeyFileError`]: a file that anybody else may touch, or that is not exactly what was
    /// written, is refused.
    pub fn load(path: &Path) -> Result<SoftwareMasterKey, MasterKeyFileError> {
        // The descriptor is checked, not the path, so that nothing can be exchanged in between.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let descriptor =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|error| match error {
                rustix::io::Errno::NOENT => MasterKeyFileError::Missing(path.to_owned()),
                rustix::io::Errno::LOOP => MasterKeyFileError::NotRegular(path.to_owned()),
                other => failed("open", path)(other.into()),
            })?;
        let file = File::from(descriptor);
        check_access(&file, path)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize));
        file.take(FILE_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(failed("read", path))?;
        match text::parse(&bytes) {
            Ok(key) => Ok(SoftwareMasterKey::new(MasterKeyProviderKind::File, key)),
            Err(TextFault::Damaged) => Err(MasterKeyFileError::Damaged(path.to_owned())),
            Err(TextFault::Malformed(reason)) => Err(MasterKeyFileError::Malformed {
                path: path.to_owned(),
                reason,
            }),
        }
    }
}

/// Whether `user` may use a key of `owner`: it is the user's own, or the user is root, who administers
/// installations whose server has an account of its own.
const fn may_hold(owner: u32, user: u32) -> bool {
    owner == user || user == 0
}

fn check_access(file: &File, path: &Path) -> Result<(), MasterKeyFileError> {
    let metadata = file.metadata().map_err(failed("inspect", path))?;
    if !metadata.is_file() {
        return Err(MasterKeyFileError::NotRegular(path.to_owned()));
    }
    let user = rustix::process::geteuid().as_raw();
    if !may_hold(metadata.uid(), user) {
        return Err(MasterKeyFileError::WrongOwner {
            path: path.to_owned(),
            owner: metadata.uid(),
            user,
        });
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(MasterKeyFileError::OpenToOthers {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

fn write_durably(mut file: File, path: &Path, text: &SecretString) -> std::io::Result<()> {
    file.write_all(text.expose().as_bytes())?;
    file.sync_all()?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // The name of the file is durable only once its folder is.
    File::open(folder)?.sync_all()
}

pub(super) fn failed(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> MasterKeyFileError {
    let path = path.to_owned();
    move |source| MasterKeyFileError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests;
