//! The first start of an embedded installation: a first organization, an administrator, an internal
//! CA, and `bootstrap.json`, which says how to sign in.
//!
//! Every step can be repeated: a start that was killed half-way goes on where it stopped.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clm_core::Core;
use clm_core::certificate_authorities::{self, CertificateAuthority, NewCertificateAuthority};
use clm_core::context::OpContext;
use clm_core::organizations::{self, NewOrganization};
use clm_core::users::{self, NewAdministrator};
use clm_domain::clock::random_bytes;
use clm_domain::ids::{OrganizationId, SYSTEM_ORGANIZATION, UserId};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::secret::SecretString;
use serde::{Deserialize, Serialize};

use crate::environment::SystemRng;
use crate::files;
use crate::layout::Layout;

/// Validity of the root, in days: 20 years.
const ROOT_VALIDITY_DAYS: u32 = 20 * 365;
/// Validity of the issuing authority, in days: 10 years.
const ISSUING_VALIDITY_DAYS: u32 = 10 * 365;
/// The name of the first organization.
const ORGANIZATION_NAME: &str = "Default";
/// Its slug.
const ORGANIZATION_SLUG: &str = "default";
/// The name of the first administrator.
const ADMINISTRATOR: &str = "admin";

/// The variable that names the first administrator's password.
const PASSWORD_VARIABLE: &str = "CLM_BOOTSTRAP_PASSWORD";

/// `bootstrap.json`: where to go and how to sign in. Mode 0600.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootstrapFile {
    /// Where the API answers on this machine.
    pub url: String,
    /// The same over HTTPS, where it is served.
    pub https_url: Option<String>,
    /// The first administrator.
    pub username: String,
    /// The administrator's password, until its first change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The slug of the first organization.
    pub organization: String,
    /// The path of the root certificate in PEM.
    pub ca_certificate: PathBuf,
}

/// Where the server can be reached.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(crate) url: String,
    pub(crate) https_url: Option<String>,
}

/// What the bootstrap made or found.
pub(crate) struct Bootstrapped {
    pub(crate) file: BootstrapFile,
    pub(crate) administrator: Option<UserId>,
}

/// Makes what is missing and writes `bootstrap.json`.
pub(crate) async fn run(
    core: &Core,
    layout: &Layout,
    addresses: &Addresses,
    password: Option<&SecretString>,
) -> anyhow::Result<Bootstrapped> {
    files::sweep(&layout.state_directory, &["bootstrap.json", "root-ca.pem"])?;
    let system = OpContext::system(core, SYSTEM_ORGANIZATION);
    let organization = match organizations::find_by_slug_or_id(core, ORGANIZATION_SLUG).await? {
        Some(found) => found,
        None => {
            let new = NewOrganization {
                name: ORGANIZATION_NAME.to_owned(),
                slug: ORGANIZATION_SLUG.to_owned(),
                max_users: None,
                max_certificates: None,
            };
            organizations::create(&system, core, new).await?
        }
    };
    let root = authorities(core, &system, organization.organization_id).await?;
    let root_path = layout.data_directory.join("root-ca.pem");
    files::replace(
        &layout.file("root-ca.pem"),
        pem("CERTIFICATE", &root.certificate_der).as_bytes(),
        0o644,
    )?;

    let path = layout.file("bootstrap.json");
    let administrator =
        users::find_by_name(core, ADMINISTRATOR, organization.organization_id).await?;
    let (administrator, password) = match administrator {
        // The note outlives the password only when a start was killed after the change.
        Some(known) if known.password_changed => (Some(known.user_id), None),
        Some(known) => (
            Some(known.user_id),
            read(&path)?.and_then(|previous| previous.password),
        ),
        None => {
            let password = first_password(password, &path)?;
            let new = NewAdministrator {
                username: ADMINISTRATOR.to_owned(),
                password: password.clone(),
                email: None,
                organization_id: organization.organization_id,
            };
            match users::create_administrator(core, new).await {
                Ok(user_id) => (Some(user_id), Some(password.expose().to_owned())),
                // Somebody else administers: 'admin' was renamed or removed on purpose.
                Err(error) if error.0.code == "administrator_exists" => (None, None),
                Err(error) => return Err(error).context("making the first administrator"),
            }
        }
    };
    let file = BootstrapFile {
        url: addresses.url.clone(),
        https_url: addresses.https_url.clone(),
        username: ADMINISTRATOR.to_owned(),
        password,
        organization: ORGANIZATION_SLUG.to_owned(),
        ca_certificate: root_path,
    };
    write(&path, &file)?;
    Ok(Bootstrapped {
        file,
        administrator,
    })
}

/// The internal root and the issuing authority below it. Both calls return what exists already.
async fn authorities(
    core: &Core,
    system: &OpContext,
    organization_id: OrganizationId,
) -> anyhow::Result<CertificateAuthority> {
    let root = NewCertificateAuthority {
        name: "Internal Root CA".to_owned(),
        subject: "CN=CLM Internal Root CA".to_owned(),
        parent_issuer_id: None,
        key_algorithm: KeyAlgorithm::EcdsaP384,
        signature_algorithm: None,
        validity_days: ROOT_VALIDITY_DAYS,
        path_length_max: None,
        limits: None,
        organization_ids: Vec::new(),
    };
    let root = ensure_authority(core, system, root)
        .await
        .context("making the root CA")?;
    let issuing = NewCertificateAuthority {
        name: "Internal Issuing CA".to_owned(),
        subject: "CN=CLM Internal Issuing CA".to_owned(),
        parent_issuer_id: Some(root.issuer_id),
        key_algorithm: KeyAlgorithm::EcdsaP256,
        signature_algorithm: None,
        validity_days: ISSUING_VALIDITY_DAYS,
        path_length_max: Some(0),
        limits: None,
        organization_ids: vec![organization_id],
    };
    ensure_authority(core, system, issuing)
        .await
        .context("making the issuing CA")?;
    Ok(root)
}

/// Creates the authority unless one of its name exists.
async fn ensure_authority(
    core: &Core,
    system: &OpContext,
    new: NewCertificateAuthority,
) -> anyhow::Result<CertificateAuthority> {
    let page =
        clm_core::page::PageRequest::parse(Some(clm_domain::limits::PAGE_SIZE_MAX - 1), None)?;
    let found = certificate_authorities::list(system, core, page)
        .await?
        .items
        .into_iter()
        .find(|authority| {
            authority.name == new.name && authority.organization_id == system.organization_id
        });
    match found {
        Some(found) => Ok(found),
        None => Ok(certificate_authorities::create(system, core, new).await?),
    }
}

/// The password of the first administrator: the operator's, else one that an interrupted start noted
/// already, else a new one. Noted before the user exists, so that a start that is killed in between
/// locks nobody out.
fn first_password(chosen: Option<&SecretString>, path: &Path) -> anyhow::Result<SecretString> {
    let check = |password: &SecretString| {
        clm_core::password::check_policy(password, ADMINISTRATOR, PASSWORD_VARIABLE)?;
        let words =
            clm_core::password::own_words(&[ADMINISTRATOR, ORGANIZATION_NAME, ORGANIZATION_SLUG]);
        clm_core::password::check_strength(password, &words, PASSWORD_VARIABLE)
    };
    if let Some(chosen) = chosen {
        check(chosen).with_context(|| format!("{PASSWORD_VARIABLE} cannot be used"))?;
    }
    let noted = read(path)?
        .and_then(|previous| previous.password)
        .map(SecretString::new)
        .filter(|noted| check(noted).is_ok());
    let password = match (chosen, noted) {
        (Some(chosen), _) => chosen.clone(),
        (None, Some(noted)) => noted,
        (None, None) => SecretString::new(URL_SAFE_NO_PAD.encode(random_bytes::<18>(&SystemRng))),
    };
    let note = BootstrapFile {
        url: String::new(),
        https_url: None,
        username: ADMINISTRATOR.to_owned(),
        password: Some(password.expose().to_owned()),
        organization: ORGANIZATION_SLUG.to_owned(),
        ca_certificate: PathBuf::new(),
    };
    write(path, &note)?;
    Ok(password)
}

/// Removes the password from `bootstrap.json`, after its first change.
pub(crate) fn forget_password(path: &Path) -> anyhow::Result<()> {
    match read(path)? {
        Some(mut file) if file.password.is_some() => {
            file.password = None;
            write(path, &file)
        }
        _ => Ok(()),
    }
}

fn read(path: &Path) -> anyhow::Result<Option<BootstrapFile>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

fn write(path: &Path, file: &BootstrapFile) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec_pretty(file).context("writing bootstrap.json")?;
    text.push(b'\n');
    files::replace(path, &text, 0o600)
}

/// RFC 7468 text of an object.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in encoded.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests;
