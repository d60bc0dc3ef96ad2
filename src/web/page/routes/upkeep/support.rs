//! The support bundle, made as it is fetched.

use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream::unfold;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::unknown;
use super::updates::BEGINS_WITHIN;
use crate::control::Update;
use crate::support::{self, Facts};
use crate::web::page::Shared;
use crate::web::page::account::Visitor;
use crate::web::page::audit::Deed;
use crate::web::page::guard::{Administrator, Sent};
use crate::web::page::serve::Peer;
use crate::web::page::support::audit_for_support;
use crate::web::page::view::{self, Form, Here};

/// Written at one stroke.
const PIECE: usize = 32 << 10;
/// Pieces that wait to be fetched.
const AHEAD: usize = 2;

pub(super) fn pages() -> Router<Arc<Shared>> {
    Router::new().route("/support", get(page)).route("/support/bundle", post(bundle))
}

pub(super) fn api() -> Router<Arc<Shared>> {
    Router::new().route("/api/v1/support", get(api_bundle))
}

#[derive(Deserialize)]
struct Nothing {}

/// Where a thread that makes the bundle writes, for whoever fetches it.
struct Pipe(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    /// What the bundle is made of, but for what lies on the disk.
    async fn facts(&self) -> Result<Facts, String> {
        let settings = self.context.file.clone().ok_or("this box has no settings file")?;
        let json = |result: Result<String, serde_json::Error>| result.map_err(|error| error.to_string());
        let updates = self.ask_updates(Update::Status, BEGINS_WITHIN).await;
        Ok(Facts {
            at: self.context.clock.now(),
            settings,
            state_dir: self.context.state_dir.clone(),
            status: json(serde_json::to_string_pretty(&self.context.board.snapshot())),
            ledger: self.context.questions.ledger().map(|ledger| ledger.get().to_owned()),
            updates: updates.and_then(|status| json(serde_json::to_string_pretty(&status))),
            log: Ok(self.context.log.text()),
            audit: String::new(),
            secrets: Vec::new(),
        })
    }

    /// A bundle, as an answer whose body is made while it is fetched.
    async fn support_bundle(&self, from: IpAddr, by: &Visitor) -> Result<Response, String> {
        let result = self.begin_bundle().await;
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        let (who, message) = (by.name.clone(), format!("{} fetches a support bundle", by.name));
        self.audit.note(Deed { action: "support_bundle", who, from, outcome, message }).await;
        let name = support::file_name(&self.context.name.borrow(), self.context.clock.now());
        let mut answer = Response::new(result?);
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
        if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
            headers.insert(header::CONTENT_DISPOSITION, value);
        }
        Ok(answer)
    }

    async fn begin_bundle(&self) -> Result<Body, String> {
        let busy = "another bundle is being fetched at this moment; try again when it is there";
        let place = Arc::clone(&self.support).try_acquire_owned().map_err(|_| busy.to_owned())?;
        let facts = self.facts().await?;
        let (to, mut pieces) = mpsc::channel(AHEAD);
        let work = tokio::task::spawn_blocking(move || {
            let _place = place;
            let (audit, secrets) = audit_for_support(&facts.state_dir);
            let facts = Facts { audit, secrets, ..facts };
            let mut pipe = BufWriter::with_capacity(PIECE, Pipe(to.clone()));
            if let Err(error) = support::write(&facts, &mut pipe).and_then(|()| pipe.flush()) {
                // Whoever fetched it may be gone.
                let _ = to.blocking_send(Err(error));
            }
        });
        // Without knowing all secrets there is no first piece.
        let first = match pieces.recv().await {
            Some(Ok(first)) => first,
            Some(Err(error)) => return Err(format!("there is no bundle: {error}; look at the disk and its rights")),
            None => return Err("making the bundle panicked; see the log".to_owned()),
        };
        let rest = unfold((Some(first), pieces, work), |(first, mut pieces, work)| async move {
            let piece = match first {
                Some(first) => Ok(first),
                None => pieces.recv().await?,
            };
            Some((piece, (None, pieces, work)))
        });
        Ok(Body::from_stream(rest))
    }
}

async fn page(State(shared): State<Arc<Shared>>, Administrator(visitor): Administrator) -> Html<String> {
    Html(view::support(&shared.frame(Some(&visitor), Here::Support), &Form::default()))
}

async fn bundle(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
    _: Sent<Nothing>,
) -> Response {
    let bundle = shared.support_bundle(from, &visitor).await;
    bundle.unwrap_or_else(|why| unknown(&shared, &uri, &why).into_response())
}

async fn api_bundle(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    uri: Uri,
) -> Response {
    let bundle = shared.support_bundle(from, &visitor).await;
    bundle.unwrap_or_else(|why| unknown(&shared, &uri, &why).into_response())
}
