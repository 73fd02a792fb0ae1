//! `clm role` and `clm access`: who may do what.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clm_api_types::access::{AccessExplanation, AccessQuestion, GrantState};
use clm_api_types::client::Client;
use clm_api_types::page::PageQuery;
use clm_api_types::role_assignments::{
    RoleAssignment, RoleAssignmentCreate, RoleAssignmentQuery, RoleAssignmentUpdate,
};
use clm_api_types::roles::{RoleCreate, RoleDetail, RoleUpdate};
use clm_domain::permission::{Permissions, rule};
use uuid::Uuid;

use crate::access::permissions;
use crate::arguments::roles::{
    self, AccessCommand, AccessExplain, RoleAssign, RoleCommand, RoleHolders, RoleSetEnd,
};
use crate::arguments::{Format, Global, Paging};
use crate::certificates::query;
use crate::keys::time;
use crate::{connect, output};

/// `clm role …`
pub(crate) async fn role(global: &Global, command: RoleCommand) -> anyhow::Result<ExitCode> {
    let client = connect::client(global)?;
    match command {
        RoleCommand::List(paging) => list(global, &client, paging).await?,
        RoleCommand::Show { role } => {
            let found = client.load_role(&role_id(&client, &role).await?).await?;
            show(global, &found)?;
        }
        RoleCommand::Create(arguments) => create(global, &client, arguments).await?,
        RoleCommand::Update(arguments) => update(global, &client, arguments).await?,
        RoleCommand::Delete { role } => {
            let found = client.load_role(&role_id(&client, &role).await?).await?;
            let id = found.role.id.to_string();
            client.delete_role((&id, found.role.revision)).await?;
            output::line(&format!("deleted; 'clm role restore {id}' takes it back"));
        }
        RoleCommand::Restore { id } => show(global, &client.restore_role(&id).await?)?,
        RoleCommand::Assign(arguments) => assign(global, &client, arguments).await?,
        RoleCommand::Withdraw { id } => {
            client.withdraw_role(&id).await?;
            output::line("withdrawn");
        }
        RoleCommand::SetEnd(arguments) => set_end(global, &client, arguments).await?,
        RoleCommand::Holders(arguments) => holders(global, &client, arguments).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(global: &Global, client: &Client, paging: Paging) -> anyhow::Result<()> {
    let page = client.list_roles(&query(paging)).await?;
    let headers = ["code", "name", "id", "of the system", "permissions"];
    output::list(global.output, &page, &headers, |role| {
        let is_system = if role.is_system_role { "yes" } else { "" };
        vec![
            role.role_code.clone(),
            role.role_name.clone(),
            role.id.to_string(),
            is_system.to_owned(),
            role.permissions.iter().count().to_string(),
        ]
    })
}

fn show(global: &Global, found: &RoleDetail) -> anyhow::Result<()> {
    if global.output == Format::Json {
        return output::json(found);
    }
    let role = &found.role;
    output::fields(&[
        ("code", role.role_code.clone()),
        ("name", role.role_name.clone()),
        ("id", role.id.to_string()),
        ("description", role.description.clone().unwrap_or_default()),
        (
            "parent",
            role.parent_role_id
                .map_or_else(String::new, |id| id.to_string()),
        ),
        ("revision", role.revision.to_string()),
        ("changed", time(Some(role.updated_at))),
        ("allows", words(&role.permissions)),
        ("in all", words(&found.effective_permissions)),
    ]);
    Ok(())
}

fn words(permissions: &Permissions) -> String {
    let rules: Vec<String> = permissions
        .iter()
        .map(|(resource, action)| rule(resource, action))
        .collect();
    rules.join(" ")
}

async fn create(
    global: &Global,
    client: &Client,
    arguments: roles::RoleCreate,
) -> anyhow::Result<()> {
    let request = RoleCreate {
        role_name: arguments.name.unwrap_or_else(|| arguments.code.clone()),
        role_code: arguments.code,
        description: arguments.description,
        permissions: permissions(&arguments.permissions, "--permission")?,
        parent_role_id: match arguments.parent {
            Some(parent) => Some(role_uuid(client, &parent).await?),
            None => None,
        },
    };
    show(global, &client.create_role(&request).await?)
}

async fn update(
    global: &Global,
    client: &Client,
    arguments: roles::RoleUpdate,
) -> anyhow::Result<()> {
    let id = role_id(client, &arguments.role).await?;
    let present = client.load_role(&id).await?;
    let replaced = arguments.no_permissions || !arguments.permissions.is_empty();
    let parent_role_id = match arguments.parent {
        Some(parent) => Some(Some(role_uuid(client, &parent).await?)),
        None => arguments.no_parent.then_some(None),
    };
    let request = RoleUpdate {
        role_name: arguments.name,
        description: arguments
            .description
            .map(|text| (!text.is_empty()).then_some(text)),
        permissions: replaced
            .then(|| permissions(&arguments.permissions, "--permission"))
            .transpose()?,
        parent_role_id,
    };
    let named = (id.as_str(), present.role.revision);
    show(global, &client.update_role(named, &request).await?)
}

async fn assign(global: &Global, client: &Client, arguments: RoleAssign) -> anyhow::Result<()> {
    let request = RoleAssignmentCreate {
        user_id: arguments.user,
        role_id: role_uuid(client, &arguments.role).await?,
        valid_from: arguments.from,
        valid_until: arguments.until,
        reason: arguments.reason,
    };
    show_assignment(global, &client.assign_role(&request).await?)
}

async fn set_end(global: &Global, client: &Client, arguments: RoleSetEnd) -> anyhow::Result<()> {
    let present = client.load_role_assignment(&arguments.id).await?;
    let request = RoleAssignmentUpdate {
        valid_until: arguments.until,
    };
    let named = (arguments.id.as_str(), present.revision);
    let changed = client.update_role_assignment(named, &request).await?;
    show_assignment(global, &changed)
}

fn show_assignment(global: &Global, assignment: &RoleAssignment) -> anyhow::Result<()> {
    if global.output == Format::Json {
        return output::json(assignment);
    }
    output::fields(&[
        ("id", assignment.id.to_string()),
        ("role", assignment.role_code.clone()),
        ("user", assignment.username.clone()),
        ("from", time(Some(assignment.valid_from))),
        ("until", time(assignment.valid_until)),
        ("reason", assignment.reason.clone().unwrap_or_default()),
    ]);
    Ok(())
}

async fn holders(global: &Global, client: &Client, arguments: RoleHolders) -> anyhow::Result<()> {
    let role_id = match arguments.role {
        Some(role) => Some(role_uuid(client, &role).await?),
        None => None,
    };
    let query = RoleAssignmentQuery {
        user_id: arguments.user,
        role_id,
        ended: arguments.ended,
        limit: arguments.paging.limit,
        cursor: arguments.paging.cursor,
    };
    let page = client.list_role_assignments(&query).await?;
    let headers = ["user", "role", "from", "until", "id"];
    output::list(global.output, &page, &headers, |one| {
        vec![
            one.username.clone(),
            one.role_code.clone(),
            time(Some(one.valid_from)),
            time(one.valid_until),
            one.id.to_string(),
        ]
    })
}

/// The id of a role that is named by id or code.
async fn role_uuid(client: &Client, role: &str) -> anyhow::Result<Uuid> {
    if let Ok(id) = Uuid::parse_str(role) {
        return Ok(id);
    }
    let mut page = PageQuery {
        limit: Some(1000),
        cursor: None,
    };
    loop {
        let found = client.list_roles(&page).await?;
        if let Some(named) = found.items.iter().find(|one| one.role_code == role) {
            return Ok(named.id);
        }
        if found.next_cursor.is_none() {
            bail!("there is no role '{role}'; 'clm role list' shows those that there are");
        }
        page.cursor = found.next_cursor;
    }
}

async fn role_id(client: &Client, role: &str) -> anyhow::Result<String> {
    Ok(role_uuid(client, role).await?.to_string())
}

/// `clm access …`
pub(crate) async fn access(global: &Global, command: AccessCommand) -> anyhow::Result<ExitCode> {
    let client = connect::client(global)?;
    let AccessCommand::Explain(arguments) = command;
    let found = client.explain_access(&question(arguments)?).await?;
    if global.output == Format::Json {
        output::json(&found)?;
    } else {
        explain(&found);
    }
    // For scripts: 3 as when the act itself is refused.
    Ok(if found.allowed {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
}

fn question(arguments: AccessExplain) -> anyhow::Result<AccessQuestion> {
    let asked = [arguments.permission];
    let (resource, action) = permissions(&asked, "the permission")?
        .iter()
        .next()
        .context("a permission is RESOURCE:ACTION")?;
    Ok(AccessQuestion {
        user_id: arguments.user,
        resource,
        action,
        at: arguments.at,
    })
}

fn explain(found: &AccessExplanation) {
    output::line(&found.explanation);
    if found.grants.is_empty() {
        return;
    }
    let headers = ["role", "by", "from", "until", "counts", "assignment"];
    let rows = found.grants.iter().map(|grant| {
        let counts = match grant.state {
            GrantState::Current => "yes",
            GrantState::Pending => "not yet",
            GrantState::Ended => "no longer",
        };
        vec![
            grant.role_code.clone(),
            grant.assigned_role_code.clone(),
            time(Some(grant.valid_from)),
            time(grant.valid_until),
            counts.to_owned(),
            grant.role_assignment_id.to_string(),
        ]
    });
    output::table(&headers, rows);
}
