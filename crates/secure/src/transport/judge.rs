//! Whether a token or a certificate is good, and what is said when it is not.

use chrono::{DateTime, Utc};
use clm_domain::error::{ErrorKind, Fault};
use clm_pki::issue::IssuedCertificate;
use clm_secure_api::SecureError;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::identity::{Claim, Term};
use crate::error::Failure;
use crate::store::transport_peers::StoredPeer;

/// What is stored of secrets and certificates.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// What a caller hears of a failure.
pub(super) fn heard(failure: Failure, act: &'static str) -> SecureError {
    failure.into_fault(act).into()
}

/// What an audit event says of a certificate.
pub(super) fn certified(certificate: &IssuedCertificate, term: Term) -> Value {
    json!({
        "serial_number": hex::encode(certificate.serial.as_bytes()),
        "fingerprint_sha256": hex::encode(certificate.fingerprint_sha256),
        "not_after": term.not_after.to_rfc3339(),
    })
}

/// The peer that a certificate names, when it may call as what the certificate says.
pub(super) fn judge_peer(found: Option<StoredPeer>, claim: Claim) -> Result<StoredPeer, Fault> {
    let peer = found.filter(|peer| peer.paired_at.is_some() && peer.caller == claim.caller);
    let peer = peer.ok_or_else(certificate_unknown)?;
    if peer.revoked_at.is_some() {
        return Err(peer_revoked());
    }
    Ok(peer)
}

/// Whether a token may be used now.
pub(super) fn judge_token(peer: &StoredPeer, now: DateTime<Utc>) -> Result<(), Fault> {
    if peer.revoked_at.is_some() {
        return Err(refused_token("token_revoked", "was revoked"));
    }
    if peer.paired_at.is_some() {
        return Err(token_used());
    }
    if peer.token_expires_at <= now {
        return Err(refused_token("token_expired", "has expired"));
    }
    Ok(())
}

pub(super) fn token_unknown() -> Fault {
    refused_token("token_unknown", "is not one of this Secure Service")
}

pub(super) fn token_used() -> Fault {
    refused_token("token_used", "was used already")
}

fn refused_token(code: &'static str, why: &str) -> Fault {
    let message = format!("The pairing token {why}. Make another one with 'clm pair create'.");
    Fault::new(ErrorKind::Forbidden, code, message)
}

pub(super) fn certificate_unknown() -> Fault {
    let message = "The certificate is that of no program that was paired with this Secure Service.";
    Fault::new(ErrorKind::Unauthenticated, "certificate_unknown", message)
}

pub(super) fn certificate_expired() -> Fault {
    let message = "The certificate of this program has ended. Pair it again.";
    Fault::new(ErrorKind::Unauthenticated, "certificate_expired", message)
}

pub(super) fn peer_revoked() -> Fault {
    let message = "This program may not call the Secure Service any more: it was revoked.";
    Fault::new(ErrorKind::Unauthenticated, "peer_revoked", message)
}

pub(super) fn caller_mismatch() -> Fault {
    let message = "A program may neither call as another one than its certificate names, nor as an \
        operator of the machine of the Secure Service. This was recorded.";
    Fault::new(ErrorKind::Forbidden, "caller_mismatch", message)
}

pub(super) fn on_its_host_alone() -> Fault {
    let message = "The master key is split, replaced, backed up and sealed for good on the host of the \
        Secure Service alone: give the same command there. This was recorded.";
    Fault::new(ErrorKind::Forbidden, "only_on_its_host", message)
}
