//! What must stay as it is, and what nobody of the own organization may see.

use std::collections::BTreeSet;

use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_tests::databases::Contents;
use clm_tests::rest::Answer;
use uuid::Uuid;

use super::calls::{Draft, uuids};
use super::fixture::{Actor, World};
use super::ids::id_of;

/// Where people who belong to both see both: the list of their organizations.
const OF_ONESELF: &str = "/api/v1/organizations";

/// What a rotation of a key changes by itself.
const MOVED_BY_ROTATIONS: &[&str] = &[
    "core.inbox",
    "core.outbox",
    "secure.encryption_keys",
    "secure.inbox",
    "secure.key_rotation_history",
    "secure.outbox",
    "secure.private_keys",
    "secure.sealed_secrets",
];

/// Watches the other organization.
pub(super) struct Watch<'a> {
    pub(super) world: &'a World,
    /// Everything but the own organization and what is shared by all.
    before: Contents,
    /// The ids that belong to the other organization alone.
    pub(super) ids: BTreeSet<Uuid>,
}

impl<'a> Watch<'a> {
    pub(super) async fn begin(world: &'a World) -> Self {
        let before = contents(world).await;
        for table in [
            "core.organizations",
            "core.users",
            "core.user_roles",
            "core.user_organizations",
            "core.certificate_metadata",
            "core.sessions",
            "core.api_keys",
            "secure.private_keys",
            "secure.issuers",
            "secure.encryption_keys",
        ] {
            let rows = before.get(table).map(String::as_str).unwrap_or_default();
            assert!(
                !rows.is_empty() && !rows.starts_with("0 rows"),
                "{table} is not watched"
            );
        }
        let all = world.superuser.contents().await;
        assert!(before.keys().all(|table| all.contains_key(table)));
        let mut ids = world.superuser.ids_of(world.other.id).await;
        ids.retain(|id| !world.shared.contains(id));
        Self { world, before, ids }
    }

    /// Neither an id nor a text that only the other organization has is in the answer, unless the
    /// caller named it and unknown ones are repeated just so.
    pub(super) fn nothing_shown(
        &self,
        what: &str,
        (actor, draft): (&Actor, &Draft),
        [answer, control]: [&Answer; 2],
    ) {
        let other = &self.world.other;
        let mut text = answer.text.clone();
        for value in answer.headers.values() {
            text.push('\n');
            text.push_str(&String::from_utf8_lossy(value.as_bytes()));
        }
        for (foreign, unknown) in &draft.foreign {
            if control.text.contains(unknown) {
                text = text.replace(foreign, unknown);
            }
        }
        let sees_both = actor.belongs_to_both && draft.is_of(OF_ONESELF);
        for id in uuids(&text).filter(|id| self.ids.contains(id)) {
            let is_allowed = sees_both && id == other.id;
            assert!(is_allowed, "{what}\nshows {id} of the other organization");
        }
        let behind = answer.body["next_cursor"].as_str().and_then(id_of);
        let is_foreign = behind.is_some_and(|id| self.ids.contains(&id));
        assert!(
            !is_foreign,
            "{what}\nshows a cursor of the other organization"
        );
        let marker = other.marker();
        let is_named = draft
            .foreign
            .iter()
            .any(|(foreign, _)| foreign == other.slug);
        let secret = if sees_both || is_named {
            marker.as_str()
        } else {
            other.slug
        };
        assert!(!text.contains(secret), "{what}\nshows {secret}");
    }

    pub(super) async fn nothing_changed(&self, what: &str) {
        let after = contents(self.world).await;
        for (table, before) in &self.before {
            assert_eq!(after.get(table), Some(before), "{what}\n{table} changed");
        }
    }

    /// Everything that is stored, once nothing is under way, but for what rotations of keys move in
    /// the background.
    pub(super) async fn at_rest(&self) -> Contents {
        self.world.superuser.settle().await;
        let mut contents = self.world.superuser.contents().await;
        contents.retain(|table, _| !MOVED_BY_ROTATIONS.contains(&table.as_str()));
        contents
    }

    /// Nothing changed either once everything that is under way between the databases has arrived.
    pub(super) async fn end(&self) {
        self.world.superuser.settle().await;
        self.nothing_changed("in the end").await;
    }
}

async fn contents(world: &World) -> Contents {
    let beside = [world.own.id, SYSTEM_ORGANIZATION.as_uuid()];
    world.superuser.contents_beside(&beside).await
}
