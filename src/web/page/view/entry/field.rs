//! One field of a form, as it is shown.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::form::{Field, Kind};

/// One field.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FieldShown {
    /// Its name in the form, and the path of its key in the settings.
    pub key: String,
    /// What the vendor's console calls it.
    pub label: &'static str,
    /// What helps to find or write it.
    pub help: &'static str,
    /// `text`, `number`, `amount`, `list`, `choice`, `several`, `flag`, `secret` or `pem`.
    pub kind: &'static str,
    /// Whether it has to be there.
    pub needed: bool,
    /// What stands in it, a line for each part; nothing of what is kept in a file.
    pub value: String,
    /// What can be chosen.
    pub choices: Vec<Choice>,
    /// Whether the settings name a file for it.
    pub is_set: bool,
    /// What was typed and is kept until the form is taken into use.
    #[serde(skip)]
    pub kept: Option<String>,
    /// What is wrong with it.
    #[serde(skip)]
    pub fault: Option<String>,
}

/// Something that can be chosen.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Choice {
    /// The word in the settings.
    pub value: &'static str,
    /// What people read.
    pub label: &'static str,
}

impl FieldShown {
    pub(super) fn of(field: &Field, now: &Value, prefix: &str) -> Self {
        let choices = |pairs: &'static [(&str, &str)]| {
            pairs.iter().map(|(value, label)| Choice { value, label }).collect::<Vec<_>>()
        };
        let (kind, choices) = match field.kind {
            Kind::Text => ("text", Vec::new()),
            Kind::Number => ("number", Vec::new()),
            Kind::Amount => ("amount", Vec::new()),
            Kind::List => ("list", Vec::new()),
            Kind::Choice(pairs) => ("choice", choices(pairs)),
            Kind::Several(pairs) => ("several", choices(pairs)),
            Kind::Flag => ("flag", Vec::new()),
            Kind::Secret => ("secret", Vec::new()),
            Kind::Pem => ("pem", Vec::new()),
        };
        let value = if now.is_null() && !field.preset.is_empty() { field.preset.to_owned() } else { field.shown(now) };
        Self {
            key: format!("{prefix}{}", field.key),
            label: field.label,
            help: field.help,
            kind,
            needed: field.needed,
            value,
            choices,
            is_set: field.is_file() && field.value(now).is_some(),
            kept: None,
            fault: None,
        }
    }

    /// The field of a new entry's name.
    pub(super) fn id(value: &str) -> Self {
        let help = "A name of your own: small letters, digits and _.";
        Self { value: value.to_owned(), ..Self::of(&Field::text("id", "Name", help).needed(), &Value::Null, "") }
    }

    /// Its id in the page.
    pub(super) fn place(&self) -> String {
        format!("f-{}", self.key.replace('.', "-"))
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self.kind, "secret" | "pem")
    }

    /// Whether it is typed on several lines.
    pub(super) fn has_lines(&self) -> bool {
        matches!(self.kind, "list" | "pem")
    }

    pub(super) fn rows(&self) -> usize {
        self.value.lines().count().clamp(2, 6)
    }

    pub(super) fn has(&self, value: &str) -> bool {
        self.value.lines().any(|line| line.trim() == value)
    }

    pub(super) fn is_on(&self) -> bool {
        self.value.lines().next_back() == Some("true")
    }

    pub(super) fn is_required(&self) -> bool {
        self.needed && !self.is_set && self.kept.is_none()
    }

    /// The ids of what is said beside it.
    pub(super) fn described(&self) -> String {
        let place = self.place();
        let help = (!self.help.is_empty()).then(|| format!("{place}-help"));
        let kept = (self.is_set || self.kept.is_some()).then(|| format!("{place}-kept"));
        let fault = self.fault.as_ref().map(|_| format!("{place}-fault"));
        help.into_iter().chain(kept).chain(fault).collect::<Vec<_>>().join(" ")
    }
}
