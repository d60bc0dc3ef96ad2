//! The audit log: who did what on the page, from where, and how it ended.
//!
//! In: deeds. Out: a line of JSON each in the state folder, synced, an event for the far ends, and the newest for the page.
//! Floor 4 with the page. Each line holds the hash of itself and all before it, so that a line that was changed or taken out
//! shows; who can write the file can also write a whole new one, which is why every deed goes to the gateway as well.
//!
//! Bounded: the file begins anew at 1 MiB and the one before is kept; the newest 500 deeds stay in memory. On a full disk a
//! deed still goes to the gateway, and the log says that the file lacks it.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::view::AuditEntry;
use crate::clock::Clock;
use crate::event::{Notice, Teller};

/// About 4,000 deeds.
const LARGEST: u64 = 1 << 20;
/// More than anybody reads on a page.
const SHOWN: usize = 500;
/// Longer names and words are cut: a failed login brings whatever somebody typed.
const LONGEST_WORDS: usize = 300;

/// One thing that somebody did or tried.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    /// One word: `event.action`.
    pub(super) action: &'static str,
    pub(super) who: String,
    pub(super) from: IpAddr,
    /// What went wrong, if it did.
    pub(super) outcome: Result<(), String>,
    /// The sentence for people.
    pub(super) message: String,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    at: String,
    who: String,
    from: String,
    action: String,
    outcome: String,
    message: String,
    /// SHA-256, in hexadecimal, of the chain before and this line's other fields.
    chain: String,
}

/// The log.
#[derive(Debug)]
pub(super) struct Audit {
    folder: PathBuf,
    clock: Clock,
    teller: Teller,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    chain: String,
    newest: VecDeque<AuditEntry>,
}

/// What a file held.
#[derive(Debug, Default)]
struct Found {
    inner: Inner,
    /// The first line that does not follow from those before it.
    broken_at: Option<usize>,
}

impl Audit {
    /// Reads what is there, and tells if it was changed by another hand. Blocks on the disk.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn open(folder: &Path, clock: Clock, teller: Teller) -> io::Result<Self> {
        let mut found = Found::default();
        for file in files(folder) {
            found = read(&file, found.inner)?;
            if let Some(line) = found.broken_at {
                let what = format!(
                    "line {line} of the audit log {} does not follow from those before it: somebody changed the file, or \
                     the disk did",
                    file.display()
                );
                teller.tell(Notice::new("audit_log_changed", false, what, &[("file", file.display().to_string())]));
            }
        }
        Ok(Self { folder: folder.to_owned(), clock, teller, inner: Arc::new(Mutex::new(found.inner)) })
    }

    /// The newest deeds, the last one first.
    pub(super) fn newest(&self) -> Vec<AuditEntry> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.newest.iter().rev().cloned().collect()
    }

    /// Writes a deed down and tells the far ends of it.
    ///
    /// # Cancel safety
    /// The deed is told in any case, and written soon.
    pub(super) async fn note(&self, deed: Deed) {
        let cut = |text: &str| text.chars().filter(|c| !c.is_control()).take(LONGEST_WORDS).collect::<String>();
        let (who, outcome) = (cut(&deed.who), deed.outcome.as_ref().map_or_else(|why| cut(why), |()| String::new()));
        let message = cut(&deed.message);
        let told = if outcome.is_empty() { message.clone() } else { format!("{message}: {outcome}") };
        let facts = [("user", who.clone()), ("peer", deed.from.to_string())];
        self.teller.tell(Notice::new(deed.action, deed.outcome.is_ok(), told.clone(), &facts));
        let line = Line {
            at: self.clock.now().to_string(),
            who,
            from: deed.from.to_string(),
            action: deed.action.to_owned(),
            outcome: if deed.outcome.is_ok() { "success" } else { "failure" }.to_owned(),
            message: told,
            chain: String::new(),
        };
        let (folder, inner) = (self.folder.clone(), Arc::clone(&self.inner));
        let written = tokio::task::spawn_blocking(move || {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            append(&folder, &mut inner, line)
        });
        if let Ok(Err(error)) = written.await {
            tracing::warn!(%error, "the audit log on the disk lacks what was said before; make room on the disk");
        }
    }
}

/// Its files, the older one first.
pub(super) fn files(folder: &Path) -> [PathBuf; 2] {
    [old(folder), current(folder)]
}

fn current(folder: &Path) -> PathBuf {
    folder.join("audit.jsonl")
}

fn old(folder: &Path) -> PathBuf {
    folder.join("audit.1.jsonl")
}

impl Line {
    fn next_chain(&self, before: &str) -> String {
        let mut sum = Context::new(&SHA256);
        for part in [before, &self.at, &self.who, &self.from, &self.action, &self.outcome, &self.message] {
            // With its length, so that nothing can move from one field into the next.
            sum.update(&part.len().to_be_bytes());
            sum.update(part.as_bytes());
        }
        sum.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn entry(&self) -> AuditEntry {
        AuditEntry {
            at: self.at.clone(),
            who: self.who.clone(),
            from: self.from.clone(),
            action: self.action.clone(),
            outcome: self.outcome.clone(),
            message: self.message.clone(),
        }
    }
}

impl Inner {
    fn keep(&mut self, line: &Line) {
        if self.newest.len() >= SHOWN {
            self.newest.pop_front();
        }
        self.newest.push_back(line.entry());
        self.chain.clone_from(&line.chain);
    }
}

/// Goes through a file, line by line. A last line without its end is what a power cut left: it is no sign of another hand.
fn read(path: &Path, inner: Inner) -> io::Result<Found> {
    let mut found = Found { inner, broken_at: None };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    let mut reader = BufReader::new(io::Read::take(file, 2 * LARGEST));
    let (mut number, mut text) = (0, Vec::new());
    loop {
        text.clear();
        number += 1;
        reader.read_until(b'\n', &mut text)?;
        if text.last() != Some(&b'\n') {
            return Ok(found);
        }
        let follows = |line: &Line, before: &str| {
            // The oldest file's first line follows from one that is gone.
            line.chain == line.next_chain(before) || (number == 1 && before.is_empty())
        };
        match serde_json::from_slice::<Line>(&text) {
            Ok(line) => {
                if !follows(&line, &found.inner.chain) {
                    found.broken_at.get_or_insert(number);
                }
                found.inner.keep(&line);
            }
            Err(_) => {
                found.broken_at.get_or_insert(number);
            }
        }
    }
}

/// Adds a line, durably. What is in memory is right whatever the disk does.
fn append(folder: &Path, inner: &mut Inner, mut line: Line) -> io::Result<()> {
    line.chain = line.next_chain(&inner.chain);
    inner.keep(&line);
    let path = current(folder);
    if fs::metadata(&path).is_ok_and(|file| file.len() >= LARGEST) {
        fs::rename(&path, old(folder))?;
    }
    let mut text = serde_json::to_vec(&line).map_err(io::Error::other)?;
    text.push(b'\n');
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o640).open(&path)?;
    // After a power cut the last line may lack its end: it never was one.
    file.set_len(whole(&file)?)?;
    file.write_all(&text)?;
    file.sync_data()
}

/// Bytes up to the end of the last whole line.
fn whole(file: &File) -> io::Result<u64> {
    use std::os::unix::fs::FileExt as _;
    let (mut end, mut byte) = (file.metadata()?.len(), [0]);
    while end > 0 {
        file.read_exact_at(&mut byte, end - 1)?;
        if byte == [b'\n'] {
            break;
        }
        end -= 1;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(message: &str) -> Deed {
        let from = IpAddr::from([192, 0, 2, 7]);
        Deed { action: "login", who: "ada".into(), from, outcome: Ok(()), message: message.to_owned() }
    }

    fn open(folder: &Path) -> (Audit, tokio::sync::mpsc::Receiver<Notice>) {
        let (teller, told) = Teller::new();
        (Audit::open(folder, Clock::System, teller).unwrap(), told)
    }

    #[tokio::test]
    async fn what_was_done_is_kept_in_order_told_and_follows_from_what_was_before() {
        let folder = tempfile::tempdir().unwrap();
        let (audit, mut told) = open(folder.path());
        audit.note(deed("ada logged in")).await;
        let failed = Deed { outcome: Err("this is\nwrong".into()), who: "x".repeat(10_000), ..deed("a login failed") };
        audit.note(failed).await;
        let (first, second) = (told.recv().await.unwrap(), told.recv().await.unwrap());
        assert!(first.is_success && !second.is_success);
        assert_eq!(second.message, "a login failed: this iswrong");
        drop(audit);
        let (audit, mut told) = open(folder.path());
        assert!(told.try_recv().is_err(), "nothing was changed");
        audit.note(deed("ada logged out")).await;
        let messages: Vec<String> = audit.newest().into_iter().map(|entry| entry.message).collect();
        assert_eq!(messages, ["ada logged out", "a login failed: this iswrong", "ada logged in"]);
        assert_eq!(audit.newest()[1].who.len(), LONGEST_WORDS);
    }

    #[tokio::test]
    async fn another_hand_in_the_file_is_told_and_a_power_cut_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (audit, _told) = open(folder.path());
        for number in 0..5 {
            audit.note(deed(&format!("deed {number}"))).await;
        }
        let path = current(folder.path());
        let whole = fs::read_to_string(&path).unwrap();
        let changed = |text: String| {
            fs::write(&path, text).unwrap();
            let (_, mut told) = open(folder.path());
            told.try_recv().ok().map(|notice| notice.action)
        };
        let without_third: String =
            whole.lines().enumerate().filter(|(at, _)| *at != 2).map(|(_, l)| format!("{l}\n")).collect();
        assert_eq!(changed(without_third), Some("audit_log_changed"));
        assert_eq!(changed(whole.replace("deed 3", "deed 4")), Some("audit_log_changed"));
        assert_eq!(changed(whole.replace("ada", "eve")), Some("audit_log_changed"));
        assert_eq!(changed(whole.replacen('{', "[", 1)), Some("audit_log_changed"));
        assert_eq!(changed(whole[..whole.len() - 20].to_owned()), None);
        // And it goes on after the torn line.
        let (audit, _told) = open(folder.path());
        audit.note(deed("after the cut")).await;
        let (audit, mut told) = open(folder.path());
        assert!(told.try_recv().is_err(), "the cut is no sign of another hand, also later");
        assert_eq!(audit.newest()[0].message, "after the cut");
        assert_eq!(changed(whole), None);
    }

    #[tokio::test]
    async fn the_file_begins_anew_when_it_is_large_and_the_chain_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (audit, _told) = open(folder.path());
        let line = "x".repeat(250);
        for _ in 0..2_500 {
            audit.note(deed(&line)).await;
        }
        assert!(fs::metadata(old(folder.path())).unwrap().len() >= LARGEST);
        assert!(fs::metadata(current(folder.path())).unwrap().len() < LARGEST);
        let (audit, mut told) = open(folder.path());
        assert!(told.try_recv().is_err());
        assert_eq!(audit.newest().len(), SHOWN);
    }
}
