//! `clm doctor`: what an operator should know about this installation.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use clm_database::cluster;

use crate::Configuration;
use crate::layout::{self, Existing};
use crate::transport_files;

/// How a finding should be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Works, and something should be done.
    Advice,
    /// Does not work, or is not safe.
    Bad,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How to read it.
    pub verdict: Verdict,
    /// What was looked at.
    pub subject: String,
    /// What was found, and what to do.
    pub message: String,
}

/// Files that hold a secret in plaintext; everything else secret is sealed or hashed.
const SECRET_FILES: &[(&str, &str)] = &[
    (
        "bootstrap.json",
        "holds the first administrator's password until it is changed",
    ),
    (
        transport_files::CORE,
        "holds the key with which this core gives commands to its Secure Service: never copy it, pair \
         another core",
    ),
    (
        transport_files::SERVER,
        "holds the key with which this Secure Service is known to its cores",
    ),
];

/// Whether the master key of the installation belongs to this host: not where there is a core that was
/// paired with a Secure Service elsewhere.
pub fn is_host_of_master_key(configuration: &Configuration) -> bool {
    Existing::find(&configuration.data_directory).is_ok_and(|existing| {
        !existing
            .state_directory
            .join(transport_files::CORE)
            .exists()
    })
}

/// Looks at the installation from outside; changes nothing.
pub fn examine(configuration: &Configuration) -> Vec<Finding> {
    let directory = &configuration.data_directory;
    if !directory.is_dir() {
        let message = "does not exist yet: 'clm serve' makes it".to_owned();
        return vec![finding(
            Verdict::Bad,
            &directory.display().to_string(),
            message,
        )];
    }
    let mut findings = vec![match layout::refuse_if_others_can_write(directory) {
        Ok(()) => finding(
            Verdict::Good,
            "data directory",
            directory.display().to_string(),
        ),
        Err(error) => finding(Verdict::Bad, "data directory", format!("{error:#}")),
    }];
    match Existing::find(directory) {
        Ok(existing) => {
            let purpose = "a master key, which opens every sealed key: back it up apart from the \
                databases";
            for name in layout::master_key_files(&existing.state_directory) {
                findings.extend(secret_file(&existing.state_directory.join(name), purpose));
            }
            for (name, purpose) in SECRET_FILES {
                findings.extend(secret_file(&existing.state_directory.join(name), purpose));
            }
        }
        Err(error) => findings.push(finding(Verdict::Bad, "files", format!("{error:#}"))),
    }
    if configuration.databases.is_none() {
        findings.push(
            match cluster::find_binaries(configuration.pg_bin.as_deref()) {
                Ok(found) => finding(
                    Verdict::Good,
                    "PostgreSQL",
                    format!("{} in {}", found.version, found.directory.display()),
                ),
                Err(error) => finding(Verdict::Bad, "PostgreSQL", error.to_string()),
            },
        );
    }
    findings.push(finding(
        Verdict::Advice,
        "CRL, OCSP and AIA",
        "certificates carry no addresses for them: this version does not serve any".to_owned(),
    ));
    findings
}

/// Whether mail is set up, and its server answers.
pub async fn examine_mail(configuration: &Configuration) -> Finding {
    let Some(mail) = &configuration.mail else {
        let message = "not set up (CLM_SMTP_URL): nobody can reset a forgotten password, and whoever \
            invites hands the token over";
        return finding(Verdict::Advice, "mail", message.to_owned());
    };
    let place = mail.mailer.place();
    match mail.mailer.check().await {
        Ok(()) => finding(Verdict::Good, "mail", format!("{place} takes messages")),
        Err(error) => finding(Verdict::Bad, "mail", format!("{place}: {error}")),
    }
}

fn secret_file(path: &Path, purpose: &str) -> Option<Finding> {
    let metadata = fs::metadata(path).ok()?;
    let subject = path.display().to_string();
    let mode = metadata.mode() & 0o777;
    Some(if mode & 0o077 == 0 {
        finding(
            Verdict::Good,
            &subject,
            format!("plaintext secret, mode {mode:04o}; {purpose}"),
        )
    } else {
        let message = format!("others can read it (mode {mode:04o}): chmod 600; {purpose}");
        finding(Verdict::Bad, &subject, message)
    })
}

fn finding(verdict: Verdict, subject: &str, message: String) -> Finding {
    Finding {
        verdict,
        subject: subject.to_owned(),
        message,
    }
}
