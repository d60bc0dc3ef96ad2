//! What was typed, as settings: looked at, and not in use.

use serde_json::Value;

use super::super::super::Shared;
use super::super::super::files::{FileError, Files};
use super::{Faults, Wish};
use crate::control::{Edit, Settings, SettingsNow, SettingsReply};
use crate::form::Field;
use crate::secret::Secret;

/// Said where the answer is another one.
const AGAIN: &str = "the settings cannot be asked for now; try again";

/// A secret that was typed and waits in a file of its own.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// The field.
    pub(super) key: &'static str,
    /// The file that it goes to.
    pub(super) name: String,
    /// What it is called until then.
    pub(super) typed: String,
    /// Where it lies now.
    pub(super) path: String,
}

/// Settings with the entry in them.
#[derive(Debug)]
pub(super) struct Draft {
    /// The settings in use.
    pub(super) before: SettingsNow,
    /// The whole text.
    pub(super) text: String,
    /// The version that it was made from.
    pub(super) version: String,
    /// What it says.
    pub(super) values: Value,
    /// Secrets that go to their files when it is taken into use.
    pub(super) secrets: Vec<Waiting>,
}

/// Why there is none, or why it cannot be taken into use.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) faults: Faults,
    /// What was typed is not lost.
    pub(super) secrets: Vec<Waiting>,
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self { faults, secrets: Vec::new() }
    }
}

/// The settings with a change in them.
pub(super) struct Edited {
    pub(super) text: String,
    pub(super) values: Value,
    pub(super) version: String,
}

impl Wish {
    /// The change of the settings that makes it so; `path` says where a secret lies.
    pub(super) fn edit(&self, values: &Value, path: impl Fn(&str) -> Option<String>) -> Edit {
        let file = |key: &str| {
            let is_dropped = || self.typed.text("drop").is_some_and(|keys| keys.lines().any(|line| line.trim() == key));
            path(key).map(Value::String).or_else(|| is_dropped().then_some(Value::Null))
        };
        let now = if self.is_new { None } else { self.list.find(values, &self.id) };
        let mut changes = self.form.patch(now.unwrap_or(&Value::Null), |key| self.typed.text(key), file);
        if !self.is_new {
            return Edit::Set { table: self.table(), values: changes };
        }
        changes.insert("id".to_owned(), self.id.as_str().into());
        changes.insert("type".to_owned(), self.form.kind.into());
        if let Some(inside) = self.form.inside {
            let name = |key: &str| format!("{}.{key}", inside.list);
            let entry = inside.patch(&Value::Null, |key| self.typed.text(&name(key)));
            if !entry.is_empty() {
                changes.insert(inside.list.to_owned(), Value::Array(vec![Value::Object(entry)]));
            }
        }
        Edit::Add { list: self.list.word().to_owned(), values: changes }
    }

    /// The file that a secret goes to.
    fn file(&self, field: &Field) -> String {
        let key = field.key.strip_suffix("_file").unwrap_or(field.key).replace('.', "-");
        format!("{}-{}-{key}", self.list.word(), self.id)
    }

    /// The secrets that were typed, now or before.
    fn secrets(&self) -> Vec<Asked> {
        let asked = |field: &'static Field| {
            let text = self.typed.text(field.key).filter(|text| !text.trim().is_empty());
            let kept = self.typed.text(&format!("kept.{}", field.key)).unwrap_or_default();
            Asked {
                key: field.key,
                name: self.file(field),
                text: text.map(|text| Secret::new(text.to_owned())),
                kept: kept.trim().to_owned(),
            }
        };
        self.form.fields().filter(|field| field.is_file()).map(asked).collect()
    }
}

/// A secret of a form.
struct Asked {
    key: &'static str,
    name: String,
    text: Option<Secret<String>>,
    kept: String,
}

/// Brings secrets into files of their own. Blocks on the disk.
fn bring(secrets: Vec<Asked>, files: &Files) -> Result<Vec<Waiting>, Faults> {
    let mut waiting = Vec::new();
    for Asked { key, name, text, kept } in secrets {
        let typed = match text.map(|text| files.type_in(&name, &text)) {
            Some(Ok(typed)) => typed,
            // The settings say what is wrong with the id.
            Some(Err(FileError::BadName)) => continue,
            Some(Err(error)) => return Err(Faults::at(key, error.to_string())),
            None => kept,
        };
        if let Some(path) = files.typed(&name, &typed) {
            waiting.push(Waiting { key, name, typed, path });
        }
    }
    Ok(waiting)
}

impl Shared {
    /// The settings with a change in them.
    pub(super) async fn edited(&self, what: Edit) -> Result<Edited, String> {
        match self.ask_settings(Settings::Edit(what)).await? {
            SettingsReply::Edited { text, values, version } => Ok(Edited { text, values, version }),
            _ => Err(AGAIN.to_owned()),
        }
    }

    /// What was typed, as settings that nothing is wrong with.
    pub(super) async fn draft(&self, wish: &Wish) -> Result<Draft, Failure> {
        let before = self.settings_now().await.map_err(Faults::above)?;
        if wish.id.trim().is_empty() {
            let words = "the name is empty; write one of your own, such as \"firewalls\"";
            return Err(Faults::at("id", words).into());
        }
        let (files, secrets) = (self.files.clone(), wish.secrets());
        let brought = tokio::task::spawn_blocking(move || bring(secrets, &files)).await;
        let secrets = brought.unwrap_or_else(|error| Err(Faults::above(error.to_string())))?;
        match self.looked_at(wish, &before, &secrets).await {
            Ok(Edited { text, values, version }) => Ok(Draft { before, text, version, values, secrets }),
            Err(faults) => Err(Failure { faults, secrets }),
        }
    }

    async fn looked_at(&self, wish: &Wish, before: &SettingsNow, secrets: &[Waiting]) -> Result<Edited, Faults> {
        let path = |key: &str| secrets.iter().find(|secret| secret.key == key).map(|secret| secret.path.clone());
        let edited = self.edited(wish.edit(&before.values, path)).await.map_err(Faults::above)?;
        match self.ask_settings(Settings::Check { text: edited.text.clone() }).await.map_err(Faults::above)? {
            SettingsReply::Checked { problems, .. } if problems.is_empty() => Ok(edited),
            SettingsReply::Checked { problems, .. } => Err(Faults::of(&problems, wish)),
            _ => Err(Faults::above(AGAIN)),
        }
    }
}
