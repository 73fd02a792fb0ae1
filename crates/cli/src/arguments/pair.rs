//! `clm pair`: what can be typed.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum PairCommand {
    /// Make a one-time token for a new core; on the host of the Secure Service. The token alone goes to
    /// standard output.
    Create {
        /// How people call the new core: letters, digits and hyphens.
        name: String,
        /// Where the core reaches the Secure Service (HOST:PORT); CLM_SECURE_LISTEN unless given.
        #[arg(long)]
        address: Option<String>,
        /// How long the token may be used, in minutes.
        #[arg(long, default_value_t = 15)]
        valid_minutes: u32,
    },
    /// Take a token; on the host of the core, while that is stopped.
    Accept {
        /// The file with the token; it is read from standard input when absent.
        #[arg(long)]
        token_file: Option<PathBuf>,
        /// Though this core was paired before.
        #[arg(long)]
        replace: bool,
    },
    /// List the cores that were paired, newest first; on the host of the Secure Service.
    List,
    /// Forbid a core to call; on the host of the Secure Service.
    Revoke {
        /// Its name.
        name: String,
    },
}
