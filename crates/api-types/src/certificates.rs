//! `/certificates`: the inventory.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clm_domain::states::{CertificateStatus, CertificateType, DeploymentEnvironment};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A certificate, as in lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Certificate {
    /// The certificate.
    pub id: Uuid,
    /// Its organization.
    pub organization_id: Uuid,
    /// Its request.
    pub certificate_request_id: Option<Uuid>,
    /// Its issuer.
    pub certificate_authority_id: Option<Uuid>,
    /// What it is for.
    #[schema(value_type = String)]
    pub certificate_type: CertificateType,
    /// Where it is in its life.
    #[schema(value_type = String)]
    pub status: CertificateStatus,
    /// Serial number, lower-case hexadecimal.
    pub serial_number: String,
    /// Subject as RFC 4514 text; may be empty.
    pub subject: String,
    /// The first common name.
    pub common_name: Option<String>,
    /// Names as `form:value`.
    pub subject_alternative_names: Vec<String>,
    /// SHA-256 of the DER, hexadecimal.
    pub fingerprint_sha256: String,
    /// SHA-256 of the public key (`SubjectPublicKeyInfo`), hexadecimal.
    pub spki_sha256: String,
    /// The key's algorithm.
    pub key_algorithm: String,
    /// Start of validity.
    pub not_before: DateTime<Utc>,
    /// End of validity.
    pub not_after: DateTime<Utc>,
    /// Whether the platform holds the private key.
    pub has_private_key: bool,
    /// Its owner.
    pub owner_user_id: Option<Uuid>,
    /// Where it is used.
    #[schema(value_type = Option<String>)]
    pub environment: Option<DeploymentEnvironment>,
    /// Free labels.
    pub tags: Vec<String>,
    /// Custom fields.
    pub custom_fields: BTreeMap<String, String>,
    /// When it entered the inventory.
    pub created_at: DateTime<Utc>,
}

/// A certificate with its PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateDetail {
    /// What lists show too.
    #[serde(flatten)]
    pub certificate: Certificate,
    /// The certificate in PEM.
    pub certificate_pem: String,
    /// The certificates above in PEM, nearest first, without the root.
    pub chain_pem: String,
}

/// Asks for the private key of a certificate.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivateKeyExport {
    /// Protects the key on its way out: at least 12 characters.
    #[schema(format = "password")]
    pub passphrase: String,
}

/// A private key, encrypted under the passphrase that was given. Shown once per idempotency key.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct PrivateKeyExported {
    /// The certificate.
    pub certificate_id: Uuid,
    /// PEM `ENCRYPTED PRIVATE KEY` (RFC 5958).
    pub encrypted_private_key_pem: String,
}
