//! An enrolment file: what makes a new box one of a site's, in one file that an operator hands out.
//!
//! In: the file's text and the settings that are there. Out: the settings with the box's name, the gateways and the first
//! sources in them, and the gateways' CA. Nothing is written here. Comments and everything else of the settings stay; what
//! the box has already (a source of the same id) is left as it is; enrolling twice changes nothing.
//!
//! Not supported yet: a signature, and the fleet's one-time secret. Whoever may change the settings may enrol.

use serde::Deserialize;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::edit::set;

/// The output that an enrolment makes, or finds.
const GATEWAY: &str = "gateway";
/// The form that is understood.
const FORM: u32 = 1;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
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

    /// The CA of the gateways, for a file of its own.
    #[must_use]
    pub fn ca(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    /// The settings with all that in them; `ca_file` is where the CA lies.
    ///
    /// # Errors
    /// When the settings are no TOML.
    pub fn put_into(&self, settings: &str, ca_file: &str) -> Result<String, EnrolmentError> {
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
        if self.ca.is_some() {
            let tls = output.entry("tls").or_insert(Item::Table(Table::new()));
            if let Some(tls) = tls.as_table_like_mut() {
                tls.insert("ca", value(ca_file));
            }
        }
        Ok(document.to_string())
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
        let after = enrolment.put_into(before, "/var/lib/sapphire-edge/files/gateway-ca.pem").unwrap();
        let config =
            Config::parse(Path::new("settings.toml"), &after).unwrap_or_else(|error| panic!("{error}\n{after}"));
        assert_eq!((config.name.as_deref(), config.source.len(), config.output.len()), (Some("edge-berlin"), 1, 1));
        assert!(config.web.is_some() && after.contains("# of the image") && after.contains("# here"), "{after}");
        assert!(after.contains("gw2.example.net:5044") && after.contains("files/gateway-ca.pem"), "{after}");
        let again = enrolment.put_into(&after, "/var/lib/sapphire-edge/files/gateway-ca.pem").unwrap();
        assert_eq!(again, after, "enrolling twice changes nothing");
    }

    #[test]
    fn what_the_box_has_stays_and_its_gateway_is_changed() {
        let enrolment = Enrolment::parse(FILE).unwrap();
        let before = "name = \"old\" # as on the label\n[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [\"tcp://0.0.0.0:514\"]\n\
                      [[output]]\nid = \"gateway\"\ntype = \"lumberjack\"\nendpoint = [\"old.example.net:5044\"] # one\nmode = \"balance\"\n";
        let after = enrolment.put_into(before, "/x/ca.pem").unwrap();
        assert!(after.contains("name = \"edge-berlin\" # as on the label"), "{after}");
        assert!(
            after.contains("tcp://0.0.0.0:514") && !after.contains("udp://"),
            "the box's own source stays: {after}"
        );
        assert!(after.contains("gw1.example.net:5044") && !after.contains("old.example.net"), "{after}");
        assert!(after.contains("mode = \"balance\"") && after.contains("# one"), "{after}");
        assert_eq!(after.matches("[[output]]").count(), 1);
        assert!(matches!(enrolment.put_into("name = ", ""), Err(EnrolmentError::Settings)));
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
