//! The replies of the Secure Service. Long results are paged.

use chrono::{DateTime, Utc};
use clm_domain::ids::{
    CertificateId, CertificateRequestId, IssuerId, OrganizationId, PrivateKeyId, UserId,
};
use clm_domain::issuer_limits::IssuerLimits;
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::secret::{SecretString, explicit_secret};
use clm_domain::states::{CertificateRequestStatus, IssuerKind, IssuerStatus};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::event::{CertificateRecord, Event};

/// The reply to the command of the same name.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reply", content = "value")]
pub enum Reply {
    /// To `CheckHealth`.
    Health(Health),
    /// To `CreateCertificateAuthority` and `LoadCertificateAuthority`.
    CertificateAuthority(Box<CertificateAuthority>),
    /// To `ListCertificateAuthorities`.
    CertificateAuthorities(Vec<CertificateAuthority>),
    /// To `IssueCertificate`.
    Issued(Box<Issued>),
    /// To `FindIssued`.
    FoundIssued(Option<Box<Issued>>),
    /// To `LoadCertificateRequest`.
    CertificateRequest(Box<CertificateRequest>),
    /// To `ListCertificateRequests`.
    CertificateRequests(Vec<CertificateRequest>),
    /// To `LoadCertificate`.
    Certificate(Box<Certificate>),
    /// To `ExportPrivateKey`.
    ExportedPrivateKey(ExportedPrivateKey),
    /// To `PullEvents`.
    Events(Vec<Event>),
    /// To `AcknowledgeEvents`: how many were removed.
    Acknowledged(u64),
    /// To `ListCertificateStates`.
    CertificateStates(Vec<CertificateState>),
}

/// Whether the service can work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether the database answers.
    pub database: bool,
    /// Whether the master key opens what is stored.
    pub master_key: bool,
    /// Which master-key provider is in force.
    pub master_key_provider: String,
    /// Months of audit partitions ahead of now; below two is a warning.
    pub audit_partitions_ahead: i32,
}

/// A certificate authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateAuthority {
    /// The issuer.
    pub issuer_id: IssuerId,
    /// Its owner.
    pub organization_id: OrganizationId,
    /// Its name for people.
    pub name: String,
    /// Root or intermediate.
    pub kind: IssuerKind,
    /// The issuer above.
    pub parent_issuer_id: Option<IssuerId>,
    /// Whether it issues.
    pub status: IssuerStatus,
    /// Subject as RFC 4514 text.
    pub subject: String,
    /// The key's algorithm.
    pub key_algorithm: KeyAlgorithm,
    /// What it signs with.
    pub signature_algorithm: SignatureAlgorithm,
    /// What it may ever sign.
    pub limits: IssuerLimits,
    /// Its certificate's id.
    pub certificate_id: CertificateId,
    /// Its certificate.
    #[serde(with = "serde_bytes")]
    pub certificate_der: Vec<u8>,
    /// The certificates above, nearest first, root last; empty for a root.
    pub chain_der: Vec<ByteBuf>,
    /// Start of validity.
    pub not_before: DateTime<Utc>,
    /// End of validity.
    pub not_after: DateTime<Utc>,
    /// Rises with each change.
    pub revision: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A certificate that was just issued, or that an earlier call with the same idempotency key issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// The event, as it also stands in the outbox.
    pub event: Event,
    /// The certificate.
    #[serde(with = "serde_bytes")]
    pub certificate_der: Vec<u8>,
    /// The certificates above, nearest first, without the root.
    pub chain_der: Vec<ByteBuf>,
    /// Whether an earlier call issued it.
    pub replayed: bool,
}

/// A certificate request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRequest {
    /// The request.
    pub certificate_request_id: CertificateRequestId,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Where it is in its life.
    pub status: CertificateRequestStatus,
    /// The issuer that was asked.
    pub issuer_id: IssuerId,
    /// The certificate, once there is one.
    pub certificate_id: Option<CertificateId>,
    /// Subject as RFC 4514 text.
    pub subject: String,
    /// Names as `form:value` text.
    pub subject_alternative_names: Vec<String>,
    /// The key's algorithm.
    pub key_algorithm: KeyAlgorithm,
    /// Whether the platform made the key.
    pub key_generated: bool,
    /// Who asked.
    pub requester_user_id: Option<UserId>,
    /// When it was submitted.
    pub created_at: DateTime<Utc>,
    /// When its certificate was issued.
    pub fulfilled_at: Option<DateTime<Utc>>,
}

/// A certificate with its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// What the projection also knows.
    pub record: CertificateRecord,
    /// The certificate.
    #[serde(with = "serde_bytes")]
    pub certificate_der: Vec<u8>,
    /// The certificates above, nearest first, without the root.
    pub chain_der: Vec<ByteBuf>,
}

/// A private key on its way out.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExportedPrivateKey {
    /// The key.
    pub private_key_id: PrivateKeyId,
    /// PEM `ENCRYPTED PRIVATE KEY` (RFC 5958, PBES2).
    #[serde(with = "explicit_secret")]
    pub encrypted_pkcs8_pem: SecretString,
}

/// What the reconciler compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateState {
    /// The record as the projection should hold it.
    pub record: CertificateRecord,
    /// Whether the secure audit log holds the event of issuance.
    pub audited: bool,
    /// When the certificate was recorded.
    pub created_at: DateTime<Utc>,
    /// Whether its certificate is that of an issuer, which the core does not project.
    pub is_issuer: bool,
}

impl Reply {
    /// The name of the reply, for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Health(_) => "health",
            Self::CertificateAuthority(_) => "certificate_authority",
            Self::CertificateAuthorities(_) => "certificate_authorities",
            Self::Issued(_) => "issued",
            Self::FoundIssued(_) => "found_issued",
            Self::CertificateRequest(_) => "certificate_request",
            Self::CertificateRequests(_) => "certificate_requests",
            Self::Certificate(_) => "certificate",
            Self::ExportedPrivateKey(_) => "exported_private_key",
            Self::Events(_) => "events",
            Self::Acknowledged(_) => "acknowledged",
            Self::CertificateStates(_) => "certificate_states",
        }
    }
}
