//! The certificate of the platform's own HTTPS listener, from its own authority.
//!
//! The key is made here and stays in this process: a transport key, not one of those that the
//! Secure Service keeps.

use chrono::{DateTime, Utc};
use clm_domain::general_name::GeneralName;
use clm_domain::ids::OrganizationId;
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::secret::SecretBytes;
use clm_domain::states::CertificateType;
use clm_pki::csr;
use clm_pki::key::PrivateKey;

use crate::Core;
use crate::certificate_requests::{self, NewCertificateRequest, RequestSource};
use crate::context::OpContext;
use crate::error::{CoreError, Result};

/// DER of a subject without any name: the alternative names say it all (RFC 5280 §4.1.2.6).
const EMPTY_SUBJECT_DER: [u8; 2] = [0x30, 0x00];

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
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)
        .map_err(|error| CoreError::internal(&error))?;
    let request_der = csr::build_request(&EMPTY_SUBJECT_DER, &names, &key)
        .map_err(|error| CoreError::internal(&error))?;
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
        private_key_pkcs8: key
            .to_pkcs8_der()
            .map_err(|error| CoreError::internal(&error))?,
        not_after: issued.certificate.not_after,
    })
}
