//! What is to be said, in the order in which it is: how the box is, what it consists of, what waited, and pieces of a bundle.
//!
//! The broker acknowledges in the order of what was sent (`net::mqtt`), so what became of each is known.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::time::Instant;

use super::message::{self, Kind, MEDIA_TYPE};
use super::store::Store;
use crate::clock::Clock;
use crate::net::mqtt::{Connection, Message, Reason};

/// Bytes of a piece of a bundle: 64 KiB in base64, below the 128 KiB that managed brokers take.
const PIECE: usize = 48 << 10;
/// A broker that acknowledges nothing for this long is left.
const STUCK: Duration = Duration::from_secs(60);
/// What nobody has subscribed to is sent again after this.
const UNHEARD: Duration = Duration::from_secs(60);

/// What was sent and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// The newest of its kind.
    Newest,
    /// A letter of the store.
    Kept(Kind, u64),
    /// A piece of the bundle.
    Piece,
}

/// A support bundle on its way.
#[derive(Debug)]
pub(super) struct Bundle {
    /// The command that wanted it.
    pub(super) command: String,
    pub(super) bytes: Vec<u8>,
    /// Pieces that were sent, and that the broker has.
    sent: usize,
    through: usize,
}

/// What waits to be said.
#[derive(Debug)]
pub(super) struct Outbox {
    clock: Clock,
    /// The box's id; nothing while it has none, when nothing is kept either.
    id: Option<String>,
    pub(super) store: Store,
    /// Bodies that the broker should keep.
    newest: Vec<(Kind, String)>,
    bundle: Option<Bundle>,
    sent: VecDeque<Sent>,
    /// When something was last acknowledged, or the first of what is on its way was sent.
    moved: Instant,
    /// To these nobody has subscribed: what waits of them is not sent before then.
    unheard: BTreeMap<Kind, Instant>,
}

impl Outbox {
    pub(super) fn new(clock: Clock, store: Store) -> Self {
        Self {
            clock,
            id: None,
            store,
            newest: Vec::new(),
            bundle: None,
            sent: VecDeque::new(),
            moved: Instant::now(),
            unheard: BTreeMap::new(),
        }
    }

    /// The box has this id.
    pub(super) fn is_called(&mut self, id: &str) {
        self.store.is_called(id);
        self.id = Some(id.to_owned());
    }

    /// A whole message now; nothing while the box has no id.
    pub(super) fn message(&mut self, body: &str) -> Option<String> {
        let id = self.id.as_ref()?;
        Some(message::compose(id, &self.clock.now().to_string(), self.store.number(), body))
    }

    /// Says it once the broker is there.
    pub(super) fn keep(&mut self, kind: Kind, body: String) {
        if self.id.is_some() {
            self.store.push(kind, self.clock.now().to_string(), body);
        }
    }

    /// Says it now, in place of what was said of this before; if there is no connection, not at all.
    pub(super) fn say(&mut self, kind: Kind, body: String) {
        self.newest.retain(|(other, _)| *other != kind);
        self.newest.push((kind, body));
    }

    /// Sends a bundle in pieces, and the answer when all are through.
    pub(super) fn send_bundle(&mut self, command: String, bytes: Vec<u8>) {
        self.bundle = Some(Bundle { command, bytes, sent: 0, through: 0 });
    }

    /// Publishes what there is, as far as there is room.
    pub(super) fn pump(&mut self, connection: &mut Connection) {
        let now = Instant::now();
        self.unheard.retain(|_, until| *until > now);
        let Some(id) = self.id.clone() else { return };
        while connection.has_room() {
            let Some((sent, kind, text)) = self.next(&id) else { break };
            let message = Message {
                topic: &kind.topic(&id),
                payload: text.as_bytes(),
                content_type: MEDIA_TYPE,
                retain: kind.is_retained(),
            };
            match connection.publish(&message) {
                Ok(()) => {
                    if self.sent.is_empty() {
                        self.moved = Instant::now();
                    }
                    self.sent.push_back(sent);
                }
                Err(size) => {
                    let most = connection.max_packet();
                    tracing::warn!(size, most, kind = kind.as_str(), "the broker takes no message of this size");
                    self.cannot(sent, "the broker takes no message of this size");
                }
            }
        }
    }

    fn next(&mut self, id: &str) -> Option<(Sent, Kind, String)> {
        if !self.newest.is_empty() {
            let (kind, body) = self.newest.remove(0);
            let text = self.message(&body)?;
            return Some((Sent::Newest, kind, text));
        }
        let unheard = &self.unheard;
        if let Some(letter) = self.store.next_unsent(|kind| !unheard.contains_key(&kind)) {
            let text = message::compose(id, &letter.at, letter.sequence, &letter.body);
            return Some((Sent::Kept(letter.kind, letter.sequence), letter.kind, text));
        }
        let body = self.bundle.as_mut()?.next_piece()?;
        let text = self.message(&body)?;
        Some((Sent::Piece, Kind::Answer, text))
    }

    /// What became of the oldest that was sent. What the broker does not let the box say comes back.
    pub(super) fn acknowledged(&mut self, reason: Reason) -> Result<(), Reason> {
        let sent = self.sent.pop_front();
        self.moved = Instant::now();
        if reason.is_refusal() {
            return Err(reason);
        }
        let is_unheard = reason == Reason::NO_SUBSCRIBERS;
        match sent {
            // The next ledger holds what this one did.
            Some(Sent::Kept(kind, sequence)) if is_unheard && kind != Kind::Ledger => {
                self.store.is_back(sequence);
                self.unheard.insert(kind, Instant::now() + UNHEARD);
            }
            Some(Sent::Kept(_, sequence)) => self.store.is_through(sequence),
            Some(Sent::Piece) if is_unheard => self.cannot(Sent::Piece, "nobody has subscribed to this box's answers"),
            Some(Sent::Piece) => self.piece_is_through(),
            // The broker keeps it for those who come later.
            Some(Sent::Newest) | None => {}
        }
        Ok(())
    }

    /// The connection has gone: what was not acknowledged is sent again with the next.
    pub(super) fn lost(&mut self) {
        self.sent.clear();
        self.newest.clear();
        self.store.rewind();
        self.unheard.clear();
        self.cannot(Sent::Piece, "the connection broke off before the bundle was through; ask again");
    }

    fn cannot(&mut self, sent: Sent, why: &str) {
        match sent {
            Sent::Kept(_, sequence) => self.store.give_up(sequence),
            Sent::Piece => {
                if let Some(bundle) = self.bundle.take() {
                    self.keep(Kind::Answer, answer(&bundle.command, "support_bundle", "failed", why));
                }
            }
            Sent::Newest => {}
        }
    }

    fn piece_is_through(&mut self) {
        let is_all = self.bundle.as_mut().is_some_and(|bundle| {
            bundle.through += 1;
            bundle.through == bundle.pieces()
        });
        if is_all && let Some(bundle) = self.bundle.take() {
            let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bundle.bytes);
            let sum: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            let body = json!({
                "command": bundle.command, "deed": "support_bundle", "outcome": "done", "words": "the bundle is sent",
                "bundle": { "bytes": bundle.bytes.len(), "pieces": bundle.pieces(), "sha256": sum },
            });
            self.keep(Kind::Answer, body.to_string());
        }
    }

    /// Whether a bundle is on its way.
    pub(super) fn has_bundle(&self) -> bool {
        self.bundle.is_some()
    }

    /// Whether everything that was published is acknowledged.
    pub(super) fn is_quiet(&self) -> bool {
        self.sent.is_empty()
    }

    /// Whether the broker has acknowledged nothing for too long.
    pub(super) fn is_stuck(&self) -> bool {
        !self.sent.is_empty() && self.moved.elapsed() >= STUCK
    }

    /// Whether somebody listens, as far as is known.
    pub(super) fn is_heard(&self) -> bool {
        self.unheard.is_empty()
    }

    /// When there is something to be sent again.
    pub(super) fn again_at(&self) -> Option<Instant> {
        self.unheard.values().min().copied()
    }
}

impl Bundle {
    fn pieces(&self) -> usize {
        self.bytes.len().div_ceil(PIECE).max(1)
    }

    fn next_piece(&mut self) -> Option<String> {
        let number = self.sent + 1;
        if number > self.pieces() {
            return None;
        }
        let begin = self.sent * PIECE;
        let piece = self.bytes.get(begin..(begin + PIECE).min(self.bytes.len()))?;
        self.sent = number;
        let piece = json!({ "number": number, "of": self.pieces(), "data": STANDARD.encode(piece) });
        let body = json!({ "command": self.command, "deed": "support_bundle", "outcome": "piece", "piece": piece });
        Some(body.to_string())
    }
}

/// The body of an answer.
pub(super) fn answer(command: &str, deed: &str, outcome: &str, words: &str) -> String {
    json!({ "command": command, "deed": deed, "outcome": outcome, "words": words }).to_string()
}
