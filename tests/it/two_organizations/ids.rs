//! The ids of an organization, as its own lists name them.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clm_tests::rest::{Call, Credential, Rest};
use uuid::Uuid;

use super::calls::Chance;
use super::document::Document;

/// What a reference may name, by the path of the list that it was found in.
#[derive(Default)]
pub(super) struct Ids {
    by_list: BTreeMap<String, Vec<String>>,
    cursors: Vec<String>,
    all: Vec<String>,
}

impl Ids {
    /// Adds what the lists show to somebody, as far as it may be named.
    pub(super) async fn read(
        &mut self,
        rest: &Rest,
        credential: &Credential,
        document: &Document,
        may_be_named: impl Fn(&Uuid) -> bool,
    ) {
        for (path, parameter) in &document.lists {
            let call = Call::new("GET", &format!("{path}?limit=1000")).by(credential);
            let answer = rest.send(call).await.expect(200);
            let known = self.by_list.entry(path.clone()).or_default();
            for item in answer.body["items"].as_array().into_iter().flatten() {
                let id = item["id"].as_str().or_else(|| item[parameter].as_str());
                let id = id.expect("an item has an id");
                let is_named = id.parse().is_ok_and(|id: Uuid| may_be_named(&id));
                if is_named && !known.iter().any(|one| one == id) {
                    known.push(id.to_owned());
                    self.all.push(id.to_owned());
                }
            }
            let call = Call::new("GET", &format!("{path}?limit=1")).by(credential);
            let answer = rest.send(call).await.expect(200);
            let cursor = answer.body["next_cursor"].as_str();
            self.cursors.extend(cursor.map(str::to_owned));
        }
        assert!(!self.all.is_empty(), "there is nothing to name");
    }

    /// Adds ids that no list shows.
    pub(super) fn add(&mut self, ids: &BTreeSet<Uuid>) {
        self.all.extend(ids.iter().map(Uuid::to_string));
    }

    /// Something that a reference of this name may mean, for an operation on this list; at times
    /// anything.
    pub(super) fn one(
        &self,
        chance: &Chance,
        lists: &BTreeMap<String, String>,
        (name, collection): (&str, &str),
    ) -> String {
        if name == "cursor" {
            let is_given = chance.below(2) == 0 && !self.cursors.is_empty();
            let given = chance.pick(&self.cursors).filter(|_| is_given).cloned();
            let made = || cursor_of(chance.pick(&self.all).map_or("", String::as_str));
            return given.unwrap_or_else(made);
        }
        let of_list = |path: &str| self.by_list.get(path).filter(|ids| !ids.is_empty());
        // That of the path itself first: users and members are named alike.
        let is_own = lists
            .get(collection)
            .is_some_and(|one| name.ends_with(one.as_str()));
        let by_name = lists
            .iter()
            .filter(|(_, parameter)| name.ends_with(parameter.as_str()))
            .find_map(|(path, _)| of_list(path));
        let named = if is_own { of_list(collection) } else { by_name };
        let known = named.or_else(|| of_list(collection));
        let known = known.filter(|_| chance.below(8) > 0).unwrap_or(&self.all);
        chance.pick(known).cloned().unwrap_or_default()
    }
}

/// The cursor behind the object with this id.
pub(super) fn cursor_of(id: &str) -> String {
    let id: Uuid = id.parse().expect("ids are UUIDs");
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// The id of the object that a cursor points behind.
pub(super) fn id_of(cursor: &str) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    Uuid::from_slice(&bytes).ok()
}
