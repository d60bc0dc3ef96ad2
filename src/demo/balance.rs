//! Whether what was sent is what arrived: the gateway's file, read event by event, against the fingerprints of all that was sent.
//!
//! In: a fingerprint of every event sent, by source; then the lines of the file. Out: a tally per source and every kind of
//! fault with examples. Invariant: an event is known by its content (128 bits of SHA-256 of the bytes that were sent), and its id
//! must be its own: one content never has two ids, one id never has two contents.
//!
//! Memory: about 80 bytes for each event sent, and nothing for those that arrive.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;

/// The identity of an event's content.
pub(super) type Fingerprint = u128;

/// 128 bits are enough: among ten million events two differ in content and agree here with a chance of 1 in 10^24.
pub(super) fn fingerprint(bytes: &[u8]) -> Fingerprint {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().first_chunk().map_or(0, |first: &[u8; 16]| u128::from_be_bytes(*first))
}

/// A line of the file longer than this is a fault: events are at most 64 KiB, and JSON may make six bytes of one.
const LONGEST_LINE: u64 = 1 << 20;
/// Faults told word for word; the rest are counted.
const MOST_EXAMPLES: usize = 8;

/// The account of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Events sent.
    pub(super) sent: u64,
    /// Different events of those that arrived.
    pub(super) delivered: u64,
    /// Events that arrived once more under the same id.
    pub(super) repeats: u64,
}

/// Everything that breaks the balance, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Sent, but not in the file.
    pub(super) missing: u64,
    /// In the file, but never sent in this form.
    pub(super) invented: u64,
    /// Arrived again under another id: nobody could tell that it is a repeat.
    pub(super) renamed: u64,
    /// Arrived under the id of an event with other content.
    pub(super) reused: u64,
    /// Arrived under the name of another source.
    pub(super) misplaced: u64,
    /// Lines that are no event: no JSON, no id, no message, cut off.
    pub(super) unreadable: u64,
    /// The play itself sent two equal events, so it cannot prove anything.
    pub(super) equal: u64,
    /// The first few in words.
    pub(super) examples: Vec<String>,
}

impl Faults {
    /// Each kind that occurred, in words.
    pub(super) fn words(&self) -> Vec<String> {
        let kinds = [
            (self.missing, "sent but not in the gateway's file"),
            (self.invented, "in the gateway's file but never sent"),
            (self.renamed, "repeated under another id"),
            (self.reused, "under an id that another event has"),
            (self.misplaced, "under the name of another source"),
            (self.unreadable, "lines of the gateway's file that are no event"),
            (self.equal, "sent twice by the play itself"),
        ];
        let words = kinds.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        words.chain(self.examples.iter().map(|example| format!("  for example {example}"))).collect()
    }

    fn example(&mut self, words: impl FnOnce() -> String) {
        if self.examples.len() < MOST_EXAMPLES {
            self.examples.push(words());
        }
    }
}

/// The account under way.
#[derive(Debug, Default)]
pub(super) struct Balance {
    expected: HashMap<Fingerprint, Seen>,
    ids: HashSet<Fingerprint>,
    sources: Vec<(String, Tally)>,
    faults: Faults,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    source: usize,
    /// Fingerprint of the id under which it arrived.
    id: Option<Fingerprint>,
}

/// What the account needs of a line.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "@metadata", borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    sapphire: Sapphire<'a>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(rename = "_id", borrow)]
    id: Cow<'a, str>,
}

/// What the box says of the event's way.
#[derive(Deserialize)]
struct Sapphire<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
}

impl Balance {
    /// Enters events that a source was sent.
    pub(super) fn expect(&mut self, source: &str, sent: impl IntoIterator<Item = Fingerprint>) {
        let at = self.sources.iter().position(|(name, _)| name == source).unwrap_or_else(|| {
            self.sources.push((source.to_owned(), Tally::default()));
            self.sources.len() - 1
        });
        for fingerprint in sent {
            if self.expected.insert(fingerprint, Seen { source: at, id: None }).is_some() {
                self.faults.equal += 1;
            }
            if let Some((_, tally)) = self.sources.get_mut(at) {
                tally.sent += 1;
            }
        }
    }

    /// Reads a file of events to its end. Blocks.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<()> {
        let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            if file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            match line.strip_suffix(b"\n") {
                Some(line) => self.line(line),
                None => self.unreadable(&line, "has no end"),
            }
        }
    }

    fn unreadable(&mut self, line: &[u8], why: &str) {
        self.faults.unreadable += 1;
        self.faults.example(|| {
            let start = String::from_utf8_lossy(line.get(..line.len().min(200)).unwrap_or_default()).into_owned();
            format!("a line that {why}: {start}")
        });
    }

    /// Enters one line of the file.
    pub(super) fn line(&mut self, line: &[u8]) {
        let event: Line<'_> = match serde_json::from_slice(line) {
            Ok(event) => event,
            Err(err) => return self.unreadable(line, &format!("does not read ({err})")),
        };
        let Line { metadata, message, sapphire } = event;
        let Some(seen) = self.expected.get_mut(&fingerprint(message.as_bytes())) else {
            self.faults.invented += 1;
            return self.faults.example(|| format!("never sent: {} {message}", metadata.id));
        };
        let id = fingerprint(metadata.id.as_bytes());
        let Some((source, tally)) = self.sources.get_mut(seen.source) else { return };
        if *source != sapphire.source {
            self.faults.misplaced += 1;
            self.faults.example(|| format!("of {source} under {}: {message}", sapphire.source));
        }
        match seen.id {
            Some(before) if before == id => tally.repeats += 1,
            Some(_) => {
                self.faults.renamed += 1;
                self.faults.example(|| format!("a repeat under the new id {}: {message}", metadata.id));
            }
            None => {
                seen.id = Some(id);
                tally.delivered += 1;
                if !self.ids.insert(id) {
                    self.faults.reused += 1;
                    self.faults.example(|| format!("a second event under the id {}: {message}", metadata.id));
                }
            }
        }
    }

    /// Closes the account.
    pub(super) fn close(mut self) -> (Vec<(String, Tally)>, Faults) {
        let missing = self.expected.values().filter(|seen| seen.id.is_none()).count();
        self.faults.missing = u64::try_from(missing).unwrap_or(u64::MAX);
        (self.sources, self.faults)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const SOURCE: &str = "firewalls";

    fn json(id: &str, message: &str) -> String {
        serde_json::json!({
            "@timestamp": "2024-03-05T10:15:30.000Z",
            "@metadata": { "_id": id, "beat": "sapphire" },
            "message": message,
            "sapphire": { "source": SOURCE, "more": [1, 2] },
        })
        .to_string()
    }

    fn events() -> Vec<(String, String)> {
        (0..100).map(|at| (format!("box-1-{at:x}"), format!("<30>jörg said \"{at}\" \\ \u{feff}"))).collect()
    }

    /// The account of `lines` in a file, where all of `events` were sent.
    fn account(lines: &[String]) -> (Tally, Faults) {
        let mut balance = Balance::default();
        balance.expect(SOURCE, events().iter().map(|(_, message)| fingerprint(message.as_bytes())));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for line in lines {
            writeln!(file, "{line}").unwrap();
        }
        balance.read(file.path()).unwrap();
        let (sources, faults) = balance.close();
        assert_eq!(sources.len(), 1);
        (sources[0].1.clone(), faults)
    }

    fn lines() -> Vec<String> {
        events().iter().map(|(id, message)| json(id, message)).collect()
    }

    #[test]
    fn what_arrived_once_or_again_under_its_own_id_balances() {
        let mut lines = lines();
        lines.reverse();
        lines.push(lines[3].clone());
        lines.push(lines[3].clone());
        let (tally, faults) = account(&lines);
        assert_eq!(tally, Tally { sent: 100, delivered: 100, repeats: 2 });
        assert_eq!(faults, Faults::default());
        assert!(faults.words().is_empty());
    }

    #[test]
    fn a_planted_loss_is_found() {
        let mut lines = lines();
        lines.remove(50);
        let (tally, faults) = account(&lines);
        assert_eq!((tally.delivered, faults.missing), (99, 1));
        assert_eq!(faults.words(), ["1 sent but not in the gateway's file"]);
    }

    #[test]
    fn a_planted_invention_is_found() {
        let mut lines = lines();
        lines.push(json("box-9-0", "<30>nobody sent this"));
        let (tally, faults) = account(&lines);
        assert_eq!((tally.delivered, faults.missing, faults.invented), (100, 0, 1));
        assert!(faults.examples[0].contains("nobody sent this"));
    }

    #[test]
    fn a_planted_repeat_under_another_id_is_found() {
        let mut lines = lines();
        lines.push(json("box-2-0", &events()[7].1));
        let (tally, faults) = account(&lines);
        assert_eq!((tally.repeats, faults.renamed, faults.missing), (0, 1, 0));
    }

    #[test]
    fn changed_content_is_found() {
        let mut lines = lines();
        lines[9] = json(&events()[9].0, &format!("{} ", events()[9].1));
        let (tally, faults) = account(&lines);
        assert_eq!((tally.delivered, faults.missing, faults.invented), (99, 1, 1));
    }

    #[test]
    fn an_id_given_twice_is_found() {
        let mut lines = lines();
        lines[9] = json(&events()[8].0, &events()[9].1);
        let (_, faults) = account(&lines);
        assert_eq!((faults.reused, faults.missing), (1, 0));
    }

    #[test]
    fn an_event_under_another_source_is_found() {
        let mut lines = lines();
        lines[1] = lines[1].replace(SOURCE, "servers");
        let (_, faults) = account(&lines);
        assert_eq!((faults.misplaced, faults.missing), (1, 0));
    }

    #[test]
    fn a_line_that_is_no_event_is_found() {
        for broken in
            ["{\"message\":", "[]", "", "{\"message\":\"x\",\"sapphire\":{\"source\":\"firewalls\"},\"@metadata\":{}}"]
        {
            let mut lines = lines();
            lines.push(broken.to_owned());
            let (_, faults) = account(&lines);
            assert_eq!(faults.unreadable, 1, "{broken}");
        }
        let mut balance = Balance::default();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "{}", json("a", "cut off before its line feed")).unwrap();
        balance.read(file.path()).unwrap();
        assert_eq!(balance.close().1.unreadable, 1);
    }

    #[test]
    fn equal_events_from_the_play_itself_are_found() {
        let mut balance = Balance::default();
        balance.expect(SOURCE, [1, 2, 1]);
        assert_eq!(balance.close().1.equal, 1);
    }
}
