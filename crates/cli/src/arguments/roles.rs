//! `clm role` and `clm access`: what can be typed.

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args, Subcommand};
use uuid::Uuid;

use super::Paging;

#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// List the roles that the organization may use.
    List(Paging),
    /// Show a role with all that it gives.
    Show {
        /// Its code or id.
        role: String,
    },
    /// Make a role.
    Create(RoleCreate),
    /// Change a role; whoever holds it has the new permissions at once.
    Update(RoleUpdate),
    /// Remove a role that nobody holds and none inherits from.
    Delete {
        /// Its code or id.
        role: String,
    },
    /// Take a removal back.
    Restore {
        /// The id of the role.
        id: String,
    },
    /// Give a member of the organization a role.
    Assign(RoleAssign),
    /// Take a role away, or cancel an assignment that has not begun.
    Withdraw {
        /// The id of the assignment.
        id: String,
    },
    /// Move the end of an assignment.
    SetEnd(RoleSetEnd),
    /// List who holds which role.
    Holders(RoleHolders),
}

#[derive(Debug, Args)]
pub(crate) struct RoleCreate {
    /// Its code, for programs: capital letters, digits and underscores.
    pub(crate) code: String,
    /// Its name, for people; the code when absent.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What it is for.
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// What it allows (RESOURCE:ACTION, such as certificate:read); repeat the option.
    #[arg(long = "permission", value_name = "RESOURCE:ACTION")]
    pub(crate) permissions: Vec<String>,
    /// Inherit the permissions of this role (code or id).
    #[arg(long)]
    pub(crate) parent: Option<String>,
}

#[derive(Debug, Args)]
#[command(group(
    ArgGroup::new("change").required(true).multiple(true)
        .args(["name", "description", "permissions", "no_permissions", "parent", "no_parent"])
))]
pub(crate) struct RoleUpdate {
    /// Its code or id.
    pub(crate) role: String,
    /// Its name, for people.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What it is for; empty for nothing.
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// What it allows, as a whole (RESOURCE:ACTION); repeat the option.
    #[arg(
        long = "permission",
        value_name = "RESOURCE:ACTION",
        conflicts_with = "no_permissions"
    )]
    pub(crate) permissions: Vec<String>,
    /// Allow nothing but what it inherits.
    #[arg(long)]
    pub(crate) no_permissions: bool,
    /// Inherit the permissions of this role (code or id).
    #[arg(long, conflicts_with = "no_parent")]
    pub(crate) parent: Option<String>,
    /// Inherit nothing.
    #[arg(long)]
    pub(crate) no_parent: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RoleAssign {
    /// The role, by code or id.
    pub(crate) role: String,
    /// The id of the member.
    #[arg(long)]
    pub(crate) user: Uuid,
    /// When it begins (RFC 3339, such as 2026-01-31T08:00:00Z); now when absent.
    #[arg(long)]
    pub(crate) from: Option<DateTime<Utc>>,
    /// When it ends (RFC 3339); never when absent.
    #[arg(long)]
    pub(crate) until: Option<DateTime<Utc>>,
    /// Why, in words.
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("end").required(true).args(["until", "open"])))]
pub(crate) struct RoleSetEnd {
    /// The id of the assignment.
    pub(crate) id: String,
    /// When it ends (RFC 3339).
    #[arg(long)]
    pub(crate) until: Option<DateTime<Utc>>,
    /// Let it go on until it is withdrawn.
    #[arg(long)]
    pub(crate) open: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RoleHolders {
    /// Of this role only (code or id).
    #[arg(long)]
    pub(crate) role: Option<String>,
    /// Of this user only (id).
    #[arg(long)]
    pub(crate) user: Option<Uuid>,
    /// Ended assignments too.
    #[arg(long)]
    pub(crate) ended: bool,
    #[command(flatten)]
    pub(crate) paging: Paging,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccessCommand {
    /// Say whether somebody may do something in the organization, and by which assignment and role.
    Explain(AccessExplain),
}

#[derive(Debug, Args)]
pub(crate) struct AccessExplain {
    /// What is to be done (RESOURCE:ACTION, such as certificate:read).
    #[arg(value_name = "RESOURCE:ACTION")]
    pub(crate) permission: String,
    /// The id of the member; you, when absent.
    #[arg(long)]
    pub(crate) user: Option<Uuid>,
    /// At which moment (RFC 3339); now when absent.
    #[arg(long)]
    pub(crate) at: Option<DateTime<Utc>>,
}
