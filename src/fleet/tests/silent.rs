//! A broker that hears everything and acknowledges nothing, which no real one does when asked to.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::*;
use crate::net::Stream;
use crate::net::tls::certs::Ca;

const MINUTE: Duration = Duration::from_secs(60);

/// A connection as the broker saw it.
struct Seen {
    begin: Instant,
    end: Option<Instant>,
    /// The events in it.
    events: Vec<Value>,
}

/// It acknowledges nothing on its first connection, and everything on those after it.
struct Silent {
    listener: TcpListener,
    ca: Ca,
    seen: Mutex<Vec<Seen>>,
}

impl Silent {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, ca: Ca::new(), seen: Mutex::default() }
    }

    /// The settings that lead to it. A round trip takes longer in a time that jumps.
    fn config(&self) -> Config {
        let (address, ca) = (self.listener.local_addr().unwrap(), &self.ca.file);
        toml::from_str(&format!("broker = \"{address}\"\nconnect_timeout = \"5m\"\n[tls]\nca = {ca:?}\n")).unwrap()
    }

    async fn serve(&self) {
        let acceptor = self.ca.pair("broker", &["127.0.0.1"]).server().build().unwrap();
        loop {
            let (tcp, peer) = self.listener.accept().await.unwrap();
            let mut stream = acceptor.accept(tcp, peer).await.unwrap();
            self.seen.lock().unwrap().push(Seen { begin: Instant::now(), end: None, events: Vec::new() });
            while let Some((kind, packet)) = packet(&mut stream).await {
                let answer = self.hear(kind, &packet);
                stream.write_all(&answer).await.unwrap();
            }
            self.seen.lock().unwrap().last_mut().unwrap().end = Some(Instant::now());
        }
    }

    /// What it answers to a packet (MQTT 5, chapter 3).
    fn hear(&self, kind: u8, packet: &[u8]) -> Vec<u8> {
        let mut seen = self.seen.lock().unwrap();
        let is_silent = seen.len() == 1;
        match kind {
            1 => vec![0x20, 3, 0, 0, 0],
            8 => vec![0x90, 5, packet[0], packet[1], 0, 1, 1],
            12 => vec![0xd0, 0],
            3 => {
                let (topic, rest) = packet[2..].split_at(usize::from(u16::from_be_bytes([packet[0], packet[1]])));
                if topic.ends_with(b"/event") {
                    let body = rest.iter().position(|byte| *byte == b'{').unwrap();
                    seen.last_mut().unwrap().events.push(serde_json::from_slice(&rest[body..]).unwrap());
                }
                if is_silent { Vec::new() } else { vec![0x40, 2, rest[0], rest[1]] }
            }
            _ => Vec::new(),
        }
    }
}

/// The next packet; nothing once the box has gone.
async fn packet(stream: &mut Stream) -> Option<(u8, Vec<u8>)> {
    let kind = stream.read_u8().await.ok()? >> 4;
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = usize::from(stream.read_u8().await.ok()?);
        length |= (byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut packet = vec![0; length];
    stream.read_exact(&mut packet).await.ok()?;
    Some((kind, packet))
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_acknowledges_nothing_is_left_after_a_minute_and_told_everything_again() {
    let broker = Silent::listen().await;
    let alone = Alone { config: broker.config(), ..Alone::new() };
    alone.enrol();
    let status = alone.board.handle(Component::Box, "fleet");
    let mut words = BTreeSet::new();
    let watch = async {
        loop {
            words.extend(status.health().fault().map(|fault| fault.what.clone()));
            sleep(Duration::from_secs(1)).await;
            // The kernel needs time of the other kind to carry what is said: while this thread sleeps, the clock stands still.
            tokio::task::spawn_blocking(|| std::thread::park_timeout(Duration::from_millis(5))).await.unwrap();
        }
    };
    tokio::select! {
        () = alone.run(5 * MINUTE + Duration::from_secs(5), 10) => {}
        () = broker.serve() => {}
        () = watch => {}
    }
    let seen = broker.seen.into_inner().unwrap();
    let [first, second] = &seen[..] else { panic!("{} connections", seen.len()) };
    let lasted = first.end.unwrap() - first.begin;
    assert!((MINUTE..2 * MINUTE).contains(&lasted), "{lasted:?}");
    assert!(words.iter().any(|what| what.contains("the broker acknowledges nothing")), "{words:?}");
    assert_eq!(status.health(), Health::Healthy);
    // What was said to the wall is said again, under the same numbers, and all of it in its order.
    assert!((1..=10).contains(&first.events.len()), "{} in flight", first.events.len());
    assert!(first.events.iter().all(|event| second.events.contains(event)));
    let numbers: Vec<u64> = second.events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert!(numbers.len() == 30 && numbers.is_sorted_by(|before, after| before < after), "{numbers:?}");
    assert!(alone.letters().is_empty(), "{:?}", alone.letters());
}
