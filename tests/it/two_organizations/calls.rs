//! Calls made from the document by chance: plausible values, and in place of ids the own ones, those
//! of the other organization, or ones that nobody has.

use clm_domain::clock::random_bytes;
use clm_test_support::SeededRng;
use clm_tests::rest::{Call, Credential};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::document::{Document, Operation, is_reference};
use super::fixture::World;
use super::ids::{Ids, cursor_of};

/// Names a call, so that it can be repeated.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What decides everything.
pub(super) struct Chance(SeededRng);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(SeededRng::new(seed))
    }

    /// A number below `count`.
    pub(super) fn below(&self, count: usize) -> usize {
        let random = u32::from_le_bytes(random_bytes(&self.0));
        random as usize % count.max(1)
    }

    /// One of these, where there is any.
    pub(super) fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    /// An id that nobody has.
    fn unknown(&self) -> String {
        let bytes = random_bytes(&self.0);
        uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string()
    }
}

/// A call of a member of the own organization.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
    /// What belongs to the other organization, each with something unknown in its place.
    pub(super) foreign: Vec<(String, String)>,
    pub(super) foreign_in_path: bool,
    /// Whether something foreign stands where it decides what the call is about.
    pub(super) is_compared: bool,
}

impl Draft {
    /// The call as it is sent.
    pub(super) fn call(&self, credential: &Credential) -> Call {
        let query: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let path = match query.is_empty() {
            true => self.path.clone(),
            false => format!("{}?{}", self.path, query.join("&")),
        };
        let call = Call::new(&self.method, &path).by(credential);
        self.headers
            .iter()
            .fold(call.maybe_body(self.body.clone()), |call, (name, value)| {
                call.header(name, value)
            })
    }

    /// The same call about what nobody has.
    pub(super) fn about_unknown(&self) -> Self {
        let mut draft = self.clone();
        // The key is for the call itself.
        draft.headers.retain(|(name, _)| *name != IDEMPOTENCY_KEY);
        draft.path = self.replaced(&self.path);
        for (_, value) in &mut draft.query {
            *value = self.replaced(value);
        }
        for (_, value) in &mut draft.headers {
            *value = self.replaced(value);
        }
        draft.body = self.body.as_ref().map(|body| {
            let text = self.replaced(&body.to_string());
            serde_json::from_str(&text).expect("ids are plain text")
        });
        draft
    }

    /// A text with what is unknown in place of what is foreign.
    pub(super) fn replaced(&self, text: &str) -> String {
        self.foreign
            .iter()
            .fold(text.to_owned(), |text, (foreign, unknown)| {
                text.replace(foreign, unknown)
            })
    }

    /// Whether it reads this list.
    pub(super) fn is_of(&self, path: &str) -> bool {
        self.method == "GET" && self.path == path
    }

    /// The idempotency key, with the path that it is for.
    pub(super) fn idempotency_key(&self) -> Option<(String, String)> {
        let found = self
            .headers
            .iter()
            .find(|(name, _)| *name == IDEMPOTENCY_KEY);
        found.map(|(_, key)| (self.path.clone(), key.clone()))
    }
}

/// Makes calls.
pub(super) struct Caller<'a> {
    pub(super) world: &'a World,
    pub(super) document: &'a Document,
    pub(super) own: Ids,
    pub(super) other: Ids,
    pub(super) chance: &'a Chance,
    /// So many things were named.
    named: u32,
}

impl<'a> Caller<'a> {
    pub(super) fn new(
        world: &'a World,
        document: &'a Document,
        [own, other]: [Ids; 2],
        chance: &'a Chance,
    ) -> Self {
        Self {
            world,
            document,
            own,
            other,
            chance,
            named: 0,
        }
    }

    /// A call of this operation.
    pub(super) fn draft(&mut self, operation: &Operation) -> Draft {
        self.named += 1;
        let mut draft = Draft {
            method: operation.method.clone(),
            path: operation.path.clone(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            foreign: Vec::new(),
            foreign_in_path: false,
            is_compared: false,
        };
        for parameter in &operation.parameters {
            self.put_parameter(&mut draft, operation, parameter);
        }
        if let Some(schema) = &operation.body {
            let mut made = Made {
                caller: &*self,
                collection: operation.collection(),
                draft: &mut draft,
            };
            draft.body = Some(made.value("", schema));
        }
        draft.is_compared = !draft.foreign.is_empty();
        self.repeat_what_others_asked(&mut draft);
        if self.chance.below(6) == 0 {
            let wanted = [
                self.world.other.id.to_string(),
                self.world.other.slug.to_owned(),
            ];
            let wanted = self.chance.pick(&wanted).cloned().unwrap_or_default();
            draft.headers.push(("x-clm-organization", wanted));
        }
        draft
    }

    fn put_parameter(&self, draft: &mut Draft, operation: &Operation, parameter: &Value) {
        let name = parameter["name"].as_str().expect("a parameter has a name");
        let (place, schema) = (parameter["in"].as_str(), &parameter["schema"]);
        match place {
            Some("path") => {
                let before = draft.foreign.len();
                let id = self.reference(name, operation.collection(), draft);
                draft.path = draft.path.replace(&format!("{{{name}}}"), &id);
                draft.foreign_in_path |= draft.foreign.len() > before;
            }
            Some("query") if self.chance.below(2) == 0 => {
                let value = match is_reference(name, schema) {
                    true => self.reference(name, operation.collection(), draft),
                    false => query_value(name).to_owned(),
                };
                draft.query.push((name.to_owned(), value));
            }
            Some("header") if name.eq_ignore_ascii_case("if-match") => {
                let tag = match self.chance.below(6) {
                    0 => self.reference(name, operation.collection(), draft),
                    1 => "2".to_owned(),
                    _ => "1".to_owned(),
                };
                draft.headers.push(("if-match", format!("\"{tag}\"")));
            }
            _ => {}
        }
    }

    /// Sends an idempotency key of the other organization's calls, at times with the same body.
    fn repeat_what_others_asked(&self, draft: &mut Draft) {
        let path = &draft.path;
        let asked: Vec<_> = self
            .world
            .asked
            .iter()
            .filter(|one| one.path == path)
            .collect();
        let any: Vec<_> = self.world.asked.iter().collect();
        let asked = if asked.is_empty() { any } else { asked };
        if draft.method != "POST" || self.chance.below(2) == 0 {
            return;
        }
        let Some(asked) = self.chance.pick(&asked) else {
            return;
        };
        draft.headers.push((IDEMPOTENCY_KEY, asked.key.clone()));
        if asked.path == draft.path && self.chance.below(2) == 0 {
            draft.body = Some(asked.body.clone());
            draft.foreign.clear();
            draft.is_compared = false;
        }
    }

    /// An id: an own one, a foreign one, or one that nobody has.
    fn reference(&self, name: &str, collection: &str, draft: &mut Draft) -> String {
        let mut unknown = self.chance.unknown();
        if name == "cursor" {
            unknown = cursor_of(&unknown);
        }
        let lists = &self.document.lists;
        match self.chance.below(8) {
            0..=2 if !matches!(name, "organization" | "user") => {
                self.own.one(self.chance, lists, (name, collection))
            }
            0..=6 => {
                let foreign = match name {
                    "organization" => match self.chance.below(2) {
                        0 => self.world.other.slug.to_owned(),
                        _ => self.world.other.id.to_string(),
                    },
                    _ => self.other.one(self.chance, lists, (name, collection)),
                };
                draft.foreign.push((foreign.clone(), unknown));
                foreign
            }
            _ => unknown,
        }
    }

    /// A value that suits a field of this name; none where only its type is known.
    fn plausible(&self, name: &str) -> Option<Value> {
        let fresh = self.named;
        let one_of = |all: &[&str]| Value::from(self.chance.pick(all).copied().unwrap_or_default());
        Some(match name {
            "action" => one_of(&["read", "list", "create"]),
            "allowed_networks" => json!(["127.0.0.0/8"]),
            "certificate_type" => "server".into(),
            "code" => "123456".into(),
            "days" => 90.into(),
            "csr" | "signature_algorithm" => Value::Null,
            "current_password" | "new_password" | "passphrase" | "password" => {
                format!("a long secret of call {fresh}").into()
            }
            "email" => format!("call-{fresh}@example.org").into(),
            "environment" => "production".into(),
            "key_algorithm" => "ecdsa-p256".into(),
            "limits" => limits(),
            "max_certificates" | "max_users" => 100_000.into(),
            "name" | "role_name" if self.chance.below(4) == 0 => "Twin".into(),
            "name" | "role_name" => format!("Twin {fresh}").into(),
            "permissions" | "scopes" => json!({ "certificate": ["read"] }),
            "provider" => "file".into(),
            "resource" => one_of(&["certificate", "role", "user"]),
            "role_code" => format!("MADE_{fresh}").into(),
            "rotation_type" => "manual".into(),
            "settings" => json!({ "session_hours_max": 700 }),
            "slug" => format!("made-{fresh}").into(),
            "status" => one_of(&["active", "suspended"]),
            "subject" => format!("CN=Twin {fresh}").into(),
            "subject_alternative_names" => json!(["DNS:twin.example"]),
            "tags" => json!(["made"]),
            "user_type" => one_of(&["person", "service"]),
            "username" => format!("made-{fresh}").into(),
            "validity_days" => 30.into(),
            "validity_seconds" => 3_600.into(),
            _ => return None,
        })
    }
}

fn limits() -> Value {
    json!({
        "certificate_authority": false, "end_entities": true, "extended_key_usage": [],
        "key_algorithms": ["ecdsa-p256"], "validity_seconds_max": 86_400,
        "names": { "directory_names": false, "registered_ids": false },
        "issuances_per_minute_max": null,
    })
}

fn query_value(name: &str) -> &'static str {
    match name {
        "limit" => "20",
        "status" => "active",
        "username" => "both",
        _ => "true",
    }
}

/// A body under way.
struct Made<'a, 'b> {
    caller: &'a Caller<'b>,
    collection: &'a str,
    draft: &'a mut Draft,
}

impl Made<'_, '_> {
    fn value(&mut self, name: &str, schema: &Value) -> Value {
        let document = self.caller.document;
        let schema = document.resolve(schema);
        let is = |wanted: &str| match &schema["type"] {
            Value::Array(types) => types.iter().any(|one| one == wanted),
            one => one == wanted,
        };
        if is_reference(name, schema) {
            let id = self.caller.reference(name, self.collection, self.draft);
            return if is("array") { json!([id]) } else { id.into() };
        }
        if let Some(value) = self.caller.plausible(name) {
            return value;
        }
        if let Some(values) = schema["enum"].as_array() {
            return self.caller.chance.pick(values).cloned().unwrap_or_default();
        }
        if is("object") {
            self.object(schema)
        } else if is("array") {
            json!([self.value(name, &schema["items"])])
        } else if is("boolean") {
            (self.caller.chance.below(2) == 0).into()
        } else if is("integer") || is("number") {
            1.into()
        } else if schema["format"] == "date-time" {
            self.caller.world.tomorrow.as_str().into()
        } else {
            "two organizations".into()
        }
    }

    /// Every field that must be there, and some of the others.
    fn object(&mut self, schema: &Value) -> Value {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let mut made = Map::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let is_required = required.iter().any(|one| one == name);
            // References are what this is about.
            let count = if is_reference(name, property) { 4 } else { 2 };
            if is_required || self.caller.chance.below(count) > 0 {
                made.insert(name.clone(), self.value(name, property));
            }
        }
        Value::Object(made)
    }
}

/// The UUIDs that a text holds.
pub(super) fn uuids(text: &str) -> impl Iterator<Item = Uuid> {
    const LENGTH: usize = 36;
    let starts = 0..(text.len() + 1).saturating_sub(LENGTH);
    starts.filter_map(|start| {
        let part = text.get(start..start + LENGTH)?;
        if part.as_bytes().get(8) == Some(&b'-') {
            part.parse().ok()
        } else {
            None
        }
    })
}
