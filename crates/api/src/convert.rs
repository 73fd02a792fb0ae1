//! From the core's records to the types of REST v1.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clm_api_types::certificate_authorities::CertificateAuthority;
use clm_api_types::certificate_requests::CertificateRequest;
use clm_api_types::certificates::{Certificate, CertificateDetail};
use clm_api_types::page::{Page, PageQuery};
use clm_core::{certificate_authorities, certificate_requests, certificates, page};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::problem::ApiError;

/// Checks `limit` and `cursor`.
pub(crate) fn page_request(query: &PageQuery) -> Result<page::PageRequest, ApiError> {
    Ok(page::PageRequest::parse(
        query.limit,
        query.cursor.as_deref(),
    )?)
}

/// A page in the types of REST.
pub(crate) fn page<A, B>(page: page::Page<A>, convert: impl Fn(A) -> B) -> Page<B> {
    Page {
        items: page.items.into_iter().map(convert).collect(),
        next_cursor: page.next_cursor,
    }
}

/// A certificate as lists show it.
pub(crate) fn certificate(found: certificates::Certificate) -> Certificate {
    Certificate {
        id: found.certificate_id.as_uuid(),
        organization_id: found.organization_id.as_uuid(),
        certificate_request_id: found.certificate_request_id.map(Uuid::from),
        certificate_authority_id: found.issuer_id.map(Uuid::from),
        certificate_type: found.certificate_type,
        status: found.status,
        serial_number: found.serial_number,
        subject: found.subject,
        common_name: found.common_name,
        subject_alternative_names: found.subject_alternative_names,
        fingerprint_sha256: hex::encode(found.fingerprint_sha256),
        spki_sha256: hex::encode(found.spki_sha256),
        key_algorithm: found.key_algorithm,
        not_before: found.not_before,
        not_after: found.not_after,
        has_private_key: found.has_private_key,
        owner_user_id: found.owner_user_id.map(Uuid::from),
        environment: found.environment,
        tags: found.tags,
        custom_fields: found.custom_fields,
        created_at: found.created_at,
    }
}

/// A certificate with its PEM.
pub(crate) fn certificate_detail(found: certificates::CertificateDetail) -> CertificateDetail {
    CertificateDetail {
        certificate: certificate(found.certificate),
        certificate_pem: pem(&found.certificate_der),
        chain_pem: found.chain_der.iter().map(|der| pem(der)).collect(),
    }
}

/// A certificate request.
pub(crate) fn certificate_request(
    found: certificate_requests::CertificateRequest,
) -> CertificateRequest {
    CertificateRequest {
        id: found.certificate_request_id.as_uuid(),
        organization_id: found.organization_id.as_uuid(),
        status: found.status,
        certificate_authority_id: found.issuer_id.as_uuid(),
        certificate_id: found.certificate_id.map(Uuid::from),
        subject: found.subject,
        subject_alternative_names: found.subject_alternative_names,
        key_algorithm: found.key_algorithm,
        key_generated: found.key_generated,
        requester_user_id: found.requester_user_id.map(Uuid::from),
        created_at: found.created_at,
        fulfilled_at: found.fulfilled_at,
    }
}

/// A certificate authority.
pub(crate) fn certificate_authority(
    found: certificate_authorities::CertificateAuthority,
) -> CertificateAuthority {
    CertificateAuthority {
        id: found.issuer_id.as_uuid(),
        organization_id: found.organization_id.as_uuid(),
        name: found.name,
        kind: found.kind,
        parent_id: found.parent_issuer_id.map(Uuid::from),
        status: found.status,
        subject: found.subject,
        key_algorithm: found.key_algorithm,
        signature_algorithm: found.signature_algorithm,
        limits: found.limits,
        revision: found.revision,
        not_before: found.not_before,
        not_after: found.not_after,
        fingerprint_sha256: hex::encode(Sha256::digest(&found.certificate_der)),
        certificate_pem: pem(&found.certificate_der),
        chain_pem: found.chain_der.iter().map(|der| pem(der)).collect(),
        created_at: found.created_at,
    }
}

/// RFC 7468 text of a certificate: 64 characters a line.
fn pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = String::with_capacity(encoded.len() + encoded.len() / 64 + 64);
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    for line in encoded.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}
