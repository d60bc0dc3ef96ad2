//! Sources and outputs by form: added, changed, tested, paused and taken out, for people and for programs.
//!
//! In: what was typed, by the fields of the type's form. Out: settings that went the way of all settings: checked, in use at once,
//! taken back where something does not start. A secret goes to a file of the box; the settings get its path.
//!
//! Invariants: nothing is written before all that was typed has been looked at; a test takes nothing into use; what is wrong comes
//! back at its field in the words of the settings. Bounded: one test at a time, and how long it may take.

mod api;
mod calls;
mod consent;
mod devices;
mod draft;
mod guide;
mod pages;
mod save;
mod test;

pub(super) use calls::{CALLS, add_schemas};
pub(super) use pages::notice;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use serde_json::Value;

use super::super::Shared;
use super::accounts::Hidden;
use crate::control::SettingsProblem;
use crate::form::Form;
use crate::output;
use crate::secret::Secret;
use crate::source;

/// Certificates and keys, most characters written as three.
const LARGEST_FORM: usize = 2 << 20;

pub(super) fn pages() -> Router<Arc<Shared>> {
    let both = List::ALL.into_iter().fold(Router::new(), |routes, list| routes.merge(pages::of(list)));
    both.merge(pages::outputs())
        .merge(devices::pages())
        .merge(consent::pages())
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
}

pub(super) fn api() -> Router<Arc<Shared>> {
    let both = List::ALL.into_iter().fold(Router::new(), |routes, list| routes.merge(api::of(list)));
    both.merge(api::forms()).merge(devices::api()).merge(consent::api()).layer(DefaultBodyLimit::max(LARGEST_FORM))
}

/// One of the two lists of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Source,
    Output,
}

impl List {
    const ALL: [Self; 2] = [Self::Source, Self::Output];

    /// Its name in the settings.
    fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Output => "output",
        }
    }

    fn forms(self) -> &'static [&'static Form] {
        match self {
            Self::Source => &source::FORMS,
            Self::Output => &output::FORMS,
        }
    }

    fn form(self, kind: &str) -> Option<&'static Form> {
        self.forms().iter().copied().find(|form| form.kind == kind)
    }

    /// The entry of this id.
    fn find<'v>(self, values: &'v Value, id: &str) -> Option<&'v Value> {
        let entries = values.get(self.word())?.as_array()?;
        entries.iter().find(|entry| entry.get("id").and_then(Value::as_str) == Some(id))
    }

    /// The entry of this id, and the form of its type.
    fn find_form<'v>(self, values: &'v Value, id: &str) -> Option<(&'v Value, &'static Form)> {
        let entry = self.find(values, id)?;
        Some((entry, self.form(entry.get("type")?.as_str()?)?))
    }

    /// An id that no entry has yet.
    fn free_id(self, values: &Value, form: &Form) -> String {
        let numbered = |number: u32| if number < 2 { form.kind.to_owned() } else { format!("{}_{number}", form.kind) };
        (1..=u32::MAX).map(numbered).find(|id| self.find(values, id).is_none()).unwrap_or_default()
    }
}

/// What was typed, by the names of the fields: a line for each part of a list.
#[derive(Debug, Default)]
struct Typed(BTreeMap<String, Secret<String>>);

impl Typed {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.expose().as_str())
    }
}

impl FromIterator<(String, Hidden)> for Typed {
    fn from_iter<I: IntoIterator<Item = (String, Hidden)>>(pairs: I) -> Self {
        let mut typed = Self::default();
        for (name, text) in pairs {
            let text = text.secret();
            let both = match typed.0.remove(&name) {
                Some(before) => Secret::new(format!("{}\n{}", before.expose(), text.expose())),
                None => text,
            };
            typed.0.insert(name, both);
        }
        typed
    }
}

/// What somebody wants an entry to be.
#[derive(Debug)]
struct Wish {
    list: List,
    form: &'static Form,
    id: String,
    is_new: bool,
    typed: Typed,
}

/// What is wrong with what was typed, in the words of the settings.
#[derive(Debug, Default)]
struct Faults {
    /// By the names of the fields.
    fields: BTreeMap<String, String>,
    /// What belongs to no field.
    above: Vec<String>,
}

impl Faults {
    fn above(words: impl Into<String>) -> Self {
        Self { fields: BTreeMap::new(), above: vec![words.into()] }
    }

    fn at(field: &str, words: impl Into<String>) -> Self {
        Self { fields: BTreeMap::from([(field.to_owned(), words.into())]), above: Vec::new() }
    }

    /// All of it in one sentence, for programs and for the audit log.
    fn words(&self) -> String {
        let fields = self.fields.iter().map(|(field, words)| format!("{field}: {words}"));
        fields.chain(self.above.iter().cloned()).collect::<Vec<_>>().join("; ")
    }

    /// Each problem at its field: that of the key, of the table around it, or of a key inside.
    fn of(problems: &[SettingsProblem], wish: &Wish) -> Self {
        let mut faults = Self::default();
        let prefix = format!("{}.", wish.table());
        for problem in problems {
            let words = format!("{}; {}", problem.what, problem.advice);
            let field = problem.key.strip_prefix(&prefix).and_then(|key| wish.field_of(key));
            match field {
                Some(field) => {
                    faults.fields.entry(field).or_insert(words);
                }
                None if problem.key.is_empty() => faults.above.push(words),
                None => faults.above.push(format!("{}: {words}", problem.key)),
            }
        }
        faults
    }
}

impl Wish {
    /// Its table in the settings.
    fn table(&self) -> String {
        format!("{}[{}]", self.list.word(), self.id)
    }

    /// The field that a key of the settings belongs to.
    fn field_of(&self, key: &str) -> Option<String> {
        if key == "id" {
            return Some(key.to_owned());
        }
        let inside = self.form.inside.and_then(|inside| {
            let inner = key.strip_prefix(inside.list)?;
            // The form asks for the first entry; without one its name is missing.
            let inner = inner.strip_prefix("[0].").or(inner.is_empty().then_some(""))?;
            let field = inside.asks.iter().find(|field| inner.is_empty() || is_part(inner, field.key))?;
            self.is_new.then(|| format!("{}.{}", inside.list, field.key))
        });
        let own = || self.form.fields().find(|field| is_part(key, field.key) || is_part(field.key, key));
        inside.or_else(|| own().map(|field| field.key.to_owned()))
    }
}

/// Whether a key is this one, or a part of its value.
fn is_part(key: &str, whole: &str) -> bool {
    key.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wish(list: List, kind: &str) -> Wish {
        Wish { list, form: list.form(kind).unwrap(), id: "a".into(), is_new: true, typed: Typed::default() }
    }

    fn problem(key: &str) -> SettingsProblem {
        SettingsProblem { line: 1, column: 1, key: key.into(), what: "wrong".into(), advice: "write another".into() }
    }

    #[test]
    fn each_problem_comes_back_at_its_field() {
        let ssh = wish(List::Source, "ssh");
        let syslog = wish(List::Source, "syslog");
        for (wish, key, field) in [
            (&syslog, "source[a].listen[1]", "listen"),
            (&syslog, "source[a].tls", "tls.cert"),
            (&syslog, "source[a].tls.key", "tls.key"),
            (&syslog, "source[a].id", "id"),
            (&ssh, "source[a].device[0].keys", "device.keys"),
            (&ssh, "source[a].device", "device.name"),
        ] {
            let faults = Faults::of(&[problem(key)], wish);
            assert_eq!(faults.fields.keys().collect::<Vec<_>>(), [field], "{key}");
            assert_eq!(faults.fields[field], "wrong; write another");
        }
        for key in ["source[b].listen", "output[a].listen", "source[a].max_connections", "page.listen", ""] {
            let faults = Faults::of(&[problem(key)], &syslog);
            assert!(faults.fields.is_empty() && faults.above.len() == 1 && faults.above[0].contains(key), "{key}");
        }
    }

    #[test]
    fn parts_of_one_name_are_lines_and_a_new_id_is_free() {
        let pair = |name: &str, text: &str| (name.to_owned(), Hidden::from(text.to_owned()));
        let typed: Typed =
            [pair("logs", ""), pair("logs", "a"), pair("host", "h"), pair("logs", "b")].into_iter().collect();
        assert_eq!((typed.text("logs"), typed.text("host"), typed.text("x")), (Some("\na\nb"), Some("h"), None));
        assert!(format!("{typed:?}").contains("***") && !format!("{typed:?}").contains("\"h\""));
        let values = json!({ "source": [{ "id": "duo" }, { "id": "duo_2", "type": "duo" }] });
        let form = List::Source.form("duo").unwrap();
        assert_eq!(List::Source.free_id(&values, form), "duo_3");
        assert_eq!(List::Source.free_id(&Value::Null, form), "duo");
        assert!(List::Source.find_form(&values, "duo_2").is_some() && List::Source.find_form(&values, "duo").is_none());
    }
}
