//! `[[source]]` and `[[output]]`: lists of tables whose `type` says which struct they are.
//!
//! serde's own tagged enums forget where a value stood, so `type` is read here and the table then goes to its struct.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

#[cfg(test)]
use super::table::Shape;
use super::table::{self, About, Finding, Sample, Step, Table};
use crate::output;
use crate::source;

/// The longest id: it becomes part of metric labels, file names and event fields.
const LONGEST_ID: usize = 64;

/// What one room's own check says: the key below the table, and what is wrong with it.
pub(super) type Complaints = Vec<(String, String)>;

/// A closed set of components that share one list of the file.
pub(super) trait Part: Sized + 'static {
    /// The name of the list: `source`.
    const LIST: &'static str;
    /// Its types, in the order people should read them.
    const KINDS: &'static [Kind<Self>];
    /// Its own rules; no I/O.
    fn validate(&self) -> Complaints;
    /// Opens the files it names.
    fn open_files(&self) -> Complaints;
}

/// Reads a table; there are no settings when something is wrong with it.
type Read<P> = fn(&Table<'_>, About<'_>) -> (Option<P>, Vec<Finding>);

/// One `type`.
pub(super) struct Kind<P> {
    /// The word behind `type =`.
    pub(super) name: &'static str,
    /// Its commented sample.
    pub(super) sample: &'static str,
    /// Reads a table without its `type`.
    pub(super) read: Read<P>,
    /// The keys of its struct.
    #[cfg(test)]
    pub(super) shape: fn() -> Shape,
}

/// Reads the struct of one type and puts it into the set.
macro_rules! kind {
    ($name:literal, $config:ty, $variant:path, $sample:literal) => {
        Kind {
            name: $name,
            sample: include_str!($sample),
            read: |table, about| {
                let (config, findings) = table::read::<$config>(table, about);
                (config.map($variant), findings)
            },
            #[cfg(test)]
            shape: Shape::of::<$config>,
        }
    };
}

impl Part for source::Config {
    const LIST: &'static str = "source";
    const KINDS: &'static [Kind<Self>] = &[
        kind!("syslog", source::SyslogConfig, source::Config::Syslog, "../source/syslog/sample.toml"),
        kind!("lumberjack", source::LumberjackConfig, source::Config::Lumberjack, "../source/lumberjack/sample.toml"),
        kind!("ssh", source::SshConfig, source::Config::Ssh, "../source/ssh/sample.toml"),
        kind!(
            "office365",
            Box<source::Office365Config>,
            source::Config::Office365,
            "../source/microsoft/office365/sample.toml"
        ),
        kind!("graph", Box<source::GraphConfig>, source::Config::Graph, "../source/microsoft/graph.toml"),
        kind!("defender", Box<source::DefenderConfig>, source::Config::Defender, "../source/microsoft/defender.toml"),
        kind!("event_hubs", Box<source::EventHubsConfig>, source::Config::EventHubs, "../source/hubs/sample.toml"),
        kind!("umbrella", Box<source::UmbrellaConfig>, source::Config::Umbrella, "../source/umbrella/sample.toml"),
        kind!("duo", Box<source::DuoConfig>, source::Config::Duo, "../source/duo/sample.toml"),
        kind!("amp", Box<source::AmpConfig>, source::Config::Amp, "../source/amp/sample.toml"),
        kind!(
            "crowdstrike",
            Box<source::CrowdstrikeConfig>,
            source::Config::Crowdstrike,
            "../source/crowdstrike/sample.toml"
        ),
        kind!(
            "falcon_replicator",
            Box<source::ReplicatorConfig>,
            source::Config::FalconReplicator,
            "../source/replicator/sample.toml"
        ),
    ];

    fn validate(&self) -> Complaints {
        self.validate()
    }

    fn open_files(&self) -> Complaints {
        self.open_files()
    }
}

impl Part for output::Config {
    const LIST: &'static str = "output";
    const KINDS: &'static [Kind<Self>] = &[
        kind!("lumberjack", output::LumberjackConfig, output::Config::Lumberjack, "../output/lumberjack/sample.toml"),
        kind!("syslog", output::SyslogConfig, output::Config::Syslog, "../output/syslog/sample.toml"),
        kind!("mqtt", output::MqttConfig, output::Config::Mqtt, "../output/mqtt/sample.toml"),
        kind!("file", output::FileConfig, output::Config::File, "../output/file.toml"),
    ];

    fn validate(&self) -> Complaints {
        self.validate()
    }

    fn open_files(&self) -> Complaints {
        self.open_files()
    }
}

/// The commented sample of each type: its list, its name, its text.
pub fn samples() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let sources = source::Config::KINDS.iter().map(|kind| (source::Config::LIST, kind.name, kind.sample));
    sources.chain(output::Config::KINDS.iter().map(|kind| (output::Config::LIST, kind.name, kind.sample)))
}

/// One table of the list, read as far as it can be.
#[derive(Debug)]
pub(super) struct Item<'a, P> {
    /// How errors name it: `source[firewalls]`, or `source[0]` while it has no id.
    pub(super) base: String,
    /// The table, with its `type`.
    pub(super) table: Table<'a>,
    /// Its id and where it stands.
    pub(super) id: Option<(String, Range<usize>)>,
    /// Its settings, when nothing is wrong with them.
    pub(super) config: Option<P>,
    /// What is wrong.
    pub(super) findings: Vec<Finding>,
}

/// Takes the list out of the file and reads its tables. An absent list is an empty one.
pub(super) fn take<'a, P: Part>(root: &mut DeTable<'a>, top: &[String]) -> Result<Vec<Item<'a, P>>, Finding> {
    let Some(list) = root.remove(P::LIST) else { return Ok(Vec::new()) };
    let span = list.span();
    let wrong = |what: &str| Finding {
        span: span.clone(),
        path: vec![Step::Key(P::LIST.to_owned())],
        what: what.to_owned(),
        advice: format!("write [[{0}]] above the keys of each {0}", P::LIST),
        // Where the file is no TOML, the place of the header may be what is wrong with it.
        missing: true,
    };
    let DeValue::Array(tables) = list.into_inner() else { return Err(wrong("this is a list of tables")) };
    let mut items = Vec::new();
    for (at, value) in tables.into_iter().enumerate() {
        let span = value.span();
        let DeValue::Table(table) = value.into_inner() else { return Err(wrong("this list holds tables only")) };
        items.push(item(at, Table::new(span, table), top));
    }
    Ok(items)
}

fn item<'a, P: Part>(at: usize, table: Table<'a>, top: &[String]) -> Item<'a, P> {
    let id = table.get_ref().get("id").and_then(|id| Some((id.get_ref().as_str()?.to_owned(), id.span())));
    let base = match &id {
        Some((id, _)) if !id.is_empty() => format!("{}[{id}]", P::LIST),
        _ => format!("{}[{at}]", P::LIST),
    };
    let mut findings = Vec::new();
    findings.extend(id.as_ref().and_then(|(id, span)| check_id(id, span)));
    let config = match kind_of::<P>(&table) {
        Ok(kind) => {
            let mut typeless = table.clone();
            typeless.get_mut().remove("type");
            let about = About { sample: Sample::Component(kind.sample), header: P::LIST, top };
            let (config, found) = (kind.read)(&typeless, about);
            findings.extend(found);
            config
        }
        Err(finding) => {
            findings.push(finding);
            None
        }
    };
    Item { base, table, id, config, findings }
}

/// The kind that the table's `type` names.
fn kind_of<P: Part>(table: &Table<'_>) -> Result<&'static Kind<P>, Finding> {
    let names = || P::KINDS.iter().map(|kind| kind.name);
    let finding =
        |span, what, advice, missing| Finding { span, path: vec![Step::Key("type".into())], what, advice, missing };
    let Some(value) = table.get_ref().get("type") else {
        let advice = format!("add type = {}", table::either(names()));
        return Err(finding(table.span(), "the key \"type\" is missing".to_owned(), advice, true));
    };
    let Some(name) = value.get_ref().as_str() else {
        let what = "the type is a word in quotes".to_owned();
        return Err(finding(value.span(), what, format!("write {}", table::either(names())), false));
    };
    P::KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
        let advice = match table::nearest(name, names()) {
            Some(meant) => format!("write {meant:?} (the types are {})", table::either(names())),
            None => format!("write {}", table::either(names())),
        };
        finding(value.span(), format!("there is no {} of type {name:?}", P::LIST), advice, false)
    })
}

/// An id is `lower_snake_case`: it stands in metric labels and event fields, where other characters need escaping.
fn check_id(id: &str, span: &Range<usize>) -> Option<Finding> {
    let good_start = id.starts_with(|c: char| c.is_ascii_lowercase());
    let good = id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if id == source::NOTICES {
        return Some(Finding {
            span: span.clone(),
            path: vec![Step::Key("id".to_owned())],
            what: format!("{id:?} is the id of what the box says about itself"),
            advice: "write another one, such as \"firewalls\"".to_owned(),
            missing: false,
        });
    }
    if good_start && good && id.len() <= LONGEST_ID {
        return None;
    }
    let lower: String = id.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let usable = lower.trim_matches(|c: char| c == '_').trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let usable: String = usable.chars().take(LONGEST_ID).collect();
    let usable = if usable.is_empty() { "firewalls" } else { usable.as_str() };
    let what = if id.is_empty() { "the id is empty".to_owned() } else { format!("{id:?} is no id") };
    Some(Finding {
        span: span.clone(),
        path: vec![Step::Key("id".to_owned())],
        what,
        advice: format!(
            "write {usable:?}: a lower-case letter, then lower-case letters, digits and _, {LONGEST_ID} at most"
        ),
        missing: false,
    })
}
