//! What is still in the box of the last minutes: for the live tail, and for programs.
//!
//! Bounded: events that are looked through (by the box), those that are shown, and their bytes; who looks has one of the places of the
//! live tail meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::Shared;
use super::super::feed::Feed;
use super::super::guard::{Asked, Refusal, Seen};
use super::super::view::Replay;
use super::pages::LONGEST_TEXT;
use crate::control::Answer;

/// More than anybody reads on a page.
const SHOWN: usize = 200;
const SHOWN_BYTES: usize = 2 << 20;
/// A day: nothing older helps with what goes on now.
const LONGEST: u32 = 24 * 60;
/// Looking through takes a second or two.
const WITHIN: Duration = Duration::from_secs(20);
/// Events on their way to us.
const AHEAD: usize = 64;
const USUAL: u32 = 15;

/// The newest events that are wanted.
#[derive(Default)]
struct Newest {
    looked_at: u64,
    found: u64,
    events: VecDeque<Box<RawValue>>,
    bytes: usize,
}

impl Newest {
    fn take(&mut self, event: Box<RawValue>, text: &str) {
        self.looked_at += 1;
        if !text.is_empty() && !event.get().to_lowercase().contains(text) {
            return;
        }
        self.found += 1;
        self.bytes += event.get().len();
        self.events.push_back(event);
        while self.events.len() > SHOWN || (self.bytes > SHOWN_BYTES && self.events.len() > 1) {
            self.bytes -= self.events.pop_front().map_or(0, |oldest| oldest.get().len());
        }
    }

    fn words(&self, minutes: u32, is_whole: bool) -> String {
        let (looked_at, found, shown) = (self.looked_at, self.found, self.events.len());
        match (looked_at, found) {
            (0, _) => format!(
                "Nothing of the last {minutes} minutes is in the box any more: either nothing came in, or the gateway has it already."
            ),
            (_, 0) => format!("Nothing that is still in the box fits: {looked_at} events were looked through."),
            _ => {
                let which = if is_whole { "" } else { "The newest " };
                let fit = if found == looked_at { String::new() } else { format!(", {found} of them fit") };
                let cut =
                    if (shown as u64) < found { format!("; the newest {shown} are shown") } else { String::new() };
                format!("{which}{looked_at} events of the last {minutes} minutes are still in the box{fit}{cut}.")
            }
        }
    }
}

impl Shared {
    /// What is still there of the last minutes, of one source (or all, where it is empty), that holds the text.
    pub(super) async fn replay(&self, source: &str, text: &str, minutes: u32) -> Result<Replay, String> {
        let _place = self.feed.place().ok_or_else(Feed::full)?;
        let minutes = minutes.clamp(1, LONGEST);
        let text: String = text.chars().take(LONGEST_TEXT).collect::<String>().to_lowercase();
        let (to, mut from) = mpsc::channel(AHEAD);
        let source = Some(source.to_owned()).filter(|source| !source.is_empty());
        let mut tap = Arc::clone(&self.context.questions).tap(source, Some(minutes), to);
        let mut newest = Newest::default();
        let look = async {
            let mut has_ended = false;
            loop {
                tokio::select! {
                    biased;
                    answer = from.recv() => match answer {
                        Some(Answer::Event(event)) => newest.take(event, &text),
                        Some(Answer::Replayed { is_whole, .. }) => return Ok(is_whole),
                        Some(Answer::Refused(why)) => return Err(why),
                        Some(_) => {}
                        None => return Err("the queue cannot be looked at now; try again in a moment".to_owned()),
                    },
                    () = &mut tap, if !has_ended => has_ended = true,
                }
            }
        };
        let slow = || Err("looking through the queue takes too long; choose fewer minutes".to_owned());
        let is_whole = timeout(WITHIN, look).await.unwrap_or_else(|_| slow())?;
        let words = newest.words(minutes, is_whole);
        let events = newest.events.iter().filter_map(|event| serde_json::from_str(event.get()).ok()).collect();
        Ok(Replay { minutes, looked_at: newest.looked_at, found: newest.found, words, events })
    }
}

pub(super) fn api() -> Router<Arc<Shared>> {
    Router::new().route("/api/v1/live", get(api_replay))
}

async fn api_replay(
    State(shared): State<Arc<Shared>>,
    _: Seen,
    asked: Asked,
    uri: Uri,
) -> Result<Json<Replay>, Refusal> {
    let minutes = asked.get("minutes").parse().unwrap_or(USUAL);
    let replay = shared.replay(asked.get("source"), asked.get("text"), minutes).await;
    replay.map(Json).map_err(|why| {
        let (what, todo) = why.split_once("; ").unwrap_or((&why, "ask again in a moment"));
        Refusal::new(&shared, &uri, StatusCode::CONFLICT, what, todo)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_that_fit_are_kept_and_the_words_say_how_many_there_were() {
        let event = |text: &str| RawValue::from_string(format!("{{\"message\":{text:?}}}")).unwrap();
        let mut newest = Newest::default();
        assert!(newest.words(5, true).contains("Nothing of the last 5 minutes is in the box any more"));
        for number in 0..300 {
            newest.take(event(&format!("Hello {number}")), "hello");
            newest.take(event("other"), "hello");
        }
        assert_eq!(
            newest.words(5, true),
            "600 events of the last 5 minutes are still in the box, 300 of them fit; the newest 200 are shown."
        );
        assert!(newest.words(5, false).starts_with("The newest 600 events"));
        assert_eq!((newest.events.len(), newest.events[199].get()), (SHOWN, "{\"message\":\"Hello 299\"}"));
        newest.take(event(&"x".repeat(SHOWN_BYTES)), "");
        assert!(newest.events.len() == 1, "the bytes are bounded, too");
        let mut none = Newest::default();
        none.take(event("a"), "b");
        assert_eq!(none.words(5, true), "Nothing that is still in the box fits: 1 events were looked through.");
    }
}
