//! A Lumberjack v2 client inside TLS that sends windows made beforehand and counts what is acknowledged.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use sapphire_edge::wire::lumberjack::{AckDecoder, Encoder};

use super::certs::{Certs, HOST};
use super::lines::Lines;
use super::measure::thread_cpu;
use super::send::Sent;

/// Events in a window: what Filebeat sends by default (bulk_max_size).
pub const WINDOW: u64 = 2_048;
/// Windows that may wait for their ack. Filebeat's `pipelining` is 2; more hides the wait for a group's sync, which is what
/// a listener's throughput is measured without.
const IN_FLIGHT: usize = 16;
/// Level of zlib: Filebeat's default.
const COMPRESSION: u32 = 3;
const STUCK: Duration = Duration::from_secs(60);

/// Windows, ready to send.
#[derive(Debug)]
pub struct Windows {
    windows: Vec<Vec<u8>>,
    /// Bytes of JSON in all of them.
    pub raw: u64,
}

impl Windows {
    /// Wraps each line in the JSON that Filebeat sends for it.
    pub fn make(lines: &Lines, windows: u64) -> Self {
        let mut encoder = Encoder::new(COMPRESSION);
        let mut made = Self { windows: Vec::new(), raw: 0 };
        for window in 0..windows {
            for number in window * WINDOW..(window + 1) * WINDOW {
                let line = String::from_utf8_lossy(lines.line(number));
                let event = serde_json::json!({
                    "@timestamp": "2026-11-24T09:00:00.000Z",
                    "@metadata": {"beat": "filebeat", "type": "_doc", "version": "8.15.0"},
                    "log": {"offset": number * 300, "file": {"path": "/var/log/messages"}},
                    "message": line,
                    "input": {"type": "log"},
                    "ecs": {"version": "8.0.0"},
                    "host": {"name": "srv-07"},
                    "agent": {"type": "filebeat", "version": "8.15.0", "name": "srv-07",
                              "id": "5f1c6b58-6a7e-4f0a-9d0e-1f2a3b4c5d6e",
                              "ephemeral_id": "9b0a7c1d-2e3f-4a5b-8c6d-7e8f9a0b1c2d"},
                });
                let event = event.to_string();
                made.raw += event.len() as u64;
                encoder.event(|to| to.extend_from_slice(event.as_bytes()));
            }
            let mut bytes = Vec::new();
            encoder.finish(&mut bytes);
            made.windows.push(bytes);
        }
        made
    }

    /// Bytes of JSON in `count` windows of the endless round.
    pub fn raw_of(&self, count: u64) -> u64 {
        self.raw * count / self.windows.len() as u64
    }

    /// Sends `count` windows over one connection, until all are acknowledged.
    pub fn send(&self, to: SocketAddr, certs: &Certs, count: u64) -> Result<Sent> {
        let (start, cpu) = (Instant::now(), thread_cpu());
        let socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(STUCK))?;
        socket.set_write_timeout(Some(STUCK))?;
        let connection = ClientConnection::new(Arc::clone(&certs.client), ServerName::try_from(HOST)?)?;
        let mut stream = StreamOwned::new(connection, socket);
        let (mut acks, mut waiting, mut buffer) = (AckDecoder::default(), VecDeque::new(), [0; 4_096]);
        let (mut sent, mut acked) = (0, 0);
        while acked < count {
            if sent < count && waiting.len() < IN_FLIGHT {
                let window = &self.windows[(sent % self.windows.len() as u64) as usize];
                stream.write_all(window).context("the listener does not read")?;
                stream.flush()?;
                waiting.push_back(sent);
                sent += 1;
                continue;
            }
            let read = stream.read(&mut buffer).context("the listener does not acknowledge")?;
            if read == 0 {
                bail!("the listener closed the connection");
            }
            let mut bytes = &buffer[..read];
            while let Some(sequence) = acks.next_ack(&mut bytes)? {
                if u64::from(sequence) == WINDOW {
                    waiting.pop_front().context("an ack too many")?;
                    acked += 1;
                }
            }
        }
        let cpu = (thread_cpu() - cpu) as f64 / 1e9;
        Ok(Sent { events: count * WINDOW, wall: start.elapsed().as_secs_f64(), cpu })
    }
}
