//! Tests of `sessions`.

use clm_domain::ids::RequestId;
use uuid::Uuid;

use super::*;
use crate::test_values::{CountingRng, at};

const HASH: &str = "$argon2id$the-hash";

fn state() -> PasswordState {
    PasswordState {
        username: "ada".to_owned(),
        email: None,
        home_organization_id: SYSTEM_ORGANIZATION,
        user_status: UserStatus::Active,
        password_hash: Some(HASH.to_owned()),
        password_set_at: at(0),
        failed_sign_in_count: 0,
        locked_until: None,
    }
}

fn attempt(verified_hash: Option<&str>, home: OrganizationStatus) -> Attempt {
    let rng = CountingRng::default();
    let user_id = UserId::generate(at(0), &rng);
    let cause = Cause {
        actor: &Actor::Anonymous,
        organization_id: SYSTEM_ORGANIZATION,
        request_id: RequestId::from_uuid(Uuid::nil()),
    };
    let row = AuditRow::success(CoreEvent::SessionCreated, &cause, None, at(0), &rng);
    Attempt {
        candidate: SignInCandidate {
            user_id,
            home_organization_id: SYSTEM_ORGANIZATION,
            home_organization_status: home,
            password_hash: Some(HASH.to_owned()),
        },
        verified_hash: verified_hash.map(str::to_owned),
        known_address_id: Uuid::nil(),
        session: sessions::NewSession {
            session_id: SessionId::generate(at(0), &rng),
            user_id,
            token_sha256: [1; 32],
            csrf_sha256: [2; 32],
            created_at: at(0),
            idle_expires_at: at(60),
            expires_at: at(600),
            ip_address: None,
            second_factor: SessionSecondFactor::None,
            user_agent: None,
        },
        success: row.clone(),
        refusal: row,
    }
}

fn judged(verified_hash: Option<&str>, state: &PasswordState) -> Option<&'static str> {
    judge(
        &attempt(verified_hash, OrganizationStatus::Active),
        state,
        at(0),
    )
}

#[test]
fn the_right_password_signs_in() {
    assert_eq!(judged(Some(HASH), &state()), None);
}

#[test]
fn a_wrong_password_is_wrong() {
    assert_eq!(judged(None, &state()), Some("wrong_password"));
}

#[test]
fn a_password_that_was_changed_meanwhile_is_wrong() {
    let changed = PasswordState {
        password_hash: Some("$argon2id$new".to_owned()),
        ..state()
    };
    assert_eq!(judged(Some(HASH), &changed), Some("wrong_password"));
}

#[test]
fn a_user_without_password_never_signs_in_with_one() {
    let none = PasswordState {
        password_hash: None,
        ..state()
    };
    assert_eq!(judged(None, &none), Some("wrong_password"));
}

#[test]
fn a_lock_hides_whether_the_password_is_right() {
    let locked = PasswordState {
        locked_until: Some(at(1)),
        ..state()
    };

    assert_eq!(judged(Some(HASH), &locked), Some("locked"));
    assert_eq!(judged(None, &locked), Some("locked"));
}

#[test]
fn a_lock_ends_by_itself() {
    let unlocked = PasswordState {
        locked_until: Some(at(0)),
        failed_sign_in_count: 9,
        ..state()
    };
    assert_eq!(judged(Some(HASH), &unlocked), None);
}

#[test]
fn only_active_users_sign_in() {
    for status in UserStatus::ALL {
        let state = PasswordState {
            user_status: *status,
            ..state()
        };
        let expected = (*status != UserStatus::Active).then_some("user_not_active");
        assert_eq!(judged(Some(HASH), &state), expected, "{status}");
    }
}

#[test]
fn nobody_signs_in_from_an_inactive_home() {
    for status in OrganizationStatus::ALL {
        let attempt = attempt(Some(HASH), *status);
        let expected = (*status == OrganizationStatus::Inactive).then_some("organization_inactive");
        assert_eq!(judge(&attempt, &state(), at(0)), expected, "{status}");
    }
}
