//! Typed identifiers. Each is a UUID; the application makes UUIDv7 so that indexes stay local.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::{Rng, uuid_v7};

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an existing UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self { Self(uuid) }

            /// A fresh UUIDv7.
            pub fn generate(now: DateTime<Utc>, rng: &dyn Rng) -> Self { Self(uuid_v7(now, rng)) }

            /// The UUID inside.
            pub const fn as_uuid(self) -> Uuid { self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> { Uuid::parse_str(text).map(Self) }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self { Self(uuid) }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self { id.0 }
        }
    )+};
}

typed_ids! {
    /// An organization (tenant).
    OrganizationId,
    /// A user: a person or a service account.
    UserId,
    /// A role.
    RoleId,
    /// One assignment of a role to a user in an organization.
    RoleAssignmentId,
    /// An invitation to become a member of an organization.
    InvitationId,
    /// A link that went by mail and works once.
    OneTimeLinkId,
    /// A message to somebody.
    NotificationId,
    /// An API key.
    ApiKeyId,
    /// A sign-in session.
    SessionId,
    /// A certificate.
    CertificateId,
    /// A certificate request.
    CertificateRequestId,
    /// An issuer: a certificate authority with its key and certificate.
    IssuerId,
    /// A private key.
    PrivateKeyId,
    /// One version of an encryption key.
    EncryptionKeyId,
    /// One rotation of an encryption key.
    KeyRotationId,
    /// A secret that the core works with and does not hold.
    SealedSecretId,
    /// A policy.
    PolicyId,
    /// A workflow definition.
    WorkflowId,
    /// An audit event.
    AuditEventId,
    /// An outbox event.
    EventId,
    /// The authority that certifies the programs which call a Secure Service elsewhere.
    TransportAuthorityId,
    /// A program that calls a Secure Service elsewhere.
    TransportPeerId,
    /// One request to the platform, followed through logs and both audit logs.
    RequestId,
}

/// The organization that owns what is shared: public CAs of the platform, system roles, and audit
/// events of nobody.
pub const SYSTEM_ORGANIZATION: OrganizationId =
    OrganizationId(Uuid::from_u128(0x0000_0000_0000_0000_0000_0000_0000_0001));

/// Fixed identifiers of the six system roles, in the order in which the schema seeds them.
pub mod system_roles {
    use super::RoleId;
    use uuid::Uuid;

    const fn role(number: u128) -> RoleId {
        RoleId(Uuid::from_u128(0x0001_0000_0000_0000 + number))
    }

    /// `SYSTEM_ADMIN`
    pub const SYSTEM_ADMIN: RoleId = role(1);
    /// `CERT_ADMIN`
    pub const CERT_ADMIN: RoleId = role(2);
    /// `CERT_OPERATOR`
    pub const CERT_OPERATOR: RoleId = role(3);
    /// `APPROVER`
    pub const APPROVER: RoleId = role(4);
    /// `AUDITOR`
    pub const AUDITOR: RoleId = role(5);
    /// `USER`
    pub const USER: RoleId = role(6);
}
