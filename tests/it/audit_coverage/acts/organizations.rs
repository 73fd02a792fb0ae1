//! The acts about organizations, their members and invitations.

use clm_domain::audit::CoreEvent;

use super::Expected::{Done, Refused};
use super::{Act, Case, FORBIDDEN, MALFORMED, NO_PROOF, NOT_FOUND, OTHER_BODY, case};

const CREATED: CoreEvent = CoreEvent::OrganizationCreated;
const CHANGED: CoreEvent = CoreEvent::OrganizationChanged;
const STATUS: CoreEvent = CoreEvent::OrganizationStatusChanged;
const ADDED: CoreEvent = CoreEvent::MemberAdded;
const MEMBER_STATUS: CoreEvent = CoreEvent::MemberStatusChanged;
const REMOVED: CoreEvent = CoreEvent::MemberRemoved;
const LEFT: CoreEvent = CoreEvent::MemberLeft;
const INVITED: CoreEvent = CoreEvent::InvitationCreated;
const REVOKED: CoreEvent = CoreEvent::InvitationRevoked;
const ACCEPTED: CoreEvent = CoreEvent::InvitationAccepted;
const SWITCHED: CoreEvent = CoreEvent::SessionSwitched;

const FROM_ELSEWHERE: Case = case(
    "from elsewhere",
    403,
    &[Refused(CoreEvent::AccessDenied, "system_organization_only")],
);
const BY_KEY: Case = case("by API key", 422, &[]);

pub(super) const ACTS: &[Act] = &[
    Act {
        method: "POST",
        path: "/api/v1/organizations",
        cases: &[
            case("success", 201, &[Done(CREATED)]),
            case("slug of another", 409, &[Refused(CREATED, "slug_taken")]),
            case("no slug", 422, &[]),
            FROM_ELSEWHERE,
            FORBIDDEN,
            MALFORMED,
            case("repeated by key", 201, &[]),
            OTHER_BODY,
            NO_PROOF,
        ],
    },
    Act {
        method: "PATCH",
        path: "/api/v1/organizations/{organization_id}",
        cases: &[
            case("success", 200, &[Done(CHANGED)]),
            case(
                "changed meanwhile",
                412,
                &[Refused(CHANGED, "revision_changed")],
            ),
            case("out of range", 422, &[]),
            case("without If-Match", 428, &[]),
            FROM_ELSEWHERE,
            FORBIDDEN,
            NOT_FOUND,
            MALFORMED,
            NO_PROOF,
        ],
    },
    Act {
        method: "PUT",
        path: "/api/v1/organizations/{organization_id}/status",
        cases: &[
            case("success", 200, &[Done(STATUS)]),
            case("so already", 200, &[]),
            case(
                "the System organization",
                409,
                &[Refused(STATUS, "system_organization")],
            ),
            case("without reason", 422, &[]),
            FROM_ELSEWHERE,
            FORBIDDEN,
            NOT_FOUND,
            MALFORMED,
            NO_PROOF,
        ],
    },
    Act {
        method: "PUT",
        path: "/api/v1/sessions/current/organization",
        cases: &[
            case("success", 200, &[Done(SWITCHED)]),
            case("elsewhere", 404, &[]),
            case("too old", 409, &[Refused(SWITCHED, "sign_in_again")]),
            BY_KEY,
            MALFORMED,
            NO_PROOF,
        ],
    },
    Act {
        method: "PUT",
        path: "/api/v1/users/me/primary-organization",
        cases: &[
            case(
                "success",
                204,
                &[Done(CoreEvent::PrimaryOrganizationChanged)],
            ),
            case("elsewhere", 404, &[]),
            BY_KEY,
            MALFORMED,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/members",
        cases: &[
            case("success", 201, &[Done(ADDED)]),
            case("member already", 409, &[Refused(ADDED, "already_member")]),
            case("unknown user", 404, &[]),
            case("unknown organization", 404, &[]),
            FROM_ELSEWHERE,
            FORBIDDEN,
            MALFORMED,
            case("repeated by key", 201, &[]),
            OTHER_BODY,
            NO_PROOF,
        ],
    },
    Act {
        method: "PUT",
        path: "/api/v1/members/{user_id}/status",
        cases: &[
            case("success", 200, &[Done(MEMBER_STATUS)]),
            case("so already", 200, &[]),
            case("oneself", 409, &[Refused(MEMBER_STATUS, "own_membership")]),
            case(
                "the last administrator",
                409,
                &[Refused(MEMBER_STATUS, "last_administrator")],
            ),
            case("without reason", 422, &[]),
            FORBIDDEN,
            NOT_FOUND,
            MALFORMED,
            NO_PROOF,
        ],
    },
    Act {
        method: "DELETE",
        path: "/api/v1/members/{user_id}",
        cases: &[
            case("success", 204, &[Done(REMOVED)]),
            case("oneself", 409, &[Refused(REMOVED, "own_membership")]),
            case("at home", 409, &[Refused(REMOVED, "home_membership")]),
            case("owns something", 409, &[Refused(REMOVED, "owns_objects")]),
            FORBIDDEN,
            NOT_FOUND,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/members/me/leave",
        cases: &[
            case("success", 204, &[Done(LEFT)]),
            case("at home", 409, &[Refused(LEFT, "home_membership")]),
            case("no such successor", 404, &[]),
            BY_KEY,
            MALFORMED,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/invitations",
        cases: &[
            case("success", 201, &[Done(INVITED)]),
            case("no address", 422, &[]),
            case(
                "role beyond the own rights",
                422,
                &[Refused(INVITED, "permissions_beyond_rights")],
            ),
            case("unknown role", 404, &[]),
            case("too many", 409, &[Refused(INVITED, "too_many_invitations")]),
            FORBIDDEN,
            MALFORMED,
            // The token goes by mail: nothing in the answer is shown once.
            case("repeated by key", 201, &[]),
            OTHER_BODY,
            NO_PROOF,
        ],
    },
    Act {
        method: "DELETE",
        path: "/api/v1/invitations/{invitation_id}",
        cases: &[
            case("success", 204, &[Done(REVOKED)]),
            case("taken back already", 204, &[]),
            case("accepted", 409, &[Refused(REVOKED, "invitation_accepted")]),
            FORBIDDEN,
            NOT_FOUND,
            NO_PROOF,
        ],
    },
    Act {
        method: "POST",
        path: "/api/v1/invitations/accept",
        cases: &[
            case("success", 200, &[Done(ACCEPTED)]),
            case(
                "member already",
                409,
                &[Refused(ACCEPTED, "already_member")],
            ),
            case("wrong token", 404, &[]),
            BY_KEY,
            MALFORMED,
            case("repeated by key", 200, &[]),
            OTHER_BODY,
            NO_PROOF,
        ],
    },
];
