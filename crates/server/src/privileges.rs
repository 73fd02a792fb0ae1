//! Giving up root after everything that needs it is done.

use anyhow::Context as _;
use clm_database::cluster::Account;
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use crate::configuration::Role;

/// The accounts that servers started as root run as.
pub(crate) const ACCOUNT_NAMES: [&str; 2] = ["clm", "clm-secure"];

/// The account of a role: a Secure Service in a process of its own has one that no core has.
pub(crate) const fn account_name(role: Role) -> &'static str {
    let [core, secure] = ACCOUNT_NAMES;
    match role {
        Role::All | Role::Core => core,
        Role::Secure => secure,
    }
}

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
