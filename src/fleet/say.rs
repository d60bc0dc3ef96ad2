//! What is said by itself: how the box is, what it consists of, what happened.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::channel::{Channel, LOOK};
use super::message::{Kind, body};
use super::{Neighbours, picture};
use crate::event::Notice;

/// The box says how it is this often though nothing has changed.
const HEARTBEAT: Duration = Duration::from_secs(300);
/// Characters of an event's sentence, and bytes of its facts: a page.
const SENTENCE: usize = 4 << 10;
const FACTS: usize = 8 << 10;

impl<N: Neighbours> Channel<N> {
    /// Says how the box is, if that is otherwise than before or was not said for long; whether it did.
    pub(super) fn say_status(&mut self) -> bool {
        let neighbours = &self.context.neighbours;
        let (snapshot, updates) = (neighbours.snapshot(), neighbours.updates());
        let offer = self.id().and_then(|id| self.desk.offer(id, updates.compatible.as_deref()));
        let lasting = picture::status(&snapshot, &updates, &neighbours.name(), offer);
        let is_known = self.said.as_ref().is_some_and(|(said, at)| *said == lasting && at.elapsed() < HEARTBEAT);
        if is_known {
            return false;
        }
        let mut whole = lasting.clone();
        whole.insert("uptime_seconds".to_owned(), snapshot.uptime_seconds.into());
        let store = &self.outbox.store;
        whole.insert("store".to_owned(), json!({ "waiting": store.waiting(), "dropped": store.dropped() }));
        self.outbox.say(Kind::Status, body(&whole));
        self.said = Some((lasting, Instant::now()));
        true
    }

    /// Says what the box consists of, if that is otherwise than before.
    pub(super) async fn say_inventory(&mut self) {
        let neighbours = self.context.neighbours.clone();
        let certificate = self.tls.cert.clone().unwrap_or_default();
        let look = move || {
            let (snapshot, updates) = (neighbours.snapshot(), neighbours.updates());
            body(&picture::inventory(&snapshot, &updates, &neighbours.name(), &neighbours.settings(), &certificate))
        };
        let Ok(inventory) = tokio::task::spawn_blocking(look).await else { return };
        if self.inventory.as_ref() != Some(&inventory) {
            self.outbox.say(Kind::Inventory, inventory.clone());
            self.inventory = Some(inventory);
        }
    }

    pub(super) fn told(&mut self, told: Result<Notice, RecvError>) {
        match told {
            Ok(notice) => self.outbox.keep(Kind::Event, event(&notice)),
            Err(RecvError::Lagged(missed)) => {
                let words = format!("{missed} events came faster than they could be kept for the fleet");
                let facts = [("count", missed.to_string())];
                self.outbox.keep(Kind::Event, event(&Notice::new("events_missed", false, words, &facts)));
            }
            // Our own context holds a teller.
            Err(RecvError::Closed) => {}
        }
        // What happened mostly changes how the box is.
        self.next_look = self.next_look.min(self.said.as_ref().map_or(self.next_look, |(_, at)| *at + LOOK));
    }
}

/// The body of an event.
fn event(notice: &Notice) -> String {
    let outcome = if notice.is_success { "success" } else { "failure" };
    let message: String = notice.message.chars().take(SENTENCE).collect();
    let facts = body(&notice.facts);
    let facts = if facts.len() > FACTS { json!({}) } else { Value::Object(notice.facts.clone()) };
    body(&json!({ "action": notice.action, "outcome": outcome, "message": message, "facts": facts }))
}
