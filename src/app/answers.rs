//! What the control socket is answered.

use std::sync::{Arc, OnceLock};

use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};

use super::hearth::{Tap, Window};
use super::power::{NOT_ALLOWED, Power};
use super::stick::Sticks;
use super::{again, changes, face};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::control::{self, Answer, Handler};
use crate::event::{ApplianceId, Batch, BatchNumber, SourceId};
use crate::output::{Encoder, Readings};
use crate::status::{Board, Component};
use crate::support::Ring;
use crate::update;

/// Why there is nothing to be said of the queue yet, or any more.
const OPENING: &str = "the queue is still being opened; ask again in a moment";
const STOPPING: &str = "the program is stopping";
/// More than anybody looks through; written out that is some ten MiB of JSON, a piece at a time.
const MOST_REPLAYED: u64 = 20_000;

/// What is known only once the queue is open.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) window: Window,
    pub(super) readings: Readings,
}

/// Knows the board, and the events that come in.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) board: Board,
    pub(super) name: watch::Receiver<Arc<str>>,
    pub(super) look: Arc<OnceLock<Look>>,
    pub(super) updates: update::Door,
    pub(super) settings: changes::Door,
    pub(super) sources: again::Door,
    pub(super) log: Ring,
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) power: Power,
    pub(super) sticks: Sticks,
}

impl Handler for Answers {
    fn status(&self) -> Result<Box<RawValue>, String> {
        to_raw_value(&self.board.snapshot()).map_err(|error| format!("the status cannot be written: {error}"))
    }

    fn ledger(&self) -> Result<Box<RawValue>, String> {
        let look = self.look.get().ok_or(OPENING)?;
        let ledger = look.window.ledger().ok_or(STOPPING)?;
        to_raw_value(&ledger).map_err(|error| format!("the ledger cannot be written: {error}"))
    }

    async fn tap(&self, source: Option<String>, last_minutes: Option<u32>, to: mpsc::Sender<Answer>) {
        let refused = match self.begin(source.as_deref()) {
            Ok((tap, appliance, readings)) => {
                if let Some(minutes) = last_minutes
                    && !self.replay(minutes, source.as_deref(), (appliance, &readings), &to).await
                {
                    return;
                }
                self.events(tap, appliance, readings, source.as_deref(), &to).await;
                return;
            }
            Err(why) => Answer::Refused(why),
        };
        // The client that asked may be gone already; nobody else wants to know.
        let _ = to.send(refused).await;
    }

    fn log(&self) -> String {
        self.log.text()
    }

    async fn settings(&self, wish: control::Settings) -> Answer {
        let is_screens = matches!(wish, control::Settings::Network { .. });
        if is_screens && !self.config.borrow().screen.actions {
            return Answer::Refused(NOT_ALLOWED.to_owned());
        }
        self.settings.ask(wish).await
    }

    async fn face(&self) -> Answer {
        let (config, name) = (Arc::clone(&self.config.borrow()), self.name.borrow().to_string());
        match tokio::task::spawn_blocking(move || face::of(&config, name)).await {
            Ok(face) => Answer::Face(Box::new(face)),
            Err(error) => Answer::Refused(format!("what the screen shows cannot be read: {error}")),
        }
    }

    async fn power(&self, wish: control::Power) -> Answer {
        let config = Arc::clone(&self.config.borrow());
        self.power.ask(wish, config).await.map_or_else(Answer::Refused, |()| Answer::Done)
    }

    async fn restart_source(&self, source: String, by: String) -> Answer {
        self.sources.ask(source, by).await.map_or_else(Answer::Refused, |()| Answer::Done)
    }

    async fn stick(&self, stick: control::Stick, to: mpsc::Sender<Answer>) {
        let config = Arc::clone(&self.config.borrow());
        self.sticks.take(stick, config, to).await;
    }

    async fn update(&self, wish: control::Update, to: mpsc::Sender<Answer>) {
        self.updates.ask(wish, to).await;
    }
}

impl Answers {
    fn begin(&self, source: Option<&str>) -> Result<(Tap, ApplianceId, Readings), String> {
        let look = self.look.get().ok_or(OPENING)?;
        let (tap, appliance) = look.window.tap().ok_or(STOPPING)?;
        let snapshot = self.board.snapshot();
        let sources = snapshot.components.iter().filter(|line| line.component == Component::Source);
        let known: Vec<&str> = sources.map(|line| line.id.as_str()).collect();
        match source {
            Some(id) if !known.contains(&id) => {
                Err(format!("there is no source {id:?}; the sources are: {}", known.join(", ")))
            }
            _ => Ok((tap, appliance, look.readings.clone())),
        }
    }

    /// Sends what is still there of the last minutes; false if whoever asked has gone.
    async fn replay(
        &self,
        minutes: u32,
        source: Option<&str>,
        (appliance, readings): (ApplianceId, &Readings),
        to: &mpsc::Sender<Answer>,
    ) -> bool {
        let since = Clock::System.now().micros().saturating_sub(u64::from(minutes).saturating_mul(60_000_000));
        let (look, source) = (self.look.get().cloned(), source.map(SourceId::from));
        let find = move || look?.window.recent(Timestamp(since), source.as_ref(), MOST_REPLAYED);
        let mut recent = match tokio::task::spawn_blocking(find).await {
            Ok(Some(Ok(recent))) => recent,
            Ok(Some(Err(error))) => {
                let words = format!("what is in the queue cannot be read: {error}; try again in a moment");
                return to.send(Answer::Refused(words)).await.is_ok();
            }
            _ => return false,
        };
        let (mut events, is_whole) = (0, recent.is_whole());
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let next = recent.take_next();
                (recent, next)
            });
            let Ok((rest, next)) = read.await else { return false };
            recent = rest;
            let Some((number, batch)) = next else { break };
            events += u64::from(batch.count());
            for answer in self.encode(appliance, readings, number, &batch) {
                if to.send(answer).await.is_err() {
                    return false;
                }
            }
        }
        to.send(Answer::Replayed { events, is_whole }).await.is_ok()
    }

    async fn events(
        &self,
        mut tap: Tap,
        appliance: ApplianceId,
        readings: Readings,
        source: Option<&str>,
        to: &mpsc::Sender<Answer>,
    ) {
        loop {
            let answers = match tap.recv().await {
                Ok((_, batch)) if source.is_some_and(|id| id != batch.source().as_str()) => continue,
                Ok((number, batch)) => self.encode(appliance, &readings, number, &batch),
                Err(RecvError::Lagged(batches)) => vec![Answer::Missed(batches)],
                Err(RecvError::Closed) => return,
            };
            for answer in answers {
                if to.send(answer).await.is_err() {
                    return;
                }
            }
        }
    }

    /// The events of a batch as the outputs would send them.
    fn encode(&self, appliance: ApplianceId, readings: &Readings, number: BatchNumber, batch: &Batch) -> Vec<Answer> {
        let name = Arc::clone(&self.name.borrow());
        let mut encoder = Encoder::new(appliance, &name, number, batch, &readings.get(batch.source()));
        let (mut records, mut events) = (batch.records(), Vec::new());
        let mut index = 0;
        while let Some(record) = records.next() {
            let mut json = Vec::new();
            encoder.write(index, &record, &mut json);
            index += 1;
            match String::from_utf8(json).map(RawValue::from_string) {
                Ok(Ok(event)) => events.push(Answer::Event(event)),
                _ => tracing::error!(batch = %number, index, "an event was encoded to what is no JSON"),
            }
        }
        events
    }
}
