//! `clm cert` and `clm ca`.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use clm_api_types::certificate_authorities::{CertificateAuthority, CertificateAuthorityCreate};
use clm_api_types::certificate_requests::CertificateRequestCreate;
use clm_api_types::certificates::{Certificate, CertificateDetail, PrivateKeyExport};
use clm_api_types::client::ClientError;
use clm_api_types::page::PageQuery;
use clm_domain::clock::random_bytes;
use clm_domain::limits::CSR_DER_BYTES_MAX;

use crate::arguments::{
    CaCommand, CaCreate, CertCommand, CertExport, CertRequest, Format, Global, Paging,
};
use crate::{connect, output, second_factor, session};

/// Largest CSR file: PEM is a third larger than DER, and may carry text around it.
const CSR_FILE_BYTES_MAX: usize = CSR_DER_BYTES_MAX * 2;
/// Seconds in a day.
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// `clm cert …`
pub(crate) async fn cert(global: &Global, command: CertCommand) -> anyhow::Result<ExitCode> {
    match command {
        CertCommand::Request(request) => return self::request(global, *request).await,
        CertCommand::List(paging) => {
            let page = connect::client(global)?
                .list_certificates(&query(paging))
                .await?;
            let headers = ["id", "status", "type", "name", "expires", "serial number"];
            output::list(global.output, &page, &headers, |found| {
                vec![
                    found.id.to_string(),
                    found.status.to_string(),
                    found.certificate_type.to_string(),
                    display_name(found),
                    day(found.not_after),
                    found.serial_number.clone(),
                ]
            })?;
        }
        CertCommand::Show { id } => {
            let found = connect::client(global)?.load_certificate(&id).await?;
            match global.output {
                Format::Json => output::json(&found)?,
                Format::Table => show(&found),
            }
        }
        CertCommand::Export(export) => self::export(global, export).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn request(global: &Global, arguments: CertRequest) -> anyhow::Result<ExitCode> {
    let csr = arguments.csr.as_deref().map(read_csr).transpose()?;
    let body = CertificateRequestCreate {
        csr,
        key_algorithm: arguments.key_algorithm,
        subject: arguments.subject,
        subject_alternative_names: arguments.names,
        certificate_authority_id: arguments.ca,
        certificate_type: arguments.certificate_type,
        validity_seconds: arguments.days.map(|days| u64::from(days) * DAY_SECONDS),
        environment: arguments.environment,
        tags: arguments.tags,
        custom_fields: std::collections::BTreeMap::default(),
    };
    let key = arguments
        .idempotency_key
        .unwrap_or_else(|| hex::encode(random_bytes::<16>(&clm_server::SystemRng)));
    if let Some(path) = &arguments.out {
        check_writable(path)?;
    }
    let client = connect::client(global)?;
    let created = client
        .request_certificate(&body, &key)
        .await
        .map_err(|error| repeatable(error, &key))?;
    let certificate = &created.certificate;
    if let Some(path) = &arguments.out {
        write_file(path, &chain(certificate, true), 0o644)?;
    }
    match (global.output, &arguments.out) {
        (Format::Json, _) => output::json(&created)?,
        (Format::Table, Some(path)) => output::fields(&[
            ("certificate", certificate.certificate.id.to_string()),
            (
                "serial number",
                certificate.certificate.serial_number.clone(),
            ),
            ("expires", certificate.certificate.not_after.to_rfc3339()),
            ("written to", path.display().to_string()),
        ]),
        (Format::Table, None) => output::raw(&chain(certificate, true)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Finds out before anything is issued that the result cannot be kept.
fn check_writable(path: &Path) -> anyhow::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    anyhow::ensure!(!path.is_dir(), "{} is a directory", path.display());
    tempfile::Builder::new()
        .prefix(".clm-")
        .tempfile_in(directory)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(())
}

/// Says how to get the same certificate when the outcome is open.
fn repeatable(error: ClientError, key: &str) -> anyhow::Error {
    let open = match &error {
        ClientError::Problem(problem) => problem.status >= 500,
        ClientError::Unreachable { .. } => true,
        ClientError::ClearText(_) | ClientError::Unexpected(_) | ClientError::NotAsked(_) => false,
    };
    let error = anyhow::Error::from(error);
    if open {
        return error.context(format!("repeat it with --idempotency-key {key}"));
    }
    error
}

/// Reads a CSR; DER becomes PEM, which is what REST takes.
fn read_csr(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| {
            file.take(CSR_FILE_BYTES_MAX as u64 + 1)
                .read_to_end(&mut bytes)
        })
        .with_context(|| format!("reading {}", path.display()))?;
    if bytes.len() > CSR_FILE_BYTES_MAX {
        bail!(
            "{} is larger than {CSR_FILE_BYTES_MAX} bytes: it is no CSR",
            path.display()
        );
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.contains("-----BEGIN") => Ok(text),
        Ok(text) => Ok(clm_server::csr_pem(text.as_bytes())),
        Err(error) => Ok(clm_server::csr_pem(error.as_bytes())),
    }
}

async fn export(global: &Global, arguments: CertExport) -> anyhow::Result<()> {
    let client = connect::client(global)?;
    if arguments.private_key {
        let passphrase = session::secret("Passphrase: ", arguments.passphrase_stdin)?;
        let request = PrivateKeyExport { passphrase };
        let exported = client.export_private_key(&arguments.id, &request).await?;
        return match &arguments.out {
            Some(path) => write_file(path, &exported.encrypted_private_key_pem, 0o600),
            None => {
                output::raw(&exported.encrypted_private_key_pem);
                Ok(())
            }
        };
    }
    let found = client.load_certificate(&arguments.id).await?;
    let text = chain(&found, !arguments.no_chain);
    match &arguments.out {
        Some(path) => write_file(path, &text, 0o644),
        None => {
            output::raw(&text);
            Ok(())
        }
    }
}

/// `clm ca …`
pub(crate) async fn ca(global: &Global, command: CaCommand) -> anyhow::Result<ExitCode> {
    match command {
        CaCommand::List(paging) => {
            let page = connect::client(global)?
                .list_certificate_authorities(&query(paging))
                .await?;
            let headers = ["id", "name", "kind", "status", "key", "expires"];
            output::list(global.output, &page, &headers, |found| {
                vec![
                    found.id.to_string(),
                    found.name.clone(),
                    found.kind.to_string(),
                    found.status.to_string(),
                    found.key_algorithm.to_string(),
                    day(found.not_after),
                ]
            })?;
        }
        CaCommand::Limits(command) => second_factor::limits(global, command).await?,
        CaCommand::Create(wish) => {
            let made = create_authority(global, wish).await?;
            match global.output {
                Format::Json => output::json(&made)?,
                Format::Table => show_authority(&made),
            }
        }
        CaCommand::Show { id } => {
            let found = connect::client(global)?
                .load_certificate_authority(&id)
                .await?;
            match global.output {
                Format::Json => output::json(&found)?,
                Format::Table => show_authority(&found),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn create_authority(global: &Global, wish: CaCreate) -> anyhow::Result<CertificateAuthority> {
    let client = connect::client(global)?;
    let parent_id = match &wish.parent {
        Some(parent) => Some(second_factor::find(&client, parent).await?.id),
        None => None,
    };
    let limits = match &wish.limits {
        Some(path) => {
            let text = std::fs::read(path).with_context(|| path.display().to_string())?;
            Some(serde_json::from_slice(&text).with_context(|| path.display().to_string())?)
        }
        None => None,
    };
    let request = CertificateAuthorityCreate {
        name: wish.name,
        subject: wish.subject,
        parent_id,
        key_algorithm: wish.key_algorithm,
        signature_algorithm: None,
        validity_days: wish.validity_days,
        path_length_max: wish.path_length,
        limits,
    };
    let key = hex::encode(random_bytes::<16>(&clm_server::SystemRng));
    Ok(client.create_certificate_authority(&request, &key).await?)
}

pub(crate) fn query(paging: Paging) -> PageQuery {
    PageQuery {
        limit: paging.limit,
        cursor: paging.cursor,
    }
}

/// The chain in PEM, leaf first.
fn chain(found: &CertificateDetail, with_chain: bool) -> String {
    let mut text = found.certificate_pem.clone();
    if with_chain {
        text.push_str(&found.chain_pem);
    }
    text
}

fn show(found: &CertificateDetail) {
    let certificate = &found.certificate;
    let mut fields = vec![
        ("id", certificate.id.to_string()),
        ("status", certificate.status.to_string()),
        ("type", certificate.certificate_type.to_string()),
        ("subject", certificate.subject.clone()),
    ];
    for name in &certificate.subject_alternative_names {
        fields.push(("name", name.clone()));
    }
    fields.extend([
        ("serial number", certificate.serial_number.clone()),
        ("key", certificate.key_algorithm.clone()),
        ("valid from", certificate.not_before.to_rfc3339()),
        ("valid to", certificate.not_after.to_rfc3339()),
        ("SHA-256", certificate.fingerprint_sha256.clone()),
        (
            "private key",
            if certificate.has_private_key {
                "kept here"
            } else {
                "elsewhere"
            }
            .into(),
        ),
        ("tags", certificate.tags.join(", ")),
    ]);
    output::fields(&fields);
    output::raw(&found.certificate_pem);
}

fn show_authority(found: &CertificateAuthority) {
    output::fields(&[
        ("id", found.id.to_string()),
        ("name", found.name.clone()),
        ("kind", found.kind.to_string()),
        ("status", found.status.to_string()),
        ("subject", found.subject.clone()),
        ("key", found.key_algorithm.to_string()),
        ("signs with", found.signature_algorithm.to_string()),
        ("valid from", found.not_before.to_rfc3339()),
        ("valid to", found.not_after.to_rfc3339()),
        ("SHA-256", found.fingerprint_sha256.clone()),
    ]);
    output::raw(&found.certificate_pem);
}

/// What people call the certificate: its common name, else its first name, else its subject.
fn display_name(found: &Certificate) -> String {
    found
        .common_name
        .clone()
        .or_else(|| found.subject_alternative_names.first().cloned())
        .unwrap_or_else(|| found.subject.clone())
}

fn day(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d").to_string()
}

/// Replaces a file as a whole.
fn write_file(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let mut name = path
        .file_name()
        .context("the path names no file")?
        .to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = path.with_file_name(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&fresh)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .and_then(|()| std::fs::rename(&fresh, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    written.with_context(|| format!("writing {}", path.display()))
}
