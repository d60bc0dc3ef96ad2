use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use rustls_pki_types::pem::PemObject as _;

use super::certs::Ca;
use super::*;
use crate::net::{DialError, Dialer, Stream};

/// One handshake on a real socket; each side then says one byte, because a TLS 1.3 client learns only by reading that it was
/// refused.
async fn meet(server: &ServerConfig, client: &ClientConfig) -> (Result<Stream, HandshakeError>, Result<(), DialError>) {
    let acceptor = server.build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        let (tcp, peer) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(tcp, peer).await?;
        stream.write_all(b"x").await?;
        assert_eq!(stream.read_u8().await?, b'y');
        Ok(stream)
    };
    tokio::join!(accept, dial(address, client))
}

fn dialer(address: SocketAddr, client: &ClientConfig) -> Dialer {
    let tls = Some(client.build().unwrap());
    Dialer { endpoint: address.into(), proxy: None, tls, connect_timeout: Duration::from_secs(10) }
}

async fn dial(address: SocketAddr, client: &ClientConfig) -> Result<(), DialError> {
    let dialer = dialer(address, client);
    let mut stream = dialer.dial().await?;
    let talk = async {
        assert_eq!(stream.read_u8().await?, b'x');
        stream.write_all(b"y").await
    };
    talk.await.map_err(|error| dialer.explain(error))
}

/// A server with an address certificate, and a client that trusts its CA.
fn ends() -> (Ca, ServerConfig, ClientConfig) {
    let ca = Ca::new();
    let server = ca.pair("server", &["127.0.0.1"]).server();
    let client = ClientConfig { ca: Some(ca.file.clone()), ..ClientConfig::default() };
    (ca, server, client)
}

fn refused(result: Result<Stream, HandshakeError>) -> String {
    let error = result.unwrap_err();
    assert!(error.is_refused(), "{error}");
    error.to_string()
}

#[tokio::test]
async fn both_ends_meet_in_both_versions() {
    let (_ca, mut server, mut client) = ends();
    for version in [MinVersion::Tls12, MinVersion::Tls13] {
        (server.min_version, client.min_version) = (version, version);
        let (accepted, dialled) = meet(&server, &client).await;
        assert_eq!(accepted.unwrap().name(), None);
        dialled.unwrap();
    }
}

#[tokio::test]
async fn a_client_certificate_is_taken_by_ca_and_name() {
    let (ca, mut server, _) = ends();
    server.client_auth = ClientAuth::Required;
    server.client_ca = Some(ca.file.clone());
    let named = ca.pair("fw1", &["fw1.example.net"]);
    let other = ca.pair("fw2", &["fw2.example.org"]);
    // Any of the CA.
    let (accepted, dialled) = meet(&server, &other.client(&ca.file)).await;
    assert_eq!(accepted.unwrap().name(), Some("fw2.example.org"));
    dialled.unwrap();
    // By name.
    for rule in ["fw1.example.net", "*.example.net", "FW1.Example.NET"] {
        server.client_names = vec![rule.to_owned()];
        let (accepted, dialled) = meet(&server, &named.client(&ca.file)).await;
        assert_eq!(accepted.unwrap().name(), Some("fw1.example.net"));
        dialled.unwrap();
        let words = refused(meet(&server, &other.client(&ca.file)).await.0);
        assert!(words.contains("fw2.example.org") && words.contains("do not list"), "{words}");
    }
    // Of several names the listed one is meant.
    let several = ca.pair("several", &["alias.example.org", "fw3.example.net"]);
    server.client_names = vec!["*.example.net".to_owned()];
    assert_eq!(meet(&server, &several.client(&ca.file)).await.0.unwrap().name(), Some("fw3.example.net"));
    // Without a DNS name it is the common name.
    server.client_names.clear();
    assert_eq!(meet(&server, &ca.pair("bare", &[]).client(&ca.file)).await.0.unwrap().name(), Some("common name"));
    server.client_names = vec!["fw1.example.net".to_owned()];
    // By fingerprint besides the names.
    server.client_fingerprints = vec![other.fingerprint()];
    meet(&server, &other.client(&ca.file)).await.0.unwrap();
}

#[tokio::test]
async fn a_client_certificate_is_refused_with_its_reason() {
    let (ca, mut server, plain) = ends();
    server.client_auth = ClientAuth::Required;
    server.client_ca = Some(ca.file.clone());
    // None at all: the client is told to show one.
    let (accepted, dialled) = meet(&server, &plain).await;
    assert!(refused(accepted).contains("sent none"));
    let error = dialled.unwrap_err();
    assert!(error.is_tls() && error.todo().contains("tls.cert"), "{error}");
    // Of another CA.
    let elsewhere = Ca::named("elsewhere");
    let stranger = elsewhere.pair("fw1", &["fw1.example.net"]);
    let (accepted, dialled) = meet(&server, &stranger.client(&ca.file)).await;
    assert!(refused(accepted).contains("not signed by a CA"));
    let error = dialled.unwrap_err();
    assert!(error.todo().contains("client certificate"), "{error}");
    // Expired.
    let old = ca.pair_between("old", &["fw1.example.net"], 2019, 2021);
    let (accepted, dialled) = meet(&server, &old.client(&ca.file)).await;
    assert!(refused(accepted).contains("expired on 2021-01-01"));
    assert!(dialled.unwrap_err().todo().contains("expired"));
    // Optional: none is taken, a wrong one is not.
    server.client_auth = ClientAuth::Optional;
    assert_eq!(meet(&server, &plain).await.0.unwrap().name(), None);
    refused(meet(&server, &stranger.client(&ca.file)).await.0);
}

#[tokio::test]
async fn a_fingerprint_is_enough_without_a_ca_but_dates_still_count() {
    let (ca, mut server, plain) = ends();
    let known = ca.pair("known", &["fw1.example.net"]);
    let unknown = ca.pair("unknown", &["fw1.example.net"]);
    let old = ca.pair_between("old", &["fw1.example.net"], 2019, 2021);
    let young = ca.pair_between("young", &["fw1.example.net"], 2080, 2081);
    server.client_auth = ClientAuth::Required;
    server.client_fingerprints = vec![known.fingerprint(), old.fingerprint(), young.fingerprint()];
    for version in [MinVersion::Tls12, MinVersion::Tls13] {
        server.min_version = version;
        let (accepted, dialled) = meet(&server, &known.client(&ca.file)).await;
        assert_eq!(accepted.unwrap().name(), Some("fw1.example.net"));
        dialled.unwrap();
    }
    let words = refused(meet(&server, &unknown.client(&ca.file)).await.0);
    assert!(words.contains(&unknown.fingerprint().to_string()), "{words}");
    assert!(refused(meet(&server, &old.client(&ca.file)).await.0).contains("expired on 2021"));
    assert!(refused(meet(&server, &young.client(&ca.file)).await.0).contains("not valid before 2080"));
    assert!(refused(meet(&server, &plain).await.0).contains("sent none"));
}

#[tokio::test]
async fn somebody_elses_certificate_does_not_help_without_its_key() {
    // The signature of the handshake is what proves the key: the known certificate with another key must fail.
    let (ca, mut server, _) = ends();
    let known = ca.pair("known", &["fw1.example.net"]);
    let thief = ca.pair("thief", &["fw1.example.net"]);
    server.client_auth = ClientAuth::Required;
    server.client_fingerprints = vec![known.fingerprint()];
    let acceptor = server.build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let provider = provider();
    let key = rustls_pki_types::PrivateKeyDer::from_pem_file(&thief.key).unwrap();
    let signing = provider.key_provider.load_private_key(key).unwrap();
    let stolen = rustls::sign::CertifiedKey::new(vec![known.der.clone().into()], signing);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::CertificateDer::from_pem_file(&ca.file).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(stolen)));
    let dial = async {
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = rustls_pki_types::ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        stream.read_u8().await
    };
    let accept = async {
        let (tcp, peer) = listener.accept().await.unwrap();
        acceptor.accept(tcp, peer).await
    };
    let (accepted, dialled) = tokio::join!(accept, dial);
    assert!(accepted.is_err() && dialled.is_err());
}

#[tokio::test]
async fn a_server_certificate_is_refused_with_what_to_do() {
    let (ca, _, client) = ends();
    let cases = [
        (ca.pair_between("old", &["127.0.0.1"], 2019, 2021), "expired on 2021-01-01", "renew"),
        (ca.pair_between("young", &["127.0.0.1"], 2080, 2081), "not valid before 2080-01-01", "clock"),
        (ca.pair("other", &["gw.example.net"]), "it is for gw.example.net, not for 127.0.0.1", "server_name"),
    ];
    for (pair, what, todo) in cases {
        let error = meet(&pair.server(), &client).await.1.unwrap_err();
        assert!(error.is_tls());
        assert!(error.what().contains(what), "{error}");
        assert!(error.todo().contains(todo), "{error}");
    }
    for (stranger, what) in [(Ca::named("elsewhere"), "not signed by a CA"), (Ca::new(), "another CA than the one")] {
        let server = stranger.pair("server", &["127.0.0.1"]).server();
        let error = meet(&server, &client).await.1.unwrap_err();
        assert!(error.what().contains(what) && error.todo().contains("tls.ca"), "{error}");
    }
}

#[tokio::test]
async fn a_pinned_key_is_enough_by_itself_and_with_a_ca_both_must_hold() {
    let (ca, _, _) = ends();
    // Nothing but the key fits: another name, and long expired.
    let gateway = ca.pair_between("gw", &["gw.example.net"], 2019, 2021);
    let other = ca.pair("other", &["127.0.0.1"]);
    let mut client = ClientConfig { pinned_keys: vec![gateway.pin()], ..ClientConfig::default() };
    meet(&gateway.server(), &client).await.1.unwrap();
    let error = meet(&other.server(), &client).await.1.unwrap_err();
    assert!(error.what().contains(&other.pin().to_string()) && error.todo().contains("pinned_keys"), "{error}");
    client.ca = Some(ca.file.clone());
    assert!(meet(&gateway.server(), &client).await.1.unwrap_err().what().contains("expired"));
    client.pinned_keys.push(other.pin());
    meet(&other.server(), &client).await.1.unwrap();
    let stranger = Ca::named("elsewhere");
    client.pinned_keys = vec![other.pin()];
    client.ca = Some(stranger.file.clone());
    assert!(meet(&other.server(), &client).await.1.unwrap_err().what().contains("not signed by a CA"));
}

#[tokio::test]
async fn the_name_to_expect_can_be_set() {
    let (ca, _, mut client) = ends();
    let server = ca.pair("gw", &["gw.example.net"]).server();
    client.server_name = Some("gw.example.net".to_owned());
    meet(&server, &client).await.1.unwrap();
}

/// The smallest ClientHello that offers TLS 1.1 at most (RFC 4346 section 7.4.1.2): version 3.2 and an old CBC suite.
const HELLO_TLS_1_1: &[u8] = &[
    22, 3, 1, 0, 55, // handshake record
    1, 0, 0, 51, // ClientHello
    3, 2, // TLS 1.1
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
    32, // random
    0,  // no session
    0, 2, 0, 47, // TLS_RSA_WITH_AES_128_CBC_SHA
    1, 0, // no compression
    0, 8, 0, 13, 0, 4, 0, 2, 4, 1, // signature_algorithms: rsa_pkcs1_sha256
];

#[tokio::test]
async fn nothing_below_tls_1_2_and_nothing_that_is_no_tls_is_spoken() {
    let (_ca, server, _) = ends();
    for (hello, alert) in [(HELLO_TLS_1_1, 70), (&b"<13>plain syslog on a tls port\n"[..], 0)] {
        let acceptor = server.build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, peer) = listener.accept().await.unwrap();
        client.write_all(hello).await.unwrap();
        let error = acceptor.accept(tcp, peer).await.unwrap_err();
        assert!(!error.is_refused(), "{error}");
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer).await;
        // Alert record, fatal, protocol_version (RFC 8446 section 6).
        if alert > 0 {
            assert_eq!((answer[0], answer[5], answer[6]), (21, 2, alert), "{answer:?}");
        }
    }
}

#[test]
fn only_aead_suites_with_ephemeral_keys_are_there() {
    for suite in &provider().cipher_suites {
        let name = format!("{:?}", suite.suite());
        assert!(name.contains("GCM") || name.contains("CHACHA20_POLY1305"), "{name}");
        assert!(name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_"), "{name}");
    }
    for version in MinVersion::Tls12.versions() {
        assert!(matches!(version.version, rustls::ProtocolVersion::TLSv1_2 | rustls::ProtocolVersion::TLSv1_3));
    }
    assert_eq!(MinVersion::Tls13.versions().len(), 1);
}

#[tokio::test]
async fn replaced_files_are_taken_into_use_and_bad_ones_are_not() {
    let (ca, server, client) = ends();
    let acceptor = server.build().unwrap();
    assert!(!acceptor.reload().unwrap());
    let before = acceptor.valid_until();
    ca.pair_between("server", &["127.0.0.1"], 2021, 2050);
    assert!(acceptor.reload().unwrap());
    assert!(acceptor.valid_until() < before);
    fs::write(&server.key, "gone").unwrap();
    assert!(acceptor.reload().is_err());
    assert_eq!(acceptor.valid_until().to_string(), "2050-01-01T00:00:00.000Z");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        let (tcp, peer) = listener.accept().await.unwrap();
        acceptor.accept(tcp, peer).await.unwrap().write_all(b"x").await.unwrap();
    };
    tokio::join!(accept, async { dial(address, &client).await.unwrap() });
}

#[tokio::test]
async fn a_dialer_takes_a_renewed_client_certificate_without_being_built_again() {
    let (ca, mut server, _) = ends();
    server.client_auth = ClientAuth::Required;
    server.client_ca = Some(ca.file.clone());
    let acceptor = server.build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = ca.pair("fw", &["before.example.net"]).client(&ca.file);
    let dialer = dialer(listener.local_addr().unwrap(), &client);
    for name in ["before.example.net", "after.example.net"] {
        ca.pair("fw", &[name]);
        let accept = async {
            let (tcp, peer) = listener.accept().await.unwrap();
            acceptor.accept(tcp, peer).await.unwrap().name().map(str::to_owned)
        };
        let (accepted, dialled) = tokio::join!(accept, dialer.dial());
        dialled.unwrap();
        assert_eq!(accepted.as_deref(), Some(name));
    }
}

#[test]
fn wrong_files_are_named_with_what_to_do() {
    let ca = Ca::new();
    let good = ca.pair("good", &["a.example.net"]);
    let other = ca.pair("other", &["b.example.net"]);
    let write = |name: &str, text: &str| -> PathBuf {
        fs::write(ca.path(name), text).unwrap();
        ca.path(name)
    };
    let missing = ca.path("missing.pem");
    let text = write("text.pem", "hello");
    let broken = write("broken.pem", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
    let sealed =
        write("sealed.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let expired = ca.pair_between("expired", &["a.example.net"], 2019, 2021);
    let with = |cert: &PathBuf, key: &PathBuf, client_ca: Option<&PathBuf>| ServerConfig {
        cert: cert.clone(),
        key: key.clone(),
        client_auth: if client_ca.is_some() { ClientAuth::Required } else { ClientAuth::None },
        client_ca: client_ca.cloned(),
        ..good.server()
    };
    let cases = [
        (with(&missing, &good.key, None), "cert", "No such file or directory (os error 2); check the path"),
        (with(&good.cert, &missing, None), "key", "cannot read key file"),
        (with(&text, &good.key, None), "cert", "holds no certificate; it must be PEM"),
        (with(&good.key, &good.key, None), "cert", "holds no certificate"),
        (with(&broken, &good.key, None), "cert", "cannot be used"),
        (with(&good.cert, &good.cert, None), "key", "holds no private key; it must be PEM"),
        (with(&good.cert, &sealed, None), "key", "is encrypted; write it without a passphrase"),
        (with(&good.cert, &other.key, None), "key", "does not belong to the certificate"),
        (with(&good.cert, &good.key, Some(&text)), "client_ca", "CA file"),
        (with(&good.cert, &good.key, Some(&missing)), "client_ca", "cannot read CA file"),
        (with(&expired.cert, &expired.key, None), "cert", "expired on 2021-01-01T00:00:00.000Z; put a new one"),
    ];
    for (config, key, words) in cases {
        let problems = config.open_files();
        assert_eq!(problems.len(), 1, "{words}: {problems:?}");
        assert_eq!(problems[0].0, key, "{problems:?}");
        assert!(problems[0].1.contains(words), "{problems:?}");
    }
    assert_eq!(good.server().open_files(), []);
    // An expired certificate still serves.
    assert!(expired.server().build().is_ok());
    let client = ClientConfig { ca: Some(text), ..expired.client(&ca.file) };
    let problems = client.open_files();
    assert_eq!(problems.len(), 2);
    assert!(problems[0].1.contains("expired on") && problems[1].1.contains("holds no certificate"), "{problems:?}");
}

#[test]
fn tables_that_contradict_themselves_are_refused() {
    let ca = Ca::new();
    let good = ca.pair("good", &["a.example.net"]).server();
    let rules = |client_auth, with_ca: bool, names: &[&str]| ServerConfig {
        client_auth,
        client_ca: with_ca.then(|| ca.file.clone()),
        client_names: names.iter().map(|&name| name.to_owned()).collect(),
        ..good.clone()
    };
    let cases = [
        (rules(ClientAuth::None, true, &[]), "client_auth"),
        (rules(ClientAuth::Required, false, &[]), "client_ca"),
        (rules(ClientAuth::Required, true, &["fw*.example.net"]), "client_names[0]"),
        (rules(ClientAuth::Required, true, &["ok.example.net", "a..b"]), "client_names[1]"),
    ];
    for (config, key) in cases {
        let problems = config.validate();
        assert_eq!(problems.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), [key]);
        assert!(config.build().is_err());
    }
    let both = rules(ClientAuth::Optional, false, &["fw1.example.net"]).validate();
    assert_eq!(both.len(), 2);
    let half = ClientConfig { key: Some(good.key.clone()), ..ClientConfig::default() };
    assert_eq!(half.validate()[0].0, "cert");
    let name = ClientConfig { server_name: Some("a b".into()), ..ClientConfig::default() };
    assert_eq!(name.validate()[0].0, "server_name");
}

#[test]
fn fingerprints_and_pins_are_read_as_tools_show_them() {
    let pair = Ca::new().pair("a", &["a.example.net"]);
    let shown = pair.fingerprint().to_string();
    assert_eq!(shown.len(), "sha256".len() + 32 * 3);
    let bare = shown.trim_start_matches("sha256:").replace(':', "").to_ascii_lowercase();
    let line = shown.replacen(':', " Fingerprint=", 1);
    for text in [line, shown.clone(), shown.replace("sha256", "SHA-256"), format!("sha256:{bare}")] {
        assert_eq!(text.parse::<Fingerprint>().unwrap(), pair.fingerprint(), "{text}");
    }
    for text in ["", "sha256:", "sha-1:AA", &shown[..shown.len() - 1], &format!("{shown}:AA"), &shown.replace('A', "G")]
    {
        if text != shown {
            assert!(text.parse::<Fingerprint>().unwrap_err().contains("openssl x509"), "{text}");
        }
    }
    let pin = pair.pin().to_string();
    assert_eq!(pin.parse::<KeyPin>().unwrap(), pair.pin());
    assert_eq!(pin.replace("sha256/", "sha256//").parse::<KeyPin>().unwrap(), pair.pin());
    for sum in [[0xff; 32], [0; 32]] {
        let pin = format!("sha256/{}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, sum));
        assert_eq!(pin.parse::<KeyPin>().unwrap().to_string(), pin);
        assert_eq!(pin.replacen('/', "//", 1).parse::<KeyPin>().unwrap().to_string(), pin);
    }
    for text in ["", "sha256/", "sha256/AAAA", "sha1/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="] {
        assert!(text.parse::<KeyPin>().is_err(), "{text}");
    }
}

#[test]
fn a_star_is_exactly_the_first_label() {
    for (rule, name, matches) in [
        ("fw1.example.net", "FW1.example.net.", true),
        ("*.example.net", "fw1.example.net", true),
        ("fw1.example.net", "*.example.net", true),
        ("*.example.net", "*.example.net", true),
        ("*.example.net", "example.net", false),
        ("*.example.net", "a.b.example.net", false),
        ("*.example.net", ".example.net", false),
        ("f*.example.net", "fw1.example.net", false),
        ("fw1.*.net", "fw1.example.net", false),
        ("*", "localhost", false),
        ("fw1.example.net", "fw1.example.net.evil.org", false),
    ] {
        assert_eq!(rules::name_matches(rule, name), matches, "{rule} {name}");
    }
    for (rule, good) in
        [("*.net", true), ("*", false), ("", false), ("a.*.net", false), ("*a.net", false), ("*.", false)]
    {
        assert_eq!(rules::is_name_rule(rule), good, "{rule}");
    }
}
