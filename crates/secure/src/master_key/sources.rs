//! Where master keys are looked for, and where new ones come from.
//!
//! A key is recognized by its check value, never by its name alone: the places are only where to look.
//! What was found is never repaired, overwritten or renamed, and a file that may be a key is never
//! deleted.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clm_domain::clock::Rng;
use clm_domain::secret::SecretString;
use clm_domain::states::MasterKeyProviderKind;
use zeroize::Zeroizing;

use super::MasterKeyProvider;
use super::file::{FILE_BYTES_MAX, FileMasterKey, MasterKeyFileError, failed};
use super::software::SoftwareMasterKey;
use super::text::{self, TextFault};

/// The credentials' names, and those of the variables that hold a key: the one in force, and the one
/// that a rotation goes to.
const CREDENTIALS: [&str; 2] = ["clm-master-key", "clm-master-key-next"];
const VARIABLES: [&str; 2] = ["CLM_MASTER_KEY", "CLM_MASTER_KEY_NEXT"];

/// Digits of the check value in the name of a file.
const NAME_DIGITS: usize = 16;

/// Where to look.
#[derive(Clone, Debug)]
pub struct MasterKeySources {
    /// The file of the first key; that of version `n` may also have `.n` at its end, or, where that name
    /// was taken, `.n-` and the beginning of its check value.
    pub file: PathBuf,
    /// The values of `CLM_MASTER_KEY` and `CLM_MASTER_KEY_NEXT`.
    pub environment: [Option<SecretString>; 2],
    /// systemd's `$CREDENTIALS_DIRECTORY`, with `clm-master-key` and `clm-master-key-next`.
    pub credentials_directory: Option<PathBuf>,
    /// Who shall hold the first key of a new installation; the file when absent.
    pub first: Option<MasterKeyProviderKind>,
    /// Whether a first key may be taken or made: that is for the server.
    pub is_server: bool,
}

/// There is no such master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeySourceError {
    /// A file.
    #[error(transparent)]
    File(#[from] MasterKeyFileError),
    /// Nothing is there.
    #[error("{0} is not there")]
    Absent(String),
    /// Something is there that is no key.
    #[error("{place} is no master key: {reason}")]
    Malformed {
        /// Where.
        place: String,
        /// What is wrong, without content.
        reason: &'static str,
    },
    /// A key is there, which is not the one that is meant.
    #[error("{0} is another master key")]
    Other(String),
    /// The next key is one that was in force before.
    #[error("{0} is a master key that was in force before: make a new one")]
    Known(String),
    /// A command found no key on record.
    #[error("there is no master key yet: 'clm serve' makes it")]
    NotMadeYet,
    /// A split key is made from shares, and comes from nowhere else.
    #[error("a split master key is put together by its custodians: clm unseal")]
    Split,
}

/// What is found in one place.
type Found = (String, Result<SoftwareMasterKey, MasterKeySourceError>);

impl MasterKeySources {
    /// A file, and nothing else.
    pub const fn file(path: PathBuf) -> Self {
        Self {
            file: path,
            environment: [None, None],
            credentials_directory: None,
            first: None,
            is_server: true,
        }
    }

    /// The key of `provider` with this check value.
    pub(crate) fn find(
        &self,
        provider: MasterKeyProviderKind,
        (key_version, check_value): (i32, [u8; 32]),
    ) -> Result<SoftwareMasterKey, MasterKeySourceError> {
        let mut other = None;
        let mut trouble = None;
        for (place, found) in self.look(provider, key_version)? {
            match found {
                Ok(key) if key.check_value() == check_value => return Ok(key),
                Ok(_) => other = other.or(Some(place)),
                Err(error) if error.is_absence() => trouble = trouble.or(Some(error)),
                Err(error) => {
                    // What is there and cannot be read says more than what is not there.
                    trouble = trouble
                        .filter(|earlier: &MasterKeySourceError| !earlier.is_absence())
                        .or(Some(error));
                }
            }
        }
        let file = self.file_of(key_version).display().to_string();
        Err(match (other, trouble) {
            // An older key is there, as it should be. Not that one is missed.
            (Some(place), Some(trouble))
                if trouble.is_absence() && provider == MasterKeyProviderKind::File =>
            {
                let place = format!("{file} is not there, and {place}");
                MasterKeySourceError::Other(place)
            }
            (Some(place), _) => MasterKeySourceError::Other(place),
            (None, trouble) => trouble.unwrap_or(MasterKeySourceError::Absent(file)),
        })
    }

    /// The first key of a new installation.
    pub(crate) fn first(&self, rng: &dyn Rng) -> Result<SoftwareMasterKey, MasterKeySourceError> {
        if !self.is_server {
            return Err(MasterKeySourceError::NotMadeYet);
        }
        match self.first.unwrap_or(MasterKeyProviderKind::File) {
            MasterKeyProviderKind::File => match FileMasterKey::load(&self.file) {
                // A start that was killed before it recorded the key has left it.
                Err(MasterKeyFileError::Missing(_)) => {
                    let key = FileMasterKey::create(&self.file, rng)?;
                    tracing::warn!(
                        "a new master key was made in {}: back it up apart from the databases; \
                         without it no private key in them can be opened",
                        self.file.display()
                    );
                    Ok(key)
                }
                loaded => Ok(loaded?),
            },
            provider => {
                let mut found = self.look(provider, 1)?.into_iter();
                let nothing = || MasterKeySourceError::Absent(provider.to_string());
                found.next().map_or_else(|| Err(nothing()), |(_, key)| key)
            }
        }
    }

    /// The key that version `key_version` shall be: a file is made, the others have to be there. None
    /// may have one of the check values in `known`.
    pub(crate) fn next(
        &self,
        (provider, key_version): (MasterKeyProviderKind, i32),
        known: &[[u8; 32]],
        rng: &dyn Rng,
    ) -> Result<SoftwareMasterKey, MasterKeySourceError> {
        if provider == MasterKeyProviderKind::File {
            return self.next_file(key_version, rng);
        }
        let mut used = None;
        let mut trouble = None;
        // The one that is meant for it comes first.
        for (place, found) in self.look(provider, key_version)?.into_iter().rev() {
            match found {
                Ok(key) if known.contains(&key.check_value()) => {
                    used = used.or(Some(MasterKeySourceError::Known(place)));
                }
                Ok(key) => return Ok(key),
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        Err(trouble.or(used).unwrap_or(MasterKeySourceError::Split))
    }

    /// A new file. One that has its name already is left alone, whatever it is: what a rotation that did
    /// not end has left may belong to a backup that is newer than these databases, and what another
    /// process has just made may be in force by now.
    fn next_file(
        &self,
        key_version: i32,
        rng: &dyn Rng,
    ) -> Result<SoftwareMasterKey, MasterKeySourceError> {
        let key = SoftwareMasterKey::generate(MasterKeyProviderKind::File, rng);
        let path = self.file_of(key_version);
        match FileMasterKey::store(&path, &key) {
            Err(MasterKeyFileError::Exists(taken)) => {
                let check_value = hex::encode(key.check_value());
                let mut path = taken.clone().into_os_string();
                path.push(format!(
                    "-{}",
                    check_value.get(..NAME_DIGITS).unwrap_or_default()
                ));
                let path = PathBuf::from(path);
                FileMasterKey::store(&path, &key)?;
                tracing::warn!(
                    "{} was there already; the new master key is in {}",
                    taken.display(),
                    path.display()
                );
            }
            stored => stored?,
        }
        Ok(key)
    }

    /// Every file in which the key of a version may be, the usual one first.
    fn files_of(&self, key_version: i32) -> Vec<PathBuf> {
        let expected = self.file_of(key_version);
        let mut paths = vec![expected.clone(), self.file.clone()];
        paths.dedup();
        let folder = match expected.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let name = expected.file_name().unwrap_or_default().as_encoded_bytes();
        let prefix = [name, b"-"].concat();
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut others: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(&prefix))
            .map(|entry| folder.join(entry.file_name()))
            .collect();
        others.sort();
        paths.extend(others);
        paths
    }

    /// The file of a version.
    pub fn file_of(&self, key_version: i32) -> PathBuf {
        if key_version <= 1 {
            return self.file.clone();
        }
        let mut path = self.file.clone().into_os_string();
        path.push(format!(".{key_version}"));
        PathBuf::from(path)
    }

    /// Where the file of the key in force is, for people; where it should be, when it is not.
    pub(crate) fn file_in_use(&self, (key_version, check_value): (i32, [u8; 32])) -> String {
        let found = self.files_of(key_version).into_iter().find(|path| {
            FileMasterKey::load(path).is_ok_and(|key| key.check_value() == check_value)
        });
        let found = found.unwrap_or_else(|| self.file_of(key_version));
        found.display().to_string()
    }

    /// Every place where a key of `provider` may be, the usual one first.
    fn look(
        &self,
        provider: MasterKeyProviderKind,
        key_version: i32,
    ) -> Result<Vec<Found>, MasterKeySourceError> {
        match provider {
            MasterKeyProviderKind::File => {
                let found = self.files_of(key_version).into_iter().map(|path| {
                    let key = FileMasterKey::load(&path).map_err(MasterKeySourceError::from);
                    (path.display().to_string(), key)
                });
                Ok(found.collect())
            }
            MasterKeyProviderKind::Credential => {
                let found = CREDENTIALS.iter().map(|name| self.credential(name));
                Ok(found.collect())
            }
            MasterKeyProviderKind::Environment => {
                let values = VARIABLES.iter().zip(&self.environment);
                let found = values.map(|(name, value)| variable(name, value.as_ref()));
                Ok(found.collect())
            }
            MasterKeyProviderKind::Shamir => Err(MasterKeySourceError::Split),
        }
    }

    fn credential(&self, name: &str) -> Found {
        let place = format!("the systemd credential {name}");
        let Some(directory) = &self.credentials_directory else {
            let absent = MasterKeySourceError::Absent(format!("{place} ($CREDENTIALS_DIRECTORY)"));
            return (place, Err(absent));
        };
        let key = match read_bounded(&directory.join(name)) {
            Ok(bytes) => understand(&bytes, MasterKeyProviderKind::Credential, &place),
            Err(MasterKeyFileError::Missing(_)) => Err(MasterKeySourceError::Absent(place.clone())),
            Err(error) => Err(error.into()),
        };
        (place, key)
    }
}

impl MasterKeySourceError {
    /// Whether nothing is there at all.
    pub(crate) const fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::Absent(_) | Self::File(MasterKeyFileError::Missing(_))
        )
    }
}

/// The check value of the master key in a copy of its file, wherever that is and whoever may read it.
///
/// # Errors
/// [`MasterKeySourceError`].
pub fn check_value_of_copy(path: &Path) -> Result<[u8; 32], MasterKeySourceError> {
    let bytes = read_bounded(path)?;
    let place = path.display().to_string();
    understand(&bytes, MasterKeyProviderKind::File, &place).map(|key| key.check_value())
}

fn variable(name: &str, value: Option<&SecretString>) -> Found {
    let place = format!("the environment variable {name}");
    let key = match value {
        Some(value) => understand(
            value.expose().as_bytes(),
            MasterKeyProviderKind::Environment,
            &place,
        ),
        None => Err(MasterKeySourceError::Absent(place.clone())),
    };
    (place, key)
}

fn read_bounded(path: &Path) -> Result<Zeroizing<Vec<u8>>, MasterKeyFileError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => MasterKeyFileError::Missing(path.to_owned()),
        _ => failed("open", path)(error),
    })?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize));
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(failed("read", path))?;
    Ok(bytes)
}

fn understand(
    bytes: &[u8],
    provider: MasterKeyProviderKind,
    place: &str,
) -> Result<SoftwareMasterKey, MasterKeySourceError> {
    let reason = match text::parse_handed_on(bytes) {
        Ok(key) => return Ok(SoftwareMasterKey::new(provider, key)),
        Err(TextFault::Malformed(reason)) => reason,
        Err(TextFault::Damaged) => "it is damaged, the checksum does not fit",
    };
    Err(MasterKeySourceError::Malformed {
        place: place.to_owned(),
        reason,
    })
}

#[cfg(test)]
mod tests;
