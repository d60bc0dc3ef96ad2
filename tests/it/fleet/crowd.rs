//! A thousand boxes on one broker: the channel is the real one, with a certificate each; what is behind it is simulated. An
//! operator's tool of a page brings versions out in stages, and stops by itself when one falls back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sapphire_edge::clock::Clock;
use sapphire_edge::control::{self, Answer};
use sapphire_edge::event::{ApplianceId, Notice, Teller};
use sapphire_edge::fleet::{self, Neighbours, Stage};
use sapphire_edge::net::Dialer;
use sapphire_edge::net::mqtt::{Broker, Connection, Event};
use sapphire_edge::status::{Board, Component, Health, Snapshot};
use sapphire_edge::update::{FellBack, Status};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Operator, is_as_described};
use crate::peers::mosquitto::{Message, READER};

const BOXES: usize = 1_000;
const COMPATIBLE: &str = "simulated";
/// What works on no box, and what works on all.
const BAD: &str = "7.0.0";
const GOOD: &str = "7.0.1";
/// Longer than any part of it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(100);

/// What is behind the channel of one box.
struct Simulated {
    board: Board,
    teller: Teller,
    updates: Mutex<Status>,
}

impl Simulated {
    fn new(teller: Teller) -> Self {
        let board = Board::new(Clock::System);
        board.handle(Component::Source, "firewalls").set(Health::Healthy);
        let compatible = Some(COMPATIBLE.to_owned());
        let updates = Mutex::new(Status { version: "1.0.0".to_owned(), compatible, ..Status::default() });
        Self { board, teller, updates }
    }

    /// The box installs what it is offered, restarts, and goes back if that does not work.
    fn install(&self, version: &str) {
        let mut updates = self.updates.lock().unwrap();
        if version == BAD {
            let why = "output gateway fails (tls) since the update".to_owned();
            let at = Clock::System.now().to_string();
            updates.fell_back.push(FellBack { version: version.to_owned(), at, why, by: None });
            let facts = [("version", version.to_owned())];
            self.teller.tell(Notice::new("update_fell_back", false, format!("version {version} did not work"), &facts));
        } else {
            updates.version = version.to_owned();
        }
    }
}

impl Neighbours for Simulated {
    fn name(&self) -> String {
        "simulated".to_owned()
    }

    fn snapshot(&self) -> Snapshot {
        self.board.snapshot()
    }

    fn ledger(&self) -> Result<Box<RawValue>, String> {
        Ok(to_raw_value(&serde_json::json!({ "firewalls": { "received": 5, "delivered": 5 } })).unwrap())
    }

    fn updates(&self) -> Status {
        self.updates.lock().unwrap().clone()
    }

    fn settings(&self) -> Value {
        serde_json::json!({ "source": [{ "id": "firewalls", "type": "syslog" }] })
    }

    async fn update(&self, wish: control::Update) -> Answer {
        // Here a manifest is its version.
        if let control::Update::Offer { manifest: Some(version) } = wish {
            self.install(&version);
        }
        Answer::Update(to_raw_value(&true).unwrap())
    }

    async fn change(&self, _: control::Settings) -> Answer {
        Answer::Refused("a simulated box has no settings".to_owned())
    }

    async fn restart_source(&self, _: String, _: String) -> Answer {
        Answer::Done
    }

    async fn support_bundle(&self, _: usize) -> Result<Vec<u8>, String> {
        Err("a simulated box has nothing to tell".to_owned())
    }
}

/// The operator's tool: hears every box and knows what each said last.
struct Tool {
    connection: Connection,
    boxes: BTreeMap<String, Value>,
    /// Boxes that told at once that a version fell back.
    fell_back: Vec<(String, String)>,
    some: Vec<Message>,
}

impl Tool {
    async fn connect(operator: &Operator) -> Self {
        let dialer = Dialer {
            endpoint: operator.broker.inside().into(),
            proxy: None,
            tls: None,
            connect_timeout: Duration::from_secs(10),
        };
        let broker = Broker {
            dialer,
            client_id: "tool".to_owned(),
            user: Some(READER.to_owned()),
            password_file: Some(operator.broker.password_file()),
            keep_alive: Duration::from_secs(60),
            in_flight: 1,
            will: None,
            session: None,
        };
        let mut connection = broker.connect().await.unwrap();
        connection.subscribe(&["sapphire/v1/+/status", "sapphire/v1/+/event"]);
        Self { connection, boxes: BTreeMap::new(), fell_back: Vec::new(), some: Vec::new() }
    }

    /// Listens until it is so.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let listen = async {
            while !is_so(self) {
                if let Event::Message(arrived) = self.connection.next().await.unwrap() {
                    self.connection.taken(&arrived);
                    self.hear(&arrived.topic, &arrived.payload);
                }
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, listen).await;
        assert!(in_time.is_ok(), "waited in vain: {what}; {} boxes", self.boxes.len());
    }

    fn hear(&mut self, topic: &str, payload: &[u8]) {
        let json: Value = serde_json::from_slice(payload).unwrap();
        let id = json["box"].as_str().unwrap().to_owned();
        if self.some.len() < 300 {
            let payload = String::from_utf8(payload.to_vec()).unwrap();
            self.some.push(Message { topic: topic.to_owned(), content_type: String::new(), payload });
        }
        if topic.ends_with("/status") {
            self.boxes.insert(id, json);
        } else if json["action"] == "update_fell_back" {
            self.fell_back.push((id, json["facts"]["version"].as_str().unwrap().to_owned()));
        }
    }

    /// Whether every box has heard of this stage, and all that take part are through with it.
    fn is_through(&self, version: &str, stage: f64) -> bool {
        self.boxes.values().all(|json| {
            let offer = &json["update"]["offer"];
            let has_heard = offer["version"] == version && offer["stage"] == stage;
            has_heard && (offer["joined"] == false || json["version"] == version || has_fallen(json, version))
        })
    }

    /// Brings a version out in stages, as far as it works; the stage at which it did not.
    async fn roll_out(&mut self, operator: &Operator, version: &str) -> Result<(), f64> {
        for stage in [1.0, 10.0, 100.0] {
            operator.offer(COMPATIBLE, version, stage, version.as_bytes());
            let bad = |tool: &Self| tool.fell_back.iter().any(|(_, fallen)| fallen == version);
            self.until("the stage is through", |tool| bad(tool) || tool.is_through(version, stage)).await;
            if bad(self) {
                operator.offer(COMPATIBLE, version, 0.0, version.as_bytes());
                return Err(stage);
            }
        }
        Ok(())
    }
}

fn has_fallen(json: &Value, version: &str) -> bool {
    json["update"]["fell_back"].as_array().is_some_and(|all| all.iter().any(|entry| entry["version"] == version))
}

/// A box: its certificate, and its channel.
fn begin(
    operator: &Operator,
    folder: &Path,
    number: usize,
    stop: &CancellationToken,
    tasks: &mut JoinSet<Result<(), String>>,
) {
    let identity = operator.broker.authority.identity(&id(number));
    let config: fleet::Config = toml::from_str::<BTreeMap<String, fleet::Config>>(&operator.settings(&identity))
        .unwrap()
        .remove("fleet")
        .unwrap();
    let (teller, _) = Teller::new();
    let simulated = Arc::new(Simulated::new(teller.clone()));
    let context = fleet::Context {
        state_dir: folder.join(id(number)),
        appliance: ApplianceId(1),
        status: simulated.board.handle(Component::Box, "fleet"),
        neighbours: simulated,
        clock: Clock::System,
        heard: fleet::heard(&teller),
        teller,
        stop: stop.clone(),
    };
    tasks.spawn(fleet::run(config, context));
}

fn id(number: usize) -> String {
    format!("box-{number:04}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_to_a_thousand_boxes_goes_on_by_stages_and_stops_by_itself_when_the_first_falls_back() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(soft.max(8_192)), hard).unwrap();
    let Some(operator) = Operator::start() else { return };
    let mut tool = Tool::connect(&operator).await;
    // In memory: a thousand boxes have a thousand disks.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    for first in (0..BOXES).step_by(50) {
        (first..first + 50).for_each(|number| begin(&operator, folder.path(), number, &stop, &mut tasks));
        tool.until("they are there", |tool| tool.boxes.len() == first + 50).await;
    }
    let among = |percent: f64, version: &str| -> Vec<String> {
        let stage = Stage::try_from(percent).unwrap();
        (0..BOXES).map(id).filter(|id| stage.includes(id, version)).collect()
    };

    assert_eq!(tool.roll_out(&operator, BAD).await, Err(1.0), "it stops by itself");
    let is_withdrawn = |json: &Value| json["update"]["offer"]["stage"] == 0.0;
    tool.until("it is withdrawn", |tool| tool.boxes.values().all(is_withdrawn)).await;
    let tried: Vec<String> =
        tool.boxes.iter().filter(|(_, json)| has_fallen(json, BAD)).map(|(id, _)| id.clone()).collect();
    assert_eq!(tried, among(1.0, BAD), "the first stage has tried it, and nobody else");
    assert!((2..=25).contains(&tried.len()), "{} of a thousand", tried.len());
    assert!(tool.boxes.values().all(|json| json["version"] == "1.0.0"));

    assert_eq!(tool.roll_out(&operator, GOOD).await, Ok(()));
    assert!(tool.boxes.values().all(|json| json["version"] == GOOD));
    assert!(tool.fell_back.iter().all(|(_, version)| version == BAD));
    is_as_described(&tool.some);
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap().unwrap();
    }
}
