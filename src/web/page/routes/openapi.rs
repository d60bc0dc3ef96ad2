//! What programs can ask, as OpenAPI 3.1: made from the types that are answered.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::super::view;
use super::api::{Claim, Credentials, NewAccount, NewPassword, Session};
use super::change::Applied;
use super::entries;
use super::files::Content;
use super::settings::{NewSettings, NewText};
use super::upkeep::calls;

/// One thing that can be asked.
pub(super) struct Call {
    pub(super) path: &'static str,
    pub(super) method: &'static str,
    pub(super) about: &'static str,
    pub(super) needs: Needs,
    /// The type of what is sent: one of ours, or a media type where it is no JSON.
    pub(super) body: Option<&'static str>,
    /// Status, and the type of what is answered.
    pub(super) answer: (u16, Option<&'static str>),
    /// Statuses of what can be refused, besides those that everything can be.
    pub(super) refused: &'static [u16],
}

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nobody,
    Session,
}

const SPAN: &str = "How far back the charts go.";

/// All of them but those of the forms.
const CALLS: [Call; 23] = [
    call("/openapi.json", "get", "This document.", Needs::Nobody, (200, None)),
    Call {
        body: Some("Claim"),
        refused: &[409, 422, 429, 500, 503],
        ..call(
            "/claim",
            "post",
            "Claims a new box: makes its first administrator.",
            Needs::Nobody,
            (200, Some("Session")),
        )
    },
    Call {
        body: Some("Credentials"),
        refused: &[429, 500, 503],
        ..call("/session", "post", "Logs in.", Needs::Nobody, (200, Some("Session")))
    },
    call("/session", "get", "Says who is logged in.", Needs::Session, (200, Some("Session"))),
    Call { refused: &[403], ..call("/session", "delete", "Logs out.", Needs::Session, (204, None)) },
    call("/overview", "get", "The box's health, with its charts.", Needs::Session, (200, Some("Overview"))),
    call("/sources", "get", "All sources.", Needs::Session, (200, Some("Sources"))),
    Call {
        refused: &[404],
        ..call(
            "/sources/{id}",
            "get",
            "One source, with its numbers and chart.",
            Needs::Session,
            (200, Some("SourcePage")),
        )
    },
    Call {
        refused: &[503],
        ..call("/ledger", "get", "What became of each source's events.", Needs::Session, (200, Some("Ledger")))
    },
    call("/audit", "get", "Who did what on the page, the newest first.", Needs::Session, (200, Some("Audit"))),
    Call {
        refused: &[403],
        ..call("/accounts", "get", "All accounts. For administrators.", Needs::Session, (200, Some("Accounts")))
    },
    Call {
        body: Some("NewAccount"),
        refused: &[403, 409, 422, 500, 503],
        ..call("/accounts", "post", "Makes an account. For administrators.", Needs::Session, (201, None))
    },
    Call {
        refused: &[403, 404, 409, 500],
        ..call("/accounts/{name}", "delete", "Takes an account away. For administrators.", Needs::Session, (204, None))
    },
    Call {
        body: Some("NewPassword"),
        refused: &[403, 422, 429, 500, 503],
        ..call(
            "/accounts/{name}/password",
            "put",
            "Sets the own password; all sessions of the account end, and a new one begins.",
            Needs::Session,
            (200, Some("Session")),
        )
    },
    Call {
        refused: &[409],
        ..call(
            "/settings",
            "get",
            "The settings in use, and the copies one can go back to.",
            Needs::Session,
            (200, Some("Settings")),
        )
    },
    Call {
        body: Some("NewSettings"),
        refused: &[403, 409, 422],
        ..call(
            "/settings",
            "put",
            "Takes settings into use. For administrators.",
            Needs::Session,
            (200, Some("Applied")),
        )
    },
    Call {
        body: Some("NewText"),
        refused: &[403, 409],
        ..call(
            "/settings/check",
            "post",
            "Says what is wrong with settings, and what is different. For administrators.",
            Needs::Session,
            (200, Some("Review")),
        )
    },
    Call {
        refused: &[404, 409],
        ..call(
            "/settings/copies/{number}",
            "get",
            "A copy of settings that have worked.",
            Needs::Session,
            (200, Some("Settings")),
        )
    },
    Call {
        refused: &[403, 409],
        ..call(
            "/settings/confirm",
            "post",
            "Keeps settings that wait to be confirmed. For administrators.",
            Needs::Session,
            (204, None),
        )
    },
    Call {
        refused: &[403, 409],
        ..call(
            "/settings/take-back",
            "post",
            "Goes back to the settings before. For administrators.",
            Needs::Session,
            (204, None),
        )
    },
    Call {
        refused: &[403, 500],
        ..call(
            "/files",
            "get",
            "Files that the settings can name. For administrators.",
            Needs::Session,
            (200, Some("Files")),
        )
    },
    Call {
        body: Some("Content"),
        refused: &[403, 409, 422, 500],
        ..call(
            "/files/{name}",
            "put",
            "Keeps a secret, key or certificate in the box. For administrators.",
            Needs::Session,
            (204, None),
        )
    },
    Call {
        refused: &[403, 404, 409, 422, 500],
        ..call(
            "/files/{name}",
            "delete",
            "Takes a file away that nothing names. For administrators.",
            Needs::Session,
            (204, None),
        )
    },
];

pub(super) const fn call(
    path: &'static str,
    method: &'static str,
    about: &'static str,
    needs: Needs,
    answer: (u16, Option<&'static str>),
) -> Call {
    Call { path, method, about, needs, body: None, answer, refused: &[] }
}

/// The document.
pub(super) fn document() -> Value {
    let mut paths = serde_json::Map::new();
    for call in CALLS.iter().chain(calls::CALLS).chain(&entries::CALLS) {
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
    for add in calls::SCHEMAS {
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
        assert_eq!(calls, CALLS.len() + calls::CALLS.len() + entries::CALLS.len());
        for name in ["Overview", "Session", "Claim", "SourceCard", "Trouble"] {
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        assert!(!text.contains("\"$schema\""));
    }
}
