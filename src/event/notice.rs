//! What the box says about itself, on its way to becoming an event like any other.

use tokio::sync::broadcast;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Notices that may wait for the queue: they come one by one, when a person or an update does something.
const WAITING: usize = 64;

/// Something that the far end should know: an update, a login, changed settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What happened, as one word: `event.action`.
    pub action: &'static str,
    /// Whether it went well: `event.outcome`.
    pub is_success: bool,
    /// The sentence for people.
    pub message: String,
    /// The facts, for programs.
    pub facts: serde_json::Map<String, serde_json::Value>,
}

impl Notice {
    /// A notice with these facts besides its words.
    #[must_use]
    pub fn new(action: &'static str, is_success: bool, message: String, facts: &[(&str, String)]) -> Self {
        let facts = facts.iter().map(|(name, text)| ((*name).to_owned(), text.clone().into())).collect();
        Self { action, is_success, message, facts }
    }
}

/// Where a room tells what happened.
#[derive(Clone, Debug)]
pub struct Teller {
    to: Sender<Notice>,
    copies: broadcast::Sender<Notice>,
}

impl Teller {
    /// A teller, and the end that makes events of what it tells.
    #[must_use]
    pub fn new() -> (Self, Receiver<Notice>) {
        let (to, receiver) = channel(WAITING);
        let (copies, _) = broadcast::channel(WAITING);
        (Self { to, copies }, receiver)
    }

    /// Hears from now on what is told. Who is too slow misses the oldest.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Notice> {
        self.copies.subscribe()
    }

    /// Tells it, here in the log and to the far ends as an event.
    pub fn tell(&self, notice: Notice) {
        if notice.is_success {
            tracing::info!(action = notice.action, "{}", notice.message);
        } else {
            tracing::warn!(action = notice.action, "{}", notice.message);
        }
        // Mostly nobody listens besides.
        let _ = self.copies.send(notice.clone());
        if let Err(error) = self.to.try_send(notice) {
            tracing::warn!(%error, "what was said in the line before could not be made an event");
        }
    }
}
