//! Value sets that both databases check: stored as text, typed here.

use serde::{Deserialize, Serialize};

/// A text is not in the value set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{value}' is no {set}")]
pub struct UnknownValue {
    /// The name of the value set.
    pub set: &'static str,
    /// What was found.
    pub value: String,
}

macro_rules! value_set {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// Every value, in the order of the schema.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stored text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownValue;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(UnknownValue {
                        set: stringify!($name),
                        value: text.chars().take(64).collect(),
                    }),
                }
            }
        }
    };
}

value_set! {
    /// What a certificate is for.
    CertificateType {
        /// A self-signed CA.
        Root = "root",
        /// A CA below another.
        Intermediate = "intermediate",
        /// An end entity without a narrower purpose.
        Leaf = "leaf",
        /// TLS client.
        Client = "client",
        /// TLS server.
        Server = "server",
        /// Code signing.
        CodeSigning = "code_signing",
        /// S/MIME.
        Email = "email",
    }
}

value_set! {
    /// Where a certificate is in its life.
    CertificateStatus {
        /// Not yet usable.
        Pending = "pending",
        /// In force.
        Active = "active",
        /// In force and due for renewal.
        Expiring = "expiring",
        /// Past its validity.
        Expired = "expired",
        /// Revoked.
        Revoked = "revoked",
        /// On hold.
        Suspended = "suspended",
    }
}

value_set! {
    /// Where a certificate request is in its life.
    CertificateRequestStatus {
        /// Being written.
        Draft = "draft",
        /// Waiting for approval.
        Pending = "pending",
        /// Approved, not yet issued.
        Approved = "approved",
        /// Being issued.
        Issuing = "issuing",
        /// Refused.
        Rejected = "rejected",
        /// Its certificate exists.
        Fulfilled = "fulfilled",
        /// Issuance failed.
        Failed = "failed",
        /// Nobody decided in time.
        Expired = "expired",
        /// Withdrawn.
        Cancelled = "cancelled",
    }
}

value_set! {
    /// Kinds of encryption keys (NIST SP 800-57 part 1 §5.1).
    EncryptionKeyType {
        /// Wraps data keys.
        Master = "master",
        /// Seals the data of one organization.
        Data = "data",
        /// Protects sessions.
        Session = "session",
        /// Authenticates data.
        Hmac = "hmac",
    }
}

value_set! {
    /// Who holds the master key.
    MasterKeyProviderKind {
        /// A file of the server's account.
        File = "file",
        /// A credential that systemd hands to the service.
        Credential = "credential",
        /// An environment variable.
        Environment = "environment",
        /// Custodians, of whom some together open it.
        Shamir = "shamir",
    }
}

value_set! {
    /// Key states (after NIST SP 800-57 part 1 §7).
    EncryptionKeyStatus {
        /// Seals and opens.
        Active = "active",
        /// Being replaced.
        Rotating = "rotating",
        /// Opens only.
        Retired = "retired",
        /// Must not be used.
        Revoked = "revoked",
        /// Material is gone.
        Destroyed = "destroyed",
    }
}

value_set! {
    /// Why an encryption key is rotated.
    KeyRotationType {
        /// Its time had come.
        Scheduled = "scheduled",
        /// It has to be replaced at once; nothing is known to be exposed.
        Emergency = "emergency",
        /// It is known to others: what it sealed counts as exposed.
        Compromise = "compromise",
        /// Somebody wished it.
        Manual = "manual",
    }
}

value_set! {
    /// Where the rotation of an encryption key is in its life.
    KeyRotationStatus {
        /// Secrets are being sealed anew.
        InProgress = "in_progress",
        /// Nothing is sealed under the old key any more.
        Completed = "completed",
        /// Something stays under the old key.
        Failed = "failed",
        /// It was cancelled, and the old key is in use again.
        RolledBack = "rolled_back",
    }
}

value_set! {
    /// What became of the second factor in a session.
    SessionSecondFactor {
        /// The user had none when signing in.
        None = "none",
        /// Nothing is allowed before a code of it.
        Owed = "owed",
        /// A code came.
        Passed = "passed",
    }
}

value_set! {
    /// Status of a user.
    UserStatus {
        /// May sign in.
        Active = "active",
        /// Left, or not yet arrived.
        Inactive = "inactive",
        /// Locked after failures.
        Locked = "locked",
        /// Suspended by an administrator.
        Suspended = "suspended",
    }
}

value_set! {
    /// Who is behind a user.
    UserType {
        /// Somebody who signs in.
        Person = "person",
        /// A program, which has API keys and cannot sign in.
        Service = "service",
    }
}

value_set! {
    /// Status of an organization.
    OrganizationStatus {
        /// In use.
        Active = "active",
        /// Read only.
        Suspended = "suspended",
        /// Nothing is allowed.
        Inactive = "inactive",
    }
}

value_set! {
    /// Status of a membership.
    MembershipStatus {
        /// May act in the organization.
        Active = "active",
        /// May not, for the time being.
        Suspended = "suspended",
    }
}

value_set! {
    /// Kind of a certificate authority.
    IssuerKind {
        /// Self-signed.
        Root = "root",
        /// Signed by another CA.
        Intermediate = "intermediate",
    }
}

value_set! {
    /// Status of a certificate authority.
    IssuerStatus {
        /// Issues.
        Active = "active",
        /// Does not issue for now.
        Suspended = "suspended",
        /// Does not issue any more.
        Retired = "retired",
    }
}

value_set! {
    /// Where a certificate is used.
    DeploymentEnvironment {
        /// Production.
        Production = "production",
        /// Staging.
        Staging = "staging",
        /// Development.
        Development = "development",
        /// Testing.
        Testing = "testing",
    }
}

value_set! {
    /// How grave an audit event is.
    Severity {
        /// Normal.
        Info = "info",
        /// Worth a look.
        Warning = "warning",
        /// Something failed.
        Error = "error",
        /// Act at once.
        Critical = "critical",
    }
}

value_set! {
    /// How an audited act ended.
    AuditResult {
        /// It was done.
        Success = "success",
        /// It was refused or failed.
        Failure = "failure",
        /// Some of it was done.
        Partial = "partial",
    }
}

value_set! {
    /// What a sealed secret is for.
    SecretPurpose {
        /// The shared secret of a second factor; only used by the Secure Service.
        Totp = "totp",
        /// Signs messages; only used by the Secure Service.
        Webhook = "webhook",
        /// Signs in elsewhere; the core may have it opened.
        Connector = "connector",
    }
}
