//! A key that was just made here, sealed for its row.

use clm_domain::ids::PrivateKeyId;
use clm_pki::key::{PrivateKey, spki_sha256};
use clm_secure_api::CallContext;

use crate::Secure;
use crate::audit::cause;
use crate::data_keys::Item;
use crate::error::Failure;
use crate::store::private_keys::{KeyPurpose, NewPrivateKey};

impl Secure {
    /// Seals a fresh key under the data key of the organization. Only a key of an end entity may
    /// ever leave.
    pub(crate) async fn seal_new_key(
        &self,
        context: &CallContext,
        key: &PrivateKey,
        purpose: KeyPurpose,
    ) -> Result<NewPrivateKey, Failure> {
        let pkcs8_der = key
            .to_pkcs8_der()
            .map_err(|error| Failure::Internal(error.to_string()))?;
        let id = PrivateKeyId::generate(self.clock.now(), self.rng.as_ref());
        let place = (context.organization_id, Item::PrivateKey(id));
        let sealed = self
            .data_keys
            .seal(place, &pkcs8_der, &cause(context))
            .await?;
        let public_key_der = key.subject_public_key_info().to_vec();
        Ok(NewPrivateKey {
            id,
            spki_sha256: spki_sha256(&public_key_der),
            public_key_der,
            key_algorithm: key.algorithm(),
            purpose,
            exportable: purpose == KeyPurpose::EndEntity,
            encryption_key_id: sealed.encryption_key_id,
            sealed: sealed.sealed,
        })
    }
}
