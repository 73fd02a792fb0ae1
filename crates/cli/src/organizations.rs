//! `clm org`, `clm member` and `clm invitation`.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clm_api_types::client::{Client, Credential};
use clm_api_types::members::{
    InvitationAccept, InvitationCreate, Member, MemberCreate, MemberLeave, MemberRemoval,
    MemberStatusUpdate,
};
use clm_api_types::organizations::{
    Organization, OrganizationChoice, OrganizationCreate, OrganizationStatusUpdate,
    OrganizationUpdate,
};
use clm_domain::organization_settings::OrganizationSettings;
use clm_domain::states::MembershipStatus;

use crate::arguments::organizations::{
    self as arguments, InvitationCommand, MemberCommand, OrganizationCommand,
};
use crate::arguments::{Format, Global};
use crate::certificates::query;
use crate::credentials;
use crate::keys::time;
use crate::{connect, output, session};

/// `clm org …`
pub(crate) async fn organization(
    global: &Global,
    command: OrganizationCommand,
) -> anyhow::Result<ExitCode> {
    if let OrganizationCommand::Switch { to, primary } = command {
        switch(global, to, primary).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let client = connect::client(global)?;
    match command {
        OrganizationCommand::Create(arguments) => {
            let request = OrganizationCreate {
                name: arguments.name,
                slug: arguments.slug,
                max_users: arguments.max_users,
                max_certificates: arguments.max_certificates,
            };
            show(global, &client.create_organization(&request).await?)?;
        }
        OrganizationCommand::List(paging) => {
            let page = client.list_organizations(&query(paging)).await?;
            let headers = ["id", "slug", "name", "status", "created", "this one"];
            output::list(global.output, &page, &headers, |one| {
                let is_current = if one.is_current { "yes" } else { "" };
                vec![
                    one.id.to_string(),
                    one.slug.clone(),
                    one.name.clone(),
                    one.status.as_str().to_owned(),
                    time(Some(one.created_at)),
                    is_current.to_owned(),
                ]
            })?;
        }
        OrganizationCommand::Show { id } => {
            let id = named_or_own(&client, id).await?;
            show(global, &client.load_organization(&id).await?)?;
        }
        OrganizationCommand::Update(arguments) => update(global, &client, *arguments).await?,
        OrganizationCommand::Status { id, status, reason } => {
            let update = OrganizationStatusUpdate { status, reason };
            show(global, &client.set_organization_status(&id, &update).await?)?;
        }
        OrganizationCommand::Switch { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn named_or_own(client: &Client, id: Option<String>) -> anyhow::Result<String> {
    match id {
        Some(id) => Ok(id),
        None => Ok(client.who_am_i().await?.organization_id.to_string()),
    }
}

async fn update(
    global: &Global,
    client: &Client,
    arguments: arguments::OrganizationUpdate,
) -> anyhow::Result<()> {
    let id = named_or_own(client, arguments.id.clone()).await?;
    let present = client.load_organization(&id).await?;
    let settings = changed(&present.settings, &arguments);
    let update = OrganizationUpdate {
        name: arguments.name,
        settings: (settings != present.settings).then_some(settings),
        max_users: arguments.max_users.map(|quota| quota.0),
        max_certificates: arguments.max_certificates.map(|quota| quota.0),
    };
    let named = (id.as_str(), present.revision);
    show(global, &client.update_organization(named, &update).await?)
}

/// The settings with what was typed; 0 leaves one to the installation.
fn changed(
    present: &OrganizationSettings,
    arguments: &arguments::OrganizationUpdate,
) -> OrganizationSettings {
    let number = |typed: Option<u32>, present: Option<u32>| match typed {
        None => present,
        Some(0) => None,
        Some(number) => Some(number),
    };
    OrganizationSettings {
        session_idle_minutes: number(arguments.session_idle_minutes, present.session_idle_minutes),
        session_hours_max: number(arguments.session_hours_max, present.session_hours_max),
        password_days_max: number(arguments.password_days_max, present.password_days_max),
        require_second_factor: arguments
            .require_second_factor
            .unwrap_or(present.require_second_factor),
        second_factor_roles: match arguments.second_factor_roles.as_deref() {
            None => present.second_factor_roles.clone(),
            Some([none]) if none == "none" => Vec::new(),
            Some(codes) => codes.to_vec(),
        },
        api_key_days_max: number(arguments.api_key_days_max, present.api_key_days_max),
    }
}

fn show(global: &Global, found: &Organization) -> anyhow::Result<()> {
    if global.output == Format::Json {
        return output::json(found);
    }
    let quota = |most: Option<i64>| most.map_or_else(|| "no limit".to_owned(), |n| n.to_string());
    let of = |count: i64, most: Option<i64>| format!("{count} of {}", quota(most));
    output::fields(&[
        ("id", found.id.to_string()),
        ("slug", found.slug.clone()),
        ("name", found.name.clone()),
        ("status", found.status.as_str().to_owned()),
        ("users", of(found.user_count, found.max_users)),
        (
            "certificates",
            of(found.certificate_count, found.max_certificates),
        ),
        (
            "settings",
            serde_json::to_string(&found.settings).context("writing settings")?,
        ),
        ("revision", found.revision.to_string()),
        ("created", time(Some(found.created_at))),
    ]);
    Ok(())
}

/// The remembered session goes on elsewhere, with new secrets, which are remembered in their turn.
async fn switch(global: &Global, organization: String, primary: bool) -> anyhow::Result<()> {
    let Some(remembered) = credentials::load()? else {
        bail!("there is no session to switch: 'clm login' first");
    };
    let url = global.url.clone().unwrap_or_else(|| remembered.url.clone());
    if url.trim_end_matches('/') != remembered.url {
        return Err(connect::NotSignedIn::to(url).into());
    }
    let credential = Credential::Session {
        token: remembered.token,
        csrf_token: remembered.csrf_token,
    };
    let choice = OrganizationChoice { organization };
    let client = connect::network(global, &url, credential)?;
    let (switched, credential) = client.switch_organization(&choice).await?;
    session::remember(&remembered.url, credential.clone())?;
    if primary {
        let client = connect::network(global, &url, credential)?;
        client.set_primary_organization(&choice).await?;
    }
    output::line(&format!(
        "you act for {} now, until {}",
        choice.organization, switched.session.expires_at
    ));
    Ok(())
}

/// `clm member …`
pub(crate) async fn member(global: &Global, command: MemberCommand) -> anyhow::Result<ExitCode> {
    let client = connect::client(global)?;
    match command {
        MemberCommand::List(paging) => {
            let page = client.list_members(&query(paging)).await?;
            let headers = ["user", "name", "type", "status", "home", "roles", "since"];
            output::list(global.output, &page, &headers, |one| {
                let is_home = if one.is_home { "yes" } else { "guest" };
                vec![
                    one.user_id.to_string(),
                    one.username.clone(),
                    one.user_type.as_str().to_owned(),
                    one.status.as_str().to_owned(),
                    is_home.to_owned(),
                    role_codes(one),
                    time(Some(one.joined_at)),
                ]
            })?;
        }
        MemberCommand::Show { id } => show_member(global, &client.load_member(&id).await?)?,
        MemberCommand::Add { user, to } => {
            let request = MemberCreate {
                user,
                organization_id: to,
            };
            show_member(global, &client.add_member(&request).await?)?;
        }
        MemberCommand::Suspend { id, reason } => {
            let update = status(MembershipStatus::Suspended, reason);
            show_member(global, &client.set_member_status(&id, &update).await?)?;
        }
        MemberCommand::Activate { id, reason } => {
            let update = status(MembershipStatus::Active, reason);
            show_member(global, &client.set_member_status(&id, &update).await?)?;
        }
        MemberCommand::Remove { id, successor } => {
            let removal = MemberRemoval {
                successor_user_id: successor,
            };
            client.remove_member(&id, &removal).await?;
            output::line("removed");
        }
        MemberCommand::Leave { successor } => {
            let leave = MemberLeave {
                successor_user_id: successor,
            };
            client.leave_organization(&leave).await?;
            output::line("left; sign in again to act for another organization");
        }
    }
    Ok(ExitCode::SUCCESS)
}

const fn status(status: MembershipStatus, reason: String) -> MemberStatusUpdate {
    MemberStatusUpdate { status, reason }
}

fn role_codes(member: &Member) -> String {
    let codes: Vec<&str> = member
        .roles
        .iter()
        .map(|role| role.role_code.as_str())
        .collect();
    codes.join(", ")
}

fn show_member(global: &Global, found: &Member) -> anyhow::Result<()> {
    if global.output == Format::Json {
        return output::json(found);
    }
    let is_home = if found.is_home { "yes" } else { "no, a guest" };
    output::fields(&[
        ("user", found.user_id.to_string()),
        ("name", found.username.clone()),
        (
            "display name",
            found.display_name.clone().unwrap_or_default(),
        ),
        ("e-mail", found.email.clone().unwrap_or_default()),
        ("type", found.user_type.as_str().to_owned()),
        ("status", found.status.as_str().to_owned()),
        ("home", is_home.to_owned()),
        ("roles", role_codes(found)),
        ("since", time(Some(found.joined_at))),
    ]);
    Ok(())
}

/// `clm invitation …`
pub(crate) async fn invitation(
    global: &Global,
    command: InvitationCommand,
) -> anyhow::Result<ExitCode> {
    let client = connect::client(global)?;
    match command {
        InvitationCommand::Create { email, role } => {
            let request = InvitationCreate {
                email,
                role_id: role,
            };
            invite(global, &client, &request).await?;
        }
        InvitationCommand::List(paging) => {
            let page = client.list_invitations(&query(paging)).await?;
            let headers = ["id", "e-mail", "until", "accepted", "taken back"];
            output::list(global.output, &page, &headers, |one| {
                vec![
                    one.id.to_string(),
                    one.email.clone(),
                    time(Some(one.expires_at)),
                    time(one.accepted_at),
                    time(one.revoked_at),
                ]
            })?;
        }
        InvitationCommand::Revoke { id } => {
            client.revoke_invitation(&id).await?;
            output::line("taken back");
        }
        InvitationCommand::Accept => {
            let token = session::secret("Token: ", true)?;
            let joined = client
                .accept_invitation(&InvitationAccept { token })
                .await?;
            match global.output {
                Format::Json => output::json(&joined)?,
                Format::Table => output::line(&format!(
                    "you are a member of {} now: clm org switch {}",
                    joined.organization_name, joined.organization_slug
                )),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The token goes to standard output, whole and alone, so that it can be piped.
#[expect(clippy::print_stderr, reason = "standard output is the token's")]
async fn invite(
    global: &Global,
    client: &Client,
    request: &InvitationCreate,
) -> anyhow::Result<()> {
    let created = client.invite(request).await?;
    if global.output == Format::Json {
        return output::json(&created);
    }
    output::line(&created.token);
    eprintln!(
        "it can be accepted until {}; it is shown this once",
        created.invitation.expires_at
    );
    Ok(())
}
