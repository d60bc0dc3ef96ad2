//! A Beats agent that sends window after window, and again what was not acknowledged, as Filebeat does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::agent::{Agent, compressed};
use super::until;

/// Events in a window.
pub const WINDOW: usize = 50;

/// How the text of an event is made from its number.
type Text = fn(usize) -> String;

/// The agent, on a thread of its own.
#[derive(Debug)]
pub struct Flood {
    acked: Arc<AtomicUsize>,
    is_done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    text: Text,
}

impl Flood {
    /// Sends to `to` until it is told to end, and connects again as often as it has to. Events have the id `agent-NUMBER`.
    pub fn start(to: SocketAddr, text: Text) -> Self {
        let (acked, is_done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&acked), Arc::clone(&is_done));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                while !end.load(Ordering::Relaxed) {
                    let Some(mut agent) = Agent::try_plain(to).await else {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        continue;
                    };
                    while !end.load(Ordering::Relaxed) && window(&mut agent, count.load(Ordering::Relaxed), text).await
                    {
                        count.fetch_add(WINDOW, Ordering::Relaxed);
                    }
                }
            });
        });
        Self { acked, is_done, thread, text }
    }

    /// How many events were acknowledged.
    pub fn acked(&self) -> usize {
        self.acked.load(Ordering::Relaxed)
    }

    /// Waits until so many more are acknowledged.
    pub fn more(&self, events: usize) {
        let from = self.acked();
        until("the agent gets on", || (self.acked() >= from + events).then_some(()));
    }

    /// Ends it, and returns the texts that were acknowledged to it.
    pub fn end(self) -> Vec<String> {
        self.is_done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        (0..self.acked.load(Ordering::Relaxed)).map(self.text).collect()
    }
}

/// Sends the window that begins with this number; true if it was acknowledged whole.
async fn window(agent: &mut Agent, first: usize, text: Text) -> bool {
    let event = |number| format!("{{\"message\":\"{}\",\"@metadata\":{{\"_id\":\"agent-{number}\"}}}}", text(number));
    let events: Vec<String> = (first..first + WINDOW).map(event).collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    agent.try_send(&compressed(&events)).await && agent.progress().await == Some(WINDOW as u32)
}
