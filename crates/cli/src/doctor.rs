//! `clm doctor`.

use std::process::ExitCode;

use clm_server::Configuration;
use clm_server::doctor::{Verdict, examine};

use crate::arguments::{Format, Global};
use crate::{connect, output};

/// Looks at the installation on this machine and at its server.
pub(crate) async fn run(global: &Global) -> anyhow::Result<ExitCode> {
    let mut rows: Vec<(Verdict, String, String)> = examine(&Configuration::load()?)
        .into_iter()
        .map(|finding| (finding.verdict, finding.subject, finding.message))
        .collect();
    match connect::local(global) {
        Ok(client) => match client.readiness().await {
            Ok(readiness) => rows.extend(readiness.checks.into_iter().map(|check| {
                let verdict = if check.passed {
                    Verdict::Good
                } else {
                    Verdict::Bad
                };
                (verdict, check.name, check.message)
            })),
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

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Advice => "advice",
        Verdict::Bad => "bad",
    }
}
