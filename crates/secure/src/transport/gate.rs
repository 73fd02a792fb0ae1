//! The gate: who is let in, from the first token to the last certificate.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use clm_domain::actor::Actor;
use clm_domain::audit::SecureEvent;
use clm_domain::clock::whole_milliseconds;
use clm_domain::error::Fault;
use clm_domain::ids::TransportPeerId;
use clm_pki::csr::CertificationRequest;
use clm_secure_api::remote::{Gate, PairRequest, Peer, RenewRequest, TransportCertificate};
use clm_secure_api::{CallContext, Command, SecureError};
use serde_json::{Value, json};
use uuid::Uuid;

use super::identity::{self, KEY_ALGORITHM, ServerIdentity, Term, internal};
use super::judge::{
    caller_mismatch, certificate_expired, certificate_unknown, certified, heard, judge_peer,
    judge_token, on_its_host_alone, peer_revoked, sha256, token_unknown, token_used,
};
use crate::Secure;
use crate::audit::{RefusedAct, Stamp, cause, row};
use crate::cache::Cache;
use crate::error::Failure;
use crate::plan_fault::csr_fault;
use crate::rate::Rates;
use crate::store::transport_authorities::StoredAuthority;
use crate::store::transport_peers::{PeerCertificate, PeerKey, StoredPeer, caller_word};

/// How long a peer is taken for one that was not revoked, in seconds.
const KNOWN_SECONDS_MAX: i64 = 5;
/// Most certificates whose peers are remembered.
const KNOWN_MAX: usize = 256;
/// Shortest and longest lifetime of a certificate, in seconds.
const LIFETIME_SECONDS: std::ops::RangeInclusive<i64> = 60..=30 * 86_400;
/// Refusals of one peer, and of all who are none, that are recorded in any one minute. What comes
/// beyond is refused as well, and only logged: else whoever reaches the port could fill the log.
const REFUSALS_RECORDED_MAX: u32 = 60;

/// Lets programs in that were paired with this service.
pub struct TransportGate {
    secure: Arc<Secure>,
    authority: StoredAuthority,
    lifetime: TimeDelta,
    known: Cache<[u8; 32], Known>,
    /// Refusals that were recorded; all who are no peer share one window.
    recorded: Rates<Option<TransportPeerId>>,
}

#[derive(Clone)]
struct Known {
    peer: Peer,
    not_after: DateTime<Utc>,
}

impl TransportGate {
    /// The gate, with the authority in force; makes that one, with its key, when there is none.
    ///
    /// # Errors
    /// `Invalid` for a lifetime that is too short or too long; `KeyUnavailable` when the authority
    /// has to be made and the master key is sealed.
    pub async fn open(
        secure: &Arc<Secure>,
        certificate_lifetime: TimeDelta,
    ) -> Result<Arc<Self>, SecureError> {
        if !LIFETIME_SECONDS.contains(&certificate_lifetime.num_seconds()) {
            let message = "Certificates of the transport last one minute to thirty days.";
            return Err(Fault::invalid("lifetime_invalid", "lifetime", message).into());
        }
        let authority = secure.transport_authority().await;
        Ok(Arc::new(Self {
            authority: authority.map_err(|failure| heard(failure, "open_transport"))?,
            secure: Arc::clone(secure),
            lifetime: certificate_lifetime,
            known: Cache::new(KNOWN_MAX, Some(TimeDelta::seconds(KNOWN_SECONDS_MAX))),
            recorded: Rates::default(),
        }))
    }

    /// The certificate of the authority, DER.
    pub fn authority_der(&self) -> Vec<u8> {
        self.authority.certificate_der.clone()
    }

    /// A new key and certificate for the listener. It lives longer than those of peers and is
    /// renewed as often: a service that starts sealed cannot make another one.
    ///
    /// # Errors
    /// `KeyUnavailable` while the master key is sealed.
    pub async fn server_identity(&self) -> Result<ServerIdentity, SecureError> {
        let made = self.certify_server().await;
        made.map_err(|failure| heard(failure, "certify_transport_server"))
    }

    async fn certify_server(&self) -> Result<ServerIdentity, Failure> {
        let secure = &self.secure;
        secure.check_open()?;
        let key = secure.key_factory.generate(KEY_ALGORITHM).await?;
        let now = whole_milliseconds(secure.clock.now());
        let term = Term::of_server(now, self.lifetime);
        let plan = identity::server_plan(key.subject_public_key_info(), term)?;
        let certificate = secure
            .sign_as_transport_authority(&self.authority, &plan)
            .await?;
        let context = secure.transport_context(Actor::System);
        let rng = secure.rng.as_ref();
        let audit = row(
            SecureEvent::TransportServerCertified,
            &cause(&context),
            Some(self.authority.id.as_uuid()),
            certified(&certificate, term),
            Stamp { now, rng },
        );
        secure.store.record_audit(&audit).await?;
        Ok(ServerIdentity {
            certificate_der: certificate.der,
            private_key_der: key.to_pkcs8_der().map_err(internal)?,
            not_after: term.not_after,
            renew_at: term.renew_at,
        })
    }

    async fn find_caller(&self, certificate_der: &[u8]) -> Result<Known, Failure> {
        let Some(claim) = identity::read_claim(certificate_der) else {
            return Err(self.turn_away(None, certificate_unknown()).await);
        };
        if claim.not_after < self.secure.clock.now() {
            return Err(self
                .turn_away(Some(claim.peer_id), certificate_expired())
                .await);
        }
        let found = self
            .secure
            .store
            .find_transport_peer(PeerKey::Id(claim.peer_id))
            .await?;
        match judge_peer(found, claim) {
            Ok(peer) => Ok(Known {
                not_after: claim.not_after,
                peer: Peer {
                    id: peer.id,
                    name: peer.name,
                    caller: peer.caller,
                },
            }),
            Err(fault) => Err(self.turn_away(Some(claim.peer_id), fault).await),
        }
    }

    /// Records that somebody was not let in.
    async fn turn_away(&self, peer_id: Option<TransportPeerId>, fault: Fault) -> Failure {
        let act = RefusedAct {
            event: SecureEvent::CommandRefused,
            resource_id: peer_id.map(TransportPeerId::as_uuid),
            details: json!({ "peer_id": peer_id.map(|id| id.to_string()) }),
        };
        self.refused(peer_id, (Actor::Anonymous, act), fault.into())
            .await
    }

    /// Records a failure, as far as so many are recorded, and returns what is heard of it.
    async fn refused(
        &self,
        peer_id: Option<TransportPeerId>,
        (actor, act): (Actor, RefusedAct),
        failure: Failure,
    ) -> Failure {
        let now = self.secure.clock.now();
        if self
            .recorded
            .take(peer_id, REFUSALS_RECORDED_MAX, now)
            .is_err()
        {
            tracing::debug!(
                transport_peer.id = peer_id.map(tracing::field::display),
                refusal = %failure,
                "another refusal, which is not recorded: there were too many in a minute"
            );
            return failure;
        }
        let context = self.secure.transport_context(actor);
        self.secure.audited(&context, act, failure).await
    }

    async fn use_token(&self, request: &PairRequest) -> Result<TransportCertificate, Failure> {
        self.secure.check_open()?;
        let mut named = None;
        let failure = match self.try_token(request, &mut named).await {
            Ok(certificate) => return Ok(certificate),
            Err(failure) => failure,
        };
        let act = RefusedAct {
            event: SecureEvent::TransportPeerPaired,
            resource_id: named.map(TransportPeerId::as_uuid),
            details: json!({}),
        };
        let actor = Actor::Anonymous;
        Err(self.refused(named, (actor, act), failure).await)
    }

    async fn try_token(
        &self,
        request: &PairRequest,
        named: &mut Option<TransportPeerId>,
    ) -> Result<TransportCertificate, Failure> {
        let store = &self.secure.store;
        let found = store
            .find_transport_peer(PeerKey::TokenSha256(&sha256(&request.secret)))
            .await?;
        let peer = found.ok_or_else(token_unknown)?;
        *named = Some(peer.id);
        judge_token(&peer, self.secure.clock.now())?;
        let event = SecureEvent::TransportPeerPaired;
        let (issued, certificate) = self
            .certify_peer(&peer, &request.csr_der, (event, Actor::Anonymous))
            .await?;
        if store.pair_transport_peer(issued).await? {
            tracing::info!(transport_peer.name = peer.name, "a program was paired");
            return Ok(certificate);
        }
        Err(token_used().into())
    }

    async fn try_renew(
        &self,
        peer: &Peer,
        request: &RenewRequest,
    ) -> Result<TransportCertificate, Failure> {
        let store = &self.secure.store;
        let found = store.find_transport_peer(PeerKey::Id(peer.id)).await?;
        let stored = found
            .filter(|found| found.revoked_at.is_none())
            .ok_or_else(peer_revoked)?;
        let event = SecureEvent::TransportPeerRenewed;
        let (issued, certificate) = self
            .certify_peer(&stored, &request.csr_der, (event, Actor::System))
            .await?;
        if store.renew_transport_peer(issued).await? {
            return Ok(certificate);
        }
        Err(peer_revoked().into())
    }

    /// Signs a certificate for a peer. It must not leave before it is recorded.
    async fn certify_peer(
        &self,
        peer: &StoredPeer,
        csr_der: &[u8],
        (event, actor): (SecureEvent, Actor),
    ) -> Result<(PeerCertificate, TransportCertificate), Failure> {
        let secure = &self.secure;
        let request = CertificationRequest::from_der(csr_der).map_err(|error| csr_fault(&error))?;
        request
            .verify_proof_of_possession()
            .map_err(|error| csr_fault(&error))?;
        let now = whole_milliseconds(secure.clock.now());
        let term = Term::beginning(now, self.lifetime);
        let plan = identity::peer_plan(peer, request.spki_der(), term)?;
        let signed = secure
            .sign_as_transport_authority(&self.authority, &plan)
            .await?;
        let mut details = certified(&signed, term);
        if let Some(fields) = details.as_object_mut() {
            fields.insert("name".to_owned(), Value::from(peer.name.as_str()));
            let caller = caller_word(peer.caller);
            fields.insert("caller".to_owned(), Value::from(caller));
        }
        let rng = secure.rng.as_ref();
        let context = secure.transport_context(actor);
        let resource: Option<Uuid> = Some(peer.id.as_uuid());
        let audit = row(
            event,
            &cause(&context),
            resource,
            details,
            Stamp { now, rng },
        );
        let issued = PeerCertificate {
            peer_id: peer.id,
            sha256: signed.fingerprint_sha256,
            not_after: term.not_after,
            issued_at: now,
            audit,
        };
        let certificate = TransportCertificate {
            certificate_der: signed.der,
            authority_der: self.authority_der(),
            not_after: term.not_after,
            renew_at: term.renew_at,
        };
        Ok((issued, certificate))
    }
}

#[async_trait]
impl Gate for TransportGate {
    async fn identify(&self, certificate_der: &[u8]) -> Result<Peer, SecureError> {
        let now = self.secure.clock.now();
        let fingerprint = sha256(certificate_der);
        if let Some(known) = self.known.find(&fingerprint, now)
            && known.not_after >= now
        {
            return Ok(known.peer);
        }
        let found = self.find_caller(certificate_der).await;
        let known = found.map_err(|failure| heard(failure, "identify_transport_peer"))?;
        self.known.store(fingerprint, known.clone(), now);
        Ok(known.peer)
    }

    async fn refuse(&self, peer: &Peer, context: &CallContext, command: &Command) -> SecureError {
        let fault = match command.belongs_to_its_host() {
            true => on_its_host_alone(),
            false => caller_mismatch(),
        };
        let act = RefusedAct {
            event: SecureEvent::CommandRefused,
            resource_id: Some(peer.id.as_uuid()),
            details: json!({
                "command": command.name(),
                "peer": peer.name,
                "caller": caller_word(peer.caller),
                "claimed_caller": context.caller,
                "claimed_actor": context.actor.principal(),
                "claimed_organization_id": context.organization_id.to_string(),
                "claimed_request_id": context.request_id.to_string(),
            }),
        };
        let failure = self.refused(Some(peer.id), (Actor::System, act), fault.into());
        heard(failure.await, command.name())
    }

    async fn pair(&self, request: PairRequest) -> Result<TransportCertificate, SecureError> {
        let paired = self.use_token(&request).await;
        paired.map_err(|failure| heard(failure, "pair_transport_peer"))
    }

    async fn renew(
        &self,
        peer: &Peer,
        request: RenewRequest,
    ) -> Result<TransportCertificate, SecureError> {
        let renewed = match self.secure.check_open() {
            Ok(()) => self.try_renew(peer, &request).await,
            Err(failure) => return Err(heard(failure, "renew_transport_peer")),
        };
        let failure = match renewed {
            Ok(certificate) => return Ok(certificate),
            Err(failure) => failure,
        };
        let act = RefusedAct {
            event: SecureEvent::TransportPeerRenewed,
            resource_id: Some(peer.id.as_uuid()),
            details: json!({ "name": peer.name }),
        };
        let failure = self.refused(Some(peer.id), (Actor::System, act), failure);
        Err(heard(failure.await, "renew_transport_peer"))
    }
}
