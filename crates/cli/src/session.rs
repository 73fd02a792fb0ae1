//! `clm login`, `logout` and `whoami`.

use std::io::{self, BufRead as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clm_api_types::client::Credential;
use clm_api_types::second_factor::TotpCode;
use clm_api_types::sessions::SessionCreate;

use crate::arguments::{Format, Global, Login};
use crate::credentials::{self, Remembered};
use crate::{connect, output};

/// Signs in and remembers the session.
pub(crate) async fn login(global: &Global, login: Login) -> anyhow::Result<ExitCode> {
    let url = match &global.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => local_url()?,
    };
    let username = match login.username {
        Some(username) => username,
        None => ask("Username: ")?,
    };
    let password = secret("Password: ", login.password_stdin)?;
    let client = connect::network(global, &url, Credential::None)?;
    let request = SessionCreate {
        username,
        password,
        organization: login.home_organization,
    };
    let (mut created, credential) = client.sign_in(&request).await?;
    remember(&url, credential.clone())?;
    if created.owes.as_deref() == Some("second_factor") {
        let code = match login.code {
            Some(code) => code,
            None => secret("Code of your second factor, or a backup code: ", false)?,
        };
        let client = connect::network(global, &url, credential)?;
        let (passed, credential) = client.pass_second_factor(&TotpCode { code }).await?;
        remember(&url, credential)?;
        created = passed;
    }
    output::line(&format!(
        "signed in to {url} until {}",
        created.session.expires_at
    ));
    match created.owes.as_deref() {
        Some("password_change") => {
            output::line("change your password first: clm user change-password")
        }
        Some("second_factor_enrolment") => {
            output::line("a second factor is required here, enrol one first: clm totp enrol");
        }
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Keeps the credential of a session for the next command.
pub(crate) fn remember(url: &str, credential: Credential) -> anyhow::Result<()> {
    let Credential::Session { token, csrf_token } = credential else {
        bail!("the server gave no session");
    };
    credentials::save(&Remembered {
        url: url.to_owned(),
        token,
        csrf_token,
    })
}

/// Keeps the new secrets of the remembered session.
pub(crate) fn remember_again(credential: Credential) -> anyhow::Result<()> {
    match credentials::load()? {
        Some(remembered) => remember(&remembered.url, credential),
        None => Ok(()),
    }
}

/// Ends the remembered session.
pub(crate) async fn logout(global: &Global) -> anyhow::Result<ExitCode> {
    let Some(remembered) = credentials::load()? else {
        output::line("not signed in");
        return Ok(ExitCode::SUCCESS);
    };
    let Remembered {
        url,
        token,
        csrf_token,
    } = remembered;
    let client = connect::network(global, &url, Credential::Session { token, csrf_token })?;
    let ended = client.sign_out().await;
    credentials::forget()?;
    ended?;
    output::line(&format!("signed out of {url}"));
    Ok(ExitCode::SUCCESS)
}

/// Shows who the caller is.
pub(crate) async fn whoami(global: &Global) -> anyhow::Result<ExitCode> {
    let found = connect::client(global)?.who_am_i().await?;
    if global.output == Format::Json {
        output::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut fields = vec![("actor", found.actor_type)];
    if let Some(username) = found.username {
        fields.push(("user", username));
    }
    if let Some(owes) = found.owes {
        fields.push(("owes first", owes));
    }
    fields.push(("organization", found.organization_name));
    fields.push(("organization id", found.organization_id.to_string()));
    let permissions = serde_json::to_value(&found.permissions).context("reading permissions")?;
    for (resource, actions) in permissions.as_object().into_iter().flatten() {
        let actions: Vec<&str> = actions
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|value| value.as_str())
            .collect();
        fields.push((resource.as_str(), actions.join(", ")));
    }
    output::fields(&fields);
    Ok(ExitCode::SUCCESS)
}

/// The address in `bootstrap.json` of the installation on this machine.
fn local_url() -> anyhow::Result<String> {
    let path = clm_server::find_data_directory()?.join("bootstrap.json");
    let bytes = std::fs::read(&path).with_context(|| {
        format!(
            "{} cannot be read: name the server with --url",
            path.display()
        )
    })?;
    let file: clm_server::BootstrapFile =
        serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display()))?;
    Ok(file.url)
}

fn ask(prompt: &str) -> anyhow::Result<String> {
    let _ = write!(io::stderr(), "{prompt}");
    let mut text = String::new();
    io::stdin()
        .lock()
        .read_line(&mut text)
        .context("reading the terminal")?;
    Ok(text.trim().to_owned())
}

/// Reads a secret from the terminal without showing it, or the first line of standard input.
pub(crate) fn secret(prompt: &str, from_stdin: bool) -> anyhow::Result<String> {
    if !from_stdin {
        return rpassword::prompt_password(prompt)
            .context("reading the terminal; use the option that reads standard input instead");
    }
    let mut text = String::new();
    io::stdin()
        .lock()
        .read_line(&mut text)
        .context("reading standard input")?;
    let secret = text.trim_end_matches(['\n', '\r']).to_owned();
    if secret.is_empty() {
        bail!("standard input is empty");
    }
    Ok(secret)
}
