//! What comes from the broker: looked at, remembered, carried out one at a time, answered.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::Neighbours;
use super::channel::Channel;
use super::command::{self, Command, Deed, Offer, Rules};
use super::deed::{self, Done};
use super::message::{Kind, command_topic};
use super::outbox::answer;
use super::refusal::{Refusal, Refusals, Wrong};
use super::replay::Replay;
use crate::event::Notice;
use crate::net::mqtt::Arrived;
use crate::secret::PublicKeys;

/// Messages that are looked at in a minute; the rest is only counted. An operator's tool sends a few.
const A_MINUTE: f64 = 30.0;
/// Commands that wait for the one that is carried out.
const WAITING: usize = 4;
/// Kinds of boards whose offers are kept until this box knows which it is.
const OFFERS: usize = 16;
/// An offer that could not be handed over is tried again after the first wait, which doubles up to the longest: a boot is judged
/// within minutes, and a manifest that is not right stays so.
const FIRST_WAIT: Duration = Duration::from_secs(4);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The desk.
#[derive(Debug)]
pub(super) struct Desk {
    replay: Replay,
    pub(super) refusals: Refusals,
    allowance: Allowance,
    waiting: VecDeque<Work>,
    /// At most one.
    pub(super) work: JoinSet<Result<Done, String>>,
    current: Option<Work>,
    /// The newest offer for each kind of board.
    offers: BTreeMap<String, Offered>,
}

/// Something to be carried out.
#[derive(Clone, Debug)]
struct Work {
    /// The command's id.
    id: String,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// A command to this box, which is answered.
    Deed(Deed),
    /// An offer to all: the manifest where this box takes part, or nothing any more.
    Offer(Option<String>),
}

/// An offer to all boxes of a kind.
#[derive(Debug)]
struct Offered {
    id: String,
    offer: Offer,
    /// It was handed over.
    is_settled: bool,
    /// Not tried before, and the wait after that.
    again: Instant,
    wait: Duration,
    /// Why it was not taken.
    words: Option<String>,
}

/// So many messages a minute, and no more at once.
#[derive(Debug)]
struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    fn take(&mut self) -> bool {
        let now = Instant::now();
        let grown = now.duration_since(self.at).as_secs_f64() / 60.0 * A_MINUTE;
        (self.left, self.at) = ((self.left + grown).min(A_MINUTE), now);
        let may = self.left >= 1.0;
        self.left -= f64::from(u8::from(may));
        may
    }
}

impl Desk {
    pub(super) fn new(replay: Replay) -> Self {
        Self {
            replay,
            refusals: Refusals::default(),
            allowance: Allowance { left: A_MINUTE, at: Instant::now() },
            waiting: VecDeque::new(),
            work: JoinSet::new(),
            current: None,
            offers: BTreeMap::new(),
        }
    }

    /// The offer for this kind of board, for the status.
    pub(super) fn offer(&self, id: &str, compatible: Option<&str>) -> Option<Value> {
        let offered = self.offers.get(compatible?)?;
        let Offer { version, stage, .. } = &offered.offer;
        let mut value = json!({ "version": version, "stage": stage, "joined": stage.includes(id, version) });
        if let (Some(words), Some(value)) = (&offered.words, value.as_object_mut()) {
            value.insert("words".to_owned(), words.as_str().into());
        }
        Some(value)
    }
}

impl<N: Neighbours> Channel<N> {
    /// A message came. When this comes back it may be acknowledged.
    pub(super) async fn arrived(&mut self, arrived: &Arrived) {
        if let Err(refusal) = self.take(arrived).await {
            self.refuse(&refusal);
        }
        self.see_to_offer();
        self.go_on();
    }

    async fn take(&mut self, arrived: &Arrived) -> Result<(), Refusal> {
        let Some(id) = self.id().map(str::to_owned) else { return Ok(()) };
        if !self.desk.allowance.take() {
            let words = format!("more than {A_MINUTE} messages come within a minute; it was not looked at");
            return Err(Refusal::new(Wrong::TooMany, words));
        }
        let is_for_all = arrived.topic.starts_with("sapphire/v1/all/offer");
        if !is_for_all && arrived.topic != command_topic(&id) {
            return Err(Refusal::new(Wrong::Foreign, "it came under a topic that is not this box's".to_owned()));
        }
        // What the broker kept was taken away (section 3.3.1.3).
        if is_for_all && arrived.payload.is_empty() {
            return Ok(());
        }
        let keys = self.keys().await?;
        let now = self.context.clock.now();
        let command = command::open(&arrived.payload, Rules { keys: &keys, id: &id, now, is_for_all })?;
        if is_for_all {
            return self.offered(command).await;
        }
        if self.desk.replay.has_seen(&command.id) {
            // The broker did not hear that we had it.
            if arrived.is_repeat {
                return Ok(());
            }
            return Err(Refusal::new(Wrong::Replayed, format!("the command {} was seen before", command.id)));
        }
        if self.desk.waiting.len() >= WAITING {
            let words = format!("{WAITING} commands wait already; send it again when they are answered");
            return Err(Refusal::new(Wrong::TooMany, words).of(&command.id));
        }
        let Command { id, forgotten, deed, .. } = command;
        if let Err(error) = self.desk.replay.remember(&id, forgotten, now).await {
            let words = format!("the box cannot remember it ({error}), and might do it twice");
            return Err(Refusal::new(Wrong::Impossible, words).of(&id));
        }
        self.accept(id, deed)
    }

    /// Whoever may command by now. They are few and seldom, so the file is read for each.
    fn keys(&self) -> impl Future<Output = Result<PublicKeys, Refusal>> + Send + use<N> {
        let path = self.config.keys.clone();
        async {
            let impossible = |words: String| Refusal::new(Wrong::Impossible, words);
            let Some(path) = path else {
                return Err(impossible("this box takes no commands: its settings name no fleet.keys".to_owned()));
            };
            let read = tokio::task::spawn_blocking(move || PublicKeys::read(&path)).await;
            let read = read.map_err(|error| impossible(format!("fleet.keys: {error}")))?;
            read.map_err(|error| impossible(format!("fleet.keys: {error}")))
        }
    }

    /// Puts a command in the row, unless it is an offer that is not for this box.
    fn accept(&mut self, id: String, deed: Deed) -> Result<(), Refusal> {
        if let Deed::Offer(offer) = &deed {
            let ours = self.context.neighbours.updates().compatible;
            if let Some(ours) = ours.filter(|ours| *ours != offer.compatible) {
                let words = format!("it is for {:?}, and this box is {ours}", offer.compatible);
                return Err(Refusal::new(Wrong::Impossible, words).of(&id));
            }
            if !self.id().is_some_and(|own| offer.stage.includes(own, &offer.version)) {
                let words = format!("this box is not among the first {} %", f64::from(offer.stage));
                self.outbox.keep(Kind::Answer, answer(&id, deed.name(), "done", &words));
                return Ok(());
            }
        }
        self.desk.waiting.push_back(Work { id, what: What::Deed(deed) });
        Ok(())
    }

    /// An offer to all: the newest of its kind is kept, and seen to when it is known which kind this box is.
    async fn offered(&mut self, command: Command) -> Result<(), Refusal> {
        let Deed::Offer(offer) = command.deed else { return Ok(()) };
        let compatible = offer.compatible.clone();
        if self.desk.replay.is_outdated(&compatible, command.issued) {
            let words = format!("an offer of version {} for {compatible} that is older than the last", offer.version);
            return Err(Refusal::new(Wrong::Replayed, words));
        }
        if self.desk.offers.get(&compatible).is_some_and(|known| known.id == command.id) {
            return Ok(());
        }
        if let Err(error) = self.desk.replay.remember_offer(&compatible, command.issued).await {
            let words = format!("the box cannot remember an offer ({error})");
            return Err(Refusal::new(Wrong::Impossible, words));
        }
        if self.desk.offers.len() < OFFERS || self.desk.offers.contains_key(&compatible) {
            let offered = Offered {
                id: command.id,
                offer,
                is_settled: false,
                again: Instant::now(),
                wait: FIRST_WAIT,
                words: None,
            };
            self.desk.offers.insert(compatible, offered);
        }
        Ok(())
    }

    /// Hands the offer for this box over, or takes it back, if that is not done yet.
    pub(super) fn see_to_offer(&mut self) {
        let Some(own) = self.id().map(str::to_owned) else { return };
        if self.desk.offers.is_empty() {
            return;
        }
        let Some(compatible) = self.context.neighbours.updates().compatible else { return };
        let is_under_way = |work: &Work| matches!(work.what, What::Offer(_));
        if self.desk.current.iter().chain(&self.desk.waiting).any(is_under_way) {
            return;
        }
        let Some(offered) = self.desk.offers.get_mut(&compatible) else { return };
        let now = Instant::now();
        if offered.is_settled || now < offered.again {
            return;
        }
        (offered.again, offered.wait) = (now + offered.wait, (offered.wait * 2).min(LONGEST_WAIT));
        let takes_part = offered.offer.stage.includes(&own, &offered.offer.version);
        let manifest = takes_part.then(|| offered.offer.manifest.clone());
        let work = Work { id: offered.id.clone(), what: What::Offer(manifest) };
        self.desk.waiting.push_back(work);
        self.go_on();
    }

    /// Begins with the next, if nothing is under way.
    pub(super) fn go_on(&mut self) {
        if self.desk.current.is_some() || self.outbox.has_bundle() {
            return;
        }
        let Some(work) = self.desk.waiting.pop_front() else { return };
        let (neighbours, what) = (self.context.neighbours.clone(), work.what.clone());
        let by = format!("the fleet's operator (command {})", work.id);
        self.desk.current = Some(work);
        self.desk.work.spawn(async move {
            match what {
                What::Deed(deed) => deed::carry_out(&*neighbours, deed, by).await,
                What::Offer(manifest) => deed::hand_over(&*neighbours, manifest).await.map(Done::Words),
            }
        });
    }

    /// What was carried out has come to its end.
    pub(super) fn ended(&mut self, ended: Result<Result<Done, String>, JoinError>) {
        let result = ended.unwrap_or_else(|error| Err(format!("an error in this program stopped it ({error})")));
        match self.desk.current.take() {
            Some(Work { id, what: What::Deed(deed) }) => self.answer(id, &deed, result),
            Some(Work { id, what: What::Offer(_) }) => {
                if let Some(offered) = self.desk.offers.values_mut().find(|offered| offered.id == id) {
                    offered.is_settled = result.is_ok();
                    offered.words = result.err();
                }
            }
            None => {}
        }
        self.see_to_offer();
        self.go_on();
    }

    fn answer(&mut self, id: String, deed: &Deed, result: Result<Done, String>) {
        let name = deed.name();
        let words = match &result {
            Ok(Done::Words(words)) | Err(words) => words.clone(),
            Ok(Done::Bundle(bytes)) => format!("a support bundle of {} bytes is sent", bytes.len()),
        };
        let facts = [("command", id.clone()), ("deed", name.to_owned())];
        let message = format!("the fleet's operator commands {name}: {words}");
        self.context.teller.tell(Notice::new("fleet_command", result.is_ok(), message, &facts));
        match result {
            Ok(Done::Bundle(bytes)) => self.outbox.send_bundle(id, bytes),
            Ok(Done::Words(words)) => self.outbox.keep(Kind::Answer, answer(&id, name, "done", &words)),
            Err(words) => self.outbox.keep(Kind::Answer, answer(&id, name, "failed", &words)),
        }
    }

    /// Tells of a message that is not carried out: as an event, and whoever sent it, if they may command.
    fn refuse(&mut self, refusal: &Refusal) {
        if let Some(notice) = self.desk.refusals.note(refusal) {
            self.context.teller.tell(notice);
        }
        if let Some(command) = &refusal.command {
            let body = json!({
                "command": command, "outcome": "refused", "wrong": refusal.wrong.as_str(), "words": refusal.words,
            });
            self.outbox.keep(Kind::Answer, body.to_string());
        }
    }
}
