//! The authority: found, or made once, and its key opened for each signature. The key is not kept
//! in memory: it signs a few certificates a week.

use std::sync::Arc;

use clm_domain::actor::Actor;
use clm_domain::audit::SecureEvent;
use clm_domain::certificate_plan::CertificatePlan;
use clm_domain::clock::{random_bytes, whole_milliseconds};
use clm_domain::ids::{RequestId, SYSTEM_ORGANIZATION, TransportAuthorityId};
use clm_pki::certificate::Certificate;
use clm_pki::issue::{IssuedCertificate, IssuerIdentity, prepare};
use clm_pki::key::PrivateKey;
use clm_pki::serial::SerialNumber;
use clm_secure_api::{CallContext, Caller};
use serde_json::json;

use super::identity::{self, KEY_ALGORITHM, internal};
use crate::Secure;
use crate::audit::{Stamp, cause, row};
use crate::data_keys::Item;
use crate::error::Failure;
use crate::in_force::sealed;
use crate::issuers::sign_with;
use crate::plan_fault::prepare_fault;
use crate::store::private_keys::KeyPurpose;
use crate::store::transport_authorities::{NewAuthority, StoredAuthority};

impl Secure {
    /// The authority in force. When there is none yet, it is made, unless another process is
    /// faster.
    pub(super) async fn transport_authority(&self) -> Result<StoredAuthority, Failure> {
        if let Some(found) = self.store.find_transport_authority().await? {
            return Ok(found);
        }
        self.check_open()?;
        let new = self.make_transport_authority().await?;
        if self.store.insert_transport_authority(new).await? {
            tracing::info!("made the authority for programs that call from elsewhere");
        }
        let found = self.store.find_transport_authority().await?;
        found.ok_or_else(|| internal("a new transport authority is not there"))
    }

    async fn make_transport_authority(&self) -> Result<NewAuthority, Failure> {
        let now = whole_milliseconds(self.clock.now());
        let context = self.transport_context(Actor::System);
        let key = Arc::new(self.key_factory.generate(KEY_ALGORITHM).await?);
        let distinction = random_bytes(self.rng.as_ref());
        let plan = identity::authority_plan(key.subject_public_key_info(), distinction, now)?;
        let issuer = IssuerIdentity::self_signed(&plan, KEY_ALGORITHM.default_signature())
            .map_err(|error| prepare_fault(&error))?;
        let certificate = self.sign_plan(&plan, &issuer, Arc::clone(&key)).await?;
        let private_key = self
            .seal_new_key(&context, &key, KeyPurpose::Issuer)
            .await?;
        let id = TransportAuthorityId::generate(now, self.rng.as_ref());
        let details = json!({
            "private_key_id": private_key.id.to_string(),
            "fingerprint_sha256": hex::encode(certificate.fingerprint_sha256),
            "not_after": plan.not_after.to_rfc3339(),
        });
        let rng = self.rng.as_ref();
        let event = SecureEvent::TransportAuthorityCreated;
        let resource = Some(id.as_uuid());
        let audit = row(
            event,
            &cause(&context),
            resource,
            details,
            Stamp { now, rng },
        );
        Ok(NewAuthority {
            id,
            private_key,
            certificate_der: certificate.der,
            not_after: plan.not_after,
            created_at: now,
            audit,
        })
    }

    /// Signs a plan as the authority.
    pub(super) async fn sign_as_transport_authority(
        &self,
        authority: &StoredAuthority,
        plan: &CertificatePlan,
    ) -> Result<IssuedCertificate, Failure> {
        let issuer = identity::issuer(&authority.certificate_der)?;
        let key = self.open_transport_key(authority).await?;
        self.sign_plan(plan, &issuer, Arc::new(key)).await
    }

    async fn sign_plan(
        &self,
        plan: &CertificatePlan,
        issuer: &IssuerIdentity,
        key: Arc<PrivateKey>,
    ) -> Result<IssuedCertificate, Failure> {
        let serial = SerialNumber::from_random(random_bytes(self.rng.as_ref()));
        let prepared = prepare(plan, issuer, serial).map_err(|error| prepare_fault(&error))?;
        sign_with(prepared, key).await
    }

    async fn open_transport_key(&self, authority: &StoredAuthority) -> Result<PrivateKey, Failure> {
        let id = authority.private_key_id;
        let stored = self.store.find_private_key(SYSTEM_ORGANIZATION, id).await?;
        let stored = stored
            .filter(|key| key.is_issuer_key)
            .ok_or_else(|| internal(format!("the transport authority has no signing key {id}")))?;
        let place = (SYSTEM_ORGANIZATION, Item::PrivateKey(id));
        let opened = self
            .data_keys
            .open(place, stored.encryption_key_id, &stored.sealed)
            .await?;
        let key = PrivateKey::from_pkcs8_der(opened.expose()).map_err(internal)?;
        let certificate = Certificate::from_der(&authority.certificate_der).map_err(internal)?;
        if certificate.spki_der() != key.subject_public_key_info() {
            return Err(internal(format!(
                "private key {id} is not that of the transport authority's certificate"
            )));
        }
        Ok(key)
    }

    /// Refuses while the master key is sealed. As with commands, that is not audited.
    pub(super) fn check_open(&self) -> Result<(), Failure> {
        if !self.is_sealed() {
            return Ok(());
        }
        self.forget_keys();
        Err(sealed(&self.master_keys.status(self.clock.now())).into())
    }

    /// The context of an act of the transport, which no command causes.
    pub(super) fn transport_context(&self, actor: Actor) -> CallContext {
        let now = self.clock.now();
        CallContext {
            caller: Caller::Core,
            actor,
            organization_id: SYSTEM_ORGANIZATION,
            request_id: RequestId::generate(now, self.rng.as_ref()),
            idempotency_key: None,
            deadline: now,
        }
    }
}
