//! A Lumberjack gateway that does what the test tells it, step by step.

use std::net::SocketAddr;
use std::time::Duration;

use sapphire_edge::net::tls::{Acceptor, ServerConfig};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::PATIENCE;
use super::certificates::Identity;
pub use super::lumberjack::Event;
use super::lumberjack::{Decoder, Frame, ack};

/// A listening gateway.
pub struct Gateway {
    listener: TcpListener,
    tls: Option<Acceptor>,
}

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

/// One connection of a writer.
pub struct Connection {
    stream: BufReader<Box<dyn Both>>,
    decoder: Decoder,
    /// What came of the window that is open, and how many events it still lacks.
    window: Vec<Event>,
    left: u32,
    /// The most that is read at once, and the pause after it.
    pace: Option<(usize, Duration)>,
    socket: socket2::Socket,
}

/// The settings of a TLS listener with this certificate.
pub fn server(identity: &Identity) -> ServerConfig {
    toml::from_str(&format!("cert = {:?}\nkey = {:?}", identity.cert, identity.key)).unwrap()
}

impl Gateway {
    /// On plain TCP.
    pub async fn plain() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), tls: None }
    }

    /// On plain TCP at an address that was used before.
    pub async fn plain_at(address: SocketAddr) -> Self {
        let begin = sapphire_edge::clock::monotonic();
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                // Until nobody else has it.
                Err(error) => assert!(begin.elapsed() < PATIENCE, "{address}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        Self { tls: None, listener }
    }

    /// Inside TLS.
    pub async fn tls(config: &ServerConfig) -> Self {
        Self::plain().await.inside_tls(config)
    }

    /// The same address, inside TLS.
    pub fn inside_tls(self, config: &ServerConfig) -> Self {
        Self { tls: Some(config.build().unwrap()), ..self }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next connection; its handshake must succeed.
    pub async fn accept(&self) -> Connection {
        self.try_accept().await.unwrap()
    }

    /// The next connection, or why its handshake failed.
    pub async fn try_accept(&self) -> Result<Connection, String> {
        let (tcp, peer) = self.listener.accept().await.unwrap();
        let socket = socket2::SockRef::from(&tcp).try_clone().unwrap();
        let stream: Box<dyn Both> = match &self.tls {
            None => Box::new(tcp),
            Some(tls) => Box::new(tls.accept(tcp, peer).await.map_err(|err| err.to_string())?),
        };
        let stream = BufReader::new(stream);
        Ok(Connection { stream, decoder: Decoder::default(), window: Vec::new(), left: 0, pace: None, socket })
    }
}

impl Connection {
    /// The next whole window; `None` if the writer closed before it was full.
    ///
    /// Cancel safe: what came of the window is kept.
    pub async fn try_window(&mut self) -> Option<Vec<Event>> {
        loop {
            while let Some(frame) = self.decoder.next_frame() {
                match frame {
                    Frame::Window(count) => {
                        assert_eq!(self.left, 0, "a new window before the last was full");
                        assert_ne!(count, 0, "an empty window");
                        self.left = count;
                    }
                    Frame::Event(event) => {
                        assert_ne!(self.left, 0, "an event outside a window");
                        self.left -= 1;
                        self.window.push(event);
                        assert_eq!(self.window.len() as u32, self.window.last().unwrap().sequence, "out of sequence");
                        if self.left == 0 {
                            return Some(std::mem::take(&mut self.window));
                        }
                    }
                }
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Reads what comes next; false once the writer has closed.
    async fn fill(&mut self) -> bool {
        let Some((most, pause)) = self.pace else {
            return self.stream.read_buf(self.decoder.input()).await.is_ok_and(|count| count > 0);
        };
        tokio::time::sleep(pause).await;
        let mut part = (&mut self.stream).take(most as u64);
        part.read_buf(self.decoder.input()).await.is_ok_and(|count| count > 0)
    }

    /// Reads slowly from now on, and lets the kernel read little ahead.
    pub fn pace(&mut self, most: usize, pause: Duration) {
        self.socket.set_recv_buffer_size(4 * most).unwrap();
        self.pace = Some((most, pause));
    }

    /// The next whole window.
    pub async fn window(&mut self) -> Vec<Event> {
        self.try_window().await.expect("the writer closed")
    }

    /// Takes a window and acknowledges it.
    pub async fn serve(&mut self) -> Vec<Event> {
        let events = self.window().await;
        self.ack(events.last().unwrap().sequence).await;
        events
    }

    pub async fn ack(&mut self, sequence: u32) {
        self.send(&ack(sequence)).await;
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends unless the writer has closed.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Reads at most this many bytes and throws them away; 0 once the writer has closed.
    pub async fn read(&mut self, most: usize) -> usize {
        let mut buffer = vec![0; most];
        self.stream.read(&mut buffer).await.unwrap_or(0)
    }

    /// Waits until there is something to read, or the end.
    pub async fn peek(&mut self) {
        let _ = self.stream.fill_buf().await;
    }

    /// The next bytes, exactly so many.
    pub async fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// Closes our side, and reads what still comes, so that nothing we sent is lost to a reset.
    pub async fn finish(mut self) {
        self.stream.shutdown().await.unwrap();
        self.closed().await;
    }

    /// Breaks the connection off, as a machine does that was started anew.
    pub fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Waits until the writer closes, whatever it still sends.
    pub async fn closed(&mut self) {
        while self.read(64 << 10).await > 0 {}
    }
}
