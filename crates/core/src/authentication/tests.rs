//! Tests of `authentication`.

use clm_domain::ids::UserId;
use uuid::Uuid;

use super::*;
use crate::test_values::CountingRng;

fn holder() -> Holder {
    Holder {
        user_id: UserId::from_uuid(Uuid::from_u128(1)),
        username: "ada".to_owned(),
        user_status: UserStatus::Active,
        must_change_password: false,
        organization_id: SYSTEM_ORGANIZATION,
        organization_status: OrganizationStatus::Active,
        membership_active: true,
        permissions: Permissions::all(),
        rights_change_at: None,
    }
}

fn identity(csrf_sha256: Option<CredentialHash>) -> Identity {
    Identity {
        actor: Actor::Anonymous,
        username: String::new(),
        organization_id: SYSTEM_ORGANIZATION,
        permissions: Permissions::none(),
        owed: None,
        ends_at: None,
        look_up_at: None,
        allowed_networks: None,
        scopes: None,
        csrf_sha256,
    }
}

#[test]
fn an_active_member_of_an_active_organization_may_do_what_the_roles_allow() {
    assert_eq!(admit(&holder()), Some(Permissions::all()));
}

#[test]
fn every_other_user_status_stops_the_credential() {
    for status in UserStatus::ALL {
        let admitted = admit(&Holder {
            user_status: *status,
            ..holder()
        });
        assert_eq!(
            admitted.is_some(),
            *status == UserStatus::Active,
            "{status}"
        );
    }
}

#[test]
fn without_an_active_membership_nothing_is_left() {
    assert_eq!(
        admit(&Holder {
            membership_active: false,
            ..holder()
        }),
        None
    );
}

#[test]
fn an_inactive_organization_stops_the_credential() {
    let inactive = OrganizationStatus::Inactive;
    assert_eq!(
        admit(&Holder {
            organization_status: inactive,
            ..holder()
        }),
        None
    );
}

#[test]
fn a_suspended_organization_can_be_read_and_left() {
    let suspended = OrganizationStatus::Suspended;
    let left = admit(&Holder {
        organization_status: suspended,
        ..holder()
    })
    .unwrap();

    for (resource, action) in Permissions::all().iter() {
        let expected = matches!(action, Action::Read | Action::List | Action::Verify)
            || (resource, action) == (Resource::Session, Action::Delete);
        assert_eq!(
            left.allows(resource, action),
            expected,
            "{action:?} on {resource:?}"
        );
    }
}

#[test]
fn a_suspended_organization_adds_nothing_to_the_roles() {
    let left = within(OrganizationStatus::Suspended, Permissions::none());
    assert_eq!(left, Some(Permissions::none()));
}

#[test]
fn only_the_csrf_token_of_the_session_is_taken() {
    let rng = CountingRng::default();
    let token = credential::new_token(&rng);
    let other = credential::new_token(&rng);
    let identity = identity(credential::token_hash(token.expose()));
    let code = |proof| {
        check_csrf(&identity, proof).map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::Forbidden);
            error.0.code.into_owned()
        })
    };
    let refused = Err("csrf_token_invalid".to_owned());

    assert_eq!(code(CsrfProof::NotNeeded), Ok(()));
    assert_eq!(code(CsrfProof::Token(Some(token.expose()))), Ok(()));
    assert_eq!(code(CsrfProof::Token(Some(other.expose()))), refused);
    assert_eq!(code(CsrfProof::Token(Some(""))), refused);
    assert_eq!(code(CsrfProof::Token(None)), refused);
}

#[test]
fn a_credential_without_csrf_token_passes_no_proof() {
    let token = credential::new_token(&CountingRng::default());
    let proof = CsrfProof::Token(Some(token.expose()));

    assert!(check_csrf(&identity(None), proof).is_err());
}

fn session(
    second_factor: SessionSecondFactor,
    required: bool,
    change: bool,
) -> sessions::FoundSession {
    sessions::FoundSession {
        session_id: Uuid::nil().into(),
        csrf_sha256: [0; 32],
        last_seen_at: DateTime::UNIX_EPOCH,
        idle_expires_at: DateTime::UNIX_EPOCH,
        expires_at: DateTime::UNIX_EPOCH,
        second_factor,
        second_factor_required: required,
        holder: Holder {
            must_change_password: change,
            ..holder()
        },
    }
}

#[test]
fn what_a_session_owes_is_asked_for_in_order() {
    use SessionSecondFactor::{None as NotGiven, Owed as Owing, Passed};
    for (second_factor, required, change, expected) in [
        (NotGiven, false, false, None),
        (NotGiven, true, false, Some(Owed::SecondFactorEnrolment)),
        (NotGiven, true, true, Some(Owed::PasswordChange)),
        (NotGiven, false, true, Some(Owed::PasswordChange)),
        (Owing, false, false, Some(Owed::SecondFactor)),
        (Owing, true, true, Some(Owed::SecondFactor)),
        (Passed, true, false, None),
        (Passed, true, true, Some(Owed::PasswordChange)),
    ] {
        assert_eq!(owed(&session(second_factor, required, change)), expected);
    }
}
