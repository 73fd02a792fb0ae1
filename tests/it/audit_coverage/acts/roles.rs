//! The acts about roles and who holds them.

use clm_domain::audit::CoreEvent;

use super::Expected::{Done, Refused};
use super::{Act, Case, FORBIDDEN, MALFORMED, NO_PROOF, NOT_FOUND, OTHER_BODY, case};

const CREATED: CoreEvent = CoreEvent::RoleCreated;
const UPDATED: CoreEvent = CoreEvent::RoleUpdated;
const DELETED: CoreEvent = CoreEvent::RoleDeleted;
const RESTORED: CoreEvent = CoreEvent::RoleRestored;
const ASSIGNED: CoreEvent = CoreEvent::RoleAssigned;
const CHANGED: CoreEvent = CoreEvent::RoleAssignmentChanged;
const WITHDRAWN: CoreEvent = CoreEvent::RoleWithdrawn;

const UNMATCHED: Case = case("without If-Match", 428, &[]);

pub(super) const ACTS: &[Act] = &[
    Act {
        method: "POST",
        path: "/api/v1/roles",
        cases: &[
            case("success", 201, &[Done(CREATED)]),
            case("code taken", 409, &[Refused(CREATED, "role_code_taken")]),
            case(
                "beyond one's rights",
                422,
                &[Refused(CREATED, "permissions_beyond_rights")],
            ),
            case("bad code", 422, &[]),
            case("unknown parent", 404, &[]),
            FORBIDDEN,
            MALFORMED,
            NO_PROOF,
            OTHER_BODY,
        ],
    },
    Act {
        method: "PATCH",
        path: "/api/v1/roles/{role_id}",
        cases: &[
            case("success", 200, &[Done(UPDATED)]),
            case(
                "changed meanwhile",
                412,
                &[Refused(UPDATED, "revision_changed")],
            ),
            case("system role", 409, &[Refused(UPDATED, "system_role")]),
            case("shared role", 403, &[Refused(UPDATED, "shared_role")]),
            case(
                "beyond one's rights",
                422,
                &[Refused(UPDATED, "permissions_beyond_rights")],
            ),
            case("cycle", 422, &[]),
            UNMATCHED,
            FORBIDDEN,
            MALFORMED,
            NOT_FOUND,
            NO_PROOF,
        ],
    },
    Act {
        method: "DELETE",
        path: "/api/v1/roles/{role_id}",
        cases: &[
            case("success", 204, &[Done(DELETED)]),
            case("held", 409, &[Refused(DELETED, "role_in_use")]),
            case(
                "changed meanwhile",
                412,
                &[Refused(DELETED, "revision_changed")],
            ),
            case("system role", 409, &[Refused(DELETED, "system_role")]),
            case("shared role", 403, &[Refused(DELETED, "shared_role")]),
            UNMATCHED,
            FORBIDDEN,
            NOT_FOUND,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/roles/{role_id}/restore",
        cases: &[
            case("success", 200, &[Done(RESTORED)]),
            case("not deleted", 404, &[]),
            case(
                "beyond one's rights",
                422,
                &[Refused(RESTORED, "permissions_beyond_rights")],
            ),
            FORBIDDEN,
            NOT_FOUND,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/role-assignments",
        cases: &[
            case("success", 201, &[Done(ASSIGNED)]),
            case(
                "held already",
                409,
                &[Refused(ASSIGNED, "already_assigned")],
            ),
            case(
                "beyond one's rights",
                422,
                &[Refused(ASSIGNED, "permissions_beyond_rights")],
            ),
            case("unknown user", 404, &[]),
            case("unknown role", 404, &[]),
            case("end before beginning", 422, &[]),
            FORBIDDEN,
            MALFORMED,
            NO_PROOF,
            OTHER_BODY,
        ],
    },
    Act {
        method: "PATCH",
        path: "/api/v1/role-assignments/{role_assignment_id}",
        cases: &[
            case("success", 200, &[Done(CHANGED)]),
            case(
                "changed meanwhile",
                412,
                &[Refused(CHANGED, "revision_changed")],
            ),
            case("ended", 409, &[Refused(CHANGED, "assignment_ended")]),
            case(
                "last administrator",
                409,
                &[Refused(CHANGED, "last_administrator")],
            ),
            case(
                "beyond one's rights",
                422,
                &[Refused(CHANGED, "permissions_beyond_rights")],
            ),
            UNMATCHED,
            FORBIDDEN,
            MALFORMED,
            NOT_FOUND,
            NO_PROOF,
        ],
    },
    Act {
        method: "DELETE",
        path: "/api/v1/role-assignments/{role_assignment_id}",
        cases: &[
            case("success", 204, &[Done(WITHDRAWN)]),
            case("ended", 204, &[]),
            case(
                "last administrator",
                409,
                &[Refused(WITHDRAWN, "last_administrator")],
            ),
            case(
                "beyond one's rights",
                422,
                &[Refused(WITHDRAWN, "permissions_beyond_rights")],
            ),
            FORBIDDEN,
            NOT_FOUND,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/access/explain",
        cases: &[
            case("success", 200, &[Done(CoreEvent::AccessExplained)]),
            case(
                "about another",
                403,
                &[Refused(CoreEvent::AccessDenied, "permission_missing")],
            ),
            case("unknown user", 404, &[]),
            MALFORMED,
            NO_PROOF,
        ],
    },
];
