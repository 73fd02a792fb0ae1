//! What can be typed about second factors, and about limits, which take one.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum TotpCommand {
    /// Show whether one is in force, and how many backup codes are left.
    Show,
    /// Make a second factor and show it once, for an authenticator.
    Enrol,
    /// Put it into force with a first code, and show the backup codes once.
    Activate(Code),
    /// Make new backup codes and show them once; the old ones stop counting.
    BackupCodes(Code),
    /// Remove it with a code of it.
    Remove(Code),
}

#[derive(Debug, Args)]
pub(crate) struct Code {
    /// Six digits, or a backup code; asked for when absent.
    #[arg(long)]
    pub(crate) code: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LimitsCommand {
    /// Show them.
    Show {
        /// The certificate authority, by id or name.
        authority: String,
    },
    /// Change them, with a code of your second factor (--totp).
    Set(LimitsSet),
}

#[derive(Debug, Args)]
#[command(group(
    ArgGroup::new("limits").required(true).multiple(true)
        .args(["file", "max_validity_days", "max_issuances_per_minute"])
))]
pub(crate) struct LimitsSet {
    /// The certificate authority, by id or name.
    pub(crate) authority: String,
    /// A file with all limits, as `clm ca limits show --output json` writes them.
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// The longest validity, in days.
    #[arg(long)]
    pub(crate) max_validity_days: Option<u32>,
    /// Most issuances in a minute.
    #[arg(long)]
    pub(crate) max_issuances_per_minute: Option<u32>,
    /// Why, in words.
    #[arg(long)]
    pub(crate) reason: String,
}
