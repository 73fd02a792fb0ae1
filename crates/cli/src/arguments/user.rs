//! `clm user`: what can be typed.

use clap::{ArgGroup, Args, Subcommand};
use clm_domain::states::UserStatus;
use uuid::Uuid;

use super::{Paging, Servers};

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make the first administrator; refused once one exists.
    CreateAdmin(CreateAdmin),
    /// Remove the second factor of a user who has lost it. Only where the databases and the master
    /// key can be read.
    ResetTotp(ResetTotp),
    /// Make a user, who has no role yet. A generated password alone goes to standard output, once.
    Create(UserCreate),
    /// List users, newest first.
    List(UserList),
    /// Show one user.
    Show {
        /// The user, by name or id.
        user: String,
    },
    /// Change names and addresses of a user.
    Update(UserUpdate),
    /// Set the status of a user; unless it is active, sessions end and API keys stop at once.
    SetStatus {
        /// The user, by name or id.
        user: String,
        /// active, inactive, locked or suspended.
        status: UserStatus,
        /// Why, in words.
        #[arg(long)]
        reason: String,
    },
    /// Give a user a new first password, generated unless it is read. Every session ends.
    SetPassword {
        /// The user, by name or id.
        user: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Change your own password. Your other sessions end.
    ChangePassword {
        /// Read the present and the new password from standard input, one a line.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Forget the wrong passwords of a user, and the lock that they caused.
    Unlock {
        /// The user, by name or id.
        user: String,
    },
    /// Delete a user: sessions, API keys, role assignments and memberships end.
    Delete {
        /// The user, by name or id.
        user: String,
    },
    /// Bring a deleted user back, without roles and API keys.
    Restore {
        /// The user's id.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UserCreate {
    /// The name to sign in with.
    pub(crate) username: String,
    /// Address for messages.
    #[arg(long)]
    pub(crate) email: Option<String>,
    /// Name shown to others.
    #[arg(long)]
    pub(crate) display_name: Option<String>,
    /// A service: a program, which has API keys and cannot sign in.
    #[arg(long, conflicts_with = "password_stdin")]
    pub(crate) service: bool,
    /// Read the first password from standard input; one is generated otherwise.
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// The id of the home organization, for those who act in the System organization.
    #[arg(long)]
    pub(crate) home_organization_id: Option<Uuid>,
}

#[derive(Debug, Args)]
pub(crate) struct UserList {
    /// Of this status only: active, inactive, locked or suspended.
    #[arg(long)]
    pub(crate) status: Option<UserStatus>,
    /// The one with exactly this name only.
    #[arg(long)]
    pub(crate) username: Option<String>,
    /// Of this home (its id), for those who act in the System organization.
    #[arg(long)]
    pub(crate) home_organization_id: Option<Uuid>,
    #[command(flatten)]
    pub(crate) paging: Paging,
}

#[derive(Debug, Args)]
#[command(group(
    ArgGroup::new("change").required(true).multiple(true)
        .args(["username", "email", "no_email", "display_name", "no_display_name"])
))]
pub(crate) struct UserUpdate {
    /// The user, by name or id.
    pub(crate) user: String,
    /// Another name to sign in with.
    #[arg(long)]
    pub(crate) username: Option<String>,
    /// Another address for messages.
    #[arg(long, conflicts_with = "no_email")]
    pub(crate) email: Option<String>,
    /// No address.
    #[arg(long)]
    pub(crate) no_email: bool,
    /// Another name shown to others.
    #[arg(long, conflicts_with = "no_display_name")]
    pub(crate) display_name: Option<String>,
    /// No such name.
    #[arg(long)]
    pub(crate) no_display_name: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ResetTotp {
    /// The user's name.
    #[arg(long)]
    pub(crate) username: String,
    /// The slug of the user's home organization.
    #[arg(long = "home-organization", default_value = "default")]
    pub(crate) home_organization: String,
    /// Why, in words.
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) servers: Servers,
}

#[derive(Debug, Args)]
pub(crate) struct CreateAdmin {
    /// The administrator's name.
    #[arg(long)]
    pub(crate) username: String,
    /// The slug of the home organization, which is made when it is missing.
    #[arg(long = "home-organization", default_value = "default")]
    pub(crate) home_organization: String,
    /// The name of the home organization, when it is made.
    #[arg(long, default_value = "Default")]
    pub(crate) organization_name: String,
    /// Read the password from standard input instead of the terminal.
    #[arg(long)]
    pub(crate) password_stdin: bool,
    #[command(flatten)]
    pub(crate) servers: Servers,
}
