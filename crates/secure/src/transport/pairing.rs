//! Who is invited, and who may not call any more: on the host of the Secure Service, with its
//! database alone. No key is needed, so that it works while the service is sealed or stopped.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use clm_database::Pool;
use clm_domain::actor::Actor;
use clm_domain::audit::{Cause, SecureEvent};
use clm_domain::clock::{Clock, Rng, random_bytes, whole_milliseconds};
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{RequestId, SYSTEM_ORGANIZATION, TransportPeerId};
use clm_secure_api::remote::token::SECRET_BYTES;
use clm_secure_api::{Caller, SecureError};
use serde_json::{Value, json};

use super::judge::{heard, sha256};
use crate::audit::{RefusedAct, Stamp, refusal_row, row};
use crate::error::Failure;
use crate::store::SecureStore;
use crate::store::transport_peers::{NewPeer, PeerKey, StoredPeer, caller_word};

/// Longest name, in characters: it is a common name.
const NAME_CHARACTERS_MAX: usize = 64;
/// Shortest and longest life of a token, in seconds.
const VALID_SECONDS: std::ops::RangeInclusive<i64> = 60..=24 * 3_600;

/// Invites, lists and revokes peers.
pub struct PairingAdmin {
    store: SecureStore,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

/// What a token is made of, beside the address.
pub struct Invitation {
    /// Known to nobody else: the database has its hash.
    pub secret: [u8; SECRET_BYTES],
    /// SHA-256 of the authority's certificate.
    pub authority_sha256: [u8; 32],
    /// The name of the peer.
    pub name: String,
    /// From then on the token is refused.
    pub expires_at: DateTime<Utc>,
}

/// How far a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Its token may be used.
    Invited,
    /// It may call.
    Paired,
    /// Its token, or its newest certificate, has expired.
    Expired,
    /// It may not call any more.
    Revoked,
}

impl PeerState {
    /// The word for people and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Paired => "paired",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// A peer, as people see it.
#[derive(Clone, Debug)]
pub struct PeerRecord {
    /// Its id, as in its certificates and in the audit log.
    pub id: TransportPeerId,
    /// How people call it.
    pub name: String,
    /// What it calls as.
    pub caller: Caller,
    /// How far it is.
    pub state: PeerState,
    /// When its token was made.
    pub created_at: DateTime<Utc>,
    /// When its token ends, or ended.
    pub token_expires_at: DateTime<Utc>,
    /// When its token was used.
    pub paired_at: Option<DateTime<Utc>>,
    /// When its newest certificate but the first was issued.
    pub renewed_at: Option<DateTime<Utc>>,
    /// When its newest certificate ends.
    pub certificate_not_after: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl PairingAdmin {
    /// On `pool`, signed in to `clm_secure_db` as `clm_secure_user`.
    pub fn new(pool: Pool, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self {
            store: SecureStore::new(pool),
            clock,
            rng,
        }
    }

    /// Makes a one-time token for a new peer.
    ///
    /// # Errors
    /// `Conflict` with code `transport_authority_missing` before the first start of a Secure
    /// Service in a process of its own, and `name_taken`; `Invalid` for a name, caller or time that
    /// cannot be.
    pub async fn invite(
        &self,
        actor: &Actor,
        name: &str,
        caller: Caller,
        valid: TimeDelta,
    ) -> Result<Invitation, SecureError> {
        let failure = match self.try_invite(actor, (name, caller), valid).await {
            Ok(invitation) => return Ok(invitation),
            Err(failure) => failure,
        };
        let act = RefusedAct {
            event: SecureEvent::TransportPeerInvited,
            resource_id: None,
            details: json!({ "name": name, "caller": caller }),
        };
        Err(self.refused(actor, act, failure).await)
    }

    async fn try_invite(
        &self,
        actor: &Actor,
        (name, caller): (&str, Caller),
        valid: TimeDelta,
    ) -> Result<Invitation, Failure> {
        check_name(name)?;
        let word = caller_word(caller).ok_or_else(|| {
            let message = "Only a core calls from another process.";
            Fault::invalid("caller_invalid", "caller", message)
        })?;
        if !VALID_SECONDS.contains(&valid.num_seconds()) {
            let message = "A token is valid for one minute to one day.";
            return Err(Fault::invalid("validity_invalid", "valid", message).into());
        }
        let authority = self.store.find_transport_authority().await?;
        let authority = authority.ok_or_else(authority_missing)?;
        let now = whole_milliseconds(self.clock.now());
        let secret: [u8; SECRET_BYTES] = random_bytes(self.rng.as_ref());
        let id = TransportPeerId::generate(now, self.rng.as_ref());
        let expires_at = now + valid;
        let details = json!({
            "name": name, "caller": word, "token_expires_at": expires_at.to_rfc3339(),
        });
        let new = NewPeer {
            id,
            name: name.to_owned(),
            caller: word,
            token_sha256: sha256(&secret),
            token_expires_at: expires_at,
            created_at: now,
            audit: self.row(SecureEvent::TransportPeerInvited, actor, id, details),
        };
        match self.store.insert_transport_peer(new).await {
            Ok(()) => {}
            Err(error) if error.is_duplicate_of("ux_transport_peers_organization_id_name") => {
                return Err(name_taken(name).into());
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Invitation {
            secret,
            authority_sha256: sha256(&authority.certificate_der),
            name: name.to_owned(),
            expires_at,
        })
    }

    /// All peers, newest first; at most a thousand.
    ///
    /// # Errors
    /// `Upstream` when the database does not answer.
    pub async fn peers(&self) -> Result<Vec<PeerRecord>, SecureError> {
        let peers = self.store.list_transport_peers().await;
        let peers = peers.map_err(|error| heard(error.into(), "list_transport_peers"))?;
        let now = self.clock.now();
        Ok(peers.into_iter().map(|peer| record(peer, now)).collect())
    }

    /// Forbids a peer to call, and its token to be used: within five seconds everywhere.
    ///
    /// # Errors
    /// `NotFound` when no peer has that name now.
    pub async fn revoke(&self, actor: &Actor, name: &str) -> Result<(), SecureError> {
        let failure = match self.try_revoke(actor, name).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let act = RefusedAct {
            event: SecureEvent::TransportPeerRevoked,
            resource_id: None,
            details: json!({ "name": name }),
        };
        Err(self.refused(actor, act, failure).await)
    }

    async fn try_revoke(&self, actor: &Actor, name: &str) -> Result<(), Failure> {
        // A name that cannot be stored cannot be looked for either.
        check_name(name)?;
        let peer = self.store.find_transport_peer(PeerKey::Name(name)).await?;
        let peer = peer.ok_or_else(|| Fault::not_found("peer of that name"))?;
        let event = SecureEvent::TransportPeerRevoked;
        let details = json!({ "name": name, "caller": caller_word(peer.caller) });
        let audit = self.row(event, actor, peer.id, details);
        let now = whole_milliseconds(self.clock.now());
        // False when somebody else did it meanwhile: it is done.
        self.store
            .revoke_transport_peer(peer.id, now, audit)
            .await?;
        Ok(())
    }

    fn row(
        &self,
        event: SecureEvent,
        actor: &Actor,
        id: TransportPeerId,
        details: Value,
    ) -> clm_domain::audit::AuditRow {
        let stamp = self.stamp();
        let resource = Some(id.as_uuid());
        row(event, &cause(actor, stamp), resource, details, stamp)
    }

    fn stamp(&self) -> Stamp<'_> {
        Stamp {
            now: self.clock.now(),
            rng: self.rng.as_ref(),
        }
    }

    /// Records a refusal, and returns what is heard of it.
    async fn refused(&self, actor: &Actor, act: RefusedAct, failure: Failure) -> SecureError {
        let name = act.event.code();
        let failure = match failure {
            Failure::Refused(fault) => {
                let stamp = self.stamp();
                let row = refusal_row(&cause(actor, stamp), act, &fault, stamp);
                let recorded = self.store.record_audit(&row).await;
                recorded.map_or_else(Failure::Audit, |()| Failure::Refused(fault))
            }
            other => other,
        };
        heard(failure, name)
    }
}

fn cause<'a>(actor: &'a Actor, stamp: Stamp<'_>) -> Cause<'a> {
    Cause {
        actor,
        organization_id: SYSTEM_ORGANIZATION,
        request_id: RequestId::generate(stamp.now, stamp.rng),
    }
}

fn record(peer: StoredPeer, now: DateTime<Utc>) -> PeerRecord {
    let is_over = peer.certificate_not_after.unwrap_or(peer.token_expires_at) <= now;
    let state = match (peer.revoked_at, peer.paired_at) {
        (Some(_), _) => PeerState::Revoked,
        _ if is_over => PeerState::Expired,
        (None, Some(_)) => PeerState::Paired,
        (None, None) => PeerState::Invited,
    };
    PeerRecord {
        id: peer.id,
        name: peer.name,
        caller: peer.caller,
        state,
        created_at: peer.created_at,
        token_expires_at: peer.token_expires_at,
        paired_at: peer.paired_at,
        renewed_at: peer.renewed_at,
        certificate_not_after: peer.certificate_not_after,
        revoked_at: peer.revoked_at,
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_name = (1..=NAME_CHARACTERS_MAX).contains(&name.len())
        && name.bytes().all(is_usual)
        && !name.starts_with('-');
    if is_name {
        return Ok(());
    }
    let message = format!(
        "The name must have 1 to {NAME_CHARACTERS_MAX} letters, digits and hyphens, such as core-1."
    );
    Err(Fault::invalid("name_invalid", "name", message))
}

fn authority_missing() -> Fault {
    let message = "There is no authority for other processes yet: it is made when the Secure \
        Service starts in a process of its own for the first time (clm serve --role secure).";
    Fault::new(ErrorKind::Conflict, "transport_authority_missing", message)
}

fn name_taken(name: &str) -> Fault {
    let message = format!(
        "There is a peer called '{name}'. Choose another name, or revoke that one first (clm pair \
         revoke)."
    );
    Fault::new(ErrorKind::Conflict, "name_taken", message.clone()).with_violation("name", message)
}
