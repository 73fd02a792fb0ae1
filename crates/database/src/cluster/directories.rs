//! The directories and the log file of the cluster: who owns them, and that they are private.
//!
//! As root this changes owners in places that an unprivileged account can write to: links are never
//! followed, and only what root itself owns is given away.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};

use super::account::{RunAs, user_name};
use super::configuration::path_text;
use super::error::{ClusterError, failed_to, last_lines};
use super::predecessor::SOCKET_PREFIX;

/// `sun_path` of unix(7) has 108 bytes, with the terminating zero; PostgreSQL and the client need
/// a little less on some platforms.
const SOCKET_PATH_BYTES_MAX: usize = 106;
/// `MAXPGPATH` is 1024, for the longest name of a file inside the data directory.
const DATA_PATH_BYTES_MAX: usize = 900;
/// A larger log is put aside (as `<name>.1`) at a start.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What tells a workshop from a directory of somebody else.
const WORKSHOP_MARKER: &str = "clm-initdb";
/// For people who wonder what it is.
const WORKSHOP_MARKER_CONTENT: &str =
    "clm makes a new database here. When no clm runs, this directory can be removed.\n";
/// How much of the end of the log an error looks at.
const LOG_TAIL_BYTES_MAX: u64 = 16 * 1024;

/// The absolute path of a directory that may not exist yet, without links in it; its parents are
/// made when they are missing.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, ClusterError> {
    let path = std::path::absolute(path).map_err(failed_to("find", path))?;
    if let Ok(existing) = path.canonicalize() {
        return Ok(existing);
    }
    let unusable = ClusterError::UnusablePath {
        path: path.clone(),
        reason: "does not name a directory that can be made",
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(unusable);
    };
    // A link that leads nowhere cannot become a directory.
    if path.is_symlink() {
        return Err(unusable);
    }
    fs::create_dir_all(parent).map_err(failed_to("make the directory", parent))?;
    Ok(parent
        .canonicalize()
        .map_err(failed_to("find", parent))?
        .join(name))
}

/// Looks at the data directory (resolved) and makes it the server's own.
/// Returns the major version of the cluster in it, or nothing when there is none yet.
pub(super) fn prepare_data(path: &Path, run_as: &RunAs) -> Result<Option<u32>, ClusterError> {
    path_text(path)?;
    check_length(path, DATA_PATH_BYTES_MAX, |path, length, limit| {
        ClusterError::DataPathTooLong {
            path,
            length,
            limit,
        }
    })?;
    if let Some(parent) = path.parent() {
        run_as.check_passable(parent)?;
    }
    let Some(metadata) = look(path)? else {
        return Ok(None);
    };
    if !metadata.is_dir() {
        return Err(ClusterError::NotADirectory {
            path: path.to_owned(),
        });
    }
    check_owner(path, &metadata, run_as)?;
    let version_file = path.join("PG_VERSION");
    let content = match fs::read_to_string(&version_file) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match is_empty(path)? {
                true => Ok(None),
                false => Err(ClusterError::NotACluster {
                    path: path.to_owned(),
                }),
            };
        }
        Err(error) => return Err(failed_to("read", &version_file)(error)),
    };
    let major = content
        .trim()
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    let Some(major) = major else {
        return Err(ClusterError::BadVersionFile {
            path: version_file,
            content,
        });
    };
    if metadata.uid() != run_as.account.uid {
        give_tree(path, run_as).map_err(failed_to("change the owner of", path))?;
    }
    // PostgreSQL refuses any other than 0700 and 0750.
    if metadata.mode() & 0o027 != 0 {
        restrict(path)?;
    }
    Ok(Some(major))
}

/// Makes the directory of the sockets (resolved), or the one that is there private.
pub(super) fn prepare_socket(path: &Path, run_as: &RunAs) -> Result<(), ClusterError> {
    path_text(path)?;
    check_length(
        &path.join(format!("{SOCKET_PREFIX}5432")),
        SOCKET_PATH_BYTES_MAX,
        |path, length, limit| ClusterError::SocketPathTooLong {
            path,
            length,
            limit,
        },
    )?;
    if let Some(parent) = path.parent() {
        run_as.check_passable(parent)?;
    }
    let Some(metadata) = look(path)? else {
        return make_private(path, run_as);
    };
    if !metadata.is_dir() {
        return Err(ClusterError::NotADirectory {
            path: path.to_owned(),
        });
    }
    check_owner(path, &metadata, run_as)?;
    let foreign = metadata.uid() != run_as.account.uid;
    let open = metadata.mode() & 0o077 != 0;
    if !foreign && !open {
        return Ok(());
    }
    // It could be /tmp or /run: what others use is not closed for them.
    let entries = fs::read_dir(path).map_err(failed_to("read", path))?;
    let ours = |name: &std::ffi::OsStr| {
        name.to_str()
            .is_some_and(|name| name.starts_with(SOCKET_PREFIX))
    };
    if entries.flatten().any(|entry| !ours(&entry.file_name())) {
        return Err(ClusterError::SocketDirectoryShared {
            path: path.to_owned(),
            expected: run_as.account.name.clone(),
        });
    }
    if foreign {
        give_tree(path, run_as).map_err(failed_to("change the owner of", path))?;
    }
    restrict(path)
}

/// Makes a directory (0700) that belongs to the server's account.
pub(super) fn make_private(path: &Path, run_as: &RunAs) -> Result<(), ClusterError> {
    fs::DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(failed_to("make the directory", path))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory =
        rustix::fs::open(path, flags, Mode::empty()).map_err(failed_to("open", path))?;
    run_as
        .give(&directory)
        .map_err(failed_to("change the owner of", path))
}

/// Makes a workshop: a private directory with the marker, and in it the one that `initdb` fills.
pub(super) fn make_workshop(
    workshop: &Path,
    directory: &Path,
    run_as: &RunAs,
) -> Result<(), ClusterError> {
    make_private(workshop, run_as)?;
    let marker = workshop.join(WORKSHOP_MARKER);
    fs::write(&marker, WORKSHOP_MARKER_CONTENT).map_err(failed_to("write", &marker))?;
    make_private(directory, run_as)
}

/// Whether a workshop of ours is there. Anything else in its place is refused, except an empty
/// directory, which one that was killed before it wrote the marker may have left.
pub(super) fn is_workshop(path: &Path, run_as: &RunAs) -> Result<bool, ClusterError> {
    let Some(metadata) = look(path)? else {
        return Ok(false);
    };
    if !metadata.is_dir() {
        return Err(ClusterError::NotADirectory {
            path: path.to_owned(),
        });
    }
    check_owner(path, &metadata, run_as)?;
    let marker = path.join(WORKSHOP_MARKER);
    let is_file = look(&marker)?.is_some_and(|marker| marker.is_file());
    if is_file || is_empty(path)? {
        return Ok(true);
    }
    Err(ClusterError::UnusablePath {
        path: path.to_owned(),
        reason: "is where a database is made, and holds something else (there is no marker file \
            `clm-initdb`), which was left alone. Move it away, or else for the data",
    })
}

/// Removes a workshop; nothing of anybody else's. The marker goes last.
pub(super) fn discard_workshop(path: &Path, run_as: &RunAs) -> Result<(), ClusterError> {
    if !is_workshop(path, run_as)? {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(failed_to("read", path))? {
        let entry = entry.map_err(failed_to("read", path))?;
        let inner = entry.path();
        let is_directory = look(&inner)?.is_some_and(|metadata| metadata.is_dir());
        if is_directory {
            fs::remove_dir_all(&inner).map_err(failed_to("remove the half-made", &inner))?;
        }
    }
    fs::remove_dir_all(path).map_err(failed_to("remove the half-made", path))
}

fn look(path: &Path) -> Result<Option<Metadata>, ClusterError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            let parent = path.parent().unwrap_or(path);
            Err(ClusterError::NotADirectory {
                path: parent.to_owned(),
            })
        }
        Err(error) => Err(failed_to("look at", path)(error)),
    }
}

/// Only the server's account may own it, or root, who then gives it to that account.
fn check_owner(path: &Path, metadata: &Metadata, run_as: &RunAs) -> Result<(), ClusterError> {
    let given_by_root = run_as.switch && metadata.uid() == 0;
    if metadata.uid() == run_as.account.uid || given_by_root {
        return Ok(());
    }
    Err(ClusterError::ForeignOwner {
        path: path.to_owned(),
        owner: user_name(metadata.uid()),
        expected: run_as.account.name.clone(),
    })
}

fn check_length(
    path: &Path,
    limit: usize,
    too_long: impl FnOnce(PathBuf, usize, usize) -> ClusterError,
) -> Result<(), ClusterError> {
    let length = path.as_os_str().len();
    if length > limit {
        Err(too_long(path.to_owned(), length, limit))
    } else {
        Ok(())
    }
}

fn is_empty(path: &Path) -> Result<bool, ClusterError> {
    Ok(fs::read_dir(path)
        .map_err(failed_to("read", path))?
        .next()
        .is_none())
}

fn restrict(path: &Path) -> Result<(), ClusterError> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        .map_err(failed_to("change the mode of", path))
}

/// Gives a tree that root owns to the server's account, without following a link out of it.
fn give_tree(path: &Path, run_as: &RunAs) -> io::Result<()> {
    let directory = rustix::fs::open(path, DIRECTORY, Mode::empty())?;
    give_entries(directory.as_fd(), run_as)?;
    run_as.give(&directory)
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

fn give_entries(directory: BorrowedFd<'_>, run_as: &RunAs) -> io::Result<()> {
    let uid = Uid::from_raw(run_as.account.uid);
    let gid = Gid::from_raw(run_as.account.gid);
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let inner = rustix::fs::openat(directory, name, DIRECTORY, Mode::empty())?;
            give_entries(inner.as_fd(), run_as)?;
        } else if stat.st_nlink > 1 {
            // It may be a file of the system that somebody linked into here.
            let name = name.to_string_lossy();
            return Err(io::Error::other(format!(
                "`{name}` in it has several names (links)"
            )));
        }
        if stat.st_uid == 0 {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(directory, name, Some(uid), Some(gid), flags)?;
        }
    }
    Ok(())
}

/// The server's log, kept open: after giving up root we could not open it again everywhere.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// Opens the log for appending (0600, owned by the server's account).
    pub(super) fn open(path: &Path, run_as: &RunAs) -> Result<Self, ClusterError> {
        let path = std::path::absolute(path).map_err(failed_to("find", path))?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed_to("make the directory", parent))?;
        }
        let mut file = Self::open_once(&path, run_as)?;
        let length = file.metadata().map_err(failed_to("look at", &path))?.len();
        if length > LOG_BYTES_MAX {
            let mut aside = path.clone().into_os_string();
            aside.push(".1");
            fs::rename(&path, aside).map_err(failed_to("rename", &path))?;
            file = Self::open_once(&path, run_as)?;
        }
        Ok(Self { file, path })
    }

    fn open_once(path: &Path, run_as: &RunAs) -> Result<File, ClusterError> {
        // NONBLOCK: do not wait for the writer of a pipe that somebody put there.
        let flags = OFlags::RDWR
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        let foreign = || ClusterError::LogFile {
            path: path.to_owned(),
            expected: run_as.account.name.clone(),
        };
        let file = match rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::ISDIR) => return Err(foreign()),
            Err(error) => return Err(failed_to("open the log", path)(error)),
        };
        let metadata = file.metadata().map_err(failed_to("look at", path))?;
        let given_by_root = run_as.switch && metadata.uid() == 0;
        let owned = metadata.uid() == run_as.account.uid || given_by_root;
        if !metadata.is_file() || metadata.nlink() != 1 || !owned {
            return Err(foreign());
        }
        run_as
            .give(&file)
            .map_err(failed_to("change the owner of", path))?;
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)
            .map_err(failed_to("change the mode of", path))?;
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Another handle of it, for the server's output.
    pub(super) fn handle(&self) -> Result<File, ClusterError> {
        self.file
            .try_clone()
            .map_err(failed_to("open the log", &self.path))
    }

    /// How long it is now.
    pub(super) fn length(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// The last lines written since it had `from` bytes.
    pub(super) fn tail(&self, from: u64) -> String {
        let end = self.length();
        let begin = from.max(end.saturating_sub(LOG_TAIL_BYTES_MAX));
        let size = usize::try_from(end.saturating_sub(begin)).unwrap_or(0);
        let mut buffer = vec![0; size];
        match self.file.read_exact_at(&mut buffer, begin) {
            Ok(()) => last_lines(&String::from_utf8_lossy(&buffer)),
            Err(error) => format!("  (the log cannot be read: {error})"),
        }
    }
}
