//! Tests of `invitations`.

use super::*;

fn set(permissions: &[(Resource, Action)]) -> Permissions {
    permissions.iter().copied().collect()
}

#[test]
fn a_tenant_gives_nothing_of_the_installation() {
    let own = (Resource::Certificate, Action::Read);
    let role = set(&[own, (Resource::MasterKey, Action::Read)]);
    let tenant = OrganizationId::from_uuid(uuid::Uuid::from_u128(9));
    assert_eq!(within(tenant, &role), set(&[own]));
    assert_eq!(within(SYSTEM_ORGANIZATION, &role), role);
}

#[test]
fn what_is_not_held_is_beyond() {
    let held = set(&[(Resource::Certificate, Action::Read)]);
    let more = (Resource::Certificate, Action::Create);
    let given = set(&[(Resource::Certificate, Action::Read), more]);
    assert_eq!(beyond(&held, &held), Permissions::none());
    assert_eq!(beyond(&given, &held), set(&[more]));
    assert_eq!(beyond(&Permissions::none(), &held), Permissions::none());
}
