//! The way to a far end: names, cables, proxies, certificates.

use super::super::SETTINGS;
use super::{Faces, GATEWAY, Table};
use crate::peers::certificates::Authority;
use crate::peers::https::{Response, Server};

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
    table.output("file", "path = \"{dir}/not/there/events.ndjson\"", "cannot write", "make its folder");
}

#[test]
fn what_is_wrong_on_the_way_to_a_gateway_is_told_on_every_face() {
    let (authority, mut table) = (Authority::new(), Table::default());
    ways(&mut table, &authority);
    let Some(faces) = Faces::of(&format!("{SETTINGS}{}", table.settings)) else { return };
    faces.tell(Some(faces.started()), &table.rows, GATEWAY);
    faces.edge.stop();
}
