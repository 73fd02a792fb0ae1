//! `clm api-key` and `clm session`: what can be typed.

use clap::{Args, Subcommand};

use super::Paging;

#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeyCommand {
    /// Make an API key for yourself. The key alone goes to standard output, once.
    Create(ApiKeyCreate),
    /// List API keys, newest first.
    List(Paging),
    /// Make an API key in the place of another, which goes on for some time. The new key alone goes to
    /// standard output, once.
    Rotate {
        /// The id of the old one.
        id: String,
        /// How long the old one goes on, in hours.
        #[arg(long, default_value_t = 24)]
        overlap_hours: u32,
        /// End the new one after so many days; after as long as the old one was made for, when absent.
        #[arg(long)]
        valid_days: Option<u32>,
    },
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
    /// Let it be used only from this address or network (such as 192.0.2.0/24); repeat the option.
    #[arg(long = "from", value_name = "NETWORK")]
    pub(crate) networks: Vec<String>,
    /// Make it for this service account (id) instead of yourself.
    #[arg(long)]
    pub(crate) service_account: Option<uuid::Uuid>,
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
