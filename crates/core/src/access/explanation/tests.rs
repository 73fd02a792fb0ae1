//! Tests of `access::explanation`: what decides, in which order.

use chrono::TimeDelta;
use uuid::Uuid;

use super::*;

const RULE: (Resource, Action) = (Resource::Certificate, Action::Read);

fn moment(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn standing() -> Standing {
    Standing {
        username: "ada".to_owned(),
        user_status: UserStatus::Active,
        organization_status: OrganizationStatus::Active,
        is_active_member: true,
    }
}

fn given(valid_from: i64, valid_until: Option<i64>) -> Given {
    Given {
        role_assignment_id: Uuid::from_u128(1).into(),
        organization_id: Uuid::from_u128(2).into(),
        assigned_role_id: Uuid::from_u128(3).into(),
        assigned_role_code: "READERS".to_owned(),
        valid_from: moment(valid_from),
        valid_until: valid_until.map(moment),
        role_id: Uuid::from_u128(3).into(),
        role_code: "READERS".to_owned(),
        permissions: [RULE].into_iter().collect(),
    }
}

fn facts(here: Standing) -> Facts {
    Facts {
        source: Some(here.clone()),
        here: Some(here),
        given: Vec::new(),
    }
}

#[test]
fn an_assignment_counts_from_its_first_moment_to_before_its_last() {
    let times = (moment(10), Some(moment(20)));
    for (at, expected) in [
        (9, GrantState::Pending),
        (10, GrantState::Current),
        (19, GrantState::Current),
        (20, GrantState::Ended),
    ] {
        assert_eq!(state(times, moment(at)), expected, "{at}");
    }
    assert_eq!(
        state((moment(10), None), moment(1_000_000)),
        GrantState::Current
    );
}

#[test]
fn only_what_counts_gives_rights() {
    let all = [given(10, Some(20)), given(30, None)];
    for (at, expected) in [(5, false), (10, true), (20, false), (29, false), (30, true)] {
        let allowed = of_roles(&all, moment(at)).allows(RULE.0, RULE.1);
        assert_eq!(allowed, expected, "{at}");
    }
}

#[test]
fn the_first_thing_to_mend_is_named() {
    let nobody = Facts {
        here: None,
        source: None,
        given: Vec::new(),
    };
    assert_eq!(why_not(&nobody, true), Cause::NotAMember);
    let locked = Standing {
        user_status: UserStatus::Locked,
        is_active_member: false,
        ..standing()
    };
    assert_eq!(why_not(&facts(locked), true), Cause::UserNotActive);
    let suspended = Standing {
        is_active_member: false,
        ..standing()
    };
    assert_eq!(why_not(&facts(suspended), true), Cause::MembershipSuspended);
    let of = |organization_status| Standing {
        organization_status,
        ..standing()
    };
    let inactive = of(OrganizationStatus::Inactive);
    assert_eq!(why_not(&facts(inactive), true), Cause::OrganizationInactive);
    let frozen = of(OrganizationStatus::Suspended);
    assert_eq!(
        why_not(&facts(frozen.clone()), true),
        Cause::OrganizationSuspended
    );
    assert_eq!(why_not(&facts(frozen), false), Cause::PermissionMissing);
    assert_eq!(why_not(&facts(standing()), false), Cause::PermissionMissing);
    assert_eq!(why_not(&facts(standing()), true), Cause::ScopesMissing);
}
