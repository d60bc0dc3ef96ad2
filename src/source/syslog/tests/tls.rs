use super::*;
use crate::net::tls::ClientConfig;
use crate::net::tls::certs::{Ca, Pair};
use crate::net::{DialError, Dialer, Stream};

/// Connects as a sender that trusts `ca` and shows `pair`.
pub(super) async fn connect(to: SocketAddr, ca: &Ca, pair: Option<&Pair>) -> Result<Stream, DialError> {
    let client = match pair {
        Some(pair) => pair.client(&ca.file),
        None => ClientConfig { ca: Some(ca.file.clone()), ..ClientConfig::default() },
    };
    let tls = Some(client.build().unwrap());
    Dialer { endpoint: to.into(), proxy: None, tls, connect_timeout: Duration::from_secs(30) }.dial().await
}

/// Sends a message and closes; whether the listener took the connection shows in the events.
async fn send_tls(to: SocketAddr, ca: &Ca, pair: Option<&Pair>, text: &str) {
    if let Ok(mut stream) = connect(to, ca, pair).await {
        let _ = stream.write_all(format!("{} {text}", text.len()).as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

fn table(server: &Pair, rules: &str) -> String {
    let (cert, key) = (&server.cert, &server.key);
    format!("listen = [\"tls://127.0.0.1:0\"]\n[tls]\ncert = {cert:?}\nkey = {key:?}\n{rules}")
}

#[tokio::test]
async fn events_carry_the_verified_name_and_strangers_are_refused() {
    let (ca, elsewhere) = (Ca::new(), Ca::named("elsewhere"));
    let server = ca.pair("server", &["127.0.0.1"]);
    let (fw1, fw2) = (ca.pair("fw1", &["fw1.example.net"]), ca.pair("fw2", &["fw2.example.org"]));
    let stranger = elsewhere.pair("fw1", &["fw1.example.net"]);
    let pinned = elsewhere.pair("pinned", &["pinned.example.com"]);
    let by_ca = format!("client_auth = \"required\"\nclient_ca = {:?}\nclient_names = [\"*.example.net\"]", ca.file);
    let by_fingerprint = format!("client_auth = \"required\"\nclient_fingerprints = [\"{}\"]", pinned.fingerprint());
    let cases = [
        (by_ca, &fw1, "fw1.example.net", [Some(&fw2), Some(&stranger), Some(&pinned), None]),
        (by_fingerprint, &pinned, "pinned.example.com", [Some(&fw1), Some(&fw2), Some(&stranger), None]),
    ];
    for (rules, good, name, bad) in cases {
        let mut source = Running::start(&table(&server, &rules)).await;
        for pair in bad {
            send_tls(source.at(0), &ca, pair, "<13>must not come in").await;
        }
        source.until("refused", |status| status.counters().count(Count::RefusedConnections) == 4).await;
        send_tls(source.at(0), &ca, Some(good), "<13>hello").await;
        let event = source.events(1).await.remove(0);
        assert_eq!((event.text().as_str(), event.transport), ("<13>hello", Transport::Tls));
        assert_eq!(event.name.as_deref(), Some(name));
        assert_eq!(received(source.status()), 1);
        source.stop().await;
    }
}

#[tokio::test]
async fn large_and_many_messages_come_through_tls() {
    let ca = Ca::new();
    let mut source = Running::start(&table(&ca.pair("server", &["127.0.0.1"]), "")).await;
    let mut stream = connect(source.at(0), &ca, None).await.unwrap();
    let messages: Vec<String> = (0..300).map(|n| format!("<13>{n} {}", "y".repeat(n * 100))).collect();
    let wire: String = messages.iter().map(|text| format!("{} {text}", text.len())).collect();
    stream.write_all(wire.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let got: Vec<String> = source.events(300).await.iter().map(Event::text).collect();
    assert!(got == messages);
    source.stop().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_shown_and_taken_once_it_is_mended() {
    let ca = Ca::new();
    let server = ca.pair("server", &["127.0.0.1"]);
    let key = std::fs::read(&server.key).unwrap();
    std::fs::write(&server.key, "").unwrap();
    let mut source = Running::start(&table(&server, "")).await;
    source.until("failed", |status| status.health().word() == "failed").await;
    let fault = source.status().health().fault().cloned().unwrap();
    assert!(fault.what.contains("holds no private key") && fault.todo.contains("tries again"), "{fault:?}");
    std::fs::write(&server.key, key).unwrap();
    source.until("healthy", |status| status.health() == Health::Healthy).await;
    send_tls(source.at(0), &ca, None, "<13>mended").await;
    assert_eq!(source.events(1).await[0].text(), "<13>mended");
    source.stop().await;
}

#[tokio::test]
async fn an_expired_certificate_still_serves_and_is_shown() {
    let ca = Ca::new();
    let server = ca.pair_between("server", &["127.0.0.1"], 2019, 2021);
    let mut source = Running::start(&table(&server, "")).await;
    source.until("degraded", |status| status.health().word() == "degraded").await;
    let fault = source.status().health().fault().cloned().unwrap();
    assert!(fault.what.contains("expired on 2021-01-01") && fault.todo.contains("new certificate"), "{fault:?}");
    // A sender that pins the key does not look at the date.
    let client = ClientConfig { pinned_keys: vec![server.pin()], ..ClientConfig::default() };
    let tls = Some(client.build().unwrap());
    let dialer = Dialer { endpoint: source.at(0).into(), proxy: None, tls, connect_timeout: Duration::from_secs(30) };
    let mut stream = dialer.dial().await.unwrap();
    stream.write_all(b"5 <13>x").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(source.events(1).await[0].text(), "<13>x");
    source.stop().await;
}
