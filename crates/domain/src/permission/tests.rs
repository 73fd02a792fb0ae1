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
