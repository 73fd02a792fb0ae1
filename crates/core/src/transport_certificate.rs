//! The certificate of the platform's own HTTPS listener, from its own authority.
//!
//! Its key is a transport key, not one of those that the Secure Service keeps.

use chrono::{DateTime, Utc};
use clm_domain::general_name::GeneralName;
use clm_domain::ids::OrganizationId;
use clm_domain::secret::SecretBytes;
use clm_domain::states::CertificateType;

use crate::certificate_requests::{self, NewCertificateRequest, RequestSource};
use crate::context::OpContext;
use crate::error::Result;
use crate::{Core, transport_key};

/// A server certificate with its key.
#[derive(Clone, Debug)]
pub struct TransportCertificate {
    /// DER of the certificate and of those above, nearest first, without the root.
    pub certificate_chain_der: Vec<Vec<u8>>,
    /// The private key as PKCS#8 DER (RFC 5958).
    pub private_key_pkcs8: SecretBytes,
    /// End of validity.
    pub not_after: DateTime<Utc>,
}

/// Makes a P-256 key and asks the organization's default authority for a server certificate with
/// `names`.
///
/// # Errors
/// Those of [`certificate_requests::create`]; `Internal` when the key cannot be made.
pub async fn issue(
    core: &Core,
    names: Vec<GeneralName>,
    organization_id: OrganizationId,
) -> Result<TransportCertificate> {
    let (private_key_pkcs8, request_der) = transport_key::new_with_request(&names)?;
    let request = NewCertificateRequest {
        source: RequestSource::CertificationRequest(request_der),
        issuer_id: None,
        certificate_type: CertificateType::Server,
        validity_seconds: None,
        environment: None,
        tags: Vec::new(),
        custom_fields: std::collections::BTreeMap::new(),
    };
    let context = OpContext::system(core, organization_id);
    let issued = certificate_requests::create(&context, core, request)
        .await?
        .certificate;
    let mut certificate_chain_der = vec![issued.certificate_der];
    certificate_chain_der.extend(issued.chain_der);
    Ok(TransportCertificate {
        certificate_chain_der,
        private_key_pkcs8,
        not_after: issued.certificate.not_after,
    })
}
