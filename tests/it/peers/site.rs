//! An HTTPS server of files that is strict about ranges and cuts connections where it is told to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::certificates::Identity;

/// A running server; it ends when it is dropped.
pub struct Site {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// A file with its tag.
#[derive(Clone, Debug)]
struct Page {
    bytes: Arc<Vec<u8>>,
    tag: String,
}

#[derive(Debug, Default)]
struct Shared {
    pages: BTreeMap<String, Page>,
    asked: Vec<Asked>,
    manner: Manner,
}

/// A request as it came, and what was answered.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub range: Option<u64>,
    pub if_range: Option<String>,
    pub code: u16,
}

/// How it treats its clients.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// Each connection is reset after so many bytes of a body.
    pub cut_after: Option<usize>,
    /// So many requests are answered with 503 first, and `Retry-After: 1`.
    pub busy: usize,
    /// Ranges are not known: always the whole.
    pub no_ranges: bool,
    /// No tag is sent.
    pub no_tags: bool,
    /// A body is sent in pieces, and stands still after so many bytes until this is changed.
    pub stall_after: Option<usize>,
}

impl Site {
    pub fn start(identity: &Identity) -> Self {
        let certs = CertificateDer::pem_file_iter(&identity.cert).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(certs, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (shared, stop) = (Arc::new(Mutex::new(Shared::default())), CancellationToken::new());
        let (inside, until_stopped) = (Arc::clone(&shared), stop.clone());
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let mut tasks = JoinSet::new();
                loop {
                    tokio::select! {
                        () = until_stopped.cancelled() => break,
                        accepted = listener.accept() => {
                            let (acceptor, inside) = (acceptor.clone(), Arc::clone(&inside));
                            tasks.spawn(async move {
                                if let Ok(stream) = acceptor.accept(accepted.unwrap().0).await {
                                    serve(stream, &inside).await;
                                }
                            });
                        }
                    }
                }
            });
        });
        Self { address: told.recv().unwrap(), shared, stop, thread: Some(thread) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        let page = Page { bytes: Arc::new(bytes), tag: format!("\"{:x}\"", rand::random::<u64>()) };
        self.shared.lock().unwrap().pages.insert(path.to_owned(), page);
    }

    pub fn change(&self, manner: Manner) {
        self.shared.lock().unwrap().manner = manner;
    }

    /// What was asked for under this path so far.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        self.shared.lock().unwrap().asked.iter().filter(|asked| asked.path == path).cloned().collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().map(JoinHandle::join);
    }
}

/// Answers one request and closes.
async fn serve(mut stream: TlsStream<TcpStream>, shared: &Arc<Mutex<Shared>>) {
    let Some(head) = read_head(&mut stream).await else { return };
    let field = |name: &str| {
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).next()
    };
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let range = field("range").map(|text| {
        let from = text.strip_prefix("bytes=").and_then(|text| text.strip_suffix('-'));
        from.unwrap_or_else(|| panic!("a range that is not open: {text}")).parse::<u64>().unwrap()
    });
    let if_range = field("if-range");
    let (answer, body) = {
        let mut shared = shared.lock().unwrap();
        let (code, answer, body) = answer(&mut shared, &path, range, if_range.as_deref());
        shared.asked.push(Asked { path, range, if_range, code });
        (answer, body)
    };
    let _ = send(&mut stream, &answer, &body, shared).await;
}

fn answer(shared: &mut Shared, path: &str, range: Option<u64>, if_range: Option<&str>) -> (u16, String, Vec<u8>) {
    let plain = |code: u16, more: &str| (code, format!("HTTP/1.1 {code} -\r\n{more}Content-Length: 0\r\n"), Vec::new());
    if shared.manner.busy > 0 {
        shared.manner.busy -= 1;
        return plain(503, "Retry-After: 1\r\n");
    }
    let Some(page) = shared.pages.get(path) else { return plain(404, "") };
    let tag = if shared.manner.no_tags { String::new() } else { format!("ETag: {}\r\n", page.tag) };
    let total = page.bytes.len() as u64;
    let from = range.filter(|_| !shared.manner.no_ranges && if_range.is_none_or(|wanted| wanted == page.tag));
    match from {
        Some(from) if from >= total => plain(416, &format!("Content-Range: bytes */{total}\r\n")),
        Some(from) => {
            let body = page.bytes[usize::try_from(from).unwrap()..].to_vec();
            let (length, last) = (body.len(), total - 1);
            let head = format!("Content-Range: bytes {from}-{last}/{total}\r\nContent-Length: {length}\r\n{tag}");
            (206, format!("HTTP/1.1 206 Partial Content\r\n{head}"), body)
        }
        None => (200, format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n{tag}"), page.bytes.to_vec()),
    }
}

async fn send(
    stream: &mut TlsStream<TcpStream>,
    head: &str,
    body: &[u8],
    shared: &Arc<Mutex<Shared>>,
) -> std::io::Result<()> {
    let (cut, stall) = {
        let shared = shared.lock().unwrap();
        (shared.manner.cut_after, shared.manner.stall_after)
    };
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await?;
    let most = cut.unwrap_or(body.len()).min(body.len());
    let first = stall.unwrap_or(most).min(most);
    stream.write_all(&body[..first]).await?;
    stream.flush().await?;
    while first < most && shared.lock().unwrap().manner.stall_after.is_some() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    // What stood still may be cut there.
    let most = shared.lock().unwrap().manner.cut_after.map_or(most, |cut| cut.clamp(first, most));
    stream.write_all(&body[first..most]).await?;
    stream.flush().await?;
    if most < body.len() {
        // A reset, not an end in good order: bytes on their way may be lost with it.
        socket2::SockRef::from(stream.get_ref().0).set_linger(Some(std::time::Duration::ZERO))?;
        return Ok(());
    }
    stream.shutdown().await
}

async fn read_head(stream: &mut TlsStream<TcpStream>) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
