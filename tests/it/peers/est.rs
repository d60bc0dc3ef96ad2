//! An enrolment server (EST, RFC 7030) that is strict: HTTP Basic authentication with a secret that is good once, requests whose
//! signature and subject it checks, a client certificate of its own for a renewal, the media types and the base64 of the RFC. Requests
//! are read and certificates made by openssl, which the program under test has no part of.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::certificates::Authority;
use super::https::{self, Request, Response};

/// What is wrong with the answer to a request for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 503 with `Retry-After: 1`.
    Busy,
    /// 202 with `Retry-After: 1` (RFC 7030 section 4.2.3).
    NotYet,
    /// 200 with the right media type and something that is no CMS.
    Garbled,
    /// The certificate of somebody else's key.
    NotOurs,
    /// A certificate for another box.
    OtherName,
    /// The connection breaks in the middle of the answer, after the secret was used.
    Cut,
}

/// A running server; it ends when it is dropped.
pub struct Est {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
    authority: Authority,
}

struct Shared {
    folder: tempfile::TempDir,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    secrets: HashSet<(String, String)>,
    fault: Option<Fault>,
    /// Seconds for which the next certificates hold.
    lasts: u64,
    /// Whatever was asked, as `operation code`.
    seen: Vec<String>,
    /// Nobody is answered but with 503.
    is_down: bool,
    number: u64,
}

impl Est {
    /// With a CA of its own for what it signs, and an authority for its own name.
    pub fn start() -> Self {
        let authority = Authority::new();
        let identity = authority.identity_of(&["localhost", "127.0.0.1"]);
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut openssl = Command::new("openssl");
        openssl
            .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=fleetCA".split(' '));
        run(openssl.arg("-keyout").arg(at("ca.key")).arg("-out").arg(at("ca.pem")));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(at("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let certs = CertificateDer::pem_file_iter(&identity.cert).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap());
        let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(certs, key).unwrap()));
        let state = State { lasts: 86_400, ..State::default() };
        let shared = Arc::new(Shared { folder, state: Mutex::new(state) });
        let stop = CancellationToken::new();
        let (address, thread) = serve(acceptor, Arc::clone(&shared), stop.clone());
        Self { address, shared, stop, thread: Some(thread), authority }
    }

    pub fn url(&self) -> String {
        format!("https://{}/.well-known/est", self.address)
    }

    /// The CA that the server's own certificate is of.
    pub fn ca(&self) -> PathBuf {
        self.authority.ca()
    }

    /// The CA that signs the boxes' certificates.
    pub fn fleet_ca(&self) -> PathBuf {
        self.shared.folder.path().join("ca.pem")
    }

    /// From now on this secret is good, once.
    pub fn admit(&self, id: &str, secret: &str) {
        self.state(|state| state.secrets.insert((id.to_owned(), secret.to_owned())));
    }

    /// From now on.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.state(|state| state.fault = fault);
    }

    /// How long the next certificates hold.
    pub fn certificates_last(&self, time: Duration) {
        self.state(|state| state.lasts = time.as_secs());
    }

    pub fn set_down(&self, is_down: bool) {
        self.state(|state| state.is_down = is_down);
    }

    /// What was asked so far, as `operation code`, without `cacerts`.
    pub fn seen(&self) -> Vec<String> {
        self.state(|state| state.seen.clone())
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.shared.state.lock().unwrap())
    }
}

impl Drop for Est {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().map(JoinHandle::join);
    }
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn serve(acceptor: TlsAcceptor, shared: Arc<Shared>, stop: CancellationToken) -> (SocketAddr, JoinHandle<()>) {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let mut tasks = JoinSet::new();
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    accepted = listener.accept() => {
                        let (acceptor, shared, tcp) = (acceptor.clone(), Arc::clone(&shared), accepted.unwrap().0);
                        tasks.spawn(async move {
                            let Ok(stream) = acceptor.accept(tcp).await else { return };
                            let certificates = stream.get_ref().1.peer_certificates();
                            let peer = certificates.and_then(|chain| chain.first()).map(|certificate| certificate.to_vec());
                            let mut stream = BufReader::new(stream);
                            while let Some(request) = https::read(&mut stream).await {
                                if !https::write(&mut stream, &shared.answer(&request, peer.as_deref())).await {
                                    return;
                                }
                            }
                        });
                    }
                    Some(_) = tasks.join_next() => {}
                }
            }
        });
    });
    (told.recv().unwrap(), thread)
}

impl Shared {
    fn answer(&self, request: &Request, peer: Option<&[u8]>) -> Response {
        let operation = request.path.strip_prefix("/.well-known/est/").unwrap_or_default().to_owned();
        if operation == "cacerts" {
            return if request.method == "GET" {
                self.certificates(&self.at("ca.pem"))
            } else {
                Response::text(405, "")
            };
        }
        let response = self.granted(request, &operation, peer);
        self.state.lock().unwrap().seen.push(format!("{operation} {}", response.code));
        response
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn granted(&self, request: &Request, operation: &str, peer: Option<&[u8]>) -> Response {
        let is_right = request.method == "POST" && request.field("content-type") == Some("application/pkcs10");
        if !is_right || !matches!(operation, "simpleenroll" | "simplereenroll") {
            return Response::text(400, "no request of this protocol");
        }
        let Ok(der) = STANDARD.decode(&request.body) else { return Response::text(400, "no base64") };
        let number = {
            let mut state = self.state.lock().unwrap();
            state.number += 1;
            if state.is_down {
                return Response::text(503, "");
            }
            state.number
        };
        fs::write(self.at("request.der"), der).unwrap();
        let mut verify = Command::new("openssl");
        verify
            .args("req -verify -noout -subject -nameopt RFC2253 -inform DER -in".split(' '))
            .arg(self.at("request.der"));
        let verified = verify.output().unwrap();
        let words = String::from_utf8_lossy(&[verified.stdout, verified.stderr].concat()).into_owned();
        let subject = words.lines().find_map(|line| line.strip_prefix("subject="));
        let Some(subject) = subject.filter(|_| words.contains("verify OK") && verified.status.success()) else {
            return Response::text(400, "the request is not signed by its key");
        };
        if let Some(refused) = self.refused(request, operation, subject, peer) {
            return refused;
        }
        let fault = self.state.lock().unwrap().fault;
        match fault {
            Some(Fault::Busy) => return Response::text(503, "").with("Retry-After", "1"),
            Some(Fault::NotYet) => return Response::text(202, "").with("Retry-After", "1"),
            Some(Fault::Garbled) => {
                return Response::text(200, "bm8gQ01T")
                    .with("Content-Type", "application/pkcs7-mime; smime-type=certs-only");
            }
            Some(Fault::NotOurs) => return self.certificates(&self.other(subject)),
            Some(Fault::OtherName) => return self.certificates(&self.sign(number, Some("/CN=edge-8"))),
            Some(Fault::Cut) | None => {}
        }
        let certificate = self.sign(number, None);
        if operation == "simpleenroll" {
            let id = subject.trim_start_matches("CN=").to_owned();
            self.state.lock().unwrap().secrets.retain(|(known, _)| *known != id);
        }
        Response { is_cut: fault == Some(Fault::Cut), ..self.certificates(&certificate) }
    }

    /// Who may not have a certificate.
    fn refused(&self, request: &Request, operation: &str, subject: &str, peer: Option<&[u8]>) -> Option<Response> {
        if operation == "simpleenroll" {
            let given = request.field("authorization").and_then(|field| field.strip_prefix("Basic "));
            let given =
                given.and_then(|given| STANDARD.decode(given).ok()).and_then(|given| String::from_utf8(given).ok());
            let given = given.as_deref().and_then(|given| given.split_once(':'));
            let is_known = given.is_some_and(|(id, secret)| {
                let pair = (id.to_owned(), secret.to_owned());
                subject == format!("CN={id}") && self.state.lock().unwrap().secrets.contains(&pair)
            });
            return (!is_known).then(|| Response::text(401, "").with("WWW-Authenticate", "Basic realm=\"est\""));
        }
        // RFC 7030 section 4.2.2: the same subject as in the certificate that the client has shown.
        let shown = peer.map(|der| {
            fs::write(self.at("peer.der"), der).unwrap();
            let mut read = Command::new("openssl");
            read.args("x509 -noout -subject -nameopt RFC2253 -inform DER -in".split(' ')).arg(self.at("peer.der"));
            String::from_utf8(run(&mut read)).unwrap()
        });
        let is_same = shown.is_some_and(|shown| shown.trim() == format!("subject={subject}"));
        (!is_same).then(|| Response::text(403, ""))
    }

    /// Signs the request that was read last, from a minute ago on.
    fn sign(&self, number: u64, subject: Option<&str>) -> PathBuf {
        let lasts = self.state.lock().unwrap().lasts;
        let now = jiff::Timestamp::now();
        let date = |seconds: i64| {
            let moment = now + jiff::SignedDuration::from_secs(seconds);
            moment.in_tz("UTC").unwrap().strftime("%Y%m%d%H%M%SZ").to_string()
        };
        let config = self.at("ca.conf");
        let folder = self.folder.path().display();
        fs::write(self.at("index.txt"), "").unwrap();
        fs::write(
            &config,
            format!(
                "[ca]\ndefault_ca=own\n[own]\ndir={folder}\ndatabase={folder}/index.txt\nnew_certs_dir={folder}\nserial={folder}/serial\n\
                 default_md=sha256\npolicy=any\nx509_extensions=client\nunique_subject=no\n[any]\ncommonName=supplied\n\
                 [client]\nbasicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n"
            ),
        )
        .unwrap();
        fs::write(self.at("serial"), format!("{:04x}\n", 4096 + number)).unwrap();
        let out = self.at(&format!("{number}.pem"));
        let mut ca = Command::new("openssl");
        ca.args(["ca", "-batch", "-notext", "-config"]).arg(config);
        ca.arg("-cert").arg(self.at("ca.pem")).arg("-keyfile").arg(self.at("ca.key"));
        // One that has long begun is soon due; one that has just begun is not.
        let ends = i64::try_from(lasts).unwrap();
        ca.args(["-startdate", &date(if lasts < 60 { -600 } else { -1 }), "-enddate", &date(ends)]);
        ca.args(["-inform", "DER", "-in"]).arg(self.at("request.der")).arg("-out").arg(&out);
        if let Some(subject) = subject {
            ca.args(["-subj", subject]);
        }
        run(&mut ca);
        out
    }

    /// A certificate with this subject for another key.
    fn other(&self, subject: &str) -> PathBuf {
        let (out, subject) = (self.at("other.pem"), format!("/{subject}"));
        let mut openssl = Command::new("openssl");
        openssl.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3".split(' '));
        openssl.args(["-subj", &subject, "-CA"]).arg(self.at("ca.pem")).arg("-CAkey").arg(self.at("ca.key"));
        run(openssl.arg("-keyout").arg(self.at("other.key")).arg("-out").arg(&out));
        out
    }

    fn certificates(&self, file: &Path) -> Response {
        let mut openssl = Command::new("openssl");
        openssl.args(["crl2pkcs7", "-nocrl", "-outform", "DER", "-certfile"]).arg(file);
        let text = STANDARD.encode(run(&mut openssl));
        // In lines, as most servers send it.
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let response = Response::text(200, &format!("{}\r\n", lines.join("\r\n")));
        response
            .with("Content-Type", "application/pkcs7-mime; smime-type=certs-only")
            .with("Content-Transfer-Encoding", "base64")
    }
}
