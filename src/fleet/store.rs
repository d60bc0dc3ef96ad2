//! What waits for the broker: events, ledgers and answers, in memory, and on the disk so that a restart keeps them.
//!
//! Bounded by number for each kind, so that one cannot push another out, and by bytes in all: the oldest of its kind goes first,
//! and is counted. What is sent at once never touches the disk; what waits is written within a second (ledgers, of which each
//! holds all that the one before held: within ten minutes). The file is replaced in one step (`durable`); one that is damaged is
//! put aside. After a crash something that was sent may be sent again, under its number.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::message::Kind;
use crate::durable;

/// Events: a day of a busy site's log-ins, at most half a megabyte.
const EVENTS: usize = 512;
/// Ledgers: two hours' minutes.
const LEDGERS: usize = 120;
/// Answers: more than there can be commands while a broker is away.
const ANSWERS: usize = 64;
/// Bytes of all bodies.
const BYTES: usize = 1 << 20;
/// Numbers that are reserved ahead, so that a restart repeats none: a day's at the most that is said.
const RESERVE: u64 = 10_000;
/// The next ones are reserved when so few are left.
const FEW: u64 = 1_000;

/// How long something may wait before it is written.
const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(600);
/// What was sent may stay in the file for so long.
const TIDY: Duration = Duration::from_secs(60);

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Letter {
    pub(super) kind: Kind,
    pub(super) sequence: u64,
    pub(super) at: String,
    pub(super) body: String,
}

/// What is on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct State {
    /// The box's id when it was last at the broker.
    id: Option<String>,
    /// Every number below this may have been used.
    reserved: u64,
    /// Messages that found no room, since the file was made.
    dropped: u64,
    letters: VecDeque<Letter>,
}

/// What the channel's file says, for whoever asks while the channel runs or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The box's id when it was last at the broker.
    pub id: Option<String>,
    /// Messages that waited when it was written.
    pub waiting: usize,
    /// Messages that found no room.
    pub dropped: u64,
}

/// Reads the file in the channel's folder; nothing where there is none. Blocks on the disk.
#[must_use]
pub fn kept(folder: &Path) -> Option<Kept> {
    let state: State = serde_json::from_slice(&fs::read(folder.join("store.json")).ok()?).ok()?;
    Some(Kept { id: state.id, waiting: state.letters.len(), dropped: state.dropped })
}

/// What waits, with its file.
#[derive(Debug)]
pub(super) struct Store {
    file: PathBuf,
    state: State,
    next: u64,
    bytes: usize,
    /// Numbers of the letters that were sent and are not acknowledged.
    sent: BTreeSet<u64>,
    /// Letters that the file holds.
    on_disk: usize,
    /// By when the file has to be written.
    due: Option<Instant>,
    /// It has to be written even if nothing waits.
    must: bool,
}

impl Store {
    /// Opens it and reserves numbers. Blocks on the disk.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let file = folder.join("store.json");
        let mut state = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(%error, file = %file.display(), "is damaged; it is put aside and begun anew");
                // If it cannot even be renamed, the next write says so.
                let _ = fs::rename(&file, file.with_extension("damaged"));
                // Higher than any number that can have been used: none comes twice.
                State { reserved: rand::random_range(1 << 40..1 << 50), ..State::default() }
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(error),
        };
        let next = state.reserved;
        state.reserved = next.saturating_add(RESERVE);
        let bytes = state.letters.iter().map(|letter| letter.body.len()).sum();
        let on_disk = state.letters.len();
        let store = Self { file, state, next, bytes, sent: BTreeSet::new(), on_disk, due: None, must: false };
        durable::replace(&store.file, &store.text()?)?;
        Ok(store)
    }

    fn text(&self) -> io::Result<Vec<u8>> {
        serde_json::to_vec(&self.state).map_err(io::Error::from)
    }

    /// A number that was never used.
    pub(super) fn number(&mut self) -> u64 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        if self.state.reserved.saturating_sub(self.next) < FEW {
            self.state.reserved = self.next.saturating_add(RESERVE);
            (self.due, self.must) = (Some(Instant::now()), true);
        }
        number
    }

    /// Keeps a message until it is sent.
    pub(super) fn push(&mut self, kind: Kind, at: String, body: String) {
        let most = match kind {
            Kind::Ledger => LEDGERS,
            Kind::Answer => ANSWERS,
            _ => EVENTS,
        };
        let sequence = self.number();
        self.bytes += body.len();
        self.state.letters.push_back(Letter { kind, sequence, at, body });
        if self.state.letters.iter().filter(|letter| letter.kind == kind).count() > most {
            self.drop_oldest(|letter| letter.kind == kind);
        }
        while self.bytes > BYTES && self.state.letters.len() > 1 {
            self.drop_oldest(|_| true);
        }
        self.be_written_within(if kind == Kind::Ledger { LATER } else { SOON });
    }

    fn drop_oldest(&mut self, which: impl Fn(&Letter) -> bool) {
        if let Some(at) = self.state.letters.iter().position(which) {
            self.take_out(at);
            self.state.dropped = self.state.dropped.saturating_add(1);
        }
    }

    fn take_out(&mut self, at: usize) {
        if let Some(letter) = self.state.letters.remove(at) {
            self.bytes = self.bytes.saturating_sub(letter.body.len());
            self.sent.remove(&letter.sequence);
        }
    }

    fn be_written_within(&mut self, time: Duration) {
        let by = Instant::now() + time;
        self.due = Some(self.due.map_or(by, |due| due.min(by)));
    }

    /// The next message that was not sent on this connection, of those kinds that may be.
    pub(super) fn next_unsent(&mut self, may: impl Fn(Kind) -> bool) -> Option<&Letter> {
        let sent = &self.sent;
        let is_next = |letter: &&Letter| may(letter.kind) && !sent.contains(&letter.sequence);
        let letter = self.state.letters.iter().find(is_next)?;
        self.sent.insert(letter.sequence);
        Some(letter)
    }

    /// Nobody has it: it has to be sent anew.
    pub(super) fn is_back(&mut self, sequence: u64) {
        self.sent.remove(&sequence);
    }

    /// The broker has it.
    pub(super) fn is_through(&mut self, sequence: u64) {
        if let Some(at) = self.state.letters.iter().position(|letter| letter.sequence == sequence) {
            self.take_out(at);
        }
        if self.on_disk > 0 {
            self.be_written_within(TIDY);
        }
    }

    /// It can never be sent.
    pub(super) fn give_up(&mut self, sequence: u64) {
        if self.state.letters.iter().any(|letter| letter.sequence == sequence) {
            self.drop_oldest(|letter| letter.sequence == sequence);
        }
    }

    /// Everything that waits has to be sent anew.
    pub(super) fn rewind(&mut self) {
        self.sent.clear();
    }

    pub(super) fn waiting(&self) -> usize {
        self.state.letters.len()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.state.dropped
    }

    /// Notes who the box is, for whoever asks on the box.
    pub(super) fn is_called(&mut self, id: &str) {
        if self.state.id.as_deref() != Some(id) {
            self.state.id = Some(id.to_owned());
            (self.due, self.must) = (Some(Instant::now()), true);
        }
    }

    /// When it has to be written.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Writes what waits, if anything has to be: what was sent meanwhile and was never written is not.
    pub(super) async fn save(&mut self) {
        let is_due = self.due.take().is_some();
        if !is_due || (self.state.letters.is_empty() && self.on_disk == 0 && !self.must) {
            return;
        }
        let (file, text) = (self.file.clone(), self.text());
        let written = tokio::task::spawn_blocking(move || durable::replace(&file, &text?)).await;
        match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => (self.on_disk, self.must) = (self.state.letters.len(), false),
            Err(error) => {
                tracing::warn!(%error, file = %self.file.display(), "what waits for the fleet's broker cannot be kept");
                self.be_written_within(TIDY);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sequences(store: &mut Store) -> Vec<u64> {
        store.rewind();
        std::iter::from_fn(|| store.next_unsent(|_| true).map(|letter| letter.sequence)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_there_again_after_a_restart_and_no_number_comes_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        for _ in 0..3 {
            store.push(Kind::Event, "at".into(), "{}".into());
        }
        let first = store.next_unsent(|_| true).unwrap().clone();
        store.is_through(first.sequence);
        store.is_called("edge-7");
        store.save().await;
        let before = sequences(&mut store);
        let mut again = Store::open(folder.path()).unwrap();
        assert_eq!(sequences(&mut again), before);
        assert!(before.iter().all(|number| again.number() > *number));
        let known = kept(folder.path()).unwrap();
        assert_eq!((known.id.as_deref(), known.waiting, known.dropped), (Some("edge-7"), 2, 0));
        fs::write(folder.path().join("store.json"), "{").unwrap();
        let mut anew = Store::open(folder.path()).unwrap();
        assert!(anew.waiting() == 0 && anew.number() > again.number());
        assert!(folder.path().join("store.damaged").exists());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_in_time_is_never_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let file = fs::read(folder.path().join("store.json")).unwrap();
        store.push(Kind::Event, "at".into(), "{}".into());
        let sequence = store.next_unsent(|_| true).unwrap().sequence;
        store.is_through(sequence);
        store.save().await;
        assert_eq!(fs::read(folder.path().join("store.json")).unwrap(), file);
        store.push(Kind::Event, "at".into(), "{}".into());
        tokio::time::advance(SOON).await;
        assert!(store.due().unwrap() <= Instant::now());
        store.save().await;
        assert_ne!(fs::read(folder.path().join("store.json")).unwrap(), file);
    }

    #[test]
    fn the_oldest_of_its_kind_goes_first_and_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        store.push(Kind::Event, "at".into(), "{}".into());
        for _ in 0..LEDGERS + 5 {
            store.push(Kind::Ledger, "at".into(), "{}".into());
        }
        assert_eq!((store.waiting(), store.dropped()), (LEDGERS + 1, 5));
        let left = sequences(&mut store);
        assert_eq!((left[0], left[1]), (0, 6), "the event stays, the ledgers behind it went");
        store.push(Kind::Event, "at".into(), "x".repeat(BYTES));
        assert_eq!(store.waiting(), 1, "bytes are bounded too");
    }

    proptest! {
        /// Against a plain model: what is pushed comes out once in its order, unless it was dropped and counted.
        #[test]
        fn nothing_is_lost_or_sent_twice_unless_the_connection_broke(steps in proptest::collection::vec(0u8..5, 1..400)) {
            let folder = tempfile::tempdir().unwrap();
            let mut store = Store::open(folder.path()).unwrap();
            let (mut pushed, mut flying, mut through) = (0u64, VecDeque::new(), Vec::new());
            for step in steps {
                match step {
                    0 | 1 => {
                        store.push(Kind::Event, String::new(), "{}".into());
                        pushed += 1;
                    }
                    2 => flying.extend(store.next_unsent(|_| true).map(|letter| letter.sequence)),
                    3 => {
                        if let Some(sequence) = flying.pop_front() {
                            store.is_through(sequence);
                            through.push(sequence);
                        }
                    }
                    _ => {
                        flying.clear();
                        store.rewind();
                    }
                }
            }
            let left = sequences(&mut store);
            let all: Vec<u64> = through.iter().copied().chain(left).collect();
            prop_assert_eq!(all.len() as u64 + store.dropped(), pushed);
            prop_assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", all);
        }
    }
}
