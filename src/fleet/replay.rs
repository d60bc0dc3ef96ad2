//! Which commands were seen: kept until they would be too old anyway, so that none is carried out twice, over restarts too.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::durable;

/// More than can come: 30 messages a minute, each kept for the hour and ten minutes that it may be valid.
const MOST: usize = 4_096;
/// Kinds of boards that are offered something.
const OFFERS: usize = 16;

/// What is on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct State {
    /// Ids, each with when it is forgotten (microseconds since 1970).
    seen: BTreeMap<String, u64>,
    /// When the newest offer for each kind of board was issued (microseconds since 1970).
    offers: BTreeMap<String, u64>,
}

/// What was seen, with its file.
#[derive(Debug)]
pub(super) struct Replay {
    file: PathBuf,
    state: State,
}

impl Replay {
    /// Opens it. A damaged file is an error: an empty one would let commands through that were seen. Blocks on the disk.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let file = folder.join("commands.json");
        let state = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                let words = format!("{} is damaged: {error}; remove it an hour after the last command", file.display());
                io::Error::new(io::ErrorKind::InvalidData, words)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { file, state })
    }

    pub(super) fn has_seen(&self, id: &str) -> bool {
        self.state.seen.contains_key(id)
    }

    /// Remembers a command until then.
    ///
    /// # Errors
    /// When it cannot be made durable, or too many are remembered: the command must not be carried out.
    pub(super) async fn remember(&mut self, id: &str, until: Timestamp, now: Timestamp) -> io::Result<()> {
        let mut state = self.state.clone();
        state.seen.retain(|_, until| *until > now.micros());
        if state.seen.len() >= MOST {
            return Err(io::Error::other("too many commands within the hour"));
        }
        state.seen.insert(id.to_owned(), until.micros());
        self.keep(state).await
    }

    /// Whether an offer for this kind of board is older than the newest that was seen.
    pub(super) fn is_outdated(&self, compatible: &str, issued: Timestamp) -> bool {
        self.state.offers.get(compatible).is_some_and(|newest| issued.micros() < *newest)
    }

    /// Remembers the newest offer.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub(super) async fn remember_offer(&mut self, compatible: &str, issued: Timestamp) -> io::Result<()> {
        if self.state.offers.get(compatible) == Some(&issued.micros()) {
            return Ok(());
        }
        let mut state = self.state.clone();
        if state.offers.len() >= OFFERS {
            state.offers.clear();
        }
        state.offers.insert(compatible.to_owned(), issued.micros());
        self.keep(state).await
    }

    async fn keep(&mut self, state: State) -> io::Result<()> {
        let (file, text) = (self.file.clone(), serde_json::to_vec(&state)?);
        let written = tokio::task::spawn_blocking(move || durable::replace(&file, &text)).await;
        written.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        self.state = state;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_is_known_until_it_would_be_too_old_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut replay = Replay::open(folder.path()).unwrap();
        replay.remember("one", Timestamp(100), Timestamp(1)).await.unwrap();
        replay.remember("two", Timestamp(200), Timestamp(2)).await.unwrap();
        let mut replay = Replay::open(folder.path()).unwrap();
        assert!(replay.has_seen("one") && replay.has_seen("two") && !replay.has_seen("three"));
        replay.remember("three", Timestamp(300), Timestamp(150)).await.unwrap();
        assert!(!replay.has_seen("one") && replay.has_seen("two"), "its time is over");
        for number in 0..MOST - 2 {
            replay.state.seen.insert(number.to_string(), 1_000);
        }
        assert!(replay.remember("more", Timestamp(1_000), Timestamp(160)).await.is_err(), "bounded");
        assert!(!replay.has_seen("more"));
        fs::write(folder.path().join("commands.json"), "{").unwrap();
        assert!(Replay::open(folder.path()).unwrap_err().to_string().contains("is damaged"));
    }

    #[tokio::test]
    async fn an_older_offer_is_told_from_the_newest_of_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let mut replay = Replay::open(folder.path()).unwrap();
        replay.remember_offer("x86", Timestamp(10)).await.unwrap();
        let replay = Replay::open(folder.path()).unwrap();
        assert!(replay.is_outdated("x86", Timestamp(9)) && !replay.is_outdated("x86", Timestamp(10)));
        assert!(!replay.is_outdated("arm", Timestamp(1)));
    }
}
