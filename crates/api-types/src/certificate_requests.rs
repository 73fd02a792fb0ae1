//! `/certificate-requests`: asking for certificates.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::states::{CertificateRequestStatus, CertificateType, DeploymentEnvironment};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::certificates::CertificateDetail;

/// Asks for a certificate: with a CSR, or with a key that the platform makes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateRequestCreate {
    /// A PKCS#10 request in PEM. What it asks for are wishes; the profile decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr: Option<String>,
    /// Instead of `csr`: the algorithm of the key that the platform shall make and keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub key_algorithm: Option<KeyAlgorithm>,
    /// With `key_algorithm`: the subject as RFC 4514 text, such as `CN=app.example,O=Example`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// With `key_algorithm`: names as `form:value`, forms `DNS`, `IP`, `URI` and `email`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject_alternative_names: Vec<String>,
    /// The authority that shall sign; absent: the oldest active issuing one that the organization
    /// may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority_id: Option<Uuid>,
    /// What it is for: `server` (the default), `client`, `leaf`, `code_signing` or `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub certificate_type: Option<CertificateType>,
    /// How long it shall be valid, in seconds; absent: 90 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validity_seconds: Option<u64>,
    /// Where it will be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub environment: Option<DeploymentEnvironment>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Custom fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_fields: BTreeMap<String, String>,
}

/// A certificate request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateRequest {
    /// The request.
    pub id: Uuid,
    /// Its organization.
    pub organization_id: Uuid,
    /// Where it is in its life.
    #[schema(value_type = String)]
    pub status: CertificateRequestStatus,
    /// The authority that was asked.
    pub certificate_authority_id: Uuid,
    /// Its certificate, once there is one.
    pub certificate_id: Option<Uuid>,
    /// Subject as RFC 4514 text.
    pub subject: String,
    /// Names as `form:value`.
    pub subject_alternative_names: Vec<String>,
    /// The key's algorithm.
    #[schema(value_type = String)]
    pub key_algorithm: KeyAlgorithm,
    /// Whether the platform made the key.
    pub key_generated: bool,
    /// Who asked.
    pub requester_user_id: Option<Uuid>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When its certificate was issued.
    pub fulfilled_at: Option<DateTime<Utc>>,
}

/// A request that was fulfilled at once, with its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateRequestCreated {
    /// The request's id.
    pub id: Uuid,
    /// Where it is in its life.
    #[schema(value_type = String)]
    pub status: CertificateRequestStatus,
    /// The certificate.
    pub certificate: CertificateDetail,
}
