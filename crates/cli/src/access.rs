//! `clm api-key` and `clm session`: credentials of one's own.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clm_api_types::api_keys::{ApiKeyCreate, ApiKeyCreated, ApiKeyRotate};
use clm_api_types::client::Client;
use clm_domain::clock::Clock as _;
use clm_domain::permission::Permissions;
use clm_server::SystemClock;

use crate::arguments::access::{self, ApiKeyCommand, SessionCommand};
use crate::arguments::{Format, Global, Paging};
use crate::certificates::query;
use crate::keys::time;
use crate::{connect, output};

/// `clm api-key …`
pub(crate) async fn api_key(global: &Global, command: ApiKeyCommand) -> anyhow::Result<ExitCode> {
    let client = connect::client(global)?;
    match command {
        ApiKeyCommand::Create(arguments) => create(global, &client, arguments).await?,
        ApiKeyCommand::List(paging) => list_keys(global, &client, paging).await?,
        ApiKeyCommand::Rotate {
            id,
            overlap_hours,
            valid_days,
        } => {
            let request = ApiKeyRotate {
                overlap_seconds: Some(i64::from(overlap_hours) * 3_600),
                expires_at: end(valid_days)?,
            };
            show_once(global, &client.rotate_api_key(&id, &request).await?)?;
        }
        ApiKeyCommand::Revoke { id } => {
            client.revoke_api_key(&id).await?;
            output::line("revoked");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(
    global: &Global,
    client: &Client,
    arguments: access::ApiKeyCreate,
) -> anyhow::Result<()> {
    let request = ApiKeyCreate {
        name: arguments.name,
        scopes: (!arguments.scopes.is_empty())
            .then(|| permissions(&arguments.scopes, "--scope"))
            .transpose()?,
        expires_at: end(arguments.valid_days)?,
        allowed_networks: (!arguments.networks.is_empty()).then_some(arguments.networks),
        user_id: arguments.service_account,
    };
    show_once(global, &client.create_api_key(&request).await?)
}

/// The end after so many days.
fn end(valid_days: Option<u32>) -> anyhow::Result<Option<DateTime<Utc>>> {
    let valid = valid_days.map(|days| TimeDelta::days(days.into()));
    valid
        .map(|valid| SystemClock.now().checked_add_signed(valid))
        .map(|end| end.context("--valid-days is too long"))
        .transpose()
}

/// The key goes to standard output, whole and alone, so that it can be piped.
#[expect(clippy::print_stderr, reason = "standard output is the key's")]
fn show_once(global: &Global, created: &ApiKeyCreated) -> anyhow::Result<()> {
    if global.output == Format::Json {
        return output::json(created);
    }
    output::line(&created.secret);
    eprintln!(
        "API key {}; it is shown this once",
        output::printable(&created.api_key.name)
    );
    Ok(())
}

/// Permissions as they are typed: RESOURCE:ACTION. `source` says where.
pub(crate) fn permissions(texts: &[String], source: &str) -> anyhow::Result<Permissions> {
    let mut words: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for text in texts {
        let Some((resource, action)) = text.split_once(':') else {
            bail!("{source} '{text}' must be RESOURCE:ACTION, such as certificate:read");
        };
        words.entry(resource).or_default().push(action);
    }
    let words = serde_json::to_value(words)?;
    serde_json::from_value(words).with_context(|| format!("reading {source}"))
}

async fn list_keys(global: &Global, client: &Client, paging: Paging) -> anyhow::Result<()> {
    let page = client.list_api_keys(&query(paging)).await?;
    let headers = [
        "id",
        "name",
        "ends in",
        "created",
        "expires",
        "revoked",
        "last used",
        "uses",
    ];
    output::list(global.output, &page, &headers, |key| {
        vec![
            key.id.to_string(),
            key.name.clone(),
            key.last_four.clone(),
            time(Some(key.created_at)),
            time(key.expires_at),
            time(key.revoked_at),
            time(key.last_used_at),
            key.usage_count.to_string(),
        ]
    })
}

/// `clm session …`
pub(crate) async fn session(global: &Global, command: SessionCommand) -> anyhow::Result<ExitCode> {
    let client = connect::client(global)?;
    match command {
        SessionCommand::List(paging) => {
            let page = client.list_sessions(&query(paging)).await?;
            let headers = ["id", "since", "last seen", "ends", "from", "this one"];
            output::list(global.output, &page, &headers, |session| {
                let is_current = if session.is_current { "yes" } else { "" };
                vec![
                    session.id.to_string(),
                    time(Some(session.created_at)),
                    time(Some(session.last_seen_at)),
                    time(Some(session.expires_at)),
                    session.ip_address.clone().unwrap_or_default(),
                    is_current.to_owned(),
                ]
            })?;
        }
        SessionCommand::End { id } => {
            client.end_session(&id).await?;
            output::line("ended");
        }
    }
    Ok(ExitCode::SUCCESS)
}
