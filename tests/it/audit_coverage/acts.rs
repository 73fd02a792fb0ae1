//! Every mutating operation with the events that it writes, case by case.
//!
//! What a caller does not get past the door with (no credential, a body that is no JSON, a missing
//! CSRF token) is no act and leaves no event; nor does an id that names nothing.

mod factors;
mod installation;
mod links;
mod organizations;
mod roles;
mod users;

use clm_domain::audit::{CoreEvent, EventType, SecureEvent};

/// A mutating operation.
pub(super) struct Act {
    pub(super) method: &'static str,
    /// As in the document.
    pub(super) path: &'static str,
    pub(super) cases: &'static [Case],
}

/// One way in which it ends.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) status: u16,
    pub(super) core: &'static [Expected<CoreEvent>],
    pub(super) secure: &'static [Expected<SecureEvent>],
}

/// An event, with the code of the refusal unless it tells of a success.
#[derive(Clone, Copy)]
pub(super) enum Expected<E> {
    Done(E),
    Refused(E, &'static str),
}

use Expected::{Done, Refused};

impl<E: Copy + Into<EventType>> Expected<E> {
    pub(super) fn event(&self) -> (EventType, Option<&'static str>) {
        match *self {
            Done(event) => (event.into(), None),
            Refused(event, code) => (event.into(), Some(code)),
        }
    }
}

const fn case(name: &'static str, status: u16, core: &'static [Expected<CoreEvent>]) -> Case {
    Case {
        name,
        status,
        core,
        secure: &[],
    }
}

const fn both(
    name: &'static str,
    status: u16,
    core: &'static [Expected<CoreEvent>],
    secure: &'static [Expected<SecureEvent>],
) -> Case {
    Case {
        name,
        status,
        core,
        secure,
    }
}

const FORBIDDEN: Case = case(
    "forbidden",
    403,
    &[Refused(CoreEvent::AccessDenied, "permission_missing")],
);
const MALFORMED: Case = case("malformed", 400, &[]);
const NOT_FOUND: Case = case("not found", 404, &[]);
const NO_PROOF: Case = case("without CSRF token", 403, &[]);
const SHOWN_ALREADY: Case = case("repeated by key", 409, &[]);
const OTHER_BODY: Case = case("repeated by key with another body", 422, &[]);

const SIGN_IN: CoreEvent = CoreEvent::SessionCreated;
const PASSWORD: CoreEvent = CoreEvent::PasswordChanged;
const AUTHORITY: CoreEvent = CoreEvent::CertificateAuthorityCreated;
const SECURE_AUTHORITY: SecureEvent = SecureEvent::CertificateAuthorityCreated;
const REFUSED: CoreEvent = CoreEvent::CertificateRequestRefused;
const SECURE_REFUSED: SecureEvent = SecureEvent::CertificateIssuanceRefused;
const EXPORT: CoreEvent = CoreEvent::PrivateKeyExported;
const SECURE_EXPORT: SecureEvent = SecureEvent::PrivateKeyExported;
const SCHEDULE: CoreEvent = CoreEvent::KeyRotationScheduleChanged;
const SECURE_SCHEDULE: SecureEvent = SecureEvent::KeyRotationScheduleChanged;
const ROTATION: CoreEvent = CoreEvent::KeyRotationStarted;
const SECURE_ROTATION: SecureEvent = SecureEvent::KeyRotationStarted;
const CANCEL: CoreEvent = CoreEvent::KeyRotationCancelled;
const SECURE_CANCEL: SecureEvent = SecureEvent::KeyRotationCancelled;
const ERASE: CoreEvent = CoreEvent::EncryptionKeysErased;
const SECURE_ERASE: SecureEvent = SecureEvent::EncryptionKeysErased;

/// All of them. A mutating operation that is not listed fails the test.
pub(super) fn all() -> impl Iterator<Item = &'static Act> {
    // Before the keys of the organization are erased.
    let factors = factors::ACTS.iter();
    let roles = roles::ACTS.iter();
    let organizations = organizations::ACTS.iter();
    let first = factors.chain(roles).chain(organizations).chain(users::ACTS);
    first
        .chain(links::ACTS)
        .chain(ACTS)
        .chain(installation::ACTS)
}

const ACTS: &[Act] = &[
    Act {
        method: "POST",
        path: "/api/v1/sessions",
        cases: &[
            case("success", 201, &[Done(SIGN_IN)]),
            case("wrong password", 401, &[Refused(SIGN_IN, "wrong_password")]),
            case("unknown user", 401, &[Refused(SIGN_IN, "unknown_user")]),
            case("locked", 401, &[Refused(SIGN_IN, "locked")]),
            case(
                "user not active",
                401,
                &[Refused(SIGN_IN, "user_not_active")],
            ),
            case(
                "no membership",
                401,
                &[Refused(SIGN_IN, "no_active_membership")],
            ),
            case(
                "organization inactive",
                401,
                &[Refused(SIGN_IN, "organization_inactive")],
            ),
            MALFORMED,
            SHOWN_ALREADY,
            OTHER_BODY,
        ],
    },
    Act {
        method: "DELETE",
        path: "/api/v1/sessions/{session_id}",
        cases: &[
            case("success", 204, &[Done(CoreEvent::SessionEnded)]),
            FORBIDDEN,
            NOT_FOUND,
            NO_PROOF,
        ],
    },
    Act {
        method: "DELETE",
        path: "/api/v1/sessions/current",
        cases: &[
            case("success", 204, &[Done(CoreEvent::SessionEnded)]),
            case("by API key", 422, &[]),
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/users/me/password",
        cases: &[
            case("success", 204, &[Done(PASSWORD)]),
            case(
                "wrong password",
                422,
                &[Refused(PASSWORD, "wrong_password")],
            ),
            case("locked", 429, &[Refused(PASSWORD, "locked")]),
            case("too short", 422, &[]),
            case("too common", 422, &[]),
            case("unchanged", 422, &[]),
            case("used before", 422, &[Refused(PASSWORD, "password_reused")]),
            case("repeated by key", 204, &[]),
            MALFORMED,
            OTHER_BODY,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/api-keys",
        cases: &[
            case("success", 201, &[Done(CoreEvent::ApiKeyCreated)]),
            case("without name", 422, &[]),
            case("beyond the own rights", 422, &[]),
            FORBIDDEN,
            MALFORMED,
            SHOWN_ALREADY,
            OTHER_BODY,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/api-keys/{api_key_id}/rotate",
        cases: &[
            case("success", 201, &[Done(CoreEvent::ApiKeyRotated)]),
            case(
                "revoked",
                409,
                &[Refused(CoreEvent::ApiKeyRotated, "api_key_over")],
            ),
            case("too long an overlap", 422, &[]),
            FORBIDDEN,
            MALFORMED,
            NOT_FOUND,
            NO_PROOF,
            SHOWN_ALREADY,
        ],
    },
    Act {
        method: "DELETE",
        path: "/api/v1/api-keys/{api_key_id}",
        cases: &[
            case("success", 204, &[Done(CoreEvent::ApiKeyRevoked)]),
            case("revoked already", 204, &[]),
            FORBIDDEN,
            NOT_FOUND,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/certificate-authorities",
        cases: &[
            both(
                "success",
                201,
                &[Done(AUTHORITY)],
                // It is a certificate, too.
                &[Done(SecureEvent::CertificateIssued), Done(SECURE_AUTHORITY)],
            ),
            both(
                "success with the organization's first key",
                201,
                &[Done(AUTHORITY)],
                &[
                    Done(SecureEvent::EncryptionKeyCreated),
                    Done(SecureEvent::CertificateIssued),
                    Done(SECURE_AUTHORITY),
                ],
            ),
            both(
                "by API key",
                403,
                &[Refused(AUTHORITY, "step_up_required")],
                &[Refused(SECURE_AUTHORITY, "step_up_required")],
            ),
            case(
                "no validity",
                422,
                &[Refused(AUTHORITY, "validity_out_of_range")],
            ),
            both(
                "unknown parent",
                404,
                &[Refused(AUTHORITY, "not_found")],
                &[Refused(SECURE_AUTHORITY, "not_found")],
            ),
            both(
                "name of another",
                409,
                &[Refused(AUTHORITY, "name_taken")],
                &[Refused(SECURE_AUTHORITY, "name_taken")],
            ),
            FORBIDDEN,
            MALFORMED,
            case("repeated by key", 201, &[]),
            OTHER_BODY,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/certificate-requests",
        cases: &[
            both(
                "success",
                201,
                &[Done(CoreEvent::CertificateIssued)],
                &[Done(SecureEvent::CertificateIssued)],
            ),
            both(
                "success with a key made here",
                201,
                &[Done(CoreEvent::CertificateIssued)],
                &[Done(SecureEvent::CertificateIssued)],
            ),
            case("no CSR", 422, &[Refused(REFUSED, "csr_malformed")]),
            case(
                "beyond the limits",
                422,
                &[Refused(REFUSED, "policy_violation")],
            ),
            case("unknown authority", 404, &[Refused(REFUSED, "not_found")]),
            both(
                "suspended authority",
                409,
                &[Refused(REFUSED, "issuer_not_active")],
                &[Refused(SECURE_REFUSED, "issuer_not_active")],
            ),
            // Nothing is wrong with the request: it may come again in a minute.
            both(
                "too many",
                429,
                &[],
                &[Refused(SECURE_REFUSED, "issuer_rate_exceeded")],
            ),
            FORBIDDEN,
            MALFORMED,
            case("repeated by key", 201, &[]),
            both(
                "repeated by key with another body",
                422,
                &[Refused(REFUSED, "idempotency_key_reused")],
                &[Refused(SECURE_REFUSED, "idempotency_key_reused")],
            ),
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/certificates/{certificate_id}/private-key-export",
        cases: &[
            both("success", 200, &[Done(EXPORT)], &[Done(SECURE_EXPORT)]),
            case(
                "weak passphrase",
                422,
                &[Refused(EXPORT, "passphrase_too_weak")],
            ),
            both(
                "key held elsewhere",
                409,
                &[Refused(EXPORT, "private_key_not_held")],
                &[Refused(SECURE_EXPORT, "private_key_not_held")],
            ),
            both(
                "key that stays",
                422,
                &[Refused(EXPORT, "private_key_not_exportable")],
                &[Refused(SECURE_EXPORT, "private_key_not_exportable")],
            ),
            FORBIDDEN,
            NOT_FOUND,
            MALFORMED,
            SHOWN_ALREADY,
            OTHER_BODY,
            NO_PROOF,
        ],
    },
    Act {
        method: "PUT",
        path: "/api/v1/key-rotation-schedule",
        cases: &[
            both("success", 200, &[Done(SCHEDULE)], &[Done(SECURE_SCHEDULE)]),
            both(
                "out of range",
                422,
                &[Refused(SCHEDULE, "schedule_out_of_range")],
                &[Refused(SECURE_SCHEDULE, "schedule_out_of_range")],
            ),
            both(
                "without a key",
                409,
                &[Refused(SCHEDULE, "encryption_key_missing")],
                &[Refused(SECURE_SCHEDULE, "encryption_key_missing")],
            ),
            FORBIDDEN,
            MALFORMED,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/key-rotations",
        cases: &[
            both(
                "success",
                201,
                &[Done(ROTATION)],
                &[
                    Done(SecureEvent::EncryptionKeyCreated),
                    Done(SECURE_ROTATION),
                ],
            ),
            both(
                "while another one runs",
                409,
                &[Refused(ROTATION, "key_rotation_in_progress")],
                &[Refused(SECURE_ROTATION, "key_rotation_in_progress")],
            ),
            both(
                "no throttle",
                422,
                &[Refused(ROTATION, "throttle_out_of_range")],
                &[Refused(SECURE_ROTATION, "throttle_out_of_range")],
            ),
            both(
                "without a key",
                409,
                &[Refused(ROTATION, "encryption_key_missing")],
                &[Refused(SECURE_ROTATION, "encryption_key_missing")],
            ),
            FORBIDDEN,
            MALFORMED,
            case("repeated by key", 201, &[]),
            OTHER_BODY,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/key-rotations/{key_rotation_id}/cancel",
        cases: &[
            both("success", 200, &[Done(CANCEL)], &[Done(SECURE_CANCEL)]),
            case("cancelled already", 200, &[Done(CANCEL)]),
            both(
                "ended",
                409,
                &[Refused(CANCEL, "key_rotation_ended")],
                &[Refused(SECURE_CANCEL, "key_rotation_ended")],
            ),
            both(
                "compromised",
                422,
                &[Refused(CANCEL, "key_compromised")],
                &[Refused(SECURE_CANCEL, "key_compromised")],
            ),
            FORBIDDEN,
            NOT_FOUND,
            NO_PROOF,
        ],
    },
    // The last one: from then on the authorities of the organization sign nothing.
    Act {
        method: "POST",
        path: "/api/v1/encryption-keys/erase",
        cases: &[
            both("success", 200, &[Done(ERASE)], &[Done(SECURE_ERASE)]),
            case(
                "another organization's slug",
                422,
                &[Refused(ERASE, "organization_mismatch")],
            ),
            both(
                "without reason",
                422,
                &[Refused(ERASE, "reason_invalid")],
                &[Refused(SECURE_ERASE, "reason_invalid")],
            ),
            FORBIDDEN,
            MALFORMED,
            case("repeated by key", 200, &[]),
            OTHER_BODY,
            NO_PROOF,
        ],
    },
];
