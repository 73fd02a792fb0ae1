//! Giving up root after everything that needs it is done.

use anyhow::Context as _;
use clm_database::cluster::Account;
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

/// The account that a server started as root runs as.
pub(crate) const ACCOUNT_NAME: &str = "clm";

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Becomes `account` for good, in every thread.
pub(crate) fn drop_to(account: &Account) -> anyhow::Result<()> {
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    setgroups(&[gid])
        .and_then(|()| setgid(gid))
        .and_then(|()| setuid(uid))
        .with_context(|| format!("becoming account {}", account.name))?;
    // Being able to come back would mean that nothing was given up.
    anyhow::ensure!(
        setuid(Uid::from_raw(0)).is_err(),
        "root could not be given up"
    );
    Ok(())
}
