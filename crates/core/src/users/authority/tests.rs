//! Tests of `users::authority`.

use super::*;

fn permissions(items: &[(Resource, Action)]) -> Permissions {
    items.iter().copied().collect()
}

#[test]
fn what_concerns_the_installation_counts_in_the_system_organization_alone() {
    let held = permissions(&[
        (Resource::User, Action::Update),
        (Resource::MasterKey, Action::Rotate),
    ]);
    let elsewhere = OrganizationId::from_uuid(Uuid::from_u128(42));

    assert_eq!(
        counting_in(&held, elsewhere),
        permissions(&[(Resource::User, Action::Update)])
    );
    assert_eq!(counting_in(&held, SYSTEM_ORGANIZATION), held);
}

#[test]
fn nobody_is_outranked_by_those_who_hold_less_or_the_same() {
    let helpdesk = permissions(&[
        (Resource::User, Action::Read),
        (Resource::User, Action::Update),
    ]);
    let reader = permissions(&[(Resource::User, Action::Read)]);

    assert_eq!(beyond(&reader, &helpdesk), Permissions::none());
    assert_eq!(beyond(&helpdesk, &helpdesk), Permissions::none());
    assert_eq!(
        beyond(&helpdesk, &reader),
        permissions(&[(Resource::User, Action::Update)])
    );
    assert_eq!(beyond(&Permissions::all(), &helpdesk).iter().count(), {
        Permissions::all().iter().count() - 2
    });
}
