//! The acts on users.

use clm_domain::audit::CoreEvent;

use super::Expected::{Done, Refused};
use super::{
    Act, Case, FORBIDDEN, MALFORMED, NO_PROOF, NOT_FOUND, OTHER_BODY, SHOWN_ALREADY, case,
};

const CREATED: CoreEvent = CoreEvent::UserCreated;
const UPDATED: CoreEvent = CoreEvent::UserUpdated;
const STATUS: CoreEvent = CoreEvent::UserStatusChanged;
const PASSWORD: CoreEvent = CoreEvent::UserPasswordSet;
const UNLOCKED: CoreEvent = CoreEvent::UserUnlocked;
const DELETED: CoreEvent = CoreEvent::UserDeleted;
const RESTORED: CoreEvent = CoreEvent::UserRestored;
const REPEATED: Case = case("repeated by key", 200, &[]);

pub(super) const ACTS: &[Act] = &[
    Act {
        method: "POST",
        path: "/api/v1/users",
        cases: &[
            case("success", 201, &[Done(CREATED)]),
            case("success with a password", 201, &[Done(CREATED)]),
            case("success of a service", 201, &[Done(CREATED)]),
            case(
                "name of another",
                409,
                &[Refused(CREATED, "username_taken")],
            ),
            case(
                "beyond the quota",
                422,
                &[Refused(CREATED, "user_quota_exceeded")],
            ),
            case("service with a password", 422, &[]),
            case("another home", 404, &[]),
            FORBIDDEN,
            MALFORMED,
            SHOWN_ALREADY,
            OTHER_BODY,
            NO_PROOF,
        ],
    },
    Act {
        method: "PATCH",
        path: "/api/v1/users/{user_id}",
        cases: &[
            case("success", 200, &[Done(UPDATED)]),
            case("without a change", 200, &[]),
            case("without If-Match", 428, &[]),
            case(
                "changed meanwhile",
                412,
                &[Refused(UPDATED, "revision_changed")],
            ),
            case(
                "name of another",
                409,
                &[Refused(UPDATED, "username_taken")],
            ),
            case(
                "beyond the own rights",
                422,
                &[Refused(UPDATED, "permissions_beyond_rights")],
            ),
            FORBIDDEN,
            NOT_FOUND,
            MALFORMED,
            NO_PROOF,
        ],
    },
    Act {
        method: "PUT",
        path: "/api/v1/users/{user_id}/status",
        cases: &[
            case("success", 200, &[Done(STATUS)]),
            case("set already", 200, &[]),
            case("without reason", 422, &[]),
            case("oneself", 409, &[Refused(STATUS, "own_account")]),
            case(
                "last administrator",
                409,
                &[Refused(STATUS, "last_administrator")],
            ),
            case(
                "beyond the own rights",
                422,
                &[Refused(STATUS, "permissions_beyond_rights")],
            ),
            FORBIDDEN,
            NOT_FOUND,
            MALFORMED,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/users/{user_id}/password",
        cases: &[
            case("success", 200, &[Done(PASSWORD)]),
            case("success with a password", 200, &[Done(PASSWORD)]),
            case("too short", 422, &[]),
            case("oneself", 409, &[Refused(PASSWORD, "own_account")]),
            case("of a service", 409, &[Refused(PASSWORD, "service_account")]),
            case(
                "beyond the own rights",
                422,
                &[Refused(PASSWORD, "permissions_beyond_rights")],
            ),
            FORBIDDEN,
            NOT_FOUND,
            MALFORMED,
            SHOWN_ALREADY,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/users/{user_id}/unlock",
        cases: &[
            case("success", 200, &[Done(UNLOCKED)]),
            FORBIDDEN,
            NOT_FOUND,
            REPEATED,
            NO_PROOF,
        ],
    },
    Act {
        method: "DELETE",
        path: "/api/v1/users/{user_id}",
        cases: &[
            case("success", 204, &[Done(DELETED)]),
            case("deleted already", 404, &[]),
            case("oneself", 409, &[Refused(DELETED, "own_account")]),
            case(
                "last administrator",
                409,
                &[Refused(DELETED, "last_administrator")],
            ),
            case(
                "beyond the own rights",
                422,
                &[Refused(DELETED, "permissions_beyond_rights")],
            ),
            FORBIDDEN,
            NOT_FOUND,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/users/{user_id}/restore",
        cases: &[
            case("success", 200, &[Done(RESTORED)]),
            case("not deleted", 200, &[]),
            case(
                "name of another",
                409,
                &[Refused(RESTORED, "username_taken")],
            ),
            case(
                "beyond the quota",
                422,
                &[Refused(RESTORED, "user_quota_exceeded")],
            ),
            FORBIDDEN,
            NOT_FOUND,
            REPEATED,
            NO_PROOF,
        ],
    },
];
