//! `clm user`: accounts of people and services.

use std::process::ExitCode;

use anyhow::bail;
use clm_api_types::client::{Client, Credential};
use clm_api_types::users::{
    PasswordChange, User, UserCreate, UserPasswordSet, UserQuery, UserStatusUpdate, UserUpdate,
};
use clm_domain::states::{UserStatus, UserType};
use uuid::Uuid;

use crate::arguments::user::{self, UserCommand};
use crate::arguments::{Format, Global};
use crate::keys::time;
use crate::{connect, database, output, session};

/// `clm user …`
pub(crate) async fn user(global: &Global, command: UserCommand) -> anyhow::Result<ExitCode> {
    let command = match command {
        UserCommand::CreateAdmin(arguments) => return database::create_admin(arguments).await,
        UserCommand::ResetTotp(arguments) => return database::reset_totp(arguments).await,
        command => command,
    };
    let client = connect::client(global)?;
    match command {
        UserCommand::CreateAdmin(_) | UserCommand::ResetTotp(_) => {}
        UserCommand::Create(arguments) => create(global, &client, arguments).await?,
        UserCommand::List(arguments) => list(global, &client, arguments).await?,
        UserCommand::Show { user } => show(global, &find(&client, &user).await?)?,
        UserCommand::Update(arguments) => update(global, &client, arguments).await?,
        UserCommand::SetStatus {
            user,
            status,
            reason,
        } => set_status(global, &client, (&user, status), reason).await?,
        UserCommand::SetPassword {
            user,
            password_stdin,
        } => set_password(global, &client, &user, password_stdin).await?,
        UserCommand::ChangePassword { password_stdin } => {
            change_password(&client, password_stdin).await?;
        }
        UserCommand::Unlock { user } => {
            let id = find(&client, &user).await?.id.to_string();
            show(global, &client.unlock_user(&id).await?)?;
        }
        UserCommand::Delete { user } => {
            let id = find(&client, &user).await?.id.to_string();
            client.delete_user(&id).await?;
            output::line(&format!("deleted; to bring it back: clm user restore {id}"));
        }
        UserCommand::Restore { id } => show(global, &client.restore_user(&id).await?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Changes one's own password: the present one and the new one, each on a line of standard input where
/// that is read.
async fn change_password(client: &Client, from_stdin: bool) -> anyhow::Result<()> {
    let current_password = session::secret("Present password: ", from_stdin)?;
    let new_password = session::secret("New password: ", from_stdin)?;
    if !from_stdin && session::secret("New password again: ", false)? != new_password {
        bail!("the new password was typed in two ways; nothing was changed");
    }
    let change = PasswordChange {
        current_password,
        new_password,
    };
    let credential = client.change_password(&change).await?;
    if matches!(credential, Credential::Session { .. }) {
        session::remember_again(credential)?;
    }
    output::line("the password is changed; your other sessions have ended");
    Ok(())
}

/// A generated password goes to standard output, whole and alone, so that it can be piped.
#[expect(clippy::print_stderr, reason = "standard output is the password's")]
async fn create(
    global: &Global,
    client: &Client,
    arguments: user::UserCreate,
) -> anyhow::Result<()> {
    let password = match arguments.password_stdin {
        true => Some(session::secret("Password of the new user: ", true)?),
        false => None,
    };
    let request = UserCreate {
        username: arguments.username,
        email: arguments.email,
        display_name: arguments.display_name,
        user_type: arguments.service.then_some(UserType::Service),
        password,
        home_organization_id: arguments.home_organization_id,
    };
    let created = client.create_user(&request).await?;
    if global.output == Format::Json {
        return output::json(&created);
    }
    match &created.password {
        Some(password) => {
            output::line(password);
            eprintln!(
                "first password of {} ({}); it is shown this once",
                output::printable(&created.user.username),
                created.user.id
            );
        }
        None => show(global, &created.user)?,
    }
    Ok(())
}

async fn list(global: &Global, client: &Client, arguments: user::UserList) -> anyhow::Result<()> {
    let query = UserQuery {
        status: arguments.status,
        username: arguments.username,
        home_organization_id: arguments.home_organization_id,
        limit: arguments.paging.limit,
        cursor: arguments.paging.cursor,
    };
    let page = client.list_users(&query).await?;
    let headers = ["id", "name", "type", "status", "e-mail", "last sign-in"];
    output::list(global.output, &page, &headers, |user| {
        vec![
            user.id.to_string(),
            user.username.clone(),
            user.user_type.to_string(),
            user.status.to_string(),
            user.email.clone().unwrap_or_default(),
            time(user.last_sign_in_at),
        ]
    })
}

async fn update(
    global: &Global,
    client: &Client,
    arguments: user::UserUpdate,
) -> anyhow::Result<()> {
    let found = find(client, &arguments.user).await?;
    let change = UserUpdate {
        username: arguments.username,
        email: given(arguments.email, arguments.no_email),
        display_name: given(arguments.display_name, arguments.no_display_name),
    };
    let id = found.id.to_string();
    show(
        global,
        &client.update_user((&id, found.revision), &change).await?,
    )
}

/// Another value, none, or no change.
fn given(value: Option<String>, is_cleared: bool) -> Option<Option<String>> {
    match value {
        Some(value) => Some(Some(value)),
        None => is_cleared.then_some(None),
    }
}

async fn set_status(
    global: &Global,
    client: &Client,
    (user, status): (&str, UserStatus),
    reason: String,
) -> anyhow::Result<()> {
    let id = find(client, user).await?.id.to_string();
    let update = UserStatusUpdate { status, reason };
    show(global, &client.set_user_status(&id, &update).await?)
}

#[expect(clippy::print_stderr, reason = "standard output is the password's")]
async fn set_password(
    global: &Global,
    client: &Client,
    user: &str,
    from_stdin: bool,
) -> anyhow::Result<()> {
    let found = find(client, user).await?;
    let password = match from_stdin {
        true => Some(session::secret("New password of the user: ", true)?),
        false => None,
    };
    let id = found.id.to_string();
    let set = client
        .set_user_password(&id, &UserPasswordSet { password })
        .await?;
    match (&set.password, global.output) {
        (_, Format::Json) => output::json(&set)?,
        (Some(password), Format::Table) => {
            output::line(password);
            let name = output::printable(&found.username);
            eprintln!("new first password of {name}; it is shown this once");
        }
        (None, Format::Table) => output::line("set; it must be changed at the next sign-in"),
    }
    Ok(())
}

/// The user with that id or name.
async fn find(client: &Client, text: &str) -> anyhow::Result<User> {
    if Uuid::parse_str(text).is_ok() {
        return Ok(client.load_user(text).await?);
    }
    let query = UserQuery {
        username: Some(text.to_owned()),
        ..UserQuery::default()
    };
    let mut named = client.list_users(&query).await?.items.into_iter();
    match named.next() {
        Some(found) => Ok(found),
        None => bail!("there is no user called '{text}' here"),
    }
}

fn show(global: &Global, user: &User) -> anyhow::Result<()> {
    if global.output == Format::Json {
        return output::json(user);
    }
    let must_change = if user.must_change_password {
        "yes"
    } else {
        "no"
    };
    output::fields(&[
        ("id", user.id.to_string()),
        ("name", user.username.clone()),
        ("shown as", user.display_name.clone().unwrap_or_default()),
        ("e-mail", user.email.clone().unwrap_or_default()),
        ("type", user.user_type.to_string()),
        ("status", user.status.to_string()),
        ("home organization", user.home_organization_id.to_string()),
        ("must change password", must_change.to_owned()),
        ("locked until", time(user.locked_until)),
        ("last sign-in", time(user.last_sign_in_at)),
        ("revision", user.revision.to_string()),
        ("created", time(Some(user.created_at))),
    ]);
    Ok(())
}
