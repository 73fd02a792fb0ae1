//! The acts by links that come by mail.

use clm_domain::audit::CoreEvent;

use super::Expected::{Done, Refused};
use super::{Act, MALFORMED, NO_PROOF, OTHER_BODY, case};

const ASKED: CoreEvent = CoreEvent::PasswordResetRequested;
const RESET: CoreEvent = CoreEvent::PasswordResetCompleted;
const VERIFICATION: CoreEvent = CoreEvent::EmailVerificationRequested;
const VERIFIED: CoreEvent = CoreEvent::EmailVerified;

pub(super) const ACTS: &[Act] = &[
    Act {
        method: "POST",
        path: "/api/v1/password-resets",
        cases: &[
            case("success", 202, &[Done(ASKED)]),
            case("unknown user", 202, &[Refused(ASKED, "unknown_user")]),
            case(
                "address not verified",
                202,
                &[Refused(ASKED, "email_not_verified")],
            ),
            case(
                "asked a moment ago",
                202,
                &[Refused(ASKED, "too_many_mails")],
            ),
            MALFORMED,
            case("repeated by key", 202, &[]),
            OTHER_BODY,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/password-resets/confirm",
        cases: &[
            case("success", 204, &[Done(RESET)]),
            case("wrong token", 422, &[Refused(RESET, "link_invalid")]),
            case("used before", 422, &[Refused(RESET, "password_reused")]),
            case("too short", 422, &[]),
            MALFORMED,
            case("repeated by key", 204, &[]),
            OTHER_BODY,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/users/me/email-verification",
        cases: &[
            case("success", 202, &[Done(VERIFICATION)]),
            case("no address", 409, &[Refused(VERIFICATION, "no_email")]),
            case(
                "verified already",
                409,
                &[Refused(VERIFICATION, "email_verified")],
            ),
            case("asked a moment ago", 429, &[]),
            case("by API key", 422, &[]),
            case("repeated by key", 202, &[]),
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/email-verifications/confirm",
        cases: &[
            case("success", 204, &[Done(VERIFIED)]),
            case("wrong token", 422, &[Refused(VERIFIED, "link_invalid")]),
            MALFORMED,
            case("repeated by key", 204, &[]),
            OTHER_BODY,
        ],
    },
];
