//! Every fault in words: a box on which everything goes wrong that can at once, and what its page says of each.
//!
//! A row is a component, how it is broken, and words of what is wrong and of what to do. All rows stand in one box: what one
//! says does not depend on the others.

use std::collections::BTreeMap;
use std::net::{TcpListener, UdpSocket};

use serde_json::{Value, json};

use super::{SETTINGS, claimed};
use crate::peers::appliance::until;
use crate::peers::certificates::Authority;
use crate::peers::crowdstrike::Falcon;
use crate::peers::duo::{Duo, refusal};
use crate::peers::https::{Response, Server};
use crate::peers::microsoft::Microsoft;
use crate::peers::s3::{S3, error};

/// What the page has to say of a component.
struct Row {
    id: String,
    what: &'static str,
    todo: &'static str,
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

fn entra(code: u64) -> Response {
    let body =
        json!({ "error": "invalid_client", "error_description": format!("AADSTS{code}: x"), "error_codes": [code] });
    Response::json(401, &body)
}

/// Vendors that refuse, are busy, or are something else.
fn vendors(table: &mut Table) {
    table.duo(refusal(2, 401, "x", None), "does not know the integration key", "copy Integration key");
    table.duo(refusal(3, 401, "x", None), "the secret key is not the one", "copy Secret key");
    table.duo(refusal(5, 401, "x", None), "finds the time of the request wrong", "time servers");
    table.duo(refusal(1, 403, "x", None), "may not read the authentication log", "tick Grant read log");
    table.duo(refusal(1, 429, "x", None), "wants fewer requests", "by itself");
    table.duo(Response::text(404, "<html>"), "is not the Admin API", "check host");
    table.duo(Response::text(503, "<html>"), "is not well and answered with 503", "by itself");
    table.duo(Response::text(200, "<html>"), "is no page of it", "no proxy answers");
    table.office365("oauth2", entra(7_000_215), "the client secret is wrong", "not its Secret ID");
    table.office365("oauth2", entra(7_000_222), "the client secret has expired", "make a new one in Entra");
    table.office365("oauth2", entra(65_001), "the administrator has not consented", "Grant admin consent");
    table.office365("oauth2", entra(90_002), "there is no such tenant", "cloud or login");
    table.office365("oauth2", entra(53_003), "a policy of the tenant blocks the app", "Conditional Access");
    let subscriptions = "/activity/feed/subscriptions";
    let missing = Response::text(401, r#"{"error":{"code":"AF10001","message":"x"}}"#);
    table.office365(subscriptions, missing, "lacks the permission ActivityFeed.Read", "Grant admin consent");
    let off = Response::text(400, r#"{"error":{"code":"","message":"Tenant x does not exist."}}"#);
    table.office365(subscriptions, off, "auditing is not switched on", "60");
    table.umbrella(error(403, "InvalidAccessKeyId", ""), "does not know this access key", "Log Management");
    table.umbrella(
        error(403, "SignatureDoesNotMatch", ""),
        "the secret access key does not belong",
        "secret_access_key_file",
    );
    table.umbrella(error(403, "AccessDenied", ""), "refuses the access key for this prefix", "check prefix");
    table.umbrella(error(404, "NoSuchBucket", ""), "there is no bucket", "region and endpoint");
    table.umbrella(error(301, "PermanentRedirect", ""), "is in another region", "region of this source");
    table.umbrella(error(503, "SlowDown", ""), "wants fewer requests", "by itself");
    table.umbrella(Response::text(407, "<html>"), "refused a request with 407", "the proxy");
    table.crowdstrike(429, "wants fewer requests", "");
    table.crowdstrike(403, "lacks the scope", "Event streams");
    table.crowdstrike(401, "does not take the token", "");
    table.crowdstrike(503, "is not well and answered with 503", "by itself");
}

/// The way to a far end: names, cables, proxies, certificates.
fn ways(table: &mut Table, authority: &Authority) {
    let other = Authority::new();
    let ca = |authority: &Authority| format!("ca = {:?}\n", authority.ca());
    let gateway =
        |endpoint: &str, tls: &str| format!("endpoint = [\"{endpoint}\"]\nbackoff_max = \"1s\"\n[output.tls]\n{tls}");
    let refused = "check that the far end is running";
    table.output("lumberjack", &gateway("127.0.0.1:1", &ca(authority)), "refused the connection", refused);
    table.output(
        "lumberjack",
        &gateway("gateway.invalid:5044", &ca(authority)),
        "the name gateway.invalid was not found",
        "DNS",
    );
    table.output(
        "syslog",
        &gateway("127.0.0.1:1", &ca(authority)).replace("[\"", "\"").replace("\"]", "\""),
        "refused the connection",
        refused,
    );
    let mqtt = format!("endpoint = \"127.0.0.1:1\"\ntls.ca = {:?}\n", authority.ca());
    table.output("mqtt", &mqtt, "refused the connection", refused);
    let proxy = gateway("gateway.example.net:5044", &ca(authority)).replacen(
        "backoff_max",
        "proxy = \"127.0.0.1:1\"\nbackoff_max",
        1,
    );
    table.output("lumberjack", &proxy, "refused the connection", refused);
    for (identity, trusted, what, todo) in [
        (authority.expired("127.0.0.1"), authority, "it expired on", "renew the far end's certificate"),
        (
            authority.identity("other.example.net"),
            authority,
            "it is for other.example.net",
            "use a name that the certificate holds",
        ),
        (other.identity("127.0.0.1"), authority, "it is signed by another CA", "set tls.ca"),
    ] {
        let server = Server::start(&identity, |_| Response::text(200, ""));
        let address = server.url().replace("https://", "");
        table.output("lumberjack", &gateway(&address, &ca(trusted)), what, todo);
        table.servers.push(server);
    }
    table.output("file", "path = \"{dir}/not/there/events.ndjson\"", "", "");
}

/// What others have taken on this machine, and what is wrong with its own files.
fn box_itself(table: &mut Table, authority: &Authority, tcp: u16, udp: u16) {
    let taken = "cannot listen on";
    table.source("syslog", &format!("listen = [\"tcp://127.0.0.1:{tcp}\"]"), taken, "");
    table.source("syslog", &format!("listen = [\"udp://127.0.0.1:{udp}\"]"), taken, "");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    table.source("lumberjack", &format!("listen = [\"tcp://127.0.0.1:{port}\"]"), taken, "");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAiRfu02Oj4BPFuYII67hMWPpbNUv4EvrIvRKI4nb67a esa1";
    let third = TcpListener::bind("127.0.0.1:0").unwrap();
    let ssh = third.local_addr().unwrap().port();
    let device =
        format!("listen = [\"tcp://127.0.0.1:{ssh}\"]\n[[source.device]]\nname = \"esa1\"\nkeys = [\"{key}\"]");
    table.source("ssh", &device, taken, "");
    // They stay taken as long as the test runs.
    std::mem::forget((other, third));
    let expired = authority.expired("edge.example.net");
    let tls =
        format!("listen = [\"tls://127.0.0.1:0\"]\n[source.tls]\ncert = {:?}\nkey = {:?}", expired.cert, expired.key);
    table.source("syslog", &tls, "the listener's certificate expired", "");
}

/// The faults that the API lists, by component.
fn listed(overview: &Value) -> BTreeMap<String, Value> {
    let troubles = overview["troubles"].as_array().unwrap().iter();
    troubles.map(|trouble| (trouble["id"].as_str().unwrap().to_owned(), trouble.clone())).collect()
}

#[test]
fn each_of_forty_faults_is_on_the_page_and_in_the_api_with_what_to_do() {
    let authority = Authority::new();
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let (tcp_port, udp_port) = (tcp.local_addr().unwrap().port(), udp.local_addr().unwrap().port());
    let mut table = Table::default();
    vendors(&mut table);
    ways(&mut table, &authority);
    box_itself(&mut table, &authority, tcp_port, udp_port);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let web = format!("[web]\nlisten = \"{}\"\n", other.local_addr().unwrap());
    table.rows.push(Row { id: "web".to_owned(), what: "cannot be listened on", todo: "free the address" });
    let Some((edge, ada)) = claimed(&format!("{}{}{web}", SETTINGS, table.settings)) else { return };
    let begin = sapphire_edge::clock::monotonic();
    let mut missing: Vec<&Row> = table.rows.iter().collect();
    until("all faults are listed", || {
        let troubles = listed(&ada.get("/api/v1/overview").json());
        missing.retain(|row| {
            let trouble = troubles.get(&row.id);
            let has =
                |key: &str, part: &str| trouble.is_some_and(|trouble| trouble[key].as_str().unwrap().contains(part));
            !(has("what", row.what) && has("todo", row.todo))
        });
        let words: Vec<_> = missing.iter().map(|row| (&row.id, row.what, troubles.get(&row.id))).collect();
        if !words.is_empty() && begin.elapsed() > std::time::Duration::from_secs(20) {
            eprintln!("still missing: {words:#?}");
        }
        missing.is_empty().then_some(())
    });
    println!("{} faults were listed within {:.1} s", table.rows.len(), begin.elapsed().as_secs_f64());
    // A later fault of the running box: the settings are wrong, the queue's need a restart.
    let wrong = std::fs::read_to_string(edge.settings()).unwrap();
    std::fs::write(edge.settings(), format!("nane = 1\n{wrong}")).unwrap();
    edge.signal(nix::sys::signal::Signal::SIGHUP);
    until("the wrong file is told", || {
        let troubles = listed(&ada.get("/api/v1/overview").json());
        troubles
            .get("settings")
            .filter(|trouble| trouble["what"].as_str().unwrap().contains("the settings file is wrong"))
            .cloned()
    });
    assert!(table.rows.len() >= 40, "{} rows", table.rows.len());
    // The page shows each in the same words, and every one says since when.
    let (page, overview) = (ada.get("/").body, ada.get("/api/v1/overview").json());
    for (id, trouble) in listed(&overview) {
        for key in ["what", "todo", "since"] {
            let words = trouble[key].as_str().unwrap();
            assert!(!words.is_empty(), "{id} has no {key}: {trouble}");
            let shown = words
                .replace('&', "&#38;")
                .replace('<', "&#60;")
                .replace('>', "&#62;")
                .replace('"', "&#34;")
                .replace('\'', "&#39;");
            assert!(page.contains(&shown) || key == "since", "{id}: {shown} is not on the page");
        }
    }
    edge.stop();
}
