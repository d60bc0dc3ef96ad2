//! A stream: chunks without end, one line for each event, empty lines in between.

use sapphire_edge::clock::monotonic;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::api::Wanted;
use super::{Manner, Shared, State};

/// What is to be sent next.
enum Next {
    Lines(Vec<String>),
    Blank,
    End,
}

struct Sender {
    to: WriteHalf<BufReader<TlsStream<TcpStream>>>,
    sent: usize,
    manner: Manner,
}

impl Sender {
    /// Sends bytes of the body in chunks; false where the connection is over.
    async fn send(&mut self, bytes: &[u8]) -> bool {
        for piece in bytes.chunks(self.manner.pieces.min(bytes.len()).max(1)) {
            let left = self.manner.cut_after.map_or(usize::MAX, |most| most.saturating_sub(self.sent));
            let part = &piece[..piece.len().min(left)];
            self.sent += part.len();
            let head = format!("{:x}\r\n", piece.len());
            // A chunk that is cut is announced whole.
            let end: &[u8] = if part.len() < piece.len() { b"" } else { b"\r\n" };
            let all = [head.as_bytes(), part, end].concat();
            if self.to.write_all(&all).await.is_err() || self.to.flush().await.is_err() {
                return false;
            }
            if left <= piece.len() {
                return false;
            }
        }
        true
    }
}

/// Sends until it is over, and notes that it is.
pub async fn send(stream: BufReader<TlsStream<TcpStream>>, wanted: Wanted, shared: &Shared) {
    let key = (wanted.app_id.clone(), wanted.partition.clone());
    let manner = {
        let mut state = shared.state.lock().unwrap();
        *state.open.entry(key.clone()).or_default() += 1;
        state.manner.clone()
    };
    let (mut from, to) = tokio::io::split(stream);
    tokio::select! {
        () = run(Sender { to, sent: 0, manner }, wanted, shared) => {}
        // The client says no more, but it may go.
        _ = from.read_u8() => {}
    }
    let mut state = shared.state.lock().unwrap();
    *state.open.get_mut(&key).unwrap() -= 1;
    let until = monotonic() + state.linger;
    state.held.insert(key.0, until);
}

async fn run(mut sender: Sender, wanted: Wanted, shared: &Shared) {
    let mut changed = shared.changed.subscribe();
    let date = jiff::Timestamp::now().in_tz("UTC").unwrap();
    let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: {date}\r\n\r\n");
    if sender.to.write_all(head.as_bytes()).await.is_err() || sender.to.flush().await.is_err() {
        return;
    }
    let mut place = {
        let state = shared.state.lock().unwrap();
        let entries = &state.partitions[&wanted.partition];
        // A line without an offset comes again with the event behind it; so does the event before, where that is the manner.
        let repeats = u64::from(state.manner.repeats);
        let is_before = |at: u64, has_offset: bool, from: u64| {
            if has_offset { at + repeats < from } else { at + 1 < from }
        };
        let first =
            wanted.from.map(|from| entries.iter().position(|entry| !is_before(entry.at, entry.has_offset, from)));
        first.map_or(entries.len(), |first| first.unwrap_or(entries.len()))
    };
    loop {
        changed.mark_unchanged();
        let next = next(&mut shared.state.lock().unwrap(), &wanted, &mut place);
        let is_on = match next {
            Next::End => false,
            Next::Lines(lines) => sender.send(lines.concat().as_bytes()).await,
            Next::Blank => {
                let every = sender.manner.blank_every;
                let woken = tokio::time::timeout(every, changed.changed()).await.is_ok();
                woken || sender.manner.is_mute || sender.send(b"\r\n").await
            }
        };
        if !is_on {
            return;
        }
    }
}

fn next(state: &mut State, wanted: &Wanted, place: &mut usize) -> Next {
    if state.sessions.get(&wanted.session).is_none_or(|session| session.until <= monotonic()) {
        return Next::End;
    }
    if state.manner.is_mute {
        return Next::Blank;
    }
    let entries = &state.partitions[&wanted.partition];
    let is_wanted = |text: &str| wanted.types.is_empty() || wanted.types.iter().any(|name| text.contains(name));
    let lines: Vec<String> = entries[(*place).min(entries.len())..]
        .iter()
        .filter(|entry| is_wanted(&entry.text))
        .map(|entry| format!("{}\r\n", entry.text))
        .collect();
    *place = entries.len();
    if lines.is_empty() { Next::Blank } else { Next::Lines(lines) }
}
