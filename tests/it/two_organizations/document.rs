//! The program's own OpenAPI document, as far as calls are made from it: operations, the lists whose
//! items they name, and what they take. Nothing is listed here, so that new operations take part.

use std::collections::BTreeMap;

use clm_tests::rest::{Call, Rest, documented};
use serde_json::Value;

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) method: String,
    /// As in the document.
    pub(super) path: String,
    pub(super) parameters: Vec<Value>,
    /// The schema of its body.
    pub(super) body: Option<Value>,
    pub(super) is_public: bool,
}

/// The document.
pub(super) struct Document {
    pub(super) operations: Vec<Operation>,
    schemas: Value,
    /// The paths of lists, each with the name that paths give the id of an item.
    pub(super) lists: BTreeMap<String, String>,
}

impl Operation {
    /// Method and path, as the list of exceptions writes them.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The list whose items it is about.
    pub(super) fn collection(&self) -> &str {
        self.path
            .split_once("/{")
            .map_or(self.path.as_str(), |(before, _)| before)
    }
}

impl Document {
    pub(super) async fn read(rest: &Rest) -> Self {
        let call = Call::new("GET", "/api/v1/openapi.json");
        let whole = rest.send(call).await.expect(200).body;
        let operations: Vec<Operation> = documented(rest)
            .await
            .into_iter()
            .map(|(method, path, operation)| operation_of(&whole, method, path, &operation))
            .collect();
        let lists = operations
            .iter()
            .filter(|one| one.method == "GET" && !one.path.contains('{'))
            .filter_map(|one| {
                let prefix = format!("{}/{{", one.path);
                let named = operations
                    .iter()
                    .find_map(|other| other.path.strip_prefix(&prefix));
                let (name, _) = named?.split_once('}')?;
                Some((one.path.clone(), name.to_owned()))
            })
            .collect();
        Self {
            operations,
            schemas: whole["components"]["schemas"].clone(),
            lists,
        }
    }

    /// The schema itself, where another one is referred to; the first of alternatives.
    pub(super) fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().unwrap_or_default();
            return self.resolve(&self.schemas[name]);
        }
        let alternatives = ["oneOf", "anyOf", "allOf"].into_iter();
        let mut alternatives = alternatives.filter_map(|word| schema[word].as_array());
        let first = alternatives
            .next()
            .and_then(|list| list.iter().find(|one| one["type"].as_str() != Some("null")));
        first.map_or(schema, |first| self.resolve(first))
    }
}

fn operation_of(whole: &Value, method: String, path: String, operation: &Value) -> Operation {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut parameters = list(&whole["paths"][&path]["parameters"]);
    parameters.extend(list(&operation["parameters"]));
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    Operation {
        method,
        path,
        parameters,
        body: body.is_object().then(|| body.clone()),
        is_public: list(&operation["security"]).is_empty(),
    }
}

/// Whether a field or parameter names an object: by its schema, or by its own name.
pub(super) fn is_reference(name: &str, schema: &Value) -> bool {
    let by_name = name == "id" || name.ends_with("_id") || name.ends_with("_ids");
    let names_one = matches!(name, "cursor" | "organization" | "user");
    let is_uuid = schema["format"] == "uuid" || schema["items"]["format"] == "uuid";
    by_name || names_one || is_uuid
}
