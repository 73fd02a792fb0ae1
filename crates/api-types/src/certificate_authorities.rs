//! `/certificate-authorities`: who signs.

use chrono::{DateTime, Utc};
use clm_domain::issuer_limits::IssuerLimits;
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::states::{IssuerKind, IssuerStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Asks for a certificate authority, owned by the caller's organization.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateAuthorityCreate {
    /// A name for people, unique in the organization.
    pub name: String,
    /// The subject as RFC 4514 text, such as `CN=Issuing CA 1,O=Example,C=AT`.
    pub subject: String,
    /// The authority above; absent: a self-signed root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<Uuid>,
    /// The key's algorithm, such as `ecdsa-p384`.
    #[schema(value_type = String)]
    pub key_algorithm: KeyAlgorithm,
    /// What it signs with; absent: the usual one of its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub signature_algorithm: Option<SignatureAlgorithm>,
    /// How long its certificate is valid, in days.
    pub validity_days: u32,
    /// How many authorities may follow below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_length_max: Option<u8>,
    /// What it may ever sign; absent: authorities below a root, server and client certificates of
    /// up to 397 days with any name below another authority. `end_entities` says whether it signs
    /// anything but authorities; lists that are empty allow nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub limits: Option<IssuerLimits>,
}

/// A certificate authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateAuthority {
    /// The authority.
    pub id: Uuid,
    /// Its owner.
    pub organization_id: Uuid,
    /// Its name.
    pub name: String,
    /// `root` or `intermediate`.
    #[schema(value_type = String)]
    pub kind: IssuerKind,
    /// The authority above.
    pub parent_id: Option<Uuid>,
    /// `active`, `suspended` or `retired`.
    #[schema(value_type = String)]
    pub status: IssuerStatus,
    /// Subject as RFC 4514 text.
    pub subject: String,
    /// The key's algorithm.
    #[schema(value_type = String)]
    pub key_algorithm: KeyAlgorithm,
    /// What it signs with.
    #[schema(value_type = String)]
    pub signature_algorithm: SignatureAlgorithm,
    /// What it may ever sign.
    #[schema(value_type = Object)]
    pub limits: IssuerLimits,
    /// Rises with each change; for `If-Match`.
    pub revision: i64,
    /// Start of validity.
    pub not_before: DateTime<Utc>,
    /// End of validity.
    pub not_after: DateTime<Utc>,
    /// SHA-256 of its certificate, hexadecimal.
    pub fingerprint_sha256: String,
    /// Its certificate in PEM.
    pub certificate_pem: String,
    /// The certificates above in PEM, nearest first, root last.
    pub chain_pem: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Changes what an authority may ever sign.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerLimitsUpdate {
    /// All limits from now on.
    #[schema(value_type = Object)]
    pub limits: IssuerLimits,
    /// Why, in words.
    pub reason: String,
}
