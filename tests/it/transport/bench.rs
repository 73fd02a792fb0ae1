//! What these tests work with: a Secure Service with its gate, and a program that is paired with it.

use std::sync::Arc;

use chrono::TimeDelta;
use clm_domain::actor::Actor;
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::secret::SecretBytes;
use clm_pki::csr::build_request;
use clm_pki::key::PrivateKey;
use clm_pki::name::from_rfc4514;
use clm_secure::Secure;
use clm_secure::transport::TransportGate;
use clm_secure::transport::pairing::{Invitation, PairingAdmin, PeerRecord};
use clm_secure_api::remote::{Gate as _, PairRequest, TransportCertificate};
use clm_secure_api::{Caller, SecureError};

use crate::key_rotation::bench::Bench as Service;

/// The operator on the host of the Secure Service.
pub(super) const OPERATOR: Actor = Actor::LocalOperator { uid: 1000 };

pub(super) struct Bench {
    pub(super) service: Service,
    pub(super) gate: Arc<TransportGate>,
    pub(super) admin: PairingAdmin,
}

impl Bench {
    pub(super) async fn start() -> Self {
        let service = Service::start().await;
        let gate = open(service.secure()).await;
        let admin = admin(&service);
        Self {
            service,
            gate,
            admin,
        }
    }

    /// Invites a core for a quarter of an hour.
    pub(super) async fn invite(&self, name: &str) -> Result<Invitation, SecureError> {
        let valid = TimeDelta::minutes(15);
        self.admin
            .invite(&OPERATOR, name, Caller::Core, valid)
            .await
    }

    /// Pairs a new core.
    pub(super) async fn pair(&self, name: &str) -> (TransportCertificate, SecretBytes) {
        let invitation = self.invite(name).await.unwrap();
        let (csr_der, key) = request();
        let request = PairRequest {
            secret: invitation.secret,
            csr_der,
        };
        (self.gate.pair(request).await.unwrap(), key)
    }

    pub(super) async fn peer(&self, name: &str) -> PeerRecord {
        let mut peers = self.admin.peers().await.unwrap();
        peers.retain(|peer| peer.name == name);
        assert_eq!(peers.len(), 1, "{peers:?}");
        peers.remove(0)
    }

    /// How often a peer of this certificate is heard: its name, or the code of the refusal.
    pub(super) async fn identify(&self, certificate: &TransportCertificate) -> String {
        match self.gate.identify(&certificate.certificate_der).await {
            Ok(peer) => peer.name,
            Err(error) => error.0.code.into_owned(),
        }
    }

    /// The events of a code, as result, code of the refusal, actor and id of the resource.
    pub(super) async fn events(&self, code: &str) -> Vec<Event> {
        sqlx::query_as(
            "SELECT result, coalesce(details ->> 'code', '') AS code, actor_type,
                coalesce(resource_id::text, '') AS resource_id
             FROM secure_audit_log WHERE event_code = $1 ORDER BY event_timestamp, id",
        )
        .bind(code)
        .fetch_all(&self.service.admin)
        .await
        .unwrap()
    }

    /// The results of the events of a code: `success`, or the code of the refusal; in order of the
    /// alphabet, since all of one moment are equally old.
    pub(super) async fn results(&self, code: &str) -> Vec<String> {
        let events = self.events(code).await;
        let result = |event: Event| match event.result.as_str() {
            "success" => event.result,
            _ => event.code,
        };
        let mut results: Vec<String> = events.into_iter().map(result).collect();
        results.sort_unstable();
        results
    }
}

#[derive(Debug, sqlx::FromRow)]
pub(super) struct Event {
    pub(super) result: String,
    pub(super) code: String,
    pub(super) actor_type: String,
    pub(super) resource_id: String,
}

/// The gate of a process, with certificates of seven days.
pub(super) async fn open(secure: &Arc<Secure>) -> Arc<TransportGate> {
    TransportGate::open(secure, TimeDelta::days(7))
        .await
        .unwrap()
}

pub(super) fn admin(service: &Service) -> PairingAdmin {
    let (clock, rng) = (Arc::clone(&service.clock), service.another_rng());
    PairingAdmin::new(service.pool(), clock, rng)
}

/// A request of a new key, and the key.
pub(crate) fn request() -> (Vec<u8>, SecretBytes) {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let subject = from_rfc4514("CN=whatever a stranger says").unwrap();
    let csr = build_request(&subject, &[], &key).unwrap();
    (csr, key.to_pkcs8_der().unwrap())
}

/// The same with another signature than the key makes.
pub(super) fn forged_request() -> Vec<u8> {
    let (mut csr, _) = request();
    let last = csr.len() - 1;
    csr[last] ^= 1;
    csr
}
