//! The settings file of the vendor's SIEM connector (`cs.falconhoseclient.cfg`) as a table of ours.
//!
//! Facts: its keys as guides of the connector show them (`[Settings] api_url, request_token_url, app_id, client_id, client_secret, partition,
//! http_proxy, output_format, offset_path`, `[Proxy]`, `[Syslog]`, `[EventTypeCollection]`). Unconfirmed: `[Proxy]`, `[EventTypeCollection]` and
//! the form of the offsets' file, which is therefore not read.

use std::fmt::Write as _;
use std::path::Path;

use super::cloud::FalconCloud;
use super::format::ini::{self, Section};
use crate::net::http::Url;
use crate::secret::Secret;

/// What a `cs.falconhoseclient.cfg` comes to.
#[derive(Debug)]
pub struct ImportedFalcon {
    /// The `[[source]]` table.
    pub table: String,
    /// The client secret that the file holds.
    pub secret: Option<Secret<String>>,
    /// Its mapping rules, where it forms CEF or LEEF.
    pub mapping: Option<String>,
    /// What a person has to see to.
    pub notes: Vec<String>,
}

/// Reads the file's text. The secret goes to `secret_file`, mapping rules go to `mapping_file`; the table names them.
///
/// # Errors
/// What is missing or cannot be read.
pub fn import(text: &str, secret_file: &Path, mapping_file: &Path) -> Result<ImportedFalcon, String> {
    let sections = ini::sections(text).map_err(|line| format!("line {line} is no setting"))?;
    let get = |section: &str, key: &str| {
        let named = sections.iter().filter(|other| other.name.eq_ignore_ascii_case(section));
        let mut found = named.flat_map(|section| &section.keys).filter(|(name, _)| name.eq_ignore_ascii_case(key));
        let value = found.next_back().map(|(_, value)| ini::unquoted(value).trim())?;
        (!value.is_empty()).then_some(value)
    };
    let client = get("Settings", "client_id").ok_or("client_id is missing; this is no cs.falconhoseclient.cfg")?;
    let mut notes = Vec::new();
    let mut table = String::from("[[source]]\nid = \"crowdstrike\"\ntype = \"crowdstrike\"\n");
    let mut put = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{key} = {value}");
    };
    put("client_id", quoted(client));
    put("client_secret_file", quoted(&secret_file.display().to_string()));
    let secret = get("Settings", "client_secret").map(|secret| Secret::new(secret.to_owned()));
    if secret.is_none() {
        notes.push(format!("client_secret is not set: write the secret into {}", secret_file.display()));
    }
    match address(get("Settings", "api_url"))? {
        Some((Some(FalconCloud::Us1), _)) | None => {}
        Some((Some(cloud), _)) => put("cloud", quoted(cloud.as_str())),
        Some((None, api)) => put("api", quoted(&api)),
    }
    if let Some(label) = get("Settings", "app_id") {
        let plain: String = label.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
        if plain != label {
            notes.push(format!("app_id {label:?} has more than letters and digits; {plain:?} is used"));
        }
        put("app_id", quoted(&plain));
        notes.push("stop the connector before this box reads with the same app_id, or give it another one".into());
    }
    let types = sections.iter().filter(|section| section.name.eq_ignore_ascii_case("EventTypeCollection"));
    let (on, off): (Vec<_>, Vec<_>) =
        types.flat_map(|section| &section.keys).partition(|(_, value)| is_on(ini::unquoted(value)));
    if !off.is_empty() && !on.is_empty() {
        put("event_types", list(on.iter().map(|(name, _)| name.as_str())));
    }
    if let Some(proxy) = proxy(&get) {
        put("proxy", quoted(&proxy));
    }
    if let Some(user) = get("Proxy", "user").filter(|_| is_on(get("Proxy", "use_proxy").unwrap_or("false"))) {
        put("proxy_user", quoted(user));
        notes.push(
            "the proxy's password is not taken over: write it into a file, and name it in proxy_password_file".into(),
        );
    }
    let mapping = mapping(&sections).filter(|_| get("Settings", "output_format") == Some("syslog"));
    if let Some(rules) = &mapping {
        put("format", quoted(if rules.contains("LEEF:") { "leef" } else { "cef" }));
        put("mapping", quoted(&mapping_file.display().to_string()));
    }
    notes.extend(left_out(&get));
    Ok(ImportedFalcon { table, secret, mapping, notes })
}

/// What is said of settings that have no counterpart.
fn left_out<'a>(get: &impl Fn(&str, &str) -> Option<&'a str>) -> Vec<String> {
    let mut notes = Vec::new();
    if get("Settings", "offset_path").is_some() {
        notes.push(
            "the connector's offsets are not taken over: the first start begins with the oldest event that is kept, and \
             what the connector sent before comes once more (begin = \"newest\" leaves all of it out)"
                .into(),
        );
    }
    if let Some(host) =
        get("Syslog", "host").filter(|_| is_on(get("Syslog", "send_to_syslog_server").unwrap_or("false")))
    {
        notes.push(format!("events went to {host} by syslog: where ours go is in [[output]]"));
    }
    if get("Settings", "partition").is_some_and(|partition| partition != "all") {
        notes.push("partition is not taken over: all partitions are read".into());
    }
    if get("EventSubTypeCollection", "DnsRequests").is_some() {
        notes.push("EventSubTypeCollection is not taken over: the events hold their parts".into());
    }
    notes
}

fn is_on(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "on" | "yes")
}

/// The API of an address: its cloud, if it is one of those that are known.
fn address(url: Option<&str>) -> Result<Option<(Option<FalconCloud>, String)>, String> {
    let Some(text) = url else { return Ok(None) };
    let url = Url::parse(text).map_err(|error| format!("api_url is no address: {error}"))?;
    let host = url.host_str().ok_or("api_url names no host")?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Ok(Some((FalconCloud::of_host(host), format!("https://{host}{port}"))))
}

/// `host:port` of the proxy, if one is used.
fn proxy<'a>(get: &impl Fn(&str, &str) -> Option<&'a str>) -> Option<String> {
    if let Some(url) = get("Settings", "http_proxy") {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let url = Url::parse(&url).ok()?;
        return Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?));
    }
    let host = get("Proxy", "http_proxy_host").or_else(|| get("Proxy", "host"))?;
    let port = get("Proxy", "http_proxy_port").or_else(|| get("Proxy", "port")).unwrap_or("8080");
    is_on(get("Proxy", "use_proxy")?).then(|| format!("{host}:{port}"))
}

/// The sections that map events, and the keys that say how, as a file of their own without any secret.
fn mapping(sections: &[Section]) -> Option<String> {
    const HOW: [&str; 9] = [
        "header_prefix",
        "header_delim",
        "field_delim",
        "time_fields",
        "time_format",
        "keys_ordered",
        "escape_header",
        "escape_ext",
        "map_null",
    ];
    let is_mapping = |section: &&Section| section.keys.iter().any(|(key, _)| key.starts_with("__header."));
    let mut text = String::new();
    let mut put = |(key, value): &(String, String)| {
        let _ = writeln!(text, "{key} = {value}");
    };
    let keys = sections.iter().filter(|section| !is_mapping(section)).flat_map(|section| &section.keys);
    keys.filter(|(key, _)| HOW.contains(&key.as_str())).for_each(&mut put);
    let maps: Vec<_> = sections.iter().filter(is_mapping).collect();
    for section in &maps {
        let _ = writeln!(text, "\n[{}]", section.name);
        for (key, value) in &section.keys {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    (!maps.is_empty()).then_some(text)
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn list<'a>(values: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", values.map(quoted).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[Settings]\nversion = 3\napi_url = https://api.eu-1.crowdstrike.com/sensors/entities/datafeed/v2\n\
        request_token_url = https://api.eu-1.crowdstrike.com/oauth2/token\napp_id = SIEM-Connector-v2.0.0\n# API Client ID\n\
        client_id = 0123456789abcdef0123456789abcdef\nclient_secret = very secret\npartition = all\nhttp_proxy = http://proxy.example.net:3128\n\
        ;   comment\noutput_format = syslog\noffset_path = /var/log/crowdstrike/falconhoseclient/stream_offsets\n\n[Output_File_Rotation]\nrotate_file = true\n\
        [Syslog]\nsend_to_syslog_server = true\nhost = 192.0.2.9\nport = 514\n[EventTypeCollection]\nDetectionSummaryEvent = true\nAuthActivityAuditEvent = false\n\
        [CEF]\nheader_prefix = \"CEF:0|CrowdStrike|FalconHost|1.0|\"\n[DetectionSummaryEvent]\n__header.0 = event.Tactic\nduser = event.UserName\n";

    fn import(text: &str) -> Result<ImportedFalcon, String> {
        super::import(text, Path::new("/etc/secret"), Path::new("/etc/rules.cfg"))
    }

    #[test]
    fn the_connectors_file_becomes_a_table() {
        let imported = import(FILE).unwrap();
        assert_eq!(imported.secret.as_ref().unwrap().expose(), "very secret");
        let rules = imported.mapping.as_ref().unwrap();
        assert!(!imported.table.contains("very secret") && !rules.contains("very secret"));
        assert!(
            rules.contains("header_prefix") && rules.contains("[DetectionSummaryEvent]\n__header.0 = event.Tactic\n"),
            "{rules}"
        );
        assert!(!rules.contains("AuthActivity") && !rules.contains("rotate_file"), "{rules}");
        let config: crate::source::Config = toml::from_str(imported.table.strip_prefix("[[source]]").unwrap()).unwrap();
        assert_eq!(config.validate(), []);
        let crate::source::Config::Crowdstrike(config) = config else { panic!() };
        assert_eq!((config.cloud, config.app_id.as_str()), (FalconCloud::Eu1, "SIEMConnectorv200"));
        assert_eq!(config.event_types, ["DetectionSummaryEvent"]);
        assert_eq!(config.proxy.as_ref().unwrap().to_string(), "proxy.example.net:3128");
        assert_eq!(config.format, crate::source::FalconFormat::Cef);
        assert_eq!(imported.notes.len(), 4, "{:#?}", imported.notes);
    }

    #[test]
    fn json_needs_no_rules_and_what_is_missing_is_said() {
        let imported =
            import(&FILE.replace("= syslog", "= json").replace("client_secret = very secret\n", "")).unwrap();
        assert!(imported.secret.is_none() && imported.mapping.is_none(), "{imported:?}");
        assert!(imported.notes.iter().any(|note| note.contains("/etc/secret")), "{:?}", imported.notes);
        let own = import(&FILE.replace("api.eu-1.crowdstrike.com", "api.falcon.example:8443")).unwrap();
        assert!(own.table.contains("api = \"https://api.falcon.example:8443\""), "{}", own.table);
        assert!(import("[Settings]\na = b").unwrap_err().contains("client_id"));
        assert!(import("[Settings]\nx").unwrap_err().contains("line 2"));
    }
}
