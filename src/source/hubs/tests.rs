//! Histories of a partition: a hub that goes on, lets old events go and is made anew; links that break, a box that is cut off
//! at random moments and forgets what was not settled, time that runs by itself. Every event that the hub still had arrives
//! once, none under two ids, and of the others the far end is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::amqp::{Event, From, PartitionFacts};
use super::fault::Fault;
use super::feed::{Account, Feed, Inflow};
use crate::clock::Clock;
use crate::event::{Kind, Origin, Transport};
use crate::source::pull::model::ModelStore;
use crate::status::{Board, Component};
use crate::wire::azure::Place;

const START: u64 = 1_700_000_000_000_000;
const SECOND: u64 = 1_000_000;

/// A partition at the hub.
struct Partition {
    /// When it was made.
    created: i64,
    /// The sequence number of the oldest event that is there.
    begin: i64,
    events: VecDeque<Vec<u8>>,
    dice: StdRng,
    /// What was sent, in its order, and what the hub let go or lost.
    sent: Vec<String>,
    gone: BTreeSet<String>,
}

type Hub = Arc<Mutex<Partition>>;

impl Partition {
    fn new(dice: StdRng) -> Self {
        let (sent, gone) = (Vec::new(), BTreeSet::new());
        Self { created: 1, begin: 0, events: VecDeque::new(), dice, sent, gone }
    }

    fn end(&self) -> i64 {
        self.begin + i64::try_from(self.events.len()).unwrap()
    }

    fn facts(&self) -> PartitionFacts {
        let (last, is_empty) = (self.end() - 1, self.events.is_empty());
        PartitionFacts { begin: self.begin, last, last_offset: offset(last), is_empty }
    }

    /// A second goes by.
    fn tick(&mut self) {
        for _ in 0..self.dice.random_range(0..4) {
            self.send();
        }
        // Rarely: both take what was not read.
        if self.dice.random_bool(0.01) {
            let most = self.events.len();
            let count = self.dice.random_range(0..=most);
            self.let_go(count);
            self.begin += i64::try_from(count).unwrap();
        }
        if self.dice.random_bool(0.002) {
            self.let_go(self.events.len());
            (self.begin, self.created) = (0, self.created + 1);
        }
    }

    fn let_go(&mut self, count: usize) {
        for event in self.events.drain(..count) {
            self.gone.extend(texts(&event));
        }
    }

    /// An envelope of some records, or one event as it is.
    fn send(&mut self) {
        let name = format!("{}.{}", self.created, self.end());
        let text = |record: u32| format!("{{\"n\":\"{name}.{record}\"}}");
        let event = if self.dice.random_bool(0.8) {
            let records: Vec<String> = (0..self.dice.random_range(1..5)).map(text).collect();
            format!("{{\"records\":[{}]}}", records.join(","))
        } else {
            name
        };
        self.sent.extend(texts(event.as_bytes()));
        self.events.push_back(event.into_bytes());
    }
}

fn offset(sequence: i64) -> String {
    format!("@{sequence}")
}

/// The records of an event, as they are to arrive.
fn texts(event: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(event).unwrap();
    match text.strip_prefix("{\"records\":[") {
        Some(records) => records.trim_end_matches("]}").split(',').map(str::to_owned).collect(),
        None => vec![text.to_owned()],
    }
}

/// A link to it, which breaks now and then.
struct Link {
    hub: Hub,
    created: i64,
    next: i64,
    credit: u32,
    dice: StdRng,
}

impl Link {
    fn attach(hub: &Hub, from: &From<'_>, dice: StdRng) -> Self {
        let partition = hub.lock().unwrap();
        let next = match from {
            From::After { offset } => offset.strip_prefix('@').unwrap().parse::<i64>().unwrap() + 1,
            From::Earliest => partition.begin,
        };
        assert!(next <= partition.end(), "{next} was never sent");
        Self { hub: Arc::clone(hub), created: partition.created, next, credit: 0, dice }
    }
}

impl Inflow for Link {
    async fn allow(&mut self, events: u32) {
        self.credit = events;
    }

    async fn next(&mut self) -> Result<Option<Event>, Fault> {
        loop {
            tokio::time::sleep(Duration::from_millis(self.dice.random_range(1..300))).await;
            let partition = self.hub.lock().unwrap();
            if self.dice.random_bool(0.02) || partition.created != self.created {
                return Err(Fault::Broken("it broke".into()));
            }
            self.next = self.next.max(partition.begin);
            let at = usize::try_from(self.next - partition.begin).unwrap();
            let Some(body) = partition.events.get(at).filter(|_| self.credit > 0) else { continue };
            let event = Event {
                sequence: self.next,
                offset: offset(self.next),
                enqueued: self.created * 1_000_000 + self.next,
                key: None,
                body: Some(body.clone()),
            };
            (self.next, self.credit) = (self.next + 1, self.credit - 1);
            return Ok(Some(event));
        }
    }

    async fn accept(&mut self) {}
}

/// Reads the partition as the hub's task does, link after link, until it is told to stop.
async fn read(hub: Hub, mut feed: Feed, mut dice: StdRng, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let (facts, created) = {
            let partition = hub.lock().unwrap();
            (partition.facts(), partition.created)
        };
        feed.prepare(&facts, created).await.unwrap();
        let link = Link::attach(&hub, &feed.from(), StdRng::seed_from_u64(dice.random()));
        feed = feed.run(link, Origin::new(Transport::Tls, None), created, stop.clone()).await.feed;
    }
    feed.drain().await;
}

fn feed(store: &ModelStore, clock: &Clock) -> Feed {
    let text =
        "id = \"azure\"\nnamespace = \"contoso\"\nevent_hub = [\"h\"]\npolicy = \"p\"\nprimary_key_file = \"/k\"";
    let account = Account {
        config: toml::from_str(text).unwrap(),
        namespace: "contoso.servicebus.windows.net".into(),
        hub: "h".into(),
        store: Arc::new(store.clone()),
        status: Board::new(clock.clone()).handle(Component::Source, "azure"),
        clock: clock.clone(),
    };
    Feed::new(Arc::new(account), "$Default", "0", 1 << 20)
}

/// What came of a history.
struct Outcome {
    /// Records that the hub still had and that never came.
    missing: usize,
    /// Events that the hub let go and that never came, behind one that had.
    lost: u64,
    /// Events that were counted as lost; those of a run that was cut may be counted again.
    counted: u64,
    /// Whether the far end was told of a hole.
    is_told: bool,
    /// Whether the hub was made anew: nobody can count what went with it.
    is_new: bool,
}

async fn history(seed: u64, cut: impl Fn(&ModelStore, &mut StdRng)) -> Outcome {
    let mut dice = StdRng::seed_from_u64(seed);
    let micros = Arc::new(AtomicU64::new(START));
    let (clock, store) = (Clock::Fixed(Arc::clone(&micros)), ModelStore::default());
    let hub: Hub = Arc::new(Mutex::new(Partition::new(StdRng::seed_from_u64(dice.random()))));
    let rounds = dice.random_range(2..8);
    for round in 0..=rounds {
        let stop = CancellationToken::new();
        let dice_of_links = StdRng::seed_from_u64(dice.random());
        let mut reading = JoinSet::new();
        reading.spawn(read(Arc::clone(&hub), feed(&store, &clock), dice_of_links, stop.clone()));
        let seconds = if round == rounds { 2_000 } else { dice.random_range(1..120) };
        for second in 0..seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            micros.fetch_add(SECOND, Ordering::Relaxed);
            if round < rounds && second < 100 {
                hub.lock().unwrap().tick();
            }
            if dice.random_bool(0.2) {
                store.sync();
            }
        }
        if round == rounds || dice.random_bool(0.3) {
            stop.cancel();
            let ended = loop {
                match tokio::time::timeout(Duration::from_millis(100), reading.join_next()).await {
                    Ok(ended) => break ended,
                    Err(_) => store.sync(),
                }
            };
            ended.unwrap().unwrap();
        } else {
            reading.shutdown().await;
            cut(&store, &mut dice);
        }
    }
    let partition = hub.lock().unwrap();
    outcome(seed, &partition, &store)
}

fn outcome(seed: u64, partition: &Partition, store: &ModelStore) -> Outcome {
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    let (mut texts, mut is_told) = (BTreeSet::new(), false);
    store.each(|kind, record| {
        if kind == Kind::Notice {
            is_told = true;
            return;
        }
        let (_, bytes) = Place::read(record.bytes).unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(partition.sent.contains(&text), "seed {seed}: {text} was never sent");
        assert!(texts.insert(text.clone()), "seed {seed}: {text} came twice, though its position was kept with it");
        let other = ids.insert(record.id.unwrap().to_owned(), text);
        assert_eq!(other, None, "seed {seed}: two records under one id");
    });
    let is_lost = |text: &&String| !texts.contains(*text) && partition.gone.contains(*text);
    // Where nothing had come yet, nobody can know of what was before.
    let behind = partition.sent.iter().skip_while(|text| !texts.contains(*text));
    let lost: BTreeSet<&str> = behind.filter(is_lost).map(|text| event_of(text)).collect();
    let missing = partition.sent.iter().filter(|text| !texts.contains(*text) && !partition.gone.contains(*text));
    Outcome {
        missing: missing.count(),
        lost: lost.len() as u64,
        counted: store.dropped(),
        is_told,
        is_new: partition.created > 1,
    }
}

/// The name of the event that a record was in.
fn event_of(text: &str) -> &str {
    let name = text.trim_start_matches("{\"n\":\"").trim_end_matches("\"}");
    let parts: Vec<usize> = name.match_indices('.').map(|(at, _)| at).collect();
    parts.get(1).map_or(name, |at| &name[..*at])
}

/// `PULL_HISTORIES` says how many, `PULL_SEED` where they begin.
#[tokio::test(start_paused = true)]
async fn every_event_arrives_once_whenever_the_power_goes() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let first = number("PULL_SEED", 1);
    for seed in first..first + number("PULL_HISTORIES", 200) {
        let outcome = history(seed, ModelStore::cut).await;
        assert_eq!(outcome.missing, 0, "seed {seed}");
        let Outcome { lost, counted, is_told, is_new, .. } = outcome;
        assert!(lost == 0 || is_told || counted > 0, "seed {seed}: nobody was told of a hole");
        assert!(is_new || lost <= counted, "seed {seed}: {lost} events are lost, {counted} counted");
    }
}

/// The histories are hard enough to find a position that is kept without the events before it.
#[tokio::test(start_paused = true)]
async fn a_queue_that_writes_out_of_order_is_found() {
    let mut missing = 0;
    for seed in 1..20 {
        missing += history(seed, ModelStore::cut_out_of_order).await.missing;
    }
    assert!(missing > 0);
}
