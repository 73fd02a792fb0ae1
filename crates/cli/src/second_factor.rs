//! `clm totp` and `clm ca limits`.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clm_api_types::certificate_authorities::{CertificateAuthority, IssuerLimitsUpdate};
use clm_api_types::client::Client;
use clm_api_types::page::PageQuery;
use clm_api_types::second_factor::TotpCode;
use uuid::Uuid;

use crate::arguments::second_factor::{Code, LimitsCommand, LimitsSet, TotpCommand};
use crate::arguments::{Format, Global};
use crate::{connect, output, session};

/// Seconds in a day.
const DAY_SECONDS: u64 = 24 * 60 * 60;
/// Most certificate authorities that a name is looked for among.
const AUTHORITIES_MAX: u32 = 1_000;

/// `clm totp …`
pub(crate) async fn totp(global: &Global, command: TotpCommand) -> anyhow::Result<ExitCode> {
    let client = connect::client(global)?;
    match command {
        TotpCommand::Show => {
            let found = client.find_totp().await?;
            match global.output {
                Format::Json => output::json(&found)?,
                Format::Table => output::fields(&[
                    (
                        "in force",
                        if found.is_active { "yes" } else { "no" }.to_owned(),
                    ),
                    ("backup codes left", found.backup_codes_left.to_string()),
                ]),
            }
        }
        TotpCommand::Enrol => {
            let enrolled = client.enrol_totp().await?;
            match global.output {
                Format::Json => output::json(&enrolled)?,
                Format::Table => output::fields(&[
                    ("address", enrolled.uri),
                    ("activate before", enrolled.expires_at.to_rfc3339()),
                ]),
            }
        }
        TotpCommand::Activate(code) => {
            let (activated, credential) = client.activate_totp(&read(code)?).await?;
            session::remember_again(credential)?;
            show_codes(global, &activated.backup_codes)?;
        }
        TotpCommand::BackupCodes(code) => {
            let made = client.renew_backup_codes(&read(code)?).await?;
            show_codes(global, &made.backup_codes)?;
        }
        TotpCommand::Remove(code) => {
            client.remove_totp(&read(code)?).await?;
            output::line("the second factor is removed");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Backup codes, one a line, so that they can be printed or kept as they are.
#[expect(clippy::print_stderr, reason = "standard output is the codes'")]
fn show_codes(global: &Global, codes: &[String]) -> anyhow::Result<()> {
    if global.output == Format::Json {
        return output::json(&codes);
    }
    eprintln!(
        "The second factor is in force. Each of these backup codes stands for one of the device, once. \
         Keep them where the device is not; they are shown this time only."
    );
    for code in codes {
        output::line(code);
    }
    Ok(())
}

fn read(code: Code) -> anyhow::Result<TotpCode> {
    let code = match code.code {
        Some(code) => code,
        None => session::secret("Code: ", false)?,
    };
    Ok(TotpCode { code })
}

/// `clm ca limits …`
pub(crate) async fn limits(global: &Global, command: LimitsCommand) -> anyhow::Result<()> {
    let client = connect::client(global)?;
    match command {
        LimitsCommand::Show { authority } => show(global, &find(&client, &authority).await?),
        LimitsCommand::Set(arguments) => {
            let found = find(&client, &arguments.authority).await?;
            show(global, &set(&client, found, arguments).await?)
        }
    }
}

async fn set(
    client: &Client,
    found: CertificateAuthority,
    arguments: LimitsSet,
) -> anyhow::Result<CertificateAuthority> {
    let mut limits = match &arguments.file {
        Some(path) => {
            let text = std::fs::read(path).with_context(|| path.display().to_string())?;
            serde_json::from_slice(&text).with_context(|| path.display().to_string())?
        }
        None => found.limits,
    };
    if let Some(days) = arguments.max_validity_days {
        limits.validity_seconds_max = u64::from(days) * DAY_SECONDS;
    }
    if arguments.max_issuances_per_minute.is_some() {
        limits.issuances_per_minute_max = arguments.max_issuances_per_minute;
    }
    let update = IssuerLimitsUpdate {
        limits,
        reason: arguments.reason,
    };
    Ok(client
        .change_issuer_limits((found.id, found.revision), &update)
        .await?)
}

/// The certificate authority with that id or name.
pub(crate) async fn find(client: &Client, text: &str) -> anyhow::Result<CertificateAuthority> {
    if Uuid::parse_str(text).is_ok() {
        return Ok(client.load_certificate_authority(text).await?);
    }
    let query = PageQuery {
        limit: Some(AUTHORITIES_MAX),
        cursor: None,
    };
    let page = client.list_certificate_authorities(&query).await?;
    let mut named = page.items.into_iter().filter(|one| one.name == text);
    match (named.next(), named.next()) {
        (Some(found), None) => Ok(found),
        (None, _) => bail!("there is no certificate authority called '{text}'"),
        _ => bail!("several certificate authorities are called '{text}': name one by its id"),
    }
}

fn show(global: &Global, found: &CertificateAuthority) -> anyhow::Result<()> {
    if global.output == Format::Json {
        return output::json(&found.limits);
    }
    let limits = serde_json::to_value(&found.limits).context("writing the limits")?;
    let mut fields = vec![
        ("name", found.name.clone()),
        ("revision", found.revision.to_string()),
    ];
    for (name, value) in limits.as_object().into_iter().flatten() {
        fields.push((name.as_str(), value.to_string()));
    }
    output::fields(&fields);
    Ok(())
}
