//! Texts of settings that are not in use: copies, those with a change or an enrolment in them, and what is wrong with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use similar::TextDiff;

use super::backup::{self, Place};
use crate::config::{self, Config, ConfigError, Enrolment, Kept};
use crate::control::{Card, Edit, SettingsCopy, SettingsNow, SettingsProblem, SettingsReply, SettingsTrial};
use crate::fleet;
use crate::secret::Secret;
use crate::web::page;

/// What tells one text from another: people see it in a form.
pub(super) fn version(text: &str) -> String {
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    sum.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the file's text on a thread that may wait for the disk.
pub(super) async fn text_of(file: PathBuf) -> Result<String, String> {
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(file));
    read.await.map_err(|error| error.to_string())?.map_err(|error| format!("the settings file cannot be read: {error}"))
}

/// How the settings are.
pub(super) async fn now(file: &Path, trial: Option<SettingsTrial>) -> Result<SettingsReply, String> {
    let text = text_of(file.to_owned()).await?;
    let kept = Kept::of(file);
    let copies = tokio::task::spawn_blocking(move || kept.copies()).await.unwrap_or_default();
    let copies = copies.into_iter().rev().map(|(number, at)| SettingsCopy { number, at: at.to_string() }).collect();
    let values = config::values(&text);
    let (file, version) = (file.display().to_string(), version(&text));
    Ok(SettingsReply::Now(SettingsNow { file, text, values, version, trial, copies }))
}

/// The text of a copy.
pub(super) async fn copy(file: &Path, number: u64) -> Result<SettingsReply, String> {
    let kept = Kept::of(file);
    let text = tokio::task::spawn_blocking(move || kept.text(number)).await.map_err(|error| error.to_string())?;
    text.map(SettingsReply::Copy).map_err(|_| format!("there is no copy {number} any more; the newest 20 are kept"))
}

/// The settings with an enrolment in them; its files and its secret are in the box then.
pub(super) async fn enrol(file: &Path, state_dir: PathBuf, text: String) -> Result<SettingsReply, String> {
    let enrolment = Enrolment::parse(&text).map_err(|error| error.to_string())?;
    let now = text_of(file.to_owned()).await?;
    let put = move || {
        let mut paths = BTreeMap::new();
        for (wanted, text) in enrolment.files() {
            let path = match backup::place(&state_dir, wanted, text)? {
                Place::Holds(path) => path,
                Place::Free(name) => page::keep_file(&state_dir, &name, &Secret::new(text.to_owned()))?,
            };
            paths.insert(wanted, path);
        }
        let after = enrolment.put_into(&now, &paths).map_err(|error| error.to_string())?;
        if let Some(secret) = enrolment.secret() {
            fleet::enrolment::keep_secret(&state_dir, &secret)?;
        }
        Ok(after)
    };
    let put = tokio::task::spawn_blocking(put).await.map_err(|error| error.to_string())?;
    put.map(SettingsReply::Copy)
}

/// Whether an enrolment would change nothing of these settings. Blocks on the disk.
pub(in super::super) fn is_enrolled(now: &str, state_dir: &Path, enrolment: &Enrolment) -> bool {
    let path = |(wanted, text)| match backup::place(state_dir, wanted, text) {
        Ok(Place::Holds(path)) => Some((wanted, path)),
        _ => None,
    };
    let paths: Option<BTreeMap<&'static str, String>> = enrolment.files().map(path).collect();
    // A secret is always something new.
    let has_secret = enrolment.secret().is_some();
    !has_secret && paths.is_some_and(|paths| enrolment.put_into(now, &paths).is_ok_and(|then| then == now))
}

/// The settings with a change of single keys in them.
pub(super) async fn edited(file: &Path, what: &Edit) -> Result<SettingsReply, String> {
    let now = text_of(file.to_owned()).await?;
    let text = config::edit(&now, what).map_err(|error| error.to_string())?;
    Ok(SettingsReply::Edited { values: config::values(&text), text, version: version(&now) })
}

/// The settings with other addresses of a card in them.
pub(super) async fn network(file: &Path, card: &Card) -> Result<SettingsReply, String> {
    let now = text_of(file.to_owned()).await?;
    config::edit(&now, &card_edit(&config::values(&now), card))
        .map(SettingsReply::Copy)
        .map_err(|error| error.to_string())
}

/// The change that gives a card its addresses; what it has none of goes, as DHCP says it then.
fn card_edit(now: &Value, card: &Card) -> Edit {
    let key = |key: &str, list: &[String]| (key.to_owned(), if list.is_empty() { Value::Null } else { list.into() });
    let keys = [key("address", &card.address), key("gateway", &card.gateway), key("dns", &card.dns)];
    let cards = now.pointer("/network/interface").and_then(Value::as_array);
    let is_there = cards.is_some_and(|cards| cards.iter().any(|known| known["name"] == card.name.as_str()));
    if is_there {
        return Edit::Set { table: format!("network.interface[{}]", card.name), values: keys.into_iter().collect() };
    }
    let keys = keys.into_iter().filter(|(_, value)| !value.is_null());
    let values = keys.chain([("name".to_owned(), card.name.as_str().into())]).collect();
    Edit::Add { list: "network.interface".to_owned(), values }
}

/// What is wrong with a text, and what is different in it.
pub(super) async fn checked(file: &Path, text: String) -> Result<SettingsReply, String> {
    let now = text_of(file.to_owned()).await?;
    let diff = TextDiff::from_lines(&now, &text).unified_diff().header("in use", "new").to_string();
    let problems = check(file, text).await?.err().map(|error| problems(&error)).unwrap_or_default();
    Ok(SettingsReply::Checked { problems, diff })
}

/// Looks at a text as a start would.
pub(super) async fn check(file: &Path, text: String) -> Result<Result<Config, ConfigError>, String> {
    let file = file.to_owned();
    let checked = tokio::task::spawn_blocking(move || Config::check_text(&file, &text));
    checked.await.map_err(|error| format!("looking at the settings panicked: {error}"))
}

/// What is wrong, as it is answered.
pub(super) fn problems(error: &ConfigError) -> Vec<SettingsProblem> {
    match error {
        ConfigError::Unreadable { what, advice, .. } => {
            let advice = (*advice).to_owned();
            vec![SettingsProblem { line: 1, column: 1, key: String::new(), what: what.clone(), advice }]
        }
        ConfigError::Wrong { problems, .. } => problems
            .iter()
            .map(|problem| SettingsProblem {
                line: problem.line,
                column: problem.column,
                key: problem.key.clone(),
                what: problem.what.clone(),
                advice: problem.advice.clone(),
            })
            .collect(),
    }
}
