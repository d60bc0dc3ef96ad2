//! What of it programs can ask, for the OpenAPI document.

use schemars::SchemaGenerator;

use super::super::super::view;
use super::super::calls::{Call, Needs, call};
use super::api::{ChangedEntry, NewEntry, Paused};
use super::consent::{Answer, Link, Tenant};
use super::devices::Keys;

const ADMINISTRATORS: &[u16] = &[403, 409, 422];
const FOUND: &[u16] = &[403, 404, 409, 422];

const fn get(path: &'static str, about: &'static str, answer: &'static str, refused: &'static [u16]) -> Call {
    Call { refused, ..call(path, "get", about, Needs::Session, (200, Some(answer))) }
}

const fn done(path: &'static str, method: &'static str, about: &'static str, body: Option<&'static str>) -> Call {
    Call { body, refused: FOUND, ..call(path, method, about, Needs::Session, (204, None)) }
}

const fn added(path: &'static str, about: &'static str) -> Call {
    Call { body: Some("NewEntry"), refused: ADMINISTRATORS, ..call(path, "post", about, Needs::Session, (201, None)) }
}

const fn tested(path: &'static str, about: &'static str) -> Call {
    Call {
        body: Some("NewEntry"),
        refused: ADMINISTRATORS,
        ..call(path, "post", about, Needs::Session, (200, Some("Findings")))
    }
}

/// All of them.
pub(in super::super) const CALLS: [Call; 20] = [
    get("/forms", "The types of sources and outputs.", "KindList", &[]),
    get("/forms/{list}/{kind}", "What a type asks for, with the steps at the vendor.", "EntryForm", &[404, 409]),
    get("/outputs", "All outputs.", "Outputs", &[]),
    added("/sources", "Adds a source. For administrators."),
    tested("/sources/test", "Asks the vendor of a source once; takes nothing into use. For administrators."),
    get("/sources/{id}/form", "What the settings of a source say, without its secrets.", "EntryForm", &[404, 409]),
    done("/sources/{id}", "put", "Changes fields of a source. For administrators.", Some("ChangedEntry")),
    done("/sources/{id}", "delete", "Takes a source out. For administrators.", None),
    done("/sources/{id}/paused", "put", "Pauses a source, or lets it run again. For administrators.", Some("Paused")),
    get("/sources/{id}/devices", "The devices that may push files, and the keys of the box.", "Devices", &[404, 409]),
    done("/sources/{id}/devices/{name}", "put", "Gives a device these keys. For administrators.", Some("Keys")),
    done("/sources/{id}/devices/{name}", "delete", "Takes a device out. For administrators.", None),
    Call {
        refused: &[403, 404, 409],
        ..call(
            "/sources/{id}/consent",
            "post",
            "Begins to ask another tenant's administrator for a consent. For administrators.",
            Needs::Session,
            (200, Some("Link")),
        )
    },
    Call {
        body: Some("Answer"),
        refused: &[403, 422],
        ..call(
            "/consent",
            "post",
            "Takes the answer to a consent. For administrators.",
            Needs::Session,
            (200, Some("Tenant")),
        )
    },
    added("/outputs", "Adds an output. For administrators."),
    tested("/outputs/test", "Connects to the far ends of an output once; sends nothing. For administrators."),
    get("/outputs/{id}/form", "What the settings of an output say, without its secrets.", "EntryForm", &[404, 409]),
    done("/outputs/{id}", "put", "Changes fields of an output. For administrators.", Some("ChangedEntry")),
    done("/outputs/{id}", "delete", "Takes an output out. For administrators.", None),
    done("/outputs/{id}/paused", "put", "Pauses an output, or lets it run again. For administrators.", Some("Paused")),
];

/// The types that they name.
pub(in super::super) fn add_schemas(generator: &mut SchemaGenerator) {
    fn add<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) {
        generator.subschema_for::<T>();
    }
    for add in [
        add::<view::KindList>,
        add::<view::EntryForm>,
        add::<view::Outputs>,
        add::<view::Findings>,
        add::<view::Devices>,
        add::<NewEntry>,
        add::<ChangedEntry>,
        add::<Paused>,
        add::<Keys>,
        add::<Link>,
        add::<Answer>,
        add::<Tenant>,
    ] {
        add(generator);
    }
}
