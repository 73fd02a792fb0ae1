//! Which server a command talks to, and as whom: an explicit one, else the local one without a
//! login, else the one signed in to.

use std::fs;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clm_api_types::client::{Client, ClientError, ClientOptions, Credential};

use crate::arguments::Global;
use crate::credentials;
use crate::step_up::Asking;

/// There is no session for the server.
#[derive(Debug, thiserror::Error)]
#[error("sign in to {0} first: clm login --url {0}")]
pub(crate) struct NotSignedIn(String);

impl NotSignedIn {
    /// There is none for the server at this address.
    pub(crate) const fn to(url: String) -> Self {
        Self(url)
    }
}

/// The client that the options and the remembered session lead to. It asks the person when the server
/// wants a step-up.
pub(crate) fn client(global: &Global) -> anyhow::Result<Client> {
    Ok(find_client(global)?.asking(Arc::new(Asking::of(global))))
}

fn find_client(global: &Global) -> anyhow::Result<Client> {
    let remembered = credentials::load()?;
    if let Some(key) = &global.api_key {
        let url = match (&global.url, &remembered) {
            (Some(url), _) => url.clone(),
            (None, Some(remembered)) => remembered.url.clone(),
            (None, None) => bail!("with an API key, name the server: --url https://…"),
        };
        return network(global, &url, Credential::ApiKey(key.clone()));
    }
    match (&global.url, remembered) {
        (Some(url), Some(remembered)) if url.trim_end_matches('/') == remembered.url => {
            network(global, url, session(remembered))
        }
        (Some(url), _) => Err(NotSignedIn(url.clone()).into()),
        (None, remembered) => match (local(global), remembered) {
            (Ok(client), _) => Ok(client),
            (Err(_), Some(remembered)) => {
                let url = remembered.url.clone();
                network(global, &url, session(remembered))
            }
            (Err(error), None) => Err(error.context(
                "there is neither a server on this machine nor a login: run 'clm serve' here, or \
                 'clm login --url https://…'",
            )),
        },
    }
}

/// A client for what needs no login: of the server that is named, else of the local one, else of the one
/// signed in to.
pub(crate) fn anonymous(global: &Global) -> anyhow::Result<Client> {
    if let Some(url) = &global.url {
        return network(global, url, Credential::None);
    }
    match (local(global), credentials::load()?) {
        (Ok(client), _) => Ok(client),
        (Err(_), Some(remembered)) => network(global, &remembered.url, Credential::None),
        (Err(error), None) => Err(error.context("name the server: --url https://…")),
    }
}

fn session(remembered: credentials::Remembered) -> Credential {
    Credential::Session {
        token: remembered.token,
        csrf_token: remembered.csrf_token,
    }
}

/// A client of the server on this machine, as the local operator.
pub(crate) fn local(global: &Global) -> anyhow::Result<Client> {
    let socket = clm_server::find_socket(&clm_server::find_data_directory()?)?;
    if let Err(error) = std::os::unix::net::UnixStream::connect(&socket) {
        let address = socket.display().to_string();
        let message = error.to_string();
        return Err(ClientError::Unreachable { address, message }.into());
    }
    Ok(Client::over_socket(&socket, global.organization.clone())?)
}

/// A client of a server elsewhere.
pub(crate) fn network(
    global: &Global,
    url: &str,
    credential: Credential,
) -> anyhow::Result<Client> {
    if global.organization.is_some() {
        bail!("--organization works only on the machine of the server, without a login");
    }
    let root_certificates_pem = match &global.ca_certificate {
        Some(path) => Some(fs::read(path).with_context(|| format!("reading {}", path.display()))?),
        None => None,
    };
    Ok(Client::over_network(
        url,
        credential,
        &ClientOptions {
            root_certificates_pem,
        },
    )?)
}
