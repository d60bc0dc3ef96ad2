//! The pages, asked for over real sockets.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::clock::Clock;
use crate::status::{Component, Count, DropReason};

struct Running {
    board: Board,
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), WebError>>,
}

#[expect(clippy::disallowed_methods, reason = "the test is the parent and awaits it")]
async fn start() -> Running {
    let board = Board::new(Clock::System);
    let (tell, told) = oneshot::channel();
    let stop = CancellationToken::new();
    let config = Config { listen: "127.0.0.1:0".parse().unwrap() };
    let status = board.handle(Component::Box, "web");
    let task = tokio::spawn(run(config, board.clone(), status, stop.clone(), |address| tell.send(address).unwrap()));
    Running { board, address: told.await.unwrap(), stop, task }
}

/// Status line and body.
async fn ask(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn healthz_fails_with_the_words_of_the_fault() {
    let running = start().await;
    let gateway = running.board.handle(Component::Output, "gateway");
    gateway.set(Health::degraded("one of two gateways does not answer", "check gw2"));
    let (status, body) = ask(running.address, &get("/healthz")).await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(body.contains("\"healthy\":true") && body.contains("check gw2"), "{body}");
    gateway.set(Health::failed("no gateway answers", "check the network"));
    let (status, body) = ask(running.address, &get("/healthz")).await;
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let line = body["components"].as_array().unwrap().iter().find(|line| line["id"] == "gateway").unwrap();
    assert_eq!((&line["state"], &line["todo"]), (&"failed".into(), &"check the network".into()));
    running.stop.cancel();
    running.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn metrics_name_component_and_reason_and_begin_at_zero() {
    let running = start().await;
    let source = running.board.handle(Component::Source, "fw");
    source.counters().add(Count::ReceivedEvents, 7);
    source.counters().drop_events(DropReason::KernelBuffer, 3);
    let (status, body) = ask(running.address, &get("/metrics")).await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        "sapphire_edge_received_events_total{component=\"source\",id=\"fw\"} 7",
        "sapphire_edge_received_bytes_total{component=\"source\",id=\"fw\"} 0",
        "sapphire_edge_dropped_events_total{component=\"source\",id=\"fw\",reason=\"kernel_buffer\"} 3",
        "sapphire_edge_dropped_events_total{component=\"source\",id=\"fw\",reason=\"queue_full\"} 0",
        "sapphire_edge_health{component=\"source\",id=\"fw\",state=\"starting\"} 1",
        "sapphire_edge_health{component=\"source\",id=\"fw\",state=\"failed\"} 0",
        "# TYPE sapphire_edge_received_events counter",
        "# EOF",
    ] {
        assert!(body.lines().any(|known| known == line), "{line}\n{body}");
    }
    assert!(!body.contains("sapphire_edge_delivered_events_total{component=\"source\""), "{body}");
    running.stop.cancel();
    running.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn everything_else_is_refused_in_words() {
    let running = start().await;
    assert_eq!(ask(running.address, &get("/")).await.0, "HTTP/1.1 404 Not Found");
    let post = "POST /healthz HTTP/1.1\r\nHost: box\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(running.address, post).await.0, "HTTP/1.1 405 Method Not Allowed");
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20));
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let _ = stream.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"));
    assert_eq!(ask(running.address, &get("/healthz")).await.0, "HTTP/1.1 200 OK");
    running.stop.cancel();
    running.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn those_who_send_a_header_for_ever_do_not_keep_others_out() {
    let running = start().await;
    let mut slow = Vec::new();
    for _ in 0..32 {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").await.unwrap();
        slow.push(stream);
    }
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    assert_eq!(ask(running.address, &get("/healthz")).await.0, "HTTP/1.1 200 OK");
    assert!(begin.elapsed() >= Duration::from_secs(9), "all places were taken");
    for mut stream in slow {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    }
    running.stop.cancel();
    running.task.await.unwrap().unwrap();
}
