//! A source or an output as a form: what is asked, with the steps beside it, and what can be done with it.

mod devices;
mod field;
mod findings;
mod outlets;

#[cfg(test)]
pub(super) mod tests;

pub use devices::{DeviceKey, DeviceShown, Devices, HostKey};
pub use field::FieldShown;
pub use findings::Findings;
pub use outlets::Outputs;

use askama::Template;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::frame::Frame;
use super::text;
use crate::form::{Filled, Form};

/// The types that there are.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct KindList {
    /// In the order people should read them.
    pub kinds: Vec<KindShown>,
}

/// A type.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct KindShown {
    /// `source` or `output`.
    pub list: &'static str,
    /// The word in the settings.
    pub kind: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// A form, filled in with what the settings say.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EntryForm {
    /// `source` or `output`.
    pub list: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// What people call the type.
    pub title: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Its id; a proposal where it is new.
    pub id: String,
    /// Whether the settings do not have it yet.
    pub is_new: bool,
    /// Whether it is paused.
    pub is_paused: bool,
    /// What the vendor shows, or the device needs.
    pub fields: Vec<FieldShown>,
    /// What some sites need besides.
    pub more: Vec<FieldShown>,
    /// What to do at the vendor, in order.
    pub steps: &'static [&'static str],
    /// What to type into devices that send.
    pub guides: Vec<GuideShown>,
    /// Whether it can be tested.
    pub is_tested: bool,
    /// Whether administrators of other tenants can consent to its app.
    pub consent: bool,
    /// The devices that may log in, where it has such.
    pub devices: Option<Devices>,
    /// What is wrong and belongs to no field.
    #[serde(skip)]
    pub faults: Vec<String>,
    /// What a test found.
    #[serde(skip)]
    pub findings: Option<Findings>,
}

/// What to type into a device.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct GuideShown {
    /// The device.
    pub title: &'static str,
    /// Where in it.
    pub place: String,
    /// Fields and values.
    pub rows: Vec<(&'static str, String)>,
    /// A text to paste, in place of fields.
    pub text: String,
}

impl From<Filled> for GuideShown {
    fn from(filled: Filled) -> Self {
        Self { title: filled.title, place: filled.place, rows: filled.rows, text: filled.text }
    }
}

impl EntryForm {
    /// A form with what the settings of the entry say; null for a new one.
    #[must_use]
    pub fn of(list: &'static str, form: &'static Form, id: &str, now: &Value) -> Self {
        let is_new = now.is_null();
        let mut fields: Vec<_> = form.asks.iter().map(|field| FieldShown::of(field, now, "")).collect();
        if is_new {
            fields.insert(0, FieldShown::id(id));
            let inside = form.inside.iter().flat_map(|inside| inside.asks.iter().map(|field| (inside.list, field)));
            fields.extend(inside.map(|(list, field)| FieldShown::of(field, now, &format!("{list}."))));
        }
        Self {
            list,
            kind: form.kind,
            title: form.title,
            about: form.about,
            id: id.to_owned(),
            is_new,
            is_paused: now.get("enabled") == Some(&Value::Bool(false)),
            fields,
            more: form.more.iter().copied().flatten().map(|field| FieldShown::of(field, now, "")).collect(),
            steps: form.steps,
            guides: Vec::new(),
            is_tested: form.is_tested,
            consent: form.consent,
            devices: None,
            faults: Vec::new(),
            findings: None,
        }
    }

    /// Each field.
    pub fn each(&mut self) -> impl Iterator<Item = &mut FieldShown> {
        self.fields.iter_mut().chain(&mut self.more)
    }

    /// Says what is wrong with a field, or above the form where there is no such field.
    pub fn fault(&mut self, key: &str, words: String) {
        if let Some(field) = self.each().find(|field| field.key == key) {
            field.fault = Some(words);
            return;
        }
        self.faults.push(format!("{key}: {words}"));
    }

    fn heading(&self) -> String {
        if self.is_new { format!("Add {}", self.title) } else { format!("{} {}", self.list, self.id) }
    }

    fn action(&self) -> String {
        if self.is_new { format!("/add/{}/{}", self.list, self.kind) } else { self.path("edit") }
    }

    /// The path of something that can be done with it.
    fn path(&self, deed: &str) -> String {
        format!("/{}/{}/{deed}", self.list, text::in_path(&self.id))
    }

    fn is_source(&self) -> bool {
        self.list == "source"
    }

    /// Whether something in the part that is closed at first has to be seen.
    fn opens_more(&self) -> bool {
        self.more.iter().any(|field| field.fault.is_some() || field.kept.is_some())
    }
}

/// The list of types.
#[derive(Debug, Template)]
#[template(path = "entry/kinds.html", config = ".askama.toml")]
struct KindsPage<'a> {
    frame: &'a Frame,
    list: &'a str,
    page: &'a KindList,
}

#[derive(Debug, Template)]
#[template(path = "entry/form.html", config = ".askama.toml")]
struct FormPage<'a> {
    frame: &'a Frame,
    page: &'a EntryForm,
}

/// What somebody has to know who asks another tenant's administrator for a consent.
#[derive(Clone, Debug)]
pub struct Consent {
    /// The source.
    pub id: String,
    /// The address that the app must know.
    pub redirect: String,
    /// Where the administrator of the tenant says yes.
    pub link: String,
}

#[derive(Debug, Template)]
#[template(path = "entry/consent.html", config = ".askama.toml")]
struct ConsentPage<'a> {
    frame: &'a Frame,
    page: &'a Consent,
}

#[derive(Debug, Template)]
#[template(path = "entry/answered.html", config = ".askama.toml")]
struct AnsweredPage<'a> {
    frame: &'a Frame,
    next: &'a str,
}

#[derive(Debug, Template)]
#[template(path = "entry/take.html", config = ".askama.toml")]
struct TakePage<'a> {
    frame: &'a Frame,
    id: &'a str,
    answer: &'a str,
}

pub(super) fn kinds(frame: &Frame, list: &str, page: &KindList) -> String {
    super::render(&KindsPage { frame, list, page })
}

pub(super) fn form(frame: &Frame, page: &EntryForm) -> String {
    super::render(&FormPage { frame, page })
}

pub(super) fn consent(frame: &Frame, page: &Consent) -> String {
    super::render(&ConsentPage { frame, page })
}

pub(super) fn answered(frame: &Frame, next: &str) -> String {
    super::render(&AnsweredPage { frame, next })
}

pub(super) fn take(frame: &Frame, id: &str, answer: &str) -> String {
    super::render(&TakePage { frame, id, answer })
}

pub(super) fn outputs(frame: &Frame, page: &Outputs) -> String {
    outlets::page(frame, page)
}
