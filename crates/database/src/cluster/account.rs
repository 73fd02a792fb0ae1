//! Accounts of the operating system: who runs PostgreSQL, and as whom its programs are started.
//!
//! PostgreSQL refuses to run as root, so that a `clm` that was started as root starts it as an
//! unprivileged account. Nothing here keeps a credential, and no child gets our environment:
//! it can hold passwords (`CLM_BOOTSTRAP_PASSWORD`, database URLs).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::{ClusterError, failed_to, last_lines};

const PASSWD: &str = "/etc/passwd";

/// An account of the operating system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its user ID.
    pub uid: u32,
    /// The ID of its primary group.
    pub gid: u32,
}

impl Account {
    /// Finds an account by name, in `/etc/passwd` and then through `getent` (LDAP, systemd).
    ///
    /// # Errors
    /// [`ClusterError::Io`] when the user database cannot be read.
    pub fn find(name: &str) -> Result<Option<Self>, ClusterError> {
        find(name, |account| account.name == name)
    }

    /// Finds the system account of this name, or makes it (root only, with `useradd`).
    ///
    /// # Errors
    /// [`ClusterError::AccountName`], [`ClusterError::AccountNotMade`] and
    /// [`ClusterError::AccountIsRoot`]; [`ClusterError::Io`] when the user database cannot be read.
    pub fn ensure_system_account(name: &str) -> Result<Self, ClusterError> {
        let usable = |account: Self| match account.uid {
            0 => Err(ClusterError::AccountIsRoot { name: account.name }),
            _ => Ok(account),
        };
        if let Some(account) = Self::find(name)? {
            return usable(account);
        }
        check_system_name(name)?;
        let not_made = |reason: String| ClusterError::AccountNotMade {
            name: name.to_owned(),
            reason,
        };
        if !rustix::process::geteuid().is_root() {
            return Err(not_made("only root can make accounts".to_owned()));
        }
        let output = child_command(Path::new("useradd"), None)
            .args(["--system", "--no-create-home", "--home-dir", "/nonexistent"])
            .args(["--shell", "/usr/sbin/nologin", "--user-group", "--", name])
            .output()
            .map_err(|error| not_made(format!("useradd could not be run: {error}")))?;
        // Found in spite of a failure: another process made it at the same time.
        match Self::find(name)? {
            Some(account) => usable(account),
            None => Err(not_made(last_lines(&String::from_utf8_lossy(
                &output.stderr,
            )))),
        }
    }

    /// Finds an account by its user ID.
    pub(super) fn find_uid(uid: u32) -> Result<Option<Self>, ClusterError> {
        find(&uid.to_string(), |account| account.uid == uid)
    }

    /// The first directory on the way to `path` (itself included, as far as it exists) that this
    /// account may not pass, so that PostgreSQL could not live there.
    ///
    /// Judges by owner, group and mode (the account's supplementary groups do not count: the
    /// server runs without them), and asks the kernel before it says no (access control lists).
    #[must_use]
    pub fn blocking_directory(&self, path: &Path) -> Option<PathBuf> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let existing = path
            .ancestors()
            .find_map(|ancestor| ancestor.canonicalize().ok())?;
        let mut on_the_way: Vec<&Path> = existing.ancestors().collect();
        on_the_way.reverse();
        let blocking = on_the_way
            .into_iter()
            .find(|directory| !self.may_pass(directory))?;
        let entered = child_command(Path::new("/bin/sh"), Some(self))
            .args(["-c", "cd -- \"$1\"", "sh"])
            .arg(&existing)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match entered {
            Ok(status) if status.success() => None,
            _ => Some(blocking.to_owned()),
        }
    }

    fn may_pass(&self, directory: &Path) -> bool {
        let Ok(metadata) = fs::metadata(directory) else {
            return false;
        };
        let needed = if metadata.uid() == self.uid {
            0o100
        } else if metadata.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        metadata.is_dir() && metadata.mode() & needed != 0
    }
}

/// Who runs the server: the account given when we are root, else ourselves.
#[derive(Debug, Clone)]
pub(super) struct RunAs {
    /// The account of the server.
    pub(super) account: Account,
    /// Whether we are root and must change to that account for every child.
    pub(super) switch: bool,
}

impl RunAs {
    /// Decides it for the present user ID, which may have changed since the last start.
    pub(super) fn decide(account: Option<&Account>) -> Result<Self, ClusterError> {
        let uid = rustix::process::geteuid();
        if uid.is_root() {
            let account = account.ok_or(ClusterError::RootNeedsAccount)?.clone();
            if account.uid == 0 {
                return Err(ClusterError::AccountIsRoot { name: account.name });
            }
            return Ok(Self {
                account,
                switch: true,
            });
        }
        let own = Account::find_uid(uid.as_raw())?;
        let account = own.ok_or(ClusterError::UserWithoutName { uid: uid.as_raw() })?;
        Ok(Self {
            account,
            switch: false,
        })
    }

    /// A command that runs as the server's account, without our environment.
    pub(super) fn command(&self, program: &Path) -> Command {
        child_command(program, self.switch.then_some(&self.account))
    }

    /// Gives a file that we opened to the server's account.
    pub(super) fn give<F: std::os::fd::AsFd>(&self, file: F) -> io::Result<()> {
        if self.switch {
            let uid = rustix::fs::Uid::from_raw(self.account.uid);
            let gid = rustix::fs::Gid::from_raw(self.account.gid);
            rustix::fs::fchown(file, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    /// Refuses a directory that the server could not reach.
    pub(super) fn check_passable(&self, path: &Path) -> Result<(), ClusterError> {
        if !self.switch {
            return Ok(());
        }
        match self.account.blocking_directory(path) {
            None => Ok(()),
            Some(blocking) => Err(ClusterError::NotPassable {
                path: path.to_owned(),
                blocking,
                account: self.account.name.clone(),
            }),
        }
    }
}

/// The name of a user, or its number when it has none.
pub(super) fn user_name(uid: u32) -> String {
    match Account::find_uid(uid) {
        Ok(Some(account)) => account.name,
        _ => format!("user ID {uid}"),
    }
}

/// A command with an environment of its own, started as `account` (without supplementary groups:
/// the standard library drops them when it changes the user ID as root).
pub(super) fn child_command(program: &Path, account: Option<&Account>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir("/")
        .stdin(Stdio::null());
    let own_uid = rustix::process::geteuid().as_raw();
    if let Some(account) = account.filter(|account| account.uid != own_uid) {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

fn check_system_name(name: &str) -> Result<(), ClusterError> {
    let first = name.bytes().next();
    let begins_well = first.is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
    };
    if begins_well && name.len() <= 31 && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(ClusterError::AccountName {
        name: name.to_owned(),
    })
}

fn find(key: &str, is_it: impl Fn(&Account) -> bool) -> Result<Option<Account>, ClusterError> {
    let passwd = match fs::read(PASSWD) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed_to("read", Path::new(PASSWD))(error)),
    };
    let search = |content: &[u8]| {
        let text = String::from_utf8_lossy(content);
        text.lines()
            .filter_map(parse_line)
            .find(|account| is_it(account))
    };
    if let Some(account) = search(&passwd) {
        return Ok(Some(account));
    }
    // Not everywhere: without it there is only the file.
    let Ok(output) = child_command(Path::new("getent"), None)
        .args(["passwd", "--", key])
        .output()
    else {
        return Ok(None);
    };
    Ok(search(&output.stdout))
}

/// Reads `name:password:uid:gid:…` (passwd(5)).
fn parse_line(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account { name, uid, gid })
}
