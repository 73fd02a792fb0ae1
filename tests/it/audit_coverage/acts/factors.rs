//! The acts about second factors, and what takes one.

use clm_domain::audit::{CoreEvent, SecureEvent};

use super::Expected::{Done, Refused};
use super::{Act, FORBIDDEN, MALFORMED, NO_PROOF, NOT_FOUND, both, case};

const ENROLLED: CoreEvent = CoreEvent::TotpEnrolled;
const SECURE_ENROLLED: SecureEvent = SecureEvent::TotpEnrolled;
const ACTIVATED: CoreEvent = CoreEvent::TotpActivated;
const SECURE_ACTIVATED: SecureEvent = SecureEvent::TotpActivated;
const RENEWED: CoreEvent = CoreEvent::BackupCodesRenewed;
const SECURE_RENEWED: SecureEvent = SecureEvent::BackupCodesRenewed;
const PASSED: CoreEvent = CoreEvent::SecondFactorPassed;
const SECURE_VERIFIED: SecureEvent = SecureEvent::TotpVerified;
const REMOVED: CoreEvent = CoreEvent::TotpRemoved;
const SECURE_REMOVED: SecureEvent = SecureEvent::TotpRemoved;
const PROVED: CoreEvent = CoreEvent::SteppedUp;
const SECURE_PROVED: SecureEvent = SecureEvent::SteppedUp;
const LIMITS: CoreEvent = CoreEvent::IssuerLimitsChanged;
const SECURE_LIMITS: SecureEvent = SecureEvent::IssuerLimitsChanged;

pub(super) const ACTS: &[Act] = &[
    Act {
        method: "POST",
        path: "/api/v1/users/me/totp",
        cases: &[
            both("success", 201, &[Done(ENROLLED)], &[Done(SECURE_ENROLLED)]),
            both(
                "in force already",
                409,
                &[Refused(ENROLLED, "totp_already_active")],
                &[Refused(SECURE_ENROLLED, "totp_already_active")],
            ),
            case("by API key", 422, &[]),
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/users/me/totp/activate",
        cases: &[
            both(
                "success",
                200,
                &[Done(ACTIVATED)],
                &[Done(SECURE_ACTIVATED)],
            ),
            both(
                "wrong code",
                422,
                &[Refused(ACTIVATED, "totp_code_invalid")],
                &[Refused(SECURE_ACTIVATED, "totp_code_invalid")],
            ),
            MALFORMED,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/users/me/totp/backup-codes",
        cases: &[
            both("success", 201, &[Done(RENEWED)], &[Done(SECURE_RENEWED)]),
            both(
                "wrong code",
                422,
                &[Refused(RENEWED, "totp_code_invalid")],
                &[Refused(SECURE_RENEWED, "totp_code_invalid")],
            ),
            MALFORMED,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/sessions/current/second-factor",
        cases: &[
            both("success", 200, &[Done(PASSED)], &[Done(SECURE_VERIFIED)]),
            both(
                "wrong code",
                422,
                &[Refused(PASSED, "totp_code_invalid")],
                &[Refused(SECURE_VERIFIED, "totp_code_invalid")],
            ),
            MALFORMED,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/users/me/totp/remove",
        cases: &[
            both("success", 204, &[Done(REMOVED)], &[Done(SECURE_REMOVED)]),
            both(
                "wrong code",
                422,
                &[Refused(REMOVED, "totp_code_invalid")],
                &[Refused(SECURE_REMOVED, "totp_code_invalid")],
            ),
            MALFORMED,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/step-up",
        cases: &[
            both("success", 201, &[Done(PROVED)], &[Done(SECURE_PROVED)]),
            both(
                "wrong code",
                422,
                &[Refused(PROVED, "totp_code_invalid")],
                &[Refused(SECURE_PROVED, "totp_code_invalid")],
            ),
            MALFORMED,
            NO_PROOF,
        ],
    },
    Act {
        method: "PUT",
        path: "/api/v1/certificate-authorities/{certificate_authority_id}/limits",
        cases: &[
            both("success", 200, &[Done(LIMITS)], &[Done(SECURE_LIMITS)]),
            // Nobody need ask the Secure Service for that.
            case("without proof", 403, &[Refused(LIMITS, "step_up_required")]),
            both(
                "proof of another change",
                403,
                &[Refused(LIMITS, "step_up_invalid")],
                &[Refused(SECURE_LIMITS, "step_up_invalid")],
            ),
            case("without If-Match", 428, &[]),
            FORBIDDEN,
            NOT_FOUND,
            MALFORMED,
            NO_PROOF,
        ],
    },
];
