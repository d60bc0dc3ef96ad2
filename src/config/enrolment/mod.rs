//! An enrolment file: what makes a new box one of a site's, in one file that an operator hands out.
//!
//! In: the file's text and the settings that are there. Out: the settings with the box's name, the gateways, the fleet's broker and the
//! first sources in them, the texts that become files of the box, and the fleet's one-time secret. Nothing is written here. Comments and everything else of the settings stay; what
//! the box has already (a source of the same id) is left as it is; enrolling twice changes nothing.
//!
//! Whoever may change the settings may enrol. Who else may (by a USB stick) is decided in `app/stick`, by a signature: a first line
//! `# sapphire-enrolment-1 ...` ([`SIGNATURE`]), which TOML takes as a comment.

mod settings;

pub use settings::EnrolmentConfig;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::edit::set;
use crate::clock::Timestamp;
use crate::fleet::enrolment::OneTime;
use crate::secret::Secret;

/// The output that an enrolment makes, or finds.
const GATEWAY: &str = "gateway";
/// The form that is understood.
const FORM: u32 = 1;
/// How the first line of a signed file begins; the number is the format's.
pub const SIGNATURE: &str = "# sapphire-enrolment-1 ";

/// The files that an enrolment may bring.
const GATEWAY_CA: &str = "gateway-ca.pem";
const FLEET_CA: &str = "fleet-ca.pem";
const FLEET_KEYS: &str = "fleet-keys.pem";

/// What the file says.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    form: u32,
    /// The box's name; none: it keeps its own.
    name: Option<String>,
    /// Endpoints of the gateways, the preferred one first.
    gateway: Vec<String>,
    /// The CA that signs their certificates (PEM); none: the machine's own CAs.
    ca: Option<String>,
    /// More settings, as they stand in a settings file: the first sources.
    #[serde(default)]
    settings: String,
    /// Until when a USB stick may bring it.
    not_after: Option<jiff::Timestamp>,
    /// Whoever runs this box among many.
    fleet: Option<Fleet>,
}

/// The `[fleet]` table of the file.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fleet {
    /// The broker.
    broker: String,
    /// The enrolment server.
    enrolment: Option<String>,
    /// The CA that signs the certificates of both (PEM); none: the machine's own CAs.
    ca: Option<String>,
    /// Public keys of whoever may command the box (PEM).
    keys: Option<String>,
    /// What the box is called there; none: by its name, and without one, as in the ids of its events.
    id: Option<String>,
    /// What the box gets its certificate with, once.
    secret: Option<String>,
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { form, name, gateway, fleet, .. } = self;
        let broker = fleet.as_ref().map(|fleet| &fleet.broker);
        write!(f, "Enrolment {{ form: {form}, name: {name:?}, gateway: {gateway:?}, broker: {broker:?}, .. }}")
    }
}

/// Why a file enrols nothing. Trying again helps only with another file.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    /// It is no enrolment file.
    #[error("this is no enrolment file: {0}; ask whoever made it for a new one")]
    Garbled(String),
    /// It is of another version of the firmware.
    #[error("this enrolment file has the form {0}, and this firmware understands {FORM}; update the box first")]
    Form(u32),
    /// It names no gateway.
    #[error("this enrolment file names no gateway; ask whoever made it for a new one")]
    NoGateway,
    /// The settings it is to be put into are no TOML.
    #[error("the settings of this box are no TOML, so nothing can be put into them; mend them first")]
    Settings,
}

impl Enrolment {
    /// Reads the file's text.
    ///
    /// # Errors
    /// When it is none, or of a form that is not known here.
    pub fn parse(text: &str) -> Result<Self, EnrolmentError> {
        let garbled = |error: toml::de::Error| EnrolmentError::Garbled(error.message().to_owned());
        // Some editors put a mark in front.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let enrolment: Self = toml::from_str(text).map_err(garbled)?;
        if enrolment.form != FORM {
            return Err(EnrolmentError::Form(enrolment.form));
        }
        if enrolment.gateway.is_empty() {
            return Err(EnrolmentError::NoGateway);
        }
        more(&enrolment.settings)?;
        Ok(enrolment)
    }

    /// The texts that become files of the box: the name that each is to have, and the text.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let fleet = self.fleet.as_ref();
        let all = [
            (GATEWAY_CA, self.ca.as_deref()),
            (FLEET_CA, fleet.and_then(|fleet| fleet.ca.as_deref())),
            (FLEET_KEYS, fleet.and_then(|fleet| fleet.keys.as_deref())),
        ];
        all.into_iter().filter_map(|(name, text)| Some((name, text?)))
    }

    /// Until when a USB stick may bring it, so that one that was lost is of no use for ever; none: always.
    #[must_use]
    pub fn not_after(&self) -> Option<Timestamp> {
        self.not_after.map(|at| Timestamp(u64::try_from(at.as_microsecond()).unwrap_or_default()))
    }

    /// What the box gets its certificate for the fleet with, once.
    #[must_use]
    pub fn secret(&self) -> Option<OneTime> {
        let fleet = self.fleet.as_ref()?;
        let id = fleet.id.clone().or_else(|| self.name.clone());
        Some(OneTime { id, server: fleet.enrolment.clone(), secret: Secret::new(fleet.secret.clone()?) })
    }

    /// The file's text without its one-time secret, which is used; nothing where it has none. A signature does not hold for it.
    #[must_use]
    pub fn without_secret(text: &str) -> Option<String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (first, rest) = text.split_once('\n')?;
        let body = if first.starts_with(SIGNATURE) { rest } else { text };
        let mut document: DocumentMut = body.parse().ok()?;
        document.get_mut("fleet")?.as_table_like_mut()?.remove("secret")?;
        Some(format!(
            "# The one-time secret of this file was used and is wiped; a signature does not hold any more.\n{document}"
        ))
    }

    /// The settings with all that in them; `paths` says where each of [`Enrolment::files`] lies.
    ///
    /// # Errors
    /// When the settings are no TOML.
    pub fn put_into(&self, settings: &str, paths: &BTreeMap<&'static str, String>) -> Result<String, EnrolmentError> {
        let mut document: DocumentMut = settings.parse().map_err(|_| EnrolmentError::Settings)?;
        if let Some(name) = &self.name {
            set(document.as_table_mut(), "name", name.as_str().into());
        }
        let more = more(&self.settings)?;
        for (key, item) in more.iter() {
            put(document.as_table_mut(), key, item);
        }
        let output = gateway(&mut document);
        set(output, "endpoint", Value::Array(self.gateway.iter().map(String::as_str).collect::<Array>()));
        put_ca(output, paths.get(GATEWAY_CA));
        if let Some(fleet) = &self.fleet {
            let table = document.as_table_mut().entry("fleet").or_insert(Item::Table(Table::new()));
            let table = table.as_table_mut().ok_or(EnrolmentError::Settings)?;
            set(table, "broker", fleet.broker.as_str().into());
            if let Some(enrolment) = &fleet.enrolment {
                set(table, "enrolment", enrolment.as_str().into());
            }
            if let Some(path) = paths.get(FLEET_KEYS) {
                set(table, "keys", path.as_str().into());
            }
            put_ca(table, paths.get(FLEET_CA));
        }
        Ok(document.to_string())
    }
}

/// Leads a table's TLS to a CA.
fn put_ca(table: &mut Table, path: Option<&String>) {
    let Some(path) = path else { return };
    let tls = table.entry("tls").or_insert(Item::Table(Table::new()));
    if let Some(tls) = tls.as_table_like_mut() {
        set(tls, "ca", path.as_str().into());
    }
}

/// The settings that an enrolment brings.
fn more(text: &str) -> Result<DocumentMut, EnrolmentError> {
    text.parse().map_err(|error: toml_edit::TomlError| EnrolmentError::Garbled(error.message().to_owned()))
}

/// Adds what is not there: a whole table, or the tables of a list whose ids are new.
fn put(to: &mut Table, key: &str, item: &Item) {
    let Some(existing) = to.get_mut(key) else {
        to.insert(key, item.clone());
        return;
    };
    let (Some(existing), Some(tables)) = (existing.as_array_of_tables_mut(), item.as_array_of_tables()) else { return };
    for table in tables {
        let is_there = existing.iter().any(|other| id(other).is_some() && id(other) == id(table));
        if !is_there {
            existing.push(table.clone());
        }
    }
}

fn id(table: &Table) -> Option<&str> {
    table.get("id")?.as_str()
}

/// The table of the output that leads to the gateways: the one of that name, or a new one.
fn gateway(document: &mut DocumentMut) -> &mut Table {
    let list = document.entry("output").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    if !list.is_array_of_tables() {
        *list = Item::ArrayOfTables(ArrayOfTables::new());
    }
    #[expect(clippy::expect_used, reason = "made so in the lines above")]
    let list = list.as_array_of_tables_mut().expect("a list of tables");
    let at = list.iter().position(|table| id(table) == Some(GATEWAY));
    let at = at.unwrap_or_else(|| {
        let mut table = Table::new();
        table.insert("id", value(GATEWAY));
        table.insert("type", value("lumberjack"));
        list.push(table);
        list.len() - 1
    });
    #[expect(clippy::expect_used, reason = "found or made in the lines above")]
    list.get_mut(at).expect("it is there")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const FILE: &str = r#"
form = 1
name = "edge-berlin"
gateway = ["gw1.example.net:5044", "gw2.example.net:5044"]
ca = "-----BEGIN CERTIFICATE-----"
settings = '''
[time]
ntp = ["192.0.2.123"]
[[source]]
id = "firewalls"
type = "syslog"
listen = ["udp://0.0.0.0:514"]
'''
"#;

    #[test]
    fn a_new_box_gets_its_name_gateways_and_sources_and_keeps_its_comments() {
        let enrolment = Enrolment::parse(FILE).unwrap();
        let before =
            "# of the image\nstate_dir = \"/var/lib/sapphire-edge\" # here\n\n[web]\nlisten = \"127.0.0.1:9180\"\n";
        assert_eq!(enrolment.files().map(|(name, _)| name).collect::<Vec<_>>(), [GATEWAY_CA]);
        let paths = BTreeMap::from([(GATEWAY_CA, "/var/lib/sapphire-edge/files/gateway-ca.pem".to_owned())]);
        let after = enrolment.put_into(before, &paths).unwrap();
        let config =
            Config::parse(Path::new("settings.toml"), &after).unwrap_or_else(|error| panic!("{error}\n{after}"));
        assert_eq!((config.name.as_deref(), config.source.len(), config.output.len()), (Some("edge-berlin"), 1, 1));
        assert!(config.web.is_some() && after.contains("# of the image") && after.contains("# here"), "{after}");
        assert!(after.contains("gw2.example.net:5044") && after.contains("files/gateway-ca.pem"), "{after}");
        let again = enrolment.put_into(&after, &paths).unwrap();
        assert_eq!(again, after, "enrolling twice changes nothing");
    }

    #[test]
    fn what_the_box_has_stays_and_its_gateway_is_changed() {
        let enrolment = Enrolment::parse(FILE).unwrap();
        let before = "name = \"old\" # as on the label\n[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"tcp://0.0.0.0:514\"]\n\
                      [[output]]\nid = \"gateway\"\ntype = \"lumberjack\"\nendpoint = [\"old.example.net:5044\"] # one\nmode = \"balance\"\n";
        let after = enrolment.put_into(before, &BTreeMap::new()).unwrap();
        assert!(after.contains("name = \"edge-berlin\" # as on the label"), "{after}");
        assert!(
            after.contains("tcp://0.0.0.0:514") && !after.contains("udp://"),
            "the box's own source stays: {after}"
        );
        assert!(after.contains("gw1.example.net:5044") && !after.contains("old.example.net"), "{after}");
        assert!(after.contains("mode = \"balance\"") && after.contains("# one"), "{after}");
        assert_eq!(after.matches("[[output]]").count(), 1);
        assert!(matches!(enrolment.put_into("name = ", &BTreeMap::new()), Err(EnrolmentError::Settings)));
    }

    #[test]
    fn the_fleet_comes_into_the_settings_and_its_secret_does_not() {
        let file = "# sapphire-enrolment-1 c2lnbmVk\n# for Berlin\nform = 1\ngateway = [\"a:1\"] # one\nsettings = \"[fleet.tls]\\nserver_name = 'fleet.test'\\n\"\n[fleet]\nbroker = \
                    \"fleet.example.net:8883\"\nenrolment = \"https://fleet.example.net\"\nca = \"CA\"\nkeys = \"KEYS\"\nid = \"edge-7\"\nsecret = \"s3cret\"\n";
        let enrolment = Enrolment::parse(file).unwrap();
        assert!(!format!("{enrolment:?}").contains("s3cret"));
        let OneTime { id, server, secret } = enrolment.secret().unwrap();
        assert_eq!((id.as_deref(), secret.expose().as_str()), (Some("edge-7"), "s3cret"));
        assert_eq!(server.as_deref(), Some("https://fleet.example.net"));
        assert_eq!(enrolment.files().collect::<Vec<_>>(), [(FLEET_CA, "CA"), (FLEET_KEYS, "KEYS")]);
        let paths = enrolment.files().map(|(name, _)| (name, format!("/files/{name}"))).collect();
        let after = enrolment.put_into("name = \"edge\"\n", &paths).unwrap();
        let config =
            Config::parse(Path::new("settings.toml"), &after).unwrap_or_else(|error| panic!("{error}\n{after}"));
        let fleet = config.fleet.unwrap();
        assert_eq!(fleet.enrolment.as_deref(), Some("https://fleet.example.net"));
        assert_eq!(
            (fleet.keys, fleet.tls.ca),
            (Some("/files/fleet-keys.pem".into()), Some("/files/fleet-ca.pem".into()))
        );
        assert_eq!(fleet.tls.server_name.as_deref(), Some("fleet.test"), "its other settings stay");
        assert!(!after.contains("s3cret"));
        assert_eq!(enrolment.put_into(&after, &paths).unwrap(), after, "enrolling twice changes nothing");
        let wiped = Enrolment::without_secret(file).unwrap();
        assert!(!wiped.contains("s3cret") && !wiped.contains("c2lnbmVk") && wiped.contains("# for Berlin"), "{wiped}");
        let again = Enrolment::parse(&wiped).unwrap();
        assert!(again.secret().is_none() && again.put_into(&after, &paths).unwrap() == after);
        assert_eq!(Enrolment::without_secret(&wiped), None);
        assert_eq!(Enrolment::without_secret(FILE), None);
    }

    #[test]
    fn what_is_no_enrolment_file_is_told() {
        for (text, words) in [
            ("", "missing field"),
            ("form = 2\ngateway = [\"a:1\"]", "form 2"),
            ("form = 1\ngateway = []", "no gateway"),
            ("form = 1\ngateway = [\"a:1\"]\nsettings = \"x = \"", "no enrolment file"),
            ("form = 1\ngateway = [\"a:1\"]\nsecret = 1", "unknown field"),
        ] {
            let error = Enrolment::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
