//! The acts that concern the installation: its master key, and the seal over a split one.

use clm_domain::audit::{CoreEvent, SecureEvent};

use super::Expected::{Done, Refused};
use super::{Act, FORBIDDEN, MALFORMED, NO_PROOF, SHOWN_ALREADY, both, case};

const SHARES: CoreEvent = CoreEvent::MasterKeySharesMade;
const SECURE_SHARES: SecureEvent = SecureEvent::MasterKeySharesMade;
const ROTATED: CoreEvent = CoreEvent::MasterKeyRotated;
const SECURE_ROTATED: SecureEvent = SecureEvent::MasterKeyRotated;
const CONFIRMED: CoreEvent = CoreEvent::MasterKeyBackupConfirmed;
const SECURE_CONFIRMED: SecureEvent = SecureEvent::MasterKeyBackupConfirmed;
const REFUSED: CoreEvent = CoreEvent::UnsealRefused;
const SECURE_REFUSED: SecureEvent = SecureEvent::UnsealRefused;

/// In this order: the later ones leave the master key split.
pub(super) const ACTS: &[Act] = &[
    Act {
        method: "POST",
        path: "/api/v1/master-key/shares",
        cases: &[
            both("success", 201, &[Done(SHARES)], &[Done(SECURE_SHARES)]),
            both(
                "out of range",
                422,
                &[Refused(SHARES, "shares_out_of_range")],
                &[Refused(SECURE_SHARES, "shares_out_of_range")],
            ),
            FORBIDDEN,
            MALFORMED,
            SHOWN_ALREADY,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/master-key/rotations",
        cases: &[
            both("success", 201, &[Done(ROTATED)], &[Done(SECURE_ROTATED)]),
            both(
                "without next key",
                409,
                &[Refused(ROTATED, "master_key_absent")],
                &[Refused(SECURE_ROTATED, "master_key_absent")],
            ),
            both(
                "unknown shares",
                409,
                &[Refused(ROTATED, "share_set_unknown")],
                &[Refused(SECURE_ROTATED, "share_set_unknown")],
            ),
            both(
                "without reason",
                422,
                &[Refused(ROTATED, "reason_invalid")],
                &[Refused(SECURE_ROTATED, "reason_invalid")],
            ),
            FORBIDDEN,
            MALFORMED,
            case("repeated by key", 201, &[]),
            super::OTHER_BODY,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/master-key/backup-confirmation",
        cases: &[
            both(
                "success",
                200,
                &[Done(CONFIRMED)],
                &[Done(SECURE_CONFIRMED)],
            ),
            both(
                "another key",
                409,
                &[Refused(CONFIRMED, "not_a_copy")],
                &[Refused(SECURE_CONFIRMED, "not_a_copy")],
            ),
            FORBIDDEN,
            MALFORMED,
            case("repeated by key", 200, &[]),
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/seal",
        cases: &[
            both(
                "success",
                200,
                &[Done(CoreEvent::Sealed)],
                &[Done(SecureEvent::Sealed)],
            ),
            FORBIDDEN,
            NO_PROOF,
            both(
                "unproved",
                409,
                &[Refused(CoreEvent::Sealed, "backup_unconfirmed")],
                &[Refused(SecureEvent::Sealed, "backup_unconfirmed")],
            ),
            both(
                "not split",
                409,
                &[Refused(CoreEvent::Sealed, "master_key_not_split")],
                &[Refused(SecureEvent::Sealed, "master_key_not_split")],
            ),
        ],
    },
    Act {
        method: "DELETE",
        path: "/api/v1/unseal",
        cases: &[
            both(
                "success",
                200,
                &[Done(CoreEvent::UnsealReset)],
                &[Done(SecureEvent::UnsealReset)],
            ),
            FORBIDDEN,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/unseal",
        cases: &[
            both(
                "success",
                200,
                &[Done(CoreEvent::UnsealShareAccepted)],
                &[Done(SecureEvent::UnsealShareAccepted)],
            ),
            case("given already", 200, &[]),
            both(
                "the last one",
                200,
                &[Done(CoreEvent::UnsealCompleted)],
                &[Done(SecureEvent::UnsealCompleted)],
            ),
            both(
                "no share",
                422,
                &[Refused(REFUSED, "share_malformed")],
                &[Refused(SECURE_REFUSED, "share_malformed")],
            ),
            FORBIDDEN,
            MALFORMED,
            NO_PROOF,
            both(
                "not sealed",
                409,
                &[Refused(REFUSED, "not_sealed")],
                &[Refused(SECURE_REFUSED, "not_sealed")],
            ),
        ],
    },
];
