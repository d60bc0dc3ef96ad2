//! One field: how it is typed, and the way between what is typed and a key of the settings.

use serde_json::Value;

/// One thing that is asked.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The key's path in the settings, such as `tls.ca`.
    pub key: &'static str,
    /// What the vendor's console calls it.
    pub label: &'static str,
    /// What helps to find or write it; may be empty.
    pub help: &'static str,
    /// How it is typed.
    pub kind: Kind,
    /// Whether it has to be there.
    pub needed: bool,
    /// What a new one begins with.
    pub preset: &'static str,
    /// What holds where the settings say nothing.
    pub default: &'static str,
}

/// How something is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A line.
    Text,
    /// A whole number.
    Number,
    /// A whole number and a unit: `7d`, `64MiB`.
    Amount,
    /// A line for each part.
    List,
    /// One of these: the word in the settings, and what people read.
    Choice(&'static [(&'static str, &'static str)]),
    /// Any of these.
    Several(&'static [(&'static str, &'static str)]),
    /// Yes or no.
    Flag,
    /// A secret that goes to a file; the settings have the file's path.
    Secret,
    /// A certificate or key (PEM), likewise.
    Pem,
}

impl Field {
    /// A field of this kind.
    #[must_use]
    pub const fn new(kind: Kind, key: &'static str, label: &'static str, help: &'static str) -> Self {
        Self { key, label, help, kind, needed: false, preset: "", default: "" }
    }

    /// A line.
    #[must_use]
    pub const fn text(key: &'static str, label: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Text, key, label, help)
    }

    /// A line for each part.
    #[must_use]
    pub const fn list(key: &'static str, label: &'static str, help: &'static str) -> Self {
        Self::new(Kind::List, key, label, help)
    }

    /// A secret.
    #[must_use]
    pub const fn secret(key: &'static str, label: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Secret, key, label, help)
    }

    /// A certificate or key.
    #[must_use]
    pub const fn pem(key: &'static str, label: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Pem, key, label, help)
    }

    /// The same, which has to be there.
    #[must_use]
    pub const fn needed(self) -> Self {
        Self { needed: true, ..self }
    }

    /// The same, with which a new form begins so.
    #[must_use]
    pub const fn preset(self, preset: &'static str) -> Self {
        Self { preset, ..self }
    }

    /// The same, with what holds where the settings say nothing.
    #[must_use]
    pub const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    /// Whether it is kept in a file and never shown.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::Pem)
    }

    /// What the settings of an entry say.
    #[must_use]
    pub fn value<'v>(&self, now: &'v Value) -> Option<&'v Value> {
        self.key.split('.').try_fold(now, |here, key| here.get(key))
    }

    /// What stands in the form: a line for each part of a list. Nothing of what is kept in a file.
    #[must_use]
    pub fn shown(&self, now: &Value) -> String {
        match self.value(now) {
            _ if self.is_file() => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            _ => self.default.to_owned(),
        }
    }

    /// What the settings are to say; null where they need not say anything.
    #[must_use]
    pub fn read(&self, typed: &str) -> Value {
        let lines = || typed.lines().map(str::trim).filter(|line| !line.is_empty());
        match self.kind {
            // Of a box that is ticked the form sends both words, the second one last.
            Kind::Flag => Value::Bool(lines().next_back() == Some("true")),
            Kind::Several(_) => lines().collect(),
            Kind::List if lines().next().is_some() => lines().collect(),
            Kind::Number => match typed.trim().parse::<i64>() {
                Ok(number) => number.into(),
                Err(_) if typed.trim().is_empty() => Value::Null,
                // The settings say what is wrong with it.
                Err(_) => typed.trim().into(),
            },
            Kind::Text | Kind::Amount | Kind::Choice(_) if !typed.trim().is_empty() => typed.trim().into(),
            _ => Value::Null,
        }
    }
}
