//! The certificates of the transport: what each says, and how one is read. Nothing here knows a
//! database.

use chrono::{DateTime, TimeDelta, Utc};
use clm_domain::certificate_plan::{
    BasicConstraints, CertificatePlan, KeyUsage, extended_key_usage,
};
use clm_domain::general_name::GeneralName;
use clm_domain::ids::TransportPeerId;
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::oid::Oid;
use clm_domain::secret::SecretBytes;
use clm_domain::states::CertificateType;
use clm_pki::certificate::Certificate;
use clm_pki::issue::IssuerIdentity;
use clm_pki::key::PublicKey;
use clm_pki::name::from_rfc4514;
use clm_secure_api::Caller;
use clm_secure_api::remote::SERVER_NAME;

use crate::error::Failure;
use crate::store::transport_peers::{StoredPeer, caller_word, read_caller};

/// The key of the authority, and of the listener.
pub(super) const KEY_ALGORITHM: KeyAlgorithm = KeyAlgorithm::EcdsaP256;
/// Validity of the authority: it has no successor yet.
const AUTHORITY_DAYS: i64 = 10 * 365;
/// Validity of the listener, in days.
const SERVER_DAYS: i64 = 90;
/// Certificates begin a little in the past: the clocks of two hosts differ.
const SKEW_MINUTES: i64 = 5;
/// The name of a caller in its certificate, before the caller.
const CALLER_PREFIX: &str = "urn:clm:caller:";
/// The name of a peer in its certificate, before its id.
const PEER_PREFIX: &str = "urn:uuid:";

/// The certificate of the listener, with its key.
pub struct ServerIdentity {
    /// DER.
    pub certificate_der: Vec<u8>,
    /// PKCS#8, DER.
    pub private_key_der: SecretBytes,
    /// End of validity.
    pub not_after: DateTime<Utc>,
    /// When the next one should be made.
    pub renew_at: DateTime<Utc>,
}

/// Whose certificate it is, by its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) peer_id: TransportPeerId,
    pub(super) caller: Caller,
    pub(super) not_after: DateTime<Utc>,
}

/// From when to when a certificate is valid, and when to renew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) not_before: DateTime<Utc>,
    pub(super) not_after: DateTime<Utc>,
    pub(super) renew_at: DateTime<Utc>,
}

impl Term {
    /// From now on, for `lifetime`; renewed after two thirds.
    pub(super) fn beginning(now: DateTime<Utc>, lifetime: TimeDelta) -> Self {
        let now = DateTime::from_timestamp(now.timestamp(), 0).unwrap_or(now);
        Self {
            not_before: now - TimeDelta::minutes(SKEW_MINUTES),
            not_after: now + lifetime,
            renew_at: now + lifetime * 2 / 3,
        }
    }

    /// The term of the listener, renewed as often as certificates of this lifetime.
    pub(super) fn of_server(now: DateTime<Utc>, lifetime: TimeDelta) -> Self {
        let term = Self::beginning(now, lifetime);
        Self {
            not_after: term.not_after - lifetime + TimeDelta::days(SERVER_DAYS),
            ..term
        }
    }
}

/// The plan of the authority's own certificate, with a random part in its name so that no two
/// installations have authorities of one name.
pub(super) fn authority_plan(
    spki_der: &[u8],
    distinction: [u8; 8],
    now: DateTime<Utc>,
) -> Result<CertificatePlan, Failure> {
    let term = Term::beginning(now, TimeDelta::days(AUTHORITY_DAYS));
    let name = format!("CN=clm transport authority {}", hex::encode(distinction));
    let mut plan = plan((CertificateType::Root, &name), spki_der, term)?;
    plan.basic_constraints = Some(BasicConstraints {
        certificate_authority: true,
        path_length_max: Some(0),
    });
    plan.key_usage = KeyUsage {
        key_cert_sign: true,
        ..KeyUsage::default()
    };
    Ok(plan)
}

/// The plan of the listener's certificate.
pub(super) fn server_plan(spki_der: &[u8], term: Term) -> Result<CertificatePlan, Failure> {
    let name = format!("CN={SERVER_NAME}");
    let mut plan = plan((CertificateType::Server, &name), spki_der, term)?;
    plan.extended_key_usage = vec![purpose(extended_key_usage::SERVER_AUTH)?];
    plan.subject_alternative_names = vec![GeneralName::Dns(SERVER_NAME.to_owned())];
    Ok(plan)
}

/// The plan of a peer's certificate. What its request says beside the key is not looked at.
pub(super) fn peer_plan(
    peer: &StoredPeer,
    spki_der: &[u8],
    term: Term,
) -> Result<CertificatePlan, Failure> {
    let caller = caller_word(peer.caller)
        .ok_or_else(|| Failure::Internal("a peer of a caller that has none".to_owned()))?;
    // The name is one that `pairing` took: letters, digits and hyphens.
    let name = format!("CN={}", peer.name);
    let mut plan = plan((CertificateType::Client, &name), spki_der, term)?;
    plan.extended_key_usage = vec![purpose(extended_key_usage::CLIENT_AUTH)?];
    plan.subject_alternative_names = vec![
        GeneralName::Uri(format!("{CALLER_PREFIX}{caller}")),
        GeneralName::Uri(format!("{PEER_PREFIX}{}", peer.id)),
    ];
    Ok(plan)
}

fn plan(
    (certificate_type, name): (CertificateType, &str),
    spki_der: &[u8],
    term: Term,
) -> Result<CertificatePlan, Failure> {
    let subject = from_rfc4514(name).map_err(internal)?;
    let key = PublicKey::from_spki_der(spki_der).map_err(internal)?;
    let mut plan = CertificatePlan::end_entity(
        certificate_type,
        subject,
        spki_der.to_vec(),
        key.algorithm(),
        (term.not_before, term.not_after),
    );
    plan.key_usage.digital_signature = true;
    Ok(plan)
}

/// What the authority adds to the certificates that it signs.
pub(super) fn issuer(authority_der: &[u8]) -> Result<IssuerIdentity, Failure> {
    let certificate = Certificate::from_der(authority_der).map_err(internal)?;
    let key_identifier = certificate.subject_key_identifier();
    Ok(IssuerIdentity {
        subject_der: certificate.subject_der().to_vec(),
        subject_key_identifier: key_identifier
            .ok_or_else(|| internal("the transport authority has no key identifier"))?,
        signature_algorithm: KEY_ALGORITHM.default_signature(),
        not_after: certificate.not_after(),
    })
}

/// Reads whose certificate this is; none when it is no peer's.
pub(super) fn read_claim(certificate_der: &[u8]) -> Option<Claim> {
    let certificate = Certificate::from_der(certificate_der).ok()?;
    let names = certificate.subject_alternative_names().ok()?;
    let [GeneralName::Uri(caller), GeneralName::Uri(peer_id)] = names.as_slice() else {
        return None;
    };
    Some(Claim {
        peer_id: peer_id.strip_prefix(PEER_PREFIX)?.parse().ok()?,
        caller: read_caller(caller.strip_prefix(CALLER_PREFIX)?)?,
        not_after: certificate.not_after(),
    })
}

fn purpose(oid: &str) -> Result<Oid, Failure> {
    oid.parse().map_err(internal)
}

/// Nothing that anybody sent can cause it.
pub(super) fn internal(error: impl std::fmt::Display) -> Failure {
    Failure::Internal(error.to_string())
}
