//! A master key in a file: 256 random bits in hexadecimal between a header and a checksum line.
//!
//! The file is the one secret that the platform keeps in plaintext. Only its owner may read it; a
//! copy belongs in a safe, because without it nothing sealed opens again. Never overwritten, never
//! repaired.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use clm_domain::clock::Rng;
use clm_domain::secret::{SecretBytes, SecretString};
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{MasterKeyError, MasterKeyProvider};
use crate::envelope::{self, KEY_BYTES, Sealed};

/// The first line.
const HEADER: &str = "clm-master-key version 1 aes-256";
/// What the checksum line begins with.
const CHECKSUM_PREFIX: &str = "sha256 ";
/// A file of another size is refused before it is read whole.
const FILE_BYTES_MAX: u64 = 1024;
/// What the check value is an HMAC of.
const CHECK_LABEL: &[u8] = b"clm master key check value, version 1";

/// A master key from a file.
pub struct FileMasterKey {
    key: SecretBytes,
}

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
    pub fn create(path: &Path, rng: &dyn Rng) -> Result<Self, MasterKeyFileError> {
        let mut key = Zeroizing::new(vec![0_u8; KEY_BYTES]);
        rng.fill(&mut key);
        let key = SecretBytes::new(std::mem::take(&mut *key));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let descriptor =
            rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|error| {
                if error == rustix::io::Errno::EXIST {
                    MasterKeyFileError::Exists(path.to_owned())
                } else {
                    failed("create", path)(error.into())
                }
            })?;
        if let Err(error) = write_durably(File::from(descriptor), path, &render(&key)) {
            // The key was never used; a half-written file would only stand in the way.
            let _ = std::fs::remove_file(path);
            return Err(failed("write", path)(error));
        }
        Ok(Self { key })
    }

    /// Reads the key from its file.
    ///
    /// # Errors
    /// [`MasterKeyFileError`]: a file that anybody else may touch, or that is not exactly what was
    /// written, is refused.
    pub fn load(path: &Path) -> Result<Self, MasterKeyFileError> {
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
        parse(&bytes, path).map(|key| Self { key })
    }
}

impl MasterKeyProvider for FileMasterKey {
    fn name(&self) -> &'static str {
        "file"
    }

    fn check_value(&self) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.expose());
        let mut value = [0_u8; 32];
        for (to, from) in value.iter_mut().zip(hmac::sign(&key, CHECK_LABEL).as_ref()) {
            *to = *from;
        }
        value
    }

    fn wrap(
        &self,
        data_key: &SecretBytes,
        additional_data: &[u8],
        rng: &dyn Rng,
    ) -> Result<Sealed, MasterKeyError> {
        envelope::encrypt(&self.key, additional_data, data_key, rng)
            .map_err(|_| MasterKeyError::Refused)
    }

    fn unwrap(
        &self,
        wrapped: &Sealed,
        additional_data: &[u8],
    ) -> Result<SecretBytes, MasterKeyError> {
        envelope::decrypt(&self.key, additional_data, wrapped).map_err(|_| MasterKeyError::Refused)
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

fn render(key: &SecretBytes) -> SecretString {
    let body = SecretString::new(format!(
        "{HEADER}\n{}\n",
        *Zeroizing::new(hex::encode(key.expose()))
    ));
    let checksum = hex::encode(Sha256::digest(body.expose().as_bytes()));
    SecretString::new(format!("{}{CHECKSUM_PREFIX}{checksum}\n", body.expose()))
}

fn parse(bytes: &[u8], path: &Path) -> Result<SecretBytes, MasterKeyFileError> {
    let malformed = |reason| MasterKeyFileError::Malformed {
        path: path.to_owned(),
        reason,
    };
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not text"))?;
    let mut lines = text.split_inclusive('\n');
    let (Some(header), Some(key), Some(checksum)) = (lines.next(), lines.next(), lines.next())
    else {
        return Err(malformed("it does not have three lines"));
    };
    if header.strip_suffix('\n') != Some(HEADER) {
        return Err(malformed("its first line is not that of a known version"));
    }
    let expected = Sha256::new()
        .chain_update(header)
        .chain_update(key)
        .finalize();
    let found = checksum
        .strip_prefix(CHECKSUM_PREFIX)
        .and_then(|line| line.strip_suffix('\n'));
    if found != Some(hex::encode(expected).as_str()) {
        return Err(MasterKeyFileError::Damaged(path.to_owned()));
    }
    if lines.next().is_some() {
        return Err(malformed("something follows the checksum"));
    }
    let mut decoded = Zeroizing::new(vec![0_u8; KEY_BYTES]);
    hex::decode_to_slice(key.trim_end_matches('\n'), &mut decoded)
        .map_err(|_| malformed("its second line is not a key of 256 bits in hexadecimal"))?;
    Ok(SecretBytes::new(std::mem::take(&mut *decoded)))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> MasterKeyFileError {
    let path = path.to_owned();
    move |source| MasterKeyFileError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests;
