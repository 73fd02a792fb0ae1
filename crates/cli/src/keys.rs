//! `clm key`.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clm_api_types::client::Client;
use clm_api_types::encryption_keys::{EncryptionKey, EncryptionKeysErase, KeyRotationSchedule};
use clm_api_types::key_rotations::{KeyRotation, KeyRotationCreate};
use clm_domain::clock::random_bytes;
use clm_domain::states::KeyRotationStatus;

use crate::arguments::{Format, Global, KeyCommand, KeyRotate, Paging};
use crate::certificates::query;
use crate::{connect, master_key, output};

/// How often the progress of a rotation is asked for.
const WATCH_PERIOD: Duration = Duration::from_millis(500);
/// How wide the bar is, in characters.
const BAR_WIDTH: usize = 40;

/// `clm key …`
pub(crate) async fn key(global: &Global, command: KeyCommand) -> anyhow::Result<ExitCode> {
    let client = connect::client(global)?;
    match command {
        KeyCommand::List(paging) => list(global, &client, paging).await?,
        KeyCommand::Show { id } => {
            show(global, &client.load_encryption_key(&id).await?)?;
        }
        KeyCommand::Rotate(arguments) => return rotate(global, &client, arguments).await,
        KeyCommand::History(paging) => history(global, &client, paging).await?,
        KeyCommand::Watch { id } => return watch(global, &client, &id).await,
        KeyCommand::Cancel { id } => {
            show_rotation(global, &client.cancel_key_rotation(&id).await?)?;
        }
        KeyCommand::Exposed { id, paging } => exposed(global, &client, &id, paging).await?,
        KeyCommand::ExposedSecrets { id, paging } => {
            exposed_secrets(global, &client, &id, paging).await?;
        }
        KeyCommand::Schedule { days, .. } => {
            let schedule = KeyRotationSchedule { days };
            show(global, &client.set_key_rotation_schedule(&schedule).await?)?;
        }
        KeyCommand::Master(command) => return master_key::master(global, &client, command).await,
        KeyCommand::Erase { slug, reason } => erase(global, &client, slug, reason).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(global: &Global, client: &Client, paging: Paging) -> anyhow::Result<()> {
    let page = client.list_encryption_keys(&query(paging)).await?;
    let headers = [
        "id",
        "type",
        "version",
        "status",
        "active since",
        "schedule",
    ];
    output::list(global.output, &page, &headers, |found| {
        vec![
            found.id.to_string(),
            found.key_type.to_string(),
            found.key_version.to_string(),
            found.status.to_string(),
            time(found.activated_at),
            schedule(found),
        ]
    })
}

fn show(global: &Global, found: &EncryptionKey) -> anyhow::Result<()> {
    if global.output == Format::Json {
        return output::json(found);
    }
    let seals_max = found.seal_count_max.map(|max| format!(" of {max}"));
    output::fields(&[
        ("id", found.id.to_string()),
        ("type", found.key_type.to_string()),
        ("version", found.key_version.to_string()),
        ("algorithm", found.key_algorithm.clone()),
        ("status", found.status.to_string()),
        (
            "seals",
            format!("{}{}", found.seal_count, seals_max.unwrap_or_default()),
        ),
        ("schedule", schedule(found)),
        ("active since", time(found.activated_at)),
        ("replaced", time(found.rotated_at)),
        ("retired", time(found.retired_at)),
        ("revoked", time(found.revoked_at)),
        ("destroyed", time(found.destroyed_at)),
    ]);
    Ok(())
}

async fn rotate(
    global: &Global,
    client: &Client,
    arguments: KeyRotate,
) -> anyhow::Result<ExitCode> {
    let request = KeyRotationCreate {
        rotation_type: arguments.rotation_type,
        reason: arguments.reason,
        items_per_second_max: arguments.items_per_second,
    };
    let key = hex::encode(random_bytes::<16>(&clm_server::SystemRng));
    let started = client.start_key_rotation(&request, &key).await?;
    if arguments.watch {
        return watch(global, client, &started.id.to_string()).await;
    }
    show_rotation(global, &started)?;
    Ok(ExitCode::SUCCESS)
}

/// Asks until the rotation has ended.
async fn watch(global: &Global, client: &Client, id: &str) -> anyhow::Result<ExitCode> {
    let mut bar = Bar::new();
    let ended = loop {
        let rotation = client.load_key_rotation(id).await?;
        bar.draw(&rotation);
        if rotation.status != KeyRotationStatus::InProgress {
            break rotation;
        }
        tokio::time::sleep(WATCH_PERIOD).await;
    };
    bar.end();
    show_rotation(global, &ended)?;
    Ok(match ended.status {
        KeyRotationStatus::Completed => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

async fn history(global: &Global, client: &Client, paging: Paging) -> anyhow::Result<()> {
    let page = client.list_key_rotations(&query(paging)).await?;
    let headers = [
        "id", "type", "status", "done", "failed", "started", "ended", "reason",
    ];
    output::list(global.output, &page, &headers, |found| {
        vec![
            found.id.to_string(),
            found.rotation_type.to_string(),
            found.status.to_string(),
            format!("{}/{}", found.items_processed, found.items_total),
            found.items_failed.to_string(),
            time(Some(found.started_at)),
            time(found.completed_at),
            found.reason.clone().unwrap_or_default(),
        ]
    })
}

async fn exposed(global: &Global, client: &Client, id: &str, paging: Paging) -> anyhow::Result<()> {
    let page = client.list_exposed_keys(id, &query(paging)).await?;
    let headers = ["id", "key", "issuer", "SHA-256", "certificates"];
    output::list(global.output, &page, &headers, |found| {
        let certificates = found.certificate_ids.iter().map(ToString::to_string);
        vec![
            found.id.to_string(),
            found.key_algorithm.to_string(),
            if found.is_issuer_key { "yes" } else { "no" }.to_owned(),
            found.spki_sha256.clone(),
            certificates.collect::<Vec<_>>().join(" "),
        ]
    })
}

async fn exposed_secrets(
    global: &Global,
    client: &Client,
    id: &str,
    paging: Paging,
) -> anyhow::Result<()> {
    let page = client.list_exposed_secrets(id, &query(paging)).await?;
    let headers = ["id", "purpose", "of", "destroyed since"];
    output::list(global.output, &page, &headers, |found| {
        vec![
            found.id.to_string(),
            found.purpose.to_string(),
            found.owner_id.to_string(),
            if found.destroyed { "yes" } else { "no" }.to_owned(),
        ]
    })
}

async fn erase(
    global: &Global,
    client: &Client,
    slug: String,
    reason: String,
) -> anyhow::Result<()> {
    let request = EncryptionKeysErase {
        organization: slug,
        reason,
    };
    let erased = client.erase_encryption_keys(&request).await?;
    if global.output == Format::Json {
        return output::json(&erased);
    }
    output::fields(&[
        ("organization", erased.organization_id.to_string()),
        ("keys destroyed", erased.keys_destroyed.to_string()),
    ]);
    Ok(())
}

pub(crate) fn show_rotation(global: &Global, found: &KeyRotation) -> anyhow::Result<()> {
    if global.output == Format::Json {
        return output::json(found);
    }
    let new_key = found.new_encryption_key_id.map(|id| id.to_string());
    let mut fields = vec![
        ("id", found.id.to_string()),
        ("type", found.rotation_type.to_string()),
        ("status", state(found).to_owned()),
        ("old key", found.old_encryption_key_id.to_string()),
        ("new key", new_key.unwrap_or_default()),
        (
            "done",
            format!("{} of {}", found.items_processed, found.items_total),
        ),
        ("failed", found.items_failed.to_string()),
        ("started", time(Some(found.started_at))),
        ("ended", time(found.completed_at)),
    ];
    if found.rollback_started_at.is_some() {
        fields.push(("moved back", found.items_rolled_back.to_string()));
    }
    if let Some(message) = &found.error_message {
        fields.push(("error", message.clone()));
    }
    output::fields(&fields);
    Ok(())
}

/// The status, in which a roll back is seen while it runs.
fn state(found: &KeyRotation) -> &'static str {
    match (found.status, found.rollback_started_at) {
        (KeyRotationStatus::InProgress, Some(_)) => "rolling back",
        (status, _) => status.as_str(),
    }
}

fn schedule(found: &EncryptionKey) -> String {
    found
        .rotation_schedule_days
        .map_or_else(|| "none".to_owned(), |days| format!("every {days} days"))
}

pub(crate) fn time(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(String::new, |time| {
        time.format("%Y-%m-%d %H:%M:%S").to_string()
    })
}

/// The progress of a rotation, drawn on a terminal and nowhere else.
struct Bar {
    is_terminal: bool,
    is_drawn: bool,
}

impl Bar {
    fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            is_drawn: false,
        }
    }

    fn draw(&mut self, rotation: &KeyRotation) {
        if self.is_terminal {
            self.is_drawn = true;
            let _ = write!(io::stderr(), "\r{}\x1b[K", bar(rotation));
        }
    }

    fn end(&self) {
        if self.is_drawn {
            let _ = writeln!(io::stderr());
        }
    }
}

/// One line: how much is done, and what is waited for when everything is.
fn bar(rotation: &KeyRotation) -> String {
    let total = rotation.items_total.max(1);
    let back = rotation.rollback_started_at.is_some();
    let done = if back {
        rotation.items_rolled_back.min(total)
    } else {
        (rotation.items_processed + rotation.items_failed).min(total)
    };
    let width = usize::try_from(done).unwrap_or_default() * BAR_WIDTH
        / usize::try_from(total).unwrap_or(usize::MAX);
    let filled = "#".repeat(width.min(BAR_WIDTH));
    let waiting = if !back && done == total && rotation.status == KeyRotationStatus::InProgress {
        ", waiting for the last users of the old key"
    } else {
        ""
    };
    format!(
        "[{filled:<BAR_WIDTH$}] {done}/{} {}{waiting}",
        rotation.items_total,
        state(rotation)
    )
}

#[cfg(test)]
mod tests;
