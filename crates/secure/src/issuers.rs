//! Issuers as issuance needs them: limits, chain and signing key, without a round trip for each
//! certificate.
//!
//! What is read is believed for [`ISSUER_SECONDS_MAX`]: so long may an issuer that was just
//! suspended, narrowed or withdrawn from an organization still sign. Signing keys stay in memory for
//! [`SIGNING_KEY_SECONDS_MAX`], so long also when another process erased the keys of their
//! organization; a key alone signs nothing, because its issuer is asked for first.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use clm_domain::clock::Clock;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{CertificateId, IssuerId, OrganizationId, PrivateKeyId};
use clm_domain::states::IssuerStatus;
use clm_pki::certificate::Certificate;
use clm_pki::issue::{IssuedCertificate, IssuerIdentity, PreparedCertificate, issue};
use clm_pki::key::{PrivateKey, spki_sha256};
use clm_secure_api::reply::CertificateAuthority;
use serde_bytes::ByteBuf;

use crate::cache::Cache;
use crate::data_keys::{DataKeys, Item};
use crate::error::Failure;
use crate::store::SecureStore;
use crate::store::issuers::{ChainLink, StoredIssuer};

/// How long an issuer is used without being read again, in seconds.
const ISSUER_SECONDS_MAX: i64 = 1;
/// Most pairs of organization and issuer in memory.
const ISSUERS_MAX: usize = 1024;
/// How long a signing key is used without being opened again, in seconds.
const SIGNING_KEY_SECONDS_MAX: i64 = 60;
/// Most signing keys in memory.
const SIGNING_KEYS_MAX: usize = 256;

/// The issuers in use.
pub(crate) struct Issuers {
    store: SecureStore,
    data_keys: Arc<DataKeys>,
    clock: Arc<dyn Clock>,
    usable: Cache<(OrganizationId, IssuerId), Arc<StoredIssuer>>,
    /// By the certificate too: a key is checked against the certificate that it signs below.
    signing_keys: Cache<(PrivateKeyId, CertificateId), Arc<PrivateKey>>,
}

impl Issuers {
    /// Issuers of `store`, whose keys `data_keys` opens.
    pub(crate) fn new(store: SecureStore, data_keys: Arc<DataKeys>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            data_keys,
            clock,
            usable: Cache::new(ISSUERS_MAX, Some(TimeDelta::seconds(ISSUER_SECONDS_MAX))),
            signing_keys: Cache::new(
                SIGNING_KEYS_MAX,
                Some(TimeDelta::seconds(SIGNING_KEY_SECONDS_MAX)),
            ),
        }
    }

    /// Forgets what is known of issuers, such as their limits: they have just been changed.
    pub(crate) fn forget_usable(&self) {
        self.usable.forget_where(|_, _| true);
    }

    /// Forgets every signing key: keys of an organization were erased.
    pub(crate) fn forget_signing_keys(&self) {
        self.signing_keys.forget_where(|_, _| true);
    }

    /// An issuer that the organization owns or may use, whatever its status.
    ///
    /// # Errors
    /// `NotFound`, the same for an unknown and for a foreign issuer.
    pub(crate) async fn load(
        &self,
        organization_id: OrganizationId,
        id: IssuerId,
    ) -> Result<Arc<StoredIssuer>, Failure> {
        let now = self.clock.now();
        if let Some(issuer) = self.usable.find(&(organization_id, id), now) {
            return Ok(issuer);
        }
        let found = self.store.find_usable_issuer(organization_id, id).await?;
        let issuer = Arc::new(found.ok_or_else(|| Fault::not_found("certificate authority"))?);
        self.usable
            .store((organization_id, id), Arc::clone(&issuer), now);
        Ok(issuer)
    }

    /// An issuer that the organization may use and that signs at present.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is suspended, retired, expired or asks for what this program
    /// cannot do; `PolicyViolation` with code `issuer_not_active` when one above it is suspended,
    /// retired, deleted or expired.
    pub(crate) async fn load_signing(
        &self,
        organization_id: OrganizationId,
        id: IssuerId,
    ) -> Result<Arc<StoredIssuer>, Failure> {
        let issuer = self.load(organization_id, id).await?;
        let refuse =
            |code, message: String| Err(Fault::new(ErrorKind::Conflict, code, message).into());
        if issuer.status != IssuerStatus::Active {
            let message = format!(
                "The certificate authority '{}' is {} and signs nothing. Choose another one.",
                issuer.name, issuer.status
            );
            return refuse("issuer_not_active", message);
        }
        if issuer.not_after < self.clock.now() {
            let message = format!(
                "The certificate of the certificate authority '{}' ended at {}. Choose another \
                 one.",
                issuer.name,
                issuer.not_after.to_rfc3339()
            );
            return refuse("issuer_expired", message);
        }
        if issuer.strict_mode {
            let message = format!(
                "The certificate authority '{}' demands strict mode, which this version does not \
                 have.",
                issuer.name
            );
            return refuse("issuer_strict_mode", message);
        }
        check_above(&issuer.name, &issuer.chain, self.clock.now())?;
        Ok(issuer)
    }

    /// Signs what was prepared with the key of `issuer`.
    ///
    /// # Errors
    /// `KeyUnavailable` when the key cannot be opened; `Internal` with code `issuer_key_mismatch`
    /// when it is not the key of the issuer's certificate; [`Failure::Internal`] when signing fails.
    pub(crate) async fn sign(
        &self,
        issuer: &StoredIssuer,
        prepared: PreparedCertificate,
    ) -> Result<IssuedCertificate, Failure> {
        let key = self.signing_key(issuer).await?;
        sign_with(prepared, key).await
    }

    async fn signing_key(&self, issuer: &StoredIssuer) -> Result<Arc<PrivateKey>, Failure> {
        let now = self.clock.now();
        let id = issuer.private_key_id;
        let cache_key = (id, issuer.certificate_id);
        if let Some(key) = self.signing_keys.find(&cache_key, now) {
            return Ok(key);
        }
        let owner = issuer.organization_id;
        let stored = self.store.find_private_key(owner, id).await?;
        let stored = stored.filter(|key| key.is_issuer_key).ok_or_else(|| {
            Failure::Internal(format!("issuer {} has no signing key {id}", issuer.id))
        })?;
        let opened = self
            .data_keys
            .open(
                (owner, Item::PrivateKey(id)),
                stored.encryption_key_id,
                &stored.sealed,
            )
            .await?;
        let key = PrivateKey::from_pkcs8_der(opened.expose()).map_err(|error| {
            Failure::Internal(format!("private key {id} is unreadable: {error}"))
        })?;
        if spki_sha256(key.subject_public_key_info()) != stored.spki_sha256 {
            return Err(Failure::Internal(format!(
                "private key {id} is not the one of its row"
            )));
        }
        check_key(issuer.id, &issuer.certificate_der, &key)?;
        let key = Arc::new(key);
        self.signing_keys.store(cache_key, Arc::clone(&key), now);
        Ok(key)
    }
}

/// Whether everyone above an issuer is still active: what is below one that was suspended signs
/// nothing either.
fn check_above(name: &str, chain: &[ChainLink], now: DateTime<Utc>) -> Result<(), Fault> {
    let Some(stopped) = chain
        .iter()
        .find(|link| !link.is_active || link.not_after < now)
    else {
        return Ok(());
    };
    let why = if stopped.is_active {
        "has ended"
    } else {
        "is not active"
    };
    let message = format!(
        "The certificate authority '{}' above '{name}' {why}, so nothing below it is signed. \
         Choose a certificate authority below another one.",
        stopped.name
    );
    let kind = ErrorKind::PolicyViolation;
    Err(Fault::new(kind, "issuer_not_active", message))
}

/// Whether a key is that of the issuer's certificate: with another one, nothing it signs could be
/// verified. A fault for people, so that the refusal is audited.
fn check_key(id: IssuerId, certificate_der: &[u8], key: &PrivateKey) -> Result<(), Failure> {
    let certificate = Certificate::from_der(certificate_der).map_err(|error| {
        Failure::Internal(format!(
            "the certificate of issuer {id} is unreadable: {error}"
        ))
    })?;
    if certificate.spki_der() == key.subject_public_key_info() {
        return Ok(());
    }
    tracing::error!(issuer_id = %id, "the signing key of an issuer is not that of its certificate");
    let message = "The signing key of the certificate authority is not that of its certificate. \
        Nothing was signed; an operator has to look at the row of the certificate authority.";
    Err(Fault::new(ErrorKind::Internal, "issuer_key_mismatch", message).into())
}

/// Signs what was prepared. RSA signatures are slow enough to be made on a thread of their own.
///
/// # Errors
/// [`Failure::Internal`].
pub(crate) async fn sign_with(
    prepared: PreparedCertificate,
    key: Arc<PrivateKey>,
) -> Result<IssuedCertificate, Failure> {
    let signed = if key.algorithm().is_rsa() {
        tokio::task::spawn_blocking(move || issue(prepared, key.as_ref()))
            .await
            .map_err(|error| Failure::Internal(error.to_string()))?
    } else {
        issue(prepared, key.as_ref())
    };
    signed.map_err(|error| Failure::Internal(error.to_string()))
}

impl StoredIssuer {
    /// What the issuer adds to each certificate.
    pub(crate) fn identity(&self) -> IssuerIdentity {
        IssuerIdentity {
            subject_der: self.subject_der.clone(),
            subject_key_identifier: self.subject_key_identifier.clone(),
            signature_algorithm: self.signature_algorithm,
            not_after: self.not_after,
        }
    }

    /// The certificates that prove what it signs, nearest first, without the root.
    pub(crate) fn chain_below_root(&self) -> Vec<ByteBuf> {
        let is_root = self.kind == clm_domain::states::IssuerKind::Root;
        let own = (!is_root).then_some(&self.certificate_der);
        let above = self.chain.iter().filter(|link| !link.is_root);
        own.into_iter()
            .chain(above.map(|link| &link.certificate_der))
            .map(|der| ByteBuf::from(der.clone()))
            .collect()
    }

    /// The issuer as the core sees it.
    pub(crate) fn to_reply(&self) -> CertificateAuthority {
        let chain = self
            .chain
            .iter()
            .map(|link| ByteBuf::from(link.certificate_der.clone()));
        CertificateAuthority {
            issuer_id: self.id,
            organization_id: self.organization_id,
            name: self.name.clone(),
            kind: self.kind,
            parent_issuer_id: self.parent_issuer_id,
            status: self.status,
            subject: self.subject.clone(),
            key_algorithm: self.key_algorithm,
            signature_algorithm: self.signature_algorithm,
            limits: self.limits.clone(),
            certificate_id: self.certificate_id,
            certificate_der: self.certificate_der.clone(),
            chain_der: chain.collect(),
            not_before: self.not_before,
            not_after: self.not_after,
            revision: self.revision,
            created_at: self.created_at,
        }
    }
}

/// The certificates of a chain but the root, which who verifies has already.
pub(crate) fn without_root(chain: impl IntoIterator<Item = ChainLink>) -> Vec<ByteBuf> {
    let below = chain.into_iter().filter(|link| !link.is_root);
    below
        .map(|link| ByteBuf::from(link.certificate_der))
        .collect()
}

#[cfg(test)]
mod tests;
