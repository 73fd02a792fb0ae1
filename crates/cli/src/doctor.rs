//! `clm doctor`.

use std::path::Path;
use std::process::ExitCode;

use clm_api_types::master_key::MasterKey;
use clm_domain::states::MasterKeyProviderKind;
use clm_server::Configuration;
use clm_server::doctor::{Verdict, examine, examine_mail, is_host_of_master_key};

use crate::arguments::{Format, Global};
use crate::{connect, output};

/// Looks at the installation on this machine and at its server.
pub(crate) async fn run(global: &Global) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load()?;
    let is_key_here = is_host_of_master_key(&configuration);
    let mail = examine_mail(&configuration).await;
    let mut rows: Vec<(Verdict, String, String)> = examine(&configuration)
        .into_iter()
        .chain([mail])
        .map(|finding| (finding.verdict, finding.subject, finding.message))
        .collect();
    match connect::local(global) {
        Ok(client) => match client.readiness().await {
            Ok(readiness) => {
                if let Ok(key) = client.load_master_key().await {
                    judge_master_key(&key, is_key_here, &mut rows);
                }
                rows.extend(readiness.checks.into_iter().map(|check| {
                    let verdict = if check.passed {
                        Verdict::Good
                    } else {
                        Verdict::Bad
                    };
                    (verdict, check.name, check.message)
                }));
            }
            Err(error) => rows.push((Verdict::Bad, "server".to_owned(), error.to_string())),
        },
        Err(error) => rows.push((Verdict::Bad, "server".to_owned(), format!("{error:#}"))),
    }
    let bad = rows.iter().any(|(verdict, ..)| *verdict == Verdict::Bad);
    if global.output == Format::Json {
        let items: Vec<_> = rows
            .iter()
            .map(|(verdict, subject, message)| {
                serde_json::json!({
                    "verdict": word(*verdict), "subject": subject, "message": message
                })
            })
            .collect();
        output::json(&serde_json::json!({ "items": items, "next_cursor": null }))?;
    } else {
        let rows = rows
            .into_iter()
            .map(|(verdict, subject, message)| vec![word(verdict).to_owned(), subject, message]);
        output::table(&["verdict", "subject", "message"], rows);
    }
    Ok(if bad {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Whether a copy of the master key exists, and which files hold one that is not in force any more.
fn judge_master_key(key: &MasterKey, is_here: bool, rows: &mut Vec<(Verdict, String, String)>) {
    for (verdict, subject, message) in rows.iter_mut() {
        let name = subject.rsplit('/').next().unwrap_or_default();
        let in_force = key.provider == MasterKeyProviderKind::File && *subject == key.place;
        if name.starts_with("master.key") && *verdict == Verdict::Good && !in_force {
            *verdict = Verdict::Advice;
            *message = "a master key that is not in force: it may be deleted when no backup of \
                clm_secure_db is left that was made while it was"
                .to_owned();
        }
    }
    let (version, provider) = (key.key_version, key.provider);
    if is_here && provider == MasterKeyProviderKind::File && !Path::new(&key.place).exists() {
        let message = format!(
            "version {version} is in force and its file is not there: put the copy back, or replace \
             the key (clm key master rotate) while the server still has it"
        );
        rows.push((Verdict::Bad, key.place.clone(), message));
    }
    let finding = match key.backup_confirmed_at {
        Some(time) => {
            let time = time.format("%Y-%m-%d");
            let message = format!("of version {version}, provider {provider}: confirmed {time}");
            (Verdict::Good, message)
        }
        None => {
            let place = if is_here {
                ""
            } else {
                " on the host of the Secure Service"
            };
            let message = format!(
                "nobody has confirmed a copy of version {version}, provider {provider}: make one, \
                 keep it apart from the databases, then 'clm key master confirm-backup'{place}"
            );
            (Verdict::Advice, message)
        }
    };
    rows.push((finding.0, "copy of the master key".to_owned(), finding.1));
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Advice => "advice",
        Verdict::Bad => "bad",
    }
}
