//! `FindIssued`: the answer to a repetition, whatever the rules say by now.

use clm_domain::clock::uuid_v7;
use clm_domain::ids::CertificateRequestId;
use clm_secure_api::reply::Issued;
use clm_secure_api::{CallContext, Reply};

use crate::Secure;
use crate::error::Failure;
use crate::issuers::without_root;

impl Secure {
    pub(crate) async fn find_issued(&self, context: &CallContext) -> Result<Reply, Failure> {
        let Some(key) = context.idempotency_key else {
            return Ok(Reply::FoundIssued(None));
        };
        // The look-up goes by the key; the id of a request that nobody made matches none.
        let nobody = CertificateRequestId::from_uuid(uuid_v7(self.clock.now(), self.rng.as_ref()));
        let found = self
            .store
            .find_issuance(context.organization_id, nobody, Some(key))
            .await?
            .filter(|found| found.request_sha256.as_deref() == Some(key.request_sha256.as_slice()));
        let Some(found) = found else {
            return Ok(Reply::FoundIssued(None));
        };
        let chain = match found.event.body.record().issuer_id {
            Some(issuer_id) => self.store.list_issuer_chain(issuer_id).await?,
            None => Vec::new(),
        };
        Ok(Reply::FoundIssued(Some(Box::new(Issued {
            event: found.event,
            certificate_der: found.certificate_der,
            chain_der: without_root(chain),
            replayed: true,
        }))))
    }
}
