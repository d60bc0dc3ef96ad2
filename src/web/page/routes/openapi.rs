//! What programs can ask, as OpenAPI 3.1: made from the types that are answered.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::super::view;
use super::api::{Claim, Credentials, NewAccount, NewPassword, Session};
use super::calls::{CALLS, Call, Needs};
use super::change::Applied;
use super::entries;
use super::files::Content;
use super::settings::{NewSettings, NewText};
use super::upkeep;

const SPAN: &str = "How far back the charts go.";

/// The document.
pub(super) fn document() -> Value {
    let mut paths = serde_json::Map::new();
    for call in CALLS.iter().chain(upkeep::calls::CALLS).chain(&entries::CALLS) {
        let at = paths.entry(call.path).or_insert_with(|| json!({}));
        if let Some(methods) = at.as_object_mut() {
            methods.insert(call.method.to_owned(), operation(call));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sapphire Edge",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the box's pages show, for programs. Log in with POST /session; the session is in a cookie, and \
                            everything that changes something carries its secret in X-CSRF-Token.",
        },
        "servers": [{ "url": "/api/v1" }],
        "paths": paths,
        "components": {
            "securitySchemes": { "session": { "type": "apiKey", "in": "cookie", "name": "__Host-session" } },
            "schemas": schemas(),
        },
    })
}

fn operation(call: &Call) -> Value {
    let schema = |name: &str| match name.contains('/') {
        true => json!({ name: { "schema": { "type": "string", "format": "binary" } } }),
        false => json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{name}") } } }),
    };
    let mut parameters = Vec::new();
    for name in ["id", "name", "list", "kind"].iter().filter(|name| call.path.contains(&format!("{{{name}}}"))) {
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    }
    if call.path.contains("{number}") {
        let schema = json!({ "type": "integer", "minimum": 0 });
        parameters.push(json!({ "name": "number", "in": "path", "required": true, "schema": schema }));
    }
    if call.path == "/overview" || call.path == "/sources/{id}" {
        let spans = json!({ "type": "string", "enum": ["hour", "day", "month"], "default": "hour" });
        parameters.push(json!({ "name": "span", "in": "query", "description": SPAN, "schema": spans }));
    }
    if call.path == "/live" {
        let minutes = json!({ "type": "integer", "minimum": 1, "maximum": 1440, "default": 15 });
        let text = || json!({ "type": "string" });
        for (name, about, schema) in [
            ("source", "Only events of this source.", text()),
            ("text", "Only events that hold this text.", text()),
            ("minutes", "How far back.", minutes),
        ] {
            parameters.push(json!({ "name": name, "in": "query", "description": about, "schema": schema }));
        }
    }
    if call.needs == Needs::Session && call.method != "get" {
        let about = "The secret that GET /session gives.";
        let schema = json!({ "type": "string" });
        parameters.push(
            json!({ "name": "X-CSRF-Token", "in": "header", "required": true, "description": about, "schema": schema }),
        );
    }
    let (status, answer) = call.answer;
    let mut responses = serde_json::Map::new();
    let content = match answer {
        Some(name) => schema(name),
        None if status == 200 => json!({ "application/json": { "schema": { "type": "object" } } }),
        None => json!({}),
    };
    responses.insert(status.to_string(), json!({ "description": "Done.", "content": content }));
    let everywhere: &[u16] = match (call.needs, call.body) {
        (Needs::Nobody, None) => &[],
        (Needs::Nobody, Some(_)) => &[400, 401, 403, 408, 413, 415],
        (Needs::Session, None) => &[400, 401],
        (Needs::Session, Some(_)) => &[400, 401, 403, 408, 413, 415],
    };
    for status in everywhere.iter().chain(call.refused) {
        let refused =
            json!({ "description": "Refused; the answer says why, and what to do.", "content": schema("Refused") });
        responses.insert(status.to_string(), refused);
    }
    let words = call.path.split(['/', '{', '}', '.']).filter(|word| !word.is_empty());
    let id = std::iter::once(call.method).chain(words).collect::<Vec<_>>().join("_");
    let mut operation =
        json!({ "operationId": id, "summary": call.about, "parameters": parameters, "responses": responses });
    if let Some(fields) = operation.as_object_mut() {
        if call.needs == Needs::Session {
            fields.insert("security".to_owned(), json!([{ "session": [] }]));
        }
        if let Some(name) = call.body {
            fields.insert("requestBody".to_owned(), json!({ "required": true, "content": schema(name) }));
        }
    }
    operation
}

/// Puts a type among the schemas.
pub(super) fn add<T: JsonSchema>(generator: &mut schemars::SchemaGenerator) {
    generator.subschema_for::<T>();
}

fn schemas() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    for add in upkeep::calls::SCHEMAS {
        add(&mut generator);
    }
    for add in [
        add::<Claim>,
        add::<Credentials>,
        add::<NewAccount>,
        add::<NewPassword>,
        add::<Session>,
        add::<view::Overview>,
        add::<view::Sources>,
        add::<view::SourcePage>,
        add::<view::Ledger>,
        add::<view::Audit>,
        add::<view::Accounts>,
        add::<view::Settings>,
        add::<view::Review>,
        add::<NewText>,
        add::<NewSettings>,
        add::<Applied>,
        add::<view::Files>,
        add::<Content>,
    ] {
        add(&mut generator);
    }
    entries::add_schemas(&mut generator);
    let mut schemas = serde_json::Map::from_iter(generator.take_definitions(true));
    schemas.insert(
        "Refused".to_owned(),
        json!({
            "type": "object",
            "required": ["error"],
            "properties": { "error": {
                "type": "object",
                "required": ["what", "todo"],
                "properties": { "what": { "type": "string" }, "todo": { "type": "string" } },
            } },
        }),
    );
    Value::Object(schemas)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reference of the document leads somewhere.
    #[test]
    fn the_document_is_whole() {
        let document = document();
        let text = document.to_string();
        let mut count = 0;
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
            count += 1;
        }
        assert!(count > 30, "{count}");
        let calls: usize =
            document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(calls, CALLS.len() + upkeep::calls::CALLS.len() + entries::CALLS.len());
        for name in ["Overview", "Session", "Claim", "SourceCard", "Trouble"] {
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        assert!(!text.contains("\"$schema\""));
    }
}
