//! The typed list of audit events of both logs, the row that each becomes, and its canonical
//! encoding.
//!
//! A row is encoded from exactly what is stored, so that anyone can recompute it: see
//! [`AuditRow::canonical_bytes`].

use chrono::{DateTime, Utc};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::actor::Actor;
use crate::clock::{Rng, whole_milliseconds};
use crate::ids::{AuditEventId, OrganizationId, RequestId};
use crate::states::{AuditResult, Severity};

macro_rules! audit_events {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal, $category:literal, $resource:literal, $severity:ident;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every event of this log.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable code, such as `certificate.issued`.
            pub const fn code(self) -> &'static str { match self { $(Self::$variant => $code),+ } }

            /// The category.
            pub const fn category(self) -> &'static str { match self { $(Self::$variant => $category),+ } }

            /// The type of the resource.
            pub const fn resource_type(self) -> &'static str { match self { $(Self::$variant => $resource),+ } }

            /// The severity of a success; refusals weigh at least a warning.
            pub const fn severity(self) -> Severity { match self { $(Self::$variant => Severity::$severity),+ } }
        }

        impl From<$name> for EventType {
            fn from(event: $name) -> Self {
                Self {
                    code: event.code(),
                    category: event.category(),
                    resource_type: event.resource_type(),
                    severity: event.severity(),
                }
            }
        }
    };
}

/// What all events of one kind share.
#[derive(Clone, Copy, Debug)]
pub struct EventType {
    /// The stable code.
    pub code: &'static str,
    /// The category.
    pub category: &'static str,
    /// The type of the resource.
    pub resource_type: &'static str,
    /// The severity of a success.
    pub severity: Severity,
}

audit_events! {
    /// Events of `audit_log` in `clm_core_db`.
    CoreEvent {
        /// A certificate was issued and is now in the inventory.
        CertificateIssued = "certificate.issued", "certificate", "certificate", Info;
        /// Asking for a certificate was refused or failed.
        CertificateRequestRefused = "certificate_request.refused", "certificate", "certificate_request", Warning;
        /// A private key was exported, encrypted.
        PrivateKeyExported = "private_key.exported", "key", "certificate", Warning;
        /// A certificate authority was created.
        CertificateAuthorityCreated = "certificate_authority.created", "authority", "certificate_authority", Warning;
        /// The rotation of a data key was started.
        KeyRotationStarted = "key_rotation.started", "key", "key_rotation", Warning;
        /// The rotation of a data key was cancelled, and is being rolled back.
        KeyRotationCancelled = "key_rotation.cancelled", "key", "key_rotation", Warning;
        /// How often the data key is rotated was changed.
        KeyRotationScheduleChanged = "key_rotation_schedule.changed", "key", "encryption_key", Info;
        /// Every data key of an organization was destroyed.
        EncryptionKeysErased = "encryption_keys.erased", "key", "organization", Critical;
        /// The master key was replaced, perhaps by one that somebody else holds.
        MasterKeyRotated = "master_key.rotated", "key", "master_key", Critical;
        /// Shares of a master key that may come were made and shown.
        MasterKeySharesMade = "master_key.shares_made", "key", "master_key", Critical;
        /// Somebody has a copy of the master key, and has proved it.
        MasterKeyBackupConfirmed = "master_key.backup_confirmed", "key", "master_key", Info;
        /// A custodian gave a share of the master key.
        UnsealShareAccepted = "unseal.share_accepted", "key", "seal", Warning;
        /// The last share that was needed opened the service.
        UnsealCompleted = "unseal.completed", "key", "seal", Critical;
        /// A share was refused.
        UnsealRefused = "unseal.refused", "key", "seal", Warning;
        /// The shares that were given were forgotten.
        UnsealReset = "unseal.reset", "key", "seal", Warning;
        /// The master key was taken out of memory.
        Sealed = "seal.closed", "key", "seal", Critical;
        /// Somebody signed in.
        SessionCreated = "session.created", "authentication", "session", Info;
        /// A session was ended.
        SessionEnded = "session.ended", "authentication", "session", Info;
        /// An API key was made.
        ApiKeyCreated = "api_key.created", "access", "api_key", Info;
        /// An API key was made in the place of another, which ends soon.
        ApiKeyRotated = "api_key.rotated", "access", "api_key", Info;
        /// An API key was revoked.
        ApiKeyRevoked = "api_key.revoked", "access", "api_key", Info;
        /// A user was created.
        UserCreated = "user.created", "access", "user", Info;
        /// The name or the addresses of a user were changed.
        UserUpdated = "user.updated", "access", "user", Info;
        /// The status of a user was changed.
        UserStatusChanged = "user.status_changed", "access", "user", Warning;
        /// An administrator gave a user a new first password.
        UserPasswordSet = "user.password_set", "access", "user", Warning;
        /// The failed sign-ins of a user, and the lock that they caused, were forgotten.
        UserUnlocked = "user.unlocked", "access", "user", Info;
        /// A user was deleted.
        UserDeleted = "user.deleted", "access", "user", Warning;
        /// A deleted user was brought back.
        UserRestored = "user.restored", "access", "user", Warning;
        /// Somebody in the System organization looked at users of another home.
        UserSeenAcross = "user.seen_across", "access", "user", Info;
        /// A user was given the secret of a second factor.
        TotpEnrolled = "totp.enrolled", "authentication", "user", Info;
        /// The second factor of a user is in force.
        TotpActivated = "totp.activated", "authentication", "user", Info;
        /// A user got new backup codes; the old ones stopped counting.
        BackupCodesRenewed = "backup_codes.renewed", "authentication", "user", Info;
        /// A session that owed a second factor got it, or one gave it although it owed none.
        SecondFactorPassed = "session.second_factor_passed", "authentication", "session", Info;
        /// A user removed the own second factor.
        TotpRemoved = "totp.removed", "authentication", "user", Warning;
        /// The operator of the machine removed the second factor of a user.
        TotpReset = "totp.reset", "authentication", "user", Critical;
        /// A user gave a code for one request.
        SteppedUp = "step_up.proved", "authentication", "user", Info;
        /// What a certificate authority may sign was changed.
        IssuerLimitsChanged = "issuer_limits.changed", "authority", "certificate_authority", Critical;
        /// A user changed the own password.
        PasswordChanged = "user.password_changed", "access", "user", Info;
        /// Somebody asked for a link by which a user chooses a new password.
        PasswordResetRequested = "password_reset.requested", "authentication", "user", Info;
        /// A user chose a new password by such a link.
        PasswordResetCompleted = "password_reset.completed", "authentication", "user", Warning;
        /// A user asked for a link that proves the own address.
        EmailVerificationRequested = "email_verification.requested", "access", "user", Info;
        /// A user proved to read what is sent to the address.
        EmailVerified = "email_verification.completed", "access", "user", Info;
        /// An organization was created.
        OrganizationCreated = "organization.created", "access", "organization", Info;
        /// A role was made.
        RoleCreated = "role.created", "access", "role", Warning;
        /// A role was changed: its names, what it allows, or whose permissions it inherits.
        RoleUpdated = "role.updated", "access", "role", Warning;
        /// A role was removed.
        RoleDeleted = "role.deleted", "access", "role", Warning;
        /// A role that had been removed is there again.
        RoleRestored = "role.restored", "access", "role", Warning;
        /// A user was given a role in an organization.
        RoleAssigned = "role_assignment.created", "access", "role_assignment", Warning;
        /// The end of an assignment was moved.
        RoleAssignmentChanged = "role_assignment.changed", "access", "role_assignment", Warning;
        /// A role was taken away from a user, or an assignment cancelled before it began.
        RoleWithdrawn = "role_assignment.ended", "access", "role_assignment", Warning;
        /// Somebody asked whether, and why, somebody may do something.
        AccessExplained = "access.explained", "access", "user", Info;
        /// Name, settings or quotas of an organization were changed.
        OrganizationChanged = "organization.changed", "access", "organization", Info;
        /// An organization was suspended, closed or opened again.
        OrganizationStatusChanged = "organization.status_changed", "access", "organization", Warning;
        /// Somebody in the System organization saw the list of all organizations.
        OrganizationListedAcross = "organization.listed_across", "access", "organization", Info;
        /// Somebody in the System organization looked at another organization.
        OrganizationReadAcross = "organization.read_across", "access", "organization", Info;
        /// A user may act in an organization that is not the home.
        MemberAdded = "member.added", "access", "user", Info;
        /// A member was suspended or admitted again.
        MemberStatusChanged = "member.status_changed", "access", "user", Warning;
        /// A membership was ended by somebody else.
        MemberRemoved = "member.removed", "access", "user", Warning;
        /// A member left.
        MemberLeft = "member.left", "access", "user", Info;
        /// Somebody was invited to become a member.
        InvitationCreated = "invitation.created", "access", "invitation", Info;
        /// An invitation was taken back.
        InvitationRevoked = "invitation.revoked", "access", "invitation", Info;
        /// Somebody became a member by an invitation.
        InvitationAccepted = "invitation.accepted", "access", "invitation", Info;
        /// A session goes on in another organization.
        SessionSwitched = "session.switched", "authentication", "session", Info;
        /// A user chose the organization in which signing in begins.
        PrimaryOrganizationChanged = "user.primary_organization_changed", "access", "user", Info;
        /// A right was missing.
        AccessDenied = "access.denied", "access", "system", Warning;
        /// The two databases differed and the difference was reported.
        ReconciliationDifferenceFound = "reconciliation.difference_found", "integrity", "system", Error;
    }
}

audit_events! {
    /// Events of `secure_audit_log` in `clm_secure_db`.
    SecureEvent {
        /// A certificate was signed.
        CertificateIssued = "certificate.issued", "certificate", "certificate", Info;
        /// Issuing was refused: limits, lint, proof of possession or the issuer's state.
        CertificateIssuanceRefused = "certificate.issuance_refused", "certificate", "certificate_request", Warning;
        /// A certificate authority was created, with its key.
        CertificateAuthorityCreated = "certificate_authority.created", "authority", "certificate_authority", Warning;
        /// A data key was made.
        EncryptionKeyCreated = "encryption_key.created", "key", "encryption_key", Info;
        /// A data key had sealed as often as it may, and was replaced.
        EncryptionKeyRolledOver = "encryption_key.rolled_over", "key", "encryption_key", Info;
        /// A data key that nothing was sealed under any more was destroyed.
        EncryptionKeyDestroyed = "encryption_key.destroyed", "key", "encryption_key", Warning;
        /// Every data key of an organization was destroyed.
        EncryptionKeysErased = "encryption_keys.erased", "key", "organization", Critical;
        /// The rotation of a data key was started.
        KeyRotationStarted = "key_rotation.started", "key", "key_rotation", Warning;
        /// The rotation of a data key was cancelled, and is being rolled back.
        KeyRotationCancelled = "key_rotation.cancelled", "key", "key_rotation", Warning;
        /// The rotation of a data key ended: completed, failed or rolled back.
        KeyRotationEnded = "key_rotation.ended", "key", "key_rotation", Info;
        /// How often the data key is rotated was changed.
        KeyRotationScheduleChanged = "key_rotation_schedule.changed", "key", "encryption_key", Info;
        /// The master key was replaced, and every data key wrapped anew.
        MasterKeyRotated = "master_key.rotated", "key", "master_key", Critical;
        /// Shares of a master key that may come were made and shown.
        MasterKeySharesMade = "master_key.shares_made", "key", "master_key", Critical;
        /// Somebody has a copy of the master key, and has proved it.
        MasterKeyBackupConfirmed = "master_key.backup_confirmed", "key", "master_key", Info;
        /// A share of the master key was taken.
        UnsealShareAccepted = "unseal.share_accepted", "key", "seal", Warning;
        /// The last share that was needed opened the service.
        UnsealCompleted = "unseal.completed", "key", "seal", Critical;
        /// A share was refused.
        UnsealRefused = "unseal.refused", "key", "seal", Warning;
        /// The shares that were given were forgotten.
        UnsealReset = "unseal.reset", "key", "seal", Warning;
        /// The master key was taken out of memory.
        Sealed = "seal.closed", "key", "seal", Critical;
        /// A private key left, encrypted.
        PrivateKeyExported = "private_key.exported", "key", "private_key", Warning;
        /// A secret of the core was sealed.
        SecretSealed = "secret.sealed", "key", "sealed_secret", Info;
        /// A secret was opened for the core.
        SecretOpened = "secret.opened", "key", "sealed_secret", Warning;
        /// A message was signed with the secret of a webhook.
        WebhookSigned = "webhook.signed", "key", "sealed_secret", Info;
        /// A secret was destroyed.
        SecretDestroyed = "secret.destroyed", "key", "sealed_secret", Warning;
        /// A user was given the secret of a second factor.
        TotpEnrolled = "totp.enrolled", "authentication", "user", Info;
        /// The second factor of a user is in force.
        TotpActivated = "totp.activated", "authentication", "user", Info;
        /// A code of a second factor was judged.
        TotpVerified = "totp.verified", "authentication", "user", Info;
        /// A user got new backup codes; the old ones stopped counting.
        BackupCodesRenewed = "backup_codes.renewed", "authentication", "user", Info;
        /// A user removed the own second factor, with a code of it.
        TotpRemoved = "totp.removed", "authentication", "user", Warning;
        /// The operator of the machine removed the second factor of a user.
        TotpReset = "totp.reset", "authentication", "user", Critical;
        /// A user gave a code for one request.
        SteppedUp = "step_up.proved", "authentication", "user", Info;
        /// What a certificate authority may sign was changed.
        IssuerLimitsChanged = "issuer_limits.changed", "authority", "certificate_authority", Critical;
        /// A command was refused because its caller may not give it, or its context is not valid.
        CommandRefused = "command.refused", "access", "system", Warning;
        /// The authority for transport certificates was made, with its key.
        TransportAuthorityCreated = "transport_authority.created", "authority", "transport_authority", Warning;
        /// The authority certified a key of the service itself, for its listener.
        TransportServerCertified = "transport_server.certified", "authority", "transport_authority", Info;
        /// A one-time token for a new peer was made.
        TransportPeerInvited = "transport_peer.invited", "access", "transport_peer", Warning;
        /// A token was used, and its bearer has a certificate; or it was refused.
        TransportPeerPaired = "transport_peer.paired", "access", "transport_peer", Warning;
        /// A peer has a new certificate; or it was refused.
        TransportPeerRenewed = "transport_peer.renewed", "access", "transport_peer", Info;
        /// A peer may not call any more.
        TransportPeerRevoked = "transport_peer.revoked", "access", "transport_peer", Warning;
    }
}

/// The row of one audit event, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// A UUIDv7 made from `event_timestamp`.
    pub id: AuditEventId,
    /// Whole milliseconds.
    pub event_timestamp: DateTime<Utc>,
    /// The organization concerned; the system organization where there is none.
    pub organization_id: OrganizationId,
    /// [`EventType::code`].
    pub event_code: String,
    /// [`EventType::category`].
    pub event_category: String,
    /// How grave.
    pub severity: Severity,
    /// How it ended.
    pub result: AuditResult,
    /// [`Actor::kind`].
    pub actor_type: String,
    /// [`Actor::id`].
    pub actor_id: Option<Uuid>,
    /// The person or service account behind the actor.
    pub user_id: Option<Uuid>,
    /// [`EventType::resource_type`].
    pub resource_type: String,
    /// The resource.
    pub resource_id: Option<Uuid>,
    /// The request that caused it, equal in both logs.
    pub request_id: Option<Uuid>,
    /// The session.
    pub session_id: Option<Uuid>,
    /// The peer's address (core log only).
    pub ip_address: Option<String>,
    /// The peer's user agent (core log only).
    pub user_agent: Option<String>,
    /// Why, where a reason was asked or the act was refused.
    pub reason: Option<String>,
    /// Further fields: an object of strings, integers, booleans, arrays and objects; no floats.
    pub details: Value,
}

/// Who asked, from where, in which request: what both logs record about the cause.
#[derive(Clone, Debug)]
pub struct Cause<'a> {
    /// Who.
    pub actor: &'a Actor,
    /// For which organization.
    pub organization_id: OrganizationId,
    /// In which request.
    pub request_id: RequestId,
}

impl AuditRow {
    /// A row for a successful act.
    pub fn success(
        event: impl Into<EventType>,
        cause: &Cause<'_>,
        resource_id: Option<Uuid>,
        now: DateTime<Utc>,
        rng: &dyn Rng,
    ) -> Self {
        let event = event.into();
        let event_timestamp = whole_milliseconds(now);
        Self {
            id: AuditEventId::generate(event_timestamp, rng),
            event_timestamp,
            organization_id: cause.organization_id,
            event_code: event.code.to_owned(),
            event_category: event.category.to_owned(),
            severity: event.severity,
            result: AuditResult::Success,
            actor_type: cause.actor.kind().to_owned(),
            actor_id: cause.actor.id(),
            user_id: cause.actor.user_id().map(Uuid::from),
            resource_type: event.resource_type.to_owned(),
            resource_id,
            request_id: Some(cause.request_id.as_uuid()),
            session_id: cause.actor.session_id().map(Uuid::from),
            ip_address: None,
            user_agent: None,
            reason: None,
            details: Value::Object(serde_json::Map::new()),
        }
    }

    /// Turns the row into that of a refusal or failure, which weighs at least a warning.
    #[must_use]
    pub fn refused(mut self, reason: impl Into<String>) -> Self {
        self.result = AuditResult::Failure;
        self.severity = self.severity.max(Severity::Warning);
        self.reason = Some(storable(&reason.into()));
        self
    }

    /// Adds fields. Texts may come from outside: what the log cannot store is replaced.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = storable_json(details);
        self
    }

    /// The canonical encoding, version 1: the text `clm-audit-row-v1`, then each column in the
    /// order of the struct as a four-byte big-endian length and its bytes. Absent values have the
    /// length `0xffffffff` and no bytes. UUIDs are 16 bytes; the timestamp is milliseconds since
    /// 1970 as eight big-endian bytes; text is UTF-8; `details` is JSON without white space whose
    /// object keys are sorted by their bytes.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut out = b"clm-audit-row-v1".to_vec();
        let millis = self.event_timestamp.timestamp_millis().to_be_bytes();
        let mut details = String::new();
        write_canonical_json(&self.details, &mut details);
        field(&mut out, Some(self.id.as_uuid().as_bytes()));
        field(&mut out, Some(&millis));
        field(&mut out, Some(self.organization_id.as_uuid().as_bytes()));
        field(&mut out, Some(self.event_code.as_bytes()));
        field(&mut out, Some(self.event_category.as_bytes()));
        field(&mut out, Some(self.severity.as_str().as_bytes()));
        field(&mut out, Some(self.result.as_str().as_bytes()));
        field(&mut out, Some(self.actor_type.as_bytes()));
        field(
            &mut out,
            self.actor_id.as_ref().map(|id| id.as_bytes().as_slice()),
        );
        field(
            &mut out,
            self.user_id.as_ref().map(|id| id.as_bytes().as_slice()),
        );
        field(&mut out, Some(self.resource_type.as_bytes()));
        field(
            &mut out,
            self.resource_id.as_ref().map(|id| id.as_bytes().as_slice()),
        );
        field(
            &mut out,
            self.request_id.as_ref().map(|id| id.as_bytes().as_slice()),
        );
        field(
            &mut out,
            self.session_id.as_ref().map(|id| id.as_bytes().as_slice()),
        );
        field(&mut out, self.ip_address.as_ref().map(String::as_bytes));
        field(&mut out, self.user_agent.as_ref().map(String::as_bytes));
        field(&mut out, self.reason.as_ref().map(String::as_bytes));
        field(&mut out, Some(details.as_bytes()));
        out
    }

    /// SHA-256 of the canonical encoding, stored beside the row.
    pub fn canonical_sha256(&self) -> [u8; 32] {
        Sha256::digest(self.canonical_bytes()).into()
    }
}

/// The text without NUL, which PostgreSQL stores neither in text nor in JSON: no input keeps its own
/// refusal out of the log.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn storable_json(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(storable(&text)),
        Value::Array(items) => items.into_iter().map(storable_json).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (storable(&name), storable_json(value)))
            .collect(),
        scalar => scalar,
    }
}

fn field(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => out.extend_from_slice(&u32::MAX.to_be_bytes()),
        Some(bytes) => {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(bytes);
        }
    }
}

/// Writes JSON without white space, object keys sorted, whatever order the value holds them in.
fn write_canonical_json(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                write_canonical_json(object.get(key).unwrap_or(&Value::Null), out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical_json(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests;
