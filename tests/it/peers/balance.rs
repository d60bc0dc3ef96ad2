//! What a gateway holds, against what was sent: the promise of the product, checked event by event.

use std::collections::{HashMap, HashSet};

use super::gateway::Event;

/// The outcome where nothing is lost and nothing is invented.
#[derive(Debug)]
pub struct Balance {
    /// The id under which each text came.
    pub ids: HashMap<String, String>,
    /// Events that came more often than once, each under its own id.
    pub repeats: usize,
}

/// Checks that every text of `sent`, all of them different, came; that nothing else did; and that a text and an id
/// always belong together, so that repeats can be told by their id alone.
pub fn balance<'a>(sent: impl IntoIterator<Item = &'a String>, came: &[Event]) -> Balance {
    let (mut ids, mut texts) = (HashMap::new(), HashMap::new());
    for event in came {
        let (id, text) = (event.id(), event.message());
        let first_id = ids.entry(text.to_owned()).or_insert_with(|| id.to_owned());
        assert_eq!(first_id, id, "{text:?} came under two ids");
        let first_text = texts.entry(id.to_owned()).or_insert_with(|| text.to_owned());
        assert_eq!(first_text, text, "{id} is the id of two events");
    }
    let (mut missing, mut expected) = (Vec::new(), 0);
    for text in sent {
        expected += 1;
        if !ids.contains_key(text) {
            missing.push(text);
        }
    }
    let some = &missing[..missing.len().min(5)];
    assert!(missing.is_empty(), "{} of {expected} events are missing, such as {some:?}", missing.len());
    assert_eq!(ids.len(), expected, "events came that nobody sent");
    Balance { repeats: came.len() - ids.len(), ids }
}

/// As [`balance`], where up to `most` more events may have come: those that a sender had sent and not heard of when it
/// ended.
pub fn balance_beside(most: usize, sent: &[String], came: &[Event]) -> Balance {
    let wanted: HashSet<&str> = sent.iter().map(String::as_str).collect();
    let (came, others): (Vec<Event>, Vec<Event>) =
        came.iter().cloned().partition(|event| wanted.contains(event.message()));
    let others: HashSet<&str> = others.iter().map(Event::message).collect();
    assert!(others.len() <= most, "{} events came that nobody sent", others.len());
    balance(sent, &came)
}
