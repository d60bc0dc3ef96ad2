//! Server-sent events: the overview as it changes, and events as they come in.

use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::{Curl, PASSWORD, SETTINGS, claimed};
use crate::peers::appliance::Appliance;

/// curl that follows a stream until it is dropped.
struct Stream {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Stream {
    fn of(curl: &Curl, path: &str) -> Self {
        let mut command = Command::new("curl");
        command.args(["--silent", "--insecure", "--no-buffer", "--max-time", "120", "--cookie"]);
        command.arg(curl.folder.path().join("jar")).arg(format!("https://{}{path}", curl.address));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next event of this name: its data.
    fn next(&mut self, name: &str) -> String {
        let (mut is_it, mut data) = (false, Vec::new());
        loop {
            let line = self.lines.next().unwrap_or_else(|| panic!("the stream ended before an event {name}")).unwrap();
            if let Some(event) = line.strip_prefix("event:") {
                is_it = event.trim() == name;
            } else if let Some(text) = line.strip_prefix("data:") {
                data.push(text.trim_start().to_owned());
            } else if line.is_empty() {
                if is_it && !data.is_empty() {
                    return data.join("\n");
                }
                (is_it, data) = (false, Vec::new());
            }
        }
    }

    /// Whether it has ended.
    fn ends(mut self) -> bool {
        self.lines.by_ref().all(|line| line.is_ok())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(edge: &Appliance, text: &str) {
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(text.as_bytes(), edge.address("udp://127.0.0.1:0", 0)).unwrap();
}

#[test]
fn the_overview_and_the_tail_follow_what_comes_in() {
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    let (mut overview, mut other) = (Stream::of(&ada, "/events?span=hour"), Stream::of(&ada, "/events?span=hour"));
    assert!(overview.next("overview").contains("firewalls"));
    let mut tail = Stream::of(&ada, "/live/events?source=firewalls&text=needle");
    // Looking on begins at some moment: what is sent until then is not seen.
    let event: Value = std::thread::scope(|scope| {
        let sent = scope.spawn(|| {
            for number in 0..2_000 {
                send(&edge, &format!("<13>Mar  5 10:15:30 fw1 app: hay {number}"));
                send(&edge, &format!("<13>Mar  5 10:15:30 fw1 app: NEEDLE {number}"));
                std::thread::park_timeout(std::time::Duration::from_millis(2));
            }
        });
        let event = serde_json::from_str(&tail.next("event")).unwrap();
        sent.join().unwrap();
        event
    });
    assert!(event["message"].as_str().unwrap().contains("NEEDLE"), "{event}");
    assert!(tail.next("missed").parse::<u64>().unwrap() > 0, "two thousand in a few seconds are more than one reads");
    let mut refused = Stream::of(&ada, "/live/events?source=nobody");
    assert!(refused.next("refused").contains("there is no source"));
    assert!(other.next("overview").contains("firewalls"));
    // Who logs out sees no more.
    assert_eq!(ada.form("/logout", &[("csrf", &ada.csrf())]).status, 303);
    assert!(overview.ends() && tail.ends(), "the session's streams end with it");
    edge.stop();
}

#[test]
fn a_stop_ends_the_streams_at_once_and_a_ninth_tail_is_refused() {
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    let mut overview = Stream::of(&ada, "/events?span=day");
    overview.next("overview");
    let done = AtomicBool::new(false);
    let tails: Vec<Stream> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                send(&edge, "<13>Mar  5 10:15:30 fw1 app: hello");
                std::thread::park_timeout(std::time::Duration::from_millis(100));
            }
        });
        let mut tails: Vec<Stream> = (0..8).map(|_| Stream::of(&ada, "/live/events")).collect();
        for tail in &mut tails {
            tail.next("event");
        }
        let words = Stream::of(&ada, "/live/events").next("refused");
        done.store(true, Ordering::Relaxed);
        assert!(words.contains("8 people look at events already"), "{words}");
        tails
    });
    assert_eq!(ada.log_in("ada", PASSWORD).status, 303, "the page works all the same");
    let begin = sapphire_edge::clock::monotonic();
    edge.stop();
    assert!(begin.elapsed() < std::time::Duration::from_secs(8), "{:?}", begin.elapsed());
    assert!(overview.ends());
    drop(tails);
}

#[test]
fn a_page_that_is_open_is_sent_what_changed_and_nothing_else() {
    let Some((edge, ada)) = claimed(SETTINGS) else { return };
    let mut overview = Stream::of(&ada, "/events?span=hour");
    let first = overview.next("overview");
    let json = |data: &str| serde_json::from_str::<Value>(data).unwrap();
    let whole = json(&first)["whole"].as_str().unwrap().to_owned();
    assert!(whole.contains("data-part=\"source firewalls\"") && whole.contains("data-part=\"verdict\""), "{whole}");
    let next: Vec<String> = (0..3).map(|_| overview.next("overview")).collect();
    let sizes: Vec<usize> = next.iter().map(String::len).collect();
    println!("all of it: {} bytes; while nothing comes in: {sizes:?}", first.len());
    assert!(next.iter().all(|data| json(data)["whole"].is_null()), "{sizes:?}");
    assert!(sizes.iter().min().unwrap() * 20 < first.len(), "{sizes:?} after {}", first.len());
    // What comes in is in the piece of its source.
    send(&edge, "<13>Mar  5 10:15:30 fw1 app: hello");
    let mut parts = Vec::new();
    while !parts.iter().any(|part: &String| part.contains("<dt>Received</dt><dd>1</dd>")) {
        let pushed = json(&overview.next("overview"));
        parts = pushed["parts"].as_array().unwrap().iter().map(|part| part.as_str().unwrap().to_owned()).collect();
    }
    edge.stop();
}
