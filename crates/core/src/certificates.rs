//! The inventory: certificates that the organization owns.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clm_database::Scope;
use clm_domain::audit::{AuditRow, CoreEvent};
use clm_domain::error::Fault;
use clm_domain::ids::{CertificateId, CertificateRequestId, IssuerId, OrganizationId, UserId};
use clm_domain::limits::{PASSWORD_BYTES_MAX, PASSWORD_CHARACTERS_MIN};
use clm_domain::permission::{Action, Resource};
use clm_domain::secret::SecretString;
use clm_domain::states::{CertificateStatus, CertificateType, DeploymentEnvironment};
use clm_secure_api::command::{ExportPrivateKey, LoadCertificate};
use serde_json::json;

use crate::access::{self, Target};
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::page::{Page, PageRequest};
use crate::store::certificate_metadata;
use crate::{Core, audit, step_up};

/// A certificate as the projection holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate.
    pub certificate_id: CertificateId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Its request.
    pub certificate_request_id: Option<CertificateRequestId>,
    /// Its issuer.
    pub issuer_id: Option<IssuerId>,
    /// What it is for.
    pub certificate_type: CertificateType,
    /// Where it is in its life.
    pub status: CertificateStatus,
    /// Lower-case hexadecimal.
    pub serial_number: String,
    /// RFC 4514 text; may be empty.
    pub subject: String,
    /// The first common name.
    pub common_name: Option<String>,
    /// Names as `form:value`.
    pub subject_alternative_names: Vec<String>,
    /// SHA-256 of the DER.
    pub fingerprint_sha256: Vec<u8>,
    /// SHA-256 of the `SubjectPublicKeyInfo`.
    pub spki_sha256: Vec<u8>,
    /// The key's algorithm.
    pub key_algorithm: String,
    /// Start of validity.
    pub not_before: DateTime<Utc>,
    /// End of validity.
    pub not_after: DateTime<Utc>,
    /// Whether the platform holds the private key.
    pub has_private_key: bool,
    /// Its owner.
    pub owner_user_id: Option<UserId>,
    /// Where it is used.
    pub environment: Option<DeploymentEnvironment>,
    /// Free labels.
    pub tags: Vec<String>,
    /// Custom fields.
    pub custom_fields: BTreeMap<String, String>,
    /// The revision of the secure side that this shows.
    pub revision: i64,
    /// When it entered the inventory.
    pub created_at: DateTime<Utc>,
}

/// A certificate with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateDetail {
    /// What the projection holds.
    pub certificate: Certificate,
    /// The certificate in DER.
    pub certificate_der: Vec<u8>,
    /// The certificates above, nearest first, without the root.
    pub chain_der: Vec<Vec<u8>>,
}

/// Certificates of the organization, newest first.
///
/// # Errors
/// Those of [`access::authorize`] and of the database.
pub async fn list(
    context: &OpContext,
    core: &Core,
    page: PageRequest,
) -> Result<Page<Certificate>> {
    access::authorize(
        context,
        core,
        Action::List,
        Target::kind(context, Resource::Certificate),
    )
    .await?;
    let mut transaction = core
        .pool
        .begin(Scope::Organization(context.organization_id))
        .await?;
    let rows = certificate_metadata::list(
        &mut transaction,
        context.organization_id,
        page.after,
        page.rows_to_read(),
    )
    .await
    .map_err(|error| core.pool.statement_error(error))?;
    Ok(page.page(rows, |certificate| certificate.certificate_id.as_uuid()))
}

/// One certificate with its chain.
///
/// # Errors
/// `NotFound` for unknown and foreign ids alike; those of [`access::authorize`].
pub async fn load(
    context: &OpContext,
    core: &Core,
    certificate_id: CertificateId,
) -> Result<CertificateDetail> {
    let certificate = load_authorized(
        context,
        core,
        certificate_id,
        (Resource::Certificate, Action::Read),
    )
    .await?;
    let stored = core
        .secure
        .load_certificate(context.call(), LoadCertificate { certificate_id })
        .await?;
    Ok(CertificateDetail {
        certificate,
        certificate_der: stored.certificate_der,
        chain_der: stored
            .chain_der
            .into_iter()
            .map(serde_bytes::ByteBuf::into_vec)
            .collect(),
    })
}

/// Lets the private key of a certificate leave, encrypted under `passphrase`.
///
/// # Errors
/// `Invalid` for a weak passphrase; `NotFound`; `Conflict` when the platform holds no such key;
/// `Forbidden` without a good step-up proof of a person, which the Secure Service judges, and for an API
/// key whose scopes do not name the right.
pub async fn export_private_key(
    context: &OpContext,
    core: &Core,
    certificate_id: CertificateId,
    passphrase: SecretString,
) -> Result<SecretString> {
    let right = (Resource::PrivateKey, Action::Export);
    let certificate = load_authorized(context, core, certificate_id, right).await?;
    let checked = check_passphrase(&passphrase)
        .and_then(|()| step_up::require_of_key(context, (Action::Export, Resource::PrivateKey)))
        .and_then(|()| step_up::expect_proof(context));
    let exported = match checked {
        Ok(proof) => {
            let command = ExportPrivateKey {
                certificate_id,
                passphrase,
                proof,
            };
            let exported = core.secure.export_private_key(context.call(), command);
            exported.await.map_err(CoreError::from)
        }
        Err(error) => Err(error),
    };
    let row = AuditRow::success(
        CoreEvent::PrivateKeyExported,
        &context.cause(),
        Some(certificate_id.as_uuid()),
        core.clock.now(),
        core.rng.as_ref(),
    )
    .with_details(json!({ "serial_number": certificate.serial_number }));
    match exported {
        Ok(exported) => {
            audit::record(context, core, row).await?;
            Ok(exported.encrypted_pkcs8_pem)
        }
        Err(error) => {
            audit::record(context, core, row.refused(error.0.code.clone())).await?;
            Err(error)
        }
    }
}

fn check_passphrase(passphrase: &SecretString) -> Result<()> {
    let text = passphrase.expose();
    if text.chars().count() < PASSWORD_CHARACTERS_MIN || text.len() > PASSWORD_BYTES_MAX {
        let message = format!(
            "The passphrase must have at least {PASSWORD_CHARACTERS_MIN} characters and at most \
             {PASSWORD_BYTES_MAX} bytes."
        );
        return Err(Fault::invalid("passphrase_too_weak", "passphrase", message).into());
    }
    Ok(())
}

/// Loads a certificate of the caller's organization after checking the right.
async fn load_authorized(
    context: &OpContext,
    core: &Core,
    certificate_id: CertificateId,
    (resource, action): (Resource, Action),
) -> Result<Certificate> {
    access::authorize(context, core, action, Target::kind(context, resource)).await?;
    let mut transaction = core
        .pool
        .begin(Scope::Organization(context.organization_id))
        .await?;
    let found =
        certificate_metadata::find(&mut transaction, context.organization_id, certificate_id)
            .await
            .map_err(|error| core.pool.statement_error(error))?;
    let certificate = found.ok_or_else(|| Fault::not_found(access::noun(Resource::Certificate)))?;
    let target = Target::object(
        resource,
        certificate.organization_id,
        certificate_id.as_uuid(),
    );
    access::authorize(context, core, action, target).await?;
    Ok(certificate)
}
