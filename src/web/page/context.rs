//! What the page is given: where its answers are, and what it works with.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::view::Kinds;
use crate::clock::Clock;
use crate::control::{self, Answer, Handler};
use crate::event::Teller;
use crate::status::{Board, Handle};
use crate::support::Ring;

/// What the control socket is asked too: where the page has its answers from.
pub trait Questions: Send + Sync {
    /// See [`Handler::ledger`].
    fn ledger(&self) -> Result<Box<RawValue>, String>;
    /// See [`Handler::tap`].
    fn tap(
        self: Arc<Self>,
        source: Option<String>,
        last_minutes: Option<u32>,
        to: mpsc::Sender<Answer>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>;
    /// See [`Handler::settings`].
    fn settings(self: Arc<Self>, wish: control::Settings) -> Pin<Box<dyn Future<Output = Answer> + Send>>;
    /// See [`Handler::update`].
    fn update(
        self: Arc<Self>,
        wish: control::Update,
        to: mpsc::Sender<Answer>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl<H: Handler> Questions for H {
    fn ledger(&self) -> Result<Box<RawValue>, String> {
        Handler::ledger(self)
    }

    fn tap(
        self: Arc<Self>,
        source: Option<String>,
        last_minutes: Option<u32>,
        to: mpsc::Sender<Answer>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { Handler::tap(&*self, source, last_minutes, to).await })
    }

    fn settings(self: Arc<Self>, wish: control::Settings) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(async move { Handler::settings(&*self, wish).await })
    }

    fn update(
        self: Arc<Self>,
        wish: control::Update,
        to: mpsc::Sender<Answer>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { Handler::update(&*self, wish, to).await })
    }
}

/// A commented table of the settings that somebody can begin with.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// `source` or `output`.
    pub list: &'static str,
    /// The word behind `type =`.
    pub kind: &'static str,
    /// The table.
    pub text: &'static str,
}

/// What the page is given.
#[derive(Clone)]
pub struct Context {
    /// The box's name.
    pub name: watch::Receiver<Arc<str>>,
    /// The folder of all state; the page keeps its own in `page` there.
    pub state_dir: PathBuf,
    /// The types of sources and outputs.
    pub kinds: watch::Receiver<Kinds>,
    /// A table of each type, for who adds one.
    pub samples: Vec<Sample>,
    /// What is shown.
    pub board: Board,
    /// Where the rest of the answers are.
    pub questions: Arc<dyn Questions>,
    /// The page's own line.
    pub status: Handle,
    /// Wall time.
    pub clock: Clock,
    /// Where deeds are told.
    pub teller: Teller,
    /// The last lines of the log.
    pub log: Ring,
    /// The settings file; none where there is none.
    pub file: Option<PathBuf>,
    /// Ends it.
    pub stop: CancellationToken,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("state_dir", &self.state_dir).finish_non_exhaustive()
    }
}
