//! Every fault in words, on every face: boxes on which everything goes wrong that can at once, and what each says of it by its
//! page, its API, its screen and its lights.
//!
//! A row is a component, how it is broken, and words of what is wrong and of what to do. The rows of a box are of one kind, so
//! that the lights, which show the kind to mend first, show each of them; what one row says does not depend on the others.

/// Files, ports and addresses of the box itself; what others send it, and do not.
mod listeners;
/// The machine below: cables, clock, disks, updates.
mod machine;
/// Cloud vendors that refuse, are busy, or are something else.
mod vendors;
/// The way to the gateways.
mod ways;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use sapphire_edge::clock::{Clock, Timestamp, monotonic};
use serde_json::{Value, json};

use super::{Curl, claim};
use crate::peers::appliance::{Appliance, program};
use crate::peers::crowdstrike::Falcon;
use crate::peers::duo::Duo;
use crate::peers::https::{Response, Server};
use crate::peers::lights::{Board, Lights};
use crate::peers::microsoft::Microsoft;
use crate::peers::s3::S3;
use crate::peers::tmux::Terminal;

/// How soon a box says what is wrong with it.
const WITHIN: Duration = Duration::from_secs(5);
/// Every line of a box with forty faults is in sight.
const TALL: (&str, &str) = ("112", "600");

/// Codes of the lights (`src/hw/pattern.rs`).
const NETWORK: u32 = 2;
const QUEUE: u32 = 3;
const GATEWAY: u32 = 4;
const SOURCE: u32 = 5;
const BOX: u32 = 6;

/// What a box has to say of a component.
struct Row {
    id: String,
    what: &'static str,
    todo: &'static str,
}

fn row(id: &str, what: &'static str, todo: &'static str) -> Row {
    Row { id: id.to_owned(), what, todo }
}

/// The settings of all rows, what they say, and what must live as long as the box.
#[derive(Default)]
struct Table {
    settings: String,
    rows: Vec<Row>,
    duos: Vec<Duo>,
    microsofts: Vec<Microsoft>,
    buckets: Vec<S3>,
    falcons: Vec<Falcon>,
    servers: Vec<Server>,
}

impl Table {
    fn add(&mut self, list: &str, kind: &str, keys: &str, what: &'static str, todo: &'static str) {
        let id = format!("{kind}_{}", self.rows.len());
        self.settings.push_str(&format!("[[{list}]]\nid = \"{id}\"\ntype = \"{kind}\"\n{keys}\n"));
        self.rows.push(Row { id, what, todo });
    }

    fn source(&mut self, kind: &str, keys: &str, what: &'static str, todo: &'static str) {
        self.add("source", kind, keys, what, todo);
    }

    fn output(&mut self, kind: &str, keys: &str, what: &'static str, todo: &'static str) {
        self.add("output", kind, keys, what, todo);
    }

    fn duo(&mut self, response: Response, what: &'static str, todo: &'static str) {
        let double = Duo::start();
        double.fault("/admin/", usize::MAX, response);
        self.source("duo", &double.settings("logs = [\"authentication\"]\nbackfill = \"1h\""), what, todo);
        self.duos.push(double);
    }

    fn office365(&mut self, path: &str, response: Response, what: &'static str, todo: &'static str) {
        let double = Microsoft::start();
        double.fault(path, usize::MAX, response);
        self.source(
            "office365",
            &double.settings("content_types = [\"Audit.General\"]\nbackfill = \"1h\""),
            what,
            todo,
        );
        self.microsofts.push(double);
    }

    fn umbrella(&mut self, response: Response, what: &'static str, todo: &'static str) {
        let double = S3::start();
        double.fault("list-type=2", usize::MAX, response);
        self.source("umbrella", &double.settings(""), what, todo);
        self.buckets.push(double);
    }

    fn crowdstrike(&mut self, code: u16, what: &'static str, todo: &'static str) {
        let double = Falcon::start(&["0"]);
        let body = json!({ "errors": [{ "code": code, "message": "no" }] });
        double.fault("datafeed/v2", usize::MAX, Response::json(code, &body));
        self.source("crowdstrike", &double.settings(""), what, todo);
        self.falcons.push(double);
    }
}

/// A box, and who looks at it.
struct Faces {
    edge: Appliance,
    ada: Curl,
    screen: Option<Terminal>,
    lights: Option<Lights>,
    board: Board,
}

impl Faces {
    /// A claimed box with these settings, a board with lights, and a screen.
    fn of(settings: &str) -> Option<Self> {
        let board = Board::default();
        let command = board.with(&program(), &[]).unwrap_or_else(program);
        Self::with(settings, command, board)
    }

    /// The same, by another command line.
    fn with(settings: &str, command: Command, board: Board) -> Option<Self> {
        let edge = Appliance::start_with(&format!("{settings}{}", Board::settings()), command, |_| {});
        let ada = claim(&edge)?;
        let mut console = program();
        console.args(["console", "--stay", "--config"]).arg(edge.settings());
        let screen = Terminal::run_sized(&console, TALL);
        let lights = Lights::start(&board, &edge.settings());
        Some(Self { edge, ada, screen, lights, board })
    }

    fn overview(&self) -> Value {
        self.ada.get("/api/v1/overview").json()
    }

    /// Waits until each face tells of all rows, whose faults were made at this moment or, where that is not known, some time ago.
    fn tell(&self, made: Option<Timestamp>, rows: &[Row], blinks: u32) {
        let begin = monotonic();
        let troubles = self.listed(rows);
        let told = begin.elapsed();
        for row in rows {
            let trouble = &troubles[&row.id];
            let words = ["what", "todo", "since"].map(|key| trouble[key].as_str().unwrap());
            assert!(words.iter().all(|words| !words.is_empty()), "{}: {trouble}", row.id);
            let since = Timestamp::said(words[2]).unwrap();
            let took = made.map_or(Duration::ZERO, |made| since.since(made));
            assert!(took <= WITHIN, "{} took {took:?}: {trouble}", row.id);
        }
        self.page(rows);
        let page = begin.elapsed();
        self.screen(rows);
        let screen = begin.elapsed();
        if let Some(lights) = &self.lights {
            lights.blinks(blinks);
        }
        eprintln!(
            "{} rows: API {told:.1?}, page {page:.1?}, screen {screen:.1?}, lights {:.1?}",
            rows.len(),
            begin.elapsed()
        );
    }

    /// Waits until the API lists the rows; all that it lists.
    fn listed(&self, rows: &[Row]) -> BTreeMap<String, Value> {
        let mut troubles = BTreeMap::new();
        let found = crate::peers::try_until(|| {
            troubles = listed(&self.overview());
            missing(&troubles, rows).is_empty().then_some(())
        });
        let words: Vec<_> =
            missing(&troubles, rows).iter().map(|row| (&row.id, row.what, row.todo, troubles.get(&row.id))).collect();
        assert!(found.is_some(), "missing: {words:#?}\n{}", self.edge.all_lines());
        troubles
    }

    /// Waits until the page says of the rows what the API says, in the same words.
    fn page(&self, rows: &[Row]) {
        self.says_the_same("page", rows, |trouble| {
            let page = self.ada.get("/").body;
            ["what", "todo"].iter().all(|key| page.contains(&escaped(trouble[*key].as_str().unwrap())))
        });
    }

    /// Waits until the screen does.
    fn screen(&self, rows: &[Row]) {
        let Some(screen) = &self.screen else { return };
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.says_the_same("screen", rows, |trouble| {
            let [kind, id, state, since, what, todo] =
                ["component", "id", "state", "since", "what", "todo"].map(|key| trouble[key].as_str().unwrap());
            let text = flat(&screen.text());
            let which = format!("{kind} {id} is {state} since {since}");
            [which, what.to_owned(), format!("to do: {todo}")].iter().all(|part| text.contains(&flat(part)))
        });
    }

    /// Waits until each row is said, as the API has it at that moment: words may hold numbers that change.
    fn says_the_same(&self, face: &str, rows: &[Row], says: impl Fn(&Value) -> bool) {
        let mut missing: Vec<&Row> = rows.iter().collect();
        let mut last = Vec::new();
        let found = crate::peers::try_until(|| {
            let troubles = listed(&self.overview());
            missing.retain(|row| !troubles.get(&row.id).is_some_and(&says));
            last = missing.iter().map(|row| troubles.get(&row.id).cloned()).collect();
            missing.is_empty().then_some(())
        });
        let text = self.screen.as_ref().map(Terminal::text).unwrap_or_default();
        assert!(found.is_some(), "not on the {face}: {last:#?}\n{text}");
    }

    /// When the program started, as it says.
    fn started(&self) -> Timestamp {
        let overview = self.overview();
        let at = Timestamp::said(overview["at"].as_str().unwrap()).unwrap();
        Timestamp(at.micros() - overview["uptime_seconds"].as_u64().unwrap() * 1_000_000)
    }
}

/// As the page writes it.
fn escaped(text: &str) -> String {
    let entities = [('&', "&#38;"), ('<', "&#60;"), ('>', "&#62;"), ('"', "&#34;"), ('\'', "&#39;")];
    entities.iter().fold(text.to_owned(), |text, (letter, entity)| text.replace(*letter, entity))
}

/// What the API lists, by component.
fn listed(overview: &Value) -> BTreeMap<String, Value> {
    let troubles = overview["troubles"].as_array().unwrap().iter();
    troubles.map(|trouble| (trouble["id"].as_str().unwrap().to_owned(), trouble.clone())).collect()
}

/// The rows that are not listed in their words.
fn missing<'a>(troubles: &BTreeMap<String, Value>, rows: &'a [Row]) -> Vec<&'a Row> {
    let is_missing = |row: &&Row| {
        let has = |key: &str, part: &str| {
            troubles.get(&row.id).is_some_and(|trouble| trouble[key].as_str().unwrap().contains(part))
        };
        !(has("what", row.what) && has("todo", row.todo))
    };
    rows.iter().filter(is_missing).collect()
}

/// The moment now, as the box has it.
fn now() -> Timestamp {
    Clock::System.now()
}
