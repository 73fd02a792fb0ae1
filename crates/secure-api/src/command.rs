//! The commands of the Secure Service.

use std::collections::BTreeMap;

use clm_domain::certificate_plan::CertificatePlan;
use clm_domain::ids::{
    CertificateId, CertificateRequestId, EventId, IssuerId, OrganizationId, UserId,
};
use clm_domain::issuer_limits::IssuerLimits;
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::secret::{SecretString, explicit_secret};
use clm_domain::states::DeploymentEnvironment;
use serde::{Deserialize, Serialize};

/// One command. Each is documented on its own type.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command", content = "arguments")]
pub enum Command {
    /// See [`CheckHealth`].
    CheckHealth(CheckHealth),
    /// See [`CreateCertificateAuthority`].
    CreateCertificateAuthority(Box<CreateCertificateAuthority>),
    /// See [`ListCertificateAuthorities`].
    ListCertificateAuthorities(ListCertificateAuthorities),
    /// See [`LoadCertificateAuthority`].
    LoadCertificateAuthority(LoadCertificateAuthority),
    /// See [`IssueCertificate`].
    IssueCertificate(Box<IssueCertificate>),
    /// See [`FindIssued`].
    FindIssued(FindIssued),
    /// See [`ListCertificateRequests`].
    ListCertificateRequests(ListCertificateRequests),
    /// See [`LoadCertificateRequest`].
    LoadCertificateRequest(LoadCertificateRequest),
    /// See [`LoadCertificate`].
    LoadCertificate(LoadCertificate),
    /// See [`ExportPrivateKey`].
    ExportPrivateKey(ExportPrivateKey),
    /// See [`PullEvents`].
    PullEvents(PullEvents),
    /// See [`AcknowledgeEvents`].
    AcknowledgeEvents(AcknowledgeEvents),
    /// See [`ListCertificateStates`].
    ListCertificateStates(ListCertificateStates),
}

impl Command {
    /// The name of the command, for logs, metrics and the list of what a caller may do.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CheckHealth(_) => "check_health",
            Self::CreateCertificateAuthority(_) => "create_certificate_authority",
            Self::ListCertificateAuthorities(_) => "list_certificate_authorities",
            Self::LoadCertificateAuthority(_) => "load_certificate_authority",
            Self::IssueCertificate(_) => "issue_certificate",
            Self::FindIssued(_) => "find_issued",
            Self::ListCertificateRequests(_) => "list_certificate_requests",
            Self::LoadCertificateRequest(_) => "load_certificate_request",
            Self::LoadCertificate(_) => "load_certificate",
            Self::ExportPrivateKey(_) => "export_private_key",
            Self::PullEvents(_) => "pull_events",
            Self::AcknowledgeEvents(_) => "acknowledge_events",
            Self::ListCertificateStates(_) => "list_certificate_states",
        }
    }

    /// Whether the command changes something: such commands are audited one by one.
    pub const fn is_mutating(&self) -> bool {
        matches!(
            self,
            Self::CreateCertificateAuthority(_)
                | Self::IssueCertificate(_)
                | Self::ExportPrivateKey(_)
        )
    }
}

/// Whether the service can work: database reachable, schema known, master key opens what is stored.
#[derive(Debug, Serialize, Deserialize)]
pub struct CheckHealth {}

/// Makes a CA: key, certificate, issuer with its limits. Idempotent by (organization, name): a
/// second call with the same name returns the existing one when subject, parent, key algorithm,
/// signature algorithm, path length and limits are equal, else `Conflict` with code `name_taken`.
/// The limits must be within those of every issuer above, else `PolicyViolation`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateCertificateAuthority {
    /// A name for people, unique in the owning organization.
    pub name: String,
    /// DER of the subject `Name`; not empty (RFC 5280 §4.1.2.6).
    #[serde(with = "serde_bytes")]
    pub subject_der: Vec<u8>,
    /// The issuer above; `None` makes a self-signed root.
    pub parent_issuer_id: Option<IssuerId>,
    /// The algorithm of the CA's key.
    pub key_algorithm: KeyAlgorithm,
    /// The algorithm that the CA signs with; must fit the key. A root's certificate is signed so too.
    pub signature_algorithm: SignatureAlgorithm,
    /// Validity of the CA's certificate, in seconds; cut to the parent's end is refused, not done.
    pub validity_seconds: u64,
    /// RFC 5280 §4.2.1.9 `pathLenConstraint`.
    pub path_length_max: Option<u8>,
    /// What the new issuer may ever sign.
    pub limits: IssuerLimits,
    /// The organizations that may use it, beside its owner.
    pub organization_ids: Vec<OrganizationId>,
}

/// The issuers that the organization owns or may use, in order of their ids.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListCertificateAuthorities {
    /// Only issuers after this one.
    pub after: Option<IssuerId>,
    /// At most so many; bounded by [`clm_domain::limits::PAGE_SIZE_MAX`] and one more.
    pub limit: u32,
}

/// One issuer that the organization owns or may use, else `NotFound`.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoadCertificateAuthority {
    /// The issuer.
    pub issuer_id: IssuerId,
}

/// Records a request and issues its certificate: one transaction with request, certificate, sealed
/// key (when made here), audit event and outbox row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IssueCertificate {
    /// Chosen by the core.
    pub certificate_request_id: CertificateRequestId,
    /// Chosen by the core.
    pub certificate_id: CertificateId,
    /// The issuer, which the organization must be allowed to use.
    pub issuer_id: IssuerId,
    /// Where the key comes from.
    pub key_source: KeySource,
    /// What the certificate will say. With [`KeySource::Generate`] its public key is empty and is
    /// filled in by the Secure Service.
    pub plan: CertificatePlan,
    /// What the projection needs, returned in the event.
    pub context: IssuanceContext,
}

/// Where the key of a certificate comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum KeySource {
    /// The requester holds it, and proves that by a PKCS#10 request whose signature is verified
    /// again and whose public key must equal the plan's.
    CertificationRequest {
        /// DER of the request, stored as it came.
        #[serde(with = "serde_bytes")]
        der: Vec<u8>,
    },
    /// The Secure Service makes it and keeps it sealed.
    Generate,
}

/// What people said about the certificate, carried along for the projection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuanceContext {
    /// The owner.
    pub owner_user_id: Option<UserId>,
    /// Where it is used.
    pub environment: Option<DeploymentEnvironment>,
    /// Free labels.
    pub tags: Vec<String>,
    /// Custom fields.
    pub custom_fields: BTreeMap<String, String>,
}

/// What an earlier [`IssueCertificate`] with the idempotency key of this context issued, if anything:
/// so that a repetition is answered even if a rule would refuse it by now.
#[derive(Debug, Serialize, Deserialize)]
pub struct FindIssued {}

/// Requests of the organization, newest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListCertificateRequests {
    /// Only requests older than this one.
    pub after: Option<CertificateRequestId>,
    /// At most so many; bounded by [`clm_domain::limits::PAGE_SIZE_MAX`] and one more.
    pub limit: u32,
}

/// One request of the organization.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoadCertificateRequest {
    /// The request.
    pub certificate_request_id: CertificateRequestId,
}

/// One certificate of the organization, with its chain.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoadCertificate {
    /// The certificate.
    pub certificate_id: CertificateId,
}

/// Lets the private key of a certificate leave, as PKCS#8 encrypted under `passphrase`. The only
/// command whose reply carries key material. Audited; counted on the key.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExportPrivateKey {
    /// The certificate whose key is wanted; the key must have been made here for an end entity.
    pub certificate_id: CertificateId,
    /// The passphrase for PBES2, at least [`clm_domain::limits::PASSWORD_CHARACTERS_MIN`] long.
    #[serde(with = "explicit_secret")]
    pub passphrase: SecretString,
}

/// Events that the core has not acknowledged and that are old enough for the relay.
#[derive(Debug, Serialize, Deserialize)]
pub struct PullEvents {
    /// At most so many; bounded by [`clm_domain::limits::EVENT_BATCH_MAX`].
    pub limit: u32,
}

/// Removes events that the core has applied. Unknown ids are ignored: acknowledging twice is safe.
#[derive(Debug, Serialize, Deserialize)]
pub struct AcknowledgeEvents {
    /// The events.
    pub event_ids: Vec<EventId>,
}

/// The state of every certificate of every organization, in order of their ids, for the
/// reconciler.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListCertificateStates {
    /// Only certificates after this one.
    pub after: Option<CertificateId>,
    /// At most so many; bounded by [`clm_domain::limits::PAGE_SIZE_MAX`] and one more.
    pub limit: u32,
}
