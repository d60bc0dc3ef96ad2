//! Many senders at once: idle ones, slow ones, a thousand in parallel. Every event arrives.

use std::net::SocketAddr;
use std::time::Duration;

use sapphire_edge::status::{Component, Count, Gauge};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::peers::appliance::{Appliance, to_gateway};
use crate::peers::balance::balance;
use crate::peers::service::{Manner, Service};

const TCP: &str = "tcp://127.0.0.1:0";

fn edge(more: &str) -> (Appliance, Service) {
    let gateway = Service::plain(Manner::Serve);
    let source = format!("[[source]]\nid = \"crowd\"\ntype = \"syslog\"\nlisten = [{TCP:?}]\n{more}");
    (Appliance::start(&(to_gateway(gateway.address()) + &source)), gateway)
}

fn event(sender: usize, number: usize) -> String {
    format!("<13>Nov 24 10:15:30 fw{sender} app: event {number} of sender {sender}")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn counted(edge: &Appliance, events: usize) {
    let line = edge.line(Component::Source, "crowd", |line| line.count(Count::ReceivedEvents) >= events as u64);
    assert_eq!((line.count(Count::ReceivedEvents), line.dropped_total()), (events as u64, 0));
}

/// Connects `count` senders, tries again where the backlog of the listener is full.
async fn crowd(to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut connecting = JoinSet::new();
    for _ in 0..count {
        connecting.spawn(async move {
            loop {
                if let Ok(stream) = TcpStream::connect(to).await {
                    return stream;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    connecting.join_all().await
}

#[test]
fn a_hundred_idle_and_a_hundred_slow_senders_keep_nobody_waiting() {
    let (edge, gateway) = edge("");
    let to = edge.address(TCP, 0);
    let idle = runtime();
    let idlers = idle.block_on(crowd(to, 100));
    // Each writes its events byte by byte, all of them at the same time.
    let slow = std::thread::spawn(move || {
        runtime().block_on(async {
            let mut tasks = JoinSet::new();
            for (sender, mut stream) in crowd(to, 100).await.into_iter().enumerate() {
                tasks.spawn(async move {
                    stream.set_nodelay(true).unwrap();
                    for byte in format!("{}\n{}\n", event(sender, 0), event(sender, 1)).bytes() {
                        stream.write_all(&[byte]).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                });
            }
            tasks.join_all().await;
        });
    });
    edge.line(Component::Source, "crowd", |line| line.gauge(Gauge::OpenConnections) == 200);
    // One that is quick is served meanwhile.
    let quick: Vec<String> = (0..1_000).map(|number| event(999, number)).collect();
    crate::peers::sender::lines(to, &quick);
    let early = gateway.wait_acked(1_000);
    assert!(early.iter().filter(|event| event.message().contains("sender 999")).count() == 1_000);
    slow.join().unwrap();
    let sent: Vec<String> = (0..200).map(|number| event(number / 2, number % 2)).chain(quick).collect();
    let events = gateway.wait_acked(sent.len());
    assert_eq!(balance(&sent, &events).repeats, 0);
    counted(&edge, sent.len());
    edge.line(Component::Source, "crowd", |line| line.gauge(Gauge::OpenConnections) == 100);
    drop(idlers);
    edge.line(Component::Source, "crowd", |line| line.gauge(Gauge::OpenConnections) == 0);
    edge.stop();
}

#[test]
fn a_thousand_senders_at_once_lose_nothing() {
    let (edge, gateway) = edge("");
    let to = edge.address(TCP, 0);
    let runtime = runtime();
    let streams = runtime.block_on(crowd(to, 1_000));
    edge.line(Component::Source, "crowd", |line| line.gauge(Gauge::OpenConnections) == 1_000);
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for (sender, mut stream) in streams.into_iter().enumerate() {
            tasks.spawn(async move {
                for number in 0..10 {
                    stream.write_all((event(sender, number) + "\n").as_bytes()).await.unwrap();
                }
                stream.shutdown().await.unwrap();
            });
        }
        tasks.join_all().await;
    });
    let sent: Vec<String> = (0..10_000).map(|number| event(number / 10, number % 10)).collect();
    let events = gateway.wait_acked(sent.len());
    assert_eq!(balance(&sent, &events).repeats, 0);
    counted(&edge, sent.len());
    edge.line(Component::Source, "crowd", |line| line.gauge(Gauge::OpenConnections) == 0);
    edge.stop();
}
