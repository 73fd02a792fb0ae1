//! What the process gives up before it holds a key: core dumps, debuggers of its own account, new
//! privileges, and, where its limits allow that, being swapped out.
//!
//! Nothing here keeps root out. The programs that it starts inherit all but the locked memory and the
//! ban on debuggers.

use anyhow::Context as _;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use rustix::thread::set_no_new_privs;

/// Hardens the process. To be called while it has one thread: the others inherit what is a thread's.
///
/// # Errors
/// When the system refuses what it never needs to refuse.
pub(crate) fn apply() -> anyhow::Result<()> {
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, nothing).context("giving up core dumps")?;
    forbid_dumps()?;
    // Programs that are set-uid, such as `sudo`, are no way up for who takes this process over.
    set_no_new_privs(true).context("giving up new privileges")
}

/// No core dump, not even into a pipe, which the limit on core files says nothing about; and memory
/// and descriptors are root's to read, not everybody's with the same account. Changing the account
/// puts the system's own setting back, so this is done again after it.
pub(crate) fn forbid_dumps() -> anyhow::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("making the process undumpable")
}

/// Keeps the memory out of swap where no limit stands against it, and says so where one does: under a
/// limit, later memory would be refused instead of swapped. To be called as the final account.
pub(crate) fn lock_memory() {
    if let Some(limit) = getrlimit(Resource::Memlock).current {
        tracing::info!(
            "at most {limit} bytes of memory may be locked, so keys may reach swap: encrypt it or \
             switch it off, or set LimitMEMLOCK=infinity"
        );
        return;
    }
    if let Err(error) = lock_all() {
        tracing::warn!("memory could not be locked, so keys may reach swap: {error}");
    }
}

/// Pages are locked when they are first used: stacks that are mostly empty cost nothing.
fn lock_all() -> rustix::io::Result<()> {
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
}

#[cfg(test)]
mod tests;
