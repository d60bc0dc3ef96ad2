//! What our TLS listeners offer, judged by sslyze, and whom they let in.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use sapphire_edge::status::{Component, Count};
use serde_json::Value;

use crate::peers::appliance::{Appliance, to_gateway};
use crate::peers::certificates::{Authority, Identity};
use crate::peers::program::{Running, have, python_tool, run_with_input};
use crate::peers::service::{Manner, Service};
use crate::peers::until;

const TLS: &str = "tls://127.0.0.1:0";

/// Suites with authenticated encryption and ephemeral keys; all others are weak (RFC 9325 section 4.2).
const GOOD_SUITES: [&str; 9] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];
/// Curves of at least 128 bits (RFC 9325 section 4.2.1), as sslyze calls them.
const GOOD_CURVES: [&str; 5] = ["X25519", "X448", "secp256r1", "secp384r1", "secp521r1"];

#[test]
fn sslyze_finds_nothing_weak() {
    let authority = Authority::new();
    let identity = authority.identity("127.0.0.1");
    let table = format!("[source.tls]\ncert = {:?}\nkey = {:?}\n", identity.cert, identity.key);
    let gateway = Service::plain(Manner::Serve);
    let edge = Appliance::start(&format!(
        "{}[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [{TLS:?}]\n{table}\
         [[source]]\nid = \"beats\"\ntype = \"lumberjack\"\nlisten = [{TLS:?}]\n{table}",
        to_gateway(gateway.address())
    ));
    let Some(mut sslyze) = python_tool("sslyze") else { return };
    let (first, second) = (edge.address(TLS, 0), edge.address(TLS, 1));
    let report = edge.folder().join("sslyze.json");
    // It exits with 1 because our CA is not among Mozilla's; the report is what counts.
    sslyze.arg("--json_out").arg(&report).args([first.to_string(), second.to_string()]);
    let output = sslyze.output().unwrap();
    let report: Value =
        serde_json::from_slice(&std::fs::read(&report).unwrap_or_else(|err| panic!("{err}: {output:?}"))).unwrap();
    let results = report["server_scan_results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        assert_eq!(result["scan_status"], "COMPLETED", "{result:#}");
        judge(&result["scan_result"]);
    }
    edge.stop();
}

/// Judges one server's part of sslyze's report.
fn judge(scan: &Value) {
    let result = |name: &str| -> &Value {
        let attempt = &scan[name];
        assert_eq!(attempt["status"], "COMPLETED", "{name}: {attempt:#}");
        &attempt["result"]
    };
    let suites = |version: &str| -> Vec<String> {
        let accepted = result(&format!("{version}_cipher_suites"))["accepted_cipher_suites"].as_array().unwrap();
        accepted.iter().map(|suite| suite["cipher_suite"]["name"].as_str().unwrap().to_owned()).collect()
    };
    for old in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"] {
        assert_eq!(suites(old), [""; 0], "{old}");
    }
    for new in ["tls_1_2", "tls_1_3"] {
        let suites = suites(new);
        assert!(!suites.is_empty(), "{new} is spoken");
        let weak: Vec<_> = suites.iter().filter(|suite| !GOOD_SUITES.contains(&suite.as_str())).collect();
        assert!(weak.is_empty(), "{new}: {weak:?}");
    }
    let curves = result("elliptic_curves")["supported_curves"].as_array().unwrap();
    let curves: Vec<&str> = curves.iter().map(|curve| curve["name"].as_str().unwrap()).collect();
    assert!(!curves.is_empty() && curves.iter().all(|curve| GOOD_CURVES.contains(curve)), "{curves:?}");
    assert_eq!(result("heartbleed")["is_vulnerable_to_heartbleed"], false);
    assert_eq!(result("openssl_ccs_injection")["is_vulnerable_to_ccs_injection"], false);
    assert_eq!(result("tls_compression")["supports_compression"], false);
    assert_eq!(result("session_renegotiation")["is_vulnerable_to_client_renegotiation_dos"], false);
    assert_ne!(result("robot")["robot_result"], "VULNERABLE_STRONG_ORACLE");
}

/// Sends a line with this certificate by openssl; true if the event came through.
fn gets_in(edge: &Appliance, gateway: &Service, ca: &Authority, identity: &Identity) -> bool {
    let (to, before) = (edge.address(TLS, 0), gateway.count() as u64);
    let mut command = s_client(to, ca);
    command.arg("-cert").arg(&identity.cert).arg("-key").arg(&identity.key);
    let refused = |edge: &Appliance| count(edge, Count::RefusedConnections);
    let refused_before = refused(edge);
    let mut running = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()));
    writeln!(running.0.stdin.as_mut().unwrap(), "<13>by {}", identity.cert.display()).unwrap();
    until("it gets in or is refused", || {
        (gateway.count() as u64 > before).then_some(true).or((refused(edge) > refused_before).then_some(false))
    })
}

fn s_client(to: SocketAddr, ca: &Authority) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-CAfile"]).arg(ca.ca()).arg("-connect").arg(to.to_string());
    command
}

fn count(edge: &Appliance, count: Count) -> u64 {
    edge.status().and_then(|status| Some(status.line(Component::Source, "firewalls")?.count(count))).unwrap_or(0)
}

#[test]
fn rules_for_client_certificates_are_kept() {
    if !have("openssl") {
        return;
    }
    let (authority, other) = (Authority::new(), Authority::new());
    let ours = authority.identity("127.0.0.1");
    let right = authority.identity("fw1.example.net");
    let wrong_name = authority.identity("fw1.example.org");
    let deeper = authority.identity("a.b.example.net");
    let wrong_ca = other.identity("fw1.example.net");
    let old = authority.expired("fw1.example.net");
    let listed = authority.identity("fw7.example.org");
    let gateway = Service::plain(Manner::Serve);
    let rules = format!(
        "client_auth = \"required\"\nclient_ca = {:?}\n\
         client_names = [\"*.example.net\"]\nclient_fingerprints = [{:?}]\n",
        authority.ca(),
        authority.fingerprint(&listed)
    );
    let edge = Appliance::start(&format!(
        "{}[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [{TLS:?}]\n\
         [source.tls]\ncert = {:?}\nkey = {:?}\n{rules}",
        to_gateway(gateway.address()),
        ours.cert,
        ours.key
    ));
    for (identity, is_welcome, what) in [
        (&right, true, "the CA and the name are right"),
        (&wrong_name, false, "the name is not of the list"),
        (&deeper, false, "the star stands for one label"),
        (&wrong_ca, false, "another CA has signed it"),
        (&old, false, "it has expired"),
        (&listed, true, "its fingerprint is of the list"),
    ] {
        assert_eq!(gets_in(&edge, &gateway, &authority, identity), is_welcome, "{what}\n{}", edge.all_lines());
    }
    let output = run_with_input(&mut s_client(edge.address(TLS, 0), &authority), b"<13>without\n");
    assert!(!output.status.success());
    assert_eq!(gateway.count(), 2);
    edge.stop();
}

#[test]
fn a_listener_may_insist_on_tls_1_3() {
    if !have("openssl") {
        return;
    }
    let authority = Authority::new();
    let ours = authority.identity("127.0.0.1");
    let edge = Appliance::start(&format!(
        "[[source]]\nid = \"firewalls\"\ntype = \"syslog\"\nlisten = [{TLS:?}]\n\
         [source.tls]\ncert = {:?}\nkey = {:?}\nmin_version = \"1.3\"\n",
        ours.cert, ours.key
    ));
    let to = edge.address(TLS, 0);
    let old = run_with_input(s_client(to, &authority).arg("-tls1_2"), b"");
    assert!(!old.status.success());
    let mut new = Running::start(s_client(to, &authority).arg("-tls1_3").stdin(Stdio::piped()).stderr(Stdio::null()));
    writeln!(new.0.stdin.as_mut().unwrap(), "<13>by tls 1.3").unwrap();
    edge.received("firewalls", 1);
    edge.stop();
}
