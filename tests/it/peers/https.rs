//! An HTTPS server whose answers a test writes: HTTP/1.1 with connections that stay open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::certificates::Identity;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// The query's pairs, decoded.
    pub query: Vec<(String, String)>,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub code: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The connection ends in the middle of the body.
    pub is_cut: bool,
}

impl Response {
    pub fn json(code: u16, body: &serde_json::Value) -> Self {
        Self::text(code, &body.to_string())
    }

    pub fn text(code: u16, body: &str) -> Self {
        Self { code, body: body.as_bytes().to_vec(), ..Self::default() }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }
}

type Handler = dyn Fn(&Request) -> Response + Send + Sync;

/// A running server; it ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(identity: &Identity, handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let certs = CertificateDer::pem_file_iter(&identity.cert).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(certs, key).unwrap();
        let (acceptor, handler) = (TlsAcceptor::from(Arc::new(config)), Arc::new(handler) as Arc<Handler>);
        let stop = CancellationToken::new();
        let until_stopped = stop.clone();
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
                            let tcp = accepted.unwrap().0;
                            tasks.spawn(serve(acceptor.clone(), tcp, Arc::clone(&handler)));
                        }
                        Some(_) = tasks.join_next() => {}
                    }
                }
            });
        });
        Self { address: told.recv().unwrap(), stop, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().map(JoinHandle::join);
    }
}

async fn serve(acceptor: TlsAcceptor, tcp: TcpStream, handler: Arc<Handler>) {
    let Ok(stream) = acceptor.accept(tcp).await else { return };
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        if !write(&mut stream, &handler(&request)).await {
            return;
        }
    }
}

/// Sends an answer; false where the connection is over.
pub async fn write(stream: &mut (impl tokio::io::AsyncWrite + Unpin), response: &Response) -> bool {
    let mut head = format!("HTTP/1.1 {} -\r\nContent-Length: {}\r\n", response.code, response.body.len());
    if !response.fields.iter().any(|(name, _)| name == "Date") {
        let now = jiff::Timestamp::now().in_tz("UTC").unwrap();
        head.push_str(&format!("Date: {}\r\n", now.strftime("%a, %d %b %Y %H:%M:%S GMT")));
    }
    for (name, value) in &response.fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let sent = if response.is_cut { response.body.len() / 2 } else { response.body.len() };
    let all = [head.as_bytes(), b"\r\n", &response.body[..sent]].concat();
    stream.write_all(&all).await.is_ok() && stream.flush().await.is_ok() && !response.is_cut
}

/// The next request; `None` once the client has gone.
pub async fn read(stream: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines.first()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let fields: Vec<(String, String)> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let url = sapphire_edge::net::http::Url::parse(&format!("https://double{target}")).ok()?;
    let query = url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let request = Request { method, path: url.path().to_owned(), query, fields, body: Vec::new() };
    let length = request.field("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { body, ..request })
}
