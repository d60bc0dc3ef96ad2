//! What is remembered from boot to boot, in `state.json`.
//!
//! Replaced in one step (`durable`). Unknown keys are passed over and missing ones have
//! defaults, so that older and newer firmware read each other's. A damaged file is put aside and counts as empty: the box
//! then knows of no fall back and no serial, and every rule that RAUC and the signatures enforce still holds.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::UpdateError;
use super::judge::Picture;
use crate::durable;

/// Versions that fell back which are kept; older ones are forgotten.
const FELL_BACK: usize = 32;

/// The state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// The highest serial seen at each manifest's address.
    pub(super) serials: BTreeMap<String, u64>,
    /// The slot and version that was marked good last.
    pub(super) good: Option<Good>,
    /// An update that is installed and not yet judged.
    pub(super) pending: Option<Pending>,
    /// Versions that did not work, the newest last.
    pub(super) fell_back: Vec<FellBack>,
    /// The boot that was judged, so that a restart of the program does not judge it again.
    pub(super) judged: Option<String>,
    /// The slot and version that ran before the update that was marked good last.
    pub(super) previous: Option<Good>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Good {
    pub(super) bootname: String,
    pub(super) version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) version: String,
    pub(super) from_version: String,
    /// The boot name of the slot that was booted when it was installed: the one to fall back to.
    pub(super) from_bootname: String,
    /// The boot in which it was installed.
    pub(super) boot: String,
    /// The box before.
    pub(super) before: Picture,
    /// RAUC was done with it. Where it was not, a restart means nothing.
    #[serde(default)]
    pub(super) installed: bool,
    /// Why it was marked bad, if it was.
    #[serde(default)]
    pub(super) condemned: Option<String>,
    /// Starts of the program on trial: one that crashes and starts again is not well.
    #[serde(default)]
    pub(super) starts: u32,
}

/// A version that did not work on this box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FellBack {
    /// The version.
    pub version: String,
    /// When (RFC 3339).
    pub at: String,
    /// Why, as far as it is known.
    pub why: String,
    /// Who went back from it although it worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl State {
    pub(super) fn has_fallen_back(&self, version: &str) -> bool {
        self.fell_back.iter().any(|entry| entry.version == version)
    }

    pub(super) fn note_fall_back(&mut self, entry: FellBack) {
        self.fell_back.retain(|other| other.version != entry.version);
        self.fell_back.push(entry);
        let surplus = self.fell_back.len().saturating_sub(FELL_BACK);
        self.fell_back.drain(..surplus);
    }
}

/// The state with its file.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    pub(super) state: State,
}

impl Store {
    /// Reads it from the folder, which is made if it is not there.
    pub(super) fn open(folder: &Path) -> Result<Self, UpdateError> {
        let made = DirBuilder::new().recursive(true).mode(0o750).create(folder);
        made.map_err(|source| UpdateError::file(folder, source))?;
        let path = folder.join("state.json");
        let state = match fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(state) => state,
                Err(error) => {
                    tracing::warn!(%error, file = %path.display(), "is damaged; it is put aside and begun anew");
                    // If it cannot even be renamed, the next write says so.
                    let _ = fs::rename(&path, path.with_extension("damaged"));
                    State::default()
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(source) => return Err(UpdateError::file(&path, source)),
        };
        Ok(Self { path, state })
    }

    /// Changes the state and makes that durable.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut State)) -> Result<(), UpdateError> {
        let mut state = self.state.clone();
        change(&mut state);
        if state != self.state {
            let text = serde_json::to_vec_pretty(&state).map_err(io::Error::from);
            let written = text.and_then(|text| durable::replace(&self.path, &text));
            written.map_err(|source| UpdateError::file(&self.path, source))?;
            self.state = state;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_there_again_and_damage_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("update");
        let mut store = Store::open(&folder).unwrap();
        let entry = |number: usize| FellBack {
            version: format!("1.0.{number}"),
            at: "2026-11-24T00:00:00.000Z".to_owned(),
            why: "it did not boot".to_owned(),
            by: None,
        };
        store
            .change(|state| {
                (0..FELL_BACK + 3).for_each(|number| state.note_fall_back(entry(number)));
                state.note_fall_back(entry(10));
                state.serials.insert("https://x/".to_owned(), 9);
            })
            .unwrap();
        let again = Store::open(&folder).unwrap();
        assert_eq!(again.state, store.state);
        assert_eq!(again.state.fell_back.len(), FELL_BACK);
        assert!(again.state.has_fallen_back("1.0.10") && !again.state.has_fallen_back("1.0.2"));
        let path = folder.join("state.json");
        fs::write(&path, "{\"serials\": {}, \"later\": 1}").unwrap();
        assert_eq!(Store::open(&folder).unwrap().state, State::default(), "a newer file's keys are passed over");
        fs::write(&path, "{\"serials\": ").unwrap();
        assert_eq!(Store::open(&folder).unwrap().state, State::default());
        assert!(folder.join("state.damaged").exists());
    }
}
