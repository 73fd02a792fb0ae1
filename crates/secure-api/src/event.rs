//! Events that the Secure Service leaves in its outbox. Each alone suffices to rebuild the
//! projection that the core keeps.

use chrono::{DateTime, Utc};
use clm_domain::actor::Actor;
use clm_domain::ids::{
    CertificateId, CertificateRequestId, EventId, IssuerId, OrganizationId, RequestId,
};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::states::{CertificateStatus, CertificateType};
use serde::{Deserialize, Serialize};

use crate::command::IssuanceContext;

/// One event with its identity. `event_id` is the inbox key of the core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Unique for ever.
    pub event_id: EventId,
    /// The organization concerned.
    pub organization_id: OrganizationId,
    /// Who caused it.
    pub actor: Actor,
    /// In which request.
    pub request_id: RequestId,
    /// When it was committed, as the Secure Service's clock says.
    pub occurred_at: DateTime<Utc>,
    /// What happened.
    pub body: EventBody,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type", content = "data")]
pub enum EventBody {
    /// A certificate was issued.
    CertificateIssued(Box<CertificateRecord>),
}

impl EventBody {
    /// The stored name of the event's type.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CertificateIssued(_) => "certificate_issued",
        }
    }

    /// The certificate as it is after the event.
    pub const fn record(&self) -> &CertificateRecord {
        match self {
            Self::CertificateIssued(record) => record,
        }
    }
}

/// Everything about a certificate that the core's projection holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// The certificate.
    pub certificate_id: CertificateId,
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// Its request.
    pub certificate_request_id: Option<CertificateRequestId>,
    /// Its issuer.
    pub issuer_id: Option<IssuerId>,
    /// Rises with each change of the certificate; only a higher one is applied.
    pub revision: i64,
    /// What it is for.
    pub certificate_type: CertificateType,
    /// Where it is in its life.
    pub status: CertificateStatus,
    /// Serial number, lower-case hexadecimal of the unsigned value.
    pub serial_number: String,
    /// Subject as RFC 4514 text; may be empty.
    pub subject: String,
    /// The first common name, where there is one.
    pub common_name: Option<String>,
    /// Names as `form:value` text.
    pub subject_alternative_names: Vec<String>,
    /// SHA-256 of the DER.
    #[serde(with = "crate::hash_bytes")]
    pub fingerprint_sha256: Vec<u8>,
    /// SHA-256 of the `SubjectPublicKeyInfo`.
    #[serde(with = "crate::hash_bytes")]
    pub spki_sha256: Vec<u8>,
    /// The key's algorithm.
    pub key_algorithm: KeyAlgorithm,
    /// Start of validity.
    pub not_before: DateTime<Utc>,
    /// End of validity.
    pub not_after: DateTime<Utc>,
    /// Whether the platform holds the private key.
    pub has_private_key: bool,
    /// What people said about it.
    pub context: IssuanceContext,
}
