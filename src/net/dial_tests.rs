use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::tls::ClientConfig;
use super::tls::certs::Ca;
use super::{DialError, Dialer, Endpoint, Proxy};

fn dialer(endpoint: &str) -> Dialer {
    let connect_timeout = Duration::from_millis(500);
    Dialer { endpoint: endpoint.parse().unwrap(), proxy: None, tls: None, connect_timeout }
}

/// A port that nobody listens on.
fn closed_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The head of an HTTP request.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Answers one connection with `answer`, and returns the request it got.
async fn proxy_that_says(answer: &'static [u8]) -> (SocketAddr, JoinSet<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut stream = listener.accept().await.unwrap().0;
        let request = head(&mut stream).await;
        stream.write_all(answer).await.unwrap();
        request
    });
    (address, tasks)
}

fn through(address: SocketAddr, user: Option<&str>, password_file: Option<PathBuf>) -> Dialer {
    let proxy = Proxy { endpoint: address.into(), user: user.map(str::to_owned), password_file };
    Dialer { proxy: Some(proxy), ..dialer("gw1.example.net:5044") }
}

#[test]
fn endpoints_are_read_and_shown_the_same() {
    for text in ["gw1.example.net:5044", "192.0.2.1:5044", "[2001:db8::1]:5044", "localhost:1"] {
        assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "gw1.example.net",
        ":5044",
        "gw1:0",
        "gw1:65536",
        "https://gw1:443",
        "2001:db8::1:5044",
        "a b:1",
        "gw..x:1",
    ] {
        assert!(text.parse::<Endpoint>().unwrap_err().contains("such as"), "{text}");
    }
}

#[tokio::test]
async fn what_nobody_listens_on_says_so() {
    let address = closed_port();
    let error = dialer(&address.to_string()).dial().await.unwrap_err();
    assert_eq!(error.what(), format!("{address} refused the connection"));
    assert!(error.todo().contains("listens on this port") && !error.is_tls());
    assert_eq!(error.to_string(), format!("{}; {}", error.what(), error.todo()));
}

#[tokio::test]
async fn a_name_that_is_not_there_says_so() {
    let dialer = Dialer { connect_timeout: Duration::from_secs(20), ..dialer("gw1.invalid:5044") };
    let error = dialer.dial().await.unwrap_err();
    assert!(matches!(error, DialError::Name { .. }), "{error}");
    assert!(error.what().contains("gw1.invalid was not found") && error.todo().contains("DNS"), "{error}");
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    // localhost is ::1 and 127.0.0.1 in most places; only the second listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stream = dialer(&format!("localhost:{port}")).dial().await.unwrap();
    assert_eq!(stream.peer(), listener.local_addr().unwrap());
}

#[tokio::test]
async fn a_proxy_opens_the_way_and_gets_the_password_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "s3cret\n").unwrap();
    let (address, mut proxy) = proxy_that_says(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nhello").await;
    let mut stream = through(address, Some("edge"), Some(password)).dial().await.unwrap();
    let mut first = [0; 5];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"hello", "bytes after the proxy's answer belong to the target");
    let request = proxy.join_next().await.unwrap().unwrap();
    // edge:s3cret
    let wanted = "CONNECT gw1.example.net:5044 HTTP/1.1\r\nHost: gw1.example.net:5044\r\n\
                  Proxy-Authorization: Basic ZWRnZTpzM2NyZXQ=\r\n\r\n";
    assert_eq!(request, wanted);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_quoted_with_what_to_do() {
    let cases: [(&'static [u8], &str, &str); 5] = [
        (b"HTTP/1.0 401 Unauthorized\r\n\r\n", "401 Unauthorized", "proxy_password_file"),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "HTTP/1.1 407 Proxy", "proxy_password_file"),
        (b"HTTP/1.0 403 Forbidden\r\n\r\n", "403 Forbidden", "allow CONNECT"),
        (b"\x15\x03\x01garbage\r\n\r\n", "garbage", "CONNECT"),
        (b"HTTP/1.1 200", "did not answer as an HTTP proxy", "address and port"),
    ];
    for (answer, what, todo) in cases {
        let (address, _proxy) = proxy_that_says(answer).await;
        let error = through(address, None, None).dial().await.unwrap_err();
        assert!(error.what().contains(what) && error.what().contains(&address.to_string()), "{error}");
        assert!(error.todo().contains(todo), "{error}");
    }
    let missing = Some(PathBuf::from("/nowhere/password"));
    let (address, _proxy) = proxy_that_says(b"").await;
    let error = through(address, Some("edge"), missing).dial().await.unwrap_err();
    assert!(matches!(error, DialError::ProxyPassword { .. }) && error.what().contains("/nowhere/password"), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut proxy = JoinSet::new();
    proxy.spawn(async move {
        let mut stream = listener.accept().await.unwrap().0;
        while stream.write_all(&[b'x'; 1_000]).await.is_ok() {}
    });
    let dialer = Dialer { connect_timeout: Duration::from_secs(30), ..through(address, None, None) };
    let error = dialer.dial().await.unwrap_err();
    assert!(error.what().contains("too long"), "{error}");
    proxy.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn who_does_not_answer_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = through(silent.local_addr().unwrap(), None, None).dial().await.unwrap_err();
    assert!(matches!(error, DialError::TimedOut { .. }) && error.what().contains("the proxy"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_without_answer_is_given_up_after_10_seconds() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ca = Ca::new();
    let tls = ClientConfig { ca: Some(ca.file.clone()), ..ClientConfig::default() }.build().unwrap();
    let address = silent.local_addr().unwrap();
    let start = tokio::time::Instant::now();
    // The paused clock runs on while nothing else can: the connect must not be timed by it.
    let connect_timeout = Duration::from_secs(3_600);
    let dialer = Dialer { endpoint: address.into(), proxy: None, tls: Some(tls), connect_timeout };
    let error = dialer.dial().await.unwrap_err();
    assert!(matches!(error, DialError::TimedOut { .. }) && error.what().contains("the tls handshake"), "{error}");
    assert!(start.elapsed() >= Duration::from_secs(10) && start.elapsed() < Duration::from_secs(3_600));
}

#[tokio::test]
async fn tls_through_a_proxy_is_with_the_endpoint_and_not_with_the_proxy() {
    let ca = Ca::new();
    let acceptor = ca.pair("gw", &["gw1.example.net"]).server().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let tls = ClientConfig { ca: Some(ca.file.clone()), ..ClientConfig::default() }.build().unwrap();
    let dialer = Dialer { tls: Some(tls), ..through(proxy, None, None) };
    let far_end = async {
        let (mut tcp, peer) = listener.accept().await.unwrap();
        head(&mut tcp).await;
        tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        acceptor.accept(tcp, peer).await.unwrap()
    };
    let (mut far_end, near_end) = tokio::join!(far_end, dialer.dial());
    near_end.unwrap().write_all(b"x").await.unwrap();
    assert_eq!(far_end.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_says_so() {
    let ca = Ca::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls = ClientConfig { ca: Some(ca.file.clone()), ..ClientConfig::default() }.build().unwrap();
    let dialer = Dialer { tls: Some(tls), ..dialer(&listener.local_addr().unwrap().to_string()) };
    let far_end = async {
        let mut tcp = listener.accept().await.unwrap().0;
        tcp.write_all(b"220 mail.example.net ESMTP\r\n").await.unwrap();
        tcp
    };
    let (_tcp, result) = tokio::join!(far_end, dialer.dial());
    let error = result.unwrap_err();
    assert!(error.what().contains("does not speak tls on this port"), "{error}");
}
