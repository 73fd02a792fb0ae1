//! `clm org`, `clm member` and `clm invitation`: what can be typed.

use clap::{Args, Subcommand};
use clm_domain::states::OrganizationStatus;
use uuid::Uuid;

use super::Paging;

#[derive(Debug, Subcommand)]
pub(crate) enum OrganizationCommand {
    /// Make an organization.
    Create(OrganizationCreate),
    /// List the organizations that you may know of, newest first.
    List(Paging),
    /// Show an organization.
    Show {
        /// Its id; the one that you act for when absent.
        id: Option<String>,
    },
    /// Change an organization.
    Update(Box<OrganizationUpdate>),
    /// Open, suspend or close an organization.
    Status {
        /// Its id.
        id: String,
        /// active, suspended (read only) or inactive (nothing).
        status: OrganizationStatus,
        /// Why, in words.
        #[arg(long)]
        reason: String,
    },
    /// Go on in another organization of yours, with the session signed in with.
    Switch {
        /// Its slug or id.
        #[arg(value_name = "ORGANIZATION")]
        to: String,
        /// Begin there at the next sign-in, too.
        #[arg(long)]
        primary: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct OrganizationCreate {
    /// What people call it.
    pub(crate) name: String,
    /// Its short name; never given out again.
    #[arg(long)]
    pub(crate) slug: String,
    /// Most users whose home it is.
    #[arg(long)]
    pub(crate) max_users: Option<i64>,
    /// Most live certificates.
    #[arg(long)]
    pub(crate) max_certificates: Option<i64>,
}

#[derive(Debug, Args)]
pub(crate) struct OrganizationUpdate {
    /// Its id; the one that you act for when absent.
    pub(crate) id: Option<String>,
    /// What people call it.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// End sessions after so many minutes without use; 0 leaves it to the installation.
    #[arg(long, value_name = "MINUTES")]
    pub(crate) session_idle_minutes: Option<u32>,
    /// End sessions after so many hours; 0 leaves it to the installation.
    #[arg(long, value_name = "HOURS")]
    pub(crate) session_hours_max: Option<u32>,
    /// Have passwords changed after so many days; 0 for never.
    #[arg(long, value_name = "DAYS")]
    pub(crate) password_days_max: Option<u32>,
    /// Let API keys live so many days at most; 0 for no end.
    #[arg(long, value_name = "DAYS")]
    pub(crate) api_key_days_max: Option<u32>,
    /// Whether members need a second factor.
    #[arg(long)]
    pub(crate) require_second_factor: Option<bool>,
    /// The roles whose holders need a second factor, by their codes, or "none".
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    pub(crate) second_factor_roles: Option<Vec<String>>,
    /// Most users whose home it is, or "none"; from the System organization only.
    #[arg(long, value_parser = quota)]
    pub(crate) max_users: Option<Quota>,
    /// Most live certificates, or "none"; from the System organization only.
    #[arg(long, value_parser = quota)]
    pub(crate) max_certificates: Option<Quota>,
}

/// A quota; absent: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota(pub(crate) Option<i64>);

fn quota(text: &str) -> Result<Quota, String> {
    if text == "none" {
        return Ok(Quota(None));
    }
    let number = text.parse::<i64>();
    let number = number.map_err(|_| "use a number, or 'none' for no limit".to_owned())?;
    Ok(Quota(Some(number)))
}

#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// List who may act in the organization.
    List(Paging),
    /// Show a member.
    Show {
        /// The user's id.
        id: String,
    },
    /// Make a user a member of an organization, from the System organization.
    Add {
        /// The user: an id, or NAME@SLUG.
        user: String,
        /// The id of the organization.
        #[arg(long)]
        to: Uuid,
    },
    /// Keep a member from acting in the organization, for the time being.
    Suspend {
        /// The user's id.
        id: String,
        /// Why, in words.
        #[arg(long)]
        reason: String,
    },
    /// Let a suspended member act again.
    Activate {
        /// The user's id.
        id: String,
        /// Why, in words.
        #[arg(long)]
        reason: String,
    },
    /// End a guest's membership.
    Remove {
        /// The user's id.
        id: String,
        /// The id of the user who shall answer for what the guest answers for.
        #[arg(long)]
        successor: Option<Uuid>,
    },
    /// Leave the organization that you act for.
    Leave {
        /// The id of the user who shall answer for what you answer for.
        #[arg(long)]
        successor: Option<Uuid>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum InvitationCommand {
    /// Invite somebody. The token alone goes to standard output, once.
    Create {
        /// The address of whoever is invited.
        email: String,
        /// The id of a role that the new member shall have.
        #[arg(long)]
        role: Option<Uuid>,
    },
    /// List invitations, newest first.
    List(Paging),
    /// Take an invitation back.
    Revoke {
        /// Its id.
        id: String,
    },
    /// Become a member, with the session signed in with. The token is read from standard input.
    Accept,
}
