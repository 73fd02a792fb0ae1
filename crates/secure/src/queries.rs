//! What is read: requests, certificates and certificate authorities of one organization. Pages are
//! bounded.

use clm_domain::error::Fault;
use clm_domain::limits::PAGE_SIZE_MAX;
use clm_secure_api::command::{
    ListCertificateAuthorities, ListCertificateRequests, LoadCertificate, LoadCertificateAuthority,
    LoadCertificateRequest,
};
use clm_secure_api::reply::Certificate;
use clm_secure_api::{CallContext, Reply};

use crate::Secure;
use crate::error::Failure;
use crate::issuers::without_root;
use crate::store::issuers::StoredIssuer;

impl Secure {
    /// Carries out [`ListCertificateAuthorities`].
    pub(crate) async fn list_certificate_authorities(
        &self,
        context: &CallContext,
        command: ListCertificateAuthorities,
    ) -> Result<Reply, Failure> {
        let limit = page_size(command.limit);
        let issuers = self
            .store
            .list_usable_issuers(context.organization_id, command.after, limit)
            .await?;
        Ok(Reply::CertificateAuthorities(
            issuers.iter().map(StoredIssuer::to_reply).collect(),
        ))
    }

    /// Carries out [`LoadCertificateAuthority`].
    pub(crate) async fn load_certificate_authority(
        &self,
        context: &CallContext,
        command: LoadCertificateAuthority,
    ) -> Result<Reply, Failure> {
        let issuer = self
            .issuers
            .load(context.organization_id, command.issuer_id)
            .await?;
        Ok(Reply::CertificateAuthority(Box::new(issuer.to_reply())))
    }

    /// Carries out [`ListCertificateRequests`].
    pub(crate) async fn list_certificate_requests(
        &self,
        context: &CallContext,
        command: ListCertificateRequests,
    ) -> Result<Reply, Failure> {
        let organization_id = context.organization_id;
        let limit = page_size(command.limit);
        let requests = self
            .store
            .list_certificate_requests(organization_id, command.after, limit)
            .await?;
        Ok(Reply::CertificateRequests(requests))
    }

    /// Carries out [`LoadCertificateRequest`].
    pub(crate) async fn load_certificate_request(
        &self,
        context: &CallContext,
        command: LoadCertificateRequest,
    ) -> Result<Reply, Failure> {
        let id = command.certificate_request_id;
        let request = self
            .store
            .find_certificate_request(context.organization_id, id)
            .await?;
        let request = request.ok_or_else(|| Fault::not_found("certificate request"))?;
        Ok(Reply::CertificateRequest(Box::new(request)))
    }

    /// Carries out [`LoadCertificate`].
    pub(crate) async fn load_certificate(
        &self,
        context: &CallContext,
        command: LoadCertificate,
    ) -> Result<Reply, Failure> {
        let found = self
            .store
            .find_certificate(context.organization_id, command.certificate_id)
            .await?;
        let stored = found.ok_or_else(|| Fault::not_found("certificate"))?;
        let chain = match stored.record.issuer_id {
            Some(issuer_id) => self.store.list_issuer_chain(issuer_id).await?,
            None => Vec::new(),
        };
        Ok(Reply::Certificate(Box::new(Certificate {
            record: stored.record,
            certificate_der: stored.certificate_der,
            chain_der: without_root(chain),
        })))
    }
}

/// At least one row, at most a page and the one row that tells whether another page follows.
pub(crate) fn page_size(asked: u32) -> i64 {
    i64::from(asked.clamp(1, PAGE_SIZE_MAX + 1))
}
