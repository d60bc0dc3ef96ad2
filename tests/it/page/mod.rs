//! The page over HTTPS, as curl and a browser use it.

/// Path, header and form attacks, guessing, and what a viewer may do.
mod attacks;
/// Backups of the settings, and their way back.
mod backup;
/// Chromium: every page, on a desktop and a phone.
pub mod browser;
/// The settings, changed on the page.
mod change;
/// Devices that fall silent, and what came before a page was opened.
mod devices;
/// Every fault in words.
mod faults;
/// From power-on to a firewall's events at the gateway; no link is dead.
mod first_event;
/// Sources and outputs by form.
mod forms;
/// What keeps a page fresh.
mod live;
/// The box's name, network, time and certificate; first steps; updates where there are none.
mod machine;
/// schemathesis on the JSON API.
mod schema;
/// The support bundle, and no secret in it.
mod support;
/// Until when there are security updates.
mod support_end;

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use sapphire_edge::status::Component;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::peers::appliance::{Appliance, program, until};
use crate::peers::certificates::Authority;
use crate::peers::program::have;

pub const PASSWORD: &str = "four words make one";

pub const SETTINGS: &str = r#"
name = "edge-1"
[page]
listen = ["127.0.0.1:0"]
[[source]]
id = "firewalls"
type = "syslog"
listen = ["udp://127.0.0.1:0"]
[[output]]
id = "gateway"
type = "file"
path = "{dir}/events.ndjson"
"#;

/// The page's address, once it is served.
pub fn address(edge: &Appliance) -> SocketAddr {
    address_after(edge, 0)
}

/// The page's address, once it is served after so many lines of the log.
pub fn address_after(edge: &Appliance, lines: usize) -> SocketAddr {
    let line = edge.log_line_after(lines, &["the page is served"]);
    let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
    address.unwrap().parse().unwrap()
}

/// What `sapphire-edge claim` prints after this word.
pub fn said(edge: &Appliance, word: &str) -> String {
    let output = program().arg("claim").arg("--config").arg(edge.settings()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    line.unwrap_or_else(|| panic!("no {word} in {text}")).trim().to_owned()
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// In small letters.
    pub headers: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// curl with a cookie jar.
pub struct Curl {
    folder: TempDir,
    address: SocketAddr,
}

impl Curl {
    pub fn to(address: SocketAddr) -> Option<Self> {
        have("curl").then(|| Self { folder: tempfile::tempdir().unwrap(), address })
    }

    pub fn ask(&self, path: &str, arguments: &[&str]) -> Answer {
        let jar = self.folder.path().join("jar");
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--insecure", "--include", "--path-as-is", "--max-time", "60"]);
        command.arg("--cookie").arg(&jar).arg("--cookie-jar").arg(&jar).args(arguments);
        // No answer before the answer.
        command.args(["--header", "Expect:"]);
        let output = command.arg(format!("https://{}{path}", self.address)).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, headers: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask(path, &[])
    }

    /// Sends a form.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let arguments: Vec<&str> = fields.iter().flat_map(|field| ["--data-urlencode", field.as_str()]).collect();
        self.ask(path, &arguments)
    }

    /// Sends a form with files: a value that begins with @ is a file's path.
    pub fn multipart(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let arguments: Vec<&str> = fields.iter().flat_map(|field| ["--form", field.as_str()]).collect();
        self.ask(path, &arguments)
    }

    /// Fetches a file with a form; its status and its bytes.
    pub fn fetch(&self, path: &str, fields: &[(&str, &str)]) -> (u16, Vec<u8>) {
        let (jar, to) = (self.folder.path().join("jar"), self.folder.path().join("fetched"));
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--insecure", "--max-time", "60", "--write-out", "%{http_code}"]);
        command.arg("--cookie").arg(&jar).arg("--output").arg(&to);
        for (name, value) in fields {
            command.arg("--data-urlencode").arg(format!("{name}={value}"));
        }
        let output = command.arg(format!("https://{}{path}", self.address)).output().unwrap();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        (String::from_utf8_lossy(&output.stdout).parse().unwrap(), std::fs::read(to).unwrap())
    }

    /// Sends a form whose answer may never come: the page is started anew with it.
    pub fn send_and_leave(&self, path: &str, fields: &[(&str, &str)]) {
        let jar = self.folder.path().join("jar");
        let mut command = Command::new("curl");
        command.args(["--silent", "--insecure", "--output", "/dev/null", "--max-time", "30", "--cookie"]).arg(jar);
        for (name, value) in fields {
            command.arg("--data-urlencode").arg(format!("{name}={value}"));
        }
        command.arg(format!("https://{}{path}", self.address)).status().unwrap();
    }

    /// Sends JSON, with the session's secret where there is one.
    pub fn json(&self, method: &str, path: &str, body: &Value, csrf: &str) -> Answer {
        let (body, secret) = (body.to_string(), format!("X-CSRF-Token: {csrf}"));
        let kind = "Content-Type: application/json";
        self.ask(path, &["--request", method, "--header", kind, "--header", &secret, "--data-binary", &body])
    }

    /// The secret that the forms of a page carry.
    pub fn csrf(&self) -> String {
        self.get("/api/v1/session").json()["csrf"].as_str().unwrap().to_owned()
    }

    pub fn log_in(&self, name: &str, password: &str) -> Answer {
        self.form("/login", &[("name", name), ("password", password)])
    }
}

/// A box that somebody claimed, and the administrator's browser.
pub fn claimed(settings: &str) -> Option<(Appliance, Curl)> {
    let edge = Appliance::start(settings);
    let curl = claim(&edge)?;
    Some((edge, curl))
}

/// Claims a box; the administrator's browser.
pub fn claim(edge: &Appliance) -> Option<Curl> {
    let curl = Curl::to(address(edge))?;
    let code = said(edge, "claim code");
    let fields = [("code", code.as_str()), ("name", "ada"), ("password", PASSWORD), ("again", PASSWORD)];
    let answer = curl.form("/claim", &fields);
    assert_eq!(answer.status, 303, "{}", answer.body);
    Some(curl)
}

/// The browser of somebody who may look and change nothing.
pub fn viewer(edge: &Appliance, ada: &Curl) -> Curl {
    let csrf = ada.csrf();
    let fields = [("name", "bob"), ("role", "viewer"), ("password", PASSWORD), ("again", PASSWORD), ("csrf", &csrf)];
    assert_eq!(ada.form("/accounts/add", &fields).status, 200);
    let bob = Curl::to(address(edge)).unwrap();
    assert_eq!(bob.log_in("bob", PASSWORD).status, 303);
    bob
}

#[test]
fn a_new_box_is_claimed_with_its_code_shows_its_health_and_tells_who_did_what() {
    let edge = Appliance::start(SETTINGS);
    let Some(curl) = Curl::to(address(&edge)) else { return };
    let page = edge.line(Component::Box, "page", |line| line.health.fault().is_some());
    assert!(page.health.fault().unwrap().what.contains("nobody has claimed this box"), "{:?}", page.health);
    assert!(curl.get("/").headers.contains("location: /claim"));
    assert!(curl.get("/login").headers.contains("location: /claim"));
    assert_eq!(curl.get("/api/v1/overview").status, 401);
    let code = said(&edge, "claim code");
    let wrong = curl
        .form("/claim", &[("code", "0000-0000-0000"), ("name", "ada"), ("password", PASSWORD), ("again", PASSWORD)]);
    assert_eq!(wrong.status, 401);
    assert!(wrong.body.contains("this is not the claim code of this box") && !wrong.body.contains(PASSWORD));
    let short = curl.form("/claim", &[("code", &code), ("name", "ada"), ("password", "short"), ("again", "short")]);
    assert!(
        short.status == 422 && short.body.contains("too short") && short.body.contains("value=\"ada\""),
        "{}",
        short.body
    );
    let claim = curl.form("/claim", &[("code", &code), ("name", "ada"), ("password", PASSWORD), ("again", PASSWORD)]);
    assert!(claim.status == 303 && claim.headers.contains("location: /\r\n"), "{}", claim.headers);
    assert!(claim.headers.contains("secure; httponly; samesite=strict"), "{}", claim.headers);
    edge.line(Component::Box, "page", |line| line.health.word() == "healthy");
    let printed = program().arg("claim").arg("--config").arg(edge.settings()).output().unwrap();
    assert!(String::from_utf8_lossy(&printed.stdout).contains("has been claimed already"));
    // It shows what comes in, in the same words as `status`.
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"<13>Mar  5 10:15:30 fw1 app: hello", edge.address("udp://127.0.0.1:0", 0)).unwrap();
    edge.received("firewalls", 1);
    let overview = curl.get("/");
    assert!(overview.status == 200 && overview.body.contains("firewalls") && overview.body.contains("edge-1"));
    until("the source's page counts the event", || {
        curl.get("/api/v1/sources/firewalls").json()["card"]["received"].as_u64().filter(|count| *count == 1)
    });
    for path in ["/sources", "/source/firewalls?span=month", "/live", "/ledger", "/audit", "/accounts", "/?span=day"] {
        let answer = curl.get(path);
        assert!(answer.status == 200 && answer.body.contains("<h1"), "{path}: {}", answer.body);
    }
    let ledger = curl.get("/api/v1/ledger").json();
    assert_eq!(ledger["balances"], true, "{ledger}");
    // Each deed is in the audit log and in the gateway's hands.
    let audit = curl.get("/api/v1/audit").json();
    let deeds: Vec<_> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["action"].clone(), entry["outcome"].clone()))
        .collect();
    assert_eq!(deeds, [(json!("claim"), json!("success")), (json!("claim"), json!("failure"))], "{audit}");
    let events = until("the claim is forwarded", || {
        let events = std::fs::read_to_string(edge.folder().join("events.ndjson")).unwrap_or_default();
        events.contains("ada claims the box\"").then_some(events)
    });
    assert!(!events.contains(PASSWORD) && !events.contains(&code));
    // Out, and in again after a restart.
    let out = curl.form("/logout", &[("csrf", &curl.csrf())]);
    assert!(out.status == 303 && out.headers.contains("location: /login"));
    assert!(curl.get("/").headers.contains("location: /login"));
    assert_eq!(curl.log_in("ada", "not the password at all").status, 401);
    assert_eq!(curl.log_in("ada", PASSWORD).status, 303);
    assert_eq!(curl.get("/").status, 200);
    let log = edge.stop();
    assert!(!log.contains(PASSWORD) && !log.contains(&code), "{log}");
}

#[test]
fn a_restart_keeps_accounts_and_certificate_and_ends_sessions() {
    let Some((mut edge, curl)) = claimed(SETTINGS) else { return };
    let fingerprint = said(&edge, "certificate");
    edge.kill();
    edge.restart();
    let after = Curl::to(address(&edge)).unwrap();
    assert!(after.get("/").headers.contains("location: /login"));
    assert_eq!(after.log_in("ada", PASSWORD).status, 303);
    assert_eq!(said(&edge, "certificate"), fingerprint);
    let shown = Command::new("openssl")
        .args(["s_client", "-connect", &after.address.to_string()])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("O = Sapphire Edge") || shown.contains("O=Sapphire Edge"), "{shown}");
    drop(curl);
    edge.stop();
}

#[test]
fn a_certificate_of_the_settings_is_used() {
    let authority = Authority::new();
    let pair = authority.identity("127.0.0.1");
    let own = format!("cert = {:?}\nkey = {:?}\n", pair.cert, pair.key);
    let settings = SETTINGS.replace("[[source]]", &format!("{own}[[source]]"));
    let edge = Appliance::start(&settings);
    let at = address(&edge);
    if !have("curl") {
        return;
    }
    let url = format!("https://{at}/.well-known/security.txt");
    let output = Command::new("curl").args(["--silent", "--include", "--cacert"]).arg(authority.ca()).arg(url).output();
    let answer = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
    let is_strict = answer.to_lowercase().contains("strict-transport-security");
    assert!(answer.contains("Contact: mailto:") && is_strict, "{answer}");
    // Somebody puts another one in its place.
    let shown = said(&edge, "certificate");
    let other = authority.identity("127.0.0.1");
    std::fs::copy(&other.cert, &pair.cert).unwrap();
    std::fs::copy(&other.key, &pair.key).unwrap();
    assert_ne!(said(&edge, "certificate"), shown);
    edge.stop();
}

#[test]
fn without_its_table_there_is_no_page_and_with_a_reload_there_is_one() {
    let plain = SETTINGS.replace("[page]\nlisten = [\"127.0.0.1:0\"]\n", "");
    let edge = Appliance::start(&plain);
    edge.line(Component::Source, "firewalls", |line| line.health.word() == "healthy");
    assert!(edge.status().unwrap().line(Component::Box, "page").is_none());
    let output = program().arg("claim").arg("--config").arg(edge.settings()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("no [page] table"));
    edge.reload(SETTINGS);
    let Some(curl) = Curl::to(address(&edge)) else { return };
    assert_eq!(curl.get("/claim").status, 200);
    edge.reload(&plain);
    until("the page is gone", || edge.status()?.line(Component::Box, "page").is_none().then_some(()));
    edge.stop();
}
