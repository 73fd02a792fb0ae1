//! `clm pair …`: through the server's library, not through REST: whoever may introduce a program to the
//! Secure Service is whoever administers its host.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clm_domain::secret::SecretString;
use clm_server::Configuration;
use clm_server::pairing::{self, PeerRecord, Peers};
use serde_json::json;

use crate::arguments::pair::PairCommand;
use crate::arguments::{Format, Global};
use crate::output;

/// Longest token, in bytes.
const TOKEN_BYTES_MAX: u64 = 4_096;

/// Runs one of the commands.
pub(crate) async fn pair(global: &Global, command: PairCommand) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load()?;
    match command {
        PairCommand::Create {
            name,
            address,
            valid_minutes,
        } => {
            let valid = TimeDelta::minutes(i64::from(valid_minutes));
            create(&configuration, global, (&name, address), valid).await?;
        }
        PairCommand::Accept {
            token_file,
            replace,
        } => accept(&configuration, global, token_file.as_deref(), replace).await?,
        PairCommand::List => list(&configuration, global).await?,
        PairCommand::Revoke { name } => {
            let peers = Peers::open(&configuration)?;
            let revoked = peers.revoke(&name).await;
            peers.close().await;
            revoked?;
            output::line(&format!("{name} may not call any more"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The token goes to standard output, whole and alone, so that it can be piped; what is said about it,
/// to the terminal.
#[expect(clippy::print_stderr, reason = "standard output is the token's")]
async fn create(
    configuration: &Configuration,
    global: &Global,
    (name, address): (&str, Option<String>),
    valid: TimeDelta,
) -> anyhow::Result<()> {
    let peers = Peers::open(configuration)?;
    let invited = peers.invite(name, address, valid).await;
    peers.close().await;
    let invited = invited?;
    if global.output == Format::Json {
        return output::json(&json!({
            "name": name,
            "address": invited.address,
            "token": invited.token.expose(),
            "expires_at": invited.expires_at,
        }));
    }
    output::line(invited.token.expose());
    let expires_at = time(invited.expires_at);
    eprintln!(
        "for core '{name}', good once until {expires_at}: on its host, clm pair accept --token-file FILE"
    );
    Ok(())
}

async fn accept(
    configuration: &Configuration,
    global: &Global,
    file: Option<&Path>,
    replace: bool,
) -> anyhow::Result<()> {
    let token = match file {
        Some(path) => {
            let file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
            read_token(file).with_context(|| format!("reading {}", path.display()))?
        }
        None => read_token(io::stdin()).context("reading the token from standard input")?,
    };
    let accepted = pairing::accept(configuration, &token, replace).await?;
    if global.output == Format::Json {
        return output::json(&json!({
            "address": accepted.address,
            "certificate_not_after": accepted.not_after,
        }));
    }
    output::line(&format!(
        "paired with {}; the certificate, good until {}, renews itself while the core runs: clm serve \
         --role core",
        accepted.address,
        time(accepted.not_after)
    ));
    Ok(())
}

fn read_token(from: impl Read) -> anyhow::Result<SecretString> {
    let mut text = String::with_capacity(usize::try_from(TOKEN_BYTES_MAX)? + 1);
    from.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > TOKEN_BYTES_MAX {
        bail!("this is too long to be a token");
    }
    Ok(SecretString::new(text))
}

async fn list(configuration: &Configuration, global: &Global) -> anyhow::Result<()> {
    let peers = Peers::open(configuration)?;
    let found = peers.list().await;
    peers.close().await;
    let found = found?;
    if global.output == Format::Json {
        let items: Vec<_> = found.iter().map(object).collect();
        return output::json(&json!({ "items": items, "next_cursor": null }));
    }
    let headers = [
        "name",
        "state",
        "created",
        "paired",
        "renewed",
        "certificate until",
    ];
    let shown = |moment: Option<DateTime<Utc>>| moment.map(time).unwrap_or_default();
    let rows = found.iter().map(|peer| {
        vec![
            peer.name.clone(),
            peer.state.as_str().to_owned(),
            time(peer.created_at),
            shown(peer.paired_at),
            shown(peer.renewed_at),
            shown(peer.certificate_not_after),
        ]
    });
    output::table(&headers, rows);
    Ok(())
}

fn object(peer: &PeerRecord) -> serde_json::Value {
    json!({
        "peer_id": peer.id.to_string(),
        "name": peer.name,
        "caller": peer.caller,
        "state": peer.state.as_str(),
        "created_at": peer.created_at,
        "token_expires_at": peer.token_expires_at,
        "paired_at": peer.paired_at,
        "renewed_at": peer.renewed_at,
        "certificate_not_after": peer.certificate_not_after,
        "revoked_at": peer.revoked_at,
    })
}

fn time(moment: DateTime<Utc>) -> String {
    moment.format("%Y-%m-%d %H:%M").to_string()
}
