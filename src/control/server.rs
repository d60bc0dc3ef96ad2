//! The half of the running program.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::socket::{self, Listening};
use super::{Answer, ControlError, Power, Request, Settings, Stick, Update, line};

/// Clients at once: a screen, a page, a few people with `status` and `tap`. More wait in the kernel's backlog.
const CLIENTS: usize = 16;
/// A request is a few words, a settings file (at most 1 MiB, twice that where each character must be escaped), or a backup: 2 MiB of
/// files and a settings file, twice in base64.
const LONGEST_REQUEST: usize = 7 << 20;
/// Time for a client to ask: it connects because it has a question.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// Time for a client to take one answer; after that it is cut, so that a stopped terminal holds nothing.
const TAKE_WITHIN: Duration = Duration::from_secs(30);
/// Events between the tap and the socket: enough to write in large pieces, little enough to be fresh.
const AHEAD: usize = 64;
/// Wait after a failed accept (out of descriptors): it would fail again at once.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Who knows the answers.
pub trait Handler: Send + Sync + 'static {
    /// The state of everything now, as JSON; an error says why there is none.
    fn status(&self) -> Result<Box<RawValue>, String>;

    /// What each source's events came to, as JSON; an error says why that is not known.
    fn ledger(&self) -> Result<Box<RawValue>, String>;

    /// Sends what comes in to `to` until that closes or the program stops, after what is still there of the last minutes. Waits while
    /// `to` is full.
    fn tap(
        &self,
        source: Option<String>,
        last_minutes: Option<u32>,
        to: mpsc::Sender<Answer>,
    ) -> impl Future<Output = ()> + Send;

    /// Sees to what is wanted of updates. Answers come on `to`, also after this has returned, until it is dropped.
    fn update(&self, wish: Update, to: mpsc::Sender<Answer>) -> impl Future<Output = ()> + Send;

    /// The last lines of the log.
    fn log(&self) -> String;

    /// Sees to what is wanted of the settings, and answers with [`Answer::Settings`] or [`Answer::Refused`].
    fn settings(&self, wish: Settings) -> impl Future<Output = Answer> + Send;

    /// What the screen shows besides the status: [`Answer::Face`] or [`Answer::Refused`].
    fn face(&self) -> impl Future<Output = Answer> + Send;

    /// Has something restarted, or the box made as new, and answers with [`Answer::Done`] or [`Answer::Refused`].
    fn power(&self, wish: Power) -> impl Future<Output = Answer> + Send;

    /// Stops a source and starts it again, and answers with [`Answer::Done`] or [`Answer::Refused`].
    fn restart_source(&self, source: String, by: String) -> impl Future<Output = Answer> + Send;
    /// Sees to what a USB stick brings: sends [`Answer::Stick`] to `to`, and returns when it need not be shown any longer.
    fn stick(&self, stick: Stick, to: mpsc::Sender<Answer>) -> impl Future<Output = ()> + Send;
}

/// The listening socket.
#[derive(Debug)]
pub struct Server {
    listening: Listening,
}

impl Server {
    /// Makes the socket, mode 0660. A file left by a program that was killed is replaced. To be called inside the runtime.
    ///
    /// # Errors
    /// When another program listens there, the path is taken by something else, or the folder is not there.
    pub async fn bind(path: &Path) -> Result<Self, ControlError> {
        Ok(Self { listening: socket::bind(path).await? })
    }

    /// Answers clients until told to stop; then removes the socket. Clients that are being served are cut.
    pub async fn serve(self, handler: Arc<impl Handler>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(CLIENTS));
        let mut clients = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = clients.join_next() => {
                    if ended.is_err_and(|error| error.is_panic()) {
                        tracing::error!("answering a control client panicked; the client was cut");
                    }
                    continue;
                }
                accepted = self.accept(&places) => accepted,
            };
            match accepted {
                Ok((stream, place)) => {
                    let handler = Arc::clone(&handler);
                    clients.spawn(async move {
                        if let Err(error) = answer(stream, &*handler).await {
                            tracing::debug!(%error, "a control client was cut");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a control client could not be accepted");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
        clients.shutdown().await;
    }

    async fn accept(&self, places: &Arc<Semaphore>) -> std::io::Result<(UnixStream, OwnedSemaphorePermit)> {
        let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
        let (stream, _) = self.listening.listener.accept().await?;
        Ok((stream, place))
    }
}

async fn answer(stream: UnixStream, handler: &impl Handler) -> Result<(), ControlError> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut asked = Vec::new();
    if !in_time(ASK_WITHIN, line::read(&mut read, &mut asked, LONGEST_REQUEST)).await? {
        return Ok(());
    }
    let answer = match serde_json::from_slice::<Request>(&asked) {
        Err(error) => Answer::Refused(format!("this is no request: {error}")),
        Ok(Request::Status) => handler.status().map_or_else(Answer::Refused, Answer::Status),
        Ok(Request::Log) => Answer::Log(handler.log()),
        Ok(Request::Ledger) => handler.ledger().map_or_else(Answer::Refused, Answer::Ledger),
        Ok(Request::Tap { source, last_minutes }) => {
            return conversation(read, write, |to| handler.tap(source, last_minutes, to)).await;
        }
        Ok(Request::Settings(wish)) => handler.settings(wish).await,
        Ok(Request::Face) => handler.face().await,
        Ok(Request::Power(wish)) => handler.power(wish).await,
        Ok(Request::RestartSource { source, by }) => handler.restart_source(source, by).await,
        Ok(Request::Stick(stick)) => return conversation(read, write, |to| handler.stick(stick, to)).await,
        Ok(Request::Update(wish)) => return conversation(read, write, |to| handler.update(wish, to)).await,
    };
    in_time(TAKE_WITHIN, line::write(&mut write, &answer)).await
}

/// Answers that come one after the other, until the handler has no more or the client goes.
async fn conversation<F: Future<Output = ()>>(
    mut read: BufReader<OwnedReadHalf>,
    mut write: OwnedWriteHalf,
    handle: impl FnOnce(mpsc::Sender<Answer>) -> F,
) -> Result<(), ControlError> {
    let (to, mut from) = mpsc::channel(AHEAD);
    let forward = async {
        while let Some(answer) = from.recv().await {
            in_time(TAKE_WITHIN, line::write(&mut write, &answer)).await?;
        }
        Ok(())
    };
    let mut more = [0u8; 1];
    let (handled, forward) = (handle(to), forward);
    tokio::pin!(handled, forward);
    // The handler may end with answers still on their way; the client's going ends everything.
    tokio::select! {
        () = &mut handled => {}
        done = &mut forward => return done,
        _ = read.read(&mut more) => return Ok(()),
    }
    tokio::select! {
        done = &mut forward => done,
        _ = read.read(&mut more) => Ok(()),
    }
}

async fn in_time<T>(limit: Duration, io: impl Future<Output = std::io::Result<T>>) -> Result<T, ControlError> {
    match timeout(limit, io).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(ControlError::Broken(std::io::ErrorKind::TimedOut.into())),
    }
}
