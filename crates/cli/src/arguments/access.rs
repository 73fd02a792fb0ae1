//! `clm api-key` and `clm session`: what can be typed.

use clap::{Args, Subcommand};

use super::Paging;

#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeyCommand {
    /// Make an API key for yourself. The key alone goes to standard output, once.
    Create(ApiKeyCreate),
    /// List API keys, newest first.
    List(Paging),
    /// Revoke an API key: it is refused from then on.
    Revoke {
        /// Its id.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ApiKeyCreate {
    /// A name for people.
    pub(crate) name: String,
    /// Narrow it to this (RESOURCE:ACTION, such as certificate:read); repeat the option. Whatever you may
    /// do, when absent.
    #[arg(long = "scope", value_name = "RESOURCE:ACTION")]
    pub(crate) scopes: Vec<String>,
    /// End it after so many days.
    #[arg(long)]
    pub(crate) valid_days: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List your sessions, newest first.
    List(Paging),
    /// End one of your sessions.
    End {
        /// Its id.
        id: String,
    },
}
