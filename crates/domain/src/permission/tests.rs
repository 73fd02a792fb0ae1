//! Tests of `permission`.

use serde_json::json;

use super::*;

#[test]
fn all_holds_every_action_on_every_resource() {
    let all = Permissions::all();

    assert_eq!(all.iter().count(), Resource::ALL.len() * Action::ALL.len());
    for resource in Resource::ALL {
        for action in Action::ALL {
            assert!(all.allows(*resource, *action), "{action:?} on {resource:?}");
        }
    }
}

#[test]
fn the_last_variants_are_listed() {
    // The declared order is the derived order, so the last of the list is the last variant.
    assert_eq!(Resource::ALL.last(), Resource::ALL.iter().max());
    assert_eq!(Resource::ALL.len(), Resource::System as usize + 1);
    assert_eq!(Action::ALL.len(), Action::Unseal as usize + 1);
}

#[test]
fn intersection_holds_what_both_hold() {
    let left: Permissions = [
        (Resource::Certificate, Action::Read),
        (Resource::User, Action::Administer),
    ]
    .into_iter()
    .collect();
    let right: Permissions = [
        (Resource::Certificate, Action::Read),
        (Resource::Certificate, Action::List),
    ]
    .into_iter()
    .collect();

    let both = left.intersect(&right);

    assert_eq!(
        both.iter().collect::<Vec<_>>(),
        [(Resource::Certificate, Action::Read)]
    );
    assert_eq!(left.intersect(&Permissions::none()), Permissions::none());
}

#[test]
fn unknown_words_of_the_stored_form_grant_nothing() {
    let stored = json!({
        "certificate": ["read", "conjure"],
        "spell": ["read"],
        "user": "read",
        "audit": [],
    });

    let permissions = Permissions::from_stored(&stored);

    assert_eq!(
        permissions.iter().collect::<Vec<_>>(),
        [(Resource::Certificate, Action::Read)]
    );
    assert_eq!(
        Permissions::from_stored(&json!(["certificate"])),
        Permissions::none()
    );
}

#[test]
fn what_concerns_the_installation_counts_in_the_system_organization_alone() {
    let own = (Resource::User, Action::Update);
    let held: Permissions = [own, (Resource::MasterKey, Action::Rotate)]
        .into_iter()
        .collect();
    let elsewhere = OrganizationId::from_uuid(uuid::Uuid::from_u128(42));

    let there: Permissions = [own].into_iter().collect();
    assert_eq!(held.counting_in(elsewhere), there);
    assert_eq!(held.counting_in(SYSTEM_ORGANIZATION), held);
}

#[test]
fn what_is_held_is_not_beyond() {
    let read = (Resource::User, Action::Read);
    let update = (Resource::User, Action::Update);
    let helpdesk: Permissions = [read, update].into_iter().collect();
    let reader: Permissions = [read].into_iter().collect();

    assert_eq!(reader.beyond(&helpdesk), Permissions::none());
    assert_eq!(helpdesk.beyond(&helpdesk), Permissions::none());
    let more: Permissions = [update].into_iter().collect();
    assert_eq!(helpdesk.beyond(&reader), more);
    let all = Permissions::all();
    assert_eq!(all.beyond(&helpdesk).iter().count(), all.iter().count() - 2);
}
